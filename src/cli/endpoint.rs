//! `stead endpoint`: how each node is.

use std::future::Future;
use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Code;

use super::alarm;
use super::exit::{CliError, Exit};
use super::member::members;
use super::output::{EndpointAnswer, EndpointAnswers, EndpointView, Format, Health};
use crate::base::clock;
use crate::client::{Client, ClientError};
use crate::proto::etcdserverpb::{
    AlarmType, DefragmentRequest, HashKvRequest, HashKvResponse, RangeRequest, StatusRequest, StatusResponse,
};

/// The key that a health check reads; it need not exist.
const HEALTH_KEY: &str = "health";

/// With `cluster`, a client of one endpoint of each member in place of those that were given.
async fn of_cluster(client: &Client, cluster: bool) -> Result<Option<Client>, CliError> {
    if !cluster {
        return Ok(None);
    }
    let urls: Vec<String> = members(client)
        .await?
        .members
        .into_iter()
        .filter_map(|member| member.client_ur_ls.into_iter().next())
        .collect();
    Ok(Some(client.with_endpoints(&urls.join(","))?))
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
        let whole = of_cluster(client, self.cluster).await?;
        let client = whole.as_ref().unwrap_or(client);
        let mut failed = None;
        for node in client.nodes() {
            let (endpoint, started) = (&node.endpoint, clock::now());
            let outcome = client
                .only(node)
                .write(|node| async move { node.maintenance().defragment(DefragmentRequest {}).await })
                .await;
            let took = started.elapsed();
            if let Err(error) = outcome {
                let error = CliError::from(error);
                writeln!(
                    io::stderr(),
                    "Failed to defragment etcd member[{endpoint}]. took {took:?}. ({error})"
                )?;
                failed = Some(error.exit);
                continue;
            }
            let text = format!("Finished defragmenting etcd member[{endpoint}]. took {took:?}");
            format.note(&text, || json!({"endpoint": endpoint, "defragmented": true}))?;
        }
        match failed {
            None => Ok(()),
            Some(exit) => Err(CliError::new(exit, "not every endpoint answered well")),
        }
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
        let whole = of_cluster(client, self.cluster).await?;
        let client = whole.as_ref().unwrap_or(client);
        match self.command {
            EndpointCommand::Status => {
                let ask = |only| async move { Ok((status(&only).await?, None)) };
                report(client, format, ask).await
            }
            EndpointCommand::HashKv { rev } => report(client, format, move |only| hash(only, rev)).await,
            EndpointCommand::Health => report(client, format, health).await,
        }
    }
}

/// Asks each endpoint and shows the answers.
async fn report<T, F>(client: &Client, format: Format, ask: impl Fn(Client) -> F) -> Result<(), CliError>
where
    T: EndpointAnswer,
    F: Future<Output = Result<(T, Option<Exit>), CliError>>,
{
    let mut answers = Vec::new();
    let mut errors = Vec::new();
    let mut worst = None;
    for node in client.nodes() {
        match ask(client.only(node)).await {
            Ok((answer, exit)) => {
                worst = exit.or(worst);
                answers.push((node.endpoint.clone(), answer));
            }
            Err(error) => {
                worst = Some(error.exit);
                if !format.is_json() {
                    let endpoint = &node.endpoint;
                    writeln!(
                        io::stderr(),
                        "Failed to get the status of endpoint {endpoint} ({error})"
                    )?;
                }
                errors.push((node.endpoint.as_str(), error.message));
            }
        }
    }
    let answers = EndpointAnswers(answers);
    format.show(
        &answers,
        |out| {
            let lines = answers.0.iter().map(|(endpoint, answer)| answer.line(endpoint));
            lines.into_iter().try_for_each(|line| writeln!(out, "{line}"))
        },
        || {
            let answered = answers
                .0
                .iter()
                .map(|(endpoint, answer)| EndpointView(endpoint, Ok(answer)));
            let failed = errors
                .iter()
                .map(|(endpoint, error)| EndpointView(endpoint, Err(error)));
            answered.chain(failed).collect::<Vec<_>>()
        },
    )?;
    match worst {
        None => Ok(()),
        Some(Exit::Unhealthy) => Err(CliError::new(Exit::Unhealthy, "unhealthy cluster")),
        Some(exit) => Err(CliError::new(exit, "not every endpoint answered well")),
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

async fn hash(client: Client, rev: i64) -> Result<(HashKvResponse, Option<Exit>), CliError> {
    let request = HashKvRequest { revision: rev };
    let answer = client
        .read(|node| async move { node.maintenance().hash_kv(request).await })
        .await?;
    Ok((answer, None))
}

/// How an endpoint is; one that is not healthy is an answer, too.
async fn health(client: Client) -> Result<(Health, Option<Exit>), CliError> {
    let started = clock::now();
    let error = problem(&client).await.err().map(|error| error.message);
    let exit = error.is_some().then_some(Exit::Unhealthy);
    let took = started.elapsed();
    Ok((Health { took, error }, exit))
}

/// Healthy is who serves a linearizable read, or knows that this user may not read that key, and knows of no alarm.
async fn problem(client: &Client) -> Result<(), CliError> {
    let unhealthy = |error: ClientError| {
        let reason = format!("failed to commit proposal: {error}");
        CliError::new(Exit::Unhealthy, reason)
    };
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
    let alarms = alarm::active(client).await.map_err(unhealthy)?.alarms;
    let active: Vec<&str> = alarms
        .iter()
        .filter(|alarm| alarm.alarm() != AlarmType::None)
        .map(|alarm| alarm.alarm().as_str_name())
        .collect();
    if active.is_empty() {
        Ok(())
    } else {
        Err(CliError::new(
            Exit::Unhealthy,
            format!("active alarms: {}", active.join(", ")),
        ))
    }
}
