//! The bytes of every stored record and of every command, held still, and what is refused.
//!
//! If one of these fails, nodes with old data can no longer read it: append, with a new version byte, do not change.

use bytes::Bytes;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::generate::command;
use crate::base::secret::Secret;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::applied::{EventKind, VersionId};
use crate::state::auth::{AuthSettings, Role, User};
use crate::state::command::{
    Alarm, AuthChange, Author, Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation,
    Permission, PermissionKind, Proposal, Put, Range, SortOrder, SortTarget, Txn,
};
use crate::state::format::{
    self, ActiveAlarm, AppliedEntry, Change, Head, Publication, StoredMembership, Version,
};
use crate::storage::StorageError;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(digits: &str) -> Bytes {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    pairs.map(byte).collect::<Vec<_>>().into()
}

/// A record without a tail is written as `golden`, read from it, and refused when it is longer, shorter or unknown.
fn check<Record>(record: &Record, golden: &str)
where
    Record: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let encoded = format::encode("record", record).expect("a record encodes");
    assert_eq!(hex(&encoded), golden, "the bytes of {record:?}");
    let decode = |bytes: &Bytes| format::decode::<Record>("record", bytes);
    assert_eq!(&decode(&encoded).expect("a record decodes"), record);
    refuses_damage(&encoded, 0, decode);
    let longer = Bytes::from([encoded.as_ref(), &[0]].concat());
    let error = decode(&longer).expect_err("a byte too many");
    assert_eq!(
        error.to_string(),
        "stored record is damaged or of an unknown format: 1 bytes too many"
    );
}

/// All lengths up to the tail, and all other version bytes, are errors.
fn refuses_damage<Record: std::fmt::Debug>(
    encoded: &Bytes,
    tail_bytes: usize,
    decode: impl Fn(&Bytes) -> Result<Record, StorageError>,
) {
    for length in 0..encoded.len() - tail_bytes {
        decode(&encoded.slice(..length)).expect_err("cut short");
    }
    for version in (0..=255).filter(|version| *version != format::VERSION) {
        let mut unknown = encoded.to_vec();
        unknown[0] = version;
        let error = decode(&Bytes::from(unknown)).expect_err("an unknown version");
        let says = format!(
            "its format version is {version}, this program knows 1; run the version of stead that wrote it"
        );
        assert!(error.to_string().ends_with(&says), "{error}");
    }
}

#[test]
fn the_bytes_of_counters_and_positions_stay_the_same() {
    check(&Revision(1), "0102");
    check(&Revision(300), "01fb5802");
    check(&60_i64, "0178");
    check(&1_u32, "0101");
    check(
        &AppliedEntry {
            index: 300,
            position: Bytes::from_static(b"position"),
        },
        "01fb2c0108706f736974696f6e",
    );
    check(
        &StoredMembership {
            position: Bytes::from_static(b"p"),
            membership: Bytes::from_static(b"members"),
        },
        "010170076d656d62657273",
    );
}

#[test]
fn the_bytes_of_headers_members_and_alarms_stay_the_same() {
    let head = Head {
        create_revision: Revision(2),
        modification_revision: Revision(1_000),
        sub: 3,
        version: 4,
        lease: LeaseId(0x1234),
    };
    check(&head, "0104fbd0070308fb6824");
    let publication = Publication {
        name: "node-1".to_owned(),
        client_urls: vec!["http://127.0.0.1:2379".to_owned(), "http://[::1]:2379".to_owned()],
    };
    let golden =
        "01066e6f64652d310215687474703a2f2f3132372e302e302e313a3233373911687474703a2f2f5b3a3a315d3a32333739";
    check(&publication, golden);
    let alarm = |alarm| ActiveAlarm {
        member: MemberId(0xabcd),
        alarm,
    };
    check(&alarm(Alarm::NoSpace), "01fbcdab00");
    check(&alarm(Alarm::Corrupt), "01fbcdab01");
}

fn permission() -> Permission {
    Permission {
        kind: PermissionKind::ReadWrite,
        key: Bytes::from_static(b"a"),
        end: Bytes::from_static(b"b"),
    }
}

#[test]
fn the_bytes_of_users_and_roles_stay_the_same() {
    let settings = AuthSettings {
        is_enabled: true,
        revision: 300,
        token_key: Secret::new(vec![1, 2, 3]),
    };
    check(&settings, "0101fb2c0103010203");
    let user = User {
        password: Some(Secret::new("hash".to_owned())),
        password_revision: 7,
        roles: vec!["r".to_owned(), "s".to_owned()],
    };
    check(&user, "01010468617368070201720173");
    check(
        &User {
            password: None,
            ..user
        },
        "0100070201720173",
    );
    let role = Role {
        permissions: vec![permission()],
    };
    check(&role, "01010201610162");
    let kinds = [
        PermissionKind::Read,
        PermissionKind::Write,
        PermissionKind::ReadWrite,
    ];
    check(&kinds, "01000102");
}

