//! Takes away what tokens and leases leave behind when they end: children, leases, cubbyholes, accessors, and what unmounted
//! engines stored. Goes on with what is revoked below a path, where that is more than one transaction takes.
//!
//! Every unsealed node follows what goes from the store; the leader acts at once, the others after a while and only where
//! something is left, so that a sealed leader leaves nothing for long. When a node is unsealed, and every few minutes, it looks
//! whether something was missed. All of it can be done twice. What is much is done in portions, and what fails is done later:
//! neither keeps others waiting. Never ends a token that is alive, or a lease before its time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine::storage::decode;
use super::error::SecretsError;
use super::parameters::Body;
use super::request::{Request, Response, Verb};
use super::store::{Draft, Unsealed, keys};
use super::token::{ACCESSORS, CHILDREN, LINEAGE, Lineage, TOKENS};
use super::work::Work;
use super::{Secrets, leases, mounts};
use crate::service::watch::follow::{Ended, Follower, Reached};
use crate::state::applied::EventKind;

/// How long nodes that do not lead wait for the one that does.
const FOLLOWERS_WAIT: Duration = Duration::from_secs(10);
/// How often it is looked for what was missed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(300);
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(1);
/// Jobs that are done in one transaction.
const JOBS_AT_ONCE: usize = 32;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Job {
    /// What a token left behind.
    Token(String),
    /// A lease whose time is up.
    Lease(String),
    /// What an unmounted engine stored.
    Mount(String),
    /// What is left to be revoked at a path and below it.
    Path(String),
}

/// Jobs in the order in which they are due, none of them twice.
#[derive(Default)]
struct Queue {
    jobs: BTreeMap<(Instant, u64), Job>,
    queued: HashSet<Job>,
    /// How many were ever added: of those that are due at the same time, the first comes first.
    added: u64,
}

impl Queue {
    fn add(&mut self, job: Job, at: Instant) {
        if self.queued.insert(job.clone()) {
            self.added += 1;
            self.jobs.insert((at, self.added), job);
        }
    }

    /// Those that are due, as many as are done at once; and when the next one is.
    fn due(&mut self, now: Instant) -> (Vec<Job>, Option<Instant>) {
        let mut due = Vec::new();
        while due.len() < JOBS_AT_ONCE
            && let Some(first) = self.jobs.first_entry()
            && first.key().0 <= now
        {
            let job = first.remove();
            self.queued.remove(&job);
            due.push(job);
        }
        (due, self.jobs.keys().next().map(|(at, _)| *at))
    }
}

/// See the module.
#[derive(Default)]
pub struct Reaper {
    queue: Mutex<Queue>,
    wanted: Notify,
    sweep: Notify,
}

impl Reaper {
    /// Has it looked for what was missed.
    pub fn sweep_soon(&self) {
        self.sweep.notify_one();
    }

    fn add(&self, job: Job, at: Instant) {
        self.queue.lock().add(job, at);
        self.wanted.notify_one();
    }
}

