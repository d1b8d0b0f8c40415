//! How a member knows the catalog: it reads the namespace once, and then watches it.
//!
//! ```text
//!  store --range--> catalog --publish--> board --> readers (DNS, lists)
//!    |                 ^                   |
//!    +----watch hub----+                   +-----> watches: what changed lately
//! ```
//!
//! The [`Board`] holds the newest catalog and the changes of the last revisions. A read that must see all that was
//! acknowledged waits here until the catalog is at the revision of a read barrier; where nothing changes in the namespace,
//! the hub is asked how far it is.
//!
//! Never holds a lock across an await. Never drops a change: if the hub has to, everything is read anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::catalog::Catalog;
use super::entries::Change;
use super::error::RegistryError;
use super::keys;
use crate::base::Revision;
use crate::base::limits::MAXIMUM_REGISTRY_RECENT_CHANGES;
use crate::service::ServiceError;
use crate::service::watch::WatchHub;
use crate::service::watch::follow::{Ended, Follower, Reached};
use crate::state::applied::{Event, EventKind};
use crate::state::command::Range;
use crate::state::{ReadView, Reader};

/// Records in one page of a load.
const LOAD_PAGE_RECORDS: usize = 4_096;
/// Bytes of records in one page of a load.
const LOAD_PAGE_BYTES: usize = 1024 * 1024;
/// Pause before a load that failed is tried again.
const LOAD_AGAIN_MILLISECONDS: u64 = 1_000;

/// The newest catalog of this member, and what changed lately.
pub(super) struct Board {
    current: ArcSwap<Catalog>,
    recent: Mutex<Recent>,
    /// The revision of the catalog.
    reached: Reached,
}

/// All changes after `since` up to `until`.
#[derive(Default)]
struct Recent {
    since: Revision,
    until: Revision,
    changes: VecDeque<Arc<Change>>,
}

/// Some of the changes after a revision.
pub(super) struct Told {
    /// In order.
    pub changes: Vec<Arc<Change>>,
    /// Everything up to this revision is in them.
    pub until: Revision,
}

impl Board {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self {
            current: ArcSwap::from_pointee(Catalog::default()),
            recent: Mutex::default(),
            reached: Reached::default(),
        }
    }

    /// The newest catalog; an empty one at revision 0 before the first.
    pub fn current(&self) -> Arc<Catalog> {
        self.current.load_full()
    }

    /// The catalog at `revision` or a later one. Pending for as long as there is none.
    ///
    /// # Errors
    /// A record cannot be read, or the node is stopping.
    pub async fn reach(&self, revision: Revision) -> Result<Arc<Catalog>, ServiceError> {
        self.reached.reach(revision).await?;
        Ok(self.current())
    }

    /// Resolves when the catalog is past `revision`.
    pub async fn passed(&self, revision: Revision) -> Result<(), ServiceError> {
        self.reached.passed(revision).await
    }

    /// The changes after `revision`, at most `maximum` revisions; none if they are not all at hand.
    pub fn after(&self, revision: Revision, maximum: usize) -> Option<Told> {
        let recent = self.recent.lock();
        if revision < recent.since {
            return None;
        }
        let first = recent
            .changes
            .partition_point(|change| change.revision <= revision);
        let changes: Vec<Arc<Change>> = recent.changes.iter().skip(first).take(maximum).cloned().collect();
        let is_all = first.saturating_add(changes.len()) == recent.changes.len();
        let until = match changes.last() {
            Some(last) if !is_all => last.revision,
            _ => recent.until.max(revision),
        };
        Some(Told { changes, until })
    }

    /// Begins anew with a catalog that was read.
    pub fn begin(&self, catalog: &Catalog) {
        let mut recent = self.recent.lock();
        recent.changes.clear();
        recent.since = catalog.revision();
        self.show(&mut recent, catalog);
    }

    /// Goes on with a catalog after these changes.
    fn go_on(&self, catalog: &Catalog, changes: impl IntoIterator<Item = Change>) {
        let mut recent = self.recent.lock();
        recent.changes.extend(changes.into_iter().map(Arc::new));
        while recent.changes.len() > MAXIMUM_REGISTRY_RECENT_CHANGES {
            if let Some(oldest) = recent.changes.pop_front() {
                recent.since = oldest.revision;
            }
        }
        self.show(&mut recent, catalog);
    }

    fn show(&self, recent: &mut Recent, catalog: &Catalog) {
        recent.until = catalog.revision();
        self.current.store(Arc::new(catalog.clone()));
        self.reached.advance(catalog.revision());
    }
}

/// Reads the catalog at a revision that `view` still holds.
///
/// # Errors
/// The disk failed, or a record cannot be read.
pub(super) fn load(view: &ReadView, revision: Revision) -> Result<Catalog, ServiceError> {
    let mut catalog = Catalog::empty(revision);
    let mut range = Range {
        keys: keys::all(),
        revision,
        ..Range::default()
    };
    loop {
        let page = view.range_page(&range, LOAD_PAGE_RECORDS, LOAD_PAGE_BYTES)??;
        let last = page.key_values.last().map(|found| found.key.clone());
        let puts = page.key_values.iter().map(|found| (EventKind::Put, found));
        catalog.apply(revision, puts)?;
        match last {
            Some(last) if page.more => range.keys.key = [&last[..], &[0]].concat().into(),
            _ => return Ok(catalog),
        }
    }
}

/// Applies events that are in the order of their revisions, all of each.
///
/// # Errors
/// A record cannot be read.
pub(super) fn apply<'event>(
    catalog: &mut Catalog,
    events: impl IntoIterator<Item = &'event Event>,
) -> Result<Vec<Change>, RegistryError> {
    let mut events = events.into_iter().peekable();
    let mut changes = Vec::new();
    while let Some(first) = events.next() {
        let revision = first.id.revision;
        let mut same = vec![(first.kind, &first.key_value)];
        while let Some(next) = events.next_if(|next| next.id.revision == revision) {
            same.push((next.kind, &next.key_value));
        }
        changes.push(catalog.apply(revision, same)?);
    }
    Ok(changes)
}

/// Keeps the board up to date until the hub stops.
pub(super) async fn run(board: &Board, reader: Reader, hub: WatchHub) {
    loop {
        let Err(ended) = follow(board, &reader, &hub).await;
        match ended {
            Ended::Stopped => return,
            Ended::Anew => {}
            Ended::Failed(error) => {
                tracing::error!(%error, "there is no catalog of services; trying again");
                board.reached.fail(error);
                tokio::time::sleep(Duration::from_millis(LOAD_AGAIN_MILLISECONDS)).await;
            }
        }
    }
}

async fn follow(board: &Board, reader: &Reader, hub: &WatchHub) -> Result<Infallible, Ended> {
    let view = reader.view();
    let loading = tokio::task::spawn_blocking(move || load(&view, view.revision())).await;
    let mut catalog = match loading {
        Ok(Ok(catalog)) => catalog,
        Ok(Err(error)) => return Err(RegistryError::Unreadable(error.to_string()).into()),
        // The runtime is going down.
        Err(_) => return Err(Ended::Stopped),
    };
    board.begin(&catalog);
    let mut follower = Follower::begin(&board.reached, hub, keys::all(), catalog.revision()).await;
    loop {
        let followed = follower.next().await?;
        let changes = apply(&mut catalog, followed.events())?;
        catalog.advance(followed.revision);
        board.go_on(&catalog, changes);
    }
}
