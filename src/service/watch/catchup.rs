//! Serves unsynced watches from history, one page at a time.
//!
//! A pass takes the watch that has waited longest, and with it others whose cursors are near, reads one page of history for
//! all of them without any lock, then queues each watch's part and moves its cursor, under the hub's lock. A watch whose
//! cursor is past the hub's revision is handed back to the hub in the same step. Who is not done goes to the end of the line,
//! so no watch keeps others waiting for more than a page; who finds its stream's queue full waits for its stream to be read.
//!
//! Never reads more than a page ahead of what a stream has taken.

use std::collections::VecDeque;
use std::sync::Arc;

use smallvec::SmallVec;

use super::hub::{Hub, WatcherId};
use super::index::KeyIndex;
use super::limits::Limits;
use super::queue::{Push, Queue};
use super::record::EventRecord;
use super::watcher::{Phase, Wanted};
use super::{Shared, WatchBody, WatchResponse};
use crate::base::Revision;
use crate::state::ReadView;
use crate::state::applied::{Event, Fatal};

/// One watch's part in a pass.
struct Job {
    watcher: WatcherId,
    wanted: Arc<Wanted>,
    cursor: Revision,
    events: SmallVec<[Arc<EventRecord>; 1]>,
}

/// What a pass read.
struct Page {
    /// The compacted revision of the state that was read.
    compacted: Option<Revision>,
    /// The first revision that was not looked at.
    next: Revision,
}

/// Serves unsynced watches until the hub stops. Blocks its thread.
pub(super) fn run(shared: &Shared) {
    loop {
        {
            let mut hub = shared.hub.lock();
            while !hub.has_ready() && !hub.is_stopped() {
                shared.catch_up.wait(&mut hub);
            }
            if hub.is_stopped() {
                return;
            }
        }
        if let Err(error) = pass(shared) {
            shared.fail("read history for watches", &error);
            return;
        }
    }
}

/// One pass. Does nothing if no watch is ready.
pub(super) fn pass(shared: &Shared) -> Result<(), Fatal> {
    let limits = &shared.totals.limits;
    let mut jobs = select(&mut shared.hub.lock(), limits);
    if jobs.is_empty() {
        return Ok(());
    }
    let page = read(&shared.reader.view(), &mut jobs, limits)?;
    finish(&mut shared.hub.lock(), jobs, &page);
    Ok(())
}

/// Takes the first ready watch out of the line, and those near the front whose cursors are in its page.
fn select(hub: &mut Hub, limits: &Limits) -> Vec<Job> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut passed_over = VecDeque::new();
    for _ in 0..limits.pass_watchers {
        let Some(id) = hub.ready.pop_front() else {
            break;
        };
        let Some((job, queue)) = job(hub, id) else {
            continue;
        };
        if queue.refuses() {
            hub.park(id);
        } else if jobs
            .first()
            .is_none_or(|first| is_near(first.cursor, job.cursor, limits))
        {
            jobs.push(job);
        } else {
            passed_over.push_back(id);
        }
    }
    // They keep their places at the front of the line.
    passed_over.append(&mut hub.ready);
    hub.ready = passed_over;
    jobs
}

fn job(hub: &Hub, id: WatcherId) -> Option<(Job, Arc<Queue>)> {
    let watcher = hub.watchers.get(&id)?;
    let Phase::Unsynced { cursor } = watcher.phase else {
        return None;
    };
    let job = Job {
        watcher: id,
        wanted: watcher.wanted.clone(),
        cursor,
        events: SmallVec::new(),
    };
    Some((job, watcher.queue.clone()))
}

/// Whether a page that begins at `first` can hold `cursor`.
fn is_near(first: Revision, cursor: Revision, limits: &Limits) -> bool {
    let page = i64::try_from(limits.page_revisions).unwrap_or(i64::MAX);
    cursor >= first && cursor.0.saturating_sub(first.0) < page
}

