//! How fast a cluster is, and how fast beside etcd: one load program for both, in one run, on one disk.
//!
//! ```text
//! cargo bench --profile dev --bench cluster                              # three nodes of Stead beside three of etcd
//! cargo bench --profile dev --bench cluster -- --only stead --workloads put
//! cargo bench --profile dev --bench cluster -- --only stead --keys 1000000 --key-bytes 64 --workloads serializable
//! cargo bench --profile dev --bench cluster -- --only stead --nodes 1 --workloads put,secret-put,secret-get
//! cargo bench --profile dev --bench cluster -- --endpoints http://10.0.0.1:2379,http://10.0.0.2:2379 -o json
//! ```
//!
//! Closed loop: every client sends its next request when the last is answered, so that throughput and latency are two
//! sides of one measurement. The two clusters run side by side and are loaded in turn, round after round, so that what
//! else the machine does meets both. Every server runs with its own defaults, fsync on.

mod disk;
mod grpc;
mod load;
mod memory;
mod processor;
mod report;
mod secrets;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use load::{Load, Measurement, Plan, Workload};
use processor::ProcessorTime;
use report::{Report, Row};
use support::{Clients, Cluster, Program, Result};

/// Drives clusters that speak etcd v3 and compares them.
#[derive(Parser)]
#[command(name = "cluster")]
struct Options {
    /// Start three nodes of Stead and three of etcd and compare them. This is what happens without --endpoints.
    #[arg(long, conflicts_with = "endpoints")]
    compare: bool,

    /// Start and measure only one of the two.
    #[arg(long, conflicts_with = "endpoints")]
    only: Option<Contestant>,

    /// Measure a cluster that runs already.
    #[arg(long, value_delimiter = ',')]
    endpoints: Vec<String>,

    /// What to measure, in this order.
    #[arg(long, value_delimiter = ',', default_values_t = [Workload::Put, Workload::Linearizable, Workload::Serializable, Workload::Mixed])]
    workloads: Vec<Workload>,

    /// Clients that each wait for one answer at a time.
    #[arg(long, default_value_t = 256)]
    clients: usize,

    /// HTTP/2 connections that the clients share.
    #[arg(long, default_value_t = 16)]
    connections: usize,

    /// Threads of the load program, each with its part of the clients and connections.
    #[arg(long, default_value_t = 2)]
    threads: usize,

    /// Bytes of every value.
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,

    /// Bytes of every key.
    #[arg(long, default_value_t = 17, value_parser = clap::value_parser!(u16).range(17..))]
    key_bytes: u16,

    /// Different keys, written and read at random. All are written once before the first round.
    #[arg(long, default_value_t = 10_000)]
    keys: usize,

    /// Tokens that end at once in each round of secret-ending.
    #[arg(long, default_value_t = 20_000)]
    ending_tokens: usize,

    /// Seconds of each round that count; one more before them does not.
    #[arg(long, default_value_t = 5)]
    seconds: u64,

    /// Rounds of each workload.
    #[arg(long, default_value_t = 3)]
    rounds: usize,

    /// Nodes of each cluster that is started.
    #[arg(long, default_value_t = 3)]
    nodes: usize,

    /// Send everything to the leader instead of to all nodes alike.
    #[arg(long)]
    leader_only: bool,

    /// Where the data goes, and the disk that is probed.
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    directory: PathBuf,

