use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use self::keys::{
    ED_PRIVATE, ED_PUBLIC, P256_PRIVATE, P256_PUBLIC, P256_X, P256_Y, RSA_PRIVATE, RSA_PUBLIC, RSA_SHORT,
};
use super::Jwt;
use crate::base::limits::MAXIMUM_LOGIN_JWT_BYTES;
use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Engine, Errand, Fault, Login};
use crate::service::secrets::login::jws::VerifyingKey;
use crate::service::secrets::policy::Operation::{self, Delete, List, Read, Update};

mod keys;

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
fn a_token_has_to_say_what_the_role_asks_for() {
    let audience = "aud claim does not match any bound audience";
    let team = "claim \"team\" does not match any associated bound claim values";
    for (asked, said, text) in [
        (json!({}), json!({"aud": ["x", "stead"]}), None),
        (json!({}), json!({"aud": "other"}), Some(audience)),
        (json!({}), json!({"aud": null}), Some(audience)),
        (json!({}), json!({"aud": ["stea", "stead2"]}), Some(audience)),
        (
            json!({"bound_audiences": "", "bound_subject": "alice"}),
            json!({}),
            Some("audience claim found in JWT but no audiences bound to the role"),
        ),
        (
            json!({"bound_audiences": "", "bound_subject": "alice"}),
            json!({"aud": null}),
            None,
        ),
        (
            json!({"bound_subject": "bob"}),
            json!({}),
            Some("invalid subject (sub) claim"),
        ),
        (json!({"bound_claims": {"team": "a"}}), json!({"team": "a"}), None),
        (
            json!({"bound_claims": {"team": ["a", "b"]}}),
            json!({"team": ["c", "b"]}),
            None,
        ),
        (
            json!({"bound_claims": {"team": "a"}}),
            json!({"team": "b"}),
            Some(team),
        ),
        (
            json!({"bound_claims": {"team": "a"}}),
            json!({"team": []}),
            Some(team),
        ),
        (
            json!({"bound_claims": {"team": "a*"}}),
            json!({"team": "ab"}),
            Some(team),
        ),
        (
            json!({"bound_claims": {"team": "a*"}, "bound_claims_type": "glob"}),
            json!({"team": "ab"}),
            None,
        ),
        (
            json!({"bound_claims": {"team": "a*"}, "bound_claims_type": "glob"}),
            json!({"team": "ba"}),
            Some(team),
        ),
        (
            json!({"bound_claims": {"team": "1"}}),
            json!({"team": 1}),
            Some(team),
        ),
        (json!({"bound_claims": {"ok": true}}), json!({"ok": true}), None),
        (
            json!({"bound_claims": {"team": "a"}}),
            json!({}),
            Some("claim \"team\" is missing"),
        ),
        (
            json!({"bound_claims": {"/org/team": "a"}}),
            json!({"org": {"team": "a"}}),
            None,
        ),
        (
            json!({"user_claim": "mail"}),
            json!({}),
            Some("claim \"mail\" not found in token"),
        ),
        (
            json!({"user_claim": "mail"}),
            json!({"mail": ""}),
            Some("claim \"mail\" is empty"),
        ),
        (
            json!({"user_claim": "mail"}),
            json!({"mail": 5}),
            Some("claim \"mail\" could not be converted to string"),
        ),
        (
            json!({"user_claim": "/u/n", "user_claim_json_pointer": true}),
            json!({"u": {"n": "a"}}),
            None,
        ),
        (
            json!({"groups_claim": "groups"}),
            json!({}),
            Some("\"groups\" claim not found in token"),
        ),
    ] {
        let mut bench = Jwts::local(&role());
        bench.ask(Update, "role/dev", &asked).unwrap();
        let token = signed(&but(&said));
        match text {
            None => assert!(bench.login(&token).is_ok(), "{asked} {said}"),
            Some(text) => assert_eq!(bench.refused(&token), text, "{asked} {said}"),
        }
    }
}

#[test]
fn claims_become_metadata_where_the_role_says_so() {
    let mut bench = Jwts::local(&role());
    let mapped =
        json!({"claim_mappings": {"mail": "email", "/org/id": "org", "none": "none"}, "groups_claim": "g"});
    bench.ask(Update, "role/dev", &mapped).unwrap();
    let token = signed(&but(
        &json!({"mail": "a@b", "org": {"id": 7}, "g": ["x", "y"], "secret": "z"}),
    ));
    let metadata = bench.login(&token).unwrap().metadata;
    let expected = [("email", "a@b"), ("groups", "x,y"), ("org", "7"), ("role", "dev")];
    assert_eq!(
        metadata,
        expected
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into()
    );
}

