//! Leases: granted and revoked through the log, renewed and timed by the leader.
//!
//! Any member answers everything: what only the leader knows is asked of it. A follower ends no lease: it remembers what the
//! leader told it, for the next leader.

mod deadlines;
mod lessor;
mod memory;
mod rounds;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ServiceError;
use super::auth::Caller;
use super::core::{Core, read_aside};
use super::header::Answered;
use super::leader::{LeaderAnswer, LeaderQuestion, decode, encode};
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::base::{LeaseId, Namespace, clock};
use crate::state::access::Request;
use crate::state::applied::Answer;
use crate::state::command::Command;
pub(super) use lessor::{EXPIRY_INTERVAL_MILLISECONDS, Handover, Lessor, NotPrimary, WeakLessor};
pub(super) use rounds::MemberAnswer;

/// Renewals that are asked of the leader in one message.
pub const MAXIMUM_RENEWALS_PER_BATCH: usize = 256;
/// Pause before the leader is asked again.
const ASK_AGAIN_MILLISECONDS: u64 = 50;

/// A granted lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub id: LeaseId,
    /// Its time to live in seconds, which may be more than asked for.
    pub ttl_seconds: i64,
}

/// What is known of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeToLive {
    /// Seconds until it ends, -1 if it is gone.
    pub remaining_seconds: i64,
    /// Its time to live in seconds, 0 if it is gone.
    pub granted_seconds: i64,
    /// The keys attached to it, if asked for.
    pub keys: Vec<Bytes>,
}

/// Leases. A handle: clones share one service.
#[derive(Clone)]
pub struct Leases {
    core: Arc<Core>,
    lessor: Lessor,
    caller: Caller,
}

