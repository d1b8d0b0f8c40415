//! Rights against a slow and obvious model: random operations of every shape, random grants.
//!
//! The model walks an operation itself and asks, for every place where coverage could change, whether some granted range
//! holds it. Then allowed commands are applied, and whatever they show or change must be within the rights: that part
//! knows nothing of how accesses are listed.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::Fixture;
use crate::base::secret::Secret;
use crate::base::{LeaseId, Namespace, clock};
use crate::state::access::{Request, Right};
use crate::state::applied::{Answer, Effect, KeyValue, OperationAnswer, Refusal, TxnAnswer};
use crate::state::auth::{AuthChange, Permission, PermissionKind, ROOT, Who};
use crate::state::command::{
    Author, Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Range, Txn,
};

/// Worlds of users, roles and leases, requests judged in each, and how many of these are also applied.
const WORLDS: usize = 500;
const REQUESTS_PER_WORLD: usize = 2_100;
const APPLIED_PER_WORLD: usize = 100;

const USER: &str = "alice";
const LEASES: [i64; 3] = [1, 2, 3];

/// A granted range: key, end as in etcd, what it allows.
type Grant = (Bytes, Bytes, PermissionKind);

struct World {
    fixture: Fixture,
    /// What the user's roles hold, one by one.
    grants: Vec<Grant>,
    attached: BTreeMap<i64, Vec<Bytes>>,
    is_root: bool,
}

fn key(random: &mut SmallRng) -> Bytes {
    const LETTERS: [u8; 5] = [0, b'a', b'b', b'c', 0xff];
    let length = random.random_range(1..=2);
    (0..length)
        .map(|_| LETTERS[random.random_range(0..LETTERS.len())])
        .collect()
}

fn end(random: &mut SmallRng) -> Bytes {
    match random.random_range(0..6) {
        0..2 => Bytes::new(),
        2 => Bytes::from_static(&[0]),
        _ => key(random),
    }
}

fn keys(random: &mut SmallRng) -> Keys {
    let namespace = if random.random_ratio(1, 40) {
        Namespace::SERVICES
    } else {
        Namespace::DEFAULT
    };
    Keys {
        namespace,
        key: key(random),
        end: end(random),
    }
}

impl World {
    fn new(random: &mut SmallRng) -> Self {
        let mut fixture = Fixture::new();
        let change = |fixture: &mut Fixture, change| {
            let outcome = fixture.outcome(Command::Auth(change).by_node());
            assert!(outcome.is_ok() || outcome == Err(Refusal::InvalidAuthManagement));
            outcome.is_ok()
        };
        for name in [ROOT, USER] {
            let password = Some(Secret::new("hash".to_owned()));
            let name = name.to_owned();
            change(&mut fixture, AuthChange::AddUser { name, password });
        }
        let grant_role = |user: &str, role: &str| AuthChange::GrantRole {
            user: user.to_owned(),
            role: role.to_owned(),
        };
        change(&mut fixture, grant_role(ROOT, ROOT));
        let mut grants: BTreeMap<(usize, Bytes, Bytes), PermissionKind> = BTreeMap::new();
        let roles = random.random_range(1..=3);
        let held: Vec<bool> = (0..roles).map(|_| random.random_ratio(4, 5)).collect();
        for (role, is_held) in held.iter().enumerate() {
            let name = role.to_string();
            change(&mut fixture, AuthChange::AddRole { name: name.clone() });
            if *is_held {
                change(&mut fixture, grant_role(USER, &name));
            }
            for _ in 0..random.random_range(0..8) {
                let kind = [
                    PermissionKind::Read,
                    PermissionKind::Write,
                    PermissionKind::ReadWrite,
                ][random.random_range(0..3)];
                let permission = Permission {
                    kind,
                    key: key(random),
                    end: end(random),
                };
                let (key, end) = (permission.key.clone(), permission.end.clone());
                let granted = AuthChange::GrantPermission {
                    role: name.clone(),
                    permission,
                };
                if change(&mut fixture, granted) {
                    grants.insert((role, key, end), kind);
                }
            }
        }
        let is_root = random.random_ratio(1, 20);
        if is_root {
            change(&mut fixture, grant_role(USER, ROOT));
        }
        for id in LEASES {
            let id = LeaseId(id);
            let granted = fixture.outcome(Command::LeaseGrant { id, ttl_seconds: 60 });
            granted.expect("a lease is granted once");
        }
        let mut attached: BTreeMap<i64, Vec<Bytes>> = LEASES.map(|id| (id, Vec::new())).into();
        for _ in 0..random.random_range(0..10) {
            let (key, id) = (key(random), LEASES[random.random_range(0..LEASES.len())]);
            for others in attached.values_mut() {
                others.retain(|other| *other != key);
            }
            attached
                .get_mut(&id)
                .expect("the lease is there")
                .push(key.clone());
            let put = Put {
                namespace: Namespace::DEFAULT,
                key,
                value: Bytes::from_static(b"v"),
                lease: LeaseId(id),
                ..Put::default()
            };
            fixture.outcome(Command::Put(put)).expect("the lease is there");
        }
        let token_key = Secret::new(vec![1; 32]);
        change(&mut fixture, AuthChange::Enable { token_key });
        let grants = grants
            .into_iter()
            .filter(|((role, ..), _)| held[*role])
            .map(|((_, key, end), kind)| (key, end, kind))
            .collect();
        Self {
            fixture,
            grants,
            attached,
            is_root,
        }
    }

