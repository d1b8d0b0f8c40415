//! What stands between secrets and the store: everything that passes it is encrypted, and nothing comes back that was changed.
//!
//! | module | does |
//! |---|---|
//! | [`keyring`] | the data keys (terms), how often each was used, and the keys that never rotate; sealed by the root key |
//! | [`cipher`] | one record: AES-256-GCM, bound to the place and the version of what it is |
//! | [`names`] | storage keys in which the names of secrets cannot be read, in an order that lists directories |
//! | [`hashed`] | keyed hashes of what is looked up or recorded but never told: tokens, accessors, values in the audit |
//!
//! Encryption happens in the proposer, before the log: nonces and ciphertext travel in the command, and apply neither draws
//! nor decrypts. Never writes or reads the store itself; never names a key or a plaintext in an error.

pub mod cipher;
mod error;
pub mod hashed;
pub mod keyring;
pub mod names;
#[cfg(test)]
mod tests;

pub use error::{BarrierError, NameError};
