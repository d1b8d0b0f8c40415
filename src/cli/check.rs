//! `stead check`: whether a cluster does what its work will ask of it. The loads and limits are etcdctl's.
//!
//! Writes under a prefix of its own that must be empty, and removes it at the end.

use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt as _;
use futures::stream;
use rand::RngCore as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::exit::{CliError, Exit};
use super::kv::prefix_end;
use super::output::{Format, revision};
use crate::client::Client;
use crate::proto::etcdserverpb::{
    CompactionRequest, DefragmentRequest, DeleteRangeRequest, PutRequest, RangeRequest,
};

/// How long the performance is measured.
const MEASURED_SECONDS: u32 = 60;
/// Bytes of a value.
const VALUE_BYTES: usize = 1_024;
/// Bytes of a key behind the prefix.
const KEY_BYTES: usize = 8;
/// The part of the load that must be done, in percent.
const MINIMUM_DONE_PERCENT: f64 = 90.0;
/// The longest that a request may take.
const MAXIMUM_SECONDS: f64 = 0.5;
/// The largest standard deviation of what requests take.
const MAXIMUM_DEVIATION_SECONDS: f64 = 0.1;
/// Largest page of metrics that is read.
const MAXIMUM_PAGE_BYTES: u64 = 16 * 1024 * 1024;
/// The metric of the memory that a server uses.
const MEMORY: &str = "process_resident_memory_bytes ";

