//! From a request to its answer: served on a state, written, and served anew where somebody else was faster.
//!
//! Reads see every write that was acknowledged before they came. A write is decided on what was read, by a transaction that
//! holds only if that is still so: it may begin with what this node knows, as nothing it decides stands unless it is written.
//!
//! What few requests wait for is put aside in a box of its own: what all of them carry about stays small.
//!
//! Never holds a lock while it waits.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Secrets;
use super::auditing::{self, Devices, Seen};
use super::engine::{Errand, Fault};
use super::error::SecretsError;
use super::mounts::AUTH;
use super::quotas::{Allowance, Quotas};
use super::request::{Request, Response, Verb};
use super::store::commit::Committed;
use super::store::{Draft, Unsealed, keys};
use super::work::{After, Done, Work};
use crate::base::clock;
use crate::replication::TransferError;
use crate::service::ServiceError;
use crate::state::ReadView;

/// How often a request is served anew because others were faster.
const MAXIMUM_ATTEMPTS: usize = 32;
/// How much may be fetched for one request.
const MAXIMUM_ERRANDS: usize = 8;

/// What came of a request.
enum Answered {
    /// It was served.
    Done(Box<Response>),
    /// It was not: these are the audit devices by now.
    Audited(Arc<Devices>),
}

/// What may take long below `sys/`: it revokes below a path, takes a mount away, tries passwords, or hashes what is sent.
const LONG: [&str; 7] = [
    "sys/leases/revoke-",
    "sys/revoke-",
    "sys/auth/",
    "sys/mounts/",
    "sys/remount",
    "sys/policies/password/",
    "sys/tools/hash",
];
/// What seals this node.
const SEAL: &str = "sys/seal";

type Fetched = BTreeMap<Errand, Result<Vec<u8>, String>>;

impl Secrets {
    /// Serves a request, and has it recorded before and after.
    pub(super) async fn serve(&self, request: Request) -> Result<Response, SecretsError> {
        let request = Arc::new(request);
        let unsealed = self.custody.require()?;
        let view = self.core.reader.view();
        unsealed.follow(&view)?;
        let mut draft = Draft::new(Arc::clone(&unsealed), view, clock::unix_time());
        let quotas = Quotas::read(&mut draft)?;
        let allowance = match self.count(&quotas, &request) {
            Ok(allowance) => allowance,
            Err(refused) => {
                let refused = Err(refused);
                let devices = auditing::read(&mut draft)?;
                if quotas.config.audits_refused && !devices.is_empty() {
                    Box::pin(self.auditing.follow(&unsealed, &devices)).await;
                    let seen = Box::pin(self.record(&request, &unsealed)).await?;
                    Box::pin(self.auditing.outcome(&request, &seen, &refused)).await?;
                }
                return refused;
            }
        };
        // Most likely they are still the ones: if not, nothing is done before those that are have heard of it.
        let mut devices = self.auditing.applied();
        loop {
            let seen = match devices.is_empty() {
                true => None,
                false => Some(Box::pin(self.record(&request, &unsealed)).await?),
            };
            let outcome = match self.answer(&request, &devices).await {
                Ok(Answered::Done(response)) => Ok(Response {
                    allowance,
                    ..*response
                }),
                Ok(Answered::Audited(newest)) => {
                    // Nothing was done: a device came or went, and has to be heard first.
                    Box::pin(self.auditing.follow(&unsealed, &newest)).await;
                    devices = newest;
                    continue;
                }
                Err(error) => Err(error),
            };
            if self.custody.unsealed().is_none() {
                // Only that it was sealed is told from here: nothing else can be recorded any more.
                return match (outcome, request.verb) {
                    (outcome, _) if request.path == SEAL => outcome,
                    (Err(SecretsError::Sealed), _) | (_, Verb::Read | Verb::List) => {
                        Err(SecretsError::Sealed)
                    }
                    _ => Err(SecretsError::SealedMeanwhile),
                };
            }
            if let Some(seen) = seen {
                Box::pin(self.auditing.outcome(&request, &seen, &outcome)).await?;
            }
            return outcome;
        }
    }

