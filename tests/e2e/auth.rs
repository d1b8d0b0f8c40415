//! Users, rights and tokens on a cluster of real processes: tokens on every member and through deaths, rights that are
//! taken away, keys that change, the command line, and passwords that are nowhere to be found.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use stead::proto::authpb::Permission;
use stead::proto::authpb::permission::Type;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    AuthEnableRequest, AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthRoleRevokePermissionRequest,
    AuthUserAddRequest, AuthUserGrantRoleRequest, AuthenticateRequest, PutRequest, RangeRequest,
    WatchCreateRequest, WatchRequest,
};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

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

/// Calls that take one message, with one that is valid as far as it goes.
fn calls() -> Vec<(&'static str, Vec<&'static str>, Vec<u8>)> {
    let key = RangeRequest {
        key: Bytes::from("a"),
        ..RangeRequest::default()
    };
    vec![
        (
            "etcdserverpb.KV",
            vec!["Range", "Put", "DeleteRange", "RangeStream"],
            key.encode_to_vec(),
        ),
        ("etcdserverpb.KV", vec!["Compact"], Vec::new()),
        (
            "etcdserverpb.Lease",
            vec![
                "LeaseGrant",
                "LeaseRevoke",
                "LeaseTimeToLive",
                "LeaseLeases",
                "LeaseKeepAlive",
            ],
            Vec::new(),
        ),
        (
            "etcdserverpb.Cluster",
            vec![
                "MemberAdd",
                "MemberRemove",
                "MemberUpdate",
                "MemberList",
                "MemberPromote",
            ],
            Vec::new(),
        ),
        (
            "etcdserverpb.Maintenance",
            vec![
                "Alarm",
                "Status",
                "Defragment",
                "Hash",
                "HashKV",
                "MoveLeader",
                "Downgrade",
                "Snapshot",
            ],
            Vec::new(),
        ),
        (
            "etcdserverpb.Auth",
            vec![
                "AuthEnable",
                "AuthDisable",
                "UserAdd",
                "UserGet",
                "UserList",
                "UserDelete",
                "UserChangePassword",
                "UserGrantRole",
                "UserRevokeRole",
                "RoleAdd",
                "RoleGet",
                "RoleList",
                "RoleDelete",
                "RoleGrantPermission",
                "RoleRevokePermission",
            ],
            Vec::new(),
        ),
    ]
}

/// A message of raw bytes.
#[derive(Clone, PartialEq, Message)]
struct KeyMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

#[tokio::test]
async fn every_method_refuses_who_has_no_identity_and_all_but_a_few_who_is_not_root() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let (_, alice) = set_up(&cluster).await?;
    let channel = Endpoint::from_shared(cluster.endpoints().remove(0))?
        .connect()
        .await?;
    for (service, methods, message) in calls() {
        for method in methods {
            let path: PathAndQuery = format!("/{service}/{method}").parse()?;
            let call = async |token: Option<&str>| -> Result<(), Status> {
                let message = KeyMessage::decode(&message[..]).expect("a key, or nothing");
                let mut request = Request::new(tokio_stream::once(message));
                if let Some(token) = token {
                    let token = token.parse().expect("a token is plain text");
                    request.metadata_mut().insert("token", token);
                }
                let mut grpc = Grpc::new(channel.clone());
                grpc.ready()
                    .await
                    .map_err(|error| Status::unknown(error.to_string()))?;
                let codec = ProstCodec::<KeyMessage, ()>::default();
                let mut answers = grpc.streaming(request, path.clone(), codec).await?.into_inner();
                answers.message().await.map(drop)
            };
            let nobody = call(None).await.expect_err("nobody may do this");
            assert_eq!(
                (nobody.code(), nobody.message()),
                (Code::InvalidArgument, "etcdserver: user name is empty"),
                "{method}"
            );
            let stranger = call(Some("no-token")).await.expect_err("no token");
            assert_eq!(
                (stranger.code(), stranger.message()),
                (Code::Unauthenticated, "etcdserver: invalid auth token"),
                "{method}"
            );
            let user = call(Some(&alice)).await;
            let is_for_users = [
                "Range",
                "Put",
                "DeleteRange",
                "RangeStream",
                "LeaseGrant",
                "LeaseRevoke",
                "LeaseTimeToLive",
                "LeaseLeases",
                "LeaseKeepAlive",
                "MemberList",
                "Alarm",
                "Status",
            ]
            .contains(&method);
            let is_denied = user
                .as_ref()
                .is_err_and(|error| error.code() == Code::PermissionDenied);
            assert_eq!(is_denied, !is_for_users, "{method}: {user:?}");
        }
    }
    Ok(())
}

