//! The replicated state machine: MVCC keys, leases, published members and alarms.
//!
//! [`Machine::apply`] is a function of (state, entries): on every node the same entries give the same bytes, the same
//! answers and the same news. [`ReadView`] is the state at one applied index, for everything that reads.
//!
//! Never reads a clock, draws a random number, touches a socket or file, iterates a hash map, or awaits.

pub mod applied;
pub mod command;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::{Engine, View};
use applied::{Applied, Event, EventKind, Fatal, KeyValue, RangeAnswer, Refusal, TxnAnswer, VersionId};
use command::{Alarm, Proposal, Range, Txn};

/// One entry of the log, as apply sees it.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// The full position (term and whatever else replication needs), stored as the applied position.
    pub position: Bytes,
    /// What it carries.
    pub payload: Payload,
}

/// What a log entry carries.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`Proposal`].
    Proposal(Bytes),
    /// A membership, stored as it is for replication.
    Membership(Bytes),
}

/// Encodes a proposal for the log.
#[must_use]
pub fn encode_proposal(proposal: &Proposal) -> Bytes {
    todo!("{proposal:?}")
}

/// The state machine of one node. One thread applies; any number read through [`Machine::reader`].
pub struct Machine {}

impl Machine {
    /// Opens the state that `engine` holds; a fresh engine is initialised at revision 1.
    ///
    /// # Errors
    /// The disk failed, or the state is damaged or of a newer format.
    pub fn open(_engine: Arc<dyn Engine>) -> Result<Self, Fatal> {
        todo!()
    }

    /// Applies committed entries in order as one atomic batch, publishes the new [`ReadView`], and returns an
    /// [`Applied`] for each entry. Entries at or below the applied index are an error of the caller.
    ///
    /// # Errors
    /// The disk failed or an entry cannot be decoded: nothing may be acknowledged, the node must stop.
    pub fn apply(&mut self, _entries: &[LogEntry]) -> Result<Vec<Applied>, Fatal> {
        todo!()
    }

    /// The position of the last applied entry and the last membership entry with its position, as they were given to
    /// [`Machine::apply`] (and as they are in the engine: after a crash they may be older than before it).
    ///
    /// # Errors
    /// The disk failed.
    pub fn position(&self) -> Result<AppliedPosition, Fatal> {
        todo!()
    }

    /// Where readers find the newest published view. The same for the life of the machine, [`Machine::replace`]
    /// included.
    #[must_use]
    pub fn reader(&self) -> Reader {
        todo!()
    }

    /// Replaces the whole state by the one that `engine` holds (a snapshot of another node).
    ///
    /// # Errors
    /// As [`Machine::open`]; the old state stays in place then.
    pub fn replace(&mut self, _engine: Arc<dyn Engine>) -> Result<(), Fatal> {
        todo!()
    }

    /// Physically removes up to `maximum_events` changes of compacted history; true when nothing is left to remove.
    /// Safe beside apply, from another thread (see [`Compactor`]).
    #[must_use]
    pub fn compactor(&self) -> Compactor {
        todo!()
    }
}

/// Removes compacted history in the background, in bounded steps. Never pauses writes.
#[derive(Clone)]
pub struct Compactor {}

impl Compactor {
    /// One step over at most `maximum_events` changes; true when nothing is left to remove.
    ///
    /// # Errors
    /// The disk failed.
    pub fn step(&self, _maximum_events: usize) -> Result<bool, Fatal> {
        todo!()
    }
}

/// What replication stored with the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppliedPosition {
    /// The index of the last applied entry, if any.
    pub index: Option<u64>,
    /// Its full position.
    pub position: Option<Bytes>,
    /// The last membership that was applied, with the position of its entry.
    pub membership: Option<(Bytes, Bytes)>,
}

/// A handle on the newest published [`ReadView`].
#[derive(Clone)]
pub struct Reader {
    current: Arc<ArcSwap<ReadView>>,
}

