//! For fuzzing: the rules of policies, in HCL and in JSON.

use super::rules;

/// The rules of a policy.
pub fn policies(bytes: &[u8]) {
    let _ = rules::parse(&String::from_utf8_lossy(bytes));
}

/// Rules in both languages.
#[must_use]
pub fn policy_seeds() -> Vec<Vec<u8>> {
    [
        r#"key_prefix "a/" { policy = "read" } service "web" { policy = "write" intentions = "read" } operator = "read""#,
        r#"{"key_prefix":{"a/":{"policy":"list"}},"node_prefix":{"":{"policy":"deny"}},"acl":"write"}"#,
        "# a comment\nagent_prefix \"\" { policy = \"read\" } // another\nsession \"n\" { policy = \"write\" }\nmesh = \"read\"",
    ]
    .map(|rules| rules.as_bytes().to_vec())
    .to_vec()
}
