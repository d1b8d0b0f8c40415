//! A part of Consul's namespace, kept in memory on every member: read once, and then watched.
//!
//! What is in memory is made anew from the records whenever one of them changes; it is for parts that are small and seldom
//! change. Never drops a change: where the hub has to, everything is read anew.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::watch::WatchHub;
use crate::service::watch::follow::{Ended, Follower, Reached};
use crate::state::Reader;
use crate::state::applied::{EventKind, KeyValue};
use crate::state::command::{Keys, Range};

/// Pause before what cannot be read is tried again.
const AGAIN_MILLISECONDS: u64 = 1_000;

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
    /// The revision up to which it shows everything.
    reached: Reached,
}

impl<T: Picture> Mirror<T> {
    /// One that knows nothing yet.
    pub fn new() -> Self {
        Self {
            current: ArcSwap::from_pointee(T::default()),
            reached: Reached::default(),
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
        self.reached.reach(revision).await?;
        Ok(self.current())
    }

    /// Keeps it up to date until the hub stops.
    pub async fn run(&self, reader: &Reader, hub: &WatchHub) {
        loop {
            let Err(ended) = self.follow(reader, hub).await;
            match ended {
                Ended::Stopped => return,
                Ended::Anew => {}
                Ended::Failed(error) => {
                    tracing::error!(%error, "a part of Consul's namespace cannot be read; trying again");
                    self.reached.fail(error);
                    tokio::time::sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
                }
            }
        }
    }

    async fn follow(&self, reader: &Reader, hub: &WatchHub) -> Result<Infallible, Ended> {
        let view = reader.view();
        let at = view.revision();
        let range = Range {
            keys: T::keys(),
            revision: at,
            ..Range::default()
        };
        let Ok(read) = tokio::task::spawn_blocking(move || view.range(&range)).await else {
            return Err(Ended::Stopped);
        };
        let mut records: Records = read??
            .key_values
            .into_iter()
            .map(|record| (record.key.clone(), record))
            .collect();
        // What went before this is not known: everything may have changed by now.
        let mut changed = at;
        self.show(&records, changed, at)?;
        let mut follower = Follower::begin(&self.reached, hub, T::keys(), at).await;
        loop {
            let followed = follower.next().await?;
            if followed.is_empty() {
                self.reached.advance(followed.revision);
                continue;
            }
            for event in followed.events() {
                let key = event.key_value.key.clone();
                changed = changed.max(event.id.revision);
                match event.kind {
                    EventKind::Put => records.insert(key, event.key_value.clone()),
                    EventKind::Delete => records.remove(&key),
                };
            }
            self.show(&records, changed, followed.revision)?;
        }
    }

    fn show(&self, records: &Records, changed: Revision, at: Revision) -> Result<(), ServiceError> {
        let picture = T::draw(records, changed).map_err(ServiceError::Internal)?;
        self.current.store(Arc::new(picture));
        self.reached.advance(at);
        Ok(())
    }
}
