//! Rights without a store, for tests of what asks for them.

use super::authorizer::Authorizer;
use super::rules;

/// What rules allow; what they say nothing about is denied.
///
/// # Panics
/// They cannot be read.
#[must_use]
pub fn authorizer(text: &str) -> Authorizer {
    let rules = rules::parse(text).expect("rules can be read");
    Authorizer::new("tester".into(), false, &rules)
}
