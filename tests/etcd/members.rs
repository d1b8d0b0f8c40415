//! `members`, `status`, `hash` and `hashkv`: what the members say of themselves.

use std::collections::BTreeSet;

use stead::proto::etcdserverpb::{
    HashKvRequest, HashRequest, MemberListRequest, ResponseHeader, StatusRequest,
};

use super::words::{Words, show_error, show_header};
use crate::support::{Clients, Result};

/// `members [serializable]`: ids and URLs differ from run to run, so that only what is true of them is written.
pub async fn members_command(clients: &mut Clients, nodes: usize, mut words: Words) -> Result<Vec<String>> {
    let request = MemberListRequest {
        linearizable: !words.flag("serializable"),
    };
    words.finish()?;
    let response = match clients.cluster.member_list(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(show_error(&status)),
    };
    let members = &response.members;
    let own = response
        .header
        .as_ref()
        .map(|header| header.member_id)
        .unwrap_or_default();
    let ids: BTreeSet<u64> = members.iter().map(|member| member.id).collect();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let facts = [
        ("every node is a member", members.len() == nodes),
        ("no two have the same id", ids.len() == nodes && !ids.contains(&0)),
        (
            "no two have the same name",
            names.len() == nodes && !names.contains(""),
        ),
        (
            "each has a peer url",
            members.iter().all(|member| member.peer_ur_ls.len() == 1),
        ),
        (
            "each has a client url",
            members.iter().all(|member| member.client_ur_ls.len() == 1),
        ),
        (
            "none is a learner",
            members.iter().all(|member| !member.is_learner),
        ),
        ("the answering node is a member", ids.contains(&own)),
    ];
    Ok(show_facts(response.header.as_ref(), &facts))
}

/// The header, then each fact, marked if it does not hold.
fn show_facts(header: Option<&ResponseHeader>, facts: &[(&str, bool)]) -> Vec<String> {
    let facts = facts.iter().map(|(fact, holds)| {
        if *holds {
            (*fact).to_owned()
        } else {
            format!("NOT TRUE: {fact}")
        }
    });
    std::iter::once(show_header(header)).chain(facts).collect()
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
    Ok(show_facts(status.header.as_ref(), &facts))
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
