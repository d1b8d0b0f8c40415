//! What is damaged or made up takes no more memory and stack than its bytes can justify.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use crate::base::MemberId;
use crate::state::auth::Author;
use crate::state::bounded;
use crate::state::command::{Command, Operation, Proposal, Txn};
use crate::state::format;

fn proposal(command: Command) -> Proposal {
    Proposal {
        origin: MemberId(1),
        sequence: 1,
        command,
    }
}

/// Transactions within each other, so many.
fn nested(depth: usize) -> Proposal {
    let txn = (0..depth).fold(Txn::default(), |inner, _| Txn {
        success: vec![Operation::Txn(inner)],
        ..Txn::default()
    });
    proposal(Command::Txn(txn).by_node())
}

#[test]
fn a_transaction_is_read_as_deep_as_a_client_can_send_one_and_no_deeper_than_the_stack_allows() {
    let deepest = nested(50);
    let encoded = format::encode_proposal(&deepest).unwrap();
    assert_eq!(format::decode_proposals(&encoded).unwrap(), [deepest]);
    let encoded = format::encode_proposal(&nested(100)).unwrap();
    let error = format::decode_proposals(&encoded).unwrap_err().to_string();
    assert!(error.contains("nested deeper than 64 times"), "{error}");
}

#[test]
fn bytes_that_open_one_value_after_the_other_without_end_are_an_error() {
    // `By` the node, for ever; and a transaction whose first operation is a transaction, for ever.
    for (start, step) in [(&[1, 1, 1][..], &[9, 0][..]), (&[1, 1, 1, 2], &[0, 1, 3])] {
        let endless = [start, &step.repeat(1_000_000)].concat();
        let error = format::decode_proposals(&Bytes::from(endless)).unwrap_err();
        assert!(error.to_string().contains("nested deeper"), "{error}");
    }
    let by = |command| Command::By {
        author: Author::Node,
        command: Box::new(command),
    };
    let start = format::encode_proposal(&proposal(by(by(Command::Txn(Txn::default()))))).unwrap();
    assert_eq!(start[..], [1, 1, 1, 9, 0, 9, 0, 2, 0, 0, 0], "the bytes of above");
}

/// How a string of bytes, a text and a list come.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Borrowed(Vec<u8>),
    List { hint: Option<usize> },
}

struct Asking<const KIND: u8>;

impl<'de, const KIND: u8> Visitor<'de> for Asking<KIND> {
    type Value = Came;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what was asked for, borrowed")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Came, E> {
        Ok(Came::Borrowed(bytes.to_vec()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Came, E> {
        Ok(Came::Borrowed(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Came, A::Error> {
        Ok(Came::List {
            hint: items.size_hint(),
        })
    }
}

struct Asked<const KIND: u8>(Came);

impl<'de, const KIND: u8> Deserialize<'de> for Asked<KIND> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = Asking::<KIND>;
        let came = match KIND {
            0 => deserializer.deserialize_byte_buf(visitor),
            1 => deserializer.deserialize_string(visitor),
            _ => deserializer.deserialize_seq(visitor),
        };
        came.map(Self)
    }
}

/// What is borrowed is there; room that is made before looking may be for anything.
#[test]
fn nothing_is_made_room_for_by_its_claim_alone() {
    let configuration = bincode::config::standard();
    let (bytes, _) = bounded::decode::<Asked<0>>(b"\x02ab", configuration).unwrap();
    assert_eq!(bytes.0, Came::Borrowed(b"ab".to_vec()));
    let (text, _) = bounded::decode::<Asked<1>>(b"\x02ab", configuration).unwrap();
    assert_eq!(text.0, Came::Borrowed(b"ab".to_vec()));
    let claims_a_gigabyte = b"\xfc\0\0\0\x40";
    assert!(bounded::decode::<Asked<0>>(claims_a_gigabyte, configuration).is_err());
    let (list, _) = bounded::decode::<Asked<2>>(claims_a_gigabyte, configuration).unwrap();
    assert_eq!(list.0, Came::List { hint: Some(64) });
}
