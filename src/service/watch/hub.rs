//! The hub's state: streams, watches, and which revision has been handed out.
//!
//! Every method runs under the hub's lock and does no I/O, except that [`Hub::absorb`] looks up what a change replaced, once
//! for each change, when one of its watches asks for that. Pushing to a queue never waits.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::index::KeyIndex;
use super::queue::{Push, Queue};
use super::record::EventRecord;
use super::watcher::{Phase, Wanted, Watcher, next};
use super::{WatchBody, WatchCreate, WatchRefusal, WatchResponse};
use crate::base::Revision;
use crate::base::limits::MAXIMUM_WATCHERS;
use crate::base::metrics::Metrics;
use crate::service::ServiceError;
use crate::service::auth::gate::judge_again;
use crate::state::ReadView;
use crate::state::access::Request;
use crate::state::applied::{Effect, Event, Fatal};
use crate::state::auth::Identity;

/// A stream of the hub; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StreamId(u64);

/// A watch of the hub; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatcherId(u64);

struct Stream {
    queue: Arc<Queue>,
    watchers: BTreeMap<i64, WatcherId>,
    next_watch_id: i64,
    /// Unsynced watches that wait for room in the queue.
    parked: BTreeSet<WatcherId>,
    /// Whether it is the node's own: its watches need no rights.
    is_own: bool,
}

/// See the module.
pub(super) struct Hub {
    /// All revisions up to this one are handed out to the synced watches.
    pub(super) revision: Revision,
    pub(super) watchers: HashMap<WatcherId, Watcher>,
    pub(super) index: KeyIndex<WatcherId>,
    /// Unsynced watches whose streams had room, in the order in which they are served; may hold some that are gone.
    pub(super) ready: VecDeque<WatcherId>,
    streams: HashMap<StreamId, Stream>,
    /// Progress requests that wait until the hub is at the revision that the store had when they came; the first of each
    /// stream.
    progress_requests: BTreeMap<StreamId, Revision>,
    next_stream: u64,
    next_watcher: u64,
    stopped: bool,
    pub(super) metrics: Arc<Metrics>,
}

