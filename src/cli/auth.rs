//! `stead auth`: whether requests need an identity.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::exit::CliError;
use super::output::{Format, revision, write_json};
use crate::proto::etcdserverpb::{AuthDisableRequest, AuthEnableRequest, AuthStatusRequest};

/// The arguments of `stead auth`.
#[derive(Debug, Clone, Args)]
pub(super) struct Auth {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum AuthCommand {
    /// From now on every request needs a user; there must be a user root with the role root
    #[command(after_help = "Examples:\n  stead auth enable")]
    Enable,
    /// From now on no request needs a user
    #[command(after_help = "Examples:\n  stead auth disable --user root:secret")]
    Disable,
    /// Show whether requests need a user
    #[command(after_help = "Examples:\n  stead auth status\n  stead auth status -o json")]
    Status,
}

impl Auth {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match self.command {
            AuthCommand::Enable => {
                let answer = client
                    .write(|node| async move { node.auth().auth_enable(AuthEnableRequest {}).await })
                    .await?;
                show_enabled(format, revision(answer.header.as_ref()), true)
            }
            AuthCommand::Disable => {
                let answer = client
                    .write(|node| async move { node.auth().auth_disable(AuthDisableRequest {}).await })
                    .await?;
                show_enabled(format, revision(answer.header.as_ref()), false)
            }
            AuthCommand::Status => {
                let answer = client
                    .read(|node| async move { node.auth().auth_status(AuthStatusRequest {}).await })
                    .await?;
                let mut out = io::stdout().lock();
                match format {
                    Format::Json => write_json(
                        out,
                        &json!({
                            "revision": revision(answer.header.as_ref()),
                            "enabled": answer.enabled,
                            "auth_revision": answer.auth_revision,
                        }),
                    ),
                    Format::Human => Ok(writeln!(
                        out,
                        "Authentication Status: {}\nAuthRevision: {}",
                        answer.enabled, answer.auth_revision
                    )?),
                }
            }
        }
    }
}

fn show_enabled(format: Format, revision: i64, enabled: bool) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => write_json(out, &json!({"revision": revision, "enabled": enabled})),
        Format::Human => Ok(writeln!(
            out,
            "Authentication {}",
            if enabled { "Enabled" } else { "Disabled" }
        )?),
    }
}
