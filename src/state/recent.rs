//! The keys that were written or read last: their headers, and their values if they are small; or that they are not there. A
//! write of such a key need not ask the engine for its header, and a read of it need not ask the engine at all.
//!
//! A table of fixed size: a key has one place, and whoever is written or read last keeps it. The machine's thread writes;
//! anybody reads, and leaves what the engine had to be asked for. It is never behind a published view: it learns of every
//! change before the view that holds it is published. So what it says of a key and is not newer than a view is what the
//! view says. Each place knows when any of its keys last changed: what was read in a view that is older is not taken, as it
//! may be the state before that change. So the table never changes an outcome, only what it costs.
//!
//! Never outlives the state that it is of: another state has another table.

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

#[derive(Default)]
struct Place {
    /// When a key that has this place was last written or removed.
    changed: Revision,
    entry: Option<Entry>,
}

struct Entry {
    namespace: Namespace,
    key: SmallVec<[u8; INLINE_KEY_BYTES]>,
    known: Known,
}

impl Entry {
    fn is_of(&self, namespace: Namespace, key: &[u8]) -> bool {
        self.namespace == namespace && self.key.as_slice() == key
    }
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is there.
    Newest(Newest),
    /// It is not.
    Absent,
}

/// The newest version of a live key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its header.
    pub head: Head,
    /// Its value; none: it is too long to be remembered, or only the header was asked for.
    pub value: Option<Bytes>,
}

/// See the module.
pub struct RecentKeys {
    places: Box<[Mutex<Place>]>,
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

    /// A table as large that knows nothing, for another state.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::with_places(self.places.len())
    }

    fn place(&self, namespace: Namespace, key: &[u8]) -> Option<&Mutex<Place>> {
        if key.len() > MAXIMUM_KEY_BYTES {
            return None;
        }
        let hash = crc32c::crc32c_append(u32::from(namespace.0), key);
        let hash = usize::try_from(hash).unwrap_or_default();
        self.places.get(hash.checked_rem(self.places.len())?)
    }

    /// What is known of a key, if it is good for a view whose newest revision is `revision`.
    #[must_use]
    pub fn known(&self, namespace: Namespace, key: &[u8], revision: Revision) -> Option<Known> {
        let place = self.place(namespace, key)?.lock();
        let entry = place.entry.as_ref().filter(|entry| entry.is_of(namespace, key))?;
        let since = match &entry.known {
            Known::Newest(newest) => newest.head.modification_revision,
            Known::Absent => place.changed,
        };
        (since <= revision).then(|| entry.known.clone())
    }

    /// A key was written.
    pub fn put(&self, namespace: Namespace, key: &[u8], head: Head, value: &[u8]) {
        if let Some(place) = self.place(namespace, key) {
            *place.lock() = Place {
                changed: head.modification_revision,
                entry: Some(entry(namespace, key, Some((head, Some(value))))),
            };
        }
    }

    /// A key was removed, at `revision`.
    pub fn remove(&self, namespace: Namespace, key: &[u8], revision: Revision) {
        if let Some(place) = self.place(namespace, key) {
            *place.lock() = Place {
                changed: revision,
                entry: Some(entry(namespace, key, None)),
            };
        }
    }

    /// A key was read in a view whose newest revision is `revision`: its header and, if that was asked for, its value; or
    /// none, where it is not there.
    pub fn learn(
        &self,
        namespace: Namespace,
        key: &[u8],
        found: Option<(Head, Option<&[u8]>)>,
        revision: Revision,
    ) {
        let Some(place) = self.place(namespace, key) else {
            return;
        };
        let entry = entry(namespace, key, found);
        let mut place = place.lock();
        if place.changed <= revision {
            place.entry = Some(entry);
        }
    }
}

