use proptest::prelude::*;

use super::rules::{Grant, Kind, Rule, Single, parse};
use super::*;
use crate::base::limits::{MAXIMUM_POLICY_BYTES, MAXIMUM_POLICY_DEPTH};

fn authorizer(texts: &[&str], allows_by_default: bool) -> Authorizer {
    let rules: Vec<Rule> = texts.iter().flat_map(|text| parse(text).unwrap()).collect();
    Authorizer::new("accessor".into(), allows_by_default, &rules)
}

#[test]
fn hcl_and_json_say_the_same() {
    let hcl = r#"
        # what a deployment needs
        key_prefix "app/" { policy = "write" }
        key "app/secret" {
          policy = "deny" // nobody
        }
        service "web" {
          policy = "write"
          intentions = "read"
        }
        /* and */ operator = "read"
        key "list" { policy = "list" }
    "#;
    let json = r#"{
        "key_prefix": {"app/": {"policy": "write"}},
        "key": [{"app/secret": {"policy": "deny"}}, {"list": {"policy": "list"}}],
        "service": {"web": {"policy": "write", "intentions": "read"}},
        "operator": "read"
    }"#;
    let sorted = |text: &str| {
        let mut rules = parse(text).unwrap();
        rules.sort_by_key(|rule| format!("{rule:?}"));
        rules
    };
    assert_eq!(sorted(hcl), sorted(json));
    assert_eq!(sorted(json).len(), 5);
    assert_eq!(parse("").unwrap(), []);
}

