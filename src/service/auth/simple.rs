//! Simple tokens: who, since when and with which password, signed with a key that the cluster drew when authentication
//! was enabled.
//!
//! Since every member has the key, a token is good on every member, after a restart and after a change of leader; nothing
//! is replicated for a login. It is void when authentication is disabled, when the user is removed or gets another
//! password, and when it has been neither issued nor used on this member within the time to live. Use on one member is
//! not told to the others, as in etcd. The age of a token is the difference of two members' wall clocks.
//!
//! The text is `base64url(claim) . base64url(HMAC-SHA-256 of the claim)`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use crate::base::clock;
use crate::base::limits::MAXIMUM_REMEMBERED_TOKENS;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::state::auth::{Auth, Identity};

/// The first byte of a claim.
const VERSION: u8 = 1;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 32;
/// Longest text that is looked at.
const MAXIMUM_TOKEN_BYTES: usize = 8 * 1024;

type Signature = [u8; SIGNATURE_BYTES];

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim<'text> {
    /// Milliseconds since the Unix epoch.
    issued: u64,
    /// The auth revision of the user's password.
    password_revision: u64,
    /// Makes tokens differ.
    nonce: u64,
    user: &'text str,
}

impl<'text> Claim<'text> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoded = vec![VERSION];
        for number in [self.issued, self.password_revision, self.nonce] {
            encoded.extend_from_slice(&number.to_be_bytes());
        }
        encoded.extend_from_slice(self.user.as_bytes());
        encoded
    }

    pub(super) fn decode(encoded: &'text [u8]) -> Option<Self> {
        let (version, rest) = encoded.split_first()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (password_revision, rest) = rest.split_first_chunk()?;
        let (nonce, user) = rest.split_first_chunk()?;
        (*version == VERSION).then_some(Self {
            issued: u64::from_be_bytes(*issued),
            password_revision: u64::from_be_bytes(*password_revision),
            nonce: u64::from_be_bytes(*nonce),
            user: std::str::from_utf8(user).ok()?,
        })
    }
}

/// Makes and checks simple tokens.
pub(super) struct SimpleTokens {
    ttl: Duration,
    used: Mutex<Used>,
}

/// When tokens were used here last.
struct Used {
    last: HashMap<Signature, Instant>,
    /// When those that are void are thrown away next.
    next_sweep: Instant,
}

impl SimpleTokens {
    /// Tokens that are void after `ttl` without use.
    pub fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            used: Mutex::new(Used {
                last: HashMap::new(),
                next_sweep: clock::now() + ttl,
            }),
        }
    }

    pub fn issue(&self, auth: &Auth, name: &str) -> Result<Secret<String>, ServiceError> {
        let user = auth.user(name).ok_or(ServiceError::AuthFailed)?;
        let claim = Claim {
            issued: milliseconds(clock::unix_time()),
            password_revision: user.password_revision,
            nonce: clock::random_u64(),
            user: name,
        }
        .encode();
        let signature = signer(auth).ok_or(ServiceError::AuthNotEnabled)?;
        let signature = signature.chain_update(&claim).finalize().into_bytes();
        Ok(Secret::new(format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(&claim),
            URL_SAFE_NO_PAD.encode(signature)
        )))
    }

    pub fn verify(&self, auth: &Auth, token: &str) -> Option<Identity> {
        if token.len() > MAXIMUM_TOKEN_BYTES {
            return None;
        }
        let (claim, signature) = token.split_once('.')?;
        let encoded = URL_SAFE_NO_PAD.decode(claim).ok()?;
        let signature: Signature = URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
        signer(auth)?
            .chain_update(&encoded)
            .verify_slice(&signature)
            .ok()?;
        let claim = Claim::decode(&encoded)?;
        let user = auth.user(claim.user)?;
        let is_current = user.password_revision == claim.password_revision;
        let age = clock::unix_time().saturating_sub(Duration::from_millis(claim.issued));
        (is_current && self.is_alive(signature, age)).then(|| Identity {
            user: claim.user.to_owned(),
            auth_revision: auth.revision(),
            password_revision: Some(claim.password_revision),
        })
    }

    /// Whether a token was issued or used lately, and takes note of its use.
    pub(super) fn is_alive(&self, signature: Signature, age: Duration) -> bool {
        let now = clock::now();
        let mut used = self.used.lock();
        let is_lately_used = used
            .last
            .get(&signature)
            .is_some_and(|last| now.saturating_duration_since(*last) < self.ttl);
        if age >= self.ttl && !is_lately_used {
            used.last.remove(&signature);
            return false;
        }
        if now >= used.next_sweep {
            used.last
                .retain(|_, last| now.saturating_duration_since(*last) < self.ttl);
            used.next_sweep = now + self.ttl;
        }
        // Above the limit a token lives as long as it does without use.
        if is_lately_used || used.last.len() < MAXIMUM_REMEMBERED_TOKENS {
            used.last.insert(signature, now);
        }
        true
    }
}

#[cfg(test)]
impl SimpleTokens {
    /// How many tokens are remembered.
    pub fn remembered(&self) -> usize {
        self.used.lock().last.len()
    }
}

/// The signature to be made with the cluster's key; none if there is none.
fn signer(auth: &Auth) -> Option<Hmac<Sha256>> {
    let key = auth.token_key().expose();
    if key.is_empty() {
        return None;
    }
    Hmac::new_from_slice(key).ok()
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
