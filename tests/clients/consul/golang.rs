//! The official Go client of Consul, github.com/hashicorp/consul/api: the program in `tests/clients/consul_go/`, built by
//! `setup.sh`.

use tokio::process::Command;

use super::super::succeeds;
use super::{NODES, survives};
use crate::e2e::consul::ConsulCluster;
use crate::support::{TestResult, clients_directory};

/// The program, for some of its claims.
fn client(claims: &str) -> Command {
    let mut command = Command::new(clients_directory().join("consul-go-client"));
    command.arg(claims);
    command
}

#[tokio::test]
async fn the_go_client_of_consul_finds_what_it_expects_on_every_member() -> TestResult {
    let cluster = ConsulCluster::start(NODES, &[]).await?;
    succeeds(client("claims").args(&cluster.addresses)).await?;
    Ok(())
}

#[tokio::test]
async fn the_go_client_of_consul_makes_tokens_that_allow_what_they_say() -> TestResult {
    let flags = ["--consul-acl", "--consul-acl-default-policy=deny"];
    let cluster = ConsulCluster::start(NODES, &flags).await?;
    succeeds(client("acls").args(&cluster.addresses)).await?;
    Ok(())
}

#[tokio::test]
async fn a_lock_of_the_go_client_of_consul_has_one_holder_when_nodes_are_killed() -> TestResult {
    let mut cluster = ConsulCluster::start(NODES, &[]).await?;
    // The node of the holder leads, and then it does not.
    let leader = cluster.cluster.leader().await?;
    survives(&mut cluster, leader, client("lock")).await?;
    cluster.cluster.restart(leader).await?;
    let leader = cluster.cluster.leader().await?;
    Ok(survives(&mut cluster, (leader + 1) % NODES, client("lock")).await?)
}

#[tokio::test]
async fn a_semaphore_of_the_go_client_of_consul_keeps_its_limit_when_the_leader_is_killed() -> TestResult {
    let mut cluster = ConsulCluster::start(NODES, &[]).await?;
    let leader = cluster.cluster.leader().await?;
    Ok(survives(&mut cluster, leader, client("semaphore")).await?)
}
