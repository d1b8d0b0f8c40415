//! One run: a fresh cluster, clients, a nemesis, the healing, the last reads, and the verdict.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::checker::coverage::Coverage;
use crate::checker::{Checker, Finding, Verdict, logs};
use crate::client::Connection;
use crate::cluster::{Cluster, ClusterPlan};
use crate::history::{Header, History, Recorder};
use crate::nemesis::{self, BEGIN_FAULT, Nemesis};
use crate::support::{Program, Result};
use crate::workload::{Driver, Plan, Workload};

/// How often a run says how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// How long requests that are still under way get to end after the last fault was healed, before the last reads.
const SETTLING: Duration = Duration::from_secs(2);

/// How long the last reads may take.
const MAXIMUM_FINAL_PHASE: Duration = Duration::from_secs(180);

/// What to run.
#[derive(Clone)]
pub struct RunPlan {
    /// The server program.
    pub program: Program,
    /// How many nodes.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// How many operations all clients together begin in a second.
    pub rate: f64,
    /// How long the main phase is.
    pub duration: Duration,
    /// The seed of all random choices. (What the machine does at the same time is not part of it.)
    pub seed: u64,
    /// The deliberate mistake that the program is asked to make.
    pub fault: Option<&'static str>,
    /// Whether clients ask for reads without a barrier.
    pub serializable_reads: bool,
    /// Where the histories and the logs of failures are kept.
    pub output: PathBuf,
}

/// What came out of a run.
pub struct RunReport {
    /// What is wrong.
    pub verdict: Verdict,
    /// How many operations ended well, failed, and ended unknown.
    pub tally: [usize; 3],
    /// How many faults were injected.
    pub faults: usize,
    /// The recorded history.
    pub history: PathBuf,
}

/// All checkers that decide about a history of `workload`.
pub fn checkers(workload: &dyn Workload) -> Vec<Box<dyn Checker>> {
    let mut checkers = workload.checkers();
    checkers.push(Box::new(Coverage {
        functions: workload.functions(),
    }));
    checkers
}

/// Runs `workload` under `nemesis`.
///
/// # Errors
/// When the harness could not do its work: then nothing is known of the store.
pub async fn run(
    workload: &dyn Workload,
    nemesis: Option<&dyn Nemesis>,
    plan: &RunPlan,
) -> Result<RunReport> {
    let nemesis_name = nemesis.map_or(nemesis::NONE, Nemesis::name);
    let name = format!(
        "{}-{}-{nemesis_name}-{}",
        plan.program.name(),
        workload.name(),
        plan.seed
    );
    let directory = plan.output.join(name);
    std::fs::create_dir_all(&directory)?;
    let cluster = Cluster::start(&ClusterPlan {
        program: plan.program.clone(),
        nodes: plan.nodes,
        directory: directory.clone(),
        fault: plan.fault,
    })
    .await?;
    let recorder = Arc::new(Recorder::new());
    let run = Run {
        cluster: &cluster,
        recorder: &recorder,
        plan,
    };
    let mut verdict = Verdict::default();
    verdict.add("run", run.phases(workload, nemesis).await?);
    verdict.add("logs", logs::scan(cluster.logs()));

    let header = Header {
        workload: workload.name().to_owned(),
        nemesis: nemesis_name.to_owned(),
        seed: plan.seed,
    };
    let history = recorder.history(header);
    let path = directory.join("history.edn");
    history.write(&path)?;
    verdict.merge(Verdict::of(&history, &checkers(workload))?);
    if !verdict.passed() {
        keep_logs(&cluster, &directory)?;
    }
    Ok(RunReport {
        verdict,
        tally: recorder.tally(),
        faults: count_faults(&history),
        history: path,
    })
}

fn count_faults(history: &History) -> usize {
    let begun = |operation: &&crate::history::Operation| operation.function == BEGIN_FAULT;
    history.operations.iter().filter(begun).count()
}

fn keep_logs(cluster: &Cluster, directory: &Path) -> Result<()> {
    for log in cluster.logs() {
        if let Some(name) = log.file_name() {
            std::fs::copy(log, directory.join(name))?;
        }
    }
    Ok(())
}

struct Run<'a> {
    cluster: &'a Cluster,
    recorder: &'a Arc<Recorder>,
    plan: &'a RunPlan,
}

impl Run<'_> {
    /// The main phase, the healing and the last reads. Returns what went wrong with the processes and the recovery.
    async fn phases(&self, workload: &dyn Workload, nemesis: Option<&dyn Nemesis>) -> Result<Vec<Finding>> {
        let stop = CancellationToken::new();
        let healed = CancellationToken::new();
        let mut clients = self.start_clients(workload, &stop, &healed);
        let torment = async {
            match nemesis {
                Some(nemesis) => {
                    let random = StdRng::seed_from_u64(self.plan.seed);
                    nemesis::torment(nemesis, self.cluster, self.recorder, random, stop.clone()).await
                }
                None => Ok(()),
            }
        };
        let (tormented, ()) = tokio::join!(torment, self.main_phase(&stop));
        let mut findings = Vec::new();
        if let Err(error) = tormented {
            findings.push(Finding::Undecided(format!("the nemesis failed: {error}")));
        }
        self.cluster.heal().await?;
        if let Err(error) = self.cluster.wait_until_recovered().await {
            findings.push(Finding::Violation(error.to_string()));
        }
        tokio::time::sleep(SETTLING).await;
        healed.cancel();
        let all_ended = async { while clients.join_next().await.is_some() {} };
        if tokio::time::timeout(MAXIMUM_FINAL_PHASE, all_ended)
            .await
            .is_err()
        {
            findings.push(Finding::Undecided(format!(
                "the last reads did not end in {MAXIMUM_FINAL_PHASE:?}"
            )));
        }
        let ended = self.cluster.ended_by_themselves().await?;
        findings.extend(ended.into_iter().map(Finding::Violation));
        Ok(findings)
    }

    fn start_clients(
        &self,
        workload: &dyn Workload,
        stop: &CancellationToken,
        healed: &CancellationToken,
    ) -> JoinSet<()> {
        let plan = self.plan;
        let driver = Driver {
            recorder: self.recorder.clone(),
            clients: plan.clients,
            interval: Duration::from_secs_f64(plan.clients as f64 / plan.rate),
            stop: stop.clone(),
            healed: healed.clone(),
        };
        let mut seeds = StdRng::seed_from_u64(plan.seed.wrapping_add(1));
        let clients = workload.clients(Plan {
            nodes: plan.nodes,
            clients: plan.clients,
            serializable_reads: plan.serializable_reads,
        });
        let mut tasks = JoinSet::new();
        for (index, client) in clients.into_iter().enumerate() {
            let connection = Connection::new(self.cluster.client_addresses(), index % plan.nodes);
            let random = StdRng::from_rng(&mut seeds);
            tasks.spawn(driver.clone().drive(index, client, connection, random));
        }
        tasks
    }

    /// Waits for the end of the main phase, and says now and then how far it is.
    async fn main_phase(&self, stop: &CancellationToken) {
        let started = Instant::now();
        while let Some(left) = self.plan.duration.checked_sub(started.elapsed()) {
            tokio::time::sleep(left.min(PROGRESS_INTERVAL)).await;
            let [ok, failed, unknown] = self.recorder.tally();
            println!(
                "  {:>3} s of {} s: {ok} ok, {failed} failed, {unknown} unknown",
                started.elapsed().as_secs(),
                self.plan.duration.as_secs()
            );
        }
        stop.cancel();
    }
}
