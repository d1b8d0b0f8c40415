//! `stead downgrade`: asks a cluster to go back to an older version. An etcd may do so; Stead refuses it and says why.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::CliError;
use super::output::Format;
use crate::client::Client;
use crate::proto::etcdserverpb::DowngradeRequest;
use crate::proto::etcdserverpb::downgrade_request::DowngradeAction;

/// The arguments of `stead downgrade`.
#[derive(Debug, Clone, Args)]
pub(super) struct Downgrade {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Ask whether the cluster could go back
    #[command(after_help = "Examples:\n  stead downgrade validate 3.6")]
    Validate {
        /// The version to go back to: major.minor
        version: String,
    },
    /// Begin to go back
    #[command(after_help = "Examples:\n  stead downgrade enable 3.6")]
    Enable {
        /// The version to go back to: major.minor
        version: String,
    },
    /// Give up going back
    #[command(after_help = "Examples:\n  stead downgrade cancel")]
    Cancel,
}

impl Downgrade {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let (action, name, version) = match &self.command {
            Command::Validate { version } => (DowngradeAction::Validate, "validate", version.as_str()),
            Command::Enable { version } => (DowngradeAction::Enable, "enable", version.as_str()),
            Command::Cancel => (DowngradeAction::Cancel, "cancel", ""),
        };
        let request = &DowngradeRequest {
            action: action.into(),
            version: version.to_owned(),
        };
        let answer = client
            .write(|node| async move { node.maintenance().downgrade(request.clone()).await })
            .await?;
        let version = &answer.version;
        format.show(
            &answer,
            |out| writeln!(out, "Downgrade {name} success, cluster version {version}"),
            || json!({"action": name, "cluster_version": version}),
        )
    }
}