    /// Counts a request for its quota, if there is one; what its client is told of it.
    fn count(&self, quotas: &Quotas, request: &Request) -> Result<Option<Allowance>, SecretsError> {
        let now = clock::now().duration_since(self.started);
        let taken = self
            .limiter
            .take(quotas, &request.path, request.peer.address, now);
        let told = |allowance: Option<Allowance>| allowance.filter(|_| quotas.config.tells_clients);
        taken.map(told).map_err(|allowance| SecretsError::Limited {
            path: request.path.clone(),
            told: told(Some(allowance)),
        })
    }

    /// Has a request recorded before it is served.
    async fn record(&self, request: &Arc<Request>, unsealed: &Arc<Unsealed>) -> Result<Seen, SecretsError> {
        let view = self.core.view(false).await?;
        unsealed.follow(&view)?;
        let seen = self.work(request, unsealed, view, &Arc::default())?.look()?;
        self.auditing.request(request, &seen).await?;
        Ok(seen)
    }

    /// Answers a request, if these are the audit devices that there are.
    async fn answer(&self, request: &Arc<Request>, audited: &Arc<Devices>) -> Result<Answered, SecretsError> {
        let mut fetched = Arc::new(Fetched::new());
        let mut attempts = 0;
        let mut may_be_stale = matches!(request.verb, Verb::Write | Verb::Patch | Verb::Delete);
        loop {
            let unsealed = self.custody.require()?;
            let view = self.core.view(may_be_stale).await?;
            unsealed.follow(&view)?;
            let work = self.work(request, &unsealed, view, &fetched)?;
            if !may_be_stale && work.devices() != audited {
                return Ok(Answered::Audited(Arc::clone(work.devices())));
            }
            if may_be_stale && (work.kind() != "kv" || work.devices() != audited) {
                // What this engine does may have nothing to write, and then nothing would tell that it was decided too soon.
                may_be_stale = false;
                continue;
            }
            let done = self.run_work(work, request).await?;
            match &done.outcome {
                Err(SecretsError::Fault(Fault::Fetch(errand))) if fetched.len() < MAXIMUM_ERRANDS => {
                    let brought = self.fetcher.fetch(errand).await;
                    let mut all = Fetched::clone(&fetched);
                    all.insert(errand.clone(), brought);
                    fetched = Arc::new(all);
                    continue;
                }
                Ok(_) if done.draft.writes() => {}
                _ if may_be_stale => {
                    may_be_stale = false;
                    continue;
                }
                _ => {}
            }
            let finished = match done.after.is_empty() {
                true => self.finish(done, &unsealed).await,
                // What goes beyond the store does not end half-way with its client.
                false => {
                    let (secrets, unsealed) = (self.clone(), Arc::clone(&unsealed));
                    let finishing = tokio::spawn(async move { secrets.finish(done, &unsealed).await });
                    finishing
                        .await
                        .map_err(|_| SecretsError::Service(ServiceError::Stopped))?
                }
            };
            match finished? {
                Some(outcome) => return outcome.map(|response| Answered::Done(Box::new(response))),
                None if attempts < MAXIMUM_ATTEMPTS => {
                    attempts += 1;
                    may_be_stale = false;
                }
                None => return Err(SecretsError::Contended(attempts)),
            }
        }
    }

    /// A request as it begins to be served.
    pub(super) fn work(
        &self,
        request: &Arc<Request>,
        unsealed: &Arc<Unsealed>,
        view: Arc<ReadView>,
        fetched: &Arc<Fetched>,
    ) -> Result<Work, SecretsError> {
        let now = clock::unix_time();
        Work::new(
            Arc::clone(&self.core),
            Arc::clone(request),
            Arc::clone(unsealed),
            view,
            now,
            Arc::clone(fetched),
            Arc::clone(self.custody.sources()),
        )
    }

    /// Runs what may take long aside, so that the rest of the node goes on: logins, which hash passwords, engines, which make
    /// keys, and looks at much of what is stored do not wait for each other.
    async fn run_work(&self, work: Work, request: &Request) -> Result<Done, SecretsError> {
        let path = request.path.as_str();
        let lane = match work.kind() {
            "" | "kv" | "cubbyhole" | "token" if request.verb != Verb::List => return Ok(work.run()),
            "system" if request.verb != Verb::List && !LONG.iter().any(|prefix| path.starts_with(prefix)) => {
                return Ok(work.run());
            }
            "" | "kv" | "cubbyhole" | "token" | "system" => &self.lanes.looks,
            _ if path.starts_with(AUTH) => &self.lanes.logins,
            _ => &self.lanes.engines,
        };
        Ok(lane.aside(move || work.run()).await?)
    }

