//! How much processor time processes have used: what a request costs where the processors are shared.

use std::fs;
use std::ops::AddAssign;
use std::time::Duration;

use super::support::Result;

/// Linux counts in hundredths of a second in `/proc`, whatever the frequency of its own clock.
const TICK: Duration = Duration::from_millis(10);

/// The fields after the name in `/proc/<pid>/stat` that hold the time in user mode and in the kernel, from 0.
const USER_FIELD: usize = 11;
const KERNEL_FIELD: usize = 12;

/// The processor time of some processes, in user mode and in the kernel.
#[derive(Clone, Copy, Default)]
pub struct ProcessorTime(Duration);

impl ProcessorTime {
    /// What the processes have used since each began.
    pub fn of(processes: &[u32]) -> Result<Self> {
        let mut sum = Self::default();
        for process in processes {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
            // The name is in parentheses and may hold spaces.
            let (_, fields) = stat.rsplit_once(')').ok_or("/proc/<pid>/stat has no name")?;
            let fields: Vec<&str> = fields.split_whitespace().collect();
            for field in [USER_FIELD, KERNEL_FIELD] {
                let ticks: u32 = fields
                    .get(field)
                    .ok_or("/proc/<pid>/stat is too short")?
                    .parse()?;
                sum += Self(TICK * ticks);
            }
        }
        Ok(sum)
    }

    /// What was used between `earlier` and this.
    pub fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The time for each of `requests`, in microseconds.
    pub fn microseconds_each(self, requests: u64) -> f64 {
        self.0.as_secs_f64() * 1e6 / (requests.max(1) as f64)
    }
}

impl AddAssign for ProcessorTime {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}
