//! What was removed when, and who waits for what: how a member answers "what is the newest change here" exactly and cheaply.
//!
//! The newest change of keys that are there is in the store; the revision of a removal is not, once nothing is left to ask
//! for it. The board watches the namespace and remembers the removals, at most [`MAXIMUM_CONSUL_REMOVALS`] of them; the
//! older half of them is forgotten when there are more, and the newest of what is forgotten is a floor: no index is below
//! it. A board that begins anew begins with the revision it read at as its floor. So an index may be too large, which makes
//! a waiting request come back once without a change; it is never too small, which would make it miss one.
//!
//! Whoever waits is in an index of ranges, and is woken by changes under its own range only. Never holds a lock across an
//! await.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{ConsulError, keys};
use crate::base::Revision;
use crate::base::limits::{MAXIMUM_CONSUL_REMOVAL_BYTES, MAXIMUM_CONSUL_REMOVALS};
use crate::service::ServiceError;
use crate::service::registry::{Catalog, Registry};
use crate::service::watch::WatchHub;
use crate::service::watch::follow::{Ended, Follower, Reached};
use crate::service::watch::index::{End, KeyIndex, Span};
use crate::state::Reader;
use crate::state::applied::{Event, EventKind};
use crate::state::command::Keys;

/// Pause before a watch that was refused is tried again.
const WATCH_AGAIN_MILLISECONDS: u64 = 1_000;

/// What a request shows, and so waits for.
#[derive(Clone)]
pub enum Watched {
    /// Nothing that changes.
    Nothing,
    /// Keys of Consul's namespace.
    Keys(Vec<Keys>),
    /// What of the catalog has this index.
    Catalog(Arc<dyn Fn(&Catalog) -> Revision + Send + Sync>),
}

/// See the module.
pub(super) struct Board {
    state: Mutex<State>,
    /// All changes up to here are known.
    reached: Reached,
}

struct State {
    removed: BTreeMap<Bytes, Revision>,
    removed_bytes: usize,
    floor: Revision,
    waiting: KeyIndex<u64>,
    signals: HashMap<u64, watch::Sender<Revision>>,
    next_waiter: u64,
}

impl Board {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                removed: BTreeMap::new(),
                removed_bytes: 0,
                floor: Revision(1),
                waiting: KeyIndex::new(),
                signals: HashMap::new(),
                next_waiter: 0,
            }),
            reached: Reached::default(),
        }
    }

    /// The newest removal under these keys, or what may have been one, for whoever has read them at `revision`: what was
    /// removed since is not in what was read, and not in its index. It may hide an older removal of the same key; who
    /// waits is woken by the newer one.
    pub fn removed(&self, keys: &Keys, revision: Revision) -> Revision {
        let state = self.state.lock();
        let removals = state.removed.range::<[u8], _>(bounds(keys));
        removals
            .map(|(_, removed)| *removed)
            .filter(|removed| *removed <= revision)
            .fold(state.floor.min(revision), Revision::max)
    }

    /// Resolves when all changes up to `revision` are known.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn reach(&self, revision: Revision) -> Result<(), ServiceError> {
        self.reached.reach(revision).await
    }

    fn begin(&self, revision: Revision) {
        let mut state = self.state.lock();
        state.removed.clear();
        state.removed_bytes = 0;
        state.floor = state.floor.max(revision);
        for signal in state.signals.values() {
            signal.send_replace(revision);
        }
        drop(state);
        self.reached.advance(revision);
    }

    fn learn<'event>(&self, events: impl Iterator<Item = &'event Event>) {
        let mut state = self.state.lock();
        for event in events {
            state.learn(event);
        }
    }

    fn enter(&self, keys: &[Keys]) -> (u64, Vec<Span>, watch::Receiver<Revision>) {
        let mut state = self.state.lock();
        let id = state.next_waiter;
        state.next_waiter = id.wrapping_add(1);
        let spans: Vec<Span> = keys.iter().map(span).collect();
        for (keys, span) in keys.iter().zip(&spans) {
            state.waiting.insert(keys.namespace, span, id);
        }
        let (signal, receiver) = watch::channel(Revision(0));
        state.signals.insert(id, signal);
        (id, spans, receiver)
    }

    fn leave(&self, id: u64, keys: &[Keys], spans: &[Span]) {
        let mut state = self.state.lock();
        for (keys, span) in keys.iter().zip(spans) {
            state.waiting.remove(keys.namespace, span, id);
        }
        state.signals.remove(&id);
    }
}

