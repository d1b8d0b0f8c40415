//! What members ask of the leader about leases, since only the leader counts their time.
//!
//! The messages are bincode behind a version byte and never stored. A member of another version that cannot read one
//! answers, or is taken to answer, [`LeaderAnswer::NotPrimary`]: the question is asked again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::LeaseId;

/// Bytes that a message may take when decoded.
const MAXIMUM_MESSAGE_BYTES: usize = 1024 * 1024;
/// The first byte of every message.
const VERSION: u8 = 1;

/// A question to the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LeaderQuestion {
    /// Renew these leases, in this order.
    Renew(Vec<LeaseId>),
    /// How much is left of this lease.
    Left(LeaseId),
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum LeaderAnswer {
    /// Whoever was asked does not lead, or cannot prove it, or has not counted the leases yet.
    NotPrimary,
    /// The time to live of each lease in seconds, 0 for those that are gone.
    Renewed(Vec<i64>),
    /// The seconds left and granted, none if the lease is gone.
    Left(Option<(i64, i64)>),
}

fn configuration() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAXIMUM_MESSAGE_BYTES>()
}

/// Encodes a message.
pub(super) fn encode(message: &impl Serialize) -> Bytes {
    let mut bytes = vec![VERSION];
    match bincode::serde::encode_into_std_write(message, &mut bytes, configuration()) {
        Ok(_) => Bytes::from(bytes),
        // Larger than a message may be: an empty message is one that nobody can read.
        Err(_) => Bytes::new(),
    }
}

/// Decodes a message; none if it is not one of this version.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &Bytes) -> Option<T> {
    let (version, body) = bytes.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (message, read) = bincode::serde::decode_from_slice(body, configuration()).ok()?;
    (read == body.len()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_bytes() {
        let question = LeaderQuestion::Renew(vec![LeaseId(1), LeaseId(300)]);
        assert_eq!(encode(&question)[..], [1, 0, 2, 2, 251, 88, 2]);
        assert_eq!(decode(&encode(&question)), Some(question));
        let answer = LeaderAnswer::Left(Some((7, 10)));
        assert_eq!(encode(&answer)[..], [1, 2, 1, 14, 20]);
        assert_eq!(decode(&encode(&answer)), Some(answer));
    }

    #[test]
    fn what_is_not_a_message_of_this_version_is_no_message() {
        let question = encode(&LeaderQuestion::Left(LeaseId(5)));
        let mut other = question.to_vec();
        other[0] = 2;
        assert_eq!(decode::<LeaderQuestion>(&Bytes::from(other)), None);
        assert_eq!(
            decode::<LeaderQuestion>(&question.slice(..question.len() - 1)),
            None
        );
        assert_eq!(decode::<LeaderQuestion>(&Bytes::new()), None);
        let endless = Bytes::from_static(&[1, 0, 253, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(decode::<LeaderQuestion>(&endless), None);
    }
}