impl Reader {
    /// The state after the last applied batch.
    #[must_use]
    pub fn view(&self) -> Arc<ReadView> {
        self.current.load_full()
    }
}

/// The whole state at one applied index. Cheap to share, consistent, immutable.
pub struct ReadView {
    view: Arc<dyn View>,
    applied_index: u64,
    revision: Revision,
    compacted: Option<Revision>,
}

/// A page of history for watch catch-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Matching changes in order; all of a revision are in one page.
    pub events: Vec<Event>,
    /// The first revision that was not looked at: view revision + 1 when the page reached the end.
    pub next: Revision,
}

/// A member's own publication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishedMember {
    /// Who.
    pub id: MemberId,
    /// Its name.
    pub name: String,
    /// Where its clients find it.
    pub client_urls: Vec<String>,
}

/// The answer to a HashKV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyValueHash {
    /// CRC-32C in etcd's definition.
    pub hash: u32,
    /// The revision that was hashed.
    pub revision: Revision,
    /// The compacted revision, -1 if never compacted.
    pub compacted: Revision,
}

impl ReadView {
    /// The log index up to which entries are applied.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// The store's revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest readable revision, none if never compacted.
    #[must_use]
    pub fn compacted(&self) -> Option<Revision> {
        self.compacted
    }

    /// Reads a range.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: compacted or future revision.
    pub fn range(&self, _range: &Range) -> Result<Result<RangeAnswer, Refusal>, Fatal> {
        let _ = &self.view;
        todo!()
    }

    /// Evaluates a transaction that only reads (see [`command::Txn::is_read_only`]).
    ///
    /// # Errors
    /// As [`ReadView::range`].
    pub fn read_transaction(&self, _txn: &Txn) -> Result<Result<TxnAnswer, Refusal>, Fatal> {
        todo!()
    }

    /// Changes from revision `from` on for which `matches` says yes, at most `maximum_revisions` revisions or
    /// `maximum_bytes` of keys and values (at least one revision), in order. The caller has checked `from` against
    /// [`ReadView::compacted`].
    ///
    /// # Errors
    /// The disk failed.
    pub fn events(
        &self,
        _from: Revision,
        _maximum_revisions: usize,
        _maximum_bytes: usize,
        _matches: &mut dyn FnMut(Namespace, &[u8], EventKind) -> bool,
    ) -> Result<EventPage, Fatal> {
        todo!()
    }

    /// A stored version of a key; none if it is a tombstone or compaction has removed it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn version(
        &self,
        _namespace: Namespace,
        _key: &[u8],
        _id: VersionId,
    ) -> Result<Option<KeyValue>, Fatal> {
        todo!()
    }

    /// The granted time to live of a lease in seconds, none if there is no such lease.
    ///
    /// # Errors
    /// The disk failed.
    pub fn lease(&self, _id: LeaseId) -> Result<Option<i64>, Fatal> {
        todo!()
    }

    /// All leases with their granted time to live in seconds, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub fn leases(&self) -> Result<Vec<(LeaseId, i64)>, Fatal> {
        todo!()
    }

    /// The keys attached to a lease, in order.
    ///
    /// # Errors
    /// The disk failed.
    pub fn lease_keys(&self, _id: LeaseId) -> Result<Vec<(Namespace, Bytes)>, Fatal> {
        todo!()
    }

    /// What members have published about themselves, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub fn members(&self) -> Result<Vec<PublishedMember>, Fatal> {
        todo!()
    }

    /// The active alarms, by member and kind.
    ///
    /// # Errors
    /// The disk failed.
    pub fn alarms(&self) -> Result<Vec<(MemberId, Alarm)>, Fatal> {
        todo!()
    }

    /// Hashes all versions up to `revision` (0: the current one) as etcd's HashKV does. Takes time in proportion to
    /// the data.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: compacted or future revision.
    pub fn hash_kv(&self, _revision: Revision) -> Result<Result<KeyValueHash, Refusal>, Fatal> {
        todo!()
    }
}
