//! Documents: what they say in both forms, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::base::limits::{
    MAXIMUM_SECRET_POLICY_BYTES, MAXIMUM_SECRET_POLICY_DEPTH, MAXIMUM_SECRET_POLICY_RULES,
    MAXIMUM_SECRET_POLICY_SEGMENTS,
};

fn refusal(text: &str) -> String {
    match Policy::parse("test", text) {
        Err(error) => error.to_string(),
        Ok(policy) => panic!("{text} is {policy:?}"),
    }
}

#[test]
fn hcl_and_json_say_the_same() {
    let hcl = r#"
        # what a deployment needs
        name = "app"
        path "secret/*" {
          comment = "all of it"
          capabilities = ["read", "list",] // no more
        }
        path "/secret/app" {
          policy = "write"
          allowed_parameters = { "Name" = ["a-*", "$${b}", 7, -1.5, true], other = [] }
          denied_parameters { key = [] }
          required_parameters = ["name"]
          min_wrapping_ttl = 60
          max_wrapping_ttl = "1h"
        }
        /* said once more */
        path "secret/*" { capabilities = ["sudo"] }
    "#;
    let json = r#"{
        "name": "app",
        "path": [
            {"secret/*": [{"capabilities": ["read"]}, {"capabilities": ["sudo", "list"]}]},
            {"secret/app": {
                "capabilities": ["create", "read", "update", "delete", "list"],
                "allowed_parameters": {"name": ["a-*", "${b}", 7, -1.5, true], "other": []},
                "denied_parameters": {"key": []},
                "required_parameters": ["NAME"],
                "min_wrapping_ttl": "60s",
                "max_wrapping_ttl": 3600
            }}
        ]
    }"#;
    assert_eq!(policy(hcl), policy(json));
    assert_eq!(policy(hcl).rules.len(), 2);
    assert_eq!(policy(" # nothing\n"), policy("{}"));
}

