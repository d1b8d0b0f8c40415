//! Renewals on a node: whoever gave a token is asked what it would give now.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::support::{Store, data, request};
use crate::base::clock;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::{SecretsError, Verb};

const GONE: &str = "role \"app\" does not exist during renewal";

/// A login method with one role, or one user, whose tokens have the policy `reader` and last for ten minutes.
struct Method {
    kind: &'static str,
    /// What is written below the mount before anybody logs in.
    setup: Vec<(&'static str, Value)>,
    /// Where below the mount the role is.
    role: &'static str,
    /// Where below the mount the login is, and with what.
    login: (&'static str, Value),
    /// What is shown over TLS, at renewals too.
    certificates: Vec<Vec<u8>>,
    /// How renewals are refused without the role.
    gone: &'static str,
}

impl Method {
    fn app_role() -> Self {
        let role = json!({"role_id": "app", "token_policies": "reader", "token_ttl": "10m"});
        Self {
            kind: "approle",
            setup: vec![
                ("role/app", role),
                ("role/app/custom-secret-id", json!({"secret_id": "a long one"})),
            ],
            role: "role/app",
            login: ("login", json!({"role_id": "app", "secret_id": "a long one"})),
            certificates: Vec::new(),
            gone: GONE,
        }
    }

    fn user() -> Self {
        let user = json!({"password": "a long one", "token_policies": "reader", "token_ttl": "10m"});
        Self {
            kind: "userpass",
            setup: vec![("users/bob", user)],
            role: "users/bob",
            login: ("login/bob", json!({"password": "a long one"})),
            certificates: Vec::new(),
            gone: "user no longer exists, do not renew",
        }
    }

    fn jwt() -> Self {
        let key = KeyPair::generate().expect("a key");
        let signing = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).expect("the key");
        let now = clock::unix_time().as_secs();
        let claims = json!({"sub": "alice", "aud": "stead", "iat": now, "exp": now + 600});
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &signing);
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": "stead", "token_policies": "reader",
            "token_ttl": "10m",
        });
        Self {
            kind: "jwt",
            setup: vec![
                (
                    "config",
                    json!({"jwt_validation_pubkeys": [key.public_key_pem()]}),
                ),
                ("role/app", role),
            ],
            role: "role/app",
            login: (
                "login",
                json!({"role": "app", "jwt": token.expect("claims are signed")}),
            ),
            certificates: Vec::new(),
            gone: GONE,
        }
    }

    fn certificate() -> Self {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default()
            .self_signed(&key)
            .expect("a certificate");
        let role = json!({"certificate": certificate.pem(), "token_policies": "reader", "token_ttl": "10m"});
        Self {
            kind: "cert",
            setup: vec![("certs/app", role)],
            role: "certs/app",
            login: ("login", json!({})),
            certificates: vec![certificate.der().to_vec()],
            gone: GONE,
        }
    }

    fn all() -> [Self; 4] {
        [Self::app_role(), Self::user(), Self::jwt(), Self::certificate()]
    }

    /// The path of what is below the mount.
    fn at(&self, below: &str) -> String {
        format!("auth/{}/{below}", self.kind)
    }

    async fn mount(&self, store: &Store) {
        let mount = format!("sys/auth/{}", self.kind);
        store
            .write(&mount, json!({"type": self.kind}))
            .await
            .expect("root mounts");
        for (path, body) in &self.setup {
            store
                .write(&self.at(path), body.clone())
                .await
                .expect("root sets up");
        }
    }

    async fn change(&self, store: &Store, change: Value) {
        let changed = store.write(&self.at(self.role), change).await;
        changed.expect("root changes the role");
    }

    /// A token of a login.
    async fn token(&self, store: &Store) -> String {
        let (path, body) = &self.login;
        let mut login = request("", Verb::Write, &self.at(path), body);
        login.peer.certificates.clone_from(&self.certificates);
        let given = store.secrets.handle(login).await.expect("a good login");
        given.auth.expect("a token").token.expose().clone()
    }
}

/// For how many seconds root renews a token, who shows these certificates; or why not, which is told with 400.
async fn renewed(store: &Store, token: &str, shown: &[Vec<u8>]) -> Result<u64, String> {
    let body = json!({"token": token});
    renewed_by(store, &store.root, "auth/token/renew", &body, shown).await
}

