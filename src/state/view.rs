//! The state at one applied index, for everything that reads.
//!
//! Immutable and consistent: data, revision and applied index belong together. Never waits: whoever needs a linearizable
//! read asks replication for a view that is new enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::access::Request;
use super::applied::{Fatal, KeyValue, RangeAnswer, Refusal, TxnAnswer, VersionId};
use super::apply::{Counters, Transition, active_alarms, attached_keys, visible_leases};
use super::auth::{Auth, Who};
use super::command::{Alarm, Range, Txn};
use super::format::{self, Publication};
use super::mvcc::history::{self, EventPage, PageLimits};
use super::mvcc::range::{self, Moment, RangePage};
use super::mvcc::records::{Record, Selection, records};
use super::mvcc::{self, hash};
use super::recent::RecentKeys;
use super::{AppliedPosition, EventKind, position, schema};
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::storage::{Family, KeyRange, StorageError, View};

/// A handle on the newest published [`ReadView`].
#[derive(Clone)]
pub struct Reader {
    pub(super) current: Arc<ArcSwap<ReadView>>,
    pub(super) needs_identity: Arc<AtomicBool>,
}

impl Reader {
    /// The state after the last applied batch.
    #[must_use]
    pub fn view(&self) -> Arc<ReadView> {
        self.current.load_full()
    }

    /// Whether requests need an identity in that state. One load.
    #[must_use]
    pub fn needs_identity(&self) -> bool {
        self.needs_identity.load(Ordering::Acquire)
    }
}