    /// Whether one of the user's ranges holds a key.
    fn holds(&self, key: &[u8], right: Right) -> bool {
        self.grants.iter().any(|(start, end, kind)| {
            let fits = match right {
                Right::Read => *kind != PermissionKind::Write,
                Right::Write => *kind != PermissionKind::Read,
            };
            fits && match end.as_ref() {
                [] => key == start,
                [0] => key >= start.as_ref(),
                end => key >= start.as_ref() && key < end,
            }
        })
    }

    /// Whether every key of a range is held: its first, and every later one at which some grant begins or ends.
    fn covers(&self, keys: &Keys, right: Right) -> bool {
        if self.is_root {
            return true;
        }
        if keys.namespace != Namespace::DEFAULT {
            return false;
        }
        let after = |key: &Bytes| Bytes::from([key, &[0][..]].concat());
        let is_inside = |place: &Bytes| match keys.end.as_ref() {
            [] => *place == keys.key,
            [0] => *place >= keys.key,
            end => *place >= keys.key && place.as_ref() < end,
        };
        let mut places = self
            .grants
            .iter()
            .flat_map(|(start, end, _)| [start.clone(), after(start), end.clone()])
            .filter(|place| !place.is_empty() && is_inside(place))
            .chain([keys.key.clone()]);
        places.all(|place| self.holds(&place, right))
    }

    fn point(&self, namespace: Namespace, key: &Bytes, right: Right) -> bool {
        let keys = Keys {
            namespace,
            key: key.clone(),
            end: Bytes::new(),
        };
        self.covers(&keys, right)
    }

    fn allows_lease(&self, id: LeaseId, right: Right) -> bool {
        let keys = self.attached.get(&id.0);
        keys.into_iter()
            .flatten()
            .all(|key| self.point(Namespace::DEFAULT, key, right))
    }

    fn allows_put(&self, put: &Put) -> bool {
        let Put { namespace, key, .. } = put;
        self.point(*namespace, key, Right::Write)
            && (!put.previous || self.point(*namespace, key, Right::Read))
            && (put.lease.is_none() || self.allows_lease(put.lease, Right::Write))
    }

    fn allows_delete(&self, delete: &DeleteRange) -> bool {
        self.covers(&delete.keys, Right::Write)
            && (!delete.previous || self.covers(&delete.keys, Right::Read))
    }

    fn allows_txn(&self, txn: &Txn) -> bool {
        let compares = txn.compare.iter();
        let operations = txn.success.iter().chain(&txn.failure);
        compares
            .clone()
            .all(|compare| self.covers(&compare.keys, Right::Read))
            && operations.clone().all(|operation| match operation {
                Operation::Range(range) => self.covers(&range.keys, Right::Read),
                Operation::Put(put) => self.allows_put(put),
                Operation::DeleteRange(delete) => self.allows_delete(delete),
                Operation::Txn(inner) => self.allows_txn(inner),
            })
    }

