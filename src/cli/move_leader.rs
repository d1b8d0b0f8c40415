//! `stead move-leader`: hands leadership to another member. Only the leader does that, so that it is looked for first.

use std::io::Write as _;

use clap::Args;
use serde_json::json;

use super::endpoint::status;
use super::exit::CliError;
use super::member::{member_id, no_leader_endpoint};
use super::output::Format;
use crate::base::MemberId;
use crate::client::Client;
use crate::proto::etcdserverpb::MoveLeaderRequest;

/// The arguments of `stead move-leader`.
#[derive(Debug, Clone, Args)]
pub(super) struct MoveLeader {
    /// The id of the member that is to lead
    #[arg(value_parser = member_id)]
    id: MemberId,
}

impl MoveLeader {
    /// Finds the leader among the endpoints, asks it, and says what it did.
    ///
    /// # Errors
    /// No endpoint is the leader's, or it refused.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        for node in client.nodes() {
            let only = client.only(node);
            let Ok(status) = status(&only).await else { continue };
            let member = status.header.map(|header| header.member_id).unwrap_or_default();
            if member != status.leader {
                continue;
            }
            let request = MoveLeaderRequest { target_id: self.id.0 };
            let answer = only
                .write(|node| async move { node.maintenance().move_leader(request).await })
                .await?;
            let (from, to) = (MemberId(member).to_string(), self.id.to_string());
            return format.show(
                &answer,
                |out| writeln!(out, "Leadership transferred from {from} to {to}"),
                || json!({"from": from, "to": to}),
            );
        }
        Err(no_leader_endpoint(client))
    }
}