    #[arg(short, long, default_value = "text")]
    output: Format,

    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Contestant {
    Stead,
    Etcd,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// One cluster under load.
struct Subject {
    name: String,
    load: Load,
    /// None: it is somebody else's.
    cluster: Option<Cluster>,
}

impl Subject {
    /// Measures one round.
    fn round(&self, workload: Workload, seconds: u64) -> Result<Row> {
        // What the rounds before have left to be written is not to be written in this one.
        rustix::fs::sync();
        let processes: Vec<u32> = self
            .cluster
            .iter()
            .flat_map(Cluster::nodes)
            .filter_map(|node| node.process_id())
            .collect();
        let servers = ProcessorTime::of(&processes)?;
        let own = ProcessorTime::of(&[std::process::id()])?;
        let Measurement {
            latencies,
            errors,
            elapsed,
            warm_up_requests,
        } = self.load.run(workload, Duration::from_secs(seconds))?;
        let requests = latencies.len() + errors + warm_up_requests;
        Ok(Row {
            program: self.name.clone(),
            workload,
            latencies,
            errors,
            elapsed,
            requests,
            server_peak_mebibytes: memory::peak_resident_mebibytes(&processes)?,
            server_processor_time: ProcessorTime::of(&processes)?.since(servers),
            own_processor_time: ProcessorTime::of(&[std::process::id()])?.since(own),
        })
    }
}

/// A load on a cluster.
async fn load(options: &Options, has_secrets: bool, endpoints: Vec<String>) -> Result<Load> {
    let needs_secrets = options.workloads.iter().any(|workload| workload.is_of_secrets());
    let token = match has_secrets && needs_secrets {
        true => Some(secrets::prepare(&endpoints).await?),
        false => None,
    };
    Load::prepare(Plan {
        endpoints: targets(options, endpoints).await?,
        token,
        clients: options.clients,
        connections: options.connections,
        threads: options.threads,
        key_bytes: usize::from(options.key_bytes),
        value_bytes: options.value_bytes,
        keys: options.keys,
        ending_tokens: options.ending_tokens,
    })
}

/// The endpoint whose node leads.
async fn leader_of(endpoints: &[String]) -> Result<String> {
    for endpoint in endpoints {
        let status = Clients::of(endpoint)?
            .maintenance
            .status(stead::proto::etcdserverpb::StatusRequest {})
            .await?;
        let status = status.into_inner();
        if status
            .header
            .is_some_and(|header| header.member_id == status.leader)
        {
            return Ok(endpoint.clone());
        }
    }
    Err("none of the endpoints leads: name all of them".into())
}

async fn targets(options: &Options, endpoints: Vec<String>) -> Result<Vec<String>> {
    if options.leader_only {
        Ok(vec![leader_of(&endpoints).await?])
    } else {
        Ok(endpoints)
    }
}

async fn subjects(options: &Options) -> Result<Vec<Subject>> {
    if !options.endpoints.is_empty() {
        let load = load(options, true, options.endpoints.clone()).await?;
        return Ok(vec![Subject {
            name: "cluster".to_owned(),
            load,
            cluster: None,
        }]);
    }
    let mut programs = Vec::new();
    if options.only != Some(Contestant::Etcd) {
        programs.push(Program::stead()?);
    }
    if options.only != Some(Contestant::Stead) {
        programs.push(Program::etcd()?);
    }
    let mut subjects = Vec::new();
    for program in programs {
        let name = program.name().to_owned();
        let has_secrets = matches!(program, Program::Stead(_));
        let cluster = Cluster::builder(program)
            .nodes(options.nodes)
            .in_directory(&options.directory)
            .start()
            .await?;
        let load = load(options, has_secrets, cluster.endpoints()).await?;
        subjects.push(Subject {
            name,
            load,
            cluster: Some(cluster),
        });
    }
    Ok(subjects)
}

fn measure(options: &Options) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::fs::create_dir_all(&options.directory)?;
    let disk = disk::probe(&options.directory)?;
    let subjects = runtime.block_on(subjects(options))?;
    let mut report = Report::new(disk, options.clients, options.value_bytes);
    for subject in &subjects {
        eprintln!("writing {} keys to {}", options.keys, subject.name);
        subject.load.fill()?;
    }
    for round in 1..=options.rounds {
        for workload in &options.workloads {
            for subject in subjects.iter().filter(|subject| subject.load.has(*workload)) {
                eprintln!(
                    "{workload}, round {round} of {}: {}",
                    options.rounds, subject.name
                );
                report.add(subject.round(*workload, options.seconds)?);
            }
        }
    }
    Ok(report)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let report = measure(&options).and_then(|report| match options.output {
        Format::Text => Ok(report.text()),
        Format::Json => Ok(report.json()?),
    });
    match report {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::FAILURE
        }
    }
}
