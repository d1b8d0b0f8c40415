//! For fuzzing: tokens, as they come and with a signature that is right, and the files of their keys.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::jwt::JwtTokens;
use super::simple::{Claim, SimpleTokens};
use super::tokens::{JwtMethod, JwtSettings};
use crate::base::fuzzing::{Scratch, choice, seed};
use crate::base::secret::Secret;
use crate::state::auth::{Auth, AuthSettings, User};
use crate::storage::Engine;
use crate::storage::memory::MemoryEngine;
use crate::storage::overlay::Overlay;

const KEY: &[u8] = &[7; 32];

struct Door {
    auth: Auth,
    simple: SimpleTokens,
    jwt: JwtTokens,
    key_file: Scratch,
    _secret_file: Scratch,
}

thread_local! {
    static DOOR: RefCell<Door> = RefCell::new(Door::new());
}

impl Door {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let view = engine.view();
        let mut overlay = Overlay::new(view.as_ref());
        let mut auth = Auth::default();
        let settings = AuthSettings {
            token_key: Secret::new(KEY.to_vec()),
            ..AuthSettings::default()
        };
        auth.put_settings(&mut overlay, settings).expect("it is memory");
        let user = User {
            password: None,
            password_revision: 1,
            roles: Vec::new(),
        };
        let fits = auth.put_user(&mut overlay, "root", user).expect("it is memory");
        fits.expect("one user takes little room");
        let secret_file = Scratch::new();
        let (_, path) = secret_file.fill(KEY);
        let settings = JwtSettings {
            public_key: None,
            private_key: Some(path.to_owned()),
            method: JwtMethod::Hs256,
            ttl: Duration::from_secs(60),
        };
        Self {
            auth,
            simple: SimpleTokens::new(Duration::from_secs(60)),
            jwt: JwtTokens::open(settings).expect("any bytes are a secret"),
            key_file: Scratch::new(),
            _secret_file: secret_file,
        }
    }
}

fn signature(bytes: &[u8]) -> String {
    let signer = Hmac::<Sha256>::new_from_slice(KEY).expect("any length is good for a key");
    URL_SAFE_NO_PAD.encode(signer.chain_update(bytes).finalize().into_bytes())
}

/// What a client shows as its token, and what an operator names as a key.
pub fn tokens(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    DOOR.with_borrow(|door| match kind {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let _ = door.simple.verify(&door.auth, &text);
            let _ = door.jwt.verify(&text);
        }
        1 => {
            let token = format!("{}.{}", URL_SAFE_NO_PAD.encode(rest), signature(rest));
            if let Some(claim) = Claim::decode(rest) {
                assert_eq!(claim.encode(), rest);
            }
            if let Some(identity) = door.simple.verify(&door.auth, &token) {
                assert_eq!(identity.user, "root");
            }
        }
        2 => {
            // Header and claims, on a line each.
            let mut lines = rest.splitn(2, |byte| *byte == b'\n');
            let [header, claims] =
                [lines.next(), lines.next()].map(|line| URL_SAFE_NO_PAD.encode(line.unwrap_or_default()));
            let content = format!("{header}.{claims}");
            let token = format!("{content}.{}", signature(content.as_bytes()));
            let _ = door.jwt.verify(&token);
        }
        _ => {
            let (_, path) = door.key_file.fill(rest);
            let (_, method) = JwtMethod::NAMES[usize::from(kind) % JwtMethod::NAMES.len()];
            for private_key in [None, Some(path.to_owned())] {
                let _ = JwtTokens::open(JwtSettings {
                    public_key: Some(path.to_owned()),
                    private_key,
                    method,
                    ttl: Duration::from_secs(60),
                });
            }
        }
    });
}

/// Tokens of both kinds, with a right signature and without, and a key.
#[must_use]
pub fn token_seeds() -> Vec<Vec<u8>> {
    let (simple, jwt) = DOOR.with_borrow(|door| {
        let simple = door.simple.issue(&door.auth, "root").expect("there is a key");
        let jwt = door.jwt.issue(&door.auth, "root").expect("there is a key");
        (simple, jwt)
    });
    let claim = simple.expose().split('.').next().unwrap_or_default();
    let claim = URL_SAFE_NO_PAD.decode(claim).expect("it was encoded");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("there is chance");
    let claims =
        "{\"typ\":\"JWT\",\"alg\":\"HS256\"}\n{\"username\":\"root\",\"revision\":1,\"exp\":99999999999}";
    vec![
        seed(0, simple.expose()),
        seed(0, jwt.expose()),
        seed(1, claim),
        seed(2, claims),
        seed(11, key.public_key_pem()),
        seed(11, key.serialize_pem()),
    ]
}