impl Leases {
    pub(super) fn new(core: Arc<Core>, lessor: Lessor) -> Self {
        Self {
            core,
            lessor,
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self {
            caller,
            ..self.clone()
        }
    }

    /// Creates a lease: with an id of the server's choice if `id` is none.
    ///
    /// # Errors
    /// The id is taken, the time to live too long, no space, or no answer in time.
    pub async fn grant(&self, id: LeaseId, ttl_seconds: i64) -> Result<Answered<Granted>, ServiceError> {
        if ttl_seconds > MAXIMUM_LEASE_TTL_SECONDS {
            return Err(ServiceError::LeaseTtlTooLarge);
        }
        self.core.admission.lease_grant()?;
        let id = if id.is_none() {
            clock::random_lease_id()
        } else {
            id
        };
        let ttl_seconds = self.least(ttl_seconds);
        let pick = |answer| match answer {
            Answer::LeaseGrant { id, ttl_seconds } => Some(Granted { id, ttl_seconds }),
            _ => None,
        };
        let (revision, answer) = self
            .core
            .propose_for(&self.caller, Command::LeaseGrant { id, ttl_seconds }, pick)
            .await?;
        self.core.metrics.leases_granted.inc();
        self.core
            .metrics
            .lease_ttl_seconds
            .observe(answer.ttl_seconds as f64);
        Ok(Answered {
            header: self.core.headers.at(revision),
            answer,
        })
    }

    /// Creates a lease for records of the node itself, which needs no right to it.
    ///
    /// # Errors
    /// As [`Leases::grant`].
    pub(super) async fn grant_own(&self, ttl_seconds: i64) -> Result<LeaseId, ServiceError> {
        if ttl_seconds > MAXIMUM_LEASE_TTL_SECONDS {
            return Err(ServiceError::LeaseTtlTooLarge);
        }
        self.core.admission.lease_grant()?;
        let id = clock::random_lease_id();
        let ttl_seconds = self.least(ttl_seconds);
        let pick = |answer| matches!(answer, Answer::LeaseGrant { .. }).then_some(());
        let grant = Command::LeaseGrant { id, ttl_seconds }.by_node();
        self.core.propose(grant, pick).await?;
        self.core.metrics.leases_granted.inc();
        Ok(id)
    }

    /// The time to live that is granted to whoever asks for `ttl_seconds`.
    #[must_use]
    pub(super) fn least(&self, ttl_seconds: i64) -> i64 {
        ttl_seconds.max(minimum_ttl_seconds(self.core.settings.election))
    }

    /// Ends a lease and removes its keys.
    ///
    /// # Errors
    /// No such lease, or no answer in time.
    pub async fn revoke(&self, id: LeaseId) -> Result<Answered<()>, ServiceError> {
        self.core.admission.change()?;
        let pick = |answer| matches!(answer, Answer::LeaseRevoke).then_some(());
        let (revision, ()) = self
            .core
            .propose_for(&self.caller, Command::LeaseRevoke { id }, pick)
            .await?;
        self.core.metrics.leases_revoked.inc();
        Ok(Answered {
            header: self.core.headers.at(revision),
            answer: (),
        })
    }

    /// Renews leases, at most [`MAXIMUM_RENEWALS_PER_BATCH`] in one call: for each, in order, its time to live in seconds,
    /// 0 if it is gone.
    ///
    /// # Errors
    /// The caller may not renew one of them, or no leader that can prove it in time; none is renewed then.
    pub async fn keep_alive(&self, ids: &[LeaseId]) -> Result<Answered<Vec<i64>>, ServiceError> {
        for id in ids {
            self.core
                .gate
                .admit(&self.caller, &Request::LeaseKeepAlive(*id))
                .await?;
        }
        self.renew(ids).await
    }

    /// As [`Leases::keep_alive`], for whoever is known to have the right to it, and with no more than fit into a message
    /// to the leader.
    pub(super) async fn renew(&self, ids: &[LeaseId]) -> Result<Answered<Vec<i64>>, ServiceError> {
        // Before the renewal, so that it is never ahead of the revision of a later revocation.
        let header = self.core.headers.at(self.core.reader.view().revision());
        let question = LeaderQuestion::Renew(ids.to_vec());
        let answer = self
            .ask(question, |answer| match answer {
                LeaderAnswer::Renewed(ttl_seconds) if ttl_seconds.len() == ids.len() => Some(ttl_seconds),
                _ => None,
            })
            .await?;
        self.core
            .metrics
            .leases_renewed
            .inc_by(u64::try_from(answer.len()).unwrap_or(0));
        Ok(Answered { header, answer })
    }

    /// What is left of a lease, and with `keys` which keys are attached to it.
    ///
    /// # Errors
    /// No leader that can prove it in time, or the disk failed.
    pub async fn time_to_live(&self, id: LeaseId, keys: bool) -> Result<Answered<TimeToLive>, ServiceError> {
        self.core
            .gate
            .admit(&self.caller, &Request::LeaseTimeToLive { id, keys: false })
            .await?;
        let left = self
            .ask(LeaderQuestion::Left(id), |answer| match answer {
                LeaderAnswer::Left(left) => Some(left),
                _ => None,
            })
            .await?;
        let view = self.core.view(false).await?;
        let header = self.core.headers.at(view.revision());
        let Some((remaining_seconds, granted_seconds)) = left else {
            let gone = TimeToLive {
                remaining_seconds: -1,
                granted_seconds: 0,
                keys: Vec::new(),
            };
            return Ok(Answered { header, answer: gone });
        };
        let keys = if keys {
            let identity = self.core.gate.identify(&view, &self.caller)?;
            let attached = read_aside(view, move |view| {
                let request = Request::LeaseTimeToLive { id, keys: true };
                match view.authorize(identity.as_ref().into(), &request)? {
                    Ok(()) => view.lease_keys(id).map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                }
            })
            .await?;
            let visible = attached
                .into_iter()
                .filter(|(namespace, _)| *namespace == Namespace::DEFAULT);
            visible.map(|(_, key)| key).collect()
        } else {
            Vec::new()
        };
        Ok(Answered {
            header,
            answer: TimeToLive {
                remaining_seconds,
                granted_seconds,
                keys,
            },
        })
    }

    /// All leases as this node knows them but those of services; the leader's answer is in the order in which they end.
    ///
    /// # Errors
    /// The caller may not read all their keys, or the disk failed.
    pub async fn list(&self) -> Result<Answered<Vec<LeaseId>>, ServiceError> {
        let identity = self.core.gate.recognize(&self.caller).await?;
        let view = self.core.reader.view();
        let header = self.core.headers.at(view.revision());
        let mut answer = read_aside(view, move |view| {
            match view.authorize(identity.as_ref().into(), &Request::LeaseList)? {
                Ok(()) => view.visible_leases().map(Ok),
                Err(refusal) => Ok(Err(refusal)),
            }
        })
        .await?;
        self.lessor.order(&mut answer);
        Ok(Answered { header, answer })
    }

    /// Asks the leader until it answers what `pick` takes, or time is over.
    async fn ask<T>(
        &self,
        question: LeaderQuestion,
        pick: impl Fn(LeaderAnswer) -> Option<T>,
    ) -> Result<T, ServiceError> {
        let until = tokio::time::Instant::now() + self.core.request_timeout();
        let message = encode(&question);
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let error = match self.core.replication.ask_leader(message.clone(), left).await {
                Ok(answer) => match decode(&answer).and_then(&pick) {
                    Some(answer) => return Ok(answer),
                    None => ServiceError::NotPrimaryLessor,
                },
                Err(error) => error.into(),
            };
            let pause = Duration::from_millis(ASK_AGAIN_MILLISECONDS);
            if error == ServiceError::Stopped || tokio::time::Instant::now() + pause >= until {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The shortest time to live: one and a half elections, so that no lease ends while a leader is elected.
fn minimum_ttl_seconds(election: Duration) -> i64 {
    let milliseconds = election.as_millis().saturating_mul(3).div_ceil(2);
    i64::try_from(milliseconds.div_ceil(1_000)).unwrap_or(MAXIMUM_LEASE_TTL_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_time_to_live_is_one_and_a_half_elections_in_whole_seconds() {
        assert_eq!(minimum_ttl_seconds(Duration::from_millis(1_000)), 2);
        assert_eq!(minimum_ttl_seconds(Duration::from_millis(500)), 1);
        assert_eq!(minimum_ttl_seconds(Duration::from_millis(2_000)), 3);
        assert_eq!(minimum_ttl_seconds(Duration::from_millis(2_001)), 4);
    }
}
