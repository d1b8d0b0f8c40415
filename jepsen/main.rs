//! The fault-injection harness: real server processes, real faults, recorded histories, and checkers that decide
//! whether the store kept its promises. `README.md` beside this file says how to use it.
//!
//! | part | does |
//! |---|---|
//! | [`workload`] | what clients do; a file each |
//! | [`nemesis`] | what is broken meanwhile; a file each |
//! | [`checker`] | what must hold of a history; a file each |
//! | [`history`], [`edn`] | the record of a run, written and read |
//! | [`client`] | a connection, and what an error says about the outcome |
//! | [`cluster`], [`network`], [`partition`] | processes, and proxies on every link between them |
//! | [`run`], [`catch`], [`self_test`] | one run; deliberate mistakes that must be found; known histories |
//!
//! It treats the server as a black box: flags, sockets, signals. It never links to Stead beyond the wire types.

#[path = "../tests/support/mod.rs"]
mod support;

mod catch;
mod checker;
mod client;
mod cluster;
mod edn;
mod history;
mod nemesis;
mod network;
mod partition;
mod run;
mod self_test;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::history::History;
use crate::nemesis::Nemesis;
use crate::run::RunPlan;
use crate::support::{Program, Result};
use crate::workload::Workload;

/// What stands for every workload or nemesis on the command line.
const ALL: &str = "all";

