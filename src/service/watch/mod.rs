//! Watches: every change of the keys that somebody watches, in order, without gap or repeat.
//!
//! A [`WatchHub`] takes the news of every applied batch and hands each change to the watches whose keys hold it. A stream
//! ([`WatchHub::open_stream`]) carries any number of watches; all its responses go through one bounded queue.
//!
//! ```text
//!  apply --news--> hub thread --events--> queue of the stream --> front door
//!                     |  ^
//!        queue is full,  |  reached the hub's revision
//!        or an old start |
//!                     v  |
//!                  catch-up thread <--pages of history-- storage
//! ```
//!
//! A watch is either *synced* (the hub hands it every new revision), or *unsynced*: it has a cursor, the next revision it
//! needs, and the catch-up thread serves it from history. It changes sides under the hub's lock: to unsynced when its
//! stream's queue is full, with the refused revision as cursor; to synced when its cursor is past the hub's revision. So
//! each revision reaches it exactly once. A stream that is not read holds a bounded queue and nothing else; it slows down
//! neither a writer nor another stream.
//!
//! Invariants: `created` comes before any event of its watch; all events of a revision are in one response; a response with
//! revision R for a watch comes after all its events up to R; a progress reply for the whole stream with revision R comes
//! after all events up to R of all its watches.
//!
//! Never knows a wire format, never awaits or reads history while it holds the hub's lock (except to look up what one
//! change replaced), never drops a watch for being slow.

mod catchup;
pub(in crate::service) mod follow;
mod hub;
pub(in crate::service) mod index;
mod limits;
mod queue;
mod record;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod watcher;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use smallvec::SmallVec;
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use self::hub::Hub;
use self::limits::Limits;
use self::queue::NodeTotals;
pub use self::record::EventRecord;
pub use self::stream::{WatchStreamHandle, WatchStreamReceiver};
use crate::base::Revision;
use crate::base::limits::{DEFAULT_WATCH_PROGRESS_MILLISECONDS, MAXIMUM_WATCHERS};
use crate::base::metrics::Metrics;
use crate::replication::News;
use crate::service::ServiceError;
use crate::service::auth::Pass;
use crate::state::applied::{Effect, Fatal};
use crate::state::command::Keys;
use crate::state::{ReadView, Reader};

/// A request to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchCreate {
    /// Which keys. An empty key means the key of one zero byte (etcd).
    pub keys: Keys,
    /// The first revision of interest; 0: the one after the current one.
    pub start_revision: Revision,
    /// The id the client wants; 0: the stream picks one.
    pub watch_id: i64,
    /// Leave puts out.
    pub without_puts: bool,
    /// Leave removals out.
    pub without_deletes: bool,
    /// Each event brings what it replaced.
    pub with_previous: bool,
    /// Say now and then that nothing happened.
    pub progress_notify: bool,
    /// Large responses may be sent in pieces.
    pub fragment: bool,
}

impl WatchCreate {
    /// The keys that it means.
    fn effective_keys(&self) -> Keys {
        let mut keys = self.keys.clone();
        if keys.key.is_empty() {
            keys.key = Bytes::from_static(&[0]);
        }
        keys
    }
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct WatchResponse {
    /// The watch it is about; [`WatchResponse::WHOLE_STREAM`] for a progress reply to the whole stream and for the refusal
    /// of a create.
    pub watch_id: i64,
    /// The revision of its header: for events and progress, all events of the watch up to it are sent. 0 in a notice of
    /// compaction (etcd).
    pub revision: Revision,
    /// What it says.
    pub body: WatchBody,
}

/// What a message of a stream says.
#[derive(Debug, Clone)]
pub enum WatchBody {
    /// The watch exists.
    Created,
    /// The watch was not created.
    Refused(WatchRefusal),
    /// The watch is gone, as asked.
    Canceled,
    /// The watch is gone: whoever asked for it may not see its keys any more.
    Revoked(ServiceError),
    /// The watch needs revisions that are compacted; it gets nothing any more, but keeps its id until it is canceled.
    Compacted {
        /// The oldest revision that can be watched from.
        compacted: Revision,
    },
    /// No events up to the revision but those sent.
    Progress,
    /// Changes, in order.
    Events {
        /// The changes; all of a revision are in one response.
        events: SmallVec<[Arc<EventRecord>; 1]>,
        /// Whether the watch wants to see what they replaced.
        with_previous: bool,
        /// Whether the watch can take them in pieces.
        fragment: bool,
    },
}

impl WatchResponse {
    /// The watch id that stands for "no watch" (a refused create) and "all watches" (progress), as in etcd.
    pub const WHOLE_STREAM: i64 = -1;