#[test]
fn the_bytes_of_changes_of_users_and_of_authors_stay_the_same() {
    let name = || "n".to_owned();
    let role = || "r".to_owned();
    let changes = [
        (
            AuthChange::Enable {
                token_key: Secret::new(vec![9, 8]),
            },
            "0a00020908",
        ),
        (AuthChange::Disable, "0a01"),
        (
            AuthChange::AddUser {
                name: name(),
                password: Some(Secret::new("h".to_owned())),
            },
            "0a02016e010168",
        ),
        (AuthChange::DeleteUser { name: name() }, "0a03016e"),
        (
            AuthChange::ChangePassword {
                name: name(),
                password: Secret::new("h".to_owned()),
            },
            "0a04016e0168",
        ),
        (
            AuthChange::GrantRole {
                user: name(),
                role: role(),
            },
            "0a05016e0172",
        ),
        (
            AuthChange::RevokeRole {
                user: name(),
                role: role(),
            },
            "0a06016e0172",
        ),
        (AuthChange::AddRole { name: role() }, "0a070172"),
        (AuthChange::DeleteRole { name: role() }, "0a080172"),
        (
            AuthChange::GrantPermission {
                role: role(),
                permission: permission(),
            },
            "0a0901720201610162",
        ),
        (
            AuthChange::RevokePermission {
                role: role(),
                key: Bytes::from_static(b"a"),
                end: Bytes::from_static(b"b"),
            },
            "0a0a017201610162",
        ),
    ];
    for (change, golden) in changes {
        check_command(Command::Auth(change), golden);
    }
    let revision = Revision(300);
    check_command(Command::Compact { revision }.by_node(), "090003fb5802");
    let by_user = Command::By {
        author: Author::User {
            name: name(),
            auth_revision: 300,
        },
        command: Box::new(Command::Compact { revision }),
    };
    check_command(by_user, "0901016efb2c0103fb5802");
}

fn check_version(version: &Version, golden: &str) {
    let mut encoded = Vec::new();
    version.push(&mut encoded).expect("a version encodes");
    let encoded = Bytes::from(encoded);
    assert_eq!(hex(&encoded), golden);
    assert_eq!(&Version::decode(&encoded).expect("a version decodes"), version);
    let header = Version::decode_header(&encoded).expect("its header decodes");
    assert_eq!(
        header,
        Version {
            value: Bytes::new(),
            ..version.clone()
        }
    );
    refuses_damage(&encoded, version.value.len(), Version::decode);
    refuses_damage(&encoded, version.value.len(), |encoded| {
        Version::decode_header(encoded)
    });
}

#[test]
fn the_bytes_of_versions_stay_the_same() {
    let version = Version {
        create_revision: Revision(2),
        version: 3,
        lease: LeaseId(-1),
        value: Bytes::from_static(b"value\0"),
    };
    check_version(&version, "0104060176616c756500");
    assert!(!version.is_tombstone());
    let tombstone = Version::default();
    check_version(&tombstone, "01000000");
    assert!(tombstone.is_tombstone());
}

#[test]
fn the_bytes_of_changes_stay_the_same() {
    let put = Change {
        kind: EventKind::Put,
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(b"key\0"),
        superseded: None,
    };
    let delete = Change {
        kind: EventKind::Delete,
        namespace: Namespace::SECRETS,
        superseded: Some(VersionId {
            revision: Revision(300),
            sub: 2,
        }),
        ..put.clone()
    };
    for (change, golden) in [(put, "010001006b657900"), (delete, "01010301fb5802026b657900")] {
        let mut encoded = Vec::new();
        change.push(&mut encoded).expect("a change encodes");
        let encoded = Bytes::from(encoded);
        assert_eq!(hex(&encoded), golden);
        assert_eq!(Change::decode(&encoded).expect("a change decodes"), change);
        refuses_damage(&encoded, change.key.len(), Change::decode);
    }
}

fn keys() -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key: Bytes::from_static(b"a"),
        end: Bytes::from_static(b"b"),
    }
}

fn put() -> Put {
    Put {
        namespace: Namespace::SERVICES,
        key: Bytes::from_static(b"key"),
        value: Bytes::from_static(b"value"),
        lease: LeaseId(7),
        previous: true,
        ignore_value: false,
        ignore_lease: true,
    }
}

fn delete() -> DeleteRange {
    DeleteRange {
        keys: keys(),
        previous: true,
    }
}

fn range() -> Range {
    Range {
        keys: keys(),
        limit: 1,
        revision: Revision(2),
        sort_order: SortOrder::Descend,
        sort_target: SortTarget::Value,
        keys_only: true,
        count_only: false,
        minimum_modification: Revision(3),
        maximum_modification: Revision(4),
        minimum_create: Revision(5),
        maximum_create: Revision(6),
    }
}

