//! The records of the secret store: where they are, how they are read and how they are changed.
//!
//! | module | does |
//! |---|---|
//! | [`keys`] | the storage keys that are not sealed names, and the mark before those that are |
//! | [`unsealed`] | what a node has while it is not sealed: keyring, names, hashes, what was read before |
//! | [`draft`] | what a request reads and writes, as one transaction |
//! | [`commit`] | that transaction, encrypted and proposed |
//! | [`room`] | the directory of one engine |
//!
//! All records are in the namespace of secrets, which no other front door reaches. Their versions, which the store counts, are
//! what they are bound to: a record is encrypted for the version that it is going to have, and the transaction that writes it
//! holds only if it gets that one.
//!
//! Never proposes what is not encrypted, but for the wrapped root key and how many shares there are.

pub mod commit;
pub mod draft;
pub mod keys;
pub mod room;
pub mod unsealed;

pub use draft::Draft;
pub use room::Room;
pub use unsealed::Unsealed;
