//! For fuzzing: the decoders of records, of keys and of proposals.

use std::fmt::Debug;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::auth::{AuthChange, AuthSettings, Author, Permission, PermissionKind, Role, User};
use super::command::{
    Alarm, Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Proposal, Put, Range,
    Txn,
};
use super::format::{self, ActiveAlarm, AppliedEntry, Change, Head, Publication, StoredMembership, Version};
use super::schema;
use crate::base::fuzzing::{choice, seed};
use crate::base::secret::Secret;
use crate::base::{LeaseId, MemberId, Namespace, Revision};

/// What is decoded is encoded so that it decodes to the same.
pub fn record<Record>(bytes: &Bytes)
where
    Record: Serialize + DeserializeOwned + PartialEq + Debug,
{
    if let Ok(record) = format::decode::<Record>("record", bytes) {
        let encoded = format::encode("record", &record).expect("it was decoded");
        assert_eq!(format::decode::<Record>("record", &encoded).ok(), Some(record));
    }
}

/// Records and keys of the state database.
pub fn records(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let bytes = Bytes::copy_from_slice(rest);
    let mut encoded = Vec::new();
    match kind {
        0 => record::<Head>(&bytes),
        1 => {
            let header = Version::decode_header(&bytes);
            assert_eq!(header.is_ok(), Version::decode(&bytes).is_ok());
            if let Ok(version) = Version::decode(&bytes) {
                version.push(&mut encoded).expect("it was decoded");
                assert_eq!(Version::decode(&encoded.into()).ok(), Some(version));
            }
        }
        2 => {
            if let Ok(change) = Change::decode(&bytes) {
                change.push(&mut encoded).expect("it was decoded");
                assert_eq!(Change::decode(&encoded.into()).ok(), Some(change));
            }
        }
        3 => record::<Publication>(&bytes),
        4 => record::<ActiveAlarm>(&bytes),
        5 => record::<AppliedEntry>(&bytes),
        6 => record::<StoredMembership>(&bytes),
        7 => record::<User>(&bytes),
        8 => record::<Role>(&bytes),
        9 => record::<AuthSettings>(&bytes),
        10 => record::<i64>(&bytes),
        11 => {
            if let Ok((key, id)) = schema::split_version(rest) {
                assert_eq!([key, &rest[key.len()..]].concat(), rest);
                let _ = (id, schema::prefix_user_key(key));
            }
            let _ = schema::head_user_key(rest);
            let _ = schema::event_id(rest).map(|id| assert_eq!(schema::event(id), rest));
            let _ = schema::lease_id(rest).map(|id| assert_eq!(schema::lease(id), rest));
            let _ = schema::attached_key(rest);
        }
        _ => {
            let _ = schema::member_id(rest);
            let _ = schema::removed_id(rest);
            let _ = schema::auth_name(schema::USER_PREFIX, rest);
            let _ = schema::auth_name(schema::ROLE_PREFIX, rest);
        }
    }
}

/// One record of each kind.
#[must_use]
pub fn record_seeds() -> Vec<Vec<u8>> {
    let encode = |choice: u8, record: Result<Bytes, _>| record.map(|record| seed(choice, record)).ok();
    let (name, url) = ("a".to_owned(), "http://a:1".to_owned());
    let permission = Permission {
        kind: PermissionKind::ReadWrite,
        key: Bytes::from_static(b"a"),
        end: Bytes::from_static(b"b"),
    };
    let id = format::Head::default().id();
    let mut version = vec![1];
    let mut change = vec![2];
    let value = Version {
        value: Bytes::from_static(b"value"),
        ..Version::default()
    };
    value.push(&mut version).expect("it can be encoded");
    let put = Change {
        kind: super::EventKind::Put,
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(b"key"),
        superseded: Some(id),
    };
    put.push(&mut change).expect("it can be encoded");
    let encoded = [
        encode(0, format::encode("", &Head::default())),
        encode(
            3,
            format::encode(
                "",
                &Publication {
                    name,
                    client_urls: vec![url],
                },
            ),
        ),
        encode(
            4,
            format::encode(
                "",
                &ActiveAlarm {
                    member: MemberId(1),
                    alarm: Alarm::Corrupt,
                },
            ),
        ),
        encode(
            5,
            format::encode(
                "",
                &AppliedEntry {
                    index: 1,
                    position: Bytes::from_static(&[0; 24]),
                },
            ),
        ),
        encode(
            6,
            format::encode(
                "",
                &StoredMembership {
                    position: Bytes::from_static(&[0; 24]),
                    membership: Bytes::from_static(b"m"),
                },
            ),
        ),
        encode(
            7,
            format::encode(
                "",
                &User {
                    password: Some(Secret::new("hash".to_owned())),
                    password_revision: 2,
                    roles: vec!["root".to_owned()],
                },
            ),
        ),
        encode(
            8,
            format::encode(
                "",
                &Role {
                    permissions: vec![permission],
                },
            ),
        ),
        encode(9, format::encode("", &AuthSettings::default())),
        encode(10, format::encode("", &7_i64)),
        Some(seed(11, schema::version(Namespace::DEFAULT, b"a\0b", id))),
        Some(seed(11, schema::event(id))),
        Some(seed(11, schema::lease_key(LeaseId(1), Namespace::DEFAULT, b"a"))),
        Some(seed(12, schema::member(MemberId(1)))),
        Some(seed(12, schema::user("root"))),
    ];
    encoded.into_iter().flatten().chain([version, change]).collect()
}

