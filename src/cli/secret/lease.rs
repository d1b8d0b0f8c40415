//! `stead secret wrap|unwrap|lease`: what is given away for once, and what is given for a time. Never keeps a token.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::ask::{Session, hidden, object};
use super::raw::seconds;
use super::show;
use crate::cli::exit::CliError;

/// What is wrapped.
#[derive(Debug, Clone, Args)]
pub(super) struct Wrap {
    /// key=value, key=@file, key=- (the standard input), @file.json or - (a whole object)
    #[arg(required = true)]
    data: Vec<String>,
    /// For how long
    #[arg(long, default_value = "5m", value_parser = seconds)]
    ttl: u64,
}

/// What is unwrapped.
#[derive(Debug, Clone, Args)]
pub(super) struct Unwrap {
    /// File with the wrapping token; without it, it is asked for
    #[arg(long, value_name = "FILE")]
    of_file: Option<PathBuf>,
    /// Show this field alone
    #[arg(long)]
    field: Option<String>,
}

/// The arguments of `stead secret lease`.
#[derive(Debug, Clone, Args)]
pub(super) struct Lease {
    #[command(subcommand)]
    command: LeaseCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum LeaseCommand {
    /// Show a lease
    #[command(after_help = "Examples:\n  stead secret lease lookup pki/issue/app/0a1b2c")]
    Lookup {
        /// The lease
        id: String,
    },
    /// List the leases below a path
    #[command(after_help = "Examples:\n  stead secret lease list pki/issue/app")]
    List {
        /// The path
        prefix: String,
    },
    /// Renew a lease
    #[command(after_help = "Examples:\n  stead secret lease renew pki/issue/app/0a1b2c --increment 1h")]
    Renew {
        /// The lease
        id: String,
        /// For how long
        #[arg(long, value_parser = seconds)]
        increment: Option<u64>,
    },
    /// Revoke a lease, or all below a path
    #[command(after_help = "Examples:
  stead secret lease revoke pki/issue/app/0a1b2c
  stead secret lease revoke pki/issue/app --prefix")]
    Revoke {
        /// The lease, or the path
        id: String,
        /// All below that path
        #[arg(long)]
        prefix: bool,
    },
}

impl Wrap {
    /// Wraps, and shows the token that unwraps.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let data = object(&self.data)?.json().map_err(CliError::failure)?;
        let answer = session
            .secrets
            .write_wrapped("sys/wrapping/wrap", &data, self.ttl)
            .await?;
        show::answer(session.format, &answer, "")
    }
}

impl Unwrap {
    /// Unwraps and shows.
    ///
    /// # Errors
    /// The token unwraps nothing, or not any more.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let token = hidden("wrapping token", None, self.of_file.as_deref())?;
        // The wrapping token itself may unwrap, so that no other is needed.
        let client = session.secrets.client();
        let holder = Session::with_token(client, session.format, Some(token))?;
        let answer = holder.write("sys/wrapping/unwrap", &json!({})).await?;
        match &self.field {
            Some(name) => show::field(session.format, &show::fields(&answer.data), name),
            None => show::answer(session.format, &answer, "nothing was wrapped"),
        }
    }
}

impl Lease {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let format = session.format;
        match &self.command {
            LeaseCommand::Lookup { id } => {
                let answer = session
                    .write("sys/leases/lookup", &json!({"lease_id": id}))
                    .await?;
                show::answer(format, &answer, "")
            }
            LeaseCommand::List { prefix } => {
                let path = format!("sys/leases/lookup/{}", prefix.trim_matches('/'));
                show::list(format, &session.secrets.list(&path).await?)
            }
            LeaseCommand::Renew { id, increment } => {
                let mut body = Map::new();
                body.insert("lease_id".to_owned(), id.as_str().into());
                body.extend(increment.map(|seconds| ("increment".to_owned(), json!(seconds))));
                let answer = session.write("sys/leases/renew", &Value::Object(body)).await?;
                show::answer(format, &answer, &format!("{id} renewed"))
            }
            LeaseCommand::Revoke { id, prefix: false } => {
                let answer = session
                    .write("sys/leases/revoke", &json!({"lease_id": id}))
                    .await?;
                show::answer(format, &answer, &format!("{id} revoked"))
            }
            LeaseCommand::Revoke { id, prefix: true } => {
                let path = format!("sys/leases/revoke-prefix/{}", id.trim_matches('/'));
                let answer = session.write(&path, &json!({})).await?;
                show::answer(format, &answer, &format!("all below {id} revoked"))
            }
        }
    }
}
