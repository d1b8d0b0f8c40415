//! What may be proposed: nothing that grows a full database, nothing at all to a cluster whose members disagree.
//!
//! The size of the database is measured now and then ([`Admission::measure`]), never on the path of a request; alarms
//! are learnt from the log, so that a request costs two loads. What is let through here although an alarm is active by the
//! time it is applied is refused then, on all members alike. Never waits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::ServiceError;
use crate::base::MemberId;
use crate::replication::News;
use crate::state::ReadView;
use crate::state::applied::{Effect, Fatal, Refusal};
use crate::state::command::{Alarm, Operation, Put, Txn};

/// Bytes that a put is taken to need besides its key and value (etcd's estimate).
const PUT_OVERHEAD_BYTES: u64 = 256;
/// Bytes that a lease is taken to need (etcd's estimate).
const LEASE_BYTES: u64 = 64;

/// Parts of the quota below which the alarm of a full database is cleared: [`ROOM_NUMERATOR`] of [`ROOM_DENOMINATOR`],
/// well below the size that raises it, so that it does not come and go.
const ROOM_NUMERATOR: u64 = 9;
/// See [`ROOM_NUMERATOR`].
const ROOM_DENOMINATOR: u64 = 10;

/// Decides what may be proposed on this node.
pub(super) struct Admission {
    member: MemberId,
    quota_bytes: Option<u64>,
    database_bytes: AtomicU64,
    no_space: AtomicBool,
    /// Whether the alarm of a full database is this member's.
    own_no_space: AtomicBool,
    corrupt: AtomicBool,
    wants_alarm: AtomicBool,
}

impl Admission {
    /// An open door of `member`, under `quota_bytes` (none: without a quota).
    pub fn new(member: MemberId, quota_bytes: Option<u64>) -> Self {
        Self {
            member,
            quota_bytes,
            database_bytes: AtomicU64::new(0),
            no_space: AtomicBool::new(false),
            own_no_space: AtomicBool::new(false),
            corrupt: AtomicBool::new(false),
            wants_alarm: AtomicBool::new(false),
        }
    }

    /// Admits a command that does not grow the database.
    ///
    /// # Errors
    /// The cluster is corrupt.
    pub fn change(&self) -> Result<(), ServiceError> {
        if self.corrupt.load(Ordering::Relaxed) {
            Err(ServiceError::Refused(Refusal::Corrupt))
        } else {
            Ok(())
        }
    }

    /// Admits a put.
    ///
    /// # Errors
    /// The cluster is corrupt, or the database is full.
    pub fn put(&self, put: &Put) -> Result<(), ServiceError> {
        self.growth(put_bytes(put))
    }

    /// Admits a transaction: one that puts nothing is admitted to a full database.
    ///
    /// # Errors
    /// As [`Admission::put`].
    pub fn txn(&self, txn: &Txn) -> Result<(), ServiceError> {
        match txn_bytes(txn) {
            Some(bytes) => self.growth(bytes),
            None => self.change(),
        }
    }

    /// Admits a lease grant.
    ///
    /// # Errors
    /// As [`Admission::put`].
    pub fn lease_grant(&self) -> Result<(), ServiceError> {
        self.growth(LEASE_BYTES)
    }

    fn growth(&self, bytes: u64) -> Result<(), ServiceError> {
        self.change()?;
        if self.no_space.load(Ordering::Relaxed) {
            return Err(ServiceError::Refused(Refusal::NoSpace));
        }
        if let Some(quota) = self.quota_bytes
            && self.database_bytes.load(Ordering::Relaxed).saturating_add(bytes) >= quota
        {
            self.wants_alarm.store(true, Ordering::Relaxed);
            return Err(ServiceError::Refused(Refusal::NoSpace));
        }
        Ok(())
    }