fn entry(namespace: Namespace, key: &[u8], found: Option<(Head, Option<&[u8]>)>) -> Entry {
    let known = found.map_or(Known::Absent, |(head, value)| {
        let value = value.filter(|value| value.len() <= MAXIMUM_VALUE_BYTES);
        Known::Newest(Newest {
            head,
            // A copy: what it is a part of would stay in memory with it.
            value: value.map(Bytes::copy_from_slice),
        })
    });
    Entry {
        namespace,
        key: SmallVec::from_slice(key),
        known,
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

    fn learn(recent: &RecentKeys, key: &[u8], of: i64, read_at: i64) {
        let newest = newest(of);
        let found = Some((newest.head, newest.value.as_deref()));
        recent.learn(Namespace::DEFAULT, key, found, Revision(read_at));
    }

    fn known(recent: &RecentKeys, key: &[u8], revision: i64) -> Option<Known> {
        recent.known(Namespace::DEFAULT, key, Revision(revision))
    }

    #[test]
    fn who_is_written_last_keeps_the_place_and_nobody_gets_what_is_of_another() {
        let namespace = Namespace::DEFAULT;
        let recent = RecentKeys::with_places(1);
        put(&recent, b"first", 1);
        assert_eq!(
            recent.known(namespace, b"first", ANY),
            Some(Known::Newest(newest(1)))
        );
        assert_eq!(recent.known(namespace, b"second", ANY), None);
        assert_eq!(recent.known(Namespace(namespace.0 + 1), b"first", ANY), None);
        put(&recent, b"second", 2);
        assert_eq!(recent.known(namespace, b"first", ANY), None);
        recent.remove(namespace, b"second", Revision(3));
        assert_eq!(recent.known(namespace, b"second", ANY), Some(Known::Absent));
        assert_eq!(recent.known(namespace, b"first", ANY), None);
        assert_eq!(recent.anew().known(namespace, b"second", ANY), None);
    }

    #[test]
    fn what_is_newer_than_the_view_is_not_told() {
        let recent = RecentKeys::new();
        put(&recent, b"key", 7);
        assert_eq!(known(&recent, b"key", 6), None);
        assert_eq!(known(&recent, b"key", 7), Some(Known::Newest(newest(7))));
        assert_eq!(known(&recent, b"key", 8), Some(Known::Newest(newest(7))));
        recent.remove(Namespace::DEFAULT, b"key", Revision(9));
        assert_eq!(known(&recent, b"key", 8), None);
        assert_eq!(known(&recent, b"key", 9), Some(Known::Absent));
    }

    #[test]
    fn what_was_read_before_the_last_change_of_a_place_is_not_taken() {
        let recent = RecentKeys::with_places(1);
        put(&recent, b"key", 7);
        learn(&recent, b"key", 3, 6);
        assert_eq!(known(&recent, b"key", 7), Some(Known::Newest(newest(7))));
        // The place is that of the other key too: nobody knows which of them changed.
        learn(&recent, b"other", 3, 6);
        assert_eq!(known(&recent, b"other", 7), None);
        recent.remove(Namespace::DEFAULT, b"key", Revision(8));
        learn(&recent, b"key", 7, 7);
        assert_eq!(known(&recent, b"key", 8), Some(Known::Absent));
        put(&recent, b"key", 9);
        recent.learn(Namespace::DEFAULT, b"key", None, Revision(8));
        assert_eq!(known(&recent, b"key", 9), Some(Known::Newest(newest(9))));
    }

    #[test]
    fn what_was_read_is_told_to_views_that_are_as_new_as_the_change_it_is_of() {
        let recent = RecentKeys::with_places(1);
        put(&recent, b"other", 5);
        learn(&recent, b"key", 3, 6);
        assert_eq!(known(&recent, b"key", 2), None);
        assert_eq!(known(&recent, b"key", 3), Some(Known::Newest(newest(3))));
        recent.learn(Namespace::DEFAULT, b"nothing", None, Revision(6));
        assert_eq!(known(&recent, b"nothing", 4), None, "it may have been there then");
        assert_eq!(known(&recent, b"nothing", 5), Some(Known::Absent));
    }

    #[test]
    fn what_is_too_long_to_remember_is_asked_for_elsewhere() {
        let recent = RecentKeys::new();
        let long_key = vec![1; MAXIMUM_KEY_BYTES + 1];
        put(&recent, &long_key, 1);
        learn(&recent, &long_key, 1, 1);
        assert_eq!(recent.known(Namespace::DEFAULT, &long_key, ANY), None);
        let long_value = vec![1; MAXIMUM_VALUE_BYTES + 1];
        recent.put(Namespace::DEFAULT, b"key", newest(2).head, &long_value);
        let remembered = Known::Newest(Newest {
            value: None,
            ..newest(2)
        });
        assert_eq!(recent.known(Namespace::DEFAULT, b"key", ANY), Some(remembered));
    }
}
