use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::gate::{Caller, identify};
use super::simple::SimpleTokens;
use super::tokens::{JwtMethod, JwtSettings, TokenSettings, Tokens};
use crate::base::MemberId;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::state::applied::Refusal;
use crate::state::auth::AuthChange;
use crate::state::command::{Command, Proposal};
use crate::state::{LogEntry, Machine, Payload, encode_proposal};
use crate::storage::memory::MemoryEngine;

/// A cluster with the users root and alice.
struct Users {
    machine: Machine,
    index: u64,
}

impl Users {
    fn new(token_key: u8) -> Self {
        let machine = Machine::open(Arc::new(MemoryEngine::new())).unwrap();
        let mut users = Self { machine, index: 0 };
        for name in ["root", "alice"] {
            users.change(AuthChange::AddUser {
                name: name.to_owned(),
                password: Some(Secret::new("hash".to_owned())),
            });
        }
        users.change(AuthChange::GrantRole {
            user: "root".to_owned(),
            role: "root".to_owned(),
        });
        users.enable(token_key);
        users
    }

    fn enable(&mut self, token_key: u8) {
        let token_key = Secret::new(vec![token_key; 32]);
        self.change(AuthChange::Enable { token_key });
    }

    fn change(&mut self, change: AuthChange) {
        self.index += 1;
        let proposal = Proposal {
            origin: MemberId(1),
            sequence: self.index,
            command: Command::Auth(change).by_node(),
        };
        let entry = LogEntry {
            index: self.index,
            position: Bytes::new(),
            payload: Payload::Proposals(encode_proposal(&proposal).unwrap()),
        };
        let applied = self.machine.apply(&[entry]).unwrap();
        assert!(applied[0].outcome.is_ok());
    }

    fn issue(&self, tokens: &Tokens, name: &str) -> Result<Secret<String>, ServiceError> {
        tokens.issue(self.machine.reader().view().auth(), name)
    }

    fn verify(&self, tokens: &Tokens, token: &Secret<String>) -> Result<(String, u64), ServiceError> {
        let view = self.machine.reader().view();
        let identity = tokens.verify(view.auth(), token)?;
        Ok((identity.user, identity.auth_revision))
    }
}

fn simple(ttl: Duration) -> Tokens {
    Tokens::open(TokenSettings::Simple { ttl }).unwrap()
}

const LONG: Duration = Duration::from_secs(100_000);

#[test]
fn a_simple_token_is_good_on_every_member_and_after_a_restart() {
    let mut users = Users::new(1);
    let token = users.issue(&simple(LONG), "alice").unwrap();
    assert_eq!(users.verify(&simple(LONG), &token), Ok(("alice".to_owned(), 4)));
    users.change(AuthChange::AddRole { name: "r".to_owned() });
    assert_eq!(
        users.verify(&simple(LONG), &token),
        Ok(("alice".to_owned(), 5)),
        "a change of roles leaves it good, for the new revision"
    );
}

#[test]
fn a_simple_token_is_void_with_another_password_user_key_or_letter() {
    let tokens = simple(LONG);
    let invalid = Err(ServiceError::InvalidAuthToken);
    let mut users = Users::new(1);
    let token = users.issue(&tokens, "alice").unwrap();
    assert_eq!(Users::new(2).verify(&tokens, &token), invalid, "another cluster");
    for (place, letter) in token.expose().char_indices() {
        let other = if letter == 'A' { 'B' } else { 'A' };
        let mut forged = token.expose().clone();
        forged.replace_range(place..=place, &other.to_string());
        let forged = Secret::new(forged);
        assert_eq!(users.verify(&tokens, &forged), invalid, "letter {place}");
    }
    for text in ["", ".", "a.b", "a", &"x".repeat(100_000)] {
        let text = Secret::new(text.to_owned());
        assert_eq!(users.verify(&tokens, &text), invalid);
    }
    let name = || "alice".to_owned();
    users.change(AuthChange::ChangePassword {
        name: name(),
        password: Secret::new("other".to_owned()),
    });
    assert_eq!(users.verify(&tokens, &token), invalid, "another password");
    let token = users.issue(&tokens, "alice").unwrap();
    users.change(AuthChange::DeleteUser { name: name() });
    assert_eq!(users.verify(&tokens, &token), invalid, "no user");
    users.change(AuthChange::AddUser {
        name: name(),
        password: Some(Secret::new("hash".to_owned())),
    });
    assert_eq!(users.verify(&tokens, &token), invalid, "a new user of that name");
    let token = users.issue(&tokens, "alice").unwrap();
    users.change(AuthChange::Disable);
    assert_eq!(users.verify(&tokens, &token), invalid, "nobody needs one");
    users.enable(3);
    assert_eq!(users.verify(&tokens, &token), invalid, "enabled anew");
}

