//! The responses of one stream that wait to be read, bounded in bytes and in number.
//!
//! Events are refused when the queue is full (the watch is served from history later); an empty queue takes any response, so
//! that a refusal always comes with a later read that makes room. Replies to requests have room of their own: they are
//! waited for, never refused. All of a stream's responses go through this one queue, so their order is the order in which
//! the hub made them. Never waits while it holds its lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::limits::Limits;
use super::{WatchBody, WatchResponse};
use crate::base::metrics::Metrics;

/// What a response costs in memory beside its events, in bytes.
const RESPONSE_OVERHEAD_BYTES: usize = 128;

/// What counts for all streams of a node together.
pub(super) struct NodeTotals {
    pub(super) limits: Limits,
    queued_bytes: AtomicUsize,
    metrics: Arc<Metrics>,
}

impl NodeTotals {
    pub(super) fn new(metrics: Arc<Metrics>, limits: Limits) -> Self {
        Self {
            limits,
            queued_bytes: AtomicUsize::new(0),
            metrics,
        }
    }
}

/// Whether a queue took a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Push {
    /// It did, or nobody will ever read it again.
    Taken,
    /// It is full. [`Queue::pop`] says when there is room again.
    Full,
}

/// What a read of a queue gave.
#[derive(Debug)]
pub(super) enum Pop {
    /// The next response, and whether there is room again for those who were refused.
    Response {
        /// The response.
        response: WatchResponse,
        /// Somebody was refused and may now try again. Said once for any number of refusals.
        has_room_again: bool,
    },
    /// Nothing now.
    Empty,
    /// Nothing any more.
    Ended,
}

/// The queue of one stream.
pub(super) struct Queue {
    state: Mutex<State>,
    totals: Arc<NodeTotals>,
    readable: Notify,
    replies_read: Notify,
}

#[derive(Default)]
struct State {
    responses: VecDeque<Queued>,
    bytes: usize,
    replies: usize,
    /// Bytes of the largest response that was refused and not yet asked for again.
    refused_bytes: Option<usize>,
    ended: bool,
    abandoned: bool,
}

struct Queued {
    response: WatchResponse,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(totals: Arc<NodeTotals>) -> Self {
        Self {
            state: Mutex::default(),
            totals,
            readable: Notify::new(),
            replies_read: Notify::new(),
        }
    }

    /// Adds events, a progress notice or a notice of compaction, unless the queue is full.
    pub(super) fn push(&self, response: WatchResponse) -> Push {
        let bytes = size_bytes(&response);
        let mut state = self.state.lock();
        if self.is_full(&state, bytes) {
            state.refused_bytes = state.refused_bytes.max(Some(bytes));
            return Push::Full;
        }
        self.append(&mut state, response, bytes);
        Push::Taken
    }

    /// Adds the reply to a request. The caller has waited for [`Queue::room_for_reply`].
    pub(super) fn push_reply(&self, response: WatchResponse) {
        let bytes = size_bytes(&response);
        self.append(&mut self.state.lock(), response, bytes);
    }

    /// Whether a response would be refused now; if so, [`Queue::pop`] will say when there is room again.
    pub(super) fn refuses(&self) -> bool {
        let mut state = self.state.lock();
        let full = self.is_full(&state, RESPONSE_OVERHEAD_BYTES);
        if full {
            state.refused_bytes = state.refused_bytes.max(Some(RESPONSE_OVERHEAD_BYTES));
        }
        full
    }

    /// Waits until there is room for the reply to one more request. Only one task of a stream waits here.
    pub(super) async fn room_for_reply(&self) {
        loop {
            {
                let state = self.state.lock();
                if state.replies < self.totals.limits.stream_replies || state.abandoned || state.ended {
                    return;
                }
            }
            self.replies_read.notified().await;
        }
    }

    /// Takes the next response.
    pub(super) fn pop(&self) -> Pop {
        let mut state = self.state.lock();
        let Some(Queued { response, bytes }) = state.responses.pop_front() else {
            return if state.ended { Pop::Ended } else { Pop::Empty };
        };
        state.bytes = state.bytes.saturating_sub(bytes);
        self.totals.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.totals
            .metrics
            .watch_pending_events
            .sub(event_count(&response));
        if response.is_reply() {
            state.replies = state.replies.saturating_sub(1);
            self.replies_read.notify_one();
        }
        let has_room_again = state
            .refused_bytes
            .is_some_and(|refused| self.is_half_empty(&state, refused));
        if has_room_again {
            state.refused_bytes = None;
        }
        Pop::Response {
            response,
            has_room_again,
        }
    }

    /// Waits until [`Queue::pop`] has something new to say. Only one task of a stream waits here.
    pub(super) async fn readable(&self) {
        self.readable.notified().await;
    }

    /// Nothing follows what is queued.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.readable.notify_one();
        self.replies_read.notify_one();
    }

    /// Nobody reads any more: what is queued is dropped.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        state.abandoned = true;
        let events: i64 = state
            .responses
            .iter()
            .map(|queued| event_count(&queued.response))
            .sum();
        self.totals.metrics.watch_pending_events.sub(events);
        self.totals.queued_bytes.fetch_sub(state.bytes, Ordering::Relaxed);
        let dropped = std::mem::take(&mut state.responses);
        state.bytes = 0;
        state.replies = 0;
        drop(state);
        drop(dropped);
        self.replies_read.notify_one();
    }

    /// Waits until nobody reads any more. Only the task that waits for room for replies may wait here.
    pub(super) async fn abandoned(&self) {
        while !self.state.lock().abandoned {
            self.replies_read.notified().await;
        }
    }

    fn append(&self, state: &mut State, response: WatchResponse, bytes: usize) {
        if state.abandoned || state.ended {
            return;
        }
        let events = event_count(&response);
        if events > 0 {
            self.totals.metrics.watch_events.inc_by(events.unsigned_abs());
            self.totals.metrics.watch_pending_events.add(events);
        }
        state.bytes = state.bytes.saturating_add(bytes);
        self.totals.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if response.is_reply() {
            state.replies = state.replies.saturating_add(1);
        }
        state.responses.push_back(Queued { response, bytes });
        if state.responses.len() == 1 {
            self.readable.notify_one();
        }
    }

    fn is_full(&self, state: &State, more_bytes: usize) -> bool {
        let limits = &self.totals.limits;
        !state.responses.is_empty()
            && (state.responses.len() >= limits.stream_responses
                || state.bytes.saturating_add(more_bytes) > limits.stream_bytes
                || self.totals.queued_bytes.load(Ordering::Relaxed) > limits.node_bytes)
    }

    /// Whether there is room for what was refused, and enough of it that asking again is worth a read of history.
    fn is_half_empty(&self, state: &State, refused_bytes: usize) -> bool {
        let limits = &self.totals.limits;
        state.responses.is_empty()
            || (state.responses.len() <= limits.stream_responses / 2
                && state.bytes <= limits.stream_bytes / 2
                && !self.is_full(state, refused_bytes))
    }
}

fn event_count(response: &WatchResponse) -> i64 {
    match &response.body {
        WatchBody::Events { events, .. } => i64::try_from(events.len()).unwrap_or(i64::MAX),
        _ => 0,
    }
}

fn size_bytes(response: &WatchResponse) -> usize {
    match &response.body {
        WatchBody::Events { events, .. } => events
            .iter()
            .map(|record| record.size_bytes())
            .fold(RESPONSE_OVERHEAD_BYTES, usize::saturating_add),
        _ => RESPONSE_OVERHEAD_BYTES,
    }
}
