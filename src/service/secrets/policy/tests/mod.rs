//! Policies as documents, and what they decide.

mod document;
mod golden;
mod model;

use serde_json::{Map, Value, json};

use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse("test", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn merged(texts: &[&str]) -> Merged {
    let policies: Vec<Policy> = texts.iter().map(|text| policy(text)).collect();
    Merged::new(&policies, &Values::default()).unwrap()
}

fn may(merged: &Merged, operation: Operation, path: &str) -> bool {
    merged.decide(operation, path, &Map::new(), None).is_allowed()
}

#[test]
fn root_may_do_everything_and_is_alone() {
    let root = Merged::new(&[Policy::root()], &Values::default()).unwrap();
    assert!(root.is_root());
    let decision = root.decide(Operation::Update, "sys/seal", &Map::new(), None);
    assert_eq!(decision, Decision::Allowed { is_privileged: true });
    assert_eq!(root.capabilities("x"), ["root"]);
    let other = policy("path \"x\" { capabilities = [\"deny\"] }");
    let beside = Merged::new(&[other, Policy::root()], &Values::default());
    assert_eq!(beside.unwrap_err(), PolicyError::RootWithOthers);
    let named = Policy::parse(ROOT, "").unwrap();
    let merged = Merged::new(&[named], &Values::default()).unwrap();
    assert!(!may(&merged, Operation::Read, "x"), "a document is never root");
}

#[test]
fn without_policies_only_help_is_given() {
    let nobody = merged(&[]);
    assert!(may(&nobody, Operation::Help, "sys/seal"));
    assert!(!may(&nobody, Operation::Read, "x"));
    assert_eq!(nobody.capabilities("x"), ["deny"]);
}

#[test]
fn policies_of_the_store_can_be_read_and_are_guarded() {
    for name in [DEFAULT, RESPONSE_WRAPPING] {
        assert!(!policy(text(name).unwrap()).rules.is_empty());
    }
    assert_eq!(text(ROOT), Some(""));
    assert_eq!(text("other"), None);
    for (name, is_writable, is_deletable) in [
        (ROOT, false, false),
        (RESPONSE_WRAPPING, false, false),
        (DEFAULT, true, false),
        ("other", true, true),
    ] {
        assert_eq!(check_writable(name).is_ok(), is_writable, "{name}");
        assert_eq!(check_deletable(name).is_ok(), is_deletable, "{name}");
    }
    assert_eq!(
        check_deletable(DEFAULT).unwrap_err().to_string(),
        "cannot delete \"default\" policy: it is part of the store"
    );
}

#[test]
fn a_name_is_in_lower_case_and_can_stand_in_a_list() {
    assert_eq!(name("App-Team/1").unwrap(), "app-team/1");
    let longest = "x".repeat(crate::base::limits::MAXIMUM_SECRET_POLICY_NAME_BYTES);
    assert_eq!(name(&longest).unwrap(), longest);
    for wrong in ["", " a", "a ", "a,b", "a\nb", &format!("{longest}x")] {
        assert!(name(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_value_is_never_a_wildcard_and_stays_in_its_segment() {
    let own = policy(
        "path \"secret/{{identity.entity.name}}\" { capabilities = [\"read\"] }
         path \"home/{{ identity.entity.name }}/*\" { capabilities = [\"list\"] }",
    );
    let with = |name: &str| {
        let values = Values::from_iter([("identity.entity.name", name)]);
        Merged::new([&own], &values).unwrap()
    };
    let alice = with("alice");
    assert!(may(&alice, Operation::Read, "secret/alice"));
    assert!(may(&alice, Operation::List, "home/alice/"));
    assert!(!may(&alice, Operation::Read, "secret/bob"));
    for wildcard in ["*", "+"] {
        let sly = with(wildcard);
        assert!(!may(&sly, Operation::Read, "secret/bob"), "{wildcard}");
        assert!(!may(&sly, Operation::List, "home/bob/"), "{wildcard}");
        assert!(may(&sly, Operation::Read, &format!("secret/{wildcard}")));
    }
    let plus = with("alice+work@example.com");
    assert!(may(&plus, Operation::Read, "secret/alice+work@example.com"));
    for nothing in ["", "bob/x", "/"] {
        let sly = with(nothing);
        assert!(!may(&sly, Operation::Read, &format!("secret/{nothing}")));
        assert!(!may(&sly, Operation::List, &format!("home/{nothing}/")));
    }
    let unknown = Merged::new([&own], &Values::default()).unwrap();
    assert!(!may(&unknown, Operation::Read, "secret/"));
    assert!(!may(&unknown, Operation::Read, "secret/{{identity.entity.name}}"));
}

#[test]
fn only_what_is_known_of_somebody_can_be_filled_in() {
    for known in [
        "identity.entity.id",
        "identity.entity.name",
        "identity.entity.metadata.team.of",
        "identity.entity.aliases.auth_userpass_1.name",
        "identity.entity.aliases.auth_userpass_1.metadata.x",
        "identity.groups.ids.1234.name",
        "identity.groups.names.ops.id",
        "identity.groups.names.ops.metadata.x",
    ] {
        policy(&format!("path \"a/{{{{{known}}}}}\" {{}}"));
    }
    for unknown in [
        "",
        "x",
        "identity.entity",
        "identity.entity.secret",
        "identity.entity.metadata.",
        "identity.entity.aliases.x",
        "identity.entity.aliases..name",
        "identity.groups.ids.1234.id",
        "identity.groups.ids..name",
    ] {
        let text = format!("path \"a/{{{{{unknown}}}}}\" {{}}");
        let error = Policy::parse("test", &text).unwrap_err().to_string();
        assert!(
            error.ends_with("is nothing that can be filled in"),
            "{unknown}: {error}"
        );
    }
}

#[test]
fn numbers_of_a_request_are_compared_by_what_they_are_worth() {
    let rules = r#"path "x" {
        capabilities = ["update"]
        allowed_parameters = { "n" = [1, 2.5, true, null, "a"] }
    }"#;
    let merged = merged(&[rules]);
    let allows = |value: Value| {
        let Value::Object(parameters) = json!({ "n": value }) else {
            unreachable!()
        };
        let decision = merged.decide(Operation::Update, "x", &parameters, None);
        decision.is_allowed()
    };
    for value in [
        json!(1),
        json!(1.0),
        json!(2.5),
        json!(true),
        json!(null),
        json!("a"),
    ] {
        assert!(allows(value.clone()), "{value}");
    }
    for value in [json!(2), json!("1"), json!(false), json!(["a"]), json!("ab")] {
        assert!(!allows(value.clone()), "{value}");
    }
}

/// Thousands of rules of every kind: a look-up does not go over them.
#[test]
fn every_one_of_thousands_of_rules_is_found() {
    let texts: Vec<String> = (0..3)
        .map(|part| {
            (0..600)
                .map(|number| {
                    format!(
                        "path \"exact/{part}/{number}\" {{ capabilities = [\"read\"] }}
                         path \"wide/{part}/{number}/*\" {{ capabilities = [\"list\"] }}
                         path \"any/+/{part}-{number}/x*\" {{ capabilities = [\"patch\"] }}\n"
                    )
                })
                .collect()
        })
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let merged = merged(&texts);
    for part in 0..3 {
        for number in 0..600 {
            assert_eq!(merged.capabilities(&format!("exact/{part}/{number}")), ["read"]);
            assert_eq!(
                merged.capabilities(&format!("wide/{part}/{number}/a/b")),
                ["list"]
            );
            assert_eq!(
                merged.capabilities(&format!("any/a/{part}-{number}/xy/z")),
                ["patch"]
            );
            assert_eq!(merged.capabilities(&format!("wide/{part}/{number}")), ["deny"]);
        }
    }
}