#[derive(Parser)]
#[command(
    name = "jepsen",
    about = "Breaks a cluster and checks what its clients were told."
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs workloads under nemeses against a fresh cluster each, and checks the histories.
    Run {
        /// Workloads, separated by commas, or "all". See `list`.
        #[arg(long, default_value = "register", value_delimiter = ',')]
        workload: Vec<String>,
        /// Nemeses, separated by commas, "none", or "all". See `list`.
        #[arg(long, default_value = "mixed", value_delimiter = ',')]
        nemesis: Vec<String>,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Checks recorded histories again.
    Check {
        /// The files, as `run` left them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows the workloads and the nemeses.
    List,
    /// Checks the checkers on histories that are known to be good or bad.
    SelfTest,
    /// Runs builds that make a deliberate mistake; each has to be found out.
    Catch {
        /// The mistakes, separated by commas; all if absent.
        #[arg(long, value_delimiter = ',')]
        fault: Vec<catch::Mistake>,
        #[command(flatten)]
        options: RunOptions,
    },
}

/// How to run.
#[derive(Args)]
struct RunOptions {
    /// The server under test.
    #[arg(long, value_enum, default_value = "stead")]
    program: ProgramName,
    /// How many nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// How many seconds operations and faults go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many clients.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=200))]
    clients: u64,
    /// How many operations all clients together begin in a second.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// The seed of all random choices; drawn if absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Where histories, and the logs of failures, are kept.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/jepsen"))]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProgramName {
    Stead,
    Etcd,
}

impl RunOptions {
    fn plan(&self) -> Result<RunPlan> {
        Ok(RunPlan {
            program: match self.program {
                ProgramName::Stead => Program::stead()?,
                ProgramName::Etcd => Program::etcd()?,
            },
            nodes: usize::try_from(self.nodes)?,
            clients: usize::try_from(self.clients)?,
            rate: f64::from(self.rate),
            duration: Duration::from_secs(self.seconds),
            seed: self.seed.unwrap_or_else(rand::random),
            fault: None,
            serializable_reads: false,
            output: self.output.clone(),
        })
    }
}

/// How many of the things that were to be shown were shown.
#[derive(Default)]
pub struct Score {
    passed: usize,
    failed: usize,
}

impl Score {
    /// Counts one thing.
    pub fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let interrupted = async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => interrupt?,
            _ = terminate.recv() => {}
        }
        Err("interrupted: the servers that were started are stopped".into())
    };
    // Whatever comes first, the cluster of an unfinished run is dropped, and its processes with it.
    let outcome = tokio::select! {
        outcome = execute(command()) => outcome,
        interrupted = interrupted => interrupted,
    };
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(score)) => {
            println!("{} passed, {} failed", score.passed, score.failed);
            if score.failed == 0 && score.passed > 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The command that was asked for. `cargo test` hands the name of a test and flags of its own to every target alike:
/// what is not a command of the harness means its self-test.
fn command() -> Command {
    let is_known = |argument: &String| {
        let arguments = Arguments::command();
        argument.starts_with("-h")
            || argument == "--help"
            || argument == "help"
            || arguments.find_subcommand(argument).is_some()
    };
    if std::env::args().nth(1).as_ref().is_some_and(is_known)
        && let Some(command) = Arguments::parse().command
    {
        return command;
    }
    Command::SelfTest
}

async fn execute(command: Command) -> Result<Option<Score>> {
    match command {
        Command::Run {
            workload,
            nemesis,
            options,
        } => run_all(&workloads(&workload)?, &nemeses(&nemesis)?, &options.plan()?)
            .await
            .map(Some),
        Command::Check { files } => {
            let mut score = Score::default();
            for file in files {
                score.count(check(&file)?);
            }
            Ok(Some(score))
        }
        Command::List => {
            println!("workloads");
            for workload in workload::all() {
                println!("  {:<10} {}", workload.name(), workload.summary());
            }
            println!("nemeses\n  {:<10} nothing is broken", nemesis::NONE);
            for nemesis in nemesis::all() {
                println!("  {:<10} {}", nemesis.name(), nemesis.summary());
            }
            Ok(None)
        }
        Command::SelfTest => self_test::run().await.map(Some),
        Command::Catch { fault, options } => catch::run_all(&fault, &options.plan()?).await.map(Some),
    }
}

fn workloads(names: &[String]) -> Result<Vec<Box<dyn Workload>>> {
    let mut chosen = Vec::new();
    for name in names {
        let found: Vec<_> = workload::all()
            .into_iter()
            .filter(|workload| name == ALL || workload.name() == name)
            .collect();
        if found.is_empty() {
            return Err(format!("there is no workload {name:?}: `list` shows them").into());
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

fn nemeses(names: &[String]) -> Result<Vec<Option<Box<dyn Nemesis>>>> {
    let mut chosen = Vec::new();
    for name in names {
        if name == nemesis::NONE || name == ALL {
            chosen.push(None);
        }
        let found: Vec<_> = nemesis::all()
            .into_iter()
            .filter(|nemesis| name == ALL || nemesis.name() == name)
            .collect();
        if found.is_empty() && name != nemesis::NONE {
            return Err(format!("there is no nemesis {name:?}: `list` shows them").into());
        }
        chosen.extend(found.into_iter().map(Some));
    }
    Ok(chosen)
}

async fn run_all(
    workloads: &[Box<dyn Workload>],
    nemeses: &[Option<Box<dyn Nemesis>>],
    plan: &RunPlan,
) -> Result<Score> {
    let mut score = Score::default();
    for workload in workloads {
        for nemesis in nemeses {
            let nemesis = nemesis.as_deref();
            println!(
                "{} × {} on {} nodes of {}, {} s, seed {}",
                workload.name(),
                nemesis.map_or(nemesis::NONE, Nemesis::name),
                plan.nodes,
                plan.program.name(),
                plan.duration.as_secs(),
                plan.seed
            );
            let report = run::run(workload.as_ref(), nemesis, plan).await?;
            let [ok, failed, unknown] = report.tally;
            print!("{}", report.verdict);
            println!(
                "  {}: {ok} ok, {failed} failed, {unknown} unknown, {} faults; {}",
                if report.verdict.passed() {
                    "passed"
                } else {
                    "FAILED"
                },
                report.faults,
                report.history.display()
            );
            score.count(report.verdict.passed());
        }
    }
    Ok(score)
}

fn check(file: &std::path::Path) -> Result<bool> {
    let history = History::read(file)?;
    let [workload] = &workloads(std::slice::from_ref(&history.header.workload))?[..] else {
        return Err(format!("{}: the header must name one workload", file.display()).into());
    };
    let verdict = checker::Verdict::of(&history, &run::checkers(workload.as_ref()))?;
    print!("{verdict}");
    println!(
        "  {}: {}",
        if verdict.passed() { "passed" } else { "FAILED" },
        file.display()
    );
    Ok(verdict.passed())
}
