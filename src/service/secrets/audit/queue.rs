//! What waits for the thread of one device: bounded in records and in bytes, those that it works on included.
//!
//! Never waits where a record is put in: what does not fit is refused.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::mpsc::UnboundedSender;

use crate::base::clock;
use crate::base::limits::{MAXIMUM_AUDIT_BUFFER_BYTES, MAXIMUM_AUDIT_BUFFER_RECORDS};

/// What a device is to do.
pub(super) enum Work {
    /// Write a record, an object of JSON.
    Record(Vec<u8>),
    /// Open what it writes to, again if it is open.
    Open,
    /// Write that no record follows, and stop.
    End,
}

/// Work, and whom to tell that it was done, or why not.
pub(super) struct Job {
    pub work: Work,
    /// The time of what is written, since 1970.
    pub time: Duration,
    pub answer: UnboundedSender<Result<(), String>>,
}

impl Job {
    fn bytes(&self) -> usize {
        match &self.work {
            Work::Record(object) => object.len(),
            Work::Open | Work::End => 0,
        }
    }

    fn records(&self) -> usize {
        usize::from(matches!(self.work, Work::Record(_)))
    }
}

/// Why a job was not put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub records: usize,
    pub bytes: usize,
    /// How long the oldest has waited.
    pub age: Duration,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<(Instant, Job)>,
    records: usize,
    bytes: usize,
    /// Since when the one waits that is worked on.
    begun: Option<Instant>,
    is_closed: bool,
}

/// Jobs, in the order in which they came.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    is_ready: Condvar,
}

impl Queue {
    /// Puts a job in. What is no record always fits; nothing comes behind an end.
    pub fn put(&self, job: Job) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Refusal::Closed);
        }
        let records = state.records + job.records();
        let bytes = state.bytes.saturating_add(job.bytes());
        if job.records() > 0 && (records > MAXIMUM_AUDIT_BUFFER_RECORDS || bytes > MAXIMUM_AUDIT_BUFFER_BYTES)
        {
            return Err(Refusal::Full);
        }
        state.records = records;
        state.bytes = bytes;
        state.is_closed = matches!(job.work, Work::End);
        state.jobs.push_back((clock::now(), job));
        self.is_ready.notify_one();
        Ok(())
    }

    /// Lets nothing more in. What is in is worked off.
    pub fn close(&self) {
        self.state.lock().is_closed = true;
        self.is_ready.notify_one();
    }

    /// Waits for the next job; none: there will be none.
    pub fn take(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some((since, job)) = state.jobs.pop_front() {
                state.begun = Some(since);
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            self.is_ready.wait(&mut state);
        }
    }

    /// Whether a job waits.
    pub fn has_more(&self) -> bool {
        !self.state.lock().jobs.is_empty()
    }

    /// Notes that what was taken is done: so many records, of so many bytes.
    pub fn done(&self, records: usize, bytes: usize) {
        let mut state = self.state.lock();
        state.begun = None;
        state.records = state.records.saturating_sub(records);
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// How much waits.
    pub fn load(&self) -> Load {
        let state = self.state.lock();
        let oldest = state.begun.or(state.jobs.front().map(|(since, _)| *since));
        Load {
            records: state.records,
            bytes: state.bytes,
            age: oldest.map_or(Duration::ZERO, |oldest| {
                clock::now().saturating_duration_since(oldest)
            }),
        }
    }
}
