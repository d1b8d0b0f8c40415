//! `stead lease`: grants, ends, shows and keeps leases.

use std::io::Write as _;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::exit::{CliError, Exit};
use super::kv::parse_lease;
use super::output::{BytesItem, Format, revision, write_line};
use super::signal;
use crate::base::LeaseId;
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::client::node::Node;
use crate::client::{Client, ClientError, is_lost};
use crate::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseRevokeRequest,
    LeaseTimeToLiveRequest,
};

/// A lease is kept alive this many times in its time to live.
pub(super) const KEEPALIVES_PER_TTL: u64 = 3;

/// The arguments of `stead lease`.
#[derive(Debug, Clone, Args)]
pub(super) struct Lease {
    #[command(subcommand)]
    command: LeaseCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum LeaseCommand {
    /// Create a lease
    #[command(after_help = "Examples:\n  stead lease grant 60\n  stead lease grant 60 --id 1f")]
    Grant {
        /// Time to live in seconds; the server grants no less than its least
        #[arg(value_parser = clap::value_parser!(i64).range(0..=MAXIMUM_LEASE_TTL_SECONDS))]
        ttl: i64,
        /// The id to give it, in hexadecimal; 0: the server chooses
        #[arg(long, default_value = "0", value_parser = parse_lease)]
        id: i64,
    },
    /// End a lease: the keys attached to it are deleted
    #[command(after_help = "Examples:\n  stead lease revoke 694d9a8c3a2b1f0d")]
    Revoke {
        /// The lease, in hexadecimal
        #[arg(value_parser = parse_lease)]
        lease: i64,
    },
    /// Show how long a lease still lives
    #[command(
        name = "timetolive",
        after_help = "Examples:\n  stead lease timetolive 694d9a8c3a2b1f0d --keys"
    )]
    TimeToLive {
        /// The lease, in hexadecimal
        #[arg(value_parser = parse_lease)]
        lease: i64,
        /// Show the keys attached to it
        #[arg(long)]
        keys: bool,
    },
    /// Show all leases
    #[command(after_help = "Examples:\n  stead lease list")]
    List,
    /// Keep a lease alive until ctrl-C
    #[command(after_help = "Examples:\n  stead lease keep-alive 694d9a8c3a2b1f0d")]
    KeepAlive {
        /// The lease, in hexadecimal
        #[arg(value_parser = parse_lease)]
        lease: i64,
        /// Renew it once only
        #[arg(long)]
        once: bool,
    },
}

impl Lease {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match self.command {
            LeaseCommand::Grant { ttl, id } => grant(client, format, ttl, id).await,
            LeaseCommand::Revoke { lease } => revoke(client, format, lease).await,
            LeaseCommand::TimeToLive { lease, keys } => time_to_live(client, format, lease, keys).await,
            LeaseCommand::List => list(client, format).await,
            LeaseCommand::KeepAlive { lease, once } => tokio::select! {
                outcome = keep_alive(client, format, lease, once) => outcome,
                () = signal::stop()? => Ok(()),
            },
        }
    }
}

async fn grant(client: &Client, format: Format, ttl: i64, id: i64) -> Result<(), CliError> {
    let request = LeaseGrantRequest { ttl, id };
    let answer = client
        .write(|node| async move { node.lease().lease_grant(request).await })
        .await?;
    let lease = LeaseId(answer.id);
    format.show(
        &answer,
        |out| writeln!(out, "lease {lease} granted with TTL({}s)", answer.ttl),
        || {
            json!({
                "revision": revision(answer.header.as_ref()),
                "lease": lease.to_string(),
                "ttl": answer.ttl,
            })
        },
    )
}

async fn revoke(client: &Client, format: Format, id: i64) -> Result<(), CliError> {
    let request = LeaseRevokeRequest { id };
    let answer = client
        .write(|node| async move { node.lease().lease_revoke(request).await })
        .await?;
    let lease = LeaseId(id);
    format.show(
        &answer,
        |out| writeln!(out, "lease {lease} revoked"),
        || json!({"revision": revision(answer.header.as_ref()), "lease": lease.to_string()}),
    )
}

