//! The state machine of one node: applies committed entries to an engine and publishes what readers see.
//!
//! One batch of entries is one atomic write, which also holds the applied position and the membership, so that after a
//! crash the state is that of some applied index, never between two. Nothing is answered before the write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::applied::{Applied, Fatal};
use super::apply::{Alarms, Counters, Transition};
use super::auth::Auth;
use super::format::{self, AppliedEntry, StoredMembership};
use super::mvcc::compaction;
use super::recent::RecentKeys;
use super::schema;
use super::view::{ReadView, Reader};
use crate::base::{MemberId, Revision};
use crate::storage::{Batch, Durability, Engine, Family, StorageError, View};

/// The revision of a store that holds nothing, as in etcd.
const FIRST_REVISION: Revision = Revision(1);

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
    /// Encoded [`Proposal`](super::command::Proposal)s, one behind the other.
    Proposals(Bytes),
    /// A membership, stored as it is for replication.
    Membership {
        /// The membership, opaque.
        membership: Bytes,
        /// Members of the one before that are not in it: they never come back.
        removed: Vec<MemberId>,
    },
}

/// What replication stored with the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppliedPosition {
    /// The index of the last applied entry, if any.
    pub index: Option<u64>,
    /// Its full position.
    pub position: Option<Bytes>,
    /// The last membership that was applied, with the position of its entry: (position, membership).
    pub membership: Option<(Bytes, Bytes)>,
}

/// The state machine of one node. One thread applies; any number read through [`Machine::reader`].
pub struct Machine {
    engine: Arc<ArcSwap<Arc<dyn Engine>>>,
    counters: Counters,
    recent: Arc<RecentKeys>,
    published: Arc<ArcSwap<ReadView>>,
    /// Whether the published state needs an identity: what a request looks at first.
    needs_identity: Arc<AtomicBool>,
}

impl Machine {
    /// Opens the state that `engine` holds; a fresh engine is initialised at revision 1.
    ///
    /// # Errors
    /// The disk failed, or the state is damaged or of a newer format.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Self, Fatal> {
        Self::open_remembering(engine, RecentKeys::new())
    }

    /// [`Machine::open`] with a table of recent keys that knows nothing yet.
    pub(super) fn open_remembering(engine: Arc<dyn Engine>, recent: RecentKeys) -> Result<Self, Fatal> {
        let recent = Arc::new(recent);
        let read_view = load(&engine, Arc::clone(&recent))?;
        Ok(Self {
            engine: Arc::new(ArcSwap::from_pointee(engine)),
            counters: read_view.counters,
            recent,
            needs_identity: Arc::new(AtomicBool::new(read_view.auth.is_enabled())),
            published: Arc::new(ArcSwap::from_pointee(read_view)),
        })
    }

    /// Applies committed entries in order as one atomic batch, publishes the new [`ReadView`], and returns an
    /// [`Applied`] for each proposal.
    ///
    /// # Errors
    /// The disk failed, an entry cannot be decoded or was applied before: nothing may be acknowledged, the
    /// node must stop.
    pub fn apply(&mut self, entries: &[LogEntry]) -> Result<Vec<Applied>, Fatal> {
        let Some(last) = entries.last() else {
            return Ok(Vec::new());
        };
        let engine = self.engine.load_full();
        let current = self.published.load_full();
        let mut transition = Transition::new(
            current.view.as_ref(),
            self.counters,
            Arc::clone(&current.auth),
            &self.recent,
        );
        let mut applied = Vec::with_capacity(entries.len());
        let mut previous_index = current.applied_index;
        for entry in entries {
            if let Some(applied) = previous_index.filter(|applied| entry.index <= *applied) {
                return Err(Fatal::OutOfOrder {
                    index: entry.index,
                    applied,
                });
            }
            previous_index = Some(entry.index);
            apply_entry(&mut transition, entry, &mut applied)?;
        }
        let position = AppliedEntry {
            index: last.index,
            position: last.position.clone(),
        };
        transition.put_meta(schema::APPLIED, format::encode("applied position", &position)?);
        let counters = transition.counters();
        if counters.revision != self.counters.revision {
            let revision = format::encode("revision", &counters.revision)?;
            transition.put_meta(schema::REVISION, revision);
        }
        let auth = transition.auth();
        engine.write(transition.into_batch(), Durability::Buffered)?;
        self.counters = counters;
        self.publish(ReadView {
            view: engine.view(),
            recent: Arc::clone(&self.recent),
            applied_index: Some(last.index),
            counters,
            auth,
        });
        Ok(applied)
    }

    /// The last applied entry and the last membership entry, as the engine holds them: after a crash they may be older
    /// than before it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn position(&self) -> Result<AppliedPosition, Fatal> {
        Ok(position(self.published.load().view.as_ref())?)
    }

    /// Where readers find the newest published view. The same for the life of the machine, [`Machine::replace`]
    /// included.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader {
            current: Arc::clone(&self.published),
            needs_identity: Arc::clone(&self.needs_identity),
        }
    }

    fn publish(&self, read_view: ReadView) {
        let is_enabled = read_view.auth.is_enabled();
        self.published.store(Arc::new(read_view));
        self.needs_identity.store(is_enabled, Ordering::Release);
    }

    /// Replaces the whole state by the one that `engine` holds (a snapshot of another node).
    ///
    /// # Errors
    /// As [`Machine::open`]; the old state stays in place then.
    pub fn replace(&mut self, engine: Arc<dyn Engine>) -> Result<(), Fatal> {
        let recent = Arc::new(self.recent.anew());
        let read_view = load(&engine, Arc::clone(&recent))?;
        self.counters = read_view.counters;
        self.recent = recent;
        self.engine.store(Arc::new(engine));
        self.publish(read_view);
        Ok(())
    }

    /// What removes compacted history in the background.
    #[must_use]
    pub fn compactor(&self) -> Compactor {
        Compactor {
            engine: Arc::clone(&self.engine),
            published: Arc::clone(&self.published),
        }
    }
}

