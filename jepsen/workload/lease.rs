//! Leases: each client grants one, attaches a key, renews it for a while, reads the key, then stops renewing and reads
//! on until the key is gone.

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::lease_client::LeaseClient;
use stead::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, PutRequest, RangeRequest,
};

use super::{Answer, Client, Plan, Request, Workload};
use crate::checker::{Checker, lease};
use crate::client::{Connection, Failure, OPERATION_TIMEOUT};
use crate::edn::Edn;

/// The time to live that is asked for, in seconds. It is above the least that a server grants at its defaults.
const TIME_TO_LIVE_SECONDS: i64 = 3;

/// How long a client waits between two steps with its lease.
const STEP_MILLISECONDS: std::ops::Range<u64> = 100..900;

/// Of how many steps with a lease one is the last: the lease is left to expire or, as often, revoked.
const STEPS_PER_LEASE: u32 = 12;

/// When, after the last fault was healed, every key has to be gone.
const FINAL_WAIT: Duration = lease::MAXIMUM_OVERDUE
    .saturating_add(Duration::from_secs(TIME_TO_LIVE_SECONDS.unsigned_abs()))
    .saturating_add(Duration::from_secs(1));

/// How far apart the lease ids of two clients are.
const LEASES_PER_CLIENT: i64 = 1_000_000;

/// The workload.
pub struct Lease;

impl Workload for Lease {
    fn name(&self) -> &'static str {
        "lease"
    }

    fn summary(&self) -> &'static str {
        "a key stays while its lease is renewed, and goes, not early and not much too late, when it is not"
    }

    fn functions(&self) -> &'static [&'static str] {
        &["grant", "attach", "renew", "read", "revoke"]
    }

    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>> {
        (0..plan.clients)
            .map(|client| {
                Box::new(Holder {
                    first: super::as_integer(client + 1) * LEASES_PER_CLIENT,
                    lease: super::as_integer(client + 1) * LEASES_PER_CLIENT,
                    serializable_reads: plan.serializable_reads,
                    stage: Stage::Nothing,
                }) as Box<dyn Client>
            })
            .collect()
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        vec![Box::new(lease::LeaseChecker)]
    }
}

/// How far a client is with its lease.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Nothing,
    Granted,
    Attached,
    /// No longer renewed: the key is read until it is gone.
    Abandoned,
}

struct Holder {
    first: i64,
    /// The lease in use. Ids are chosen here, so that a grant of unknown outcome still has one.
    lease: i64,
    serializable_reads: bool,
    stage: Stage,
}

impl Client for Holder {
    fn next(&mut self, random: &mut StdRng) -> Request {
        let lease = self.lease;
        let request = match self.stage {
            Stage::Nothing => Request::write("grant", [lease, TIME_TO_LIVE_SECONDS].into_iter().collect()),
            Stage::Granted => Request::write("attach", [lease].into_iter().collect()),
            Stage::Attached if random.random_ratio(1, STEPS_PER_LEASE) => {
                self.stage = Stage::Abandoned;
                if random.random() {
                    Request::write("revoke", [lease].into_iter().collect())
                } else {
                    Request::read("read", [lease].into_iter().collect())
                }
            }
            Stage::Attached if random.random() => Request::write("renew", [lease].into_iter().collect()),
            Stage::Attached | Stage::Abandoned => Request::read("read", [lease].into_iter().collect()),
        };
        request.after(Duration::from_millis(random.random_range(STEP_MILLISECONDS)))
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let lease = match request.value.as_vector() {
                Some([Edn::Integer(lease), ..]) => *lease,
                _ => return Err(Failure::DidNotHappen("the request names no lease".to_owned())),
            };
            let result = match request.function {
                "grant" => grant(lease, connection).await,
                "attach" => attach(lease, connection).await,
                "renew" => renew(lease, connection).await,
                "revoke" => revoke(lease, connection).await,
                _ => read(lease, self.serializable_reads, connection).await,
            };
            self.step(request.function, lease, result.as_ref().ok());
            Ok(Answer {
                value: result?,
                revision: None,
            })
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        (self.first..=self.lease)
            .enumerate()
            .map(|(position, lease)| {
                let wait = if position == 0 { FINAL_WAIT } else { Duration::ZERO };
                Request::read("read", [lease].into_iter().collect()).after(wait)
            })
            .collect()
    }
}

