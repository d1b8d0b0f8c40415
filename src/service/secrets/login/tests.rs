use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::jws::{Token, VerifyingKey};
use super::settings::{FIELDS, Settings};
use super::{fields, glob};
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Call, Data, Engine, Fault, Login, Peer, TokenKind};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation::{Delete, Update};

fn body(value: &Value) -> Body {
    Body::parse(value.to_string().as_bytes()).unwrap()
}

fn updated(value: &Value, old: &[&str]) -> Result<Settings, Fault> {
    let mut settings = Settings::default();
    settings.update(&body(value), old).map(|()| settings)
}

fn shown(settings: &Settings) -> Value {
    let mut data = Data::new();
    settings.show(&mut data).unwrap();
    serde_json::to_value(data).unwrap()
}

fn peer(address: &str) -> Peer {
    Peer {
        address: address.parse().ok(),
        ..Peer::default()
    }
}

/// What a login gives now for a token with this metadata that is renewed.
pub(super) fn renewal<Method: Engine>(
    bench: &mut Bench<Method>,
    metadata: &BTreeMap<String, String>,
) -> Result<Login, Fault> {
    let body = Body::default();
    let call = Call {
        operation: Update,
        path: "login",
        body: &body,
        mount: &bench.mount,
        caller: Some(&bench.caller),
        peer: &bench.peer,
        now: bench.now,
        is_privileged: bench.is_privileged,
        fetched: &bench.fetched,
    };
    bench.engine.renew_login(&call, metadata, &mut bench.storage)
}

/// That renewals of what a login gave follow its role, or its user, which is changed and then deleted. `gone` is how they are
/// refused in the end.
pub(super) fn renewals_follow<Method: Engine>(
    bench: &mut Bench<Method>,
    role: &str,
    login: &Login,
    gone: &str,
) {
    let counts = |login: &Login| {
        let policies = (login.policies.clone(), login.no_default_policy);
        (policies, [login.ttl, login.max_ttl, login.period])
    };
    let same = renewal(bench, &login.metadata).unwrap();
    assert_eq!(counts(&same), counts(login));
    let change = json!({
        "token_policies": "other", "token_no_default_policy": true, "token_ttl": 60, "token_max_ttl": 120,
        "token_period": 30,
    });
    bench.ask(Update, role, &change.to_string()).unwrap();
    let changed = renewal(bench, &login.metadata).unwrap();
    assert_eq!(
        counts(&changed),
        (
            (vec!["other".to_owned()], true),
            [60, 120, 30].map(Duration::from_secs)
        )
    );
    bench.ask(Delete, role, "{}").unwrap();
    assert_eq!(renewal(bench, &login.metadata).unwrap_err().to_string(), gone);
    let nobody = renewal(bench, &BTreeMap::new()).unwrap_err();
    assert!(matches!(nobody, Fault::Invalid(_)), "{nobody}");
}

#[test]
fn settings_show_every_field_as_clients_read_it() {
    assert_eq!(
        shown(&Settings::default()),
        json!({
            "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
            "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
            "token_policies": [], "token_ttl": 0, "token_type": "default",
        })
    );
    let given = json!({
        "token_bound_cidrs": "10.0.0.0/8, 127.0.0.1", "token_explicit_max_ttl": "24h", "token_max_ttl": "1h",
        "token_no_default_policy": "true", "token_num_uses": "3", "token_period": 7,
        "token_policies": ["B", "a", "b"], "token_ttl": "10m", "token_type": "service",
    });
    let settings = updated(&given, &[]).unwrap();
    let expected = json!({
        "token_bound_cidrs": ["10.0.0.0/8", "127.0.0.1"], "token_explicit_max_ttl": 86_400, "token_max_ttl": 3_600,
        "token_no_default_policy": true, "token_num_uses": 3, "token_period": 7,
        "token_policies": ["a", "b"], "token_ttl": 600, "token_type": "service",
    });
    assert_eq!(shown(&settings), expected);
    assert_eq!(
        updated(&expected, &[]).unwrap(),
        settings,
        "what is shown can be written"
    );
    let stored: Settings = serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
    assert_eq!(stored, settings);
    let login = settings.login("id", "name", BTreeMap::new());
    assert_eq!(
        (login.alias.as_str(), login.display_name.as_str()),
        ("id", "name")
    );
    assert_eq!(
        (
            login.ttl.as_secs(),
            login.max_ttl.as_secs(),
            login.period.as_secs()
        ),
        (600, 3_600, 7)
    );
    assert_eq!(
        (login.uses, login.kind, login.no_default_policy),
        (3, Some(TokenKind::Service), true)
    );
    assert_eq!(
        (login.bound_cidrs.len(), login.explicit_max_ttl.as_secs()),
        (2, 86_400)
    );
}

