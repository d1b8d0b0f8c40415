//! Users and roles that come along in a snapshot.

use std::path::Path;
use std::time::Instant;

use stead::proto::etcdserverpb::{
    AuthDisableRequest, AuthRoleGetRequest, AuthUserGetRequest, AuthUserListRequest,
};
use tonic::Code;

use super::{
    ALICE_PASSWORD, MAXIMUM_WAIT, POLL_INTERVAL, ROOT_PASSWORD, clients_of, get, log_in, put, set_up,
};
use crate::e2e::snapshots::{check, etcdctl, stead_restores, succeeds};
use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// Saves a snapshot as root.
async fn save(cluster: &Cluster, file: &Path) -> Result<()> {
    succeeds(
        etcdctl()
            .args(["snapshot", "save"])
            .arg(file)
            .args(["--endpoints", &cluster.nodes()[0].client_address()])
            .args(["--user", &format!("root:{ROOT_PASSWORD}")]),
    )
    .await?;
    Ok(())
}

async fn restored(file: &Path, nodes: usize) -> Result<Cluster> {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(nodes).build()?;
    for node in cluster.nodes() {
        check(stead_restores(file, node, &[]).await?)?;
    }
    for node in 0..nodes {
        cluster.node(node).start()?;
    }
    // Nobody can ask how far it is before he can log in.
    let mut clients = Clients::of(&cluster.nodes()[0].endpoint())?;
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        match log_in(&mut clients, "root", ROOT_PASSWORD).await {
            Ok(token) => {
                cluster.act_as(Some(&token));
                break;
            }
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
    cluster.wait_until_ready().await?;
    Ok(cluster)
}

/// Nobody gets in without a password, the old passwords are good on every member, and everybody may do what they could.
async fn lets_in_whom_it_did(cluster: &Cluster, old_token: &str) -> Result<()> {
    for node in 0..cluster.size() {
        let mut clients = Clients::of(&cluster.nodes()[node].endpoint())?;
        let refused = put(&mut clients, "a").await.expect_err("nobody said who he is");
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        clients.token.set(Some(old_token));
        let refused = put(&mut clients, "a")
            .await
            .expect_err("that token was of another cluster");
        assert_eq!(refused.code(), Code::Unauthenticated);
        clients.token.set(None);
        let refused = log_in(&mut clients, "alice", ROOT_PASSWORD).await;
        assert_eq!(
            refused.expect_err("a wrong password").code(),
            Code::InvalidArgument
        );
        let token = log_in(&mut clients, "alice", ALICE_PASSWORD).await?;
        for other in 0..cluster.size() {
            let mut clients = clients_of(cluster, other, &token)?;
            put(&mut clients, "a").await?;
            let refused = get(&mut clients, "b", false)
                .await
                .expect_err("alice has no right to b");
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
        clients
            .token
            .set(Some(&log_in(&mut clients.clone(), "root", ROOT_PASSWORD).await?));
        put(&mut clients, "b").await?;
    }
    Ok(())
}

#[tokio::test]
async fn users_of_an_etcd_keep_their_passwords_and_rights_in_stead_and_in_the_next_stead() -> TestResult {
    let directory = tempfile::tempdir()?;
    let etcd = Cluster::builder(Program::etcd()?).start().await?;
    let (_, token) = set_up(&etcd).await?;
    let file = directory.path().join("etcd.db");
    save(&etcd, &file).await?;
    let stead = restored(&file, 1).await?;
    lets_in_whom_it_did(&stead, &token).await?;

    let token = log_in(&mut stead.clients(0)?, "alice", ALICE_PASSWORD).await?;
    let file = directory.path().join("stead.db");
    save(&stead, &file).await?;
    lets_in_whom_it_did(&restored(&file, 3).await?, &token).await?;
    Ok(())
}

#[tokio::test]
async fn an_etcd_knows_the_users_and_roles_of_a_stead() -> TestResult {
    let directory = tempfile::tempdir()?;
    let stead = Cluster::builder(Program::stead()?).start().await?;
    set_up(&stead).await?;
    let file = directory.path().join("stead.db");
    // Its hashes of passwords are not etcd's, so nobody could log in there.
    stead.clients(0)?.auth.auth_disable(AuthDisableRequest {}).await?;
    stead.act_as(None);
    succeeds(
        etcdctl()
            .args(["snapshot", "save"])
            .arg(&file)
            .args(["--endpoints", &stead.nodes()[0].client_address()]),
    )
    .await?;
    let mut etcd = Cluster::builder(Program::etcd()?).build()?;
    succeeds(
        etcdctl()
            .args(["snapshot", "restore"])
            .arg(&file)
            .args(etcd.nodes()[0].restore_arguments()),
    )
    .await?;
    etcd.start_all().await?;
    let mut answers = Vec::new();
    for cluster in [&stead, &etcd] {
        let mut clients = cluster.clients(0)?;
        let users = clients
            .auth
            .user_list(AuthUserListRequest {})
            .await?
            .into_inner()
            .users;
        let user = AuthUserGetRequest {
            name: "alice".to_owned(),
        };
        let roles = clients.auth.user_get(user).await?.into_inner().roles;
        let role = AuthRoleGetRequest {
            role: "own".to_owned(),
        };
        let permissions = clients.auth.role_get(role).await?.into_inner().perm;
        answers.push((users, roles, permissions));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].0, ["alice", "root"]);
    Ok(())
}