async fn renewed_by(
    store: &Store,
    caller: &str,
    at: &str,
    body: &Value,
    shown: &[Vec<u8>],
) -> Result<u64, String> {
    let mut renewal = request(caller, Verb::Write, at, body);
    renewal.peer.certificates = shown.to_vec();
    match store.secrets.handle(renewal).await {
        Ok(answer) => Ok(answer.auth.expect("the token").lease_seconds),
        Err(SecretsError::Fault(Fault::Invalid(text))) => Err(text),
        Err(other) => panic!("it is refused otherwise: {other:?}"),
    }
}

/// What a token says of itself: it is good.
async fn looked_up(store: &Store, token: &str) -> Value {
    let answer = store
        .ask(token, Verb::Read, "auth/token/lookup-self", json!({}))
        .await;
    data(&answer.expect("it is good"))
}

fn refused(text: &str) -> Result<u64, String> {
    Err(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_gives_what_the_role_or_the_user_says_by_then() {
    let store = Store::start().await;
    for method in Method::all() {
        method.mount(&store).await;
        let token = method.token(&store).await;
        for (change, seconds) in [
            (json!({}), 600),
            (json!({"token_ttl": "20m"}), 1_200),
            (json!({"token_ttl": "5m", "token_max_ttl": "1h"}), 300),
            (json!({"token_period": "2h"}), 7_200),
            (json!({"token_period": "3h"}), 10_800),
            (json!({"token_period": 0}), 300),
        ] {
            let kind = method.kind;
            method.change(&store, change.clone()).await;
            let outcome = renewed(&store, &token, &method.certificates).await;
            assert_eq!(outcome, Ok(seconds), "{kind} {change}");
        }
        let body = json!({"token": token, "increment": "7m"});
        let shown = &method.certificates;
        let longer = renewed_by(&store, &store.root, "auth/token/renew", &body, shown).await;
        assert_eq!(longer, Ok(420), "{}", method.kind);
        let short = json!({"token_ttl": 1, "token_max_ttl": 1});
        method.change(&store, short).await;
        let over = refused("past the max TTL, cannot renew");
        assert_eq!(renewed(&store, &token, shown).await, over, "{}", method.kind);
        looked_up(&store, &token).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_user_or_a_certificate_is_renewed_only_with_the_policies_that_they_have_by_then() {
    let store = Store::start().await;
    for method in Method::all() {
        method.mount(&store).await;
        let token = method.token(&store).await;
        for (change, is_same) in [
            (json!({}), true),
            (json!({"token_policies": ["reader", "writer"]}), false),
            (json!({"token_policies": []}), false),
            (json!({"token_policies": ["READER", "default"]}), true),
            (
                json!({"token_no_default_policy": true, "token_policies": "reader"}),
                true,
            ),
        ] {
            method.change(&store, change.clone()).await;
            let needs_same = ["userpass", "cert"].contains(&method.kind);
            let expected = match is_same || !needs_same {
                true => Ok(600),
                false => refused("policies have changed, not renewing"),
            };
            let kind = method.kind;
            let outcome = renewed(&store, &token, &method.certificates).await;
            assert_eq!(outcome, expected, "{kind} {change}");
        }
        let policies = looked_up(&store, &token).await["policies"].clone();
        assert_eq!(policies, json!(["default", "reader"]), "{}", method.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_no_token_is_renewed_whose_role_or_user_is_gone_and_it_stays_until_it_ends() {
    let store = Store::start().await;
    for method in Method::all() {
        method.mount(&store).await;
        let token = method.token(&store).await;
        let accessor = looked_up(&store, &token).await["accessor"].clone();
        let ways = [
            (&token, "auth/token/renew-self", json!({})),
            (&store.root, "auth/token/renew", json!({"token": token})),
            (
                &store.root,
                "auth/token/renew-accessor",
                json!({"accessor": accessor}),
            ),
        ];
        for (caller, at, body) in &ways {
            let outcome = renewed_by(&store, caller, at, body, &method.certificates).await;
            assert_eq!(outcome, Ok(600), "{} {at}", method.kind);
        }
        let before = looked_up(&store, &token).await["expire_time"].clone();
        store
            .ask(&store.root, Verb::Delete, &method.at(method.role), json!({}))
            .await
            .expect("root deletes the role");
        for (caller, at, body) in &ways {
            let outcome = renewed_by(&store, caller, at, body, &method.certificates).await;
            assert_eq!(outcome, refused(method.gone), "{} {at}", method.kind);
        }
        let after = looked_up(&store, &token).await["expire_time"].clone();
        assert_eq!(after, before, "{}", method.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_certificate_is_renewed_only_with_it_unless_the_mount_does_not_bind() {
    let store = Store::start().await;
    let (method, other) = (Method::certificate(), Method::certificate());
    method.mount(&store).await;
    let token = method.token(&store).await;
    let accessor = looked_up(&store, &token).await["accessor"].clone();
    let ways = [
        (&token, "auth/token/renew-self", json!({})),
        (&store.root, "auth/token/renew", json!({"token": token})),
        (
            &store.root,
            "auth/token/renew-accessor",
            json!({"accessor": accessor}),
        ),
    ];
    for binds in [true, false] {
        let config = json!({"disable_binding": !binds});
        let written = store.write(&method.at("config"), config).await;
        written.expect("root writes the settings");
        for (caller, at, body) in &ways {
            for (shown, why_not) in [
                (&method.certificates, None),
                (&Vec::new(), Some("client certificate must be supplied")),
                (
                    &other.certificates,
                    Some("invalid certificate or no client certificate supplied"),
                ),
            ] {
                let outcome = renewed_by(&store, caller, at, body, shown).await;
                let expected = why_not.filter(|_| binds).map_or(Ok(600), refused);
                assert_eq!(outcome, expected, "{at} {why_not:?} {binds}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_token_role_is_renewed_as_the_role_says_by_then_and_not_without_it() {
    let store = Store::start().await;
    let role = "auth/token/roles/app";
    let change = async |change: Value| {
        store.write(role, change).await.expect("root changes the role");
    };
    change(json!({"allowed_policies": "reader", "token_period": "1h"})).await;
    let create = async |body: Value| {
        let made = store.write("auth/token/create/app", body).await;
        let made = made.expect("root makes tokens").auth;
        made.expect("a token was made").token.expose().clone()
    };
    let token = create(json!({})).await;
    let bounded = create(json!({"explicit_max_ttl": "10m"})).await;
    assert_eq!(renewed(&store, &token, &[]).await, Ok(3_600));
    change(json!({"token_period": "2h"})).await;
    assert_eq!(renewed(&store, &token, &[]).await, Ok(7_200));
    change(json!({"token_explicit_max_ttl": "30m"})).await;
    for (token, most) in [(&token, 1_800), (&bounded, 600)] {
        let seconds = renewed(&store, token, &[]).await.expect("its role is there");
        assert!((1..=most).contains(&seconds), "{seconds} {most}");
    }
    change(json!({"token_explicit_max_ttl": 0})).await;
    assert_eq!(renewed(&store, &token, &[]).await, Ok(7_200));
    store
        .ask(&store.root, Verb::Delete, role, json!({}))
        .await
        .expect("root deletes the role");
    for token in [&token, &bounded] {
        assert_eq!(
            renewed(&store, token, &[]).await,
            refused("original token role \"app\" could not be found, not renewing")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_no_login_is_renewed_as_it_was_made_and_neither_roots_nor_a_batch_token_is() {
    let store = Store::start().await;
    for (body, seconds) in [
        (json!({"policies": ["reader"], "ttl": "10m"}), 600),
        (json!({"policies": ["reader"], "period": "1h"}), 3_600),
        (
            json!({"policies": ["reader"], "ttl": "10m", "meta": {"role_name": "app"}}),
            600,
        ),
    ] {
        let token = store.token(body.clone()).await;
        assert_eq!(renewed(&store, &token, &[]).await, Ok(seconds), "{body}");
    }
    let method = Method::certificate();
    method.mount(&store).await;
    method.change(&store, json!({"token_type": "batch"})).await;
    let batch = json!({"policies": ["reader"], "type": "batch", "ttl": "10m"});
    for token in [
        store.root.clone(),
        store.token(batch).await,
        method.token(&store).await,
    ] {
        let outcome = renewed(&store, &token, &method.certificates).await;
        assert_eq!(outcome, refused("lease is not renewable"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_renewal_is_for_longer_than_a_lease_lasts_even_where_the_mount_allows_it() {
    let store = Store::start().await;
    let tuning = json!({"max_lease_ttl": 10_000_000_000_u64});
    store
        .write("sys/auth/token/tune", tuning)
        .await
        .expect("root tunes mounts");
    let token = store.token(json!({"policies": ["reader"], "ttl": "10m"})).await;
    for (seconds, expected) in [
        (9_000_000_000_u64, Ok(9_000_000_000)),
        (
            9_000_000_001,
            refused("the token would last 9000000001 seconds; the most is 9000000000"),
        ),
    ] {
        let body = json!({"token": token, "increment": seconds});
        let outcome = renewed_by(&store, &store.root, "auth/token/renew", &body, &[]).await;
        assert_eq!(outcome, expected);
    }
}
