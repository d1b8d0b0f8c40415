//! Secrets: what a token may do with them, and how requests say what they want.

#[cfg(fuzzing)]
pub mod fuzzing;
pub mod parameters;
pub mod path;
pub mod policy;