async fn time_to_live(client: &Client, format: Format, id: i64, keys: bool) -> Result<(), CliError> {
    let request = LeaseTimeToLiveRequest { id, keys };
    let answer = client
        .read(|node| async move { node.lease().lease_time_to_live(request).await })
        .await?;
    let lease = LeaseId(id);
    format.show(
        &answer,
        |out| {
            if answer.ttl < 0 {
                return writeln!(out, "lease {lease} already expired");
            }
            let (granted, left) = (answer.granted_ttl, answer.ttl);
            write!(
                out,
                "lease {lease} granted with TTL({granted}s), remaining({left}s)"
            )?;
            if keys && out.is_simple {
                let keys: Vec<_> = answer
                    .keys
                    .iter()
                    .map(|key| String::from_utf8_lossy(key))
                    .collect();
                write!(out, ", attached keys([{}])", keys.join(" "))?;
            }
            writeln!(out)?;
            if !out.is_simple {
                answer
                    .keys
                    .iter()
                    .try_for_each(|key| write_line(&mut *out, key))?;
            }
            Ok(())
        },
        || {
            let mut value = json!({
                "revision": revision(answer.header.as_ref()),
                "lease": lease.to_string(),
                "ttl": answer.ttl,
                "granted_ttl": answer.granted_ttl,
            });
            if let (true, Some(fields)) = (keys, value.as_object_mut()) {
                let items = answer.keys.iter().map(|key| json!(BytesItem(key))).collect();
                fields.insert("keys".to_owned(), serde_json::Value::Array(items));
            }
            value
        },
    )
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let answer = client
        .read(|node| async move { node.lease().lease_leases(LeaseLeasesRequest {}).await })
        .await?;
    let leases: Vec<String> = answer
        .leases
        .iter()
        .map(|lease| LeaseId(lease.id).to_string())
        .collect();
    format.show(
        &answer,
        |out| {
            writeln!(out, "found {} leases", leases.len())?;
            leases.iter().try_for_each(|lease| writeln!(out, "{lease}"))
        },
        || json!({"revision": revision(answer.header.as_ref()), "leases": &leases}),
    )
}

async fn keep_alive(client: &Client, format: Format, id: i64, once: bool) -> Result<(), CliError> {
    loop {
        // Renewing a lease twice is renewing it: repeating after a loss is safe.
        let answer = client
            .read(|node| async move { renew(&node, id).await.map(tonic::Response::new) })
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(ClientError::Refused(status)) if is_lost(&status) => continue,
            Err(error) => return Err(error.into()),
        };
        let lease = LeaseId(id);
        let Ok(ttl @ 1..) = u64::try_from(answer.ttl) else {
            return Err(CliError::new(
                Exit::LeaseGone,
                format!("lease {lease} expired or was revoked; grant a new one"),
            ));
        };
        format.show(
            &answer,
            |out| writeln!(out, "lease {lease} keepalived with TTL({ttl})"),
            || json!({"lease": lease.to_string(), "ttl": ttl}),
        )?;
        if once {
            return Ok(());
        }
        sleep(Duration::from_secs(ttl) / u32::try_from(KEEPALIVES_PER_TTL).unwrap_or(1)).await;
    }
}

/// One renewal on a stream of its own.
pub(super) async fn renew(node: &Node, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    const RENEWAL_TIMEOUT: Duration = Duration::from_secs(2);
    let (sender, receiver) = mpsc::channel(1);
    let request = LeaseKeepAliveRequest { id };
    if sender.try_send(request).is_err() {
        return Err(Status::unavailable("the request could not be queued"));
    }
    let renewal = async {
        let mut client = node.lease();
        let mut answers = client
            .lease_keep_alive(ReceiverStream::new(receiver))
            .await?
            .into_inner();
        answers
            .message()
            .await?
            .ok_or_else(|| Status::unavailable("the server ended the stream"))
    };
    timeout(RENEWAL_TIMEOUT, renewal)
        .await
        .unwrap_or_else(|_| Err(Status::unavailable("no answer in time")))
}
