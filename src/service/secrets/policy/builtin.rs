//! The policies that every store has, and the names of policies.
//!
//! `root` allows everything and has no text; `response-wrapping` is what a wrapping token may do; neither can be changed.
//! `default` is what every token may do that does not refuse it; operators may change it, but not delete it.

use super::PolicyError;
use crate::base::limits::MAXIMUM_SECRET_POLICY_NAME_BYTES;

/// The policy that allows everything.
pub const ROOT: &str = "root";
/// The policy that tokens have unless they refuse it.
pub const DEFAULT: &str = "default";
/// The policy of wrapping tokens.
pub const RESPONSE_WRAPPING: &str = "response-wrapping";

const DEFAULT_TEXT: &str = r#"# What every token may do, unless it was made without this policy.

# Look at itself, live longer, and end.
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "auth/token/revoke-self" { capabilities = ["update"] }

# Ask what it may do.
path "sys/capabilities-self" { capabilities = ["update"] }

# Keep things that no other token sees.
path "cubbyhole/*" { capabilities = ["create", "read", "update", "delete", "list"] }

# Hand on an answer, and take one.
path "sys/wrapping/wrap" { capabilities = ["update"] }
path "sys/wrapping/lookup" { capabilities = ["update"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }

# Look at a lease and prolong it, if it knows its id.
path "sys/leases/lookup" { capabilities = ["update"] }
path "sys/leases/renew" { capabilities = ["update"] }
path "sys/renew" { capabilities = ["update"] }

# Compute a hash.
path "sys/tools/hash" { capabilities = ["update"] }
path "sys/tools/hash/*" { capabilities = ["update"] }

# Look at who it belongs to.
path "identity/entity/id/{{identity.entity.id}}" { capabilities = ["read"] }
path "identity/entity/name/{{identity.entity.name}}" { capabilities = ["read"] }
"#;

const RESPONSE_WRAPPING_TEXT: &str = r#"# What a token may do that an answer is wrapped in: have it, once.
path "cubbyhole/response" { capabilities = ["read"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"#;

/// The text that a store begins with for a policy; none: it has none of that name. That of `root` is empty.
#[must_use]
pub fn text(name: &str) -> Option<&'static str> {
    match name {
        ROOT => Some(""),
        DEFAULT => Some(DEFAULT_TEXT),
        RESPONSE_WRAPPING => Some(RESPONSE_WRAPPING_TEXT),
        _ => None,
    }
}

/// A name as policies are kept under: in lower case. Lists of policies are written with commas, so a name has none.
///
/// # Errors
/// No policy can have that name.
pub fn name(given: &str) -> Result<String, PolicyError> {
    let reason = if given.is_empty() {
        "it is empty"
    } else if given.len() > MAXIMUM_SECRET_POLICY_NAME_BYTES {
        "it is too long"
    } else if given.trim() != given {
        "it begins or ends with a space"
    } else if given.contains(|character: char| character.is_control() || character == ',') {
        "it has a comma or a control character"
    } else {
        return Ok(given.to_lowercase());
    };
    Err(PolicyError::Name {
        name: given.chars().take(MAXIMUM_SECRET_POLICY_NAME_BYTES).collect(),
        reason,
    })
}

/// Whether the policy of that name may be written.
///
/// # Errors
/// It is part of the store.
pub fn check_writable(name: &str) -> Result<(), PolicyError> {
    check(name, "update", &[ROOT, RESPONSE_WRAPPING])
}

/// Whether the policy of that name may be deleted.
///
/// # Errors
/// It is part of the store.
pub fn check_deletable(name: &str) -> Result<(), PolicyError> {
    check(name, "delete", &[ROOT, RESPONSE_WRAPPING, DEFAULT])
}

fn check(name: &str, action: &'static str, kept: &[&str]) -> Result<(), PolicyError> {
    if kept.contains(&name) {
        return Err(PolicyError::BuiltIn {
            name: name.to_owned(),
            action,
        });
    }
    Ok(())
}
