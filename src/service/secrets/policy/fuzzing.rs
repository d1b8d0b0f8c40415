//! For fuzzing: documents, and what they decide of a path.

use serde_json::Map;

use super::{DEFAULT, Merged, Operation, Policy, Values, text};

/// A document, and behind the first zero a path and who asks. What a token may do is what it is told that it may.
pub fn secret_policies(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (document, asked) = text.split_once('\0').unwrap_or((&text, "a/b"));
    let Ok(policy) = Policy::parse("fuzz", document) else {
        return;
    };
    let values = Values::from_iter([("identity.entity.id", asked), ("identity.entity.name", "*")]);
    let merged = Merged::new([&policy, &policy], &values).expect("root is not among them");
    let capabilities = merged.capabilities(asked);
    assert!(!capabilities.is_empty());
    let listed = merged.decide(Operation::List, asked, &Map::new(), None);
    assert!(!listed.is_allowed() || capabilities.contains(&"list"));
}

/// Documents in both forms.
#[must_use]
pub fn secret_policy_seeds() -> Vec<Vec<u8>> {
    let hcl = "path \"a/+/{{identity.entity.id}}*\" {\n capabilities = [\"list\", \"sudo\"]\n \
               allowed_parameters = { x = [1, \"b*\"] }\n max_wrapping_ttl = \"1h\"\n}\0a/b/c";
    let json = "{\"path\": {\"a/*\": {\"policy\": \"write\", \"denied_parameters\": {\"*\": []}}}}\0a/b";
    let own = text(DEFAULT).unwrap_or_default();
    [hcl, json, own].map(|seed| seed.as_bytes().to_vec()).into()
}