/// Runs `stead` and returns what it printed.
async fn stead(cluster: &Cluster, user: Option<&str>, arguments: &[&str], input: &str) -> Result<String> {
    let Program::Stead(path) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env("STEAD_ENDPOINTS", cluster.endpoints().join(","))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(user) = user {
        command.env("ETCDCTL_USER", user);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = timeout(MAXIMUM_WAIT, child.wait_with_output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(match output.status.code() {
        Some(0) => text,
        code => format!("{text}{error}exit {code:?}\n"),
    })
}

#[tokio::test]
async fn the_command_line_manages_users_and_logs_in_by_itself() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let root = Some("root:pw");
    let alice = Some("alice:secret");
    let steps: &[(Option<&str>, &[&str], &str, &str)] = &[
        (None, &["user", "add", "root:pw"], "", "User root created\n"),
        (
            None,
            &["user", "grant-role", "root", "root"],
            "",
            "Role root is granted to user root\n",
        ),
        (
            None,
            &["user", "add", "alice"],
            "secret\n",
            "User alice created\n",
        ),
        (
            None,
            &["user", "add", "robot", "--no-password"],
            "",
            "User robot created\n",
        ),
        (None, &["role", "add", "own"], "", "Role own created\n"),
        (
            None,
            &["role", "grant-permission", "own", "readwrite", "a", "--prefix"],
            "",
            "Role own updated\n",
        ),
        (
            None,
            &["role", "grant-permission", "own", "read", "x"],
            "",
            "Role own updated\n",
        ),
        (
            None,
            &["user", "grant-role", "alice", "own"],
            "",
            "Role own is granted to user alice\n",
        ),
        (None, &["auth", "enable"], "", "Authentication Enabled\n"),
        (
            None,
            &["auth", "status", "-o", "json"],
            "",
            "{\"revision\":1,\"enabled\":true,\"auth_revision\":9}\n",
        ),
        (
            None,
            &["put", "a", "1"],
            "",
            "error: etcdserver: user name is empty\nexit Some(3)\n",
        ),
        (alice, &["put", "a", "1"], "", "OK\n"),
        (alice, &["get", "a"], "", "a\n1\n"),
        (None, &["get", "a", "--user", "alice:secret"], "", "a\n1\n"),
        (
            None,
            &["get", "a", "--user", "alice", "--password", "secret"],
            "",
            "a\n1\n",
        ),
        (None, &["get", "a", "--user", "alice"], "secret\n", "a\n1\n"),
        (
            alice,
            &["put", "x", "1"],
            "",
            "error: etcdserver: permission denied\nexit Some(4)\n",
        ),
        (
            Some("alice:wrong"),
            &["get", "a"],
            "",
            "error: etcdserver: authentication failed, invalid user ID or password\nexit Some(3)\n",
        ),
        (alice, &["endpoint", "health", "--cluster"], "", ""),
        (alice, &["user", "get", "alice"], "", "User: alice\nRoles: own\n"),
        (
            root,
            &["user", "get", "alice", "--detail", "-o", "json"],
            "",
            "{\"details\":[{\"permissions\":[{\"key\":\"a\",\"kind\":\"readwrite\",\"range_end\":\"b\"},\
             {\"key\":\"x\",\"kind\":\"read\",\"range_end\":\"\"}],\"role\":\"own\"}],\"revision\":2,\
             \"roles\":[\"own\"],\"user\":\"alice\"}\n",
        ),
        (
            root,
            &["role", "get", "own"],
            "",
            "Role own\nKV Read:\n\t[a, b) (prefix a)\n\tx\nKV Write:\n\t[a, b) (prefix a)\n",
        ),
        (root, &["user", "list"], "", "alice\nrobot\nroot\n"),
        (
            root,
            &["role", "list", "-o", "json"],
            "",
            "{\"revision\":2,\"roles\":[\"own\"]}\n",
        ),
        (
            root,
            &["user", "passwd", "alice"],
            "other\n",
            "Password updated\n",
        ),
        (Some("alice:other"), &["get", "a"], "", "a\n1\n"),
        (
            root,
            &["role", "revoke-permission", "own", "a", "--prefix"],
            "",
            "Permission of range [a, b) is revoked from role own\n",
        ),
        (
            root,
            &["user", "revoke-role", "alice", "own"],
            "",
            "Role own is revoked from user alice\n",
        ),
        (root, &["role", "delete", "own"], "", "Role own deleted\n"),
        (root, &["user", "delete", "robot"], "", "User robot deleted\n"),
        (root, &["endpoint", "status", "--cluster"], "", ""),
        (root, &["auth", "disable"], "", "Authentication Disabled\n"),
        // A server that needs nobody's name takes those who give one.
        (root, &["get", "a"], "", "a\n1\n"),
        (None, &["put", "a", "2"], "", "OK\n"),
    ];
    for (user, arguments, input, expected) in steps {
        let printed = stead(&cluster, *user, arguments, input).await?;
        if expected.is_empty() {
            assert!(!printed.contains("exit"), "{arguments:?}: {printed}");
        } else {
            let normal = |text: &str| match serde_json::from_str::<serde_json::Value>(text) {
                Ok(value) => value.to_string(),
                Err(_) => text.to_owned(),
            };
            assert_eq!(normal(&printed), normal(expected), "{arguments:?}");
        }
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

const PRIVATE_KEY: &str = include_str!("../../src/service/auth/tests/ed-private.pem");
const PUBLIC_KEY: &str = include_str!("../../src/service/auth/tests/ed-public.pem");

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
