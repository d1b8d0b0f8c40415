//! `stead secret audit`: devices, and whether what they wrote is all there.
//!
//! Never shows a record.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::administer::{Disable, Enable, list, turn_off, turn_on};
use super::ask::Session;
use crate::cli::exit::CliError;
use crate::cli::output::Format;
use crate::service::secrets::audit::Verifier;

/// The arguments of `stead secret audit`.
#[derive(Debug, Clone, Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum AuditCommand {
    /// Record every request and its answer with a device
    #[command(after_help = "Examples:
  stead secret audit enable file --option file_path=/var/log/stead-audit.log")]
    Enable(Enable),
    /// Record no more with a device
    #[command(after_help = "Examples:\n  stead secret audit disable file")]
    Disable(Disable),
    /// List the devices
    #[command(after_help = "Examples:\n  stead secret audit list -o json")]
    List,
    /// Check that no record was removed, changed or moved in files, given in the order in which they were written
    #[command(after_help = "Examples:
  stead secret audit verify /var/log/stead-audit.log.1 /var/log/stead-audit.log
  stead secret audit verify -o json /var/log/stead-audit.log")]
    Verify {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl Audit {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused, or records are not as they were written.
    pub(super) async fn run(
        &self,
        open: impl Fn() -> Result<Session, CliError>,
        format: Format,
    ) -> Result<(), CliError> {
        match &self.command {
            AuditCommand::Enable(enable) => turn_on(&open()?, "sys/audit", enable.at(), enable.body()).await,
            AuditCommand::Disable(disable) => turn_off(&open()?, "sys/audit", &disable.path).await,
            AuditCommand::List => list(&open()?, "sys/audit").await,
            AuditCommand::Verify { files } => verify(files, format),
        }
    }
}

fn verify(files: &[PathBuf], format: Format) -> Result<(), CliError> {
    let mut verifier = Verifier::new(None);
    for path in files {
        let failed = |error| CliError::failure(format!("cannot read {}: {error}", path.display()));
        let file = File::open(path).map_err(failed)?;
        verifier.read(BufReader::new(file)).map_err(failed)?;
    }
    let report = verifier.finish();
    let mut lines = vec![format!(
        "{} records in {} chains",
        report.records,
        report.chains.len()
    )];
    for chain in &report.chains {
        let end = if chain.is_ended { "ended" } else { "not ended" };
        lines.push(format!(
            "device {} of node {}: records {} to {}, {end}",
            chain.device, chain.node, chain.first, chain.head.sequence
        ));
    }
    for fault in &report.faults {
        lines.push(format!("line {}: {:?}", fault.line, fault.kind));
    }
    let chains: Vec<_> = report
        .chains
        .iter()
        .map(|chain| {
            json!({
                "node": chain.node,
                "device": chain.device,
                "first": chain.first,
                "last": chain.head.sequence,
                "ended": chain.is_ended,
            })
        })
        .collect();
    format.note(&lines.join("\n"), || {
        json!({
            "records": report.records,
            "intact": report.is_intact(),
            "chains": chains,
            "faults": report.faults,
            "further_faults": report.further_faults,
        })
    })?;
    match report.is_intact() {
        true => Ok(()),
        false => Err(CliError::failure("records were removed, changed or moved")),
    }
}
