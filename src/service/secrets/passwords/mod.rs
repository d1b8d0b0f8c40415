//! Password policies: how passwords that are made for other systems have to look.
//!
//! ```text
//! length = 20
//! rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
//! rule "charset" { charset = "0123456789" min-chars = 1 }
//! ```
//!
//! A password is drawn from the characters of all rules, and drawn anew until it has of each rule as many as that one wants:
//! so each password that meets the rules is as likely as every other. Rules that hardly any password meets are refused when
//! they are written. Never keeps a password that it made.

mod generate;
mod parse;
#[cfg(test)]
mod tests;

use thiserror::Error;

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Characters of a password.
    length: usize,
    rules: Vec<Charset>,
    /// The characters of all rules, sorted, each once.
    characters: Vec<char>,
}

/// A rule: characters, and how many of a password are of them.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Charset {
    /// Sorted, each once.
    characters: Vec<char>,
    minimum: usize,
}

/// Why a policy cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("invalid password policy: {0}")]
pub struct PasswordPolicyError(String);

impl PasswordPolicyError {
    fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
