//! What is true of the seals.

mod attempt;
mod shamir;
mod wrap;

use super::{LocalSeal, Share};
use crate::service::secrets::memory::Key;

/// A key of the bytes `start`, `start + 1` and so on.
fn key(start: u8) -> Key {
    Key::copied_from(&std::array::from_fn(|number| {
        start.wrapping_add(u8::try_from(number).unwrap())
    }))
}

/// The same share once more, as two people would give it.
fn again(share: &Share) -> Share {
    Share::new(share.expose()).unwrap()
}

/// The seal of shares that the tests call `people`.
fn people(start: u8) -> LocalSeal {
    LocalSeal::shares("people", key(start))
}