#[test]
fn what_is_wrong_with_a_document_is_named() {
    for (text, reason) in [
        (
            "nope \"x\" {}",
            "failed to parse policy: \"nope\" is unknown; rules are blocks of \"path\"",
        ),
        ("nope = 1", "\"nope\" is unknown"),
        ("name = 1", "\"name\" is no text: 1"),
        ("path {}", "has one path, in quotes"),
        ("path \"a\" \"b\" {}", "has one path, in quotes"),
        ("path = \"a\"", "\"path\" is unknown"),
        ("{\"path\": \"a\"}", "\"path\" is no object of paths: \"a\""),
        ("{\"path\": {\"a\": 1}}", "path \"a\": 1 is no block of rules"),
        ("{\"nope\": {}}", "\"nope\" is unknown"),
        ("{\"path\": {}, \"path\": {}}", "\"path\" is said twice"),
        (
            "{\"path\": {\"a\": {}, \"a\": {}}}",
            "\"a\" is said twice at line 1",
        ),
        ("{", "EOF"),
        ("{} x", "trailing characters"),
        (
            "path \"a\" { capabilities = [\"read\", \"banana\"] }",
            "failed to parse policy: path \"a\": invalid capability \"banana\"; there are create, delete, deny",
        ),
        (
            "path \"a\" { capabilities = [\"root\"] }",
            "invalid capability \"root\"",
        ),
        (
            "path \"a\" { capabilities = [\"READ\"] }",
            "invalid capability \"READ\"",
        ),
        (
            "path \"a\" { capabilities = \"read\" }",
            "\"capabilities\" is no list: \"read\"",
        ),
        (
            "path \"a\" { capabilities = [1] }",
            "1 in \"capabilities\" is no text",
        ),
        ("path \"a\" { policy = \"sing\" }", "invalid policy \"sing\""),
        (
            "path \"a\" { capabilites = [] }",
            "path \"a\": \"capabilites\" is unknown",
        ),
        ("path \"a\" { comment = 1 }", "\"comment\" is no text: 1"),
        (
            "path \"a\" {\n policy = \"read\"\n policy = \"deny\" }",
            "line 3: \"policy\" is said twice",
        ),
        (
            "path \"a\" { allowed_parameters = { \"x\" = [], \"x\" = [1] } }",
            "line 1: \"x\" is said twice",
        ),
        (
            "path \"a\" { allowed_parameters = { x = [], \"x\" = [1] } }",
            "line 1: \"x\" is said twice",
        ),
        (
            "path \"a\" { allowed_parameters = { x = [], X = [1] } }",
            "\"x\" in \"allowed_parameters\" is said twice",
        ),
        (
            "path \"a\" {\n denied_parameters = {}\n denied_parameters {}\n }",
            "path \"a\": \"denied_parameters\" is said twice",
        ),
        ("path \"a\" {\n x \"y\" {}\n }", "path \"a\": \"x\" has a label"),
        (
            "path \"a\" { denied_parameters = [] }",
            "\"denied_parameters\" is no object of lists: []",
        ),
        (
            "path \"a\" { denied_parameters = { x = \"y\" } }",
            "\"x\" in \"denied_parameters\" has no list: \"y\"",
        ),
        (
            "path \"a\" { min_wrapping_ttl = -1 }",
            "\"min_wrapping_ttl\": -1 is no time",
        ),
        (
            "path \"a\" { max_wrapping_ttl = \"soon\" }",
            "\"max_wrapping_ttl\": \"soon\" is no time",
        ),
        (
            "path \"a\" {\n min_wrapping_ttl = 400\n max_wrapping_ttl = 200\n }",
            "max_wrapping_ttl cannot be less than min_wrapping_ttl",
        ),
        (
            "path \"a/+*\" {}",
            "path \"a/+*\": invalid use of wildcards ('+*' is forbidden)",
        ),
        ("path \"+*/a\" {}", "invalid use of wildcards"),
        (
            "path \"a/{{identity.entity.id\" {}",
            "a template that does not end",
        ),
        (
            "path \"a/identity.entity.id}}\" {}",
            "a template that ends without having begun",
        ),
        (
            "path \"a\" {}\npath \"${b}\" {}",
            "line 2: text with a template in it",
        ),
        ("path \"\\u0061\" {}", "line 1: a character by its number"),
        (
            "path \"a\" { comment = file(\"x\") }",
            "line 1: '(' has no meaning here",
        ),
        ("path \"a\" { comment = <<X\n", "'<' has no meaning here"),
        ("path \"a\" { comment = b }", "path \"a\": b is no text in quotes"),
        ("path \"a", "line 1: text that does not end"),
        ("\n/* x", "line 2: a comment that does not end"),
        ("path \"a\" {", "line 1"),
    ] {
        let error = refusal(text);
        assert!(error.starts_with("failed to parse policy: "), "{error}");
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_document_has_limits() {
    let fits = format!("#{}", "x".repeat(MAXIMUM_SECRET_POLICY_BYTES - 1));
    policy(&fits);
    assert!(refusal(&format!("{fits}x")).contains("the most is 262144"));

    let rules = "path \"a\" {}\n".repeat(MAXIMUM_SECRET_POLICY_RULES);
    policy(&rules);
    assert!(refusal(&format!("{rules}path \"b\" {{}}")).contains("it has 2001 rules; the most is 2000"));

    let path = vec!["a"; MAXIMUM_SECRET_POLICY_SEGMENTS].join("/");
    policy(&format!("path \"{path}\" {{}}"));
    assert!(refusal(&format!("path \"{path}/+\" {{}}")).contains("it has 129 segments; the most is 128"));

    // Beside the brackets that rules need.
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let hcl = |depth| {
        format!(
            "path \"a\" {{ allowed_parameters = {{ x = [{}] }} }}",
            nested(depth)
        )
    };
    let json = |depth| {
        format!(
            "{{\"path\": {{\"a\": {{\"allowed_parameters\": {{\"x\": [{}]}} }} }} }}",
            nested(depth)
        )
    };
    policy(&hcl(MAXIMUM_SECRET_POLICY_DEPTH - 3));
    assert!(refusal(&hcl(MAXIMUM_SECRET_POLICY_DEPTH - 2)).contains("nested more than 8 deep"));
    policy(&json(MAXIMUM_SECRET_POLICY_DEPTH - 5));
    assert!(refusal(&json(MAXIMUM_SECRET_POLICY_DEPTH - 4)).contains("nested more than 8 deep"));
    refusal(&json(50_000));
    refusal(&hcl(50_000));
    refusal(&format!("path \"a\" {{ comment = {}1 }}", "-".repeat(100_000)));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,200}") {
        let _ = Policy::parse("test", &text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse("test", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_is_almost_a_policy_is_read_or_refused(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "path ", "\"a/*\"", "\"{{identity.entity.id}}\"", "{", "}", "[", "]", "=", ",", ":", "\n", "\"", "\\",
                "$", "-", ".", "1", "capabilities", "\"read\"", "policy", "#", "/*", "*/", "null", "true", "for", "if",
            ]),
            0..40,
        ),
    ) {
        let _ = Policy::parse("test", &pieces.concat());
    }
}
