//! Secrets by path: [`KeyValue`] keeps one value for each, [`Versioned`] the newest versions of it.
//!
//! | module | does |
//! |---|---|
//! | `objects` | objects of JSON below a directory: what `KeyValue` and the cubbyhole are made of |
//! | [`plain`] | version 1 of the engine |
//! | [`versioned`] | version 2 of the engine |
//!
//! Values are stored and answered as the client wrote them, every number in its own form. Each engine has directories of its
//! own, so that a mount whose version is changed never takes a record of the one for a record of the other.
//!
//! Never looks into a value, but for the `ttl` that version 1 repeats as advice, and for patches and names.

pub(super) mod objects;
pub mod plain;
#[cfg(test)]
pub(super) mod tests;
pub mod versioned;

pub use plain::KeyValue;
pub use versioned::Versioned;

use super::Fault;
use crate::base::limits::MAXIMUM_SECRET_VALUE_BYTES;

/// Refuses a value of too many bytes.
fn check_size(bytes: usize) -> Result<(), Fault> {
    if bytes > MAXIMUM_SECRET_VALUE_BYTES {
        return Err(Fault::Invalid(format!(
            "the secret has {bytes} bytes as JSON; the most is {MAXIMUM_SECRET_VALUE_BYTES}"
        )));
    }
    Ok(())
}
