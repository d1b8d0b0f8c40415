//! The keys of the namespace: how they are written and read. The table is in [`super`].
//!
//! Names have no control characters, so a zero byte ends a name, and a range of keys under a name ends at the byte one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::Namespace;
use crate::state::command::Keys;

const NODES: u8 = b'n';
const FENCES: u8 = b'f';
const CHECK: u8 = b'c';
/// Before [`INSTANCE`], so that a node and its own checks are one range.
const STATE: u8 = b'h';
const INSTANCE: u8 = b'i';
/// Ends a name.
const END: u8 = 0;
/// The byte after [`END`]: where everything under a name ends.
const AFTER_END: u8 = 1;

/// What a key is about. Names of nodes are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key<'key> {
    /// The node of a name.
    Node(&'key str),
    /// What a check is.
    Check(Owner<'key>, &'key str),
    /// How a check is.
    State(Owner<'key>, &'key str),
    /// An instance, by node and id.
    Instance(&'key str, &'key str),
    /// The last deregistration of those that share a number.
    Fence,
}

/// Whose a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner<'key> {
    /// The node.
    pub node: &'key str,
    /// The id of the instance on it; none: the node itself.
    pub instance: Option<&'key str>,
}

impl<'key> Owner<'key> {
    /// A node itself.
    pub fn node(node: &'key str) -> Self {
        Self { node, instance: None }
    }

    /// An instance on a node.
    pub fn instance(node: &'key str, id: &'key str) -> Self {
        Self {
            node,
            instance: Some(id),
        }
    }

    /// For people.
    pub fn shown(self) -> String {
        match self.instance {
            Some(id) => format!("instance {id:?} on node {:?}", self.node),
            None => format!("node {:?}", self.node),
        }
    }

    fn push(self, key: &mut BytesMut) {
        key.put_u8(NODES);
        push_folded(key, self.node);
        key.put_u8(END);
        if let Some(id) = self.instance {
            key.put_u8(INSTANCE);
            key.put_slice(id.as_bytes());
            key.put_u8(END);
        }
    }

    /// The key of the node or the instance.
    pub fn key(self) -> Bytes {
        let mut key = BytesMut::new();
        self.push(&mut key);
        key.freeze()
    }

    /// The key of what a check of it is.
    pub fn check(self, check: &str) -> Bytes {
        self.under(CHECK, check)
    }

    /// The key of how a check of it is.
    pub fn state(self, check: &str) -> Bytes {
        self.under(STATE, check)
    }

    fn under(self, kind: u8, check: &str) -> Bytes {
        let mut key = BytesMut::new();
        self.push(&mut key);
        key.put_u8(kind);
        key.put_slice(check.as_bytes());
        key.freeze()
    }

    /// It and everything under it: of a node, with all its instances.
    pub fn everything(self) -> Keys {
        let key = self.key();
        let mut end = BytesMut::from(&*key);
        if let Some(last) = end.last_mut() {
            *last = AFTER_END;
        }
        range(key, end.freeze())
    }

    /// It and its own checks: of a node, without its instances.
    pub fn own(self) -> Keys {
        if self.instance.is_some() {
            return self.everything();
        }
        let key = self.key();
        let mut end = BytesMut::from(&*key);
        end.put_u8(INSTANCE);
        range(key, end.freeze())
    }
}

/// The key of what was deregistered last among those that share its number: of an instance, or of a whole node.
pub(super) fn fence(owner: Owner<'_>) -> Bytes {
    let number = crc32c::crc32c(&owner.key());
    // The lower half: so many fences there are at most.
    let [_, _, high, low] = number.to_be_bytes();
    Bytes::copy_from_slice(&[FENCES, high, low])
}

/// One key.
pub(super) fn single(key: Bytes) -> Keys {
    range(key, Bytes::new())
}