impl Holder {
    /// Goes to the next stage after an operation with the given result.
    fn step(&mut self, function: &str, lease: i64, result: Option<&Edn>) {
        if lease != self.lease {
            return;
        }
        let second = result.and_then(Edn::as_vector).and_then(|parts| parts.get(1));
        self.stage = match (function, result) {
            ("grant", Some(_)) => Stage::Granted,
            ("attach", Some(_)) => Stage::Attached,
            ("renew", Some(_)) if second == Some(&Edn::Integer(0)) => Stage::Abandoned,
            ("grant" | "attach", None) => Stage::Nothing,
            ("read", Some(_)) if second == Some(&Edn::Boolean(false)) => Stage::Nothing,
            _ => self.stage,
        };
        if self.stage == Stage::Nothing {
            self.lease += 1;
        }
    }
}

async fn grant(lease: i64, connection: &mut Connection) -> Result<Edn, Failure> {
    let request = LeaseGrantRequest {
        id: lease,
        ttl: TIME_TO_LIVE_SECONDS,
    };
    let answer = connection
        .call(|channel| async move { LeaseClient::new(channel).lease_grant(request).await })
        .await?;
    Ok([answer.id, answer.ttl].into_iter().collect())
}

async fn attach(lease: i64, connection: &mut Connection) -> Result<Edn, Failure> {
    let request = PutRequest {
        key: key(lease).into(),
        value: "held".into(),
        lease,
        ..Default::default()
    };
    connection
        .call(|channel| async move { KvClient::new(channel).put(request).await })
        .await?;
    Ok([lease].into_iter().collect())
}

/// One renewal on a stream of its own: `[lease seconds]`, where no seconds means that the lease is gone.
async fn renew(lease: i64, connection: &mut Connection) -> Result<Edn, Failure> {
    let channel = connection.channel().await?;
    let renewal = async {
        let request = futures::stream::iter([LeaseKeepAliveRequest { id: lease }]);
        let mut answers = LeaseClient::new(channel)
            .lease_keep_alive(request)
            .await?
            .into_inner();
        answers
            .next()
            .await
            .unwrap_or_else(|| Err(tonic::Status::unknown("the stream ended without an answer")))
    };
    let failure = match tokio::time::timeout(OPERATION_TIMEOUT, renewal).await {
        Ok(Ok(answer)) => return Ok([lease, answer.ttl].into_iter().collect()),
        Ok(Err(status)) => Failure::of_mutation(&status),
        Err(_) => Failure::Unknown(format!("no answer in {OPERATION_TIMEOUT:?}")),
    };
    connection.disconnect();
    Err(failure)
}

async fn revoke(lease: i64, connection: &mut Connection) -> Result<Edn, Failure> {
    let request = LeaseRevokeRequest { id: lease };
    connection
        .call(|channel| async move { LeaseClient::new(channel).lease_revoke(request).await })
        .await?;
    Ok([lease].into_iter().collect())
}

/// `[lease present]`
async fn read(lease: i64, serializable: bool, connection: &mut Connection) -> Result<Edn, Failure> {
    let request = RangeRequest {
        key: key(lease).into(),
        serializable,
        ..Default::default()
    };
    let answer = connection
        .call(|channel| async move { KvClient::new(channel).range(request).await })
        .await?;
    Ok(Edn::Vector(vec![
        Edn::Integer(lease),
        Edn::Boolean(!answer.kvs.is_empty()),
    ]))
}

fn key(lease: i64) -> String {
    format!("lease/{lease}")
}
