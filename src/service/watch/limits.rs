//! The limits of watches in one place, so that tests can run into each of them with little data.

use crate::base::limits::{
    MAXIMUM_CATCH_UP_BYTES, MAXIMUM_CATCH_UP_REVISIONS, MAXIMUM_CATCH_UP_WATCHERS, MAXIMUM_WATCH_NODE_BYTES,
    MAXIMUM_WATCH_STREAM_BYTES, MAXIMUM_WATCH_STREAM_REPLIES, MAXIMUM_WATCH_STREAM_RESPONSES,
};

/// What bounds the queues and the pages of history; each is described at its default in [`crate::base::limits`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) stream_bytes: usize,
    pub(super) stream_responses: usize,
    pub(super) stream_replies: usize,
    pub(super) node_bytes: usize,
    pub(super) page_revisions: usize,
    pub(super) page_bytes: usize,
    pub(super) pass_watchers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stream_bytes: MAXIMUM_WATCH_STREAM_BYTES,
            stream_responses: MAXIMUM_WATCH_STREAM_RESPONSES,
            stream_replies: MAXIMUM_WATCH_STREAM_REPLIES,
            node_bytes: MAXIMUM_WATCH_NODE_BYTES,
            page_revisions: MAXIMUM_CATCH_UP_REVISIONS,
            page_bytes: MAXIMUM_CATCH_UP_BYTES,
            pass_watchers: MAXIMUM_CATCH_UP_WATCHERS,
        }
    }
}
