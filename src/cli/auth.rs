//! `stead auth`: whether requests need an identity.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::client::Client;
use super::exit::CliError;
use super::output::{Format, revision};
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
                format.show(
                    &answer,
                    |out| writeln!(out, "Authentication Enabled"),
                    || json!({"revision": revision(answer.header.as_ref()), "enabled": true}),
                )
            }
            AuthCommand::Disable => {
                let answer = client
                    .write(|node| async move { node.auth().auth_disable(AuthDisableRequest {}).await })
                    .await?;
                format.show(
                    &answer,
                    |out| writeln!(out, "Authentication Disabled"),
                    || json!({"revision": revision(answer.header.as_ref()), "enabled": false}),
                )
            }
            AuthCommand::Status => {
                let answer = client
                    .read(|node| async move { node.auth().auth_status(AuthStatusRequest {}).await })
                    .await?;
                format.show(
                    &answer,
                    |out| {
                        let (enabled, auth_revision) = (answer.enabled, answer.auth_revision);
                        writeln!(
                            out,
                            "Authentication Status: {enabled}\nAuthRevision: {auth_revision}"
                        )
                    },
                    || {
                        json!({
                            "revision": revision(answer.header.as_ref()),
                            "enabled": answer.enabled,
                            "auth_revision": answer.auth_revision,
                        })
                    },
                )
            }
        }
    }
}