    /// Whether it answers a request, so that its number is bounded by waiting, not by refusing.
    fn is_reply(&self) -> bool {
        match self.body {
            WatchBody::Created | WatchBody::Refused(_) | WatchBody::Canceled => true,
            WatchBody::Compacted { .. }
            | WatchBody::Revoked(_)
            | WatchBody::Progress
            | WatchBody::Events { .. } => false,
        }
    }
}

/// Why a watch was not created. The texts are etcd's where etcd has the case.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WatchRefusal {
    /// Whoever asks may not see the keys, or is not known.
    #[error(transparent)]
    Forbidden(Box<ServiceError>),
    /// No key can be in the range.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
    /// A negative start revision.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    NegativeStart,
    /// The stream has a watch of that id.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The node has as many watches as it can hold.
    #[error("stead: this member already has {MAXIMUM_WATCHERS} watches; use another member or cancel some")]
    TooManyWatches,
}

/// What can be set of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchSettings {
    /// Time between two progress notices of a quiet watch; each stream adds up to a tenth.
    pub progress_interval: Duration,
}

impl Default for WatchSettings {
    fn default() -> Self {
        Self {
            progress_interval: Duration::from_millis(DEFAULT_WATCH_PROGRESS_MILLISECONDS),
        }
    }
}

/// The watches of one node. A handle: clones share one hub.
#[derive(Clone)]
pub struct WatchHub {
    shared: Arc<Shared>,
}

/// What the threads, the streams and the handles of a hub share.
struct Shared {
    hub: Mutex<Hub>,
    /// Wakes the catch-up thread: a watch waits for history, or the hub has stopped.
    catch_up: Condvar,
    reader: Reader,
    totals: Arc<NodeTotals>,
    settings: WatchSettings,
    failure: watch::Sender<Option<String>>,
}

impl Shared {
    fn new(reader: Reader, metrics: Arc<Metrics>, settings: WatchSettings, limits: Limits) -> Self {
        Self {
            hub: Mutex::new(Hub::new(reader.view().revision(), metrics.clone())),
            catch_up: Condvar::new(),
            reader,
            totals: Arc::new(NodeTotals::new(metrics, limits)),
            settings,
            failure: watch::Sender::new(None),
        }
    }

    /// Takes the news of one applied batch.
    fn absorb(&self, view: &ReadView, effects: &[Effect]) -> Result<(), Fatal> {
        let mut hub = self.hub.lock();
        hub.absorb(view, effects)?;
        self.wake_catch_up(&hub);
        Ok(())
    }

    /// Ends all streams and the catch-up thread.
    fn stop(&self) {
        self.hub.lock().stop();
        self.catch_up.notify_all();
    }

    fn fail(&self, action: &str, error: &Fatal) {
        tracing::error!(%error, "watches stopped: cannot {action}");
        self.failure
            .send_replace(Some(format!("cannot {action}: {error}")));
        self.stop();
    }

    fn wake_catch_up(&self, hub: &Hub) {
        if hub.has_ready() {
            self.catch_up.notify_one();
        }
    }
}

impl WatchHub {
    /// Starts a hub that takes `news` until the channel closes, and reads history from `reader`. News about revisions that
    /// `reader` already shows are taken as known.
    ///
    /// # Errors
    /// The machine gives no more threads.
    pub fn start(
        news: mpsc::Receiver<Arc<News>>,
        reader: Reader,
        metrics: Arc<Metrics>,
        settings: WatchSettings,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(reader, metrics, settings, Limits::default()));
        let hub = shared.clone();
        thread::Builder::new()
            .name("watch-hub".to_owned())
            .spawn(move || take_news(&hub, news))?;
        let catch_up = shared.clone();
        thread::Builder::new()
            .name("watch-catch-up".to_owned())
            .spawn(move || catchup::run(&catch_up))
            .inspect_err(|_| shared.stop())?;
        Ok(Self { shared })
    }

    /// Opens a stream for whoever `pass` names: requests go in through the handle, responses come out of the receiver. The
    /// stream lives as long as its receiver; dropping the handle only means that no request follows.
    #[must_use]
    pub fn open_stream(&self, pass: Option<Pass>) -> (WatchStreamHandle, WatchStreamReceiver) {
        stream::open(self.shared.clone(), pass, false)
    }

    /// Opens a stream of the node itself, which may watch everything.
    pub(in crate::service) fn open_own_stream(&self) -> (WatchStreamHandle, WatchStreamReceiver) {
        stream::open(self.shared.clone(), None, true)
    }

    /// Ends all streams; those opened from now on end at once.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Resolves when the disk failed and the process must exit; with the reason. Pending for ever otherwise.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        match failed.as_deref() {
            Ok(Some(reason)) => reason.clone(),
            // The sender lives in the hub that this future holds, so it never goes away first.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

fn take_news(shared: &Shared, mut news: mpsc::Receiver<Arc<News>>) {
    while let Some(batch) = news.blocking_recv() {
        if let Err(error) = shared.absorb(&batch.view, &batch.effects) {
            shared.fail("look up the previous value of a change", &error);
            return;
        }
    }
    shared.stop();
}
