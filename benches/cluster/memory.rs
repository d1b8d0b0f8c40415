//! How much memory processes hold.

use std::fs;

use super::support::Result;

/// Kibibytes in a mebibyte: `/proc` counts in the former.
const KIBIBYTES: u64 = 1024;

/// The most that any of the processes has held resident since it began, in MiB.
pub fn peak_resident_mebibytes(processes: &[u32]) -> Result<u64> {
    let mut peak = 0;
    for process in processes {
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .ok_or("/proc/<pid>/status has no VmHWM")?
            .parse()?;
        peak = peak.max(kibibytes / KIBIBYTES);
    }
    Ok(peak)
}
