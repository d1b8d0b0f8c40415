//! `stead endpoint`: how each node is.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tonic::Code;

use super::alarm;
use super::client::{Client, ClientError};
use super::exit::{CliError, Exit};
use super::member::members;
use super::output::{Format, revision, write_json};
use crate::base::{ClusterId, MemberId, clock};
use crate::proto::etcdserverpb::{
    AlarmType, DefragmentRequest, HashKvRequest, HashKvResponse, RangeRequest, StatusRequest, StatusResponse,
};

/// The key that a health check reads; it need not exist.
const HEALTH_KEY: &str = "health";

/// A client of one endpoint of each member.
async fn of_cluster(client: &Client) -> Result<Client, CliError> {
    let urls: Vec<String> = members(client)
        .await?
        .members
        .into_iter()
        .filter_map(|member| member.client_ur_ls.into_iter().next())
        .collect();
    client.with_endpoints(&urls.join(","))
}

/// The arguments of `stead defrag`.
#[derive(Debug, Clone, Args)]
pub(super) struct Defragment {
    /// Ask all members of the cluster, not --endpoints only
    #[arg(long)]
    cluster: bool,
}

impl Defragment {
    /// Asks each endpoint, one after the other, and shows how it went.
    ///
    /// # Errors
    /// An endpoint did not answer; the others are asked all the same.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let whole;
        let client = if self.cluster {
            whole = of_cluster(client).await?;
            &whole
        } else {
            client
        };
        let mut report = Report::new(format);
        for node in client.nodes() {
            let only = client.only(node);
            let outcome = only
                .write(|node| async move { node.maintenance().defragment(DefragmentRequest {}).await })
                .await;
            report.add(
                &node.endpoint,
                outcome.map_err(CliError::from),
                |_| "is defragmented".to_owned(),
                |_| json!({"defragmented": true}),
            )?;
        }
        report.finish()
    }
}

/// The arguments of `stead endpoint`.
#[derive(Debug, Clone, Args)]
pub(super) struct Endpoint {
    #[command(subcommand)]
    command: EndpointCommand,
    /// Look at all members of the cluster, not at --endpoints only
    #[arg(long, global = true)]
    cluster: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum EndpointCommand {
    /// Show version, size and position of each endpoint
    #[command(
        after_help = "Examples:\n  stead endpoint status --cluster\n  stead endpoint status --cluster -o json"
    )]
    Status,
    /// Read through each endpoint and look for alarms; exit code 5 if one is not healthy
    #[command(after_help = "Examples:\n  stead endpoint health --cluster")]
    Health,
    /// Show the hash of all keys and their history on each endpoint: equal on all at the same revision
    #[command(
        name = "hashkv",
        after_help = "Examples:\n  stead endpoint hashkv --cluster\n  stead endpoint hashkv --cluster --rev 42"
    )]
    HashKv {
        /// The last revision to hash; 0: now
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        rev: i64,
    },
}

impl Endpoint {
    /// Asks each endpoint and shows the answers.
    ///
    /// # Errors
    /// An endpoint did not answer or is not healthy; the others are shown all the same.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let whole;
        let client = if self.cluster {
            whole = of_cluster(client).await?;
            &whole
        } else {
            client
        };
        let mut report = Report::new(format);
        for node in client.nodes() {
            let only = client.only(node);
            match self.command {
                EndpointCommand::Status => {
                    report.add(&node.endpoint, status(&only).await, status_line, status_json)?
                }
                EndpointCommand::HashKv { rev } => {
                    report.add(&node.endpoint, hash(&only, rev).await, hash_line, hash_json)?;
                }
                EndpointCommand::Health => {
                    let started = clock::now();
                    let outcome = health(&only).await;
                    let took = started.elapsed();
                    report.add(
                        &node.endpoint,
                        outcome,
                        |()| format!("is healthy: successfully committed proposal: took = {took:?}"),
                        |()| json!({"health": true, "took_seconds": took.as_secs_f64()}),
                    )?;
                }
            }
        }
        report.finish()
    }
}

/// Answers of many endpoints, and whether one failed.
struct Report {
    format: Format,
    entries: Vec<Value>,
    worst: Option<Exit>,
}

impl Report {
    fn new(format: Format) -> Self {
        Self {
            format,
            entries: Vec::new(),
            worst: None,
        }
    }

