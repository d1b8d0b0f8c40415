//! `stead auth`: whether requests need an identity.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::CliError;
use super::output::{Format, Shown, revision};
use crate::client::{Client, ClientError};
use crate::proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthEnableResponse, AuthRoleAddRequest, AuthStatusRequest,
    AuthUserGrantRoleRequest, ResponseHeader,
};

/// The user and the role that may do everything.
pub(super) const ROOT: &str = "root";
/// What a server says where the user root has not the role root.
const NO_ROOT_ROLE: &str = "etcdserver: root user does not have root role";
/// What a server says of a role that is there.
const ROLE_EXISTS: &str = "etcdserver: role name already exists";

/// The arguments of `stead auth`.
#[derive(Debug, Clone, Args)]
pub(super) struct Auth {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum AuthCommand {
    /// From now on every request needs a user; there must be a user root, who gets the role root
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
                let answer = enable(client).await?;
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

/// Enables authentication. As with etcdctl, the user root gets the role root, if there is nothing else to do.
async fn enable(client: &Client) -> Result<AuthEnableResponse, CliError> {
    let ask = || client.write(|node| async move { node.auth().auth_enable(AuthEnableRequest {}).await });
    match ask().await {
        Err(ClientError::Refused(status)) if status.message() == NO_ROOT_ROLE => {}
        answer => return Ok(answer?),
    }
    let added = client
        .write(|node| async move {
            let name = ROOT.to_owned();
            node.auth().role_add(AuthRoleAddRequest { name }).await
        })
        .await;
    match added {
        Ok(_) => {}
        Err(ClientError::Refused(status)) if status.message() == ROLE_EXISTS => {}
        Err(error) => return Err(error.into()),
    }
    client
        .write(|node| async move {
            let (user, role) = (ROOT.to_owned(), ROOT.to_owned());
            node.auth()
                .user_grant_role(AuthUserGrantRoleRequest { user, role })
                .await
        })
        .await?;
    Ok(ask().await?)
}

/// In etcdctl's forms it is text, too.
/// Shows that a change of a user or role was made: of which (`what` is `user` or `role`), and in which words.
///
/// # Errors
/// It cannot be shown.
pub(super) fn done(
    format: Format,
    answer: &impl Shown,
    header: Option<&ResponseHeader>,
    (what, name): (&str, &str),
    text: &str,
) -> Result<(), CliError> {
    format.show(
        answer,
        |out| writeln!(out, "{text}"),
        || json!({"revision": revision(header), what: name}),
    )
}

fn show_enabled(format: Format, revision: i64, enabled: bool) -> Result<(), CliError> {
    let word = if enabled { "Enabled" } else { "Disabled" };
    format.note(
        &format!("Authentication {word}"),
        || json!({"revision": revision, "enabled": enabled}),
    )
}
