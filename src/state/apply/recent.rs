//! The headers of the keys that were written last, so that a write of such a key need not ask the engine for it.
//!
//! A table of fixed size: a key has one place, and whoever is written last keeps it. What it knows is always what the
//! state says, changes that are not written yet included, so it never changes an outcome, only what it costs.
//!
//! Never knows that a key is absent.

use smallvec::SmallVec;

use super::Head;
use crate::base::Namespace;

/// Places of the table; a power of two. With keys of 64 bytes it takes about 9 MiB.
const PLACES: usize = 1 << 16;
/// Longer keys are not remembered: the table stays below 45 MiB whatever the keys are.
const MAXIMUM_KEY_BYTES: usize = 512;
/// Keys of up to so many bytes lie in the table itself.
const INLINE_KEY_BYTES: usize = 64;

struct Place {
    namespace: Namespace,
    key: SmallVec<[u8; INLINE_KEY_BYTES]>,
    head: Head,
}

/// See the module.
pub struct RecentHeads {
    places: Vec<Option<Place>>,
}

impl RecentHeads {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
        }
    }

    /// The header of a key, if it is remembered.
    #[must_use]
    pub fn get(&self, namespace: Namespace, key: &[u8]) -> Option<Head> {
        let place = self.places.get(position(namespace, key))?.as_ref()?;
        (place.namespace == namespace && place.key.as_slice() == key).then_some(place.head)
    }

    /// A key was written.
    pub fn put(&mut self, namespace: Namespace, key: &[u8], head: Head) {
        if key.len() > MAXIMUM_KEY_BYTES {
            return;
        }
        if let Some(place) = self.places.get_mut(position(namespace, key)) {
            *place = Some(Place {
                namespace,
                key: SmallVec::from_slice(key),
                head,
            });
        }
    }

    /// A key was removed.
    pub fn remove(&mut self, namespace: Namespace, key: &[u8]) {
        if self.get(namespace, key).is_some()
            && let Some(place) = self.places.get_mut(position(namespace, key))
        {
            *place = None;
        }
    }

    /// The state was replaced by another one.
    pub fn forget(&mut self) {
        self.places.fill_with(|| None);
    }
}

fn position(namespace: Namespace, key: &[u8]) -> usize {
    let hash = crc32c::crc32c_append(u32::from(namespace.0), key);
    usize::try_from(hash).unwrap_or_default() % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Revision;

    fn head(revision: i64) -> Head {
        Head {
            modification_revision: Revision(revision),
            ..Head::default()
        }
    }

    #[test]
    fn who_is_written_last_keeps_the_place_and_nobody_gets_the_header_of_another() {
        let namespace = Namespace::DEFAULT;
        let mut recent = RecentHeads::new();
        let first = b"0".to_vec();
        let place = position(namespace, &first);
        let shares = |number: &u64| position(namespace, number.to_string().as_bytes()) == place;
        let second = (1..).find(shares).unwrap().to_string().into_bytes();
        recent.put(namespace, &first, head(1));
        assert_eq!(recent.get(namespace, &first), Some(head(1)));
        assert_eq!(recent.get(namespace, &second), None);
        assert_eq!(recent.get(Namespace(namespace.0 + 1), &first), None);
        recent.remove(namespace, &second);
        assert_eq!(recent.get(namespace, &first), Some(head(1)), "it was not removed");
        recent.put(namespace, &second, head(2));
        assert_eq!(recent.get(namespace, &first), None);
        recent.remove(namespace, &second);
        assert_eq!(recent.get(namespace, &second), None);
        recent.put(namespace, &first, head(3));
        recent.forget();
        assert_eq!(recent.get(namespace, &first), None);
    }

    #[test]
    fn a_key_that_is_too_long_to_remember_does_not_leave_the_header_of_another_in_its_name() {
        let mut recent = RecentHeads::new();
        let long = vec![1; MAXIMUM_KEY_BYTES + 1];
        recent.put(Namespace::DEFAULT, &long, head(1));
        assert_eq!(recent.get(Namespace::DEFAULT, &long), None);
    }
}