#[test]
fn a_role_that_asks_for_nothing_or_is_for_a_browser_is_refused() {
    let mut bench = Jwts::local(&role());
    for (body, text) in [
        (
            json!({"user_claim": "sub"}),
            "must have at least one bound constraint",
        ),
        (
            json!({"bound_audiences": "a"}),
            "a user claim must be defined on the role",
        ),
        (json!({"role_type": "x"}), "invalid 'role_type'"),
        (
            json!({"user_claim": "sub", "bound_claims_type": "x"}),
            "invalid 'bound_claims_type'",
        ),
        (
            json!({"user_claim": "sub", "bound_claims": {"a": {}}}),
            "bound_claims: each value is a text",
        ),
        (
            json!({"user_claim": "sub", "bound_claims": {"a": []}}),
            "bound_claims: each value is a text",
        ),
        (
            json!({"user_claim": "sub", "bound_audiences": "a", "claim_mappings": {"a": "role"}}),
            "metadata key \"role\" is reserved",
        ),
        (
            json!({"user_claim": "sub", "bound_audiences": "a", "claim_mappings": {"a": "x", "b": "x"}}),
            "claim_mappings: multiple keys",
        ),
    ] {
        let error = bench.ask(Update, "role/new", &body).unwrap_err().to_string();
        assert!(error.starts_with(text), "{body}: {error}");
    }
    let browser = json!({"user_claim": "sub", "allowed_redirect_uris": "https://a.test/"});
    for body in [json!({"role_type": "oidc", "user_claim": "sub"}), browser] {
        assert!(matches!(
            bench.ask(Update, "role/new", &body),
            Err(Fault::Unimplemented(_))
        ));
    }
    assert!(matches!(
        bench.ask(Update, "oidc/auth_url", &json!({})),
        Err(Fault::Unimplemented(_))
    ));
    let mixed =
        json!({"user_claim": "u", "allowed_redirect_uris": ["https://a.test/"], "bound_audiences": ["1234"]});
    bench.ask(Update, "role/hvac", &mixed).unwrap();
    let shown = bench.ask(Read, "role/hvac", &json!({})).unwrap();
    assert_eq!(
        (&shown["user_claim"], &shown["role_type"]),
        (&json!("u"), &json!("jwt"))
    );
    assert_eq!(
        bench.ask(List, "role/", &json!({})).unwrap(),
        json!({"keys": ["dev", "hvac"]})
    );
    bench.ask(Delete, "role/hvac", &json!({})).unwrap();
    assert!(matches!(
        bench.ask(Read, "role/hvac", &json!({})),
        Err(Fault::Missing)
    ));
}

#[test]
fn a_configuration_names_one_source_of_keys() {
    let one = "exactly one of";
    for (config, text) in [
        (json!({}), one),
        (
            json!({"jwks_url": "https://a.test", "oidc_discovery_url": "https://a.test"}),
            one,
        ),
        (json!({"jwks_url": "ftp://a.test"}), "jwks_url is no URL"),
        (json!({"jwks_url": "https://user@a.test"}), "jwks_url is no URL"),
        (json!({"jwks_url": "https://"}), "jwks_url is no URL"),
        (
            json!({"jwks_url": "https://a.test", "jwks_ca_pem": "x"}),
            "jwks_ca_pem holds no certificates",
        ),
        (
            json!({"jwt_validation_pubkeys": "x"}),
            "error parsing public key: ",
        ),
        (
            json!({"jwt_validation_pubkeys": P256_PRIVATE}),
            "error parsing public key: a PRIVATE KEY is no public key",
        ),
        (
            json!({"jwks_url": "https://a.test", "jwt_supported_algs": "HS256"}),
            "jwt_supported_algs: \"HS256\" is not",
        ),
        (
            json!({"jwks_url": "https://a.test", "jwt_supported_algs": "none"}),
            "jwt_supported_algs: \"none\" is not",
        ),
    ] {
        let error = Bench::new(Jwt, "jwt", "auth/jwt/", &[])
            .ask(Update, "config", &config.to_string())
            .unwrap_err();
        assert!(error.to_string().starts_with(text), "{config}: {error}");
    }
    let mut bench = Bench::new(Jwt, "jwt", "auth/jwt/", &[]);
    assert!(matches!(bench.ask(Read, "config", ""), Err(Fault::Missing)));
    let client = json!({"jwks_url": "https://a.test", "oidc_client_id": "a"}).to_string();
    assert!(matches!(
        bench.ask(Update, "config", &client),
        Err(Fault::Unimplemented(_))
    ));
    let url = json!({"oidc_discovery_url": "https://a.test/v1/identity/oidc"}).to_string();
    bench.ask(Update, "config", &url).unwrap();
    let shown = bench.data(Read, "config", "").unwrap();
    assert_eq!(shown["oidc_discovery_url"], "https://a.test/v1/identity/oidc");
}

