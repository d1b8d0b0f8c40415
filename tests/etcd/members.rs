//! `members`, `status`, `hash` and `hashkv`: what the members say of themselves.

use stead::proto::etcdserverpb::{HashKvRequest, HashRequest, MemberListRequest, StatusRequest};

use super::words::{Words, show_error, show_header};
use crate::support::{Clients, Result};

/// `members [serializable]`: ids and URLs differ from run to run, so that only what is true of them is written.
pub async fn members_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = MemberListRequest {
        linearizable: !words.flag("serializable"),
    };
    words.finish()?;
    let response = match clients.cluster.member_list(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(show_error(&status)),
    };
    let own = response
        .header
        .as_ref()
        .map(|header| header.member_id)
        .unwrap_or_default();
    let mut ids: Vec<u64> = response.members.iter().map(|member| member.id).collect();
    let answers = if ids.contains(&own) {
        "the answering member is in it"
    } else {
        "no member answered"
    };
    ids.sort_unstable();
    ids.dedup();
    let distinct = if ids.len() == response.members.len() {
        "all ids differ"
    } else {
        "ids are shared"
    };
    let mut lines = vec![format!(
        "{}, {distinct}, {answers}",
        show_header(response.header.as_ref())
    )];
    let mut members: Vec<String> = response
        .members
        .iter()
        .map(|member| {
            let learner = if member.is_learner { ", learner" } else { "" };
            format!(
                "{}: {} peer url, {} client url{learner}",
                member.name,
                member.peer_ur_ls.len(),
                member.client_ur_ls.len()
            )
        })
        .collect();
    members.sort();
    lines.extend(members);
    Ok(lines)
}

/// `status`: the fields that scripts and operators rely on.
pub async fn status_command(clients: &mut Clients, words: Words) -> Result<Vec<String>> {
    words.finish()?;
    let status = match clients.maintenance.status(StatusRequest {}).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(show_error(&status)),
    };
    let version_numbers = status
        .version
        .split('.')
        .filter(|part| part.parse::<u32>().is_ok())
        .count();
    let header_term = status
        .header
        .as_ref()
        .map(|header| header.raft_term)
        .unwrap_or_default();
    let facts = [
        ("version has three numbers", version_numbers == 3),
        ("has a leader", status.leader != 0),
        ("db_size is above 0", status.db_size > 0),
        ("db_size_in_use is above 0", status.db_size_in_use > 0),
        ("raft_index is above 0", status.raft_index > 0),
        (
            "raft_applied_index is not above raft_index",
            status.raft_applied_index <= status.raft_index,
        ),
        (
            "raft_term is the header's",
            status.raft_term == header_term && header_term > 0,
        ),
        ("is a voter", !status.is_learner),
        ("has no errors", status.errors.is_empty()),
    ];
    let mut lines = vec![show_header(status.header.as_ref())];
    lines.extend(
        facts
            .iter()
            .map(|(fact, holds)| format!("{}{fact}", if *holds { "" } else { "NOT: " })),
    );
    Ok(lines)
}

/// `hash`: any number is right, it only has to answer.
pub async fn hash_command(clients: &mut Clients, words: Words) -> Result<Vec<String>> {
    words.finish()?;
    Ok(match clients.maintenance.hash(HashRequest {}).await {
        Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
        Err(status) => show_error(&status),
    })
}

/// `hashkv [revision]`.
pub async fn hash_kv_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let revision = words
        .optional()
        .map(|word| word.parse())
        .transpose()?
        .unwrap_or_default();
    words.finish()?;
    Ok(
        match clients.maintenance.hash_kv(HashKvRequest { revision }).await {
            Ok(response) => {
                let response = response.into_inner();
                vec![format!(
                    "{}, hash {}, of revision {}, compacted at {}",
                    show_header(response.header.as_ref()),
                    response.hash,
                    response.hash_revision,
                    response.compact_revision
                )]
            }
            Err(status) => show_error(&status),
        },
    )
}