/// The position and membership that an engine's state was applied up to, without opening a [`Machine`] on it.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn position(view: &dyn View) -> Result<AppliedPosition, StorageError> {
    let applied: Option<AppliedEntry> = meta(view, schema::APPLIED, "applied position")?;
    let membership: Option<StoredMembership> = meta(view, schema::MEMBERSHIP, "membership")?;
    let (index, position) = applied.map_or((None, None), |entry| (Some(entry.index), Some(entry.position)));
    Ok(AppliedPosition {
        index,
        position,
        membership: membership.map(|stored| (stored.position, stored.membership)),
    })
}

fn meta<Record: serde::de::DeserializeOwned>(
    view: &dyn View,
    key: &[u8],
    what: &'static str,
) -> Result<Option<Record>, StorageError> {
    view.get(Family::Meta, key)?
        .map(|record| format::decode(what, &record))
        .transpose()
}

pub(super) fn load(engine: &Arc<dyn Engine>, recent: Arc<RecentKeys>) -> Result<ReadView, Fatal> {
    match meta::<u32>(engine.view().as_ref(), schema::FORMAT, "database format")? {
        Some(schema::FIRST_FORMAT..=schema::FORMAT_WITH_USERS) => {}
        Some(other) => {
            return Err(Fatal::Storage(StorageError::Corrupt {
                what: "state database",
                reason: format!(
                    "its format is {other}, this program knows {} to {}; run the version of stead that wrote it",
                    schema::FIRST_FORMAT,
                    schema::FORMAT_WITH_USERS,
                ),
            }));
        }
        None => {
            let mut batch = Batch::default();
            let format = format::encode("database format", &schema::FIRST_FORMAT)?;
            batch.put(Family::Meta, schema::FORMAT, format);
            engine.write(batch, Durability::Buffered)?;
        }
    }
    let view = engine.view();
    let counters = Counters {
        revision: meta(view.as_ref(), schema::REVISION, "revision")?.unwrap_or(FIRST_REVISION),
        compacted: meta(view.as_ref(), schema::COMPACTED, "compacted revision")?,
        alarms: Alarms::load(view.as_ref())?,
    };
    let applied_index = position(view.as_ref())?.index;
    let auth = Arc::new(Auth::load(view.as_ref())?);
    Ok(ReadView {
        auth,
        view,
        recent,
        applied_index,
        counters,
    })
}

fn apply_entry(
    transition: &mut Transition<'_>,
    entry: &LogEntry,
    applied: &mut Vec<Applied>,
) -> Result<(), Fatal> {
    match &entry.payload {
        Payload::Blank => {}
        Payload::Membership { membership, removed } => {
            removed.iter().for_each(|id| transition.remove_member(*id));
            let stored = StoredMembership {
                position: entry.position.clone(),
                membership: membership.clone(),
            };
            transition.put_meta(schema::MEMBERSHIP, format::encode("membership", &stored)?);
        }
        Payload::Proposals(encoded) => {
            let proposals = format::decode_proposals(encoded).map_err(|error| Fatal::Decode {
                index: entry.index,
                reason: error.to_string(),
            })?;
            for proposal in proposals {
                let (outcome, effects) = transition.apply(&proposal.command)?;
                applied.push(Applied {
                    index: entry.index,
                    origin: proposal.origin,
                    sequence: proposal.sequence,
                    operation: proposal.command.operation(),
                    outcome,
                    revision: transition.counters().revision,
                    effects,
                });
            }
        }
    }
    Ok(())
}

/// Removes compacted history in the background, in bounded steps. Never pauses writes; safe beside apply, from another
/// thread.
#[derive(Clone)]
pub struct Compactor {
    engine: Arc<ArcSwap<Arc<dyn Engine>>>,
    published: Arc<ArcSwap<ReadView>>,
}

/// What a step of the background removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactionProgress {
    /// The compaction whose history it removes, none if there never was one.
    pub compacted: Option<Revision>,
    /// Versions that it removed.
    pub removed: u64,
    /// Whether nothing is left to remove.
    pub finished: bool,
}

impl Compactor {
    /// One step over about `maximum_events` changes.
    ///
    /// # Errors
    /// The disk failed.
    pub fn step(&self, maximum_events: usize) -> Result<CompactionProgress, Fatal> {
        let engine = self.engine.load_full();
        let Some(compacted) = self.published.load().compacted() else {
            return Ok(CompactionProgress {
                compacted: None,
                removed: 0,
                finished: true,
            });
        };
        let step = compaction::step(engine.view().as_ref(), compacted, maximum_events)?;
        let progress = CompactionProgress {
            compacted: Some(compacted),
            removed: step.removed,
            finished: step.finished,
        };
        if !step.batch.is_empty() {
            engine.write(step.batch, Durability::Buffered)?;
        }
        Ok(progress)
    }
}