/// Proposals of the log.
pub fn proposals(bytes: &[u8]) {
    if let Ok(proposals) = format::decode_proposals(&Bytes::copy_from_slice(bytes)) {
        assert_eq!(again(&proposals), proposals);
    }
}

/// What the log makes of proposals.
fn again(proposals: &[Proposal]) -> Vec<Proposal> {
    let encoded: Vec<Bytes> = proposals
        .iter()
        .map(|proposal| format::encode_proposal(proposal).expect("it was decoded"))
        .collect();
    format::decode_proposals(&encoded.concat().into()).expect("it was encoded")
}

/// A command that a client can ask for can be read from the log.
pub fn command_survives(command: Command) {
    let proposal = Proposal {
        origin: MemberId(1),
        sequence: 1,
        command: Command::By {
            author: Author::Node,
            command: Box::new(command),
        },
    };
    let proposals = [proposal];
    assert_eq!(again(&proposals), proposals);
}

/// Proposals of most kinds, alone and behind each other.
#[must_use]
pub fn proposal_seeds() -> Vec<Vec<u8>> {
    let keys = Keys {
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(b"key"),
        end: Bytes::from_static(b"kez"),
    };
    let put = Put {
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(b"value"),
        ..Put::default()
    };
    let range = Range {
        keys: keys.clone(),
        ..Range::default()
    };
    let delete = DeleteRange {
        keys: keys.clone(),
        previous: true,
    };
    let txn = Txn {
        compare: vec![Compare {
            keys,
            comparison: Comparison::Equal,
            target: CompareTarget::Value(Bytes::from_static(b"old")),
        }],
        success: vec![
            Operation::Put(put.clone()),
            Operation::Range(range),
            Operation::Txn(Txn::default()),
        ],
        failure: vec![Operation::DeleteRange(delete.clone())],
    };
    let enable = AuthChange::Enable {
        token_key: Secret::new(vec![7; 32]),
    };
    let commands = [
        Command::Put(put),
        Command::DeleteRange(delete),
        Command::Txn(txn).by_node(),
        Command::Compact {
            revision: Revision(7),
        },
        Command::LeaseGrant {
            id: LeaseId(7),
            ttl_seconds: 60,
        },
        Command::PublishMember {
            id: MemberId(1),
            name: "a".to_owned(),
            client_urls: vec!["http://a:1".to_owned()],
        },
        Command::AlarmActivate {
            member: MemberId(1),
            alarm: Alarm::NoSpace,
        },
        Command::Auth(enable),
    ];
    let mut seeds: Vec<Vec<u8>> = (1..)
        .zip(commands)
        .map(|(sequence, command)| {
            let proposal = Proposal {
                origin: MemberId(1),
                sequence,
                command,
            };
            format::encode_proposal(&proposal)
                .expect("it can be encoded")
                .to_vec()
        })
        .collect();
    seeds.push(seeds.concat());
    // What once ended the process: a key of a gigabyte that is not there, and commands within commands without end.
    seeds.push(b"\x01\x01\x01\0\x01\xfc\0\0\0\x38".to_vec());
    seeds.push([&[1, 1, 1][..], &[9, 0].repeat(30_000)].concat());
    seeds
}
