//! The keys that were written last: their headers, and their values if they are small. A write of such a key need not ask
//! the engine for its header, and a read of it need not ask the engine at all.
//!
//! A table of fixed size: a key has one place, and whoever is written last keeps it. The machine's thread writes, anybody
//! reads. It is never behind a published view: it learns of every change before the view that holds it is published.
//! So what it says of a key and is not newer than a view is what the view says, and it never changes an outcome, only
//! what it costs.
//!
//! Never knows that a key is absent.

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::format::Head;
use crate::base::{Namespace, Revision};

/// Places of the table; a power of two. With keys of up to 64 bytes they take 11 MiB.
const PLACES: usize = 1 << 16;
/// Longer keys are not remembered: the keys of the table take 32 MiB at most.
const MAXIMUM_KEY_BYTES: usize = 512;
/// Longer values are not remembered: the values of the table take 32 MiB at most.
const MAXIMUM_VALUE_BYTES: usize = 512;
/// Keys of up to so many bytes lie in the table itself.
const INLINE_KEY_BYTES: usize = 64;

struct Place {
    namespace: Namespace,
    key: SmallVec<[u8; INLINE_KEY_BYTES]>,
    newest: Newest,
}

impl Place {
    fn holds(&self, namespace: Namespace, key: &[u8]) -> bool {
        self.namespace == namespace && self.key.as_slice() == key
    }
}

/// The newest version of a live key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its header.
    pub head: Head,
    /// Its value, none if it is too long to be remembered.
    pub value: Option<Bytes>,
}

/// See the module.
pub struct RecentKeys {
    places: Box<[Mutex<Option<Place>>]>,
}

impl RecentKeys {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::with_places(PLACES)
    }

    /// Knows nothing, and so many keys later.
    pub(super) fn with_places(places: usize) -> Self {
        Self {
            places: std::iter::repeat_with(Mutex::default).take(places).collect(),
        }
    }

    fn place(&self, namespace: Namespace, key: &[u8]) -> Option<&Mutex<Option<Place>>> {
        let hash = crc32c::crc32c_append(u32::from(namespace.0), key);
        let hash = usize::try_from(hash).unwrap_or_default();
        self.places.get(hash.checked_rem(self.places.len())?)
    }

    /// The newest version of a key, if it is remembered and not newer than `revision`.
    #[must_use]
    pub fn newest(&self, namespace: Namespace, key: &[u8], revision: Revision) -> Option<Newest> {
        let place = self.place(namespace, key)?.lock();
        let place = place.as_ref().filter(|place| place.holds(namespace, key))?;
        (place.newest.head.modification_revision <= revision).then(|| place.newest.clone())
    }

    /// A key was written.
    pub fn put(&self, namespace: Namespace, key: &[u8], head: Head, value: &[u8]) {
        if key.len() > MAXIMUM_KEY_BYTES {
            return;
        }
        // A copy: what it is a part of would stay in memory with it.
        let value = (value.len() <= MAXIMUM_VALUE_BYTES).then(|| Bytes::copy_from_slice(value));
        if let Some(place) = self.place(namespace, key) {
            *place.lock() = Some(Place {
                namespace,
                key: SmallVec::from_slice(key),
                newest: Newest { head, value },
            });
        }
    }

    /// A key was removed.
    pub fn remove(&self, namespace: Namespace, key: &[u8]) {
        if let Some(place) = self.place(namespace, key) {
            place.lock().take_if(|place| place.holds(namespace, key));
        }
    }

    /// The state is about to be replaced by another one.
    pub fn forget(&self) {
        for place in &self.places {
            *place.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Revision = Revision(i64::MAX);

    fn newest(revision: i64) -> Newest {
        Newest {
            head: Head {
                modification_revision: Revision(revision),
                ..Head::default()
            },
            value: Some(Bytes::from(revision.to_string())),
        }
    }

    fn put(recent: &RecentKeys, key: &[u8], revision: i64) {
        let newest = newest(revision);
        recent.put(Namespace::DEFAULT, key, newest.head, &newest.value.unwrap());
    }

    #[test]
    fn who_is_written_last_keeps_the_place_and_nobody_gets_what_is_of_another() {
        let namespace = Namespace::DEFAULT;
        let recent = RecentKeys::with_places(1);
        put(&recent, b"first", 1);
        assert_eq!(recent.newest(namespace, b"first", ANY), Some(newest(1)));
        assert_eq!(recent.newest(namespace, b"second", ANY), None);
        assert_eq!(recent.newest(Namespace(namespace.0 + 1), b"first", ANY), None);
        recent.remove(namespace, b"second");
        assert_eq!(
            recent.newest(namespace, b"first", ANY),
            Some(newest(1)),
            "it was not removed"
        );
        put(&recent, b"second", 2);
        assert_eq!(recent.newest(namespace, b"first", ANY), None);
        recent.remove(namespace, b"second");
        assert_eq!(recent.newest(namespace, b"second", ANY), None);
        put(&recent, b"first", 3);
        recent.forget();
        assert_eq!(recent.newest(namespace, b"first", ANY), None);
    }

    #[test]
    fn a_version_that_is_newer_than_the_view_is_not_told() {
        let recent = RecentKeys::new();
        put(&recent, b"key", 7);
        let at = |revision| recent.newest(Namespace::DEFAULT, b"key", Revision(revision));
        assert_eq!(at(6), None);
        assert_eq!(at(7), Some(newest(7)));
        assert_eq!(at(8), Some(newest(7)));
    }

    #[test]
    fn what_is_too_long_to_remember_is_asked_for_elsewhere() {
        let recent = RecentKeys::new();
        let long_key = vec![1; MAXIMUM_KEY_BYTES + 1];
        put(&recent, &long_key, 1);
        assert_eq!(recent.newest(Namespace::DEFAULT, &long_key, ANY), None);
        let long_value = vec![1; MAXIMUM_VALUE_BYTES + 1];
        recent.put(Namespace::DEFAULT, b"key", newest(2).head, &long_value);
        let remembered = recent.newest(Namespace::DEFAULT, b"key", ANY).unwrap();
        assert_eq!((remembered.head, remembered.value), (newest(2).head, None));
    }
}
