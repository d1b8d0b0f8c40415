//! Users, rights and tokens on a cluster of real processes: tokens on every member and through deaths, rights that are
//! taken away, keys that change, the command line, and passwords that are nowhere to be found.

mod certificates;
mod command_line;
mod methods;
mod restored;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stead::proto::authpb::Permission;
use stead::proto::authpb::permission::Type;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserAddRequest, AuthUserGrantRoleRequest, AuthenticateRequest, PutRequest, RangeRequest,
    WatchCreateRequest, WatchRequest,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// How long anything here may take before it is taken not to happen.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

const ROOT_PASSWORD: &str = "correct horse battery staple";
const ALICE_PASSWORD: &str = "tr0ub4dor & 3";

async fn add_user(clients: &mut Clients, name: &str, password: &str) -> Result<()> {
    let request = AuthUserAddRequest {
        name: name.to_owned(),
        password: password.to_owned(),
        ..AuthUserAddRequest::default()
    };
    clients.auth.user_add(request).await?;
    Ok(())
}

async fn grant_role(clients: &mut Clients, user: &str, role: &str) -> Result<()> {
    let request = AuthUserGrantRoleRequest {
        user: user.to_owned(),
        role: role.to_owned(),
    };
    clients.auth.user_grant_role(request).await?;
    Ok(())
}

async fn log_in(clients: &mut Clients, name: &str, password: &str) -> Result<String, Status> {
    let request = AuthenticateRequest {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    Ok(clients.auth.authenticate(request).await?.into_inner().token)
}

/// The users root and alice, who may do all with keys that begin with `a`; authentication is enabled. The cluster acts
/// as root from now on; returns the tokens of both.
async fn set_up(cluster: &Cluster) -> Result<(String, String)> {
    let mut clients = cluster.clients(0)?;
    add_user(&mut clients, "root", ROOT_PASSWORD).await?;
    grant_role(&mut clients, "root", "root").await?;
    add_user(&mut clients, "alice", ALICE_PASSWORD).await?;
    let role = || "own".to_owned();
    clients.auth.role_add(AuthRoleAddRequest { name: role() }).await?;
    let request = AuthRoleGrantPermissionRequest {
        name: role(),
        perm: Some(Permission {
            perm_type: Type::Readwrite.into(),
            key: Bytes::from("a"),
            range_end: Bytes::from("b"),
        }),
    };
    clients.auth.role_grant_permission(request).await?;
    grant_role(&mut clients, "alice", "own").await?;
    clients.auth.auth_enable(AuthEnableRequest {}).await?;
    let alice = log_in(&mut clients, "alice", ALICE_PASSWORD).await?;
    let root = log_in(&mut clients, "root", ROOT_PASSWORD).await?;
    cluster.act_as(Some(&root));
    Ok((root, alice))
}

/// Clients of a node for another user than the cluster acts as.
fn clients_of(cluster: &Cluster, node: usize, token: &str) -> Result<Clients> {
    let clients = Clients::of(&cluster.nodes()[node].endpoint())?;
    clients.token.set(Some(token));
    Ok(clients)
}

async fn put(clients: &mut Clients, key: &str) -> Result<(), Status> {
    let request = PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..PutRequest::default()
    };
    clients.kv.put(request).await.map(drop)
}

async fn get(clients: &mut Clients, key: &str, serializable: bool) -> Result<(), Status> {
    let request = RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        serializable,
        ..RangeRequest::default()
    };
    clients.kv.range(request).await.map(drop)
}

#[tokio::test]
async fn a_token_of_one_member_is_good_on_all_at_once_and_outlives_restarts_and_leaders() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let (_, alice) = set_up(&cluster).await?;
    for round in 0..20 {
        // A new token each time, used on another member at once, which may not have applied what it needs to know.
        let name = format!("user{round}");
        let mut maker = cluster.clients(round % 3)?;
        add_user(&mut maker, &name, "password").await?;
        grant_role(&mut maker, &name, "own").await?;
        let token = log_in(&mut maker, &name, "password").await?;
        let mut user = clients_of(&cluster, (round + 1) % 3, &token)?;
        get(&mut user, "a", true).await?;
        let mut user = clients_of(&cluster, (round + 2) % 3, &token)?;
        put(&mut user, "a").await?;
        let denied = put(&mut user, "b").await.expect_err("it has no right to b");
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
    let leader = cluster.leader().await?;
    cluster.node(leader).kill()?;
    let successor = cluster.leader().await?;
    put(&mut clients_of(&cluster, successor, &alice)?, "a").await?;
    cluster.restart(leader).await?;
    cluster.kill_all()?;
    cluster.start_all().await?;
    for node in 0..3 {
        let mut user = clients_of(&cluster, node, &alice)?;
        get(&mut user, "a", false).await?;
        put(&mut user, "a").await?;
        assert!(put(&mut user, "b").await.is_err());
    }
    Ok(())
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_the_watches_on_every_member() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let (_, alice) = set_up(&cluster).await?;
    let mut streams = Vec::new();
    for node in 0..3 {
        let mut user = clients_of(&cluster, node, &alice)?;
        let (requests, outgoing) = mpsc::channel(1);
        let create = WatchCreateRequest {
            key: Bytes::from("a"),
            range_end: Bytes::from("b"),
            ..WatchCreateRequest::default()
        };
        requests
            .send(WatchRequest {
                request_union: Some(RequestUnion::CreateRequest(create)),
            })
            .await?;
        let mut responses = user
            .watch
            .watch(ReceiverStream::new(outgoing))
            .await?
            .into_inner();
        let created = responses.message().await?.ok_or("the stream ended")?;
        assert!(created.created && !created.canceled, "{created:?}");
        streams.push((requests, responses));
    }
    let mut root = cluster.clients(0)?;
    put(&mut root, "a1").await?;
    let request = AuthRoleRevokePermissionRequest {
        role: "own".to_owned(),
        key: Bytes::from("a"),
        range_end: Bytes::from("b"),
    };
    root.auth.role_revoke_permission(request).await?;
    put(&mut root, "a2").await?;
    for (_, responses) in &mut streams {
        let event = timeout(MAXIMUM_WAIT, responses.message()).await??;
        let event = event.ok_or("the stream ended")?;
        assert_eq!(event.events.len(), 1, "{event:?}");
        let end = timeout(MAXIMUM_WAIT, responses.message()).await??;
        let end = end.ok_or("the stream ended")?;
        assert!(end.canceled && end.events.is_empty(), "{end:?}");
        assert_eq!(
            end.cancel_reason,
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        );
    }
    Ok(())
}

