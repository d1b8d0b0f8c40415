//! What the operating system knows of the process, where it can be asked. Read when somebody looks, never in between.

use prometheus::IntGauge;

use super::MetricsError;
use super::register::Register;

/// The process, beside what the library collects of it.
#[derive(Clone)]
pub struct ProcessMetrics {
    used_files: IntGauge,
    maximum_files: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        #[cfg(target_os = "linux")]
        register.0.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(Self {
            used_files: register.gauge("os_fd_used", "Open file descriptors.")?,
            maximum_files: register.gauge("os_fd_limit", "Most open file descriptors.")?,
        })
    }

    /// Reads them anew.
    pub fn refresh(&self) {
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.used_files
                .set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
        self.maximum_files
            .set(i64::try_from(maximum_files()).unwrap_or(i64::MAX));
    }
}

/// Most file descriptors that this process may have open.
#[must_use]
pub fn maximum_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn a_file_that_is_opened_is_counted() {
        let registry = Registry::new();
        let process = ProcessMetrics::new(&Register(&registry)).expect("metrics register once");
        let _files: Vec<_> = (0..100)
            .map(|_| std::fs::File::open("/dev/null").expect("it can be read"))
            .collect();
        process.refresh();
        assert!(process.used_files.get() >= 100);
        assert!(process.maximum_files.get() >= process.used_files.get());
    }
}
