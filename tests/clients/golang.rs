//! The official Go client, go.etcd.io/etcd/client/v3: the program in `tests/clients/go/`, built by `setup.sh`.

use std::path::Path;

use tokio::process::Command;

use super::succeeds;
use crate::e2e::auth::{ALICE_PASSWORD, ROOT_PASSWORD, protected};
use crate::support::{Program, Result, TestResult, clients_directory};

/// How what the client is told by etcd 3.5.1 and by Stead begins, where it is not the same, and why.
const DIFFERENCES: [(&str, &str, &str); 11] = [
    (
        "LeaseKeepAliveResponse {",
        "LeaseKeepAliveResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 let anybody keep a lease",
    ),
    (
        r#"LeaseTimeToLiveResponse {"granted-ttl":600,"id":"<id>","keys":["Yi9mb3JlaWdu"]"#,
        "LeaseTimeToLiveResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 showed the keys of a lease to anybody",
    ),
    (
        "HashKVResponse: rpc error: code = Unknown desc = auth: permission denied",
        "HashKVResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 did not translate the error",
    ),
    (
        "DefragmentResponse: rpc error: code = Unknown desc = auth: permission denied",
        "DefragmentResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 did not translate the error",
    ),
    (
        "AlarmResponse {",
        "AlarmResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 let anybody clear an alarm",
    ),
    (
        "DowngradeResponse: etcdserver: invalid downgrade target version (InvalidArgument)",
        "DowngradeResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 let anybody ask for a downgrade",
    ),
    (
        "CompactResponse: etcdserver: mvcc: required revision has been compacted (OutOfRange)",
        "CompactResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 let anybody compact",
    ),
    (
        "MoveLeaderResponse {}",
        "MoveLeaderResponse: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 let anybody move the leadership",
    ),
    (
        "snapshot: rpc error: code = Unknown desc = auth: permission denied",
        "snapshot: etcdserver: permission denied (PermissionDenied)",
        "3.5.1 did not translate the error",
    ),
    (
        "AuthStatusResponse: etcdserver: permission denied (PermissionDenied)",
        r#"AuthStatusResponse {"authRevision":19,"enabled":true"#,
        "3.5.1 told root alone",
    ),
    (
        "GetResponse: etcdserver: permission denied (PermissionDenied)",
        r#"GetResponse {"count":1,"#,
        "3.5.1 refused a token while authentication was disabled, so that the client sends none any more",
    ),
];

/// Functions of the library that the program does not call, and why.
const LEFT_OUT: [(&[&str], &str); 3] = [
    (
        &[
            "auth.go NewAuthFromAuthClient",
            "client.go NewCtxClient",
            "client.go NewFromURL",
            "client.go NewFromURLs",
            "cluster.go NewClusterFromClusterClient",
            "config.go AuthConfig.Empty",
            "config.go NewClientConfig",
            "config.go *ConfigSpec.Clone",
            "kv.go NewKVFromKVClient",
            "maintenance.go NewMaintenanceFromMaintenanceClient",
        ],
        "another way to make the same client",
    ),
    (
        &[
            "client.go *Client.ActiveConnection",
            "client.go *Client.WithLogger",
            "client.go IsConnCanceled",
            "client.go WithZapLogger",
            "compare.go *Cmp.ValueBytes",
            "compare.go *Cmp.WithValueBytes",
            "experimental/recipes/key.go *RemoteKV.Put",
            "experimental/recipes/key.go *RemoteKV.Value",
            "kv.go *DeleteResponse.OpResponse",
            "kv.go *PutResponse.OpResponse",
            "kv.go *TxnResponse.OpResponse",
            "logger.go SetLogger",
            "op.go *Op.WithValueBytes",
            "op.go Op.IsOptsWithFromKey",
            "op.go Op.IsOptsWithPrefix",
            "op.go Op.Limit",
        ],
        "no server hears of it",
    ),
    (
        &[
            "lease.go ErrKeepAliveHalted.Error",
            "leasing/cache.go *leaseCache.EvictRange",
            "naming/resolver/resolver.go *resolver.ResolveNow",
            "retry.go *retryMaintenanceClient.Hash",
            "retry.go retryPolicy.String",
            "retry_interceptor.go *serverStreamingRetryingStream.Header",
            "retry_interceptor.go *serverStreamingRetryingStream.Trailer",
            "watch.go *valCtx.Err",
        ],
        "for the library itself",
    ),
];

/// Packages of the library that speak with no server.
const OTHER_PACKAGES: [&str; 4] = ["credentials/", "internal/", "mock/", "yaml/"];

/// What the program prints: all that it saw, but for what differs from run to run. What it has called of the library is
/// recorded in a folder.
async fn seen(program: Program, calls: &Path) -> Result<Vec<String>> {
    let (site, cluster) = protected(program).await?;
    let pair = site.alice_pair();
    let mut client = Command::new(clients_directory().join("go-client"));
    client
        .arg("--cacert")
        .arg(site.path("client-ca.pem"))
        .arg("--cert")
        .arg(pair.certificate)
        .arg("--key")
        .arg(pair.key)
        .args(["--user", &format!("root:{ROOT_PASSWORD}")])
        .args(["--other", &format!("alice:{ALICE_PASSWORD}")])
        .arg(cluster.endpoints().join(","))
        .env("GOCOVERDIR", calls);
    let printed = succeeds(&mut client).await?;
    Ok(printed.lines().map(|line| line.trim().to_owned()).collect())
}

/// The exported functions and methods of the library that were not called.
async fn not_called(calls: &Path) -> Result<Vec<String>> {
    let mut report = Command::new("go");
    report.args(["tool", "covdata", "func", "-i"]).arg(calls);
    let report = succeeds(&mut report).await?;
    let mut functions = 0;
    let mut missing = Vec::new();
    for line in report.lines() {
        let &[place, name, share] = line.split_whitespace().collect::<Vec<_>>().as_slice() else {
            continue;
        };
        let Some(place) = place.strip_prefix("go.etcd.io/etcd/client/v3/") else {
            continue;
        };
        let is_exported = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
        if !name.rsplit('.').next().is_some_and(is_exported)
            || OTHER_PACKAGES.iter().any(|package| place.starts_with(package))
        {
            continue;
        }
        functions += 1;
        let file = place.split(':').next().unwrap_or(place);
        let function = format!("{file} {name}");
        let is_left_out = LEFT_OUT
            .iter()
            .any(|(names, _)| names.contains(&function.as_str()));
        if share == "0.0%" && !is_left_out {
            missing.push(function);
        }
    }
    assert!(functions > 200, "the functions were found: {report}");
    Ok(missing)
}

#[tokio::test]
async fn every_call_of_the_go_client_sees_the_same_of_a_protected_stead_as_of_etcd() -> TestResult {
    let calls = tempfile::tempdir()?;
    let of_etcd = seen(Program::etcd()?, calls.path()).await?;
    let of_stead = seen(Program::stead()?, calls.path()).await?;
    let unexpected: Vec<String> = of_etcd
        .iter()
        .zip(&of_stead)
        .filter(|(etcd, stead)| etcd != stead)
        .filter(|(etcd, stead)| {
            !DIFFERENCES
                .iter()
                .any(|(of_etcd, of_stead, _)| etcd.starts_with(of_etcd) && stead.starts_with(of_stead))
        })
        .map(|(etcd, stead)| format!("etcd:  {etcd}\nstead: {stead}"))
        .collect();
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n\n"));
    assert_eq!(of_etcd.len(), of_stead.len());
    assert_eq!(
        not_called(calls.path()).await?,
        [""; 0],
        "the program does not call this"
    );
    Ok(())
}