fn errand(url: &str) -> Errand {
    Errand {
        url: url.to_owned(),
        authorities: String::new(),
        body: None,
        bearer: String::new(),
    }
}

fn set() -> Value {
    json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "p"},
        {"kty": "strange"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "short"},
        {"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y, "kid": "p", "use": "sig", "alg": "ES256"},
    ]})
}

#[test]
fn keys_are_fetched_where_the_configuration_says() {
    let mut bench = Jwts::new(&json!({"jwks_url": "https://keys.test/set"}), &role());
    let token = signed(&claims());
    let asked = bench.login(&token).unwrap_err();
    assert!(matches!(asked, Fault::Fetch(wanted) if wanted == errand("https://keys.test/set")));
    bench.0.fetched.insert(
        errand("https://keys.test/set"),
        Ok(set().to_string().into_bytes()),
    );
    bench.login(&token).unwrap();
    let with_id = |id: &str| {
        let header = Header {
            kid: Some(id.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        signed_as(&header, &p256(), &claims())
    };
    bench.login(&with_id("p")).unwrap();
    assert!(
        bench
            .refused(&with_id("q"))
            .starts_with("failed to verify signature"),
        "another key is meant"
    );
    bench
        .0
        .fetched
        .insert(errand("https://keys.test/set"), Ok(b"<html>".to_vec()));
    assert!(matches!(bench.login(&token), Err(Fault::Upstream(_))));
    bench
        .0
        .fetched
        .insert(errand("https://keys.test/set"), Err("refused".to_owned()));
    assert_eq!(
        bench.login(&token).unwrap_err().to_string(),
        "cannot ask https://keys.test/set: refused"
    );
}

#[test]
fn an_issuer_says_itself_where_its_keys_are() {
    let mut bench = Jwts::new(&json!({"oidc_discovery_url": "https://a.test/oidc"}), &role());
    let token = signed(&but(&json!({"iss": "https://a.test/oidc"})));
    let first = errand("https://a.test/oidc/.well-known/openid-configuration");
    assert!(matches!(bench.login(&token), Err(Fault::Fetch(wanted)) if wanted == first));
    let said = |issuer: &str, keys: &str| {
        Ok(json!({"issuer": issuer, "jwks_uri": keys})
            .to_string()
            .into_bytes())
    };
    for (issuer, keys) in [
        ("https://b.test/oidc", "https://a.test/keys"),
        ("https://a.test/oidc", "http://a.test/keys"),
        ("https://a.test/oidc", "file:///etc/passwd"),
    ] {
        bench.0.fetched.insert(first.clone(), said(issuer, keys));
        assert!(
            matches!(bench.login(&token), Err(Fault::Upstream(_))),
            "{issuer} {keys}"
        );
    }
    bench
        .0
        .fetched
        .insert(first, said("https://a.test/oidc", "https://a.test/keys"));
    let second = errand("https://a.test/keys");
    assert!(matches!(bench.login(&token), Err(Fault::Fetch(wanted)) if wanted == second));
    bench.0.fetched.insert(second, Ok(set().to_string().into_bytes()));
    bench.login(&token).unwrap();
    for issuer in [json!("https://b.test/oidc"), json!(null), json!(5)] {
        let token = signed(&but(&json!({"iss": issuer})));
        assert_eq!(bench.refused(&token), "invalid issuer (iss) claim");
    }
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

#[test]
fn an_rsa_key_that_is_too_short_is_no_key() {
    let error = VerifyingKey::from_pem(RSA_SHORT).map(|_| ()).unwrap_err();
    assert_eq!(error, "its RSA key has less than 2048 bits");
    assert_eq!(
        VerifyingKey::from_set(set().to_string().as_bytes()).map(|keys| keys.len()),
        Ok(1)
    );
    let key = json!({"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y});
    let many = json!({"keys": vec![key; 101]}).to_string();
    assert_eq!(
        VerifyingKey::from_set(many.as_bytes()).map(|keys| keys.len()),
        Ok(100)
    );
}

#[test]
fn an_errand_does_not_show_what_it_sends() {
    let mut errand = errand("https://a.test/");
    (errand.bearer, errand.body) = ("hunter2".to_owned(), Some("hunter2".to_owned()));
    assert_eq!(format!("{errand:?}"), "[errand to https://a.test/]");
    assert!(!Fault::Fetch(errand).to_string().contains("hunter2"));
}