impl State {
    fn learn(&mut self, event: &Event) {
        let revision = event.id.revision;
        let key = &event.key_value.key;
        let before = match event.kind {
            EventKind::Put => self.removed.remove(key),
            EventKind::Delete => {
                self.removed_bytes = self.removed_bytes.saturating_add(key.len());
                // A slice of its own: the event's may be part of something large.
                self.removed.insert(Bytes::copy_from_slice(key), revision)
            }
        };
        if before.is_some() {
            self.removed_bytes = self.removed_bytes.saturating_sub(key.len());
        }
        if self.removed.len() > MAXIMUM_CONSUL_REMOVALS || self.removed_bytes > MAXIMUM_CONSUL_REMOVAL_BYTES {
            self.forget_half();
        }
        let signals = &self.signals;
        self.waiting.visit(event.namespace, key, &mut |waiter| {
            if let Some(signal) = signals.get(&waiter) {
                signal.send_replace(revision);
            }
        });
    }

    fn forget_half(&mut self) {
        let mut revisions: Vec<Revision> = self.removed.values().copied().collect();
        let half = revisions.len() / 2;
        let (_, middle, _) = revisions.select_nth_unstable(half);
        self.floor = self.floor.max(*middle);
        let floor = self.floor;
        self.removed.retain(|_, revision| *revision > floor);
        self.removed_bytes = self.removed.keys().map(Bytes::len).sum();
    }
}

fn span(keys: &Keys) -> Span {
    if keys.end.is_empty() {
        return Span::Key(keys.key.clone());
    }
    Span::Range {
        start: keys.key.clone(),
        end: match keys.end.as_ref() {
            [0] => End::Never,
            _ => End::Before(keys.end.clone()),
        },
    }
}

fn bounds(keys: &Keys) -> (Bound<&[u8]>, Bound<&[u8]>) {
    let end = match keys.end.as_ref() {
        [] => Bound::Included(keys.key.as_ref()),
        [0] => Bound::Unbounded,
        end => Bound::Excluded(end),
    };
    (Bound::Included(keys.key.as_ref()), end)
}

/// Waits for changes of what is watched, from when it was made on.
pub struct Waiter {
    board: Arc<Board>,
    registry: Registry,
    watched: Watched,
    entry: Option<(u64, Vec<Span>, watch::Receiver<Revision>)>,
}

impl Waiter {
    pub(super) fn new(board: Arc<Board>, registry: Registry, watched: Watched) -> Self {
        let entry = match &watched {
            Watched::Keys(keys) => Some(board.enter(keys)),
            Watched::Nothing | Watched::Catalog(_) => None,
        };
        Self {
            board,
            registry,
            watched,
            entry,
        }
    }

