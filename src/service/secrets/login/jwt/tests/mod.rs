//! Logins with tokens that are signed here, good and bad.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use self::keys::{ED_PRIVATE, ED_PUBLIC, P256_PRIVATE, P256_PUBLIC, RSA_PRIVATE, RSA_PUBLIC};
use super::Jwt;
use crate::base::limits::MAXIMUM_LOGIN_JWT_BYTES;
use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Engine, Fault, Login};
use crate::service::secrets::policy::Operation::{self, Update};

mod fetched;
mod keys;
mod roles;

/// The time of the bench.
const NOW: u64 = 1_700_000_000;

struct Jwts(Bench<Jwt>);

impl Jwts {
    fn new(config: &Value, role: &Value) -> Self {
        let mut bench = Self(Bench::new(Jwt, "jwt", "auth/jwt/", &[]));
        bench.ask(Update, "config", config).unwrap();
        bench.ask(Update, "role/dev", role).unwrap();
        bench
    }

    fn local(role: &Value) -> Self {
        Self::new(
            &json!({"jwt_validation_pubkeys": [RSA_PUBLIC, P256_PUBLIC, ED_PUBLIC]}),
            role,
        )
    }

    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Value, Fault> {
        self.0.data(operation, path, &body.to_string())
    }

    fn login(&mut self, token: &str) -> Result<Login, Fault> {
        let body = json!({"role": "dev", "jwt": token}).to_string();
        Ok(self.0.ask(Update, "login", &body)?.login.unwrap())
    }

    fn refused(&mut self, token: &str) -> String {
        let error = self.login(token).unwrap_err();
        assert!(matches!(error, Fault::Invalid(_)), "{error:?}");
        let error = error.to_string();
        error
            .strip_prefix("error validating token: ")
            .unwrap_or(&error)
            .to_owned()
    }
}

fn role() -> Value {
    json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "stead", "token_policies": "dev"})
}

fn claims() -> Value {
    json!({"sub": "alice", "aud": "stead", "exp": NOW + 60})
}

/// The claims with some changed; those of `null` are left out.
fn but(changes: &Value) -> Value {
    let mut claims = claims();
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        fields.insert(name.clone(), value.clone());
    }
    fields.retain(|_, value| !value.is_null());
    claims
}

fn signed_as(header: &Header, key: &EncodingKey, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()).unwrap()
}

fn p256() -> EncodingKey {
    EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()).unwrap()
}

fn signed(claims: &Value) -> String {
    signed_as(&Header::new(Algorithm::ES256), &p256(), claims)
}

fn encoded(value: &Value) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

#[test]
fn every_algorithm_logs_in_with_its_own_key() {
    let mut bench = Jwts::local(&role());
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();
    for (algorithm, key) in [
        (Algorithm::RS256, rsa()),
        (Algorithm::RS384, rsa()),
        (Algorithm::RS512, rsa()),
        (Algorithm::PS256, rsa()),
        (Algorithm::PS512, rsa()),
        (Algorithm::ES256, p256()),
        (Algorithm::EdDSA, ed),
    ] {
        let login = bench
            .login(&signed_as(&Header::new(algorithm), &key, &claims()))
            .unwrap();
        assert_eq!(
            (login.alias.as_str(), login.display_name.as_str()),
            ("alice", "alice")
        );
        assert_eq!(login.metadata["role"], "dev");
        assert_eq!(login.policies, ["dev"]);
    }
    assert!(Jwt.is_open("login") && !Jwt.is_open("config") && !Jwt.is_open("role/dev"));
}

#[test]
fn neither_none_nor_a_shared_secret_is_an_algorithm() {
    let mut bench = Jwts::local(&role());
    let unsigned =
        |algorithm: &str| format!("{}.{}.", encoded(&json!({"alg": algorithm})), encoded(&claims()));
    for algorithm in ["none", "None", "NONE", "", "HS256", "ES512", "es256"] {
        assert_eq!(
            bench.refused(&unsigned(algorithm)),
            "its signing algorithm is not supported",
            "{algorithm}"
        );
    }
    // The public key as the secret of HMAC: what everybody has would sign.
    for public in [RSA_PUBLIC, P256_PUBLIC, ED_PUBLIC] {
        for secret in [public, public.trim()] {
            let key = EncodingKey::from_secret(secret.as_bytes());
            let token = signed_as(&Header::new(Algorithm::HS256), &key, &claims());
            assert_eq!(bench.refused(&token), "its signing algorithm is not supported");
        }
    }
    assert!(
        bench
            .refused(&unsigned("RS256"))
            .starts_with("failed to verify signature")
    );
}

#[test]
fn what_was_changed_or_signed_by_another_is_refused() {
    let mut bench = Jwts::local(&role());
    let good = signed(&claims());
    bench.login(&good).unwrap();
    let parts: Vec<&str> = good.split('.').collect();
    let other_claims = format!(
        "{}.{}.{}",
        parts[0],
        encoded(&but(&json!({"sub": "root"}))),
        parts[2]
    );
    let other_header = format!("{}.{}.{}", encoded(&json!({"alg": "RS256"})), parts[1], parts[2]);
    let pair = rcgen::KeyPair::generate().unwrap();
    let stranger = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let stranger = signed_as(&Header::new(Algorithm::ES256), &stranger, &claims());
    for token in [
        other_claims,
        other_header,
        stranger,
        format!("{}.{}.", parts[0], parts[1]),
    ] {
        assert!(
            bench.refused(&token).starts_with("failed to verify signature"),
            "{token}"
        );
    }
}

