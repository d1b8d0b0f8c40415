//! Deliberate mistakes that must be found: a harness that has never failed a wrong store says nothing of a right one.

use clap::ValueEnum;

use crate::nemesis::Nemesis;
use crate::run::{RunPlan, run};
use crate::support::{Program, Result};
use crate::{Score, nemesis, workload};

/// How many runs, each with another seed, a mistake may take to show.
const MAXIMUM_ATTEMPTS: u64 = 5;

/// What a server can be asked to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mistake {
    /// Writes are acknowledged before they are durable. The server keeps them in memory for a while, so that SIGKILL
    /// loses them as a loss of power would.
    AckBeforeFsync,
    /// Linearizable reads are answered from local state.
    ReadWithoutBarrier,
    /// All disks go back to an earlier state. The server does nothing wrong here: the nemesis does it to any program.
    Rollback,
}

impl Mistake {
    /// The name; for a mistake of Stead the value of `STEAD_FAULT`.
    fn name(self) -> &'static str {
        match self {
            Self::AckBeforeFsync => "ack-before-fsync",
            Self::ReadWithoutBarrier => "read-without-barrier",
            Self::Rollback => "rollback",
        }
    }

    /// The workload and the nemesis under which it shows.
    fn shows_under(self) -> (&'static str, &'static str) {
        match self {
            Self::AckBeforeFsync => ("set", "kill-all"),
            Self::ReadWithoutBarrier => ("register", "partition"),
            Self::Rollback => ("set", "rollback"),
        }
    }
}

/// Runs each of the given mistakes, or all, until it shows.
///
/// Only Stead can be asked to make a mistake. A real etcd reads without a barrier if its clients ask it to, which
/// shows the same; nothing makes it acknowledge too early. Disks go back to an earlier state with any program.
///
/// # Errors
/// When the harness could not do its work.
pub async fn run_all(mistakes: &[Mistake], plan: &RunPlan) -> Result<Score> {
    let is_stead = matches!(plan.program, Program::Stead(_));
    let mistakes: Vec<Mistake> = if mistakes.is_empty() {
        let possible = |mistake: &Mistake| is_stead || *mistake != Mistake::AckBeforeFsync;
        Mistake::value_variants()
            .iter()
            .copied()
            .filter(possible)
            .collect()
    } else {
        mistakes.to_vec()
    };
    let mut score = Score::default();
    for mistake in mistakes {
        let mut plan = plan.clone();
        match (mistake, is_stead) {
            (Mistake::Rollback, _) => {}
            (_, true) => plan.fault = Some(mistake.name()),
            (Mistake::ReadWithoutBarrier, false) => plan.serializable_reads = true,
            (Mistake::AckBeforeFsync, false) => {
                return Err(
                    "an etcd cannot be asked to acknowledge before it syncs: use --program stead".into(),
                );
            }
        }
        score.count(is_found(mistake, &plan).await?);
    }
    Ok(score)
}

async fn is_found(mistake: Mistake, plan: &RunPlan) -> Result<bool> {
    let (workload, nemesis) = mistake.shows_under();
    let workload = workload::all().into_iter().find(|known| known.name() == workload);
    let nemesis = nemesis::all()
        .into_iter()
        .chain([Box::new(nemesis::Rollback::new()) as Box<dyn Nemesis>])
        .find(|known| known.name() == nemesis);
    let (Some(workload), Some(nemesis)) = (workload, nemesis) else {
        return Err(format!(
            "{} has no workload and nemesis under which it shows",
            mistake.name()
        )
        .into());
    };
    for attempt in 0..MAXIMUM_ATTEMPTS {
        let plan = RunPlan {
            seed: plan.seed.wrapping_add(attempt),
            ..plan.clone()
        };
        println!(
            "{} under {} × {}, {} s, seed {}",
            mistake.name(),
            workload.name(),
            nemesis.name(),
            plan.duration.as_secs(),
            plan.seed
        );
        let report = run(workload.as_ref(), Some(nemesis.as_ref()), &plan).await?;
        print!("{}", report.verdict);
        // A server that merely dies is not found out: a checker of histories has to see what it did.
        let violated = report.verdict.violated();
        let found_by = workload
            .checkers()
            .into_iter()
            .find(|checker| violated.contains(&checker.name()));
        if let Some(checker) = found_by {
            println!("  found by {}: {}", checker.name(), mistake.name());
            return Ok(true);
        }
    }
    println!("  NOT FOUND in {MAXIMUM_ATTEMPTS} runs: {}", mistake.name());
    Ok(false)
}