#[test]
fn what_is_wrong_with_rules_is_named() {
    for (text, reason) in [
        ("nope = \"read\"", "\"nope\" is nothing that rules can be about"),
        (
            "key \"x\" { policy = \"sing\" }",
            "the policy \"sing\" of key \"x\" is none of read, list, write or deny",
        ),
        (
            "service \"x\" { policy = \"list\" }",
            "the policy \"list\" of service \"x\" is none of read, write or deny",
        ),
        ("key \"x\" { }", "key \"x\" has no policy"),
        (
            "key \"x\" { polic = \"read\" }",
            "key \"x\" has an unknown field \"polic\"",
        ),
        ("key = \"read\"", "\"key\" needs a name and a block with a policy"),
        ("operator = read", "read is no text in quotes"),
        ("operator = file(\"x\")", "'(' has no meaning here"),
        ("operator = \"${x}\"", "text with a template in it"),
        ("operator = !!!!true", "'!' has no meaning here"),
        ("operator = <<X", "'<' has no meaning here"),
        ("key \"x", "text that does not end"),
        ("/* x", "a comment that does not end"),
        ("{", "EOF"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("Failed to parse ACL rules: "), "{error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
    let deep = format!("operator = {}", "[".repeat(MAXIMUM_POLICY_DEPTH + 1));
    assert!(parse(&deep).unwrap_err().to_string().contains("deep"));
    let deep = format!("{{\"key\": {}", "[".repeat(100_000));
    assert!(parse(&deep).is_err());
    let long = format!("#{}", "x".repeat(MAXIMUM_POLICY_BYTES));
    assert!(parse(&long).unwrap_err().to_string().contains("the most is"));
}

#[test]
fn what_a_prefix_may_do_needs_all_under_it() {
    let rules = r#"key_prefix "a/" { policy = "write" }
        key "a/b" { policy = "deny" }
        key_prefix "l/" { policy = "list" }"#;
    let authorizer = authorizer(&[rules], false);
    let may = |prefix: &str, access| authorizer.allows(Resource::KeyPrefix(prefix.as_bytes()), access);
    assert!(may("a/c", Access::Write));
    assert!(!may("a/", Access::Write), "a/b is under it");
    assert!(may("a/", Access::List) && may("l/x", Access::List) && !may("l/x", Access::Write));
    assert!(!may("", Access::Read) && !may("b", Access::List));
}

#[test]
fn a_default_that_allows_everything_does_not_open_the_tokens() {
    let open = authorizer(&[], true);
    assert!(open.allows(Resource::Operator, Access::Write));
    assert!(open.allows(Resource::Key(b"k"), Access::Write));
    assert!(!open.allows(Resource::Acl, Access::Read));
    assert!(Authorizer::open().allows(Resource::Acl, Access::Write));
    let managing = authorizer(&["acl = \"read\""], false);
    assert!(managing.allows(Resource::Acl, Access::Read) && !managing.allows(Resource::Acl, Access::Write));
}

#[test]
fn mesh_and_peering_are_the_operators_unless_something_is_said_of_them() {
    let operator = authorizer(&["operator = \"write\"\nmesh = \"deny\""], false);
    assert!(operator.allows(Resource::Peering, Access::Write));
    assert!(!operator.allows(Resource::Mesh, Access::Read));
}

#[test]
fn a_refusal_says_what_is_missing() {
    let nothing = authorizer(&[], false);
    let refused = |resource, access| nothing.require(resource, access).unwrap_err().to_string();
    assert_eq!(
        refused(Resource::Key(b"k"), Access::Write),
        "Permission denied: token with AccessorID 'accessor' lacks permission 'key:write' on \"k\""
    );
    assert_eq!(
        refused(Resource::Operator, Access::Read),
        "Permission denied: token with AccessorID 'accessor' lacks permission 'operator:read'"
    );
}

/// The obvious way: of all rules, those about exactly the name, else those about the longest prefix of it that has any.
fn slowly(rules: &[Rule], name: &str, access: Access, allows_by_default: bool) -> bool {
    let about = |wanted: &str, prefix: bool| -> Vec<Grant> {
        let fits = rules.iter().filter_map(|rule| match rule {
            Rule::Named {
                kind: Kind::Key,
                name,
                is_prefix,
                grant,
            } if name == wanted && *is_prefix == prefix => Some(*grant),
            _ => None,
        });
        fits.collect()
    };
    let mut said = about(name, false);
    for length in (0..=name.len()).rev() {
        if said.is_empty() {
            said = about(&name[..length], true);
        }
    }
    let strongest = [Grant::Deny, Grant::Write, Grant::List, Grant::Read]
        .into_iter()
        .find(|grant| said.contains(grant));
    match strongest {
        None => allows_by_default,
        Some(Grant::Deny) => false,
        Some(Grant::Write) => true,
        Some(Grant::List) => access != Access::Write,
        Some(Grant::Read) => access == Access::Read,
    }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let grant = prop_oneof![
        Just(Grant::Read),
        Just(Grant::List),
        Just(Grant::Write),
        Just(Grant::Deny)
    ];
    ("[ab]{0,4}", any::<bool>(), grant)
        .prop_map(|(name, is_prefix, grant)| Rule::named(Kind::Key, &name, is_prefix, grant))
}

proptest! {
    #[test]
    fn rules_are_resolved_as_the_obvious_way_does(
        rules in prop::collection::vec(any_rule(), 0..12),
        names in prop::collection::vec("[ab]{0,5}", 1..8),
        allows_by_default in any::<bool>(),
    ) {
        let authorizer = Authorizer::new(String::new(), allows_by_default, &rules);
        for name in &names {
            for access in [Access::Read, Access::List, Access::Write] {
                prop_assert_eq!(
                    authorizer.allows(Resource::Key(name.as_bytes()), access),
                    slowly(&rules, name, access, allows_by_default),
                    "{:?} {:?} {:?}", name, access, rules
                );
            }
        }
    }
}

#[test]
fn singles_of_several_policies_are_merged_too() {
    let rules = [Grant::Write, Grant::Deny, Grant::Read].map(|grant| Rule::Single {
        single: Single::Operator,
        grant,
    });
    let authorizer = Authorizer::new(String::new(), true, &rules);
    assert!(!authorizer.allows(Resource::Operator, Access::Read));
}
