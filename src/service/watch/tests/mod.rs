//! Tests of watches on the state machine over the engine in memory.
//!
//! Nothing runs by itself here: a test says when an applied batch is announced to the hub and when the catch-up thread
//! makes a pass, so that every interleaving is one that the test chose.

mod property;
mod rights;
mod rules;
mod slow;
mod threads;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;

use super::limits::Limits;
use super::stream::{self, WatchStreamHandle, WatchStreamReceiver};
use super::{Shared, WatchBody, WatchCreate, WatchResponse, WatchSettings, catchup};
use crate::base::metrics::Metrics;
use crate::base::{MemberId, Namespace, Revision};
use crate::replication::News;
use crate::state::applied::{Effect, Event, EventKind};
use crate::state::command::{Command, DeleteRange, Keys, Operation, Proposal, Put, Txn};
use crate::state::{LogEntry, Machine, Payload, encode_proposal};
use crate::storage::memory::MemoryEngine;

/// A progress interval that no test lives to see.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// A state machine with a hub on it.
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(super) shared: Arc<Shared>,
    pub(crate) metrics: Arc<Metrics>,
    /// Applied, but not yet announced to the hub.
    pub(crate) unannounced: VecDeque<News>,
    index: u64,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    pub(super) fn with_limits(limits: Limits) -> Self {
        let machine = Machine::open(Arc::new(MemoryEngine::new())).expect("an empty engine opens");
        let metrics = Arc::new(Metrics::new().expect("metrics register"));
        let settings = WatchSettings {
            progress_interval: NEVER,
        };
        let shared = Arc::new(Shared::new(machine.reader(), metrics.clone(), settings, limits));
        Self {
            machine,
            shared,
            metrics,
            unannounced: VecDeque::new(),
            index: 0,
        }
    }

    /// Applies commands as one batch, without announcing it.
    pub(crate) fn apply(&mut self, commands: Vec<Command>) -> Vec<Effect> {
        let entries: Vec<LogEntry> = commands.into_iter().map(|command| self.entry(command)).collect();
        let applied = self.machine.apply(&entries).expect("the engine in memory works");
        let effects: Vec<Effect> = applied.into_iter().flat_map(|applied| applied.effects).collect();
        self.unannounced.push_back(News {
            view: self.machine.reader().view(),
            effects: effects.clone(),
        });
        effects
    }

    fn entry(&mut self, command: Command) -> LogEntry {
        self.index += 1;
        let proposal = Proposal {
            origin: MemberId(1),
            sequence: self.index,
            command,
        };
        LogEntry {
            index: self.index,
            position: Bytes::from(self.index.to_be_bytes().to_vec()),
            payload: Payload::Proposals(encode_proposal(&proposal).expect("a proposal encodes")),
        }
    }

    /// Announces the oldest batch that is not announced.
    pub(crate) fn announce_one(&mut self) {
        if let Some(news) = self.unannounced.pop_front() {
            self.shared
                .absorb(&news.view, &news.effects)
                .expect("the engine in memory works");
        }
    }

    pub(crate) fn announce(&mut self) {
        while !self.unannounced.is_empty() {
            self.announce_one();
        }
    }

    /// What is not announced comes as a snapshot of another node instead.
    pub(crate) fn announce_as_snapshot(&mut self) {
        self.unannounced = VecDeque::from([News {
            view: self.machine.reader().view(),
            effects: vec![Effect::Restored],
        }]);
        self.announce();
    }

    /// Applies and announces.
    pub(crate) fn run(&mut self, commands: Vec<Command>) -> Vec<Effect> {
        let effects = self.apply(commands);
        self.announce();
        effects
    }

    /// Puts and announces `count` values of a key, a revision each.
    pub(crate) fn put_many(&mut self, key: &str, count: usize) {
        for number in 0..count {
            self.run(vec![put(key, &format!("{key} {number}"))]);
        }
    }

    pub(crate) fn pass(&self) {
        catchup::pass(&self.shared).expect("the engine in memory works");
    }

    /// Lets the catch-up thread's work be done.
    pub(crate) fn catch_up(&self) {
        for _ in 0..100_000 {
            if !self.shared.hub.lock().has_ready() {
                return;
            }
            self.pass();
        }
        panic!("catch-up does not come to an end");
    }

    pub(crate) fn remove_compacted(&self) {
        let compactor = self.machine.compactor();
        for _ in 0..100_000 {
            if compactor.step(100).expect("the engine in memory works").finished {
                return;
            }
        }
        panic!("compaction does not come to an end");
    }

    pub(crate) fn open(&self) -> Client {
        let (handle, receiver) = stream::open(self.shared.clone(), None, false);
        Client { handle, receiver }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.machine.reader().view().revision()
    }
}

