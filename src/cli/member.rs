//! `stead member`: who is in the cluster, and changes of that. What `add` prints is what the new member is started with.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::exit::{CliError, Exit};
use super::output::{Format, write_json};
use crate::base::{ClusterId, MemberId};
use crate::proto::etcdserverpb::{
    Member as Entry, MemberAddRequest, MemberListRequest, MemberListResponse, MemberPromoteRequest,
    MemberRemoveRequest, MemberUpdateRequest, ResponseHeader,
};

/// The arguments of `stead member`.
#[derive(Debug, Clone, Args)]
pub(super) struct Member {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Show all members
    #[command(after_help = "Examples:\n  stead member list\n  stead member list -o json")]
    List,
    /// Add a member, and print the settings to start it with
    #[command(after_help = "Examples:
  stead member add n4 --peer-urls http://10.0.0.4:2380
  stead member add n4 --peer-urls http://10.0.0.4:2380 --learner")]
    Add {
        /// The name that the new member will be started with
        name: String,
        /// Where the others will find it: http://host:port,...
        #[arg(long, value_delimiter = ',', required = true)]
        peer_urls: Vec<String>,
        /// Add it as a learner, which counts for no quorum until it is promoted
        #[arg(long)]
        learner: bool,
    },
    /// Remove a member for good; it stops itself
    #[command(after_help = "Examples:\n  stead member remove 8e9e05c52164694d")]
    Remove {
        /// Its id
        #[arg(value_parser = member_id)]
        id: MemberId,
    },
    /// Tell the others where to find a member from now on
    #[command(after_help = "Examples:
  stead member update 8e9e05c52164694d --peer-urls http://10.0.0.9:2380")]
    Update {
        /// Its id
        #[arg(value_parser = member_id)]
        id: MemberId,
        /// All of its peer URLs: http://host:port,...
        #[arg(long, value_delimiter = ',', required = true)]
        peer_urls: Vec<String>,
    },
    /// Make a full member of a learner that has caught up
    #[command(after_help = "Examples:\n  stead member promote 8e9e05c52164694d")]
    Promote {
        /// Its id
        #[arg(value_parser = member_id)]
        id: MemberId,
    },
}

/// Reads the id of a member as it is shown.
///
/// # Errors
/// It is not hexadecimal.
pub(super) fn member_id(text: &str) -> Result<MemberId, String> {
    let id = u64::from_str_radix(text, 16);
    id.map(MemberId)
        .map_err(|_| "write the id as `stead member list` shows it, in hexadecimal".to_owned())
}

impl Member {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match &self.command {
            Command::List => list(client, format).await,
            Command::Add {
                name,
                peer_urls,
                learner,
            } => add(client, format, name, peer_urls, *learner).await,
            Command::Remove { id } => {
                let request = MemberRemoveRequest { id: id.0 };
                let call =
                    |node: super::client::Node| async move { node.cluster().member_remove(request).await };
                let answer = client.write(call).await?;
                changed(format, *id, "removed from", answer.header, &answer.members)
            }
            Command::Update { id, peer_urls } => {
                let request = MemberUpdateRequest {
                    id: id.0,
                    peer_ur_ls: peer_urls.clone(),
                };
                let request = &request;
                let call = |node: super::client::Node| async move {
                    node.cluster().member_update(request.clone()).await
                };
                let answer = client.write(call).await?;
                changed(format, *id, "updated in", answer.header, &answer.members)
            }
            Command::Promote { id } => {
                let request = MemberPromoteRequest { id: id.0 };
                let call =
                    |node: super::client::Node| async move { node.cluster().member_promote(request).await };
                let answer = client.write(call).await?;
                changed(format, *id, "promoted in", answer.header, &answer.members)
            }
        }
    }
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let answer = members(client).await?;
    let mut out = io::stdout().lock();
    match format {
        Format::Json => {
            let members: Vec<Value> = answer.members.iter().map(entry).collect();
            write_json(
                out,
                &json!({"cluster": cluster(answer.header), "members": members}),
            )
        }
        Format::Human => {
            for member in &answer.members {
                let state = if is_started(member) {
                    "started"
                } else {
                    "unstarted"
                };
                writeln!(
                    out,
                    "{}, {state}, {}, {}, {}, {}",
                    MemberId(member.id),
                    member.name,
                    member.peer_ur_ls.join(","),
                    member.client_ur_ls.join(","),
                    member.is_learner
                )?;
            }
            Ok(())
        }
    }
}

