//! `member`, `move-leader` and `downgrade`: refusals only, since a script runs on clusters of one and of three nodes.

use std::time::Duration;

use stead::proto::etcdserverpb::downgrade_request::DowngradeAction;
use stead::proto::etcdserverpb::{
    DowngradeRequest, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest,
};
use tokio::time::timeout;
use tonic::Status;

use super::words::{Words, show_error, show_header};
use crate::support::{Clients, Result};

/// How long a call may take: an etcd drops some without a word.
const MAXIMUM_CALL: Duration = Duration::from_secs(5);

/// The id of no member.
const UNKNOWN_ID: u64 = 0x1234;

/// The id and the peer URL of a member: `unknown`, or `own` for the first in the list.
async fn subject(clients: &mut Clients, words: &mut Words) -> Result<u64> {
    match words.next("whom")?.as_str() {
        "unknown" => Ok(UNKNOWN_ID),
        "own" => Ok(first_member(clients).await?.0),
        other => Err(format!("{other}: write unknown or own").into()),
    }
}

async fn first_member(clients: &mut Clients) -> Result<(u64, Vec<String>)> {
    let list = MemberListRequest { linearizable: true };
    let members = clients.cluster.member_list(list).await?.into_inner().members;
    let first = members.into_iter().next().ok_or("there are no members")?;
    Ok((first.id, first.peer_ur_ls))
}

async fn show<T>(call: impl Future<Output = std::result::Result<T, Status>>) -> Vec<String> {
    match timeout(MAXIMUM_CALL, call).await {
        Ok(Ok(_)) => vec!["done".to_owned()],
        Ok(Err(status)) => show_error(&status),
        Err(_) => vec!["no answer".to_owned()],
    }
}

/// `member remove|update|promote unknown|own [url ...]`, `member add [url ...]`; the URL `own` is the first member's.
pub async fn member_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let command = words.next("a command")?;
    if command == "add" {
        let mut urls = words.rest()?;
        if urls == ["own"] {
            urls = first_member(clients).await?.1;
        }
        let request = MemberAddRequest {
            peer_ur_ls: urls,
            is_learner: true,
        };
        return Ok(show(clients.cluster.member_add(request)).await);
    }
    let id = subject(clients, &mut words).await?;
    let peer_ur_ls = words.rest()?;
    Ok(match command.as_str() {
        "remove" => show(clients.cluster.member_remove(MemberRemoveRequest { id })).await,
        "promote" => show(clients.cluster.member_promote(MemberPromoteRequest { id })).await,
        "update" => {
            let request = MemberUpdateRequest { id, peer_ur_ls };
            show(clients.cluster.member_update(request)).await
        }
        other => return Err(format!("member {other} is no command").into()),
    })
}

/// `move-leader unknown|own`.
pub async fn move_leader_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let target_id = subject(clients, &mut words).await?;
    words.finish()?;
    let request = MoveLeaderRequest { target_id };
    Ok(show(clients.maintenance.move_leader(request)).await)
}

/// `downgrade validate|enable|cancel [version]`.
pub async fn downgrade_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let action = match words.next("an action")?.as_str() {
        "validate" => DowngradeAction::Validate,
        "enable" => DowngradeAction::Enable,
        "cancel" => DowngradeAction::Cancel,
        other => return Err(format!("downgrade {other} is no action").into()),
    };
    let request = DowngradeRequest {
        action: action.into(),
        version: words.optional().unwrap_or_default(),
    };
    words.finish()?;
    Ok(match clients.maintenance.downgrade(request).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            vec![
                show_header(answer.header.as_ref()),
                format!("version {}", answer.version),
            ]
        }
        Err(status) => show_error(&status),
    })
}
