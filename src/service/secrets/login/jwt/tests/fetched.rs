//! Where keys come from.

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use super::keys::{P256_PRIVATE, P256_X, P256_Y, RSA_SHORT};
use super::{Jwts, but, claims, p256, role, signed, signed_as};
use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Errand, Fault};
use crate::service::secrets::login::Jwt;
use crate::service::secrets::login::jws::VerifyingKey;
use crate::service::secrets::policy::Operation::{Read, Update};

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

#[test]
fn a_key_of_a_set_checks_only_what_it_is_for() {
    let key = json!({"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y});
    for (name, value, is_good) in [
        ("use", "sig", true),
        ("use", "enc", false),
        ("alg", "ES256", true),
        ("alg", "ES384", false),
        ("alg", "ECDH-ES", false),
        ("crv", "P-384", false),
        ("kty", "oct", false),
    ] {
        let mut key = key.clone();
        key[name] = json!(value);
        let mut bench = Jwts::new(&json!({"jwks_url": "https://keys.test/set"}), &role());
        let set = json!({"keys": [key]}).to_string().into_bytes();
        bench.0.fetched.insert(errand("https://keys.test/set"), Ok(set));
        assert_eq!(bench.login(&signed(&claims())).is_ok(), is_good, "{name} {value}");
    }
}
