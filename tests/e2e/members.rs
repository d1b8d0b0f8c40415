//! Members come and go while clients write: nothing that was acknowledged is lost, and who was removed stops. What etcd can
//! do of it is shown on etcd too, which shows that the test is right.

use std::fs;
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::{
    Member, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest, MoveLeaderRequest, PutRequest, RangeRequest,
};
use tokio::time::timeout;
use tonic::{Code, Status};

use super::writers::{Shape, Writers, these_serve_and_hold};
use crate::support::{Cluster, Program, Result, TestResult};

const MAXIMUM_CALL: Duration = Duration::from_secs(20);
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

const SHAPE: Shape = Shape {
    writers: 4,
    keys: 20,
    value_bytes: 64,
};

/// Calls until it is neither lost nor refused for a moment; a refusal that stays is returned.
pub(super) async fn eventually<T>(
    mut call: impl AsyncFnMut() -> std::result::Result<T, Status>,
) -> Result<T> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let problem = match timeout(MAXIMUM_CALL, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            // An etcd is unhealthy for five seconds after its start; a new learner lags for a moment.
            Ok(Err(status)) if status.code() == Code::Unavailable || is_lagging(&status) => {
                status.to_string()
            }
            Ok(Err(status)) => return Err(status.to_string().into()),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() > deadline {
            return Err(format!("still after {MAXIMUM_WAIT:?}: {problem}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn is_lagging(status: &Status) -> bool {
    status.message() == "etcdserver: can only promote a learner member which is in sync with leader"
}

pub(super) async fn member_id(cluster: &Cluster, node: usize) -> Result<u64> {
    let status = cluster.status(node).await?;
    Ok(status.header.ok_or("a status without a header")?.member_id)
}

pub(super) async fn members(cluster: &Cluster, through: usize) -> Result<Vec<Member>> {
    let mut clients = cluster.clients(through)?;
    let request = MemberListRequest { linearizable: true };
    let answer = timeout(MAXIMUM_CALL, clients.cluster.member_list(request)).await??;
    Ok(answer.into_inner().members)
}

/// Adds a node that does not run, and tells it of the others. Returns its member.
pub(super) async fn add(cluster: &mut Cluster, through: usize, is_learner: bool) -> Result<(usize, Member)> {
    let node = cluster.make_joining_node()?;
    let url = cluster.node(node).peer_url().to_owned();
    let mut clients = cluster.clients(through)?;
    let answer = eventually(async || {
        let request = MemberAddRequest {
            peer_ur_ls: vec![url.clone()],
            is_learner,
        };
        clients.cluster.member_add(request).await
    })
    .await?
    .into_inner();
    let added = answer.member.ok_or("no member was added")?;
    assert_eq!(added.name, "", "it has not started");
    assert_eq!(added.peer_ur_ls, [url.as_str()]);
    assert_eq!(added.is_learner, is_learner);
    let own_name = cluster.node(node).name().to_owned();
    let initial: Vec<String> = answer
        .members
        .iter()
        .map(|member| {
            let name = if member.id == added.id {
                &own_name
            } else {
                &member.name
            };
            format!("{name}={}", member.peer_ur_ls[0])
        })
        .collect();
    cluster.node(node).set_initial_cluster(initial.join(","));
    Ok((node, added))
}

/// Waits until a member has said its name, and returns it.
async fn started(cluster: &Cluster, through: usize, id: u64) -> Result<Member> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let members = members(cluster, through).await?;
        let member = members.into_iter().find(|member| member.id == id);
        let member = member.ok_or("the member is gone")?;
        if !member.name.is_empty() {
            return Ok(member);
        }
        if Instant::now() > deadline {
            return Err(format!("{member:?} has not started after {MAXIMUM_WAIT:?}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

pub(super) async fn remove(cluster: &Cluster, through: usize, id: u64) -> Result<()> {
    let mut clients = cluster.clients(through)?;
    eventually(async || clients.cluster.member_remove(MemberRemoveRequest { id }).await).await?;
    Ok(())
}

/// A removed node ends by itself with 0, as etcd does, and says why.
fn stops(cluster: &mut Cluster, node: usize) -> Result<()> {
    let node = cluster.node(node);
    let status = node.wait_for_exit(MAXIMUM_WAIT)?;
    assert_eq!(status.code(), Some(0), "{}", node.log_tail());
    let said = fs::read_to_string(node.log_path())?;
    assert!(said.contains("removed"), "{said}");
    Ok(())
}

/// Three nodes become five and then three others, while clients write through all; the leader is among those that go.
async fn grows_and_shrinks(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    writers.more_acknowledged(50).await?;
    for number in 3..5 {
        let (node, added) = add(&mut cluster, number % 3, false).await?;
        writers.more_acknowledged(10).await?;
        assert_eq!(members(&cluster, 0).await?.len(), number + 1);
        cluster.node(node).start()?;
        cluster.wait_until_ready().await?;
        let member = started(&cluster, 0, added.id).await?;
        assert_eq!(member.name, cluster.node(node).name());
        assert_eq!(member.client_ur_ls, [cluster.node(node).endpoint()]);
        writers.more_acknowledged(50).await?;
    }
    let mut running: Vec<usize> = (0..5).collect();
    for round in 0..2 {
        let leader = cluster.leader().await?;
        let leaves = if round == 0 { leader } else { running[0] };
        let id = member_id(&cluster, leaves).await?;
        running.retain(|node| *node != leaves);
        remove(&cluster, running[1], id).await?;
        stops(&mut cluster, leaves)?;
        cluster.wait_until_ready().await?;
        writers.more_acknowledged(50).await?;
    }
    let acknowledged = writers.stop().await?;
    assert_eq!(members(&cluster, running[0]).await?.len(), 3);
    these_serve_and_hold(&cluster, &running, &acknowledged).await
}

#[tokio::test]
async fn a_cluster_grows_and_shrinks_under_load_and_loses_nothing() -> TestResult {
    Ok(grows_and_shrinks(Program::stead()?).await?)
}

#[tokio::test]
async fn an_etcd_cluster_grows_and_shrinks_under_load_and_loses_nothing() -> TestResult {
    Ok(grows_and_shrinks(Program::etcd()?).await?)
}

/// A node whose disk is lost is removed, and another one takes its place.
async fn replaces_a_dead_member(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(3).start().await?;
    let dead = (cluster.leader().await? + 1) % 3;
    let id = member_id(&cluster, dead).await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    cluster.node(dead).kill()?;
    let running: Vec<usize> = (0..3).filter(|node| *node != dead).collect();
    remove(&cluster, running[0], id).await?;
    let (new, added) = add(&mut cluster, running[1], false).await?;
    cluster.node(new).start()?;
    cluster.wait_until_ready().await?;
    started(&cluster, running[0], added.id).await?;
    writers.more_acknowledged(100).await?;
    let acknowledged = writers.stop().await?;
    these_serve_and_hold(&cluster, &[running[0], running[1], new], &acknowledged).await?;
    // The dead one comes back with its old folder: it finds out, and stops.
    cluster.node(dead).start()?;
    stops(&mut cluster, dead)
}

#[tokio::test]
async fn a_dead_member_is_replaced_and_stops_when_it_comes_back() -> TestResult {
    Ok(replaces_a_dead_member(Program::stead()?).await?)
}

#[tokio::test]
async fn a_dead_member_of_etcd_is_replaced_and_stops_when_it_comes_back() -> TestResult {
    Ok(replaces_a_dead_member(Program::etcd()?).await?)
}

fn refused<T>(answer: std::result::Result<T, Status>) -> (Code, String) {
    match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    }
}

/// A learner is no part of a quorum, serves only reads that need none, and is promoted once it has caught up.
async fn learns_and_is_promoted(program: Program) -> Result<()> {
    let mut cluster = Cluster::builder(program).nodes(1).start().await?;
    let put = |key: &'static str| PutRequest {
        key: key.into(),
        ..PutRequest::default()
    };
    for _ in 0..50 {
        cluster.clients(0)?.kv.put(put("a")).await?;
    }
    let (learner, added) = add(&mut cluster, 0, true).await?;
    let promote = MemberPromoteRequest { id: added.id };
    let early = refused(cluster.clients(0)?.cluster.member_promote(promote).await);
    let (code, text) = (
        Code::FailedPrecondition,
        "etcdserver: can only promote a learner member which is in sync with leader",
    );
    assert_eq!(early, (code, text.to_owned()), "it has not started");
    // It counts for no quorum.
    cluster.clients(0)?.kv.put(put("b")).await?;
    cluster.node(learner).start()?;
    cluster.wait_until_ready().await?;
    started(&cluster, 0, added.id).await?;
    assert!(cluster.status(learner).await?.is_learner);
    let mut clients = cluster.clients(learner)?;
    // etcd 3.5 has another code for it.
    let not_served = "etcdserver: rpc not supported for learner";
    assert_eq!(refused(clients.kv.put(put("c")).await).1, not_served);
    let range = |serializable| RangeRequest {
        key: "a".into(),
        serializable,
        ..RangeRequest::default()
    };
    assert_eq!(refused(clients.kv.range(range(false)).await).1, not_served);
    let list = MemberListRequest { linearizable: false };
    assert_eq!(refused(clients.cluster.member_list(list).await).1, not_served);
    assert_eq!(clients.kv.range(range(true)).await?.into_inner().count, 1);
    let transfer = MoveLeaderRequest { target_id: added.id };
    let moved = refused(cluster.clients(0)?.maintenance.move_leader(transfer).await);
    assert_eq!(moved, (code, "etcdserver: bad leader transferee".to_owned()));

    let mut first = cluster.clients(0)?;
    let answer = eventually(async || first.cluster.member_promote(promote).await).await?;
    assert!(
        answer
            .into_inner()
            .members
            .iter()
            .all(|member| !member.is_learner)
    );
    let deadline = Instant::now() + MAXIMUM_WAIT;
    while cluster.status(learner).await?.is_learner {
        assert!(Instant::now() < deadline, "it still says that it is a learner");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    eventually(async || clients.kv.put(put("c")).await).await?;
    let again = refused(first.cluster.member_promote(promote).await);
    assert_eq!(
        again,
        (code, "etcdserver: can only promote a learner member".to_owned())
    );
    let target = member_id(&cluster, learner).await?;
    eventually(async || {
        first
            .maintenance
            .move_leader(MoveLeaderRequest { target_id: target })
            .await
    })
    .await?;
    assert_eq!(cluster.leader().await?, learner);
    Ok(())
}

#[tokio::test]
async fn a_learner_serves_little_until_it_is_promoted() -> TestResult {
    Ok(learns_and_is_promoted(Program::stead()?).await?)
}

#[tokio::test]
async fn a_learner_of_etcd_serves_little_until_it_is_promoted() -> TestResult {
    Ok(learns_and_is_promoted(Program::etcd()?).await?)
}

/// The leader is killed while members are added and removed through the others: a change is made or it is not, and the
/// cluster goes on either way.
#[tokio::test]
async fn a_leader_that_dies_during_a_change_leaves_it_made_or_not_made() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    for round in 0..4_u64 {
        let leader = cluster.leader().await?;
        let other = (leader + 1) % 3;
        let url = format!("http://127.0.0.1:{}", 2 + round);
        let mut clients = cluster.clients(other)?;
        let before = members(&cluster, other).await?;
        let request = MemberAddRequest {
            peer_ur_ls: vec![url.clone()],
            is_learner: true,
        };
        let adding = tokio::spawn(async move { clients.cluster.member_add(request).await });
        tokio::time::sleep(Duration::from_millis(2 * round)).await;
        cluster.node(leader).kill()?;
        let answer = timeout(MAXIMUM_CALL, adding).await??;
        cluster.wait_until_ready().await?;
        let after = members(&cluster, other).await?;
        let added: Vec<&Member> = after
            .iter()
            .filter(|member| member.peer_ur_ls == [url.as_str()])
            .collect();
        if answer.is_ok() {
            assert_eq!(added.len(), 1, "it was acknowledged: {after:?}");
        }
        assert_eq!(after.len(), before.len() + added.len());
        for member in added {
            remove(&cluster, other, member.id).await?;
        }
        cluster.restart(leader).await?;
        writers.more_acknowledged(20).await?;
    }
    let acknowledged = writers.stop().await?;
    Ok(these_serve_and_hold(&cluster, &[0, 1, 2], &acknowledged).await?)
}

#[tokio::test]
async fn a_member_that_never_starts_costs_no_quorum() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(1).start().await?;
    let (_, added) = add(&mut cluster, 0, false).await?;
    let request = PutRequest {
        key: "a".into(),
        ..PutRequest::default()
    };
    cluster.clients(0)?.kv.put(request).await?;
    let list = members(&cluster, 0).await?;
    assert_eq!(list.len(), 2);
    remove(&cluster, 0, added.id).await?;
    assert_eq!(members(&cluster, 0).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn members_survive_restart_and_snapshot_and_removed_ones_are_refused() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(1)
        .argument("--snapshot-count=50")
        .start()
        .await?;
    let (joined, added) = add(&mut cluster, 0, false).await?;
    cluster.node(joined).start()?;
    cluster.wait_until_ready().await?;
    started(&cluster, 0, added.id).await?;
    for number in 0..200 {
        let request = PutRequest {
            key: format!("key/{number}").into(),
            ..PutRequest::default()
        };
        cluster.clients(0)?.kv.put(request).await?;
    }
    let before = members(&cluster, 0).await?;
    cluster.kill_all()?;
    // What the flags say of the cluster does not matter any more.
    cluster.node(0).set_initial_cluster("other=http://127.0.0.1:1");
    cluster.node(joined).set_initial_cluster("nonsense");
    cluster.start_all().await?;
    assert_eq!(members(&cluster, joined).await?, before);

    let mut clients = cluster.clients(0)?;
    eventually(async || {
        let request = MemberRemoveRequest { id: added.id };
        clients.cluster.member_remove(request).await
    })
    .await?;
    stops(&mut cluster, joined)?;
    cluster.node(joined).start()?;
    let status = cluster.node(joined).wait_for_exit(MAXIMUM_WAIT)?;
    assert_eq!(status.code(), Some(1));
    let said = cluster.node(joined).log_tail();
    assert!(
        said.contains("has been permanently removed from the cluster"),
        "{said}"
    );
    // With an empty folder it is nobody the cluster knows.
    fs::remove_dir_all(cluster.node(joined).data_directory())?;
    let both: Vec<String> = cluster
        .nodes()
        .iter()
        .map(|node| format!("{}={}", node.name(), node.peer_url()))
        .collect();
    cluster.node(joined).set_initial_cluster(both.join(","));
    cluster.node(joined).start()?;
    assert_eq!(cluster.node(joined).wait_for_exit(MAXIMUM_WAIT)?.code(), Some(1));
    let said = cluster.node(joined).log_tail();
    assert!(said.contains("member count is unequal"), "{said}");
    Ok(())
}

/// A member moves to another port, and the others find it there without a restart.
#[tokio::test]
async fn a_member_that_moves_is_found_where_it_was_said_to_be() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let moves = (cluster.leader().await? + 1) % 3;
    let id = member_id(&cluster, moves).await?;
    cluster.node(moves).terminate()?;
    let url = cluster.node(moves).change_peer_port()?;
    let through = (moves + 1) % 3;
    let mut clients = cluster.clients(through)?;
    eventually(async || {
        let request = MemberUpdateRequest {
            id,
            peer_ur_ls: vec![url.clone()],
        };
        clients.cluster.member_update(request).await
    })
    .await?;
    cluster.node(moves).start()?;
    cluster.wait_until_ready().await?;
    let list = members(&cluster, moves).await?;
    let member = list.iter().find(|member| member.id == id).ok_or("it is gone")?;
    assert_eq!(member.peer_ur_ls, [url.as_str()]);
    assert_eq!(member.name, cluster.node(moves).name());
    Ok(these_serve_and_hold(&cluster, &[0, 1, 2], &Default::default()).await?)
}