#[test]
fn a_simple_token_lives_as_long_as_it_is_used_or_was_issued_lately() {
    let tokens = SimpleTokens::new(Duration::from_millis(100));
    let signature = |first| [first; 32];
    let (young, old) = (Duration::from_millis(99), Duration::from_millis(100));
    assert!(!tokens.is_alive(signature(1), old), "never used here");
    assert!(tokens.is_alive(signature(1), young));
    assert!(tokens.is_alive(signature(1), old), "used a moment ago");
    assert!(tokens.is_alive(signature(1), LONG));
    std::thread::sleep(Duration::from_millis(101));
    assert!(!tokens.is_alive(signature(1), LONG), "used too long ago");
    assert!(!tokens.is_alive(signature(1), LONG));
    assert_eq!(tokens.remembered(), 0);
}

#[test]
fn a_caller_is_who_the_token_says_else_who_the_certificate_says_else_nobody() {
    let mut users = Users::new(1);
    let tokens = simple(LONG);
    let token = users.issue(&tokens, "alice").unwrap();
    let who = |users: &Users, caller: Caller| {
        let view = users.machine.reader().view();
        let identity = identify(&tokens, &view, &caller)?;
        Ok::<_, ServiceError>(identity.map(|identity| (identity.user, identity.auth_revision)))
    };
    let some = |name: &str| Ok(Some((name.to_owned(), 4)));
    let certified = || Caller::default().with_certificate_name("robot".into());
    assert_eq!(
        who(&users, Caller::default()),
        Err(ServiceError::Refused(Refusal::UserEmpty))
    );
    assert_eq!(who(&users, certified()), some("robot"));
    let both = certified().with_token(token.clone());
    assert_eq!(who(&users, both), some("alice"));
    let wrong = certified().with_token(Secret::new("no token".to_owned()));
    assert_eq!(who(&users, wrong.clone()), Err(ServiceError::InvalidAuthToken));
    assert!(!format!("{:?}", Caller::default().with_token(token)).contains('.'));
    users.change(AuthChange::Disable);
    for caller in [Caller::default(), certified(), wrong] {
        assert_eq!(who(&users, caller), Ok(None), "nobody has to be known");
    }
}

const RSA_PRIVATE: &str = include_str!("tests/rsa-private.pem");
const RSA_PUBLIC: &str = include_str!("tests/rsa-public.pem");
const EC_PRIVATE: &str = include_str!("tests/ec-private.pem");
const EC_PUBLIC: &str = include_str!("tests/ec-public.pem");
const ED_PRIVATE: &str = include_str!("tests/ed-private.pem");
const ED_PUBLIC: &str = include_str!("tests/ed-public.pem");

/// A folder with key files, and the settings that name them.
fn jwt(method: JwtMethod, public: Option<&str>, private: Option<&str>) -> (tempfile::TempDir, JwtSettings) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let settings = JwtSettings {
        public_key: public.map(|content| write("public", content)),
        private_key: private.map(|content| write("private", content)),
        method,
        ttl: LONG,
    };
    (folder, settings)
}

fn open(settings: &JwtSettings) -> Tokens {
    Tokens::open(TokenSettings::Jwt(settings.clone())).unwrap()
}

