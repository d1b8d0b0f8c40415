//! Watches of services: a snapshot of what a filter lets through, then every change of it, in the order of revisions.
//!
//! ```text
//!  Snapshot -> Live <- History
//!                 \------^   too far behind
//! ```
//!
//! A watch holds its filter and the revision up to which it has told everything, and no copy of what it told: whether an
//! entry leaves the filter follows from what the entry was before. It reads the board at its own pace; one that falls
//! behind what the board has at hand builds a catalog of its own at its revision and brings that on from history, so a
//! client can go on after any revision that is not compacted, on any member.
//!
//! Invariant: the changes told after a revision R are those between R and the revision of the answer, each once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::catalog::Catalog;
use super::entries::{Change, EntryChange, Place};
use super::error::RegistryError;
use super::follow::{self, Board};
use super::model::{Entry, Filter};
use crate::base::limits::{
    MAXIMUM_CATCH_UP_BYTES, MAXIMUM_CATCH_UP_REVISIONS, MAXIMUM_REGISTRY_PAGE_BYTES,
    MAXIMUM_REGISTRY_PAGE_INSTANCES,
};
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::service::auth::gate::judge_again;
use crate::service::core::Core;
use crate::state::access::Request;
use crate::state::auth::Identity;

/// Time after which a quiet watch is told how far it is, so that it can go on from there.
const PROGRESS_SECONDS: u64 = 10;
/// Revisions that are taken from the board at a time.
const TAKEN_REVISIONS: usize = 512;

/// What became of an instance, as a filter sees it.
#[derive(Debug, Clone)]
pub enum Delta {
    /// It is there, or has changed.
    Put(Arc<Entry>),
    /// It is gone, or not let through any more; as it was.
    Removed(Arc<Entry>),
}

/// Some of what a watch tells.
#[derive(Debug, Clone, Default)]
pub struct WatchBatch {
    /// Everything up to this revision is told; none: the next batch belongs to this one.
    pub revision: Option<Revision>,
    /// Whether the changes are what was there.
    pub is_snapshot: bool,
    /// The changes, in order.
    pub changes: Vec<(Revision, Delta)>,
}

/// What a watch is doing.
enum Stage {
    /// Telling what is there.
    Snapshot {
        catalog: Arc<Catalog>,
        after: Option<Place>,
    },
    /// Reading history, with a catalog as it was up to where it has read.
    History {
        catalog: Box<Catalog>,
        _permit: OwnedSemaphorePermit,
    },
    /// Reading the board.
    Live,
}

/// A watch of services.
pub struct ServiceWatch {
    board: Arc<Board>,
    core: Arc<Core>,
    histories: Arc<Semaphore>,
    identity: Option<Identity>,
    /// The revision of users and roles up to which the watch is known to be allowed.
    judged: u64,
    filter: Filter,
    stage: Stage,
    /// Everything up to here is told, or is in `waiting`.
    told: Revision,
    /// What is to be told next, in order.
    waiting: std::collections::VecDeque<(Revision, Delta)>,
    next_progress: Instant,
    _place: OwnedSemaphorePermit,
}

/// What a watch is opened with.
pub(super) struct Opening {
    pub board: Arc<Board>,
    pub core: Arc<Core>,
    pub histories: Arc<Semaphore>,
    pub identity: Option<Identity>,
    pub filter: Filter,
    pub place: OwnedSemaphorePermit,
}

impl ServiceWatch {
    /// One that begins with everything that is in `catalog`.
    pub(super) fn from_catalog(opening: Opening, catalog: Arc<Catalog>) -> Self {
        let told = catalog.revision();
        Self::new(opening, told, Stage::Snapshot { catalog, after: None })
    }

    /// One that goes on after a revision.
    pub(super) fn after(opening: Opening, revision: Revision) -> Self {
        Self::new(opening, revision, Stage::Live)
    }

    fn new(opening: Opening, told: Revision, stage: Stage) -> Self {
        Self {
            board: opening.board,
            core: opening.core,
            histories: opening.histories,
            identity: opening.identity,
            judged: 0,
            filter: opening.filter,
            stage,
            told,
            waiting: std::collections::VecDeque::new(),
            next_progress: next_progress(),
            _place: opening.place,
        }
    }

    /// The next changes; waits until there are some, or until it is time to tell that there are none. Losing the future
    /// loses nothing.
    ///
    /// # Errors
    /// What is to be told is compacted, or whoever watches may not do so any more, or the node is stopping. The watch is
    /// over then.
    pub async fn next(&mut self) -> Result<WatchBatch, ServiceError> {
        loop {
            self.judge()?;
            if let Some(batch) = self.snapshot_page() {
                return Ok(batch);
            }
            if !self.waiting.is_empty() {
                return Ok(self.take_waiting());
            }
            if matches!(self.stage, Stage::History { .. }) {
                self.read_history().await?;
                continue;
            }
            let Some(told) = self.board.after(self.told, TAKEN_REVISIONS) else {
                self.open_history().await?;
                continue;
            };
            for change in &told.changes {
                self.queue(change);
            }
            let has_moved = told.until > self.told;
            self.told = told.until;
            if !self.waiting.is_empty() {
                continue;
            }
            if has_moved && !told.changes.is_empty() {
                // There may be more, all of which the filter leaves out.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                passed = self.board.passed(self.told) => passed?,
                () = tokio::time::sleep_until(self.next_progress) => {
                    // Ask how far the hub is: nothing may have changed in the namespace for long.
                    let catalog = self.board.reach(self.core.reader.view().revision()).await?;
                    self.next_progress = next_progress();
                    if catalog.changed() <= self.told {
                        self.told = self.told.max(catalog.revision());
                        return Ok(WatchBatch { revision: Some(self.told), ..WatchBatch::default() });
                    }
                }
            }
        }
    }

