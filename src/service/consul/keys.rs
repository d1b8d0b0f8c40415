//! The keys of the namespace: how they are written and read.
//!
//! | key | record | lease |
//! |---|---|---|
//! | `k` key | flags and value of a key | |
//! | `o` key | how often it was locked, and by which session it is | |
//! | `d` key | nothing: it may not be locked again yet | of the lock-delay |
//! | `s` session | a session | |
//! | `a` session | nothing: the session is alive | of twice its time to live |
//! | `h` session key | nothing: the session has locked the key, and may still hold it | |
//! | `e` number | an event | |
//!
//! What changes when a lock is taken or let go is apart from the value, so that the end of a session that holds many keys
//! rewrites no value. A key's revision is the newer one of the two. Letters that are not in the table belong to others
//! (prepared queries, rights).

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use crate::base::Namespace;
use crate::state::command::Keys;

/// What a key is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Flags and value of a key.
    Value,
    /// Its lock.
    Lock,
    /// The delay after a lock was lost.
    Delay,
    /// A session.
    Session,
    /// That a session is alive.
    Alive,
    /// What a session has locked.
    Held,
    /// An event.
    Event,
}

impl Room {
    fn letter(self) -> u8 {
        match self {
            Self::Value => b'k',
            Self::Lock => b'o',
            Self::Delay => b'd',
            Self::Session => b's',
            Self::Alive => b'a',
            Self::Held => b'h',
            Self::Event => b'e',
        }
    }

    /// The key of `name` in this room.
    pub fn key(self, name: &[u8]) -> Bytes {
        let mut key = BytesMut::with_capacity(name.len().saturating_add(1));
        key.put_u8(self.letter());
        key.put_slice(name);
        key.freeze()
    }

    /// The name of which `key` is the key in this room.
    pub fn name(self, key: &Bytes) -> Option<Bytes> {
        (key.first() == Some(&self.letter())).then(|| key.slice(1..))
    }

    /// The keys of all names that begin with `prefix`.
    pub fn prefix(self, prefix: &[u8]) -> Keys {
        let key = self.key(prefix);
        let end = after(&key);
        keys(key, end)
    }

    /// The key of one name.
    pub fn single(self, name: &[u8]) -> Keys {
        keys(self.key(name), Bytes::new())
    }
}

/// The key of what a session has locked.
pub(super) fn held(session: Uuid, name: &[u8]) -> Bytes {
    Room::Held.key(&[session.as_bytes().as_slice(), name].concat())
}

/// Keys of the namespace.
pub(super) fn keys(key: Bytes, end: Bytes) -> Keys {
    Keys {
        namespace: Namespace::CONSUL,
        key,
        end,
    }
}

/// All keys of the namespace.
pub(super) fn all() -> Keys {
    keys(Bytes::from_static(&[0]), Bytes::from_static(&[0]))
}

/// The first key after all that begin with `prefix`, which never is all 0xff: it begins with a letter.
fn after(prefix: &Bytes) -> Bytes {
    let mut end = BytesMut::from(prefix.as_ref());
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last = last.saturating_add(1);
            break;
        }
        end.truncate(end.len().saturating_sub(1));
    }
    end.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_what_begins_with_it_and_nothing_else() {
        for prefix in [&b""[..], b"a", b"a/", b"a\xff", b"\xff\xff"] {
            let range = Room::Value.prefix(prefix);
            let holds = |key: &Bytes| range.key <= *key && *key < range.end;
            for more in [&b""[..], b"\0", b"z", b"\xff\xff"] {
                assert!(holds(&Room::Value.key(&[prefix, more].concat())));
                assert!(!holds(&Room::Lock.key(&[prefix, more].concat())));
            }
            assert!(prefix.is_empty() || !holds(&Room::Value.key(b"Z")));
        }
    }

    #[test]
    fn a_name_is_read_from_its_own_room_only() {
        let key = Room::Value.key(b"a\0b");
        assert_eq!(Room::Value.name(&key), Some(Bytes::from_static(b"a\0b")));
        assert_eq!(Room::Lock.name(&key), None);
        assert_eq!(Room::Lock.name(&Bytes::new()), None);
    }
}
