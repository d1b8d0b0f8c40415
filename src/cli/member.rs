//! `stead member`: who is in the cluster, and changes of that. What `add` prints is what the new member is started with.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::{CliError, Exit};
use super::kv::Consistency;
use super::output::{Format, Shown, is_started, member_columns};
use crate::base::{ClusterId, MemberId};
use crate::client::node::Node;
use crate::client::{Client, ClientError};
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
    List {
        /// Whether the answer must be the newest
        #[arg(long, value_enum, default_value = "l")]
        consistency: Consistency,
    },
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
            Command::List { consistency } => list(client, format, *consistency).await,
            Command::Add {
                name,
                peer_urls,
                learner,
            } => add(client, format, name, peer_urls, *learner).await,
            Command::Remove { id } => {
                let request = MemberRemoveRequest { id: id.0 };
                let call = |node: Node| async move { node.cluster().member_remove(request).await };
                let answer = client.write(call).await?;
                changed(
                    format,
                    *id,
                    "removed from",
                    &answer,
                    answer.header,
                    &answer.members,
                )
            }
            Command::Update { id, peer_urls } => {
                let request = MemberUpdateRequest {
                    id: id.0,
                    peer_ur_ls: peer_urls.clone(),
                };
                let request = &request;
                let call = |node: Node| async move { node.cluster().member_update(request.clone()).await };
                let answer = client.write(call).await?;
                changed(format, *id, "updated in", &answer, answer.header, &answer.members)
            }
            Command::Promote { id } => {
                let request = MemberPromoteRequest { id: id.0 };
                let call = |node: Node| async move { node.cluster().member_promote(request).await };
                let answer = client.write(call).await?;
                changed(
                    format,
                    *id,
                    "promoted in",
                    &answer,
                    answer.header,
                    &answer.members,
                )
            }
        }
    }
}

async fn list(client: &Client, format: Format, consistency: Consistency) -> Result<(), CliError> {
    let answer = ask_for_members(client, consistency == Consistency::L).await?;
    format.show(
        &answer,
        |out| {
            let mut columns = answer.members.iter().map(member_columns);
            columns.try_for_each(|columns| writeln!(out, "{}", columns.join(", ")))
        },
        || json!({"cluster": cluster(answer.header), "members": entries(&answer.members)}),
    )
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
    let added = answer.member.clone().unwrap_or_default();
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
        ("ETCD_INITIAL_ADVERTISE_PEER_URLS", peer_urls.join(",")),
        ("ETCD_INITIAL_CLUSTER_STATE", "existing".to_owned()),
    ];
    format.show(
        &answer,
        |out| {
            let as_what = if added.is_learner { " as learner" } else { "" };
            let id = MemberId(added.id).to_string();
            let cluster = cluster(answer.header);
            writeln!(out, "Member {id:>16} added{as_what} to cluster {cluster:>16}\n")?;
            let mut lines = environment.iter();
            lines.try_for_each(|(name, value)| writeln!(out, "{name}=\"{value}\""))
        },
        || {
            let environment: serde_json::Map<String, Value> = environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
                .collect();
            json!({
                "cluster": cluster(answer.header),
                "member": entry(&added),
                "members": entries(&answer.members),
                "environment": environment,
            })
        },
    )
}

fn changed(
    format: Format,
    id: MemberId,
    what: &str,
    answer: &impl Shown,
    header: Option<ResponseHeader>,
    members: &[Entry],
) -> Result<(), CliError> {
    let (id, cluster) = (id.to_string(), cluster(header));
    format.show(
        answer,
        |out| writeln!(out, "Member {id:>16} {what} cluster {cluster:>16}"),
        || json!({"cluster": cluster, "member": id, "members": entries(members)}),
    )
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

fn entries(members: &[Entry]) -> Vec<Value> {
    members.iter().map(entry).collect()
}

/// All members, as a quorum knows them.
///
/// # Errors
/// No answer.
pub(super) async fn members(client: &Client) -> Result<MemberListResponse, ClientError> {
    ask_for_members(client, true).await
}

async fn ask_for_members(client: &Client, linearizable: bool) -> Result<MemberListResponse, ClientError> {
    let request = MemberListRequest { linearizable };
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