    /// Takes note of the size of the database.
    pub fn measure(&self, database_bytes: u64) {
        self.database_bytes.store(database_bytes, Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        let bytes = u128::from(self.database_bytes.load(Ordering::Relaxed)) * u128::from(ROOM_DENOMINATOR);
        self.quota_bytes
            .is_none_or(|quota| bytes < u128::from(quota) * u128::from(ROOM_NUMERATOR))
    }

    /// Whether this member should raise its alarm: it refused a request for want of space, which is forgotten by this, or
    /// another member is full and this one has no room either. So the last alarm goes when all members have room.
    pub fn take_wish_for_alarm(&self) -> bool {
        let refused = self.wants_alarm.swap(false, Ordering::Relaxed);
        let joins = self.has_alarm() && !self.has_room();
        (refused || joins) && !self.has_own_alarm()
    }

    /// Whether the alarm of a full database is active, whichever member it is about.
    pub fn has_alarm(&self) -> bool {
        self.no_space.load(Ordering::Relaxed)
    }

    /// Whether the alarm of a full database is active for this member.
    pub fn has_own_alarm(&self) -> bool {
        self.own_no_space.load(Ordering::Relaxed)
    }

    /// Whether this member's alarm of a full database should be cleared: there is room.
    pub fn may_clear_alarm(&self) -> bool {
        self.has_own_alarm() && self.has_room()
    }

    /// Learns of alarms.
    ///
    /// # Errors
    /// The disk failed.
    pub fn learn(&self, news: &News) -> Result<(), Fatal> {
        let concerned = |effect: &Effect| matches!(effect, Effect::AlarmChanged { .. } | Effect::Restored);
        if news.effects.iter().any(concerned) {
            self.read_alarms(&news.view)
        } else {
            Ok(())
        }
    }

    /// Reads the alarms from the state.
    ///
    /// # Errors
    /// The disk failed.
    pub fn read_alarms(&self, view: &ReadView) -> Result<(), Fatal> {
        let alarms: Vec<(MemberId, Alarm)> = view.alarms()?;
        let active = |wanted: Alarm| alarms.iter().any(|(_, alarm)| *alarm == wanted);
        let own = alarms.contains(&(self.member, Alarm::NoSpace));
        self.no_space.store(active(Alarm::NoSpace), Ordering::Relaxed);
        self.own_no_space.store(own, Ordering::Relaxed);
        self.corrupt.store(active(Alarm::Corrupt), Ordering::Relaxed);
        Ok(())
    }
}

fn put_bytes(put: &Put) -> u64 {
    let payload = put.key.len().saturating_add(put.value.len());
    PUT_OVERHEAD_BYTES.saturating_add(u64::try_from(payload).unwrap_or(u64::MAX))
}

/// What a transaction may need at most, none if it puts nothing in either branch.
fn txn_bytes(txn: &Txn) -> Option<u64> {
    branch_bytes(&txn.success).max(branch_bytes(&txn.failure))
}

fn branch_bytes(branch: &[Operation]) -> Option<u64> {
    branch
        .iter()
        .filter_map(|operation| match operation {
            Operation::Put(put) => Some(put_bytes(put)),
            Operation::Txn(inner) => txn_bytes(inner),
            Operation::Range(_) | Operation::DeleteRange(_) => None,
        })
        .reduce(u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::state::command::DeleteRange;

    const MEMBER: MemberId = MemberId(1);

    fn put_of(bytes: usize) -> Put {
        Put {
            key: Bytes::from("k"),
            value: Bytes::from(vec![0; bytes]),
            ..Put::default()
        }
    }

    #[test]
    fn a_put_that_would_reach_the_quota_is_refused_and_asks_for_the_alarm() {
        let admission = Admission::new(MEMBER, Some(1_000));
        admission.measure(500);
        assert_eq!(admission.put(&put_of(242)), Ok(()));
        assert!(!admission.take_wish_for_alarm());
        assert_eq!(
            admission.put(&put_of(243)),
            Err(ServiceError::Refused(Refusal::NoSpace))
        );
        assert!(admission.take_wish_for_alarm());
        assert!(!admission.take_wish_for_alarm());
    }

    #[test]
    fn an_alarm_is_cleared_when_more_than_a_tenth_of_the_quota_is_free() {
        let admission = Admission::new(MEMBER, Some(1_000));
        admission.measure(1_000);
        admission.own_no_space.store(true, Ordering::Relaxed);
        assert!(!admission.may_clear_alarm());
        admission.measure(900);
        assert!(!admission.may_clear_alarm());
        admission.measure(899);
        assert!(admission.may_clear_alarm());
    }

    #[test]
    fn a_member_without_room_joins_the_alarm_of_another_one() {
        let admission = Admission::new(MEMBER, Some(1_000));
        admission.measure(900);
        assert!(!admission.take_wish_for_alarm());
        admission.no_space.store(true, Ordering::Relaxed);
        assert!(admission.take_wish_for_alarm());
        admission.measure(899);
        assert!(!admission.take_wish_for_alarm());
    }

    #[test]
    fn an_alarm_of_another_member_is_not_cleared() {
        let admission = Admission::new(MEMBER, Some(1_000));
        admission.measure(10);
        admission.no_space.store(true, Ordering::Relaxed);
        assert!(!admission.may_clear_alarm());
    }

    #[test]
    fn without_a_quota_nothing_is_too_large() {
        let admission = Admission::new(MEMBER, None);
        admission.measure(u64::MAX);
        assert_eq!(admission.put(&put_of(1)), Ok(()));
    }

    #[test]
    fn a_full_database_still_takes_what_puts_nothing() {
        let admission = Admission::new(MEMBER, Some(0));
        let delete = Operation::DeleteRange(DeleteRange::default());
        let deleting = Txn {
            success: vec![delete],
            ..Txn::default()
        };
        assert_eq!(admission.txn(&deleting), Ok(()));
        let putting = Txn {
            failure: vec![Operation::Txn(Txn {
                success: vec![Operation::Put(put_of(1))],
                ..Txn::default()
            })],
            ..deleting
        };
        assert_eq!(
            admission.txn(&putting),
            Err(ServiceError::Refused(Refusal::NoSpace))
        );
        assert_eq!(
            admission.lease_grant(),
            Err(ServiceError::Refused(Refusal::NoSpace))
        );
    }

    #[test]
    fn a_transaction_needs_what_its_larger_branch_needs() {
        let txn = Txn {
            success: vec![Operation::Put(put_of(10)), Operation::Put(put_of(20))],
            failure: vec![Operation::Put(put_of(100))],
            ..Txn::default()
        };
        assert_eq!(txn_bytes(&txn), Some(2 * 256 + 11 + 21));
    }
}
