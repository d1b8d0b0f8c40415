//! Every method of every service, for those who may not call it.

use bytes::Bytes;
use prost::Message;
use stead::proto::etcdserverpb::{MemberAddRequest, MemberUpdateRequest, RangeRequest};
use stead::proto::v3electionpb::{LeaderKey, ProclaimRequest};
use stead::proto::v3lockpb::{LockRequest, UnlockRequest};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{ALICE_PASSWORD, clients_of, set_up};
use crate::e2e::gateway::client::{Stream, ask, send};
use crate::support::{Cluster, Program, Result, TestResult};

/// Calls that take one message, with one that is valid as far as it goes.
fn calls() -> Vec<(&'static str, Vec<&'static str>, Vec<u8>)> {
    let key = RangeRequest {
        key: Bytes::from("a"),
        ..RangeRequest::default()
    };
    let peer_ur_ls = vec!["http://127.0.0.1:1".to_owned()];
    let added = MemberAddRequest {
        peer_ur_ls: peer_ur_ls.clone(),
        ..MemberAddRequest::default()
    };
    let updated = MemberUpdateRequest { id: 0, peer_ur_ls };
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
            vec!["MemberRemove", "MemberList", "MemberPromote"],
            Vec::new(),
        ),
        ("etcdserverpb.Cluster", vec!["MemberAdd"], added.encode_to_vec()),
        (
            "etcdserverpb.Cluster",
            vec!["MemberUpdate"],
            updated.encode_to_vec(),
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

/// The same, of locks and elections, whose errors have the code Unknown, as in etcd.
fn contest_calls() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let lock = LockRequest {
        name: Bytes::from("b"),
        ..LockRequest::default()
    };
    let leader = LeaderKey {
        name: Bytes::from("b"),
        key: Bytes::from("b/1"),
        ..LeaderKey::default()
    };
    let proclaim = ProclaimRequest {
        leader: Some(leader),
        ..ProclaimRequest::default()
    };
    let (lock, proclaim) = (lock.encode_to_vec(), proclaim.encode_to_vec());
    vec![
        ("v3lockpb.Lock", "Lock", lock.clone()),
        ("v3lockpb.Lock", "Unlock", lock.clone()),
        ("v3electionpb.Election", "Campaign", lock.clone()),
        ("v3electionpb.Election", "Proclaim", proclaim.clone()),
        ("v3electionpb.Election", "Leader", lock.clone()),
        ("v3electionpb.Election", "Observe", lock),
        ("v3electionpb.Election", "Resign", proclaim),
    ]
}

/// Calls a method with one message, and waits for the first answer.
async fn call(
    channel: &Channel,
    path: &PathAndQuery,
    message: &[u8],
    token: Option<&str>,
) -> Result<(), Status> {
    let message = KeyMessage::decode(message).expect("bytes, or nothing");
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
}

/// A message of raw bytes.
#[derive(Clone, PartialEq, Message)]
struct KeyMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    second: Bytes,
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
            let call = async |token| call(&channel, &path, &message, token).await;
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

#[tokio::test]
async fn locks_and_elections_need_the_rights_to_their_keys() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let (_, alice) = set_up(&cluster).await?;
    let channel = Endpoint::from_shared(cluster.endpoints().remove(0))?
        .connect()
        .await?;
    for (service, method, message) in contest_calls() {
        let path: PathAndQuery = format!("/{service}/{method}").parse()?;
        for (token, text) in [
            (None, "etcdserver: user name is empty"),
            (Some("no-token"), "etcdserver: invalid auth token"),
            (Some(alice.as_str()), "etcdserver: permission denied"),
        ] {
            let refused = call(&channel, &path, &message, token).await;
            let refused = refused.expect_err("there is no right to it");
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::Unknown, text),
                "{method}"
            );
        }
    }
    let mut user = clients_of(&cluster, 0, &alice)?;
    let name = Bytes::from("a");
    let lock = LockRequest { name, lease: 0 };
    let key = user.lock.lock(lock).await?.into_inner().key;
    user.lock.unlock(UnlockRequest { key }).await?;
    Ok(())
}

#[tokio::test]
async fn the_gateway_takes_the_token_of_the_authorization_header() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let (root, alice) = set_up(&cluster).await?;
    let address = cluster.node(0).client_address();
    let login = format!(r#"{{"name":"alice","password":"{ALICE_PASSWORD}"}}"#);
    let answer = ask(&address, "POST", "/v3/auth/authenticate", "", &login).await?;
    let json = answer.json()?;
    let json_token = json["token"].as_str().ok_or("no token")?;
    // The keys a and b.
    let (own, other) = (r#"{"key":"YQ=="}"#, r#"{"key":"Yg=="}"#);
    for (token, path, body, status, message) in [
        ("", "kv/range", own, 400, "etcdserver: user name is empty"),
        ("no-token", "kv/range", own, 401, "etcdserver: invalid auth token"),
        (&alice, "kv/range", own, 200, ""),
        (json_token, "kv/put", own, 200, ""),
        (&alice, "kv/range", other, 403, "etcdserver: permission denied"),
        (
            &alice,
            "kv/deleterange",
            other,
            403,
            "etcdserver: permission denied",
        ),
        (
            &alice,
            "lock/lock",
            r#"{"name":"Yg=="}"#,
            500,
            "etcdserver: permission denied",
        ),
        (
            &alice,
            "auth/user/list",
            "{}",
            403,
            "etcdserver: permission denied",
        ),
        (&root, "auth/user/list", "{}", 200, ""),
    ] {
        for scheme in ["", "Bearer "] {
            let headers = if token.is_empty() {
                String::new()
            } else {
                format!("Authorization: {scheme}{token}\r\n")
            };
            let answer = ask(&address, "POST", &format!("/v3/{path}"), &headers, body).await?;
            assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
            assert!(answer.body.contains(message), "{path} {body}: {}", answer.body);
        }
    }
    for (keys, says) in [
        (own, "\"created\":true"),
        (other, "etcdserver: permission denied"),
    ] {
        let headers = format!("Authorization: {alice}\r\n");
        let body = format!(r#"{{"create_request":{keys}}}"#);
        let sent = send(&address, "POST", "/v3/watch", &headers, &body).await?;
        let first = Stream::on(sent).await?.json().await?;
        assert!(first.to_string().contains(says), "{keys}: {first}");
    }
    Ok(())
}
