//! `stead secret policy`: what tokens may do. Never reads a policy itself: the server does.

use clap::{Args, Subcommand};
use serde_json::json;

use super::ask::{Outside, Session};
use super::input::Sources as _;
use super::show;
use crate::cli::exit::CliError;

/// Where policies are.
const POLICIES: &str = "sys/policies/acl";

/// The arguments of `stead secret policy`.
#[derive(Debug, Clone, Args)]
pub(super) struct Policy {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum PolicyCommand {
    /// Write a policy, in place of what was there
    #[command(after_help = "Examples:
  stead secret policy put app app.hcl
  stead secret policy put app - <<< 'path \"secret/data/app/*\" { capabilities = [\"read\"] }'")]
    Put {
        /// Its name
        name: String,
        /// File with its text; -: the standard input
        file: String,
    },
    /// Show a policy
    #[command(after_help = "Examples:\n  stead secret policy get app")]
    Get {
        /// Its name
        name: String,
    },
    /// List the policies
    #[command(after_help = "Examples:\n  stead secret policy list -o json")]
    List,
    /// Delete a policy: tokens that have it lose what it gave
    #[command(after_help = "Examples:\n  stead secret policy delete app")]
    Delete {
        /// Its name
        name: String,
    },
}

impl Policy {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused, or the file cannot be read.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let path = |name: &str| format!("{POLICIES}/{name}");
        match &self.command {
            PolicyCommand::Put { name, file } => {
                let text = if file == "-" {
                    Outside.input()
                } else {
                    Outside.file(file)
                };
                let text = text.map_err(CliError::invalid)?;
                let answer = session.write(&path(name), &json!({"policy": *text})).await?;
                show::answer(session.format, &answer, &format!("policy {name} written"))
            }
            PolicyCommand::Get { name } => {
                let answer = session.secrets.read(&path(name), "").await?;
                show::warn(&answer)?;
                if session.format.is_json() {
                    return show::answer(session.format, &answer, "");
                }
                show::field(session.format, &show::fields(&answer.data), "policy")
            }
            PolicyCommand::List => show::list(session.format, &session.secrets.list(POLICIES).await?),
            PolicyCommand::Delete { name } => {
                let answer = session.secrets.delete(&path(name)).await?;
                show::answer(session.format, &answer, &format!("policy {name} deleted"))
            }
        }
    }
}