    /// Whether whoever watches still may.
    fn judge(&mut self) -> Result<(), ServiceError> {
        let view = self.core.reader.view();
        let revision = view.auth().revision();
        if view.auth().is_enabled() && revision != self.judged {
            judge_again(&view, self.identity.as_ref(), &Request::ServiceRead)??;
            self.judged = revision;
        }
        Ok(())
    }

    /// The next page of the snapshot, if it is being told.
    fn snapshot_page(&mut self) -> Option<WatchBatch> {
        let Stage::Snapshot { catalog, after } = &mut self.stage else {
            return None;
        };
        let (entries, next) = catalog.page(&self.filter, after.as_ref(), MAXIMUM_REGISTRY_PAGE_INSTANCES);
        let revision = catalog.revision();
        let changes = entries.into_iter().map(|entry| (revision, Delta::Put(entry)));
        let batch = WatchBatch {
            revision: next.is_none().then_some(revision),
            is_snapshot: true,
            changes: changes.collect(),
        };
        match next {
            Some(place) => *after = Some(place),
            None => self.stage = Stage::Live,
        }
        Some(batch)
    }

    /// Takes from what waits as much as one message may hold.
    fn take_waiting(&mut self) -> WatchBatch {
        let mut batch = WatchBatch::default();
        let mut bytes = 0_usize;
        while bytes < MAXIMUM_REGISTRY_PAGE_BYTES && batch.changes.len() < MAXIMUM_REGISTRY_PAGE_INSTANCES {
            let Some((revision, delta)) = self.waiting.pop_front() else {
                break;
            };
            let (Delta::Put(entry) | Delta::Removed(entry)) = &delta;
            bytes = bytes.saturating_add(entry.size_bytes());
            batch.changes.push((revision, delta));
        }
        batch.revision = match self.waiting.front() {
            None => Some(self.told),
            Some((next, _)) => batch
                .changes
                .last()
                .map(|(last, _)| *last)
                .filter(|last| last < next),
        };
        self.next_progress = next_progress();
        batch
    }

    /// Queues what a filter lets see of a change.
    fn queue(&mut self, change: &Change) {
        for EntryChange { before, after } in &change.entries {
            let before = before.as_ref().filter(|entry| self.filter.admits(entry));
            let after = after.as_ref().filter(|entry| self.filter.admits(entry));
            let delta = match (before, after) {
                (_, Some(entry)) => Delta::Put(Arc::clone(entry)),
                (Some(entry), None) => Delta::Removed(Arc::clone(entry)),
                (None, None) => continue,
            };
            self.waiting.push_back((change.revision, delta));
        }
    }

    /// Builds a catalog as it was at the revision up to which everything is told.
    async fn open_history(&mut self) -> Result<(), ServiceError> {
        let permit = Arc::clone(&self.histories).acquire_owned().await;
        let permit = permit.map_err(|_| ServiceError::Stopped)?;
        let view = self.core.reader.view();
        let after = self.told;
        if let Some(compacted) = view.compacted().filter(|compacted| *compacted > after) {
            return Err(RegistryError::Compacted { after, compacted }.into());
        }
        let loading = tokio::task::spawn_blocking(move || follow::load(&view, after)).await;
        let catalog = loading.map_err(|_| ServiceError::Stopped)??;
        self.stage = Stage::History {
            catalog: Box::new(catalog),
            _permit: permit,
        };
        Ok(())
    }

    /// Reads one page of history, or goes over to the board if that has the rest.
    async fn read_history(&mut self) -> Result<(), ServiceError> {
        if self.board.after(self.told, 0).is_some() {
            self.stage = Stage::Live;
            return Ok(());
        }
        let Stage::History { catalog, .. } = &self.stage else {
            return Ok(());
        };
        let view = self.core.reader.view();
        let after = self.told;
        if let Some(compacted) = view.compacted().filter(|compacted| *compacted > after) {
            return Err(RegistryError::Compacted { after, compacted }.into());
        }
        // A copy shares everything: if this future is lost, the page is read again.
        let mut brought_on = catalog.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let page = view.events(
                Revision(after.0.saturating_add(1)),
                MAXIMUM_CATCH_UP_REVISIONS,
                MAXIMUM_CATCH_UP_BYTES,
                &mut |namespace, _, _| namespace == Namespace::SERVICES,
            )?;
            let changes = follow::apply(&mut brought_on, &page.events)?;
            Ok::<_, ServiceError>((brought_on, changes, page.next))
        });
        let (brought_on, changes, next) = reading.await.map_err(|_| ServiceError::Stopped)??;
        let until = Revision(next.0.saturating_sub(1));
        if let Stage::History { catalog, .. } = &mut self.stage {
            *catalog = brought_on;
        }
        for change in &changes {
            self.queue(change);
        }
        if until == self.told {
            // The board is ahead of this node's state, for a moment.
            tokio::task::yield_now().await;
        }
        self.told = until;
        Ok(())
    }
}

fn next_progress() -> Instant {
    Instant::now() + Duration::from_secs(PROGRESS_SECONDS)
}
