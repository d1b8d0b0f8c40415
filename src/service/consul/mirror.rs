//! A part of Consul's namespace, kept in memory on every member: read once, and then watched.
//!
//! What is in memory is made anew from the records whenever one of them changes; it is for parts that are small and seldom
//! change. Never drops a change: where the hub has to, everything is read anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::watch::{WatchBody, WatchCreate, WatchHub};
use crate::state::Reader;
use crate::state::applied::{EventKind, KeyValue};
use crate::state::command::{Keys, Range};

/// Pause before what cannot be read is tried again.
const AGAIN_MILLISECONDS: u64 = 1_000;
/// Pause before the hub is asked again how far it is.
const ASK_AGAIN_MILLISECONDS: u64 = 20;

/// The records of a part, by key.
pub(super) type Records = BTreeMap<Bytes, KeyValue>;

/// What is made of the records of a part.
pub(super) trait Picture: Default + Send + Sync + 'static {
    /// Where they are.
    fn keys() -> Keys;

    /// What they say. `changed` is the revision at which one of them changed last, or went.
    ///
    /// # Errors
    /// A record cannot be read.
    fn draw(records: &Records, changed: Revision) -> Result<Self, String>;
}

/// See the module.
pub(super) struct Mirror<T> {
    current: ArcSwap<T>,
    /// The revision up to which it shows everything; 0: nothing was read yet.
    revision: watch::Sender<Revision>,
    failure: Mutex<Option<String>>,
    wanted: Notify,
}

impl<T: Picture> Mirror<T> {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self {
            current: ArcSwap::from_pointee(T::default()),
            revision: watch::Sender::new(Revision(0)),
            failure: Mutex::new(None),
            wanted: Notify::new(),
        }
    }

    /// As this member knows it.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// As it is at `revision` or later. Pending for as long as that is not known here.
    ///
    /// # Errors
    /// A record cannot be read, or the node is stopping.
    pub async fn reach(&self, revision: Revision) -> Result<Arc<T>, ServiceError> {
        let mut at = self.revision.subscribe();
        let wanted = revision.max(Revision(1));
        loop {
            if *at.borrow_and_update() >= wanted {
                return Ok(self.current());
            }
            if let Some(failure) = self.failure.lock().clone() {
                return Err(ServiceError::Internal(failure));
            }
            self.wanted.notify_one();
            let pause = Duration::from_millis(ASK_AGAIN_MILLISECONDS);
            if let Ok(Err(_)) = tokio::time::timeout(pause, at.changed()).await {
                return Err(ServiceError::Stopped);
            }
        }
    }

    /// Keeps it up to date until the hub stops.
    pub async fn run(&self, reader: &Reader, hub: &WatchHub) {
        loop {
            match self.follow(reader, hub).await {
                Ok(End::Stopped) => return,
                Ok(End::Anew) => {}
                Err(failure) => {
                    tracing::error!(%failure, "a part of Consul's namespace cannot be read; trying again");
                    *self.failure.lock() = Some(failure);
                    tokio::time::sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
                }
            }
        }
    }

    async fn follow(&self, reader: &Reader, hub: &WatchHub) -> Result<End, String> {
        let view = reader.view();
        let mut at = view.revision();
        let range = Range {
            keys: T::keys(),
            revision: at,
            ..Range::default()
        };
        let Ok(read) = tokio::task::spawn_blocking(move || view.range(&range)).await else {
            return Ok(End::Stopped);
        };
        let read = read.map_err(|error| error.to_string())?;
        let read = read.map_err(|error| error.to_string())?;
        let mut records: Records = read
            .key_values
            .into_iter()
            .map(|record| (record.key.clone(), record))
            .collect();
        // What went before this is not known: everything may have changed by now.
        let mut changed = at;
        self.show(&records, changed, at)?;
        let (mut handle, mut receiver) = hub.open_own_stream();
        handle
            .create(WatchCreate {
                keys: T::keys(),
                start_revision: Revision(at.0.saturating_add(1)),
                ..WatchCreate::default()
            })
            .await;
        loop {
            let response = tokio::select! {
                response = receiver.next() => response,
                () = self.wanted.notified() => {
                    handle.request_progress();
                    continue;
                }
            };
            let Some(response) = response else {
                return Ok(End::Stopped);
            };
            match response.body {
                WatchBody::Events { events, .. } => {
                    for record in events.iter() {
                        let event = record.event();
                        let key = event.key_value.key.clone();
                        changed = changed.max(event.id.revision);
                        match event.kind {
                            EventKind::Put => records.insert(key, event.key_value.clone()),
                            EventKind::Delete => records.remove(&key),
                        };
                    }
                    at = at.max(response.revision);
                    self.show(&records, changed, at)?;
                }
                WatchBody::Progress => {
                    at = at.max(response.revision);
                    self.revision.send_replace(at);
                }
                WatchBody::Created => {}
                WatchBody::Compacted { .. } | WatchBody::Canceled => return Ok(End::Anew),
                WatchBody::Refused(refusal) => return Err(refusal.to_string()),
                WatchBody::Revoked(error) => return Err(error.to_string()),
            }
        }
    }

    fn show(&self, records: &Records, changed: Revision, at: Revision) -> Result<(), String> {
        self.current.store(Arc::new(T::draw(records, changed)?));
        *self.failure.lock() = None;
        self.revision.send_replace(at);
        Ok(())
    }
}

/// Why following ended.
enum End {
    /// The hub stopped.
    Stopped,
    /// What is to come next is compacted.
    Anew,
}
