//! Linearizable reads: a read index from the leader, then the wait until it is applied here.
//!
//! At most one round runs at a time on each node, and everybody who asked before it began shares it, so reads cost the
//! cluster rounds, not requests. The leader proves its lead with a quorum for every round (ReadIndex, never a lease). A
//! round that fails is repeated while somebody waits: reading twice harms nobody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot, watch};

use super::Raft;
use super::fault;
use super::interface::ReadError;
use super::network::{Lane, Peers};
use super::status::StatusBoard;
use super::waiting::take_waiting;
use crate::base::metrics::Metrics;
use crate::proto::peer;
use crate::state::{ReadView, Reader};

/// Readers that wait for the next round; one more waits for a place.
const MAXIMUM_WAITING_READERS: usize = 65_536;
/// Readers that one round serves.
const MAXIMUM_ROUND_READERS: usize = 16_384;
/// Longest wait for one round before it is tried again, as etcd.
const ROUND_TIMEOUT_MILLISECONDS: u64 = 500;
/// Pause after a round that failed at once.
const RETRY_PAUSE_MILLISECONDS: u64 = 20;
/// A round that takes longer is counted as slow, as in etcd.
const SLOW_ROUND_MILLISECONDS: u64 = 500;

type ReadAnswer = Result<Arc<ReadView>, ReadError>;

/// Why a round gave no index: for the log, and to try again.
type RoundFailure = String;

/// What the barrier works with.
pub struct BarrierSettings {
    /// Longest time that a read waits.
    pub deadline: Duration,
    /// Who leads.
    pub status: StatusBoard,
    /// The other members.
    pub peers: Arc<Peers>,
    /// Where the state is read.
    pub reader: Reader,
    /// How much is applied.
    pub applied_end: watch::Receiver<u64>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// The barrier of one node. Shared by all readers.
pub struct Barrier {
    settings: Arc<BarrierSettings>,
    readers: mpsc::Sender<oneshot::Sender<ReadAnswer>>,
}

impl Barrier {
    /// Starts the task that runs the rounds. `leader_reads` answers while this node leads.
    #[must_use]
    pub fn start(settings: BarrierSettings, leader_reads: LeaderReads) -> Arc<Self> {
        let (readers, waiting) = mpsc::channel(MAXIMUM_WAITING_READERS);
        let settings = Arc::new(settings);
        let rounds = Rounds {
            settings: settings.clone(),
            leader_reads,
            waiting,
        };
        tokio::spawn(rounds.run());
        Arc::new(Self { settings, readers })
    }

    /// The state at or after the moment of the call.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&self) -> ReadAnswer {
        if fault::reads_without_barrier() {
            return Ok(self.settings.reader.view());
        }
        let started = Instant::now();
        let (answer, waiting) = oneshot::channel();
        let read = async {
            self.readers.send(answer).await.map_err(|_| ReadError::Stopped)?;
            waiting.await.map_err(|_| ReadError::Stopped)?
        };
        match tokio::time::timeout(self.settings.deadline, read).await {
            Ok(answer) => answer,
            Err(_) => {
                let elected = self.settings.status.leader_elected_at();
                let has_changed = elected.is_some_and(|elected| elected > started);
                Err(if has_changed {
                    ReadError::LeaderChanged
                } else {
                    ReadError::Timeout
                })
            }
        }
    }
}

/// The task that runs a node's rounds.
struct Rounds {
    settings: Arc<BarrierSettings>,
    leader_reads: LeaderReads,
    waiting: mpsc::Receiver<oneshot::Sender<ReadAnswer>>,
}

impl Rounds {
    async fn run(mut self) {
        let mut readers = Vec::new();
        while take_waiting(&mut self.waiting, &mut readers, MAXIMUM_ROUND_READERS).await {
            let started = Instant::now();
            while readers.iter().any(|reader| !reader.is_closed()) {
                match self.round().await {
                    Ok(index) => {
                        self.answer(index, std::mem::take(&mut readers));
                        break;
                    }
                    Err(reason) => {
                        tracing::debug!(reason, "a read round failed");
                        self.settings.metrics.read_indexes_failed.inc();
                        tokio::time::sleep(Duration::from_millis(RETRY_PAUSE_MILLISECONDS)).await;
                    }
                }
            }
            if started.elapsed() > Duration::from_millis(SLOW_ROUND_MILLISECONDS) {
                self.settings.metrics.slow_read_indexes.inc();
            }
            readers.clear();
        }
    }