#[test]
fn an_update_leaves_what_it_does_not_name() {
    let mut settings = updated(&json!({"token_ttl": 5, "token_policies": "a"}), &[]).unwrap();
    settings.update(&body(&json!({"token_max_ttl": 9})), &[]).unwrap();
    assert_eq!(settings.policies, ["a"]);
    assert_eq!((settings.ttl.as_secs(), settings.max_ttl.as_secs()), (5, 9));
    let nulls = json!({"token_ttl": null, "token_policies": null, "token_type": null});
    settings.update(&body(&nulls), &[]).unwrap();
    assert_eq!(
        (settings.policies.len(), settings.ttl.as_secs()),
        (1, 5),
        "null says nothing"
    );
    settings
        .update(&body(&json!({"token_policies": "", "token_ttl": ""})), &[])
        .unwrap();
    assert_eq!(
        (settings.policies.len(), settings.ttl.as_secs()),
        (0, 0),
        "empty is empty"
    );
}

#[test]
fn an_old_name_counts_only_where_a_method_had_it_and_the_present_one_is_not_said() {
    let settings = updated(&json!({"policies": "a", "ttl": 5}), &["policies"]).unwrap();
    assert_eq!(
        (settings.policies.as_slice(), settings.ttl.as_secs()),
        (&["a".to_owned()][..], 0)
    );
    assert_eq!(shown(&settings)["policies"], json!(["a"]));
    let settings = updated(&json!({"policies": "a", "token_policies": "b"}), &["policies"]).unwrap();
    assert_eq!(settings.policies, ["b"]);
    assert_eq!(shown(&settings).get("policies"), None);
}

#[test]
fn settings_that_are_wrong_are_refused_by_name() {
    for (given, text) in [
        (
            json!({"token_ttl": "2h", "token_max_ttl": "1h"}),
            "'token_ttl' cannot be greater than 'token_max_ttl'",
        ),
        (json!({"token_ttl": -1}), "token_ttl: -1 is no time"),
        (
            json!({"token_period": 9_000_000_001_u64}),
            "token_period is 9000000001 seconds; the most is 9000000000",
        ),
        (
            json!({"token_num_uses": -1}),
            "'token_num_uses' cannot be negative",
        ),
        (
            json!({"token_type": "bad_token"}),
            "invalid 'token_type' value \"bad_token\"",
        ),
        (
            json!({"token_type": "batch", "token_period": 5}),
            "'token_type' cannot be 'batch' when set to generate periodic",
        ),
        (
            json!({"token_type": "batch", "token_num_uses": 5}),
            "'token_type' cannot be 'batch' when set to generate tokens with limited",
        ),
        (
            json!({"token_bound_cidrs": "10.0.0.0/33"}),
            "token_bound_cidrs: 10.0.0.0/33 is no range of addresses",
        ),
        (
            json!({"token_bound_cidrs": "localhost"}),
            "token_bound_cidrs: localhost is no range of addresses",
        ),
        (json!({"token_policies": 5}), "token_policies: 5 is no list"),
        (
            json!({"token_no_default_policy": "maybe"}),
            "token_no_default_policy: \"maybe\" is no truth value",
        ),
    ] {
        let error = updated(&given, &[]).unwrap_err();
        assert!(matches!(error, Fault::Invalid(_)), "{given}");
        assert!(error.to_string().starts_with(text), "{given}: {error}");
    }
    assert!(FIELDS.is_sorted());
}

