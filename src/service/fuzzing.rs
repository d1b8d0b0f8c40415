//! For fuzzing: tokens, snapshot files, records of services, rules of policies, requests for secrets and their
//! records, and what members ask of the leader.

use std::cell::RefCell;

use bytes::Bytes;

pub use super::auth::fuzzing::{token_seeds, tokens};
use super::cluster::Wish;
pub use super::consul::acl::fuzzing::{policies, policy_seeds};
use super::leader::{LeaderAnswer, LeaderQuestion, decode, encode};
pub use super::registry::fuzzing::{service_seeds, services};
pub use super::secrets::engine::fuzzing::{secret_engine_seeds, secret_engines};
pub use super::secrets::fuzzing::{
    secret_record_seeds, secret_records, secret_request_seeds, secret_requests,
};
pub use super::secrets::policy::fuzzing::{secret_policies, secret_policy_seeds};
pub use super::snapshot::fuzzing::{snapshot, snapshot_seeds};
use crate::base::LeaseId;
use crate::base::fuzzing::{Scratch, choice, seed};
use crate::storage::bbolt::{Reader, Writer};

/// What members ask of the leader, and its answers.
pub fn leader(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let bytes = Bytes::copy_from_slice(rest);
    if kind == 0 {
        if let Some(question) = decode::<LeaderQuestion>(&bytes) {
            assert_eq!(decode(&encode(&question)), Some(question));
        }
    } else if let Some(answer) = decode::<LeaderAnswer>(&bytes) {
        assert_eq!(decode(&encode(&answer)), Some(answer));
    }
}

/// Questions and answers.
#[must_use]
pub fn leader_seeds() -> Vec<Vec<u8>> {
    let wish = Wish::Promote(crate::base::MemberId(7));
    vec![
        seed(0, encode(&LeaderQuestion::Renew(vec![LeaseId(1), LeaseId(300)]))),
        seed(0, encode(&LeaderQuestion::ChangeMembers(wish))),
        seed(1, encode(&LeaderAnswer::Renewed(vec![7, 0]))),
        seed(1, encode(&LeaderAnswer::Left(Some((7, 10))))),
    ]
}

thread_local! {
    static FILE: RefCell<Scratch> = RefCell::new(Scratch::new());
}

/// A bbolt file: all buckets and all that is in them.
pub fn bbolt(bytes: &[u8]) {
    FILE.with_borrow(|scratch| {
        let (file, _) = scratch.fill(bytes);
        let Ok(file) = file.try_clone() else { return };
        let Ok(reader) = Reader::open(file, bytes.len() as u64) else {
            return;
        };
        assert!(reader.size_bytes() <= bytes.len() as u64);
        for (_, bucket) in reader.buckets().unwrap_or_default() {
            let Ok(mut entries) = reader.entries(&bucket) else {
                continue;
            };
            let mut last = None;
            while let Ok(Some((key, _))) = entries.next_entry() {
                assert!(last.is_none_or(|last| last < key), "keys ascend");
                last = Some(key);
            }
        }
    });
}

/// A file with one level of pages, and one with two.
#[must_use]
pub fn bbolt_seeds() -> Vec<Vec<u8>> {
    [3_u32, 600]
        .into_iter()
        .map(|keys| {
            FILE.with_borrow(|scratch| {
                let (file, path) = scratch.fill(b"");
                let file = file.try_clone().expect("there are handles");
                let mut writer = Writer::new(file).expect("there is room");
                for name in ["one", "two"] {
                    let mut bucket = writer.bucket(name.as_bytes());
                    for key in 0..keys {
                        bucket.put(&key.to_be_bytes(), b"value").expect("there is room");
                    }
                    bucket.finish().expect("there is room");
                }
                writer.finish().expect("there is room");
                std::fs::read(path).expect("it was written")
            })
        })
        .collect()
}
