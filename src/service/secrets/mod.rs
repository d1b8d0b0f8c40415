//! Secrets: what a token may do with them.

pub mod parameters;
pub mod policy;