    async fn round(&self) -> Result<u64, RoundFailure> {
        let limit = Duration::from_millis(ROUND_TIMEOUT_MILLISECONDS);
        let status = &self.settings.status;
        let index = async {
            match status.leader() {
                None => Err("there is no leader".to_owned()),
                Some(leader) if leader == status.member() => self.leader_reads.index().await,
                Some(leader) => {
                    let node = status.node(leader.0).ok_or("the leader is no member")?;
                    let mut client = self.settings.peers.client(leader.0, &node, Lane::Control)?;
                    let asked = Instant::now();
                    match client.read_index(peer::ReadIndexRequest {}).await {
                        Ok(response) => {
                            self.settings.peers.succeeded(leader.0);
                            self.settings
                                .peers
                                .round_trip_seconds(leader.0)
                                .observe(asked.elapsed().as_secs_f64());
                            Ok(response.into_inner().index)
                        }
                        Err(failed) => Err(failed.to_string()),
                    }
                }
            }
        };
        let timed = tokio::time::timeout(limit, index).await;
        timed.unwrap_or_else(|_| Err(format!("no answer within {ROUND_TIMEOUT_MILLISECONDS} ms")))
    }

    /// Answers `readers` as soon as `index` is applied; the next round does not wait for it.
    fn answer(&self, index: u64, readers: Vec<oneshot::Sender<ReadAnswer>>) {
        let settings = self.settings.clone();
        let give = move |answer: ReadAnswer| {
            for reader in readers {
                // A reader that gave up needs no answer.
                let _ = reader.send(answer.clone());
            }
        };
        if *settings.applied_end.borrow() > index {
            give(Ok(settings.reader.view()));
            return;
        }
        tokio::spawn(async move {
            let mut applied_end = settings.applied_end.clone();
            let applied = applied_end.wait_for(|end| *end > index);
            give(match tokio::time::timeout(settings.deadline, applied).await {
                Ok(Ok(_)) => Ok(settings.reader.view()),
                Ok(Err(_)) => Err(ReadError::Stopped),
                Err(_) => Err(ReadError::TimeoutApplied),
            });
        });
    }
}

/// The rounds of a leader: for its own readers and for its followers. A handle: clones share them.
#[derive(Clone)]
pub struct LeaderReads {
    asked: mpsc::Sender<oneshot::Sender<Result<u64, RoundFailure>>>,
}

/// Rounds that members ask for at the same time: one for each member, and some that were given up.
const MAXIMUM_ASKED_ROUNDS: usize = 1_024;

impl LeaderReads {
    /// Starts the task that asks `raft`.
    #[must_use]
    pub fn start(raft: Raft) -> Self {
        let (asked, mut waiting) =
            mpsc::channel::<oneshot::Sender<Result<u64, RoundFailure>>>(MAXIMUM_ASKED_ROUNDS);
        tokio::spawn(async move {
            let mut askers = Vec::new();
            while take_waiting(&mut waiting, &mut askers, MAXIMUM_ASKED_ROUNDS).await {
                let round = raft.get_read_linearizer(ReadPolicy::ReadIndex).await;
                let answer = match round {
                    Ok(linearizer) => Ok(linearizer.read_log_id().index()),
                    Err(error) => Err(error.to_string()),
                };
                for asker in askers.drain(..) {
                    let _ = asker.send(answer.clone());
                }
            }
        });
        Self { asked }
    }

    /// The index that a linearizable read must have applied, if this node leads and a quorum confirms it.
    ///
    /// # Errors
    /// It does not lead, or cannot prove it.
    pub async fn index(&self) -> Result<u64, RoundFailure> {
        let (answer, waiting) = oneshot::channel();
        let stopped = || "the node is stopping".to_owned();
        self.asked.send(answer).await.map_err(|_| stopped())?;
        waiting.await.map_err(|_| stopped())?
    }
}
