//! One watch: what it wants, and who serves it.
//!
//! Changes only under the hub's lock.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::hub::StreamId;
use super::index::{End, Span};
use super::queue::Queue;
use super::record::EventRecord;
use super::{WatchBody, WatchCreate, WatchRefusal};
use crate::base::{Namespace, Revision};
use crate::state::applied::EventKind;
use crate::state::auth::Identity;
use crate::state::command::Keys;

/// What a watch wants; fixed when it is created.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) namespace: Namespace,
    pub(super) span: Span,
    pub(super) without_puts: bool,
    pub(super) without_deletes: bool,
    pub(super) with_previous: bool,
    fragment: bool,
}

impl Wanted {
    /// What a request means. Keys are copied, so that a watch does not hold on to its whole request.
    pub(super) fn from_request(request: &WatchCreate) -> Result<Self, WatchRefusal> {
        let span = span(&request.effective_keys())?;
        if request.start_revision < Revision(0) {
            return Err(WatchRefusal::NegativeStart);
        }
        Ok(Self {
            namespace: request.keys.namespace,
            span,
            without_puts: request.without_puts,
            without_deletes: request.without_deletes,
            with_previous: request.with_previous,
            fragment: request.fragment,
        })
    }

    /// The keys that it is about.
    pub(super) fn keys(&self) -> Keys {
        let (key, end) = match &self.span {
            Span::Key(key) => (key.clone(), Bytes::new()),
            Span::Range { start, end } => match end {
                End::Never => (start.clone(), Bytes::from_static(&[0])),
                End::Before(end) => (start.clone(), end.clone()),
            },
        };
        Keys {
            namespace: self.namespace,
            key,
            end,
        }
    }

    pub(super) fn wants(&self, kind: EventKind) -> bool {
        match kind {
            EventKind::Put => !self.without_puts,
            EventKind::Delete => !self.without_deletes,
        }
    }

    pub(super) fn events(&self, events: SmallVec<[Arc<EventRecord>; 1]>) -> WatchBody {
        WatchBody::Events {
            events,
            with_previous: self.with_previous,
            fragment: self.fragment,
        }
    }
}

/// Who serves a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The hub, with every revision from `from` on that it has not handed out yet.
    Synced {
        /// The first revision the watch wants.
        from: Revision,
    },
    /// The catch-up thread.
    Unsynced {
        /// The next revision the watch needs.
        cursor: Revision,
    },
    /// Nobody: it needs what is compacted. It keeps its id until it is canceled.
    Compacted,
}

/// One watch.
pub(super) struct Watcher {
    pub(super) stream: StreamId,
    pub(super) watch_id: i64,
    pub(super) queue: Arc<Queue>,
    pub(super) wanted: Arc<Wanted>,
    /// Who asked for it; none where nobody had to be known.
    pub(super) identity: Option<Identity>,
    pub(super) phase: Phase,
    /// As requested; progress is not told before the store is there.
    pub(super) start_revision: Revision,
    pub(super) progress_notify: bool,
    /// No event since the last progress notice was due.
    pub(super) quiet: bool,
    /// Changes of the revision that is being handed out.
    pub(super) pending: SmallVec<[Arc<EventRecord>; 1]>,
}

impl Watcher {
    pub(super) fn is_due(&self, revision: Revision) -> bool {
        matches!(self.phase, Phase::Synced { from } if from <= revision)
    }

    /// Whether all events up to the hub's `revision` are queued, and the watch has begun. A watch that began after a
    /// revision which the hub has yet to hand out has not: telling it that revision would go back in time.
    pub(super) fn is_up_to_date(&self, revision: Revision) -> bool {
        match self.phase {
            Phase::Synced { from } => from <= next(revision) && self.start_revision <= revision,
            Phase::Unsynced { .. } | Phase::Compacted => false,
        }
    }
}

/// The revision after `revision`.
pub(super) fn next(revision: Revision) -> Revision {
    Revision(revision.0.saturating_add(1))
}

fn span(keys: &Keys) -> Result<Span, WatchRefusal> {
    let start = Bytes::copy_from_slice(&keys.key);
    match keys.end.as_ref() {
        [] => Ok(Span::Key(start)),
        [0] => Ok(Span::Range {
            start,
            end: End::Never,
        }),
        end if start.as_ref() >= end => Err(WatchRefusal::EmptyRange),
        end => Ok(Span::Range {
            start,
            end: End::Before(Bytes::copy_from_slice(end)),
        }),
    }
}
