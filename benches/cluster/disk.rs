//! How long the disk takes to make a small write durable: the floor under every put.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::new_histogram;
use super::support::Result;

const PROBES: usize = 500;
const PROBE_BYTES: usize = 4_096;

/// The time of a write of [`PROBE_BYTES`] at the end of a file and an fdatasync, in microseconds.
#[derive(Clone, Copy, Serialize)]
pub struct Disk {
    pub p50_microseconds: u64,
    pub p99_microseconds: u64,
}

/// Appends to a file in `directory` and makes each write durable before the next.
pub fn probe(directory: &Path) -> Result<Disk> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    let mut times: Histogram<u64> = new_histogram();
    let bytes = [0x5a; PROBE_BYTES];
    for _ in 0..PROBES {
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.saturating_record(u64::try_from(start.elapsed().as_micros())?);
    }
    Ok(Disk {
        p50_microseconds: times.value_at_quantile(0.5),
        p99_microseconds: times.value_at_quantile(0.99),
    })
}
