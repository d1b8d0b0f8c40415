//! What was measured, as a table or as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::disk::Disk;
use super::load::{Workload, new_histogram};
use super::processor::ProcessorTime;

/// One round of one program.
pub struct Row {
    pub program: String,
    pub workload: Workload,
    pub latencies: Histogram<u64>,
    pub errors: u64,
    pub elapsed: Duration,
    /// All requests of the round, warm-up and failures included: what the processor time was used for.
    pub requests: u64,
    /// The most that any server has held resident so far, in MiB.
    pub server_peak_mebibytes: u64,
    pub server_processor_time: ProcessorTime,
    pub own_processor_time: ProcessorTime,
}

/// All rounds of one program and workload.
struct Total {
    latencies: Histogram<u64>,
    errors: u64,
    elapsed: Duration,
    requests: u64,
    server_peak_mebibytes: u64,
    server_processor_time: ProcessorTime,
    own_processor_time: ProcessorTime,
    throughputs: Vec<f64>,
}

impl Total {
    fn throughput(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Everything that was measured.
pub struct Report {
    disk: Disk,
    clients: usize,
    value_bytes: usize,
    programs: Vec<String>,
    totals: BTreeMap<(Workload, usize), Total>,
}

#[derive(Serialize)]
struct JsonReport {
    fsync: Disk,
    clients: usize,
    value_bytes: usize,
    results: Vec<JsonResult>,
    ratios: Vec<JsonRatio>,
}

#[derive(Serialize)]
struct JsonResult {
    program: String,
    workload: Workload,
    requests_per_second: f64,
    requests_per_second_of_rounds: Vec<f64>,
    p50_milliseconds: f64,
    p99_milliseconds: f64,
    errors: u64,
    server_processor_microseconds_per_request: f64,
    load_processor_microseconds_per_request: f64,
    server_peak_resident_mebibytes: u64,
}

/// The throughput of the first program over that of the second.
#[derive(Serialize)]
struct JsonRatio {
    workload: Workload,
    throughput: f64,
}

impl Report {
    pub fn new(disk: Disk, clients: usize, value_bytes: usize) -> Self {
        Self {
            disk,
            clients,
            value_bytes,
            programs: Vec::new(),
            totals: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, row: Row) {
        let program = self
            .programs
            .iter()
            .position(|name| *name == row.program)
            .unwrap_or_else(|| {
                self.programs.push(row.program.clone());
                self.programs.len() - 1
            });
        let total = self
            .totals
            .entry((row.workload, program))
            .or_insert_with(|| Total {
                latencies: new_histogram(),
                errors: 0,
                elapsed: Duration::ZERO,
                requests: 0,
                server_peak_mebibytes: 0,
                server_processor_time: ProcessorTime::default(),
                own_processor_time: ProcessorTime::default(),
                throughputs: Vec::new(),
            });
        total
            .throughputs
            .push(row.latencies.len() as f64 / row.elapsed.as_secs_f64());
        total
            .latencies
            .add(&row.latencies)
            .expect("all histograms have the same bounds");
        total.errors += row.errors;
        total.elapsed += row.elapsed;
        total.requests += row.requests;
        total.server_peak_mebibytes = total.server_peak_mebibytes.max(row.server_peak_mebibytes);
        total.server_processor_time += row.server_processor_time;
        total.own_processor_time += row.own_processor_time;
    }

    fn results(&self) -> Vec<JsonResult> {
        let milliseconds = |total: &Total, quantile| total.latencies.value_at_quantile(quantile) as f64 / 1e3;
        self.totals
            .iter()
            .map(|((workload, program), total)| JsonResult {
                program: self.programs[*program].clone(),
                workload: *workload,
                requests_per_second: total.throughput(),
                requests_per_second_of_rounds: total.throughputs.clone(),
                p50_milliseconds: milliseconds(total, 0.5),
                p99_milliseconds: milliseconds(total, 0.99),
                errors: total.errors,
                server_processor_microseconds_per_request: total
                    .server_processor_time
                    .microseconds_each(total.requests),
                load_processor_microseconds_per_request: total
                    .own_processor_time
                    .microseconds_each(total.requests),
                server_peak_resident_mebibytes: total.server_peak_mebibytes,
            })
            .collect()
    }

    fn ratios(&self) -> Vec<JsonRatio> {
        let pairs = self.totals.iter().filter(|((_, program), _)| *program == 0);
        pairs
            .filter_map(|((workload, _), first)| {
                let second = self.totals.get(&(*workload, 1))?;
                Some(JsonRatio {
                    workload: *workload,
                    throughput: first.throughput() / second.throughput(),
                })
            })
            .collect()
    }

    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&JsonReport {
            fsync: self.disk,
            clients: self.clients,
            value_bytes: self.value_bytes,
            results: self.results(),
            ratios: self.ratios(),
        })
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "fsync: p50 {} us, p99 {} us.  {} clients, values of {} bytes.\n\n",
            self.disk.p50_microseconds, self.disk.p99_microseconds, self.clients, self.value_bytes
        );
        let mut line = |cells: [&str; 9]| {
            let [
                workload,
                program,
                throughput,
                p50,
                p99,
                errors,
                server,
                load,
                memory,
            ] = cells;
            writeln!(
                text,
                "{workload:<17} {program:<8} {throughput:>10} {p50:>9} {p99:>9} {errors:>7} {server:>14} {load:>12} {memory:>9}"
            )
            .expect("writing to a string does not fail");
        };
        line([
            "",
            "",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "errors",
            "server us/req",
            "load us/req",
            "peak MiB",
        ]);
        let ratios = self.ratios();
        let results = self.results();
        for (index, result) in results.iter().enumerate() {
            line([
                &result.workload.to_string(),
                &result.program,
                &format!("{:.0}", result.requests_per_second),
                &format!("{:.2}", result.p50_milliseconds),
                &format!("{:.2}", result.p99_milliseconds),
                &result.errors.to_string(),
                &format!("{:.1}", result.server_processor_microseconds_per_request),
                &format!("{:.1}", result.load_processor_microseconds_per_request),
                &result.server_peak_resident_mebibytes.to_string(),
            ]);
            let is_last = results
                .get(index + 1)
                .is_none_or(|next| next.workload != result.workload);
            let ratio = ratios.iter().find(|ratio| ratio.workload == result.workload);
            if let (true, Some(ratio)) = (is_last, ratio) {
                line([
                    &result.workload.to_string(),
                    "ratio",
                    &format!("{:.2}x", ratio.throughput),
                    "",
                    "",
                    "",
                    "",
                    "",
                    "",
                ]);
            }
        }
        text
    }
}