/// A client of one stream.
pub(crate) struct Client {
    pub(crate) handle: WatchStreamHandle,
    pub(crate) receiver: WatchStreamReceiver,
}

impl Client {
    pub(crate) fn create(&mut self, request: WatchCreate) {
        self.handle
            .create(request)
            .now_or_never()
            .expect("there is room for the reply");
    }

    pub(crate) fn cancel(&mut self, watch_id: i64) {
        self.handle
            .cancel(watch_id)
            .now_or_never()
            .expect("there is room for the reply");
    }

    /// What the stream's clock does when an interval is over.
    pub(crate) fn notify_progress(&mut self) {
        self.receiver.notify_progress();
    }

    /// The next response, if there is one now.
    pub(crate) fn read(&mut self) -> Option<WatchResponse> {
        self.receiver
            .next()
            .now_or_never()
            .map(|next| next.expect("the hub runs"))
    }

    /// All responses that there are now, in the words of [`describe`].
    pub(crate) fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.read())
            .map(|response| describe(&response))
            .collect()
    }
}

/// A response in a line: `watch id @ header revision: what it says`.
pub(crate) fn describe(response: &WatchResponse) -> String {
    let body = match &response.body {
        WatchBody::Created => "created".to_owned(),
        WatchBody::Refused(refusal) => format!("refused: {refusal}"),
        WatchBody::Canceled => "canceled".to_owned(),
        WatchBody::Revoked(reason) => format!("revoked: {reason}"),
        WatchBody::Compacted { compacted } => format!("compacted {compacted}"),
        WatchBody::Progress => "progress".to_owned(),
        WatchBody::Events {
            events,
            with_previous,
            ..
        } => {
            let events: Vec<String> = events
                .iter()
                .map(|record| {
                    let previous = record.previous().filter(|_| *with_previous);
                    let previous = previous.map(|pair| format!(" was {}", text(&pair.value)));
                    describe_event(record.event()) + &previous.unwrap_or_default()
                })
                .collect();
            events.join(", ")
        }
    };
    format!("{} @ {}: {body}", response.watch_id, response.revision)
}

fn describe_event(event: &Event) -> String {
    let pair = &event.key_value;
    match event.kind {
        EventKind::Put => format!("{}={}", text(&pair.key), text(&pair.value)),
        EventKind::Delete => format!("{} deleted", text(&pair.key)),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn keys(key: &str, end: &str) -> Keys {
    Keys {
        namespace: Namespace::DEFAULT,
        key: Bytes::copy_from_slice(key.as_bytes()),
        end: Bytes::copy_from_slice(end.as_bytes()),
    }
}

pub(crate) fn put(key: &str, value: &str) -> Command {
    Command::Put(put_of(key, value))
}

pub(crate) fn put_of(key: &str, value: &str) -> Put {
    Put {
        namespace: Namespace::DEFAULT,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ..Put::default()
    }
}

pub(crate) fn delete(key: &str, end: &str) -> Command {
    Command::DeleteRange(delete_of(key, end))
}

pub(crate) fn delete_of(key: &str, end: &str) -> DeleteRange {
    DeleteRange {
        keys: keys(key, end),
        previous: false,
    }
}

pub(crate) fn txn(operations: Vec<Operation>) -> Command {
    Command::Txn(Txn {
        success: operations,
        ..Txn::default()
    })
}

pub(crate) fn compact(revision: i64) -> Command {
    Command::Compact {
        revision: Revision(revision),
    }
}

pub(crate) fn watch(key: &str, end: &str, start: i64) -> WatchCreate {
    WatchCreate {
        keys: keys(key, end),
        start_revision: Revision(start),
        ..WatchCreate::default()
    }
}