    /// Resolves when something has changed since it was read at `revision`, where it had this index.
    ///
    /// # Errors
    /// The node is stopping, or a record of the catalog cannot be read.
    pub async fn changed(&mut self, revision: Revision, index: Revision) -> Result<(), ConsulError> {
        match (&self.watched, &mut self.entry) {
            (Watched::Catalog(index_of), _) => loop {
                let catalog = self.registry.catalog(true).await?;
                if index_of(&catalog) > index {
                    return Ok(());
                }
                self.registry.passed(catalog.revision()).await?;
            },
            (Watched::Keys(_), Some((_, _, signal))) => {
                let woken = signal.wait_for(|newest| *newest > revision).await;
                woken.map(|_| ()).map_err(|_| ServiceError::Stopped.into())
            }
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let (Watched::Keys(keys), Some((id, spans, _))) = (&self.watched, &self.entry) {
            self.board.leave(*id, keys, spans);
        }
    }
}

/// Keeps the board up to date until the hub stops.
pub(super) async fn run(board: &Board, reader: Reader, hub: WatchHub) {
    loop {
        let Err(ended) = follow(board, &reader, &hub).await;
        match ended {
            Ended::Stopped => return,
            Ended::Anew => {}
            Ended::Failed(_) => tokio::time::sleep(Duration::from_millis(WATCH_AGAIN_MILLISECONDS)).await,
        }
    }
}

async fn follow(board: &Board, reader: &Reader, hub: &WatchHub) -> Result<Infallible, Ended> {
    let revision = reader.view().revision();
    board.begin(revision);
    let mut follower = Follower::begin(&board.reached, hub, keys::all(), revision).await;
    loop {
        let followed = follower.next().await?;
        board.learn(followed.events());
        board.reached.advance(followed.revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Namespace;
    use crate::service::consul::keys::Room;
    use crate::state::applied::{KeyValue, VersionId};

    fn event(kind: EventKind, name: &[u8], revision: i64) -> Event {
        Event {
            namespace: Namespace::CONSUL,
            kind,
            key_value: KeyValue {
                key: Room::Value.key(name),
                ..KeyValue::default()
            },
            id: VersionId {
                revision: Revision(revision),
                sub: 0,
            },
            superseded: None,
        }
    }

    #[test]
    fn a_removal_counts_under_its_prefix_until_the_key_is_there_again() {
        let board = Board::new();
        let under = |prefix: &[u8]| board.removed(&Room::Value.prefix(prefix), Revision(9));
        board.learn([event(EventKind::Delete, b"a/b", 7)].iter());
        assert_eq!((under(b"a/"), under(b"")), (Revision(7), Revision(7)));
        assert_eq!((under(b"b"), under(b"a/bc")), (Revision(1), Revision(1)));
        let single = Room::Value.single(b"a/b");
        assert_eq!(board.removed(&single, Revision(9)), Revision(7));
        // Read before it was removed: nothing of what was read has changed.
        assert_eq!(board.removed(&single, Revision(6)), Revision(1));
        board.learn([event(EventKind::Put, b"a/b", 8)].iter());
        assert_eq!(under(b"a/"), Revision(1));
    }

    #[test]
    fn what_is_forgotten_raises_the_floor_and_is_never_missed() {
        let board = Board::new();
        let number = i64::try_from(MAXIMUM_CONSUL_REMOVALS).unwrap();
        for revision in 2..number + 3 {
            board.learn([event(EventKind::Delete, &revision.to_be_bytes(), revision)].iter());
        }
        let state = board.state.lock();
        assert!(state.removed.len() <= MAXIMUM_CONSUL_REMOVALS / 2 + 1);
        assert!(state.floor >= Revision(number / 2));
        let oldest_kept = state.removed.values().min().copied().unwrap();
        assert_eq!(oldest_kept, Revision(state.floor.0 + 1));
    }

    #[test]
    fn only_who_waits_for_a_range_is_woken_by_a_change_in_it() {
        let board = Board::new();
        let (_, _, one) = board.enter(&[Room::Value.single(b"a")]);
        let (_, _, all) = board.enter(&[Room::Value.prefix(b"")]);
        let (id, spans, other) = board.enter(&[Room::Value.prefix(b"b")]);
        board.learn([event(EventKind::Put, b"a", 5)].iter());
        assert_eq!((*one.borrow(), *all.borrow()), (Revision(5), Revision(5)));
        assert_eq!(*other.borrow(), Revision(0));
        board.leave(id, &[Room::Value.prefix(b"b")], &spans);
        assert_eq!(board.state.lock().signals.len(), 2);
    }
}
