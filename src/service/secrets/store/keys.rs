//! Storage keys in the namespace of secrets.
//!
//! The first byte tells what a key is: 0 for the few that have to be found before anything can be decrypted, 1 for sealed
//! names. Never changes.

use bytes::Bytes;

use crate::base::Namespace;
use crate::service::secrets::barrier::names;
use crate::state::command::Keys;

/// The root key, as each seal wrapped it.
pub const SEALS: &[u8] = b"\x00seals";
/// How many shares there are, and how many are needed.
pub const SHARES: &[u8] = b"\x00shares";
/// The sealed keyring.
pub const KEYRING: &[u8] = b"\x00keyring";
/// Empty: written with each change of a table, so that its revision tells whether any has changed.
pub const TABLES: &[u8] = b"\x00tables";

/// The byte before sealed names.
const SEALED: u8 = 1;

/// The key of a sealed name.
#[must_use]
pub fn of_name(name: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(name.len() + 1);
    key.push(SEALED);
    key.extend_from_slice(name);
    Bytes::from(key)
}

/// The sealed name of a key; none: it is another kind of key.
#[must_use]
pub fn name_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[SEALED])
}

/// One key.
#[must_use]
pub fn single(key: impl Into<Bytes>) -> Keys {
    Keys {
        namespace: Namespace::SECRETS,
        key: key.into(),
        end: Bytes::new(),
    }
}

/// All that lies below a directory, given by its sealed name.
#[must_use]
pub fn below(directory: &[u8]) -> Keys {
    let range = names::below(directory);
    let end = range
        .end
        .map_or_else(|| Bytes::from_static(&[SEALED + 1]), |end| of_name(&end));
    Keys {
        namespace: Namespace::SECRETS,
        key: of_name(&range.start),
        end,
    }
}

/// All sealed names.
#[must_use]
pub fn all_names() -> Keys {
    Keys {
        namespace: Namespace::SECRETS,
        key: Bytes::from_static(&[SEALED]),
        end: Bytes::from_static(&[SEALED + 1]),
    }
}