    /// Writes what a request is to write, and does what it has done then; none: somebody else was faster.
    pub(super) async fn finish(
        &self,
        mut done: Done,
        unsealed: &Arc<Unsealed>,
    ) -> Result<Option<Result<Response, SecretsError>>, SecretsError> {
        for after in &done.after {
            if let After::EnableAudit(name, device) = after
                && let Err(fault) = Box::pin(self.auditing.enable(unsealed, name, device)).await
            {
                return Ok(Some(Err(fault.into())));
            }
        }
        let committed = match done.draft.writes() {
            true => done.draft.commit(&self.core, &self.leases).await.map(Some),
            false => Ok(None),
        };
        // Whatever became of it, it was encrypted.
        if unsealed.begin_counting() {
            let (secrets, unsealed) = (self.clone(), Arc::clone(unsealed));
            tokio::spawn(async move { secrets.count_encryptions(&unsealed).await });
        }
        if !matches!(committed, Ok(None | Some(Committed::Written(_)))) {
            // Where there was no answer and it is written after all, this node hears of it like all others.
            for after in &done.after {
                if let After::EnableAudit(name, _) = after {
                    Box::pin(self.auditing.disable(name)).await;
                }
            }
        }
        if committed? == Some(Committed::Conflict) {
            return Ok(None);
        }
        let mut outcome = done.outcome;
        for after in done.after {
            match after {
                After::EnableAudit(..) => {}
                After::Seal => Box::pin(self.seal()).await,
                After::Snapshot => {
                    let pieces = self.maintenance.pieces()?;
                    outcome = outcome.map(|response| Response {
                        pieces: Some(pieces),
                        ..response
                    });
                }
                After::StepDown => {
                    let limit = self.core.request_timeout();
                    match Box::pin(self.core.replication.step_down(limit)).await {
                        Err(TransferError::BadTarget) => {
                            let text = "there is no other member that could lead: this one goes on";
                            return Err(Fault::Invalid(text.to_owned()).into());
                        }
                        outcome => outcome.map_err(ServiceError::from)?,
                    }
                }
                After::Rotate => Box::pin(self.write_keyring(unsealed, true)).await?,
                After::Tidy => self.reaper.sweep_soon(),
            }
        }
        Ok(Some(outcome))
    }

    /// Writes down what this node encrypted, and rotates where that is due.
    async fn count_encryptions(&self, unsealed: &Arc<Unsealed>) {
        let is_due = unsealed.key_status().is_ok_and(|status| status.is_rotation_due());
        let mut outcome = self.write_keyring(unsealed, is_due).await;
        if is_due && outcome.is_err() {
            // What cannot have another term goes on with the one it has, for as long as that lasts.
            outcome = self.write_keyring(unsealed, false).await;
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, "the count of encryptions is not written; it is tried again");
        }
        unsealed.end_counting();
    }

    /// Writes the keyring anew, with what this node encrypted and, if asked for, another term.
    async fn write_keyring(&self, unsealed: &Arc<Unsealed>, rotates: bool) -> Result<(), SecretsError> {
        let _turn = unsealed.turn_to_count().await;
        for _ in 0..MAXIMUM_ATTEMPTS {
            let view = self.core.view(false).await?;
            let rotate = rotates.then(|| clock::unix_time().as_secs());
            let (before, sealed, written) = unsealed.next_keyring(&view, rotate)?;
            let mut draft = Draft::new(Arc::clone(unsealed), view, clock::unix_time());
            draft.needs_unchanged(&before);
            draft.put_plain(keys::KEYRING, sealed);
            if let Committed::Written(_) = draft.commit(&self.core, &self.leases).await? {
                unsealed.pay(&written);
                return unsealed.follow(&self.core.reader.view());
            }
        }
        Err(SecretsError::Contended(MAXIMUM_ATTEMPTS))
    }
}