/// The arguments of `stead check`.
#[derive(Debug, Clone, Args)]
pub(super) struct Check {
    #[command(subcommand)]
    command: CheckCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum CheckCommand {
    /// Write at a rate for a minute, and look at how long it takes
    #[command(after_help = "Examples:\n  stead check perf\n  stead check perf --load m")]
    Perf {
        #[command(flatten)]
        options: Options,
        /// Where the keys are
        #[arg(long, default_value = "/etcdctl-check-perf/")]
        prefix: String,
    },
    /// Write many keys, and look at how much memory the first endpoint uses for them
    #[command(
        name = "datascale",
        after_help = "Examples:\n  stead check datascale\n  stead check datascale --load m"
    )]
    DataScale {
        #[command(flatten)]
        options: Options,
        /// Where the keys are
        #[arg(long, default_value = "/etcdctl-check-datascale/")]
        prefix: String,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Options {
    /// How much: s (small), m (medium), l (large) or xl
    #[arg(long, value_enum, default_value = "s")]
    load: Load,
    /// Compact the store at the end
    #[arg(long)]
    auto_compact: bool,
    /// Defragment the endpoints at the end
    #[arg(long)]
    auto_defrag: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Load {
    #[value(alias = "small")]
    S,
    #[value(alias = "medium")]
    M,
    #[value(alias = "large")]
    L,
    #[value(name = "xl", alias = "xLarge")]
    Xl,
}

impl Load {
    /// Clients, and writes in a second.
    fn rate(self) -> (usize, u32) {
        match self {
            Self::S => (50, 150),
            Self::M => (200, 1_000),
            Self::L => (500, 8_000),
            Self::Xl => (1_000, 15_000),
        }
    }

    /// Clients, and keys.
    fn keys(self) -> (usize, u32) {
        match self {
            Self::S => (50, 10_000),
            Self::M => (100, 100_000),
            Self::L => (200, 1_000_000),
            Self::Xl => (500, 3_000_000),
        }
    }
}

impl Check {
    /// Checks and shows what came out.
    ///
    /// # Errors
    /// The prefix is in use, a call that is needed failed, or the cluster does not pass.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let (CheckCommand::Perf { options, prefix } | CheckCommand::DataScale { options, prefix }) =
            &self.command;
        must_be_empty(client, prefix).await?;
        let outcome = match self.command {
            CheckCommand::Perf { .. } => performance(client, format, options.load, prefix).await,
            CheckCommand::DataScale { .. } => scale(client, format, options.load, prefix).await,
        };
        clean(client, options, prefix).await?;
        if outcome? {
            Ok(())
        } else {
            Err(CliError::failure("FAIL"))
        }
    }
}

fn range(prefix: &str) -> (Bytes, Bytes) {
    let key = Bytes::copy_from_slice(prefix.as_bytes());
    let end = prefix_end(&key).into();
    (key, end)
}

async fn must_be_empty(client: &Client, prefix: &str) -> Result<(), CliError> {
    if prefix.is_empty() {
        return Err(CliError::invalid(
            "--prefix is empty: all keys under it are removed at the end; write one",
        ));
    }
    let (key, range_end) = range(prefix);
    let request = RangeRequest {
        key,
        range_end,
        count_only: true,
        ..RangeRequest::default()
    };
    let answer = client
        .read(|node| {
            let request = request.clone();
            async move { node.kv().range(request).await }
        })
        .await?;
    match answer.count {
        0 => Ok(()),
        _ => Err(CliError::invalid(format!(
            "prefix {prefix:?} has keys. Delete with `del --prefix {prefix}` first"
        ))),
    }
}

/// Removes what was written, and what the options ask for.
async fn clean(client: &Client, options: &Options, prefix: &str) -> Result<(), CliError> {
    let (key, range_end) = range(prefix);
    let request = DeleteRangeRequest {
        key,
        range_end,
        prev_kv: false,
    };
    // Nothing else is under the prefix: removing it twice is removing it.
    let removed = client
        .read(|node| {
            let request = request.clone();
            async move { node.kv().delete_range(request).await }
        })
        .await?;
    if options.auto_compact {
        let request = CompactionRequest {
            revision: revision(removed.header.as_ref()),
            physical: true,
        };
        client
            .write(|node| async move { node.kv().compact(request).await })
            .await?;
    }
    if options.auto_defrag {
        for node in client.nodes() {
            client
                .only(node)
                .write(|node| async move { node.maintenance().defragment(DefragmentRequest {}).await })
                .await?;
        }
    }
    Ok(())
}

/// What requests took, in seconds, and how many failed.
#[derive(Debug, Default)]
struct Measured {
    seconds: Vec<f64>,
    failed: usize,
    whole_seconds: f64,
}

impl Measured {
    fn slowest(&self) -> f64 {
        self.seconds.iter().copied().fold(0.0, f64::max)
    }

    fn deviation(&self) -> f64 {
        let count = f64::from(u32::try_from(self.seconds.len()).unwrap_or(u32::MAX).max(1));
        let mean = self.seconds.iter().sum::<f64>() / count;
        let squares: f64 = self.seconds.iter().map(|seconds| (seconds - mean).powi(2)).sum();
        (squares / count).sqrt()
    }

    fn throughput(&self) -> f64 {
        f64::from(u32::try_from(self.seconds.len()).unwrap_or(u32::MAX))
            / self.whole_seconds.max(f64::EPSILON)
    }
}

/// Writes `count` keys from `clients` clients, no more than `rate` in a second if there is one.
async fn write(client: &Client, prefix: &str, clients: usize, count: u32, rate: Option<u32>) -> Measured {
    let mut random = rand::rng();
    let started = Instant::now();
    let writes = (0..count).map(|number| {
        let mut key = prefix.as_bytes().to_vec();
        let mut name = [0; KEY_BYTES];
        random.fill_bytes(&mut name);
        key.extend_from_slice(&name);
        let request = PutRequest {
            key: key.into(),
            value: Bytes::from_static(&[b'x'; VALUE_BYTES]),
            ..PutRequest::default()
        };
        let due = rate.map(|rate| started + Duration::from_secs(1) * number / rate);
        async move {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let asked = Instant::now();
            let answer = client
                .write(|node| {
                    let request = request.clone();
                    async move { node.kv().put(request).await }
                })
                .await;
            answer.map(|_| asked.elapsed().as_secs_f64())
        }
    });
    let mut measured = Measured::default();
    let mut answers = stream::iter(writes).buffer_unordered(clients);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(seconds) => measured.seconds.push(seconds),
            Err(_) => measured.failed += 1,
        }
    }
    measured.whole_seconds = started.elapsed().as_secs_f64();
    measured
}

