//! Following a part of the store, for what a member keeps of it in memory: how far the member knows that part, and the
//! watch that it learns from.
//!
//! What is kept is the caller's, who reads it before the watch begins. Never drops a change: where the hub has to,
//! following ends, and everything is to be read anew.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::{Notify, watch};

use super::{EventRecord, WatchBody, WatchCreate, WatchHub, WatchStreamHandle, WatchStreamReceiver};
use crate::base::Revision;
use crate::service::ServiceError;
use crate::state::applied::Event;
use crate::state::command::Keys;

/// Pause before the hub is asked again how far it is: it does not answer while it is busy handing out.
const ASK_AGAIN_MILLISECONDS: u64 = 20;

/// How far a member knows what it follows.
#[derive(Default)]
pub struct Reached {
    /// All changes up to here are known; 0: nothing was read yet.
    revision: watch::Sender<Revision>,
    /// Why no more is known, if that is so.
    failure: Mutex<Option<ServiceError>>,
    /// Somebody wants to know how far the hub is.
    wanted: Notify,
}

impl Reached {
    /// Resolves when all changes up to `revision` are known. Pending for as long as they are not.
    ///
    /// # Errors
    /// What is followed cannot be read, or the node is stopping.
    pub async fn reach(&self, revision: Revision) -> Result<(), ServiceError> {
        let mut at = self.revision.subscribe();
        // At revision 0 nothing is known.
        let wanted = revision.max(Revision(1));
        loop {
            if *at.borrow_and_update() >= wanted {
                return Ok(());
            }
            if let Some(failure) = self.failure.lock().clone() {
                return Err(failure);
            }
            self.wanted.notify_one();
            let pause = Duration::from_millis(ASK_AGAIN_MILLISECONDS);
            if let Ok(Err(_)) = tokio::time::timeout(pause, at.changed()).await {
                return Err(ServiceError::Stopped);
            }
        }
    }

    /// Resolves when changes after `revision` are known, or that there are none up to a later one.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn passed(&self, revision: Revision) -> Result<(), ServiceError> {
        let mut at = self.revision.subscribe();
        let passed = at.wait_for(|now| *now > revision).await;
        passed.map(|_| ()).map_err(|_| ServiceError::Stopped)
    }

    /// All changes up to `revision` are known now; never goes back.
    pub fn advance(&self, revision: Revision) {
        *self.failure.lock() = None;
        self.revision.send_if_modified(|at| {
            let is_newer = revision > *at;
            *at = revision.max(*at);
            is_newer
        });
    }

    /// Tells whoever waits why there is nothing to wait for, until the next [`Reached::advance`].
    pub fn fail(&self, failure: ServiceError) {
        *self.failure.lock() = Some(failure);
        self.revision.send_modify(|_| {});
    }
}

/// Why following ended.
#[derive(Debug)]
pub enum Ended {
    /// The hub stopped.
    Stopped,
    /// What is to come next is compacted.
    Anew,
    /// What is followed cannot be read.
    Failed(ServiceError),
}

impl<Error: Into<ServiceError>> From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What comes next of what is followed.
pub struct Followed {
    records: SmallVec<[Arc<EventRecord>; 1]>,
    /// The records are all there is of what was not told before, up to this revision.
    pub revision: Revision,
}

impl Followed {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The changes in order, all of each revision.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.records.iter().map(|record| record.event())
    }
}

/// The watch of one that follows.
pub struct Follower<'follower> {
    reached: &'follower Reached,
    handle: WatchStreamHandle,
    receiver: WatchStreamReceiver,
}

impl<'follower> Follower<'follower> {
    /// Begins after `revision`, at which everything was read. `reached` says when the hub is to be asked how far it is.
    pub async fn begin(reached: &'follower Reached, hub: &WatchHub, keys: Keys, revision: Revision) -> Self {
        let (mut handle, receiver) = hub.open_own_stream();
        let watch = WatchCreate {
            keys,
            start_revision: Revision(revision.0.saturating_add(1)),
            ..WatchCreate::default()
        };
        handle.create(watch).await;
        Self {
            reached,
            handle,
            receiver,
        }
    }

    /// What comes next.
    ///
    /// # Errors
    /// Nothing does: following has ended.
    pub async fn next(&mut self) -> Result<Followed, Ended> {
        loop {
            let response = tokio::select! {
                response = self.receiver.next() => response.ok_or(Ended::Stopped)?,
                () = self.reached.wanted.notified() => {
                    self.handle.request_progress();
                    continue;
                }
            };
            let records = match response.body {
                WatchBody::Events { events, .. } => events,
                WatchBody::Progress => SmallVec::new(),
                WatchBody::Created => continue,
                WatchBody::Compacted { .. } | WatchBody::Canceled => return Err(Ended::Anew),
                WatchBody::Refused(refusal) => {
                    return Err(ServiceError::Internal(refusal.to_string()).into());
                }
                WatchBody::Revoked(error) => return Err(error.into()),
            };
            return Ok(Followed {
                records,
                revision: response.revision,
            });
        }
    }
}
