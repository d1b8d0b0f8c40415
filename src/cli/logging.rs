//! Starts the log of a node as its configuration says.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::exit::CliError;
use crate::config::{LogConfig, LogFormat, LogLevel, LogOutput};

/// Shows on standard error what a client does.
pub(super) fn debug() {
    // A log that is there already stays.
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(std::io::stderr)
        .try_init();
}

/// Sends everything that is logged from here on to the outputs of `config`.
///
/// # Errors
/// A file cannot be opened.
pub(super) fn start(config: &LogConfig) -> Result<(), CliError> {
    let mut outputs = Vec::new();
    for output in &config.outputs {
        outputs.push(match output {
            LogOutput::Stderr => Sink::Stderr,
            LogOutput::Stdout => Sink::Stdout,
            LogOutput::File(path) => Sink::File(Arc::new(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(path)
                    .map_err(|error| {
                        CliError::failure(format!(
                            "--log-outputs: cannot open {}: {error}; check the path and its permissions",
                            path.display()
                        ))
                    })?,
            )),
        });
    }
    let writer = BoxMakeWriter::new(move || Outputs(outputs.clone()));
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(config.level)))
        .with_writer(writer);
    let started = match config.format {
        LogFormat::Json => log.json().flatten_event(true).try_init(),
        LogFormat::Text => log.with_ansi(false).try_init(),
    };
    started.map_err(|error| CliError::failure(format!("cannot start the log: {error}")))
}

/// What is logged at a level. Libraries tell at each level what only their authors need: they are held one level back.
fn filter(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug,openraft=info,h2=info,hyper=info,hyper_util=info,tonic=info,tower=info",
        LogLevel::Info => "info,openraft=warn",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

#[derive(Clone)]
enum Sink {
    Stderr,
    Stdout,
    File(Arc<File>),
}

/// Writes each line to all outputs.
struct Outputs(Vec<Sink>);

impl Write for Outputs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        for sink in &mut self.0 {
            match sink {
                Sink::Stderr => io::stderr().write_all(line)?,
                Sink::Stdout => io::stdout().write_all(line)?,
                Sink::File(file) => (&**file).write_all(line)?,
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_of_every_level_can_be_read() {
        for level in [LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error] {
            assert!(EnvFilter::try_new(filter(level)).is_ok(), "{level:?}");
        }
    }
}
