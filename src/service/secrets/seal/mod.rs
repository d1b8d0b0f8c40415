//! How the root key is kept while nobody holds it, and how a node gets it back.
//!
//! The root key is stored wrapped once by each [`SealKey`]: shares of people, a key file, an environment variable. Any one of
//! them opens it. One of them is always shares ([`WrappedKeys::wrap`]), so that losing what unseals by itself loses nothing.
//!
//! | module | does |
//! |---|---|
//! | [`shamir`] | shares of a key, any `threshold` of which give it back, in constant time |
//! | [`wrap`] | the seam that a seal implements, and the record of what all seals wrapped |
//! | [`kinds`] | the seals of this machine |
//! | [`attempt`] | one node collecting shares |
//!
//! Never stores a share or a key of a seal; never says which share of several is wrong.

pub mod attempt;
mod error;
mod field;
pub mod kinds;
pub mod shamir;
#[cfg(test)]
mod tests;
pub mod wrap;

pub use error::SealError;
pub use kinds::LocalSeal;
pub use shamir::Share;
pub use wrap::{SealKey, SealKind, WrappedKeys};