    fn allows(&self, request: &Request<'_>) -> bool {
        match request {
            Request::Range(range) => self.covers(&range.keys, Right::Read),
            Request::Watch(keys) => self.covers(keys, Right::Read),
            Request::Put(put) => self.allows_put(put),
            Request::DeleteRange(delete) => self.allows_delete(delete),
            Request::Txn(txn) => self.allows_txn(txn),
            Request::LeaseRevoke(id) | Request::LeaseKeepAlive(id) => self.allows_lease(*id, Right::Write),
            Request::LeaseTimeToLive { id, keys } => !keys || self.allows_lease(*id, Right::Read),
            Request::LeaseList => LEASES
                .iter()
                .all(|id| self.allows_lease(LeaseId(*id), Right::Read)),
            Request::LeaseGrant | Request::Status | Request::MemberList | Request::AlarmList => true,
            Request::UserGet(name) => self.is_root || *name == USER,
            _ => self.is_root,
        }
    }
}

fn lease(random: &mut SmallRng) -> LeaseId {
    // One that is not there, and none, among them.
    LeaseId(random.random_range(0..=4))
}

fn put(random: &mut SmallRng) -> Put {
    Put {
        namespace: keys(random).namespace,
        key: key(random),
        value: Bytes::from_static(b"w"),
        lease: if random.random() {
            LeaseId::NONE
        } else {
            lease(random)
        },
        previous: random.random(),
        ignore_value: false,
        ignore_lease: false,
    }
}

fn delete(random: &mut SmallRng) -> DeleteRange {
    DeleteRange {
        keys: keys(random),
        previous: random.random(),
    }
}

fn range(random: &mut SmallRng) -> Range {
    Range {
        keys: keys(random),
        keys_only: random.random(),
        count_only: random.random(),
        ..Range::default()
    }
}

fn operation(random: &mut SmallRng, depth: u32) -> Operation {
    match random.random_range(0..4) {
        0 => Operation::Range(range(random)),
        1 => Operation::Put(put(random)),
        2 => Operation::DeleteRange(delete(random)),
        _ if depth == 0 => Operation::Range(range(random)),
        _ => Operation::Txn(txn(random, depth - 1)),
    }
}

fn txn(random: &mut SmallRng, depth: u32) -> Txn {
    let mut operations = || -> Vec<Operation> {
        let count = random.random_range(0..3);
        (0..count).map(|_| operation(random, depth)).collect()
    };
    let (success, failure) = (operations(), operations());
    let compare = (0..random.random_range(0..3))
        .map(|_| Compare {
            keys: keys(random),
            comparison: Comparison::Greater,
            target: CompareTarget::Version(0),
        })
        .collect();
    Txn {
        compare,
        success,
        failure,
    }
}

/// Something that can be asked for, with what it borrows.
enum Asked {
    Command(Command),
    Range(Range),
    Watch(Keys),
    Lease(LeaseId, u8),
    Plain(Request<'static>),
}

impl Asked {
    fn random(random: &mut SmallRng) -> Self {
        const PLAIN: [Request<'static>; 10] = [
            Request::LeaseGrant,
            Request::LeaseList,
            Request::Status,
            Request::Hash,
            Request::Snapshot,
            Request::MoveLeader,
            Request::AuthChange,
            Request::MemberChange,
            Request::UserGet(USER),
            Request::UserGet(ROOT),
        ];
        match random.random_range(0..16) {
            0..3 => Self::Range(range(random)),
            3..6 => Self::Command(Command::Put(put(random))),
            6..8 => Self::Command(Command::DeleteRange(delete(random))),
            8..12 => Self::Command(Command::Txn(txn(random, 2))),
            12 => Self::Watch(keys(random)),
            13 => Self::Command(Command::LeaseRevoke { id: lease(random) }),
            14 => Self::Lease(lease(random), random.random_range(0..3)),
            _ => Self::Plain(PLAIN[random.random_range(0..PLAIN.len())]),
        }
    }

    fn request(&self) -> Request<'_> {
        match self {
            Self::Command(command) => Request::of(command).expect("it has no author yet"),
            Self::Range(range) => Request::Range(range),
            Self::Watch(keys) => Request::Watch(keys),
            Self::Lease(id, 0) => Request::LeaseKeepAlive(*id),
            Self::Lease(id, with) => Request::LeaseTimeToLive {
                id: *id,
                keys: *with == 1,
            },
            Self::Plain(request) => *request,
        }
    }
}