/// Every comparison and every target.
fn conditions() -> Vec<Compare> {
    let all = [
        (Comparison::Equal, CompareTarget::Version(1)),
        (Comparison::Greater, CompareTarget::Create(Revision(2))),
        (Comparison::Less, CompareTarget::Modification(Revision(3))),
        (
            Comparison::NotEqual,
            CompareTarget::Value(Bytes::from_static(b"v")),
        ),
        (Comparison::Always, CompareTarget::Lease(LeaseId(4))),
    ];
    all.into_iter()
        .map(|(comparison, target)| Compare {
            keys: keys(),
            comparison,
            target,
        })
        .collect()
}

fn check_command(command: Command, golden: &str) {
    let proposal = Proposal {
        origin: MemberId(0xabcd),
        sequence: 9,
        command,
    };
    check(&proposal, &format!("01fbcdab09{golden}"));
    let encoded = format::encode_proposal(&proposal).expect("a proposal encodes");
    let decoded = format::decode_proposals(&encoded).expect("a proposal decodes");
    assert_eq!(decoded, [proposal]);
}

#[test]
fn the_bytes_of_every_command_stay_the_same() {
    check_command(Command::Put(put()), "0002036b65790576616c75650e010001");
    check_command(Command::DeleteRange(delete()), "01010161016201");
    let txn = Txn {
        compare: conditions(),
        success: vec![
            Operation::Range(range()),
            Operation::Put(put()),
            Operation::DeleteRange(delete()),
        ],
        failure: vec![Operation::Txn(Txn::default())],
    };
    let golden = concat!(
        "02",
        "05",
        "0101610162000002",
        "0101610162010104",
        "0101610162020206",
        "010161016203030176",
        "0101610162040408",
        "03",
        "00010161016202040204010006080a0c",
        "0102036b65790576616c75650e010001",
        "02010161016201",
        "01",
        "03000000",
    );
    check_command(Command::Txn(txn), golden);
    let revision = Revision(300);
    check_command(Command::Compact { revision }, "03fb5802");
    let id = LeaseId(i64::MAX);
    check_command(
        Command::LeaseGrant { id, ttl_seconds: 60 },
        "04fdfeffffffffffffff78",
    );
    check_command(Command::LeaseRevoke { id }, "05fdfeffffffffffffff");
    let publish = Command::PublishMember {
        id: MemberId(1),
        name: "n".to_owned(),
        client_urls: vec!["u".to_owned(), "v".to_owned()],
    };
    check_command(publish, "0601016e0201750176");
    let (member, alarm) = (MemberId(1), Alarm::NoSpace);
    check_command(Command::AlarmActivate { member, alarm }, "070100");
    let alarm = Alarm::Corrupt;
    check_command(Command::AlarmDeactivate { member, alarm }, "080101");
}

#[test]
fn the_bytes_of_sort_orders_and_targets_stay_the_same() {
    check(
        &[SortOrder::None, SortOrder::Ascend, SortOrder::Descend],
        "01000102",
    );
    let targets = [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Modification,
        SortTarget::Value,
    ];
    check(&targets, "010001020304");
}

#[test]
fn a_length_that_no_memory_could_hold_is_an_error() {
    // A put whose key claims to be 2^62 bytes long.
    let claims = unhex("0101010001fd0000000000000040");
    format::decode_proposals(&claims).expect_err("the key is not there");
    // A transaction with 2^62 conditions.
    let claims = unhex("01010102fd0000000000000040");
    format::decode_proposals(&claims).expect_err("the conditions are not there");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_proposal_is_read_back_and_none_that_is_cut_short(
        command in command(),
        origin in any::<u64>(),
        sequence in any::<u64>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let proposal = Proposal { origin: MemberId(origin), sequence, command };
        let encoded = format::encode_proposal(&proposal).expect("a proposal encodes");
        prop_assert_eq!(format::decode_proposals(&encoded).expect("a proposal decodes"), [proposal]);
        let short = encoded.slice(..cut.index(encoded.len()));
        prop_assert!(format::decode_proposals(&short).is_err());
    }

    #[test]
    fn damaged_proposals_and_records_never_panic(
        command in command(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
        garbage in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let proposal = Proposal { origin: MemberId(1), sequence: 1, command };
        let mut encoded = format::encode_proposal(&proposal).expect("a proposal encodes").to_vec();
        let at = at.index(encoded.len());
        encoded[at] = byte;
        let _ = format::decode_proposals(&Bytes::from(encoded));
        let garbage = Bytes::from([&[format::VERSION], garbage.as_slice()].concat());
        let _ = format::decode_proposals(&garbage);
        let _ = format::decode::<Head>("head", &garbage);
        let _ = format::decode::<Publication>("publication", &garbage);
        let _ = format::decode::<AppliedEntry>("applied position", &garbage);
        let _ = Version::decode(&garbage);
        let _ = Version::decode_header(&garbage);
        let _ = Change::decode(&garbage);
    }
}
