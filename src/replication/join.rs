//! How a node finds out who it is: from its folder, from its flags if it forms a cluster, or from the members of the cluster
//! that it joins; and whether it still is a member.
//!
//! Who joins must have been added before: the members of its `--initial-cluster` must be those of the cluster, by their
//! peer URLs, as in etcd. Never changes the cluster.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::departed::Departed;
use super::identity::Identity;
use super::interface::{PeerMember, Settings, StartError};
use super::network::Peers;
use super::network::roster::{self, Known};
use super::status::{StatusBoard, members_of};
use crate::base::{ClusterId, MemberId};

/// Who a node with an empty folder is.
///
/// # Errors
/// It is to join and cannot.
pub async fn identify(settings: &Settings, peers: &Peers) -> Result<Identity, StartError> {
    let own = settings
        .initial_members
        .iter()
        .find(|member| member.id == settings.member);
    let own =
        own.ok_or_else(|| StartError::Join("--initial-cluster does not have this member".to_owned()))?;
    if settings.new_cluster {
        return Ok(Identity::new(
            settings.cluster,
            settings.member,
            own.name.clone(),
            false,
        ));
    }
    let known = find(settings, peers).await?;
    let member = own_id(&known, &settings.initial_members, own).map_err(StartError::Join)?;
    tracing::info!(cluster = %known.cluster, %member, "joining the cluster");
    Ok(Identity::new(known.cluster, member, own.name.clone(), true))
}

/// What the members say; of several answers the newest.
async fn find(settings: &Settings, peers: &Peers) -> Result<Known, StartError> {
    let others = settings
        .initial_members
        .iter()
        .filter(|member| member.id != settings.member);
    let answers = others.map(|member| async move {
        let answer = roster::ask(peers, member.id.0, &member.peer_urls).await;
        answer.map_err(|reason| format!("{}: {reason}", member.peer_urls.join(",")))
    });
    let (known, reasons): (Vec<_>, Vec<_>) = futures::future::join_all(answers)
        .await
        .into_iter()
        .partition(Result::is_ok);
    let newest = known.into_iter().flatten().max_by_key(|known| known.changed);
    newest.ok_or_else(|| {
        let reasons: Vec<String> = reasons.into_iter().filter_map(Result::err).collect();
        StartError::Join(format!(
            "cannot fetch cluster info from peer urls: no member of --initial-cluster answers ({}); start them first, or write \
             --initial-cluster-state=new to form a cluster",
            reasons.join("; ")
        ))
    })
}

/// The id that the cluster knows this node by.
fn own_id(known: &Known, initial: &[PeerMember], own: &PeerMember) -> Result<MemberId, String> {
    let members = members_of(&known.membership);
    if members.len() != initial.len() {
        return Err(format!(
            "error validating peerURLs: member count is unequal: --initial-cluster has {}, the cluster has {}; write what \
             `member add` printed as ETCD_INITIAL_CLUSTER",
            initial.len(),
            members.len()
        ));
    }
    let sorted = |urls: &[String]| {
        let mut urls = urls.to_vec();
        urls.sort();
        urls
    };
    let find = |wanted: &PeerMember| {
        let urls = sorted(&wanted.peer_urls);
        members.iter().find(|member| sorted(&member.peer_urls) == urls)
    };
    for wanted in initial {
        if find(wanted).is_none() {
            return Err(format!(
                "error validating peerURLs: unmatched member while checking PeerURLs: no member of the cluster is at {} ({}); \
                 add it with `member add`, or write what that printed as ETCD_INITIAL_CLUSTER",
                wanted.peer_urls.join(","),
                wanted.name
            ));
        }
    }
    match find(own) {
        Some(member) => Ok(member.id),
        None => Err(
            "error validating peerURLs: the cluster does not have this member; add it with `member add`"
                .to_owned(),
        ),
    }
}

/// Asks the other members, whenever no leader has been heard for an election, whether this node was removed.
pub async fn watch_membership(
    cluster: ClusterId,
    initial: Vec<PeerMember>,
    status: StatusBoard,
    peers: Arc<Peers>,
    departed: Arc<Departed>,
    pause: Duration,
    stop: CancellationToken,
) {
    let own = status.member();
    while stop
        .run_until_cancelled(tokio::time::sleep(pause))
        .await
        .is_some()
    {
        if !status.is_lonely() {
            continue;
        }
        let mut members = status.members();
        if members.is_empty() {
            members.clone_from(&initial);
        }
        let others = members.iter().filter(|member| member.id != own);
        let answers = others.map(|member| roster::ask(&peers, member.id.0, &member.peer_urls));
        let Some(answers) = stop.run_until_cancelled(futures::future::join_all(answers)).await else {
            return;
        };
        let removed = |known: &Known| known.cluster == cluster && known.removed.contains(&own);
        if answers.iter().flatten().any(removed) {
            departed.learn(&[own]);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::replication::types::{Membership, Node};

    fn member(id: u64, url: &str) -> PeerMember {
        PeerMember {
            id: MemberId(id),
            name: format!("n{id}"),
            peer_urls: vec![url.to_owned()],
            is_learner: false,
        }
    }

    fn known(members: &[(u64, &str)]) -> Known {
        let nodes: BTreeMap<u64, Node> = members
            .iter()
            .map(|(id, url)| {
                let node = Node {
                    peer_urls: vec![(*url).to_owned()],
                    ..Node::default()
                };
                (*id, node)
            })
            .collect();
        Known {
            cluster: ClusterId(1),
            changed: None,
            membership: Membership::new(vec![BTreeSet::from([1])], nodes).unwrap(),
            removed: Vec::new(),
        }
    }

    #[test]
    fn who_joins_is_known_by_its_peer_urls_and_no_other_list_will_do() {
        let initial = [member(71, "http://a:1"), member(72, "http://b:1")];
        let own = member(72, "http://b:1");
        let cluster = known(&[(1, "http://a:1"), (9, "http://b:1")]);
        assert_eq!(own_id(&cluster, &initial, &own), Ok(MemberId(9)));
        let error = own_id(&known(&[(1, "http://a:1")]), &initial, &own).unwrap_err();
        assert!(
            error.contains("member count is unequal: --initial-cluster has 2, the cluster has 1"),
            "{error}"
        );
        let error = own_id(&known(&[(1, "http://a:1"), (9, "http://c:1")]), &initial, &own).unwrap_err();
        assert!(
            error.contains("no member of the cluster is at http://b:1 (n72)"),
            "{error}"
        );
    }
}