/// All files under a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test]
async fn a_password_is_in_no_log_and_in_no_file_of_any_member() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--log-level=debug")
        .start()
        .await?;
    let (_, alice) = set_up(&cluster).await?;
    put(&mut clients_of(&cluster, 1, &alice)?, "a").await?;
    let wrong = log_in(&mut cluster.clients(2)?, "alice", "a wrong password").await;
    assert!(wrong.is_err());
    for node in 0..3 {
        cluster.node(node).terminate()?;
    }
    let mut bytes = 0;
    for file in files(cluster.directory())? {
        let content = fs::read(&file)?;
        bytes += content.len();
        for secret in [ROOT_PASSWORD, ALICE_PASSWORD, "a wrong password", &alice] {
            let is_there = content
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!is_there, "{} holds {secret:?}", file.display());
        }
    }
    assert!(bytes > 1_000, "there are logs and files");
    Ok(())
}

const PRIVATE_KEY: &str = include_str!("../../../src/service/auth/tests/ed-private.pem");
const PUBLIC_KEY: &str = include_str!("../../../src/service/auth/tests/ed-public.pem");

#[tokio::test]
async fn json_web_tokens_are_good_on_every_member_until_rights_or_keys_change() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (public, private) = (
        folder.path().join("public.pem"),
        folder.path().join("private.pem"),
    );
    fs::write(&public, PUBLIC_KEY)?;
    fs::write(&private, PRIVATE_KEY)?;
    let cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument(format!(
            "--auth-token=jwt,sign-method=EdDSA,pub-key={},priv-key={},ttl=1h",
            public.display(),
            private.display()
        ))
        .start()
        .await?;
    let (_, alice) = set_up(&cluster).await?;
    assert_eq!(alice.split('.').count(), 3, "it is a JSON Web Token");
    for node in 0..3 {
        let mut user = clients_of(&cluster, node, &alice)?;
        put(&mut user, "a").await?;
        get(&mut user, "a", false).await?;
    }
    let mut root = cluster.clients(0)?;
    add_user(&mut root, "bob", "secret").await?;
    for node in 0..3 {
        let mut user = clients_of(&cluster, node, &alice)?;
        for refused in [put(&mut user, "a").await, get(&mut user, "a", false).await] {
            let refused = refused.expect_err("users have changed since the login");
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::InvalidArgument, "etcdserver: revision of auth store is old")
            );
        }
    }
    let alice = log_in(&mut root, "alice", ALICE_PASSWORD).await?;
    put(&mut clients_of(&cluster, 1, &alice)?, "a").await?;
    let Program::Stead(client) = Program::stead()? else {
        return Err("the client is Stead's".into());
    };
    let get_with = |token: &str| {
        std::process::Command::new(&client)
            .env_clear()
            .args(["get", "a", "--endpoints", &cluster.addresses()[0]])
            .args(["--auth-jwt-token", token])
            .output()
    };
    assert!(get_with(&alice)?.status.success());
    let refused = get_with("not.a.token")?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("invalid auth token"));
    // Another key: what the old one has signed is void, on every member, without a restart.
    fs::write(&public, PUBLIC_KEY.replace(&PUBLIC_KEY[60..70], "AAAAAAAAAA"))?;
    let until = Instant::now() + MAXIMUM_WAIT;
    for node in 0..3 {
        let mut user = clients_of(&cluster, node, &alice)?;
        loop {
            match get(&mut user, "a", true).await {
                Err(error) if error.code() == Code::Unauthenticated => break,
                other => assert!(Instant::now() < until, "the old key is still good: {other:?}"),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}