/// All keys of the namespace.
pub(super) fn all() -> Keys {
    const OPEN_END: &[u8] = &[0];
    range(Bytes::from_static(&[0]), Bytes::from_static(OPEN_END))
}

fn range(key: Bytes, end: Bytes) -> Keys {
    Keys {
        namespace: Namespace::SERVICES,
        key,
        end,
    }
}

/// The name under which services and nodes are compared.
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn push_folded(key: &mut BytesMut, name: &str) {
    key.extend(name.bytes().map(|byte| byte.to_ascii_lowercase()));
}

/// Reads a key; none if it is not one of these.
pub(super) fn parse(key: &[u8]) -> Option<Key<'_>> {
    let (kind, rest) = key.split_first()?;
    match *kind {
        FENCES => Some(Key::Fence),
        NODES => {
            let (node, rest) = name(rest)?;
            match rest.split_first() {
                None => Some(Key::Node(node)),
                Some((&INSTANCE, rest)) => {
                    let (id, rest) = name(rest)?;
                    match rest.is_empty() {
                        true => Some(Key::Instance(node, id)),
                        false => check(Owner::instance(node, id), rest),
                    }
                }
                Some(_) => check(Owner::node(node), rest),
            }
        }
        _ => None,
    }
}

/// A name and what comes after its end.
fn name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == END)?;
    let (name, rest) = bytes.split_at_checked(end)?;
    Some((std::str::from_utf8(name).ok()?, rest.get(1..)?))
}

fn check<'key>(owner: Owner<'key>, rest: &'key [u8]) -> Option<Key<'key>> {
    let (kind, id) = rest.split_first()?;
    let id = std::str::from_utf8(id).ok()?;
    match *kind {
        CHECK => Some(Key::Check(owner, id)),
        STATE => Some(Key::State(owner, id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(keys: &Keys, key: &Bytes) -> bool {
        keys.key <= *key && *key < keys.end
    }

    #[test]
    fn what_is_written_is_read() {
        let owners = [Owner::node("n1"), Owner::instance("n1", "web:1 /ü")];
        for owner in owners {
            assert_eq!(parse(&owner.check("c")), Some(Key::Check(owner, "c")));
            assert_eq!(parse(&owner.state("c")), Some(Key::State(owner, "c")));
            assert_eq!(parse(&fence(owner)), Some(Key::Fence));
        }
        assert_eq!(parse(&owners[0].key()), Some(Key::Node("n1")));
        assert_eq!(parse(&owners[1].key()), Some(Key::Instance("n1", "web:1 /ü")));
        for other in [&b""[..], b"x", b"n", b"nn1", b"nn1\0x", b"nn1\0iweb", b"n\xff\0"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_name_of_a_node_has_no_case() {
        assert_eq!(Owner::node("N1").key(), Owner::node("n1").key());
        assert_ne!(Owner::instance("n1", "A").key(), Owner::instance("n1", "a").key());
    }

    #[test]
    fn a_range_holds_what_is_under_a_name_and_nothing_of_its_neighbours() {
        let (node, instance) = (Owner::node("n"), Owner::instance("n", "web"));
        let of_node = [node.key(), node.check("c"), node.state("c")];
        let of_instance = [instance.key(), instance.check("c"), instance.state("c")];
        let others = [
            Owner::node("n1").key(),
            Owner::node("m").state("z"),
            Owner::instance("n1", "web").key(),
        ];
        let neighbour = Owner::instance("n", "web1").key();
        for key in &of_node {
            assert!(holds(&node.own(), key) && holds(&node.everything(), key));
            assert!(!holds(&instance.everything(), key));
        }
        for key in &of_instance {
            assert!(holds(&node.everything(), key) && holds(&instance.everything(), key));
            assert!(!holds(&node.own(), key));
        }
        assert!(holds(&node.everything(), &neighbour) && !holds(&instance.everything(), &neighbour));
        for key in &others {
            assert!(!holds(&node.everything(), key), "{key:?}");
        }
    }
}