impl Secrets {
    /// Takes away what is left behind, for as long as the node runs.
    pub(super) async fn reap(&self) {
        loop {
            let unsealed = self.custody.wait().await;
            let reached = Reached::default();
            let view = self.core.reader.view();
            let follower = Follower::begin(&reached, &self.hub, keys::all_names(), view.revision()).await;
            tokio::select! {
                () = self.learn(&unsealed, follower) => {}
                () = self.work_off(&unsealed) => {}
                () = self.sweep(&unsealed) => {}
                () = self.custody.sealed(&unsealed) => {}
            }
            // The keys are not kept while nothing is done with them.
            drop(unsealed);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// When a job is to be done that was learnt of now.
    fn time_of_jobs(&self) -> Instant {
        let now = Instant::now();
        if self.core.replication.status().borrow().is_leader {
            now
        } else {
            now + FOLLOWERS_WAIT
        }
    }

    async fn learn(&self, unsealed: &Arc<Unsealed>, mut follower: Follower<'_>) {
        loop {
            match follower.next().await {
                Ok(followed) => {
                    for event in followed.events() {
                        self.learn_of(unsealed, event);
                    }
                }
                Err(Ended::Stopped) => std::future::pending().await,
                Err(Ended::Anew | Ended::Failed(_)) => return,
            }
        }
    }

    fn learn_of(&self, unsealed: &Unsealed, event: &crate::state::applied::Event) {
        let Some(name) = keys::name_of(&event.key_value.key) else {
            return;
        };
        // Most events are of none of these: nothing is decrypted to find that out.
        let is_in = |directory: &str| {
            let directory = unsealed.directory(directory);
            directory.is_ok_and(|directory| name.starts_with(&directory))
        };
        let of: fn(String) -> Job = match event.kind {
            EventKind::Delete if is_in(TOKENS) => Job::Token,
            EventKind::Delete if is_in(leases::TIMERS) => Job::Lease,
            EventKind::Put if is_in(mounts::UNMOUNTED) => Job::Mount,
            EventKind::Put if is_in(leases::REVOKING) => Job::Path,
            _ => return,
        };
        let path = unsealed.names().decode(name);
        match path.as_deref().map(|path| path.split_once('/')) {
            Ok(Some((_, rest))) => self.reaper.add(of(rest.to_owned()), self.time_of_jobs()),
            _ => tracing::warn!("a record of the secret store has a name that is not one of this store"),
        }
    }

    async fn work_off(&self, unsealed: &Arc<Unsealed>) {
        loop {
            let wanted = self.reaper.wanted.notified();
            let (due, next) = self.reaper.queue.lock().due(Instant::now());
            if due.is_empty() {
                let next = next.unwrap_or_else(|| Instant::now() + SWEEP_INTERVAL);
                tokio::select! {
                    () = wanted => {}
                    () = tokio::time::sleep_until(next) => {}
                }
                continue;
            }
            if self.do_jobs(unsealed, &due).await.is_ok() {
                continue;
            }
            // One of them may be what fails: each for itself, and what fails again later.
            for job in due {
                if let Err(error) = self.do_jobs(unsealed, std::slice::from_ref(&job)).await {
                    tracing::warn!(%error, "what ended left something behind that cannot be taken away yet");
                    self.reaper.add(job, Instant::now() + FOLLOWERS_WAIT);
                }
            }
        }
    }

    /// Does jobs in one transaction; what is more than it takes is done by others after it.
    async fn do_jobs(&self, unsealed: &Arc<Unsealed>, jobs: &[Job]) -> Result<(), SecretsError> {
        let request = Arc::new(Request {
            id: String::new(),
            verb: Verb::Delete,
            path: "sys/leases/tidy".to_owned(),
            body: Body::default(),
            token: None,
            wrap: None,
            peer: super::engine::Peer::default(),
        });
        loop {
            let view = self.core.view(false).await?;
            unsealed.follow(&view)?;
            let mut work = self.work(&request, unsealed, view, &Arc::new(BTreeMap::new()))?;
            let mut again = Vec::new();
            for job in jobs {
                if !work.draft().has_room() || !do_job(&mut work, job)? {
                    again.push(job.clone());
                }
            }
            let done = work.into_done(Ok(Response::default()));
            if self.finish(done, unsealed).await?.is_some() {
                let at = self.time_of_jobs();
                for job in again {
                    self.reaper.add(job, at);
                }
                return Ok(());
            }
        }
    }

    /// Looks for what was missed, at once and now and then.
    async fn sweep(&self, unsealed: &Arc<Unsealed>) {
        loop {
            if let Err(error) = self.sweep_once(unsealed).await {
                tracing::warn!(%error, "cannot look for what ended tokens left behind");
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
                () = self.reaper.sweep.notified() => {}
            }
        }
    }

    async fn sweep_once(&self, unsealed: &Arc<Unsealed>) -> Result<(), SecretsError> {
        let view = self.core.view(false).await?;
        unsealed.follow(&view)?;
        let draft = Draft::new(Arc::clone(unsealed), view, crate::base::clock::unix_time());
        let at = self.time_of_jobs();
        let (reaper, unsealed) = (Arc::clone(&self.reaper), Arc::clone(unsealed));
        let swept = tokio::task::spawn_blocking(move || {
            let find = |directory: &str, gone: &str, job: fn(String) -> Job| -> Result<(), SecretsError> {
                let directory_name = draft.name(directory)?;
                let mut from = None;
                loop {
                    let (names, next) = draft.walk(&directory_name, from)?;
                    for name in names {
                        let path = unsealed.names().decode(&name)?;
                        let rest = path.split_once('/').map_or("", |(_, rest)| rest).to_owned();
                        let is_left = gone.is_empty() || !draft.is_there(&format!("{gone}/{rest}"))?;
                        if is_left {
                            reaper.add(job(rest), at);
                        }
                    }
                    match next {
                        Some(next) => from = Some(next),
                        None => return Ok(()),
                    }
                }
            };
            find(LINEAGE, TOKENS, Job::Token)?;
            find(leases::LEASES, leases::TIMERS, Job::Lease)?;
            find(mounts::UNMOUNTED, "", Job::Mount)?;
            find(leases::REVOKING, "", Job::Path)
        });
        swept
            .await
            .map_err(|_| SecretsError::Service(crate::service::ServiceError::Stopped))?
    }
}

/// Does a job in a draft; false: there is more of it.
fn do_job(work: &mut Work, job: &Job) -> Result<bool, SecretsError> {
    match job {
        Job::Token(id) => do_token(work, id),
        Job::Lease(id) => {
            let timer = work.draft().name(&format!("{}/{id}", leases::TIMERS))?;
            if !work.draft().has(&timer)? {
                leases::end(work, id)?;
            }
            Ok(true)
        }
        Job::Mount(uuid) => do_mount(work, uuid),
        Job::Path(path) => leases::go_on(work, path),
    }
}

/// Takes away records below a directory, as many as one transaction takes, each when `before` was done for it; false: there
/// are more.
fn clear(
    draft: &mut Draft,
    directory: &str,
    mut before: impl FnMut(&mut Draft, &[u8]) -> Result<(), SecretsError>,
) -> Result<bool, SecretsError> {
    let directory = draft.name(directory)?;
    let (names, more) = draft.all_below(&directory)?;
    for name in names {
        if !draft.has_room() {
            return Ok(false);
        }
        before(draft, &name)?;
        draft.delete(&name)?;
    }
    Ok(!more)
}

fn do_mount(work: &mut Work, uuid: &str) -> Result<bool, SecretsError> {
    let mark = work.draft().name(&format!("{}/{uuid}", mounts::UNMOUNTED))?;
    if !work.draft().has(&mark)? {
        return Ok(true);
    }
    let is_done = clear(work.draft(), &mounts::directory(uuid), |_, _| Ok(()))?;
    if is_done {
        work.draft().delete(&mark)?;
    }
    Ok(is_done)
}

fn do_token(work: &mut Work, id: &str) -> Result<bool, SecretsError> {
    let token = work.draft().name(&format!("{TOKENS}/{id}"))?;
    let lineage_name = work.draft().name(&format!("{LINEAGE}/{id}"))?;
    let Some(lineage) = work.draft().get(&lineage_name)? else {
        return Ok(true);
    };
    if work.draft().has(&token)? {
        return Ok(true);
    }
    let lineage: Lineage = decode(lineage.expose())?;
    let cubbyhole = work.mounts().get("cubbyhole/");
    let cubbyhole = cubbyhole.map(|mount| format!("{}/{id}", mounts::directory(&mount.uuid)));
    let draft = work.draft();
    // Leases end each by itself: one that cannot be taken back does not keep the rest.
    let is_done = clear(draft, &format!("{CHILDREN}/{id}"), end_child)?
        && clear(draft, &format!("{}/{id}", leases::LEASED), end_lease)?
        && match cubbyhole {
            Some(cubbyhole) => clear(draft, &cubbyhole, |_, _| Ok(()))?,
            None => true,
        };
    if is_done {
        let mut names = vec![format!("{ACCESSORS}/{}", lineage.accessor)];
        if let Some(parent) = &lineage.parent {
            names.push(format!("{CHILDREN}/{parent}/{id}"));
        }
        for path in names {
            let name = draft.name(&path)?;
            draft.delete(&name)?;
        }
        draft.delete(&lineage_name)?;
    }
    Ok(is_done)
}

/// Ends the token that a link of its parent names.
fn end_child(draft: &mut Draft, link: &[u8]) -> Result<(), SecretsError> {
    let path = draft.unsealed().names().decode(link)?;
    if let Some((_, child)) = path.rsplit_once('/') {
        super::token::revoke(draft, child)?;
    }
    Ok(())
}

/// Has the time of the lease be up that a link of its token names.
fn end_lease(draft: &mut Draft, link: &[u8]) -> Result<(), SecretsError> {
    if let Some(record) = draft.get(link)? {
        let lease: String = decode(record.expose())?;
        leases::expire(draft, &lease)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_queued_once_and_what_failed_lets_others_go_first() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let job = |number: usize| Job::Token(number.to_string());
        queue.add(job(0), now + FOLLOWERS_WAIT);
        for number in 0..=JOBS_AT_ONCE {
            queue.add(job(number), now);
            queue.add(job(number), now);
        }
        let (due, next) = queue.due(now);
        assert_eq!(due, (1..=JOBS_AT_ONCE).map(job).collect::<Vec<_>>());
        assert_eq!(next, Some(now + FOLLOWERS_WAIT));
        // What is done already may come again.
        queue.add(job(1), now);
        assert_eq!(queue.due(now).0, [job(1)]);
        assert_eq!(queue.due(now + FOLLOWERS_WAIT), (vec![job(0)], None));
    }

    #[test]
    fn no_more_are_due_than_are_done_at_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        for number in 0..=JOBS_AT_ONCE {
            queue.add(Job::Lease(number.to_string()), now);
        }
        let (due, next) = queue.due(now);
        assert_eq!((due.len(), next), (JOBS_AT_ONCE, Some(now)));
        assert_eq!(queue.due(now), (vec![Job::Lease(JOBS_AT_ONCE.to_string())], None));
    }
}