async fn performance(client: &Client, format: Format, load: Load, prefix: &str) -> Result<bool, CliError> {
    let (clients, rate) = load.rate();
    let measured = write(
        client,
        prefix,
        clients,
        rate.saturating_mul(MEASURED_SECONDS),
        Some(rate),
    )
    .await;
    let throughput = measured.throughput();
    let is_enough = throughput * 100.0 >= f64::from(rate) * MINIMUM_DONE_PERCENT;
    let (slowest, deviation) = (measured.slowest(), measured.deviation());
    let lines = [
        (
            is_enough,
            if is_enough {
                format!("Throughput is {throughput:.0} writes/s")
            } else {
                format!("Throughput too low: {throughput:.0} writes/s")
            },
        ),
        (
            slowest <= MAXIMUM_SECONDS,
            if slowest <= MAXIMUM_SECONDS {
                format!("Slowest request took {slowest:.6}s")
            } else {
                format!("Slowest request took too long: {slowest:.6}s")
            },
        ),
        (
            deviation <= MAXIMUM_DEVIATION_SECONDS,
            if deviation <= MAXIMUM_DEVIATION_SECONDS {
                format!("Stddev is {deviation:.6}s")
            } else {
                format!("Stddev too high: {deviation:.6}s")
            },
        ),
        (
            measured.failed == 0,
            format!("{} requests failed", measured.failed),
        ),
    ];
    let passed = lines.iter().all(|(passed, _)| *passed);
    let mut text: Vec<String> = lines
        .iter()
        // That nothing failed need not be said.
        .take(if measured.failed == 0 { 3 } else { 4 })
        .map(|(passed, line)| format!("{}: {line}", if *passed { "PASS" } else { "FAIL" }))
        .collect();
    if passed {
        text.push("PASS".to_owned());
    }
    format.note(&text.join("\n"), || {
        json!({
            "passed": passed,
            "writes_per_second": throughput,
            "slowest_seconds": slowest,
            "deviation_seconds": deviation,
            "failed": measured.failed,
        })
    })?;
    Ok(passed)
}

async fn scale(client: &Client, format: Format, load: Load, prefix: &str) -> Result<bool, CliError> {
    let (clients, keys) = load.keys();
    let before = memory(client).await?;
    format.note_unless_json(&format!(
        "Start data scale check for work load [{keys} key-value pairs, {VALUE_BYTES} bytes per key-value, \
         {clients} concurrent clients]."
    ))?;
    let measured = write(client, prefix, clients, keys, None).await;
    let used = (memory(client).await? - before).max(0.0);
    let passed = measured.failed == 0;
    let text = if passed {
        format!(
            "PASS: Approximate system memory used : {:.2} MB.",
            used / 1_048_576.0
        )
    } else {
        format!("FAIL: {} writes failed", measured.failed)
    };
    format.note(
        &text,
        || json!({"passed": passed, "memory_bytes": used, "failed": measured.failed}),
    )?;
    Ok(passed)
}

/// Bytes of memory that the first endpoint uses, as its metrics say.
async fn memory(client: &Client) -> Result<f64, CliError> {
    let Some(node) = client.nodes().first() else {
        return Ok(0.0);
    };
    let address = node.endpoint.rsplit("://").next().unwrap_or_default();
    let failed = |reason: String| {
        CliError::new(
            Exit::BadConnection,
            format!("cannot read http://{address}/metrics: {reason}"),
        )
    };
    let page = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut page = Vec::new();
        stream.take(MAXIMUM_PAGE_BYTES).read_to_end(&mut page).await?;
        Ok::<_, std::io::Error>(page)
    };
    let page = timeout(client.command_timeout(), page)
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    String::from_utf8_lossy(&page)
        .lines()
        .find_map(|line| line.strip_prefix(MEMORY)?.trim().parse().ok())
        .ok_or_else(|| failed(format!("it has no {}", MEMORY.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_and_the_deviation_are_those_of_all_requests() {
        let measured = Measured {
            seconds: vec![0.1, 0.3, 0.1, 0.3],
            failed: 0,
            whole_seconds: 2.0,
        };
        assert!((measured.slowest() - 0.3).abs() < 1e-9);
        assert!((measured.deviation() - 0.1).abs() < 1e-9);
        assert!((measured.throughput() - 2.0).abs() < 1e-9);
    }
}
