//! A stream of watches that a contest itself reads: only what changes anything comes through.
//!
//! Never polls; holds nothing but its watches, and drops them when it is dropped.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::auth::Pass;
use crate::service::watch::{
    EventRecord, WatchBody, WatchCreate, WatchHub, WatchStreamHandle, WatchStreamReceiver,
};

/// What a watch brought.
pub(super) enum Followed {
    /// Changes.
    Events {
        /// Of which watch.
        watch_id: i64,
        /// The revision of the message: all changes of the watch up to it are told.
        revision: Revision,
        /// The changes, in order.
        events: SmallVec<[Arc<EventRecord>; 1]>,
    },
    /// What was to come is compacted: read the state anew.
    Compacted,
}

/// Reads the watches of one stream.
pub(super) struct Follower {
    _handle: WatchStreamHandle,
    receiver: WatchStreamReceiver,
}

impl Follower {
    /// Opens a stream with these watches, for whoever `pass` names.
    pub(super) async fn open(
        hub: &WatchHub,
        pass: Option<Pass>,
        watches: impl IntoIterator<Item = WatchCreate>,
    ) -> Self {
        let (mut handle, receiver) = hub.open_stream(pass);
        for watch in watches {
            handle.create(watch).await;
        }
        Self {
            _handle: handle,
            receiver,
        }
    }

    /// The next changes.
    ///
    /// # Errors
    /// The node is stopping, it has too many watches, or whoever watches may not see the keys, or not any more.
    pub(super) async fn next(&mut self) -> Result<Followed, ServiceError> {
        loop {
            let Some(response) = self.receiver.next().await else {
                return Err(ServiceError::Stopped);
            };
            match response.body {
                WatchBody::Events { events, .. } => {
                    return Ok(Followed::Events {
                        watch_id: response.watch_id,
                        revision: response.revision,
                        events,
                    });
                }
                WatchBody::Compacted { .. } => return Ok(Followed::Compacted),
                WatchBody::Refused(refusal) => return Err(refusal.into()),
                WatchBody::Revoked(error) => return Err(error),
                WatchBody::Created | WatchBody::Canceled | WatchBody::Progress => {}
            }
        }
    }
}