/// The whole state at one applied index. Cheap to share.
pub struct ReadView {
    pub(super) view: Arc<dyn View>,
    pub(super) recent: Arc<RecentKeys>,
    /// None before the first entry, whose index may be 0.
    pub(super) applied_index: Option<u64>,
    pub(super) counters: Counters,
    pub(super) auth: Arc<Auth>,
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
    /// The log index up to which entries are applied; 0 also before the first entry.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.applied_index.unwrap_or_default()
    }

    /// The store's revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.counters.revision
    }

    /// The oldest readable revision, none if never compacted.
    #[must_use]
    pub fn compacted(&self) -> Option<Revision> {
        self.counters.compacted
    }

    /// Users and roles.
    #[must_use]
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Whether `who` may do `request` in this state.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: no identity, an old one, or not enough rights.
    pub fn authorize(&self, who: Who<'_>, request: &Request<'_>) -> Result<Result<(), Refusal>, Fatal> {
        Ok(self.auth.authorize(self.view.as_ref(), who, request)?)
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            view: self.view.as_ref(),
            recent: &self.recent,
            revision: self.counters.revision,
            compacted: self.counters.compacted,
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: compacted or future revision.
    pub fn range(&self, range: &Range) -> Result<Result<RangeAnswer, Refusal>, Fatal> {
        Ok(self.moment().range(range)?)
    }

    /// Reads the beginning of a range in key order: at most `maximum_keys` key-values, and no more once they are
    /// `maximum_bytes` of keys and values (at least one). Costs what it returns: nothing is counted, and of `range` only
    /// the keys, the revision and `keys_only` matter.
    ///
    /// # Errors
    /// As [`ReadView::range`].
    pub fn range_page(
        &self,
        range: &Range,
        maximum_keys: usize,
        maximum_bytes: usize,
    ) -> Result<Result<RangePage, Refusal>, Fatal> {
        let limits = range::PageLimits {
            keys: maximum_keys,
            bytes: maximum_bytes,
        };
        Ok(self.moment().page(range, limits)?)
    }

    /// Evaluates a transaction that only reads (see [`Txn::is_read_only`]).
    ///
    /// # Errors
    /// As [`ReadView::range`].
    pub fn read_transaction(&self, txn: &Txn) -> Result<Result<TxnAnswer, Refusal>, Fatal> {
        assert!(
            txn.is_read_only(),
            "a write would be remembered, though it is in no log"
        );
        let auth = Arc::clone(&self.auth);
        Ok(Transition::new(self.view.as_ref(), self.counters, auth, &self.recent).transaction(txn)?)
    }

    /// Changes from revision `from` on for which `matches` says yes, at most `maximum_revisions` revisions or
    /// `maximum_bytes` of keys and values (at least one revision), in order. The caller has checked `from` against
    /// [`ReadView::compacted`].
    ///
    /// # Errors
    /// The disk failed.
    pub fn events(
        &self,
        from: Revision,
        maximum_revisions: usize,
        maximum_bytes: usize,
        matches: &mut dyn FnMut(Namespace, &[u8], EventKind) -> bool,
    ) -> Result<EventPage, Fatal> {
        let limits = PageLimits {
            revisions: maximum_revisions,
            bytes: maximum_bytes,
        };
        Ok(history::events(
            self.view.as_ref(),
            self.revision(),
            from,
            limits,
            matches,
        )?)
    }

    /// A stored version of a key; none if it is a tombstone or compaction has removed it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn version(
        &self,
        namespace: Namespace,
        key: &Bytes,
        id: VersionId,
    ) -> Result<Option<KeyValue>, Fatal> {
        Ok(mvcc::version(self.view.as_ref(), namespace, key, id)?)
    }

    /// The granted time to live of a lease in seconds, none if there is no such lease.
    ///
    /// # Errors
    /// The disk failed.
    pub fn lease(&self, id: LeaseId) -> Result<Option<i64>, Fatal> {
        let record = self.view.get(Family::Leases, &schema::lease(id))?;
        Ok(record
            .map(|record| format::decode("lease", &record))
            .transpose()?)
    }

    /// All leases with their granted time to live in seconds, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub fn leases(&self) -> Result<Vec<(LeaseId, i64)>, Fatal> {
        self.collect(Family::Leases, &[], |key, record| {
            Ok((schema::lease_id(key)?, format::decode("lease", record)?))
        })
    }

    /// The leases that a client of etcd sees, by id: those whose keys are all in other namespaces are not among them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn visible_leases(&self) -> Result<Vec<LeaseId>, Fatal> {
        Ok(visible_leases(self.view.as_ref())?)
    }

    /// The keys attached to a lease, in order.
    ///
    /// # Errors
    /// The disk failed.
    pub fn lease_keys(&self, id: LeaseId) -> Result<Vec<(Namespace, Bytes)>, Fatal> {
        Ok(attached_keys(self.view.as_ref(), id)?)
    }

    /// What members have published about themselves, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub fn members(&self) -> Result<Vec<PublishedMember>, Fatal> {
        self.collect(Family::Meta, schema::MEMBER_PREFIX, |key, record| {
            let publication: Publication = format::decode("member publication", record)?;
            Ok(PublishedMember {
                id: schema::member_id(key)?,
                name: publication.name,
                client_urls: publication.client_urls,
            })
        })
    }

    /// The members that were removed, by id: none of them ever comes back.
    ///
    /// # Errors
    /// The disk failed.
    pub fn removed_members(&self) -> Result<Vec<MemberId>, Fatal> {
        self.collect(Family::Meta, schema::REMOVED_PREFIX, |key, _| {
            schema::removed_id(key)
        })
    }

    /// The position up to which this state is applied, and its membership, as replication stored them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn position(&self) -> Result<AppliedPosition, Fatal> {
        Ok(position(self.view.as_ref())?)
    }

    /// The active alarms, by member and kind.
    ///
    /// # Errors
    /// The disk failed.
    pub fn alarms(&self) -> Result<Vec<(MemberId, Alarm)>, Fatal> {
        let active = active_alarms(self.view.as_ref())?.into_iter();
        Ok(active.map(|active| (active.member, active.alarm)).collect())
    }

    /// Hashes all versions up to `revision` (0: the current one) as etcd's HashKV does. Takes time in proportion to
    /// the data.
    ///
    /// # Errors
    /// The outer error: the disk failed. The inner one: compacted or future revision.
    pub fn hash_kv(&self, revision: Revision) -> Result<Result<KeyValueHash, Refusal>, Fatal> {
        let revision = match self.moment().resolve(revision) {
            Ok(revision) => revision,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(Ok(KeyValueHash {
            hash: hash::hash(self.view.as_ref(), revision, self.compacted())?,
            revision,
            compacted: self.compacted().unwrap_or(Revision(-1)),
        }))
    }

    /// Hands every stored version that a read or a watch may still need to `visit`, in revision order. Takes time in
    /// proportion to the data.
    ///
    /// # Errors
    /// The disk failed, or `visit` failed.
    pub fn records(
        &self,
        visit: &mut dyn FnMut(&Record<'_>) -> Result<(), StorageError>,
    ) -> Result<(), Fatal> {
        let selection = Selection {
            until: self.revision(),
            compacted: self.compacted(),
            seen_at: self.compacted().unwrap_or(self.revision()),
            with_compacted_tombstones: true,
        };
        Ok(records(self.view.as_ref(), selection, visit)?)
    }

    fn collect<Item>(
        &self,
        family: Family,
        prefix: &[u8],
        mut read: impl FnMut(&[u8], &Bytes) -> Result<Item, StorageError>,
    ) -> Result<Vec<Item>, Fatal> {
        let mut items = Vec::new();
        let mut cursor = self.view.scan(family, KeyRange::prefix(prefix))?;
        while let Some((key, record)) = cursor.item() {
            items.push(read(key, &Bytes::copy_from_slice(record))?);
            cursor.advance()?;
        }
        Ok(items)
    }
}
