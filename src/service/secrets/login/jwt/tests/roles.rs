//! What roles ask for.

use std::time::Duration;

use serde_json::json;

use super::{Jwts, but, claims, role, signed};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::login::tests::renewals_follow;
use crate::service::secrets::policy::Operation::{Delete, List, Read, Update};

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
fn a_renewal_follows_the_role_after_the_end_of_the_token_that_logged_in() {
    let mut bench = Jwts::local(&role());
    let login = bench.login(&signed(&claims())).unwrap();
    bench.0.now += Duration::from_secs(3_600);
    let gone = "role \"dev\" does not exist during renewal";
    renewals_follow(&mut bench.0, "role/dev", &login, gone);
}