/// Reads a page from the first cursor that is not compacted, and gives each job its part.
fn read(view: &ReadView, jobs: &mut [Job], limits: &Limits) -> Result<Page, Fatal> {
    let compacted = view.compacted();
    let readable = |cursor: Revision| compacted.is_none_or(|compacted| cursor >= compacted);
    let mut index = KeyIndex::new();
    let mut from = None;
    for (number, job) in jobs.iter().enumerate() {
        if readable(job.cursor) {
            index.insert(job.wanted.namespace, &job.wanted.span, number);
            from = Some(from.map_or(job.cursor, |from: Revision| from.min(job.cursor)));
        }
    }
    let Some(from) = from else {
        return Ok(Page {
            compacted,
            next: Revision(0),
        });
    };
    let page = view.events(
        from,
        limits.page_revisions,
        limits.page_bytes,
        &mut |namespace, key, kind| {
            let mut wanted = false;
            index.visit(namespace, key, &mut |number: usize| {
                wanted |= jobs.get(number).is_some_and(|job| job.wanted.wants(kind));
            });
            wanted
        },
    )?;
    for event in page.events {
        let mut matching: SmallVec<[usize; 8]> = SmallVec::new();
        index.visit(event.namespace, &event.key_value.key, &mut |number| {
            matching.push(number);
        });
        share(view, jobs, &matching, event, compacted)?;
    }
    Ok(Page {
        compacted,
        next: page.next,
    })
}

/// Gives a change to those of the `matching` jobs that want it.
fn share(
    view: &ReadView,
    jobs: &mut [Job],
    matching: &[usize],
    event: Event,
    compacted: Option<Revision>,
) -> Result<(), Fatal> {
    let revision = event.id.revision;
    let kind = event.kind;
    let record = EventRecord::new(event);
    // As in etcd: what a change replaced is shown while the revision before the change is readable.
    let previous_readable = compacted.is_none_or(|compacted| revision > compacted);
    for number in matching {
        let Some(job) = jobs.get_mut(*number) else {
            continue;
        };
        if revision < job.cursor || !job.wanted.wants(kind) {
            continue;
        }
        if job.wanted.with_previous && previous_readable {
            record.load_previous(view)?;
        }
        job.events.push(record.clone());
    }
    Ok(())
}

/// Queues what was read and moves the cursors.
fn finish(hub: &mut Hub, jobs: Vec<Job>, page: &Page) {
    for job in jobs {
        let Some(watcher) = hub.watchers.get_mut(&job.watcher) else {
            continue;
        };
        if watcher.phase != (Phase::Unsynced { cursor: job.cursor }) {
            continue;
        }
        let expired = page.compacted.filter(|compacted| job.cursor < *compacted);
        let has_events = !job.events.is_empty();
        let body = match expired {
            Some(compacted) => Some((Revision(0), WatchBody::Compacted { compacted })),
            None if page.next <= job.cursor => {
                hub.ready.push_back(job.watcher);
                continue;
            }
            None if has_events => {
                // The last revision that was looked at, not the store's: no later event is promised to be sent.
                let header = Revision(page.next.0.saturating_sub(1));
                Some((header, job.wanted.events(job.events)))
            }
            None => None,
        };
        if let Some((revision, body)) = body {
            let response = WatchResponse {
                watch_id: watcher.watch_id,
                revision,
                body,
            };
            if watcher.queue.push(response) == Push::Full {
                hub.park(job.watcher);
                continue;
            }
            watcher.quiet &= !has_events;
        }
        if expired.is_some() {
            watcher.phase = Phase::Compacted;
            hub.index
                .remove(job.wanted.namespace, &job.wanted.span, job.watcher);
            hub.metrics.slow_watchers.dec();
        } else if page.next > hub.revision {
            watcher.phase = Phase::Synced { from: page.next };
            hub.metrics.slow_watchers.dec();
        } else {
            watcher.phase = Phase::Unsynced { cursor: page.next };
            hub.ready.push_back(job.watcher);
        }
    }
}