#[test]
fn every_signing_method_makes_tokens_that_it_accepts_and_no_other_does() {
    use JwtMethod as M;
    let users = Users::new(1);
    let mut made: Vec<(M, tempfile::TempDir, Tokens, Secret<String>)> = Vec::new();
    for (_, method) in M::NAMES {
        let (public, private) = match method {
            M::Hs256 | M::Hs384 | M::Hs512 => (None, "a secret that is shared"),
            M::Es256 => (Some(EC_PUBLIC), EC_PRIVATE),
            // Its curve has no key here; the code is that of ES256.
            M::Es384 => continue,
            M::EdDsa => (Some(ED_PUBLIC), ED_PRIVATE),
            _ => (Some(RSA_PUBLIC), RSA_PRIVATE),
        };
        let (folder, settings) = jwt(method, public, Some(private));
        let tokens = open(&settings);
        let token = users.issue(&tokens, "alice").unwrap();
        assert_eq!(
            users.verify(&tokens, &token),
            Ok(("alice".to_owned(), 4)),
            "{method:?}"
        );
        made.push((method, folder, tokens, token));
    }
    for (one, _, tokens, _) in &made {
        for (other, .., token) in &made {
            assert_eq!(
                users.verify(tokens, token).is_ok(),
                one == other,
                "{one:?}, {other:?}"
            );
        }
    }
}

#[test]
fn a_json_web_token_keeps_the_revision_of_its_login_and_ends_with_its_time() {
    let mut users = Users::new(1);
    let (_folder, mut settings) = jwt(JwtMethod::Hs256, None, Some("secret"));
    let token = users.issue(&open(&settings), "alice").unwrap();
    users.change(AuthChange::AddRole { name: "r".to_owned() });
    assert_eq!(
        users.verify(&open(&settings), &token),
        Ok(("alice".to_owned(), 4)),
        "the gate sees that it is old"
    );
    settings.ttl = Duration::ZERO;
    let tokens = open(&settings);
    let token = users.issue(&tokens, "alice").unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    assert_eq!(users.verify(&tokens, &token), Err(ServiceError::InvalidAuthToken));
}

#[test]
fn a_member_without_the_private_key_checks_tokens_and_makes_none() {
    let users = Users::new(1);
    let (_folder, settings) = jwt(JwtMethod::Rs256, Some(RSA_PUBLIC), Some(RSA_PRIVATE));
    let token = users.issue(&open(&settings), "alice").unwrap();
    let checking = open(&JwtSettings {
        private_key: None,
        ..settings
    });
    assert!(users.verify(&checking, &token).is_ok());
    assert_eq!(
        users.issue(&checking, "alice").unwrap_err(),
        ServiceError::TokenVerifyOnly
    );
}

#[test]
fn a_key_that_cannot_be_used_is_named() {
    let error = |settings: JwtSettings| {
        let opened = Tokens::open(TokenSettings::Jwt(settings));
        opened.err().expect("it cannot be used").to_string()
    };
    let (_folder, settings) = jwt(JwtMethod::Rs256, Some(EC_PUBLIC), Some(RSA_PRIVATE));
    assert!(error(settings).contains("public: "));
    let (_folder, settings) = jwt(JwtMethod::Es256, Some(EC_PUBLIC), Some("nonsense"));
    assert!(error(settings).contains("it must hold a private key in PEM format"));
    let (_folder, settings) = jwt(JwtMethod::Hs256, None, Some(""));
    assert!(error(settings).contains("it has 0 bytes"));
    let (folder, settings) = jwt(JwtMethod::Hs256, None, Some("x"));
    drop(folder);
    assert!(error(settings).contains("No such file"));
}

#[test]
fn a_key_that_changes_is_read_again_and_half_a_key_leaves_the_old_one() {
    let users = Users::new(1);
    let (_folder, settings) = jwt(JwtMethod::EdDsa, Some(ED_PUBLIC), Some(ED_PRIVATE));
    let tokens = super::jwt::JwtTokens::open(settings.clone()).unwrap();
    let view = users.machine.reader().view();
    let token = tokens.issue(view.auth(), "alice").unwrap();
    let public = settings.public_key.unwrap();
    fs::write(&public, &ED_PUBLIC[..ED_PUBLIC.len() / 2]).unwrap();
    tokens.look();
    assert!(tokens.verify(token.expose()).is_some(), "half a key is no key");
    // The public half of another pair.
    let other = ED_PUBLIC.replace(&ED_PUBLIC[60..70], "AAAAAAAAAA");
    fs::write(&public, other).unwrap();
    tokens.look();
    assert!(tokens.verify(token.expose()).is_none());
    fs::write(&public, format!("{ED_PUBLIC}\n")).unwrap();
    tokens.look();
    assert!(tokens.verify(token.expose()).is_some());
}