#[test]
fn only_who_comes_from_a_bound_range_is_admitted() {
    let settings = updated(
        &json!({"token_bound_cidrs": "10.1.0.0/16,192.0.2.7,2001:db8::/32"}),
        &[],
    )
    .unwrap();
    for (address, is_admitted) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.2.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
    ] {
        assert_eq!(settings.admits(&peer(address)), is_admitted, "{address}");
    }
    assert!(!settings.admits(&Peer::default()), "a Unix socket is nowhere");
    assert!(Settings::default().admits(&Peer::default()));
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, is_match) in [
        ("", "", true),
        ("", "a", false),
        ("a", "a", true),
        ("a", "ab", false),
        ("*", "", true),
        ("*", "abc", true),
        ("a*", "abc", true),
        ("a*", "ba", false),
        ("*c", "abc", true),
        ("a*c", "abc", true),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a**a", "aba", true),
        ("*b*", "abc", true),
        ("*b*", "ac", false),
        ("a*b*c", "aXbYc", true),
        ("a*b*b", "ab", false),
        ("?", "a", false),
        ("A", "a", false),
    ] {
        assert_eq!(glob::is_match(pattern, text), is_match, "{pattern} {text}");
    }
    let hostile = "*a".repeat(200);
    assert!(!glob::is_match(&hostile, &"b".repeat(20_000)));
}

#[test]
fn pairs_are_read_in_every_form_and_text_is_never_shown() {
    for value in [
        json!({"a": "1"}),
        json!("{\"a\": \"1\"}"),
        json!(["a=1"]),
        json!("a=1"),
        json!({"a": 1}),
    ] {
        assert_eq!(
            fields::pairs("metadata", &value).unwrap(),
            [("a".to_owned(), "1".to_owned())].into(),
            "{value}"
        );
    }
    for value in [json!("bad"), json!({"a": {}}), json!("{hunter2"), json!(5)] {
        let error = fields::pairs("metadata", &value).unwrap_err().to_string();
        assert!(
            error.starts_with("metadata is no object of texts") && !error.contains("hunter2"),
            "{error}"
        );
    }
    let error = fields::needed(&body(&json!({"password": ["hunter2"]})), "password").unwrap_err();
    assert_eq!(error.to_string(), "password is no text; write it in quotes");
    let error = fields::needed(&body(&json!({"password": ""})), "password").unwrap_err();
    assert_eq!(error.to_string(), "missing password");
}

#[test]
fn pem_that_is_too_long_is_refused() {
    let most = crate::base::limits::MAXIMUM_LOGIN_PEM_BYTES;
    assert!(fields::pem("certificate", &json!("a".repeat(most))).is_ok());
    assert!(fields::pem("certificate", &json!("a".repeat(most + 1))).is_err());
    assert!(fields::pems("pem_keys", &json!(["a".repeat(most), "a"])).is_err());
    assert_eq!(fields::pems("pem_keys", &json!("a,b")).unwrap(), ["a,b"]);
}

proptest! {
    #[test]
    fn no_text_ends_a_reader(text in "\\PC{0,40}", parts in prop::collection::vec("[A-Za-z0-9_{}\":.=-]{0,30}", 0..5)) {
        for text in [text, parts.join("."), format!("-----BEGIN CERTIFICATE-----\n{}", parts.join("\n"))] {
            let _ = (Token::parse(&text).is_ok(), VerifyingKey::from_pem(&text).is_ok());
            let _ = (VerifyingKey::from_set(text.as_bytes()).is_ok(), glob::is_match(&text, "a.b"));
        }
    }

    #[test]
    fn a_pattern_fits_what_it_was_made_from(parts in prop::collection::vec("[ab]{0,3}", 1..6), filling in "[abc]{0,4}") {
        prop_assert!(glob::is_match(&parts.join("*"), &parts.join(&filling)));
    }
}