async fn add(
    client: &Client,
    format: Format,
    name: &str,
    peer_urls: &[String],
    learner: bool,
) -> Result<(), CliError> {
    if name.is_empty() || name.contains([',', '=', '/', '"']) {
        return Err(CliError::invalid(format!(
            "the name {name:?} cannot stand in --initial-cluster: write one without comma, equals sign, slash and quotes"
        )));
    }
    let request = &MemberAddRequest {
        peer_ur_ls: peer_urls.to_vec(),
        is_learner: learner,
    };
    let answer = client
        .write(|node| async move { node.cluster().member_add(request.clone()).await })
        .await?;
    let added = answer.member.unwrap_or_default();
    let initial_cluster: Vec<String> = answer
        .members
        .iter()
        .flat_map(|member| {
            let name = if member.id == added.id { name } else { &member.name };
            member.peer_ur_ls.iter().map(move |url| format!("{name}={url}"))
        })
        .collect();
    let environment = [
        ("ETCD_NAME", name.to_owned()),
        ("ETCD_INITIAL_CLUSTER", initial_cluster.join(",")),
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", added.peer_ur_ls.join(",")),
        ("ETCD_INITIAL_CLUSTER_STATE", "existing".to_owned()),
    ];
    let mut out = io::stdout().lock();
    match format {
        Format::Json => {
            let members: Vec<Value> = answer.members.iter().map(entry).collect();
            let environment: serde_json::Map<String, Value> = environment
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            let cluster = cluster(answer.header);
            write_json(
                out,
                &json!({"cluster": cluster, "member": entry(&added), "members": members, "environment": environment}),
            )
        }
        Format::Human => {
            writeln!(
                out,
                "Member {:>16} added to cluster {:>16}\n",
                MemberId(added.id).to_string(),
                cluster(answer.header)
            )?;
            for (name, value) in environment {
                writeln!(out, "{name}=\"{value}\"")?;
            }
            Ok(())
        }
    }
}

fn changed(
    format: Format,
    id: MemberId,
    what: &str,
    header: Option<ResponseHeader>,
    members: &[Entry],
) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match format {
        Format::Json => {
            let members: Vec<Value> = members.iter().map(entry).collect();
            let cluster = cluster(header);
            write_json(
                out,
                &json!({"cluster": cluster, "member": id.to_string(), "members": members}),
            )
        }
        Format::Human => Ok(writeln!(
            out,
            "Member {:>16} {what} cluster {:>16}",
            id.to_string(),
            cluster(header)
        )?),
    }
}

fn cluster(header: Option<ResponseHeader>) -> String {
    ClusterId(header.unwrap_or_default().cluster_id).to_string()
}

fn entry(member: &Entry) -> Value {
    json!({
        "id": MemberId(member.id).to_string(),
        "name": member.name,
        "started": is_started(member),
        "peer_urls": member.peer_ur_ls,
        "client_urls": member.client_ur_ls,
        "learner": member.is_learner,
    })
}

/// A member that never ran has not said its name yet.
fn is_started(member: &Entry) -> bool {
    !member.name.is_empty()
}

/// All members, as a quorum knows them.
///
/// # Errors
/// No answer.
pub(super) async fn members(client: &Client) -> Result<MemberListResponse, ClientError> {
    let request = MemberListRequest { linearizable: true };
    client
        .read(|node| async move { node.cluster().member_list(request).await })
        .await
}

/// The error of a command that needs the leader's endpoint.
pub(super) fn no_leader_endpoint(client: &Client) -> CliError {
    let endpoints: Vec<&str> = client.nodes().iter().map(|node| node.endpoint.as_str()).collect();
    CliError::new(
        Exit::BadArguments,
        format!(
            "no leader endpoint given at [{}]; name all nodes with --endpoints",
            endpoints.join(" ")
        ),
    )
}