/// Every key-value that an answer shows.
fn shown(answer: &Answer) -> Vec<KeyValue> {
    fn of_txn(txn: &TxnAnswer, all: &mut Vec<KeyValue>) {
        for answer in &txn.answers {
            match answer {
                OperationAnswer::Range(range) => all.extend(range.key_values.iter().cloned()),
                OperationAnswer::Put(put) => all.extend(put.previous.clone()),
                OperationAnswer::DeleteRange(delete) => all.extend(delete.previous.iter().cloned()),
                OperationAnswer::Txn(inner) => of_txn(inner, all),
            }
        }
    }
    let mut all = Vec::new();
    match answer {
        Answer::Put(put) => all.extend(put.previous.clone()),
        Answer::DeleteRange(delete) => all.extend(delete.previous.iter().cloned()),
        Answer::Txn(txn) => of_txn(txn, &mut all),
        _ => {}
    }
    all
}

#[test]
fn nobody_reads_or_writes_what_the_obvious_model_of_rights_forbids() {
    let seed = clock::random_u64();
    let mut random = SmallRng::seed_from_u64(seed);
    let (mut allowed, mut denied) = (0_u64, 0_u64);
    for number in 0..WORLDS {
        let mut world = World::new(&mut random);
        let view = world.fixture.machine.reader().view();
        let revision = view.auth().revision();
        for _ in 0..REQUESTS_PER_WORLD {
            let asked = Asked::random(&mut random);
            let request = asked.request();
            let who = Who::User(USER, revision);
            let judged = view.authorize(who, &request).expect("the engine works");
            let expected = if world.allows(&request) {
                Ok(())
            } else {
                Err(Refusal::PermissionDenied)
            };
            assert_eq!(
                judged, expected,
                "seed {seed}, world {number}, grants {:?}, leases {:?}: {request:?}",
                world.grants, world.attached
            );
            *if judged.is_ok() { &mut allowed } else { &mut denied } += 1;
        }
        for _ in 0..APPLIED_PER_WORLD {
            let Asked::Command(command) = Asked::random(&mut random) else {
                continue;
            };
            if matches!(command, Command::LeaseRevoke { .. }) && random.random_ratio(9, 10) {
                continue;
            }
            let before = world.fixture.machine.reader().view().revision();
            let applied = world.fixture.apply(Command::By {
                author: Author::User {
                    name: USER.to_owned(),
                    auth_revision: revision,
                },
                command: Box::new(command.clone()),
            });
            let context = format!("seed {seed}, world {number}, {command:?}");
            for pair in applied.outcome.iter().flat_map(shown) {
                let is_readable = world.is_root
                    || world.holds(&pair.key, Right::Read)
                    // What a transaction has written itself it may know.
                    || pair.modification_revision > before;
                assert!(is_readable, "{context} showed {pair:?}");
            }
            for effect in &applied.effects {
                let Effect::Changed { events, .. } = effect else {
                    continue;
                };
                for event in events {
                    let is_writable = world.is_root
                        || (event.namespace == Namespace::DEFAULT
                            && world.holds(&event.key_value.key, Right::Write));
                    assert!(is_writable, "{context} changed {event:?}");
                }
            }
            if applied.outcome.is_err() {
                assert!(
                    applied.effects.is_empty(),
                    "{context} was refused and did something"
                );
            }
        }
    }
    assert!(allowed + denied >= 1_000_000);
    assert!(
        allowed > 100_000 && denied > 100_000,
        "{allowed} allowed, {denied} denied"
    );
}

#[test]
fn nobody_without_an_identity_or_with_an_old_one_does_anything_with_keys() {
    let mut random = SmallRng::seed_from_u64(7);
    let world = World::new(&mut random);
    let view = world.fixture.machine.reader().view();
    let revision = view.auth().revision();
    for _ in 0..2_000 {
        let asked = Asked::random(&mut random);
        let request = asked.request();
        let judge = |who| view.authorize(who, &request).expect("the engine works");
        assert_eq!(judge(Who::Nobody), Err(Refusal::UserEmpty), "{request:?}");
        assert_eq!(judge(Who::User("", revision)), Err(Refusal::UserEmpty));
        assert_eq!(judge(Who::Node), Ok(()));
        assert_eq!(judge(Who::User("bob", revision)), Err(Refusal::PermissionDenied));
        let is_about_keys = matches!(asked, Asked::Command(_) | Asked::Range(_) | Asked::Watch(_));
        if is_about_keys {
            let old = judge(Who::User(ROOT, revision - 1));
            assert_eq!(old, Err(Refusal::AuthOldRevision), "{request:?}");
        }
    }
}
