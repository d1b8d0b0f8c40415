//! The two ends of a stream: the handle takes requests, the receiver gives responses.
//!
//! The receiver owns the stream: dropping it removes all its watches. It also is the clock of the stream's progress notices:
//! only a stream that is read makes them. Never holds the hub's lock across an await.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hub::StreamId;
use super::queue::{Pop, Queue};
use super::{Shared, WatchCreate, WatchResponse};
use crate::base::clock;
use crate::service::ServiceError;
use crate::service::auth::Pass;
use crate::state::auth::Identity;

/// Takes the requests of a stream. Replies come out of the stream's receiver, in the order of the requests.
pub struct WatchStreamHandle {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    stream: StreamId,
    /// Who asks; none for somebody who has no identity.
    pass: Option<Pass>,
}

/// Gives the responses of a stream; dropping it ends the stream.
pub struct WatchStreamReceiver {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    stream: StreamId,
    progress_interval: Duration,
    next_progress: Instant,
}

/// Opens a stream, for whoever `pass` names or for the node itself.
pub(super) fn open(
    shared: Arc<Shared>,
    pass: Option<Pass>,
    is_own: bool,
) -> (WatchStreamHandle, WatchStreamReceiver) {
    let queue = Arc::new(Queue::new(shared.totals.clone()));
    let stream = shared.hub.lock().open_stream(queue.clone(), is_own);
    let progress_interval = with_jitter(shared.settings.progress_interval);
    let handle = WatchStreamHandle {
        shared: shared.clone(),
        queue: queue.clone(),
        stream,
        pass,
    };
    let receiver = WatchStreamReceiver {
        shared,
        queue,
        stream,
        progress_interval,
        next_progress: clock::now() + progress_interval,
    };
    (handle, receiver)
}

/// Up to a tenth more, so that streams opened together do not report together.
fn with_jitter(interval: Duration) -> Duration {
    let tenth = u64::try_from(interval.as_micros() / 10).unwrap_or(u64::MAX);
    interval + Duration::from_micros(clock::random_u64() % tenth.max(1))
}

impl WatchStreamHandle {
    /// Asks for a watch. Waits while too many replies of the stream are unread. The reply is `Created` or `Refused`.
    pub async fn create(&mut self, request: WatchCreate) {
        self.queue.room_for_reply().await;
        let admitted = match &self.pass {
            Some(pass) => pass.admit_watch(&request.effective_keys()).await,
            None => Ok(None),
        };
        self.create_for(&request, admitted);
    }

    /// Asks for a watch for whoever was admitted. There is room for the reply.
    pub(super) fn create_for(
        &mut self,
        request: &WatchCreate,
        admitted: Result<Option<Identity>, ServiceError>,
    ) {
        let mut hub = self.shared.hub.lock();
        // Read under the lock: what the hub has handed out is in this state, whatever comes later is not yet handed out.
        let current = self.shared.reader.view();
        hub.create(self.stream, request, admitted, &current);
        self.shared.wake_catch_up(&hub);
    }

    /// Ends a watch. Waits while too many replies of the stream are unread. The reply is `Canceled`; there is none if the
    /// stream has no such watch.
    pub async fn cancel(&mut self, watch_id: i64) {
        self.queue.room_for_reply().await;
        self.shared.hub.lock().cancel(self.stream, watch_id);
    }

    /// Asks for a progress reply for the whole stream. There is none unless the stream has watches, all are synced and
    /// none starts in the future (etcd): the client asks again.
    pub fn request_progress(&mut self) {
        let mut hub = self.shared.hub.lock();
        let current = self.shared.reader.view().revision();
        hub.request_progress(self.stream, current);
    }

    /// Resolves when the receiver is gone: requests have no effect any more.
    pub async fn closed(&mut self) {
        self.queue.abandoned().await;
    }
}

impl WatchStreamReceiver {
    /// Queues the progress notices that are due at the end of an interval.
    pub(super) fn notify_progress(&self) {
        self.shared.hub.lock().notify_progress(self.stream);
    }

    /// The next response; none when the hub has stopped. Losing the future loses nothing.
    pub async fn next(&mut self) -> Option<WatchResponse> {
        loop {
            let now = clock::now();
            if now >= self.next_progress {
                self.notify_progress();
                self.next_progress = now + self.progress_interval;
            }
            match self.queue.pop() {
                Pop::Response {
                    response,
                    has_room_again,
                } => {
                    if has_room_again {
                        let mut hub = self.shared.hub.lock();
                        hub.resume(self.stream);
                        self.shared.wake_catch_up(&hub);
                    }
                    return Some(response);
                }
                Pop::Ended => return None,
                Pop::Empty => {}
            }
            tokio::select! {
                () = self.queue.readable() => {}
                () = tokio::time::sleep_until(self.next_progress.into()) => {}
            }
        }
    }
}

impl Drop for WatchStreamReceiver {
    fn drop(&mut self) {
        self.shared.hub.lock().close_stream(self.stream);
        self.queue.abandon();
    }
}
