//! Ids as newtypes, so that a lease id is never passed where a revision is meant.
//!
//! Never allocates an id: whoever proposes a command draws it, before the proposal (see [`super::clock`]).

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$documentation:meta])* $name:ident, $inner:ty, $format:literal) => {
        $(#[$documentation])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, $format, self.0)
            }
        }
    };
}

id!(
    /// A revision of the whole store: one more for each applied transaction that changed something. A fresh store is
    /// at revision 1; 0 stands for "none" on the wire (etcd v3).
    Revision, i64, "{}"
);
id!(
    /// The id of a lease; 0 stands for "no lease". Shown in hexadecimal, as etcdctl does.
    LeaseId, i64, "{:016x}"
);
id!(
    /// The id of a member of the cluster, stable for the life of the member. Shown in hexadecimal, as etcd does.
    MemberId, u64, "{:x}"
);
id!(
    /// The id of the cluster, the same on all members for the life of the cluster.
    ClusterId, u64, "{:x}"
);

impl LeaseId {
    /// The wire's way to say "not attached to a lease".
    pub const NONE: Self = Self(0);

    /// Whether a key with this lease id is attached to no lease.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// A namespace of keys. All namespaces share one revision counter, one log, one watch hub and one set of leases.
///
/// The number is part of the storage key: a number once given never changes its meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Namespace(pub u8);

impl Namespace {
    /// What an etcd client sees. Nothing else ever shows up in it.
    pub const DEFAULT: Self = Self(1);
    /// Service instances.
    pub const SERVICES: Self = Self(2);
    /// Ciphertext of secrets.
    pub const SECRETS: Self = Self(3);
    /// What Consul's interface keeps beside services: keys and values, sessions, prepared queries, rights.
    pub const CONSUL: Self = Self(4);
}