#[test]
fn what_is_no_token_is_refused_before_anything_is_fetched() {
    let mut bench = Jwts::new(&json!({"jwks_url": "https://keys.test/"}), &role());
    let twice = "eyJhbGciOiJFUzI1NiIsImFsZyI6Im5vbmUifQ";
    for (token, text) in [
        ("a.b".to_owned(), "compact JWS format must have three parts"),
        ("a.b.c.d".to_owned(), "compact JWS format must have three parts"),
        ("a.b.c".to_owned(), "its header cannot be read"),
        (
            format!("{twice}.{}.c", encoded(&claims())),
            "its header cannot be read",
        ),
        (
            format!("{}.b.c", encoded(&json!({"alg": "ES256"}))),
            "its payload cannot be read",
        ),
        (
            format!("{}.{}.c", encoded(&json!({"alg": "ES256"})), encoded(&json!([]))),
            "its payload is no object",
        ),
        (
            format!("{}.{}.c", encoded(&json!({"kid": "a"})), encoded(&claims())),
            "its header says no algorithm",
        ),
        (
            format!(
                "{}.{}.c",
                encoded(&json!({"alg": "ES256", "crit": ["b64"]})),
                encoded(&claims())
            ),
            "its header demands extensions that are not known here",
        ),
        (
            "a".repeat(MAXIMUM_LOGIN_JWT_BYTES + 1),
            "it has more than 65536 bytes",
        ),
    ] {
        assert_eq!(bench.refused(&token), text);
    }
}

#[test]
fn only_the_algorithms_of_the_configuration_are_taken() {
    let config = json!({"jwt_validation_pubkeys": [RSA_PUBLIC, P256_PUBLIC], "jwt_supported_algs": "PS256"});
    let mut bench = Jwts::new(&config, &role());
    bench
        .login(&signed_as(&Header::new(Algorithm::PS256), &rsa(), &claims()))
        .unwrap();
    for token in [
        signed(&claims()),
        signed_as(&Header::new(Algorithm::RS256), &rsa(), &claims()),
    ] {
        assert_eq!(
            bench.refused(&token),
            "its signing algorithm is not among jwt_supported_algs"
        );
    }
}

#[test]
fn times_are_those_of_the_call() {
    let early = "invalid not before (nbf) claim: token not yet valid";
    let late = "invalid expiration time (exp) claim: token is expired";
    let mut bench = Jwts::local(&role());
    for (changes, text) in [
        (json!({"exp": NOW - 59}), None),
        (json!({"exp": NOW - 60}), Some(late)),
        (json!({"exp": NOW - 60 + 1, "iat": NOW - 1_000}), None),
        (json!({"nbf": NOW + 60}), None),
        (json!({"nbf": NOW + 61}), Some(early)),
        (json!({"exp": NOW + 900, "nbf": NOW - 9, "iat": NOW + 60}), None),
        (
            json!({"exp": NOW + 900, "nbf": NOW - 9, "iat": NOW + 61}),
            Some("invalid issued at (iat) claim: token issued in the future"),
        ),
        (
            json!({"exp": null}),
            Some("no issued at (iat), not before (nbf), or expiration time (exp) claims in token"),
        ),
        (json!({"exp": null, "iat": NOW - 209}), None),
        (json!({"exp": null, "iat": NOW - 210}), Some(late)),
        (json!({"exp": "soon"}), Some("its exp is no time")),
        (json!({"exp": -1}), Some("its exp is no time")),
        (json!({"exp": NOW + 60, "nbf": 1.5}), None),
        (json!({"exp": NOW + 211}), Some(early)),
        (json!({"exp": NOW + 211, "iat": NOW}), None),
    ] {
        let token = signed(&but(&changes));
        match text {
            None => assert!(bench.login(&token).is_ok(), "{changes}"),
            Some(text) => assert_eq!(bench.refused(&token), text, "{changes}"),
        }
    }
    bench
        .ask(Update, "role/dev", &json!({"clock_skew_leeway": -1}))
        .unwrap();
    assert_eq!(bench.refused(&signed(&but(&json!({"exp": NOW})))), late);
    bench.login(&signed(&but(&json!({"exp": NOW + 1})))).unwrap();
    bench.0.now += Duration::from_secs(1);
    assert_eq!(bench.refused(&signed(&but(&json!({"exp": NOW + 1})))), late);
}

#[test]
fn a_bound_issuer_has_to_be_the_one_of_the_token() {
    let config = json!({"jwt_validation_pubkeys": P256_PUBLIC, "bound_issuer": "me", "default_role": "dev"});
    let mut bench = Jwts::new(&config, &role());
    let token = signed(&but(&json!({"iss": "me"})));
    let default = json!({"jwt": token}).to_string();
    assert!(
        bench.0.ask(Update, "login", &default).unwrap().login.is_some(),
        "a role by default"
    );
    for said in [json!({}), json!({"iss": "you"})] {
        assert_eq!(bench.refused(&signed(&but(&said))), "invalid issuer (iss) claim");
    }
    for (body, text) in [
        (
            json!({"role": "none", "jwt": token}),
            "role \"none\" could not be found",
        ),
        (
            json!({"role": "a/b", "jwt": token}),
            "role \"a/b\" could not be found",
        ),
        (json!({"role": "dev"}), "missing token"),
    ] {
        let error = bench.ask(Update, "login", &body).unwrap_err().to_string();
        assert_eq!(error, text);
    }
    bench
        .ask(Update, "role/dev", &json!({"token_bound_cidrs": "10.0.0.0/8"}))
        .unwrap();
    assert!(matches!(bench.login(&token), Err(Fault::Denied)));
}