    fn add<T>(
        &mut self,
        endpoint: &str,
        outcome: Result<T, CliError>,
        line: impl FnOnce(&T) -> String,
        object: impl FnOnce(&T) -> Value,
    ) -> Result<(), CliError> {
        let (line, mut value) = match &outcome {
            Ok(answer) => (Some(line(answer)), object(answer)),
            Err(error) => {
                self.worst = Some(error.exit);
                if self.format == Format::Human {
                    writeln!(io::stderr(), "{endpoint}: {error}")?;
                }
                (None, json!({"error": error.message}))
            }
        };
        match self.format {
            Format::Json => {
                if let Some(fields) = value.as_object_mut() {
                    fields.insert("endpoint".to_owned(), endpoint.into());
                }
                self.entries.push(value);
            }
            Format::Human => {
                if let Some(line) = line {
                    let separator = if line.starts_with("is ") { "" } else { "," };
                    writeln!(io::stdout(), "{endpoint}{separator} {line}")?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), CliError> {
        if self.format == Format::Json {
            write_json(io::stdout().lock(), &self.entries)?;
        }
        match self.worst {
            None => Ok(()),
            Some(exit) => Err(CliError::new(exit, "not every endpoint answered well")),
        }
    }
}

/// How an endpoint is.
///
/// # Errors
/// It did not answer.
pub(super) async fn status(client: &Client) -> Result<StatusResponse, CliError> {
    Ok(client
        .read(|node| async move { node.maintenance().status(StatusRequest {}).await })
        .await?)
}

fn status_line(status: &StatusResponse) -> String {
    let member = status.header.map(|header| header.member_id).unwrap_or_default();
    format!(
        "{}, {}, {} kB, {}, {}, {}, {}, {}, {}",
        MemberId(member),
        status.version,
        status.db_size / 1_000,
        member == status.leader,
        status.is_learner,
        status.raft_term,
        status.raft_index,
        status.raft_applied_index,
        status.errors.join("; ")
    )
}

fn status_json(status: &StatusResponse) -> Value {
    let header = status.header.unwrap_or_default();
    json!({
        "member": MemberId(header.member_id).to_string(),
        "cluster": ClusterId(header.cluster_id).to_string(),
        "revision": revision(status.header.as_ref()),
        "version": status.version,
        "database_bytes": status.db_size,
        "database_bytes_in_use": status.db_size_in_use,
        "quota_bytes": status.db_size_quota,
        "leader": MemberId(status.leader).to_string(),
        "is_leader": status.leader == header.member_id,
        "learner": status.is_learner,
        "raft_term": status.raft_term,
        "raft_index": status.raft_index,
        "raft_applied_index": status.raft_applied_index,
        "errors": status.errors,
    })
}

async fn hash(client: &Client, rev: i64) -> Result<HashKvResponse, CliError> {
    let request = HashKvRequest { revision: rev };
    Ok(client
        .read(|node| async move { node.maintenance().hash_kv(request).await })
        .await?)
}

fn hash_line(answer: &HashKvResponse) -> String {
    format!("{}, {}", answer.hash, revision(answer.header.as_ref()))
}

fn hash_json(answer: &HashKvResponse) -> Value {
    json!({
        "revision": revision(answer.header.as_ref()),
        "hash": answer.hash,
        "hash_revision": answer.hash_revision,
        "compact_revision": answer.compact_revision,
    })
}

/// Healthy is who serves a linearizable read, or knows that this user may not read that key, and knows of no alarm.
async fn health(client: &Client) -> Result<(), CliError> {
    let unhealthy = |error: ClientError| CliError::new(Exit::Interrupted, format!("is unhealthy: {error}"));
    let read = client
        .read(|node| async move {
            let request = RangeRequest {
                key: HEALTH_KEY.into(),
                ..RangeRequest::default()
            };
            node.kv().range(request).await
        })
        .await;
    match read {
        Ok(_) => {}
        Err(ClientError::Refused(status)) if status.code() == Code::PermissionDenied => {}
        Err(error) => return Err(unhealthy(error)),
    }
    let alarms = alarm::active(client).await.map_err(unhealthy)?;
    let active: Vec<&str> = alarms
        .iter()
        .filter(|alarm| alarm.alarm() != AlarmType::None)
        .map(|alarm| alarm.alarm().as_str_name())
        .collect();
    if active.is_empty() {
        Ok(())
    } else {
        Err(CliError::new(
            Exit::Interrupted,
            format!("is unhealthy: active alarms: {}", active.join(", ")),
        ))
    }
}
