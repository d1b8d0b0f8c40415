//! Takes away what tokens and leases leave behind when they end: children, leases, cubbyholes, accessors, and what unmounted
//! engines stored.
//!
//! Every unsealed node follows what goes from the store; the leader acts at once, the others after a while and only where
//! something is left, so that a sealed leader leaves nothing for long. When a node is unsealed, and every few minutes, it looks
//! whether something was missed. All of it can be done twice. Never ends a token that is alive, or a lease before its time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine::storage::decode;
use super::error::SecretsError;
use super::parameters::Body;
use super::request::{Request, Response, Verb};
use super::store::{Unsealed, keys};
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
/// Children, leases and records that one job takes away at once.
const PARTS_AT_ONCE: usize = 256;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Job {
    /// What a token left behind.
    Token(String),
    /// A lease whose time is up.
    Lease(String),
    /// What an unmounted engine stored.
    Mount(String),
}

/// See the module.
#[derive(Default)]
pub struct Reaper {
    jobs: Mutex<VecDeque<(Instant, Job)>>,
    wanted: Notify,
    sweep: Notify,
}

impl Reaper {
    /// Has it looked for what was missed.
    pub fn sweep_soon(&self) {
        self.sweep.notify_one();
    }

    fn add(&self, job: Job, at: Instant) {
        self.jobs.lock().push_back((at, job));
        self.wanted.notify_one();
    }

    /// Those that are due, as many as are done at once; and when the next one is.
    fn due(&self) -> (Vec<Job>, Option<Instant>) {
        let mut jobs = self.jobs.lock();
        let now = Instant::now();
        let mut due = Vec::new();
        while due.len() < JOBS_AT_ONCE && jobs.front().is_some_and(|(at, _)| *at <= now) {
            due.extend(jobs.pop_front().map(|(_, job)| job));
        }
        (due, jobs.front().map(|(at, _)| *at))
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
            let (due, next) = self.reaper.due();
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

    /// Does jobs in one transaction.
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
                if !do_job(&mut work, job)? {
                    again.push(job.clone());
                }
            }
            let done = work.into_done(Ok(Response::default()));
            if self.finish(done, unsealed).await?.is_some() {
                for job in again {
                    self.reaper.add(job, Instant::now());
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
        let draft = super::store::Draft::new(Arc::clone(unsealed), view, crate::base::clock::unix_time());
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
            find(mounts::UNMOUNTED, "", Job::Mount)
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
    }
}

fn do_mount(work: &mut Work, uuid: &str) -> Result<bool, SecretsError> {
    let mark = work.draft().name(&format!("{}/{uuid}", mounts::UNMOUNTED))?;
    let Some(path) = work.draft().get(&mark)? else {
        return Ok(true);
    };
    let path = String::from_utf8_lossy(path.expose()).into_owned();
    // Another engine may be mounted there by now, and its leases are its own.
    if work.mounts().get(&path).is_none() && !leases::revoke_below(work, &path, true)?.warnings.is_empty() {
        return Ok(false);
    }
    let directory = work.draft().name(&mounts::directory(uuid))?;
    let (names, more) = work.draft().all_below(&directory)?;
    for name in names {
        work.draft().delete(&name)?;
    }
    if !more {
        work.draft().delete(&mark)?;
    }
    Ok(!more)
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
    let mut left = PARTS_AT_ONCE;
    let children = work.draft().name(&format!("{CHILDREN}/{id}"))?;
    let all = work.draft().list(&children)?;
    let mut is_done = all.len() <= left;
    for child in all.into_iter().take(left) {
        left -= 1;
        super::token::revoke(work.draft(), &child)?;
        let link = work.draft().name_below(&children, &child)?;
        work.draft().delete(&link)?;
    }
    let leased = work.draft().name(&format!("{}/{id}", leases::LEASED))?;
    let all = work.draft().list(&leased)?;
    is_done &= all.len() <= left;
    for link in all.into_iter().take(left) {
        let name = work.draft().name_below(&leased, &link)?;
        if let Some(record) = work.draft().get(&name)? {
            let lease: String = decode(record.expose())?;
            leases::end(work, &lease)?;
            work.draft().delete(&name)?;
        }
    }
    if let Some(cubbyhole) = work.mounts().get("cubbyhole/") {
        let path = format!("{}/{id}", mounts::directory(&cubbyhole.uuid));
        let directory = work.draft().name(&path)?;
        work.draft().delete_below(&directory)?;
    }
    if is_done {
        let mut names = vec![format!("{ACCESSORS}/{}", lineage.accessor)];
        if let Some(parent) = &lineage.parent {
            names.push(format!("{CHILDREN}/{parent}/{id}"));
        }
        for path in names {
            let name = work.draft().name(&path)?;
            work.draft().delete(&name)?;
        }
        work.draft().delete(&lineage_name)?;
    }
    Ok(is_done)
}