impl Hub {
    /// A hub for which everything up to `revision` is history.
    pub(super) fn new(revision: Revision, metrics: Arc<Metrics>) -> Self {
        Self {
            revision,
            watchers: HashMap::new(),
            index: KeyIndex::new(),
            ready: VecDeque::new(),
            streams: HashMap::new(),
            progress_requests: BTreeMap::new(),
            next_stream: 0,
            next_watcher: 0,
            stopped: false,
            metrics,
        }
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) fn open_stream(&mut self, queue: Arc<Queue>, is_own: bool) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        if self.stopped {
            queue.end();
        }
        let stream = Stream {
            queue,
            watchers: BTreeMap::new(),
            next_watch_id: 0,
            parked: BTreeSet::new(),
            is_own,
        };
        self.streams.insert(id, stream);
        self.metrics.watch_streams.inc();
        id
    }

    pub(super) fn close_stream(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.remove(&id) {
            for watcher in stream.watchers.into_values() {
                self.remove_watcher(watcher);
            }
            self.progress_requests.remove(&id);
            self.metrics.watch_streams.dec();
        }
    }

    /// Creates a watch for whoever was admitted, and replies. `view` is the store now; the hub may still be behind it.
    pub(super) fn create(
        &mut self,
        stream_id: StreamId,
        request: &WatchCreate,
        admitted: Result<Option<Identity>, ServiceError>,
        view: &ReadView,
    ) {
        let current = view.revision().max(self.revision);
        // Admitted in an older state, perhaps. Whatever changes after this one is told to the hub.
        let keys = request.effective_keys();
        let is_own = self.is_own(stream_id);
        let identity = admitted.and_then(|identity| {
            if !is_own {
                judge_again(view, identity.as_ref(), &Request::Watch(&keys))??;
            }
            Ok(identity)
        });
        let is_full = self.watchers.len() >= MAXIMUM_WATCHERS;
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let admitted = if is_full {
            Err(WatchRefusal::TooManyWatches)
        } else {
            identity
                .map_err(|error| WatchRefusal::Forbidden(Box::new(error)))
                .and_then(|identity| {
                    let wanted = Wanted::from_request(request)?;
                    Ok((wanted, identity, stream.take_watch_id(request.watch_id)?))
                })
        };
        let (wanted, identity, watch_id) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                stream.queue.push_reply(WatchResponse {
                    watch_id: WatchResponse::WHOLE_STREAM,
                    revision: current,
                    body: WatchBody::Refused(refusal),
                });
                return;
            }
        };
        let id = WatcherId(self.next_watcher);
        self.next_watcher += 1;
        stream.watchers.insert(watch_id, id);
        stream.queue.push_reply(WatchResponse {
            watch_id,
            revision: current,
            body: WatchBody::Created,
        });
        let phase = if request.start_revision == Revision(0) {
            Phase::Synced { from: next(current) }
        } else if request.start_revision > self.revision {
            Phase::Synced {
                from: request.start_revision,
            }
        } else {
            self.ready.push_back(id);
            self.metrics.slow_watchers.inc();
            Phase::Unsynced {
                cursor: request.start_revision,
            }
        };
        self.index.insert(wanted.namespace, &wanted.span, id);
        let watcher = Watcher {
            stream: stream_id,
            watch_id,
            queue: stream.queue.clone(),
            wanted: Arc::new(wanted),
            identity,
            phase,
            start_revision: request.start_revision,
            progress_notify: request.progress_notify,
            quiet: true,
            pending: SmallVec::new(),
        };
        self.watchers.insert(id, watcher);
        self.metrics.watchers.inc();
    }

    /// Ends a watch and replies; silent if the stream has no such watch.
    pub(super) fn cancel(&mut self, stream_id: StreamId, watch_id: i64) {
        let Some(stream) = self.streams.get_mut(&stream_id) else {
            return;
        };
        let Some(id) = stream.watchers.remove(&watch_id) else {
            return;
        };
        stream.parked.remove(&id);
        stream.queue.push_reply(WatchResponse {
            watch_id,
            revision: self.revision,
            body: WatchBody::Canceled,
        });
        self.remove_watcher(id);
    }

    /// Answers a progress request now or when the hub has reached `current`, the store's revision now.
    pub(super) fn request_progress(&mut self, stream: StreamId, current: Revision) {
        if self.revision >= current {
            self.tell_progress(stream);
        } else if self.streams.contains_key(&stream) {
            self.progress_requests.entry(stream).or_insert(current);
        }
    }

    /// Notices for those quiet watches of a stream that asked for them.
    pub(super) fn notify_progress(&mut self, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else {
            return;
        };
        for id in stream.watchers.values() {
            let Some(watcher) = self.watchers.get_mut(id) else {
                continue;
            };
            if !watcher.progress_notify {
                continue;
            }
            let was_quiet = std::mem::replace(&mut watcher.quiet, true);
            if was_quiet && watcher.is_up_to_date(self.revision) {
                // A notice that finds no room is left out: what fills the queue says more.
                watcher.queue.push(WatchResponse {
                    watch_id: watcher.watch_id,
                    revision: self.revision,
                    body: WatchBody::Progress,
                });
            }
        }
    }

    /// Lets the watches that waited for room in a stream's queue go on.
    pub(super) fn resume(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            self.ready.extend(std::mem::take(&mut stream.parked));
        }
    }

    /// Makes an unsynced watch wait for room in its stream's queue, which has just refused.
    pub(super) fn park(&mut self, id: WatcherId) {
        let watcher = self.watchers.get(&id);
        if let Some(stream) = watcher.and_then(|watcher| self.streams.get_mut(&watcher.stream)) {
            stream.parked.insert(id);
        }
    }

    /// Takes the news of one applied batch, in which `view` is the state after it.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn absorb(&mut self, view: &ReadView, effects: &[Effect]) -> Result<(), Fatal> {
        for effect in effects {
            match effect {
                Effect::Changed { revision, events } if *revision > self.revision => {
                    if *revision > next(self.revision) {
                        // News were lost; history has them.
                        self.jump_to(Revision(revision.0 - 1));
                    }
                    self.hand_out(view, *revision, events)?;
                }
                Effect::Restored => {
                    self.jump_to(view.revision());
                    self.revoke(view)?;
                }
                Effect::AuthChanged => self.revoke(view)?,
                // Older changes are known. Watches are served from history up to the compacted revision at that time; the
                // rest does not concern watches.
                Effect::Changed { .. }
                | Effect::Compacted { .. }
                | Effect::LeaseGranted { .. }
                | Effect::LeaseRevoked { .. }
                | Effect::MemberPublished { .. }
                | Effect::AlarmChanged { .. } => {}
            }
        }
        self.tell_requested_progress();
        Ok(())
    }

    fn is_own(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.is_own)
    }

    /// Ends the watches whose users may not see their keys any more.
    fn revoke(&mut self, view: &ReadView) -> Result<(), Fatal> {
        if !view.auth().is_enabled() {
            return Ok(());
        }
        let mut revoked = Vec::new();
        for (id, watcher) in &self.watchers {
            if self.is_own(watcher.stream) {
                continue;
            }
            let keys = watcher.wanted.keys();
            let request = Request::Watch(&keys);
            if let Err(reason) = judge_again(view, watcher.identity.as_ref(), &request)? {
                revoked.push((*id, watcher.stream, watcher.watch_id, reason));
            }
        }
        for (id, stream, watch_id, reason) in revoked {
            if let Some(stream) = self.streams.get_mut(&stream) {
                stream.watchers.remove(&watch_id);
                stream.parked.remove(&id);
                // Never refused: there are no more of these than there are watches.
                stream.queue.push_reply(WatchResponse {
                    watch_id,
                    revision: self.revision,
                    body: WatchBody::Revoked(reason),
                });
            }
            self.remove_watcher(id);
        }
        Ok(())
    }

    /// Ends all streams.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        for stream in self.streams.values() {
            stream.queue.end();
        }
    }

    /// Hands the changes of the next revision to the synced watches.
    fn hand_out(&mut self, view: &ReadView, revision: Revision, events: &[Event]) -> Result<(), Fatal> {
        let mut touched: SmallVec<[WatcherId; 64]> = SmallVec::new();
        for event in events {
            let mut record: Option<Arc<EventRecord>> = None;
            let mut previous_wanted = false;
            let watchers = &mut self.watchers;
            self.index
                .visit(event.namespace, &event.key_value.key, &mut |id| {
                    let Some(watcher) = watchers.get_mut(&id) else {
                        return;
                    };
                    if !watcher.is_due(revision) || !watcher.wanted.wants(event.kind) {
                        return;
                    }
                    previous_wanted |= watcher.wanted.with_previous;
                    if watcher.pending.is_empty() {
                        touched.push(id);
                    }
                    let record = record.get_or_insert_with(|| EventRecord::new(event.clone()));
                    watcher.pending.push(record.clone());
                });
            if let Some(record) = record.filter(|_| previous_wanted) {
                record.load_previous(view)?;
            }
        }
        for id in touched {
            let Some(watcher) = self.watchers.get_mut(&id) else {
                continue;
            };
            let events = std::mem::take(&mut watcher.pending);
            let response = WatchResponse {
                watch_id: watcher.watch_id,
                revision,
                body: watcher.wanted.events(events),
            };
            match watcher.queue.push(response) {
                Push::Taken => watcher.quiet = false,
                Push::Full => {
                    watcher.phase = Phase::Unsynced { cursor: revision };
                    self.metrics.slow_watchers.inc();
                    self.park(id);
                }
            }
        }
        self.revision = revision;
        Ok(())
    }

    /// Goes on at `revision` without having handed out what is between: the synced watches get it from history.
    fn jump_to(&mut self, revision: Revision) {
        let handed_out = self.revision;
        self.revision = handed_out.max(revision);
        let mut behind = Vec::new();
        for (id, watcher) in &mut self.watchers {
            if let Phase::Synced { from } = watcher.phase {
                let cursor = from.max(next(handed_out));
                if cursor <= self.revision {
                    watcher.phase = Phase::Unsynced { cursor };
                    self.metrics.slow_watchers.inc();
                    behind.push(*id);
                }
            }
        }
        // The oldest watch first, not the one that a hash map names first.
        behind.sort_unstable();
        self.ready.extend(behind);
    }

    fn tell_requested_progress(&mut self) {
        let revision = self.revision;
        let due: SmallVec<[StreamId; 8]> = self
            .progress_requests
            .iter()
            .filter(|(_, wanted)| **wanted <= revision)
            .map(|(stream, _)| *stream)
            .collect();
        for stream in due {
            self.progress_requests.remove(&stream);
            self.tell_progress(stream);
        }
    }

    /// A progress reply for a whole stream, if all its watches are up to date.
    fn tell_progress(&self, stream: StreamId) {
        let Some(stream) = self.streams.get(&stream) else {
            return;
        };
        let up_to_date = |id: &WatcherId| {
            let watcher = self.watchers.get(id);
            watcher.is_some_and(|watcher| watcher.is_up_to_date(self.revision))
        };
        if !stream.watchers.is_empty() && stream.watchers.values().all(up_to_date) {
            // A reply that finds no room is left out, as etcd does with one it cannot give: the client asks again.
            stream.queue.push(WatchResponse {
                watch_id: WatchResponse::WHOLE_STREAM,
                revision: self.revision,
                body: WatchBody::Progress,
            });
        }
    }

    fn remove_watcher(&mut self, id: WatcherId) {
        if let Some(watcher) = self.watchers.remove(&id) {
            self.index
                .remove(watcher.wanted.namespace, &watcher.wanted.span, id);
            self.metrics.watchers.dec();
            if matches!(watcher.phase, Phase::Unsynced { .. }) {
                self.metrics.slow_watchers.dec();
            }
        }
    }
}

impl Stream {
    /// The id for a new watch: the one asked for, or the next free one.
    fn take_watch_id(&mut self, asked: i64) -> Result<i64, WatchRefusal> {
        if asked != 0 {
            return match self.watchers.entry(asked) {
                Entry::Vacant(_) => Ok(asked),
                Entry::Occupied(_) => Err(WatchRefusal::DuplicateId),
            };
        }
        while self.watchers.contains_key(&self.next_watch_id) {
            self.next_watch_id = self.next_watch_id.wrapping_add(1);
        }
        let id = self.next_watch_id;
        self.next_watch_id = id.wrapping_add(1);
        Ok(id)
    }
}
