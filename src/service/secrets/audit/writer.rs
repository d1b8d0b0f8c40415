//! The thread of one device: puts records into their chain and writes them, one after the other.
//!
//! Never puts a record into the chain that was not written, and never says that one was written before it is.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use super::chain::{Chain, Head, Linked, Record};
use super::queue::{Job, Queue, Work};
use super::sink::{Opened, Sink};
use crate::base::clock;
use crate::base::limits::AUDIT_RETRY_SECONDS;

/// Records that are synced together at most.
const MAXIMUM_BATCH: usize = 256;

/// Opens what a device writes to.
pub(super) type Opening = Box<dyn FnMut() -> io::Result<Opened> + Send>;

/// What is told of a device.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub written: u64,
    pub failed: u64,
    pub refused: u64,
    /// Why it does not work; none: it does, or nothing was asked of it yet.
    pub failure: Option<String>,
    pub head: Option<Head>,
}

/// Whom to tell about records that wait to be synced.
#[derive(Default)]
struct Unsynced {
    answers: Vec<UnboundedSender<Result<(), String>>>,
    bytes: usize,
}

/// The writer of a device.
pub(super) struct Writer {
    pub name: String,
    pub node: String,
    pub prefix: String,
    pub is_synced: bool,
    pub chain: Chain,
    pub opening: Opening,
    pub queue: Arc<Queue>,
    pub progress: Arc<Mutex<Progress>>,
    pub sink: Option<Box<dyn Sink>>,
    /// When what could not be opened is tried again, and why it could not.
    pub retry: Option<(Instant, String)>,
}

impl Writer {
    /// Works until the queue is closed.
    pub fn run(mut self) {
        let mut unsynced = Unsynced::default();
        while let Some(job) = self.queue.take() {
            let Job { work, time, answer } = job;
            if !matches!(work, Work::Record(_)) {
                self.sync(std::mem::take(&mut unsynced));
            }
            match work {
                Work::Record(object) => {
                    let written = self.record(time, &object);
                    if self.is_synced && written.is_ok() {
                        unsynced.answers.push(answer);
                        unsynced.bytes += object.len();
                    } else {
                        self.queue.done(1, object.len());
                        self.tell(&answer, written);
                    }
                }
                Work::Open => {
                    let opened = self.open(time);
                    self.note(&opened);
                    // Whoever asked may have gone.
                    let _ = answer.send(opened);
                    self.queue.done(0, 0);
                }
                Work::End => {
                    let _ = answer.send(self.end(time));
                    self.queue.done(0, 0);
                }
            }
            if unsynced.answers.len() >= MAXIMUM_BATCH || !self.queue.has_more() {
                self.sync(std::mem::take(&mut unsynced));
            }
        }
    }

    fn sync(&mut self, unsynced: Unsynced) {
        if unsynced.answers.is_empty() {
            return;
        }
        let synced = match &mut self.sink {
            Some(sink) => sink.sync().map_err(|error| error.to_string()),
            None => Err("it was removed".to_owned()),
        };
        self.queue.done(unsynced.answers.len(), unsynced.bytes);
        for answer in &unsynced.answers {
            self.tell(answer, synced.clone());
        }
    }

    fn tell(&self, answer: &UnboundedSender<Result<(), String>>, written: Result<(), String>) {
        self.note(&written);
        let mut progress = self.progress.lock();
        match &written {
            Ok(()) => progress.written += 1,
            Err(_) => progress.failed += 1,
        }
        drop(progress);
        // Whoever asked may have gone.
        let _ = answer.send(written);
    }

    fn note(&self, outcome: &Result<(), String>) {
        let mut progress = self.progress.lock();
        progress.head = self.chain.head();
        let failure = outcome.clone().err();
        if progress.failure.is_none() != failure.is_none() {
            match &failure {
                Some(reason) => {
                    tracing::error!(device = %self.name, %reason, "the audit device does not write any more");
                }
                None => tracing::info!(device = %self.name, "the audit device writes again"),
            }
        }
        progress.failure = failure;
    }

    fn record(&mut self, time: Duration, object: &[u8]) -> Result<(), String> {
        if self.sink.as_ref().is_some_and(|sink| sink.is_gone()) {
            tracing::warn!(device = %self.name, "the audit file was removed; it is made anew");
            self.sink = None;
        }
        if self.sink.is_none() {
            self.open_in_time(time)?;
        }
        let linked = self.chain.link(object).map_err(|error| error.to_string())?;
        let Some(sink) = &mut self.sink else {
            return Err("it is not open".to_owned());
        };
        write(sink.as_mut(), &self.prefix, &linked)?;
        self.chain.advance(linked);
        Ok(())
    }

    /// Opens, but not more often than now and then.
    fn open_in_time(&mut self, time: Duration) -> Result<(), String> {
        if let Some((at, reason)) = &self.retry
            && clock::now() < *at
        {
            return Err(reason.clone());
        }
        self.open(time)
    }

    fn open(&mut self, time: Duration) -> Result<(), String> {
        let opened = self.try_open(time);
        let next = || clock::now() + Duration::from_secs(AUDIT_RETRY_SECONDS);
        self.retry = opened.as_ref().err().map(|reason| (next(), reason.clone()));
        opened
    }

    /// What was open before stays so where this fails.
    fn try_open(&mut self, time: Duration) -> Result<(), String> {
        let mut opened = (self.opening)().map_err(|error| error.to_string())?;
        let found = last_record(&opened.tail, &self.node, &self.name).filter(|_| self.chain.is_new());
        let start = self.chain.start(time, opened.is_first, found);
        let start = start.map_err(|error| error.to_string())?;
        write(opened.sink.as_mut(), &self.prefix, &start)?;
        self.chain.advance(start);
        self.sink = Some(opened.sink);
        Ok(())
    }

    fn end(&mut self, time: Duration) -> Result<(), String> {
        let Some(mut sink) = self.sink.take() else {
            return Ok(());
        };
        let end = self.chain.end(time).map_err(|error| error.to_string())?;
        write(sink.as_mut(), &self.prefix, &end)?;
        self.chain.advance(end);
        sink.sync().map_err(|error| error.to_string())
    }
}

fn write(sink: &mut dyn Sink, prefix: &str, linked: &Linked) -> Result<(), String> {
    let written = if prefix.is_empty() {
        sink.write(&linked.object)
    } else {
        sink.write(&[prefix.as_bytes(), &linked.object].concat())
    };
    written.map_err(|error| error.to_string())
}

/// The last record of the device of this node in the end of a file.
fn last_record(tail: &[u8], node: &str, device: &str) -> Option<Head> {
    let mut lines = tail.rsplit(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (record, object) = Record::read(line)?;
        let place = record.chain;
        (place.node == node && place.device == device).then(|| Head {
            id: place.id,
            sequence: place.sequence,
            link: super::chain::Link::of(object),
        })
    })
}
