//! What whoever runs a cluster does to it by Vault's interface: has the leader changed, saves all of it and goes on from
//! there, and bounds what clients ask.

use std::fs;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::super::gateway::client::{ask, ask_for_bytes};
use super::super::snapshots::{check, stead_restores};
use super::{MAXIMUM_WAIT, PAUSE, Store, Visitor};
use crate::support::vault::{NODES, three_nodes};
use crate::support::{Result, TestResult};

const PLACE: &str = "secret/data/app";

async fn write(root: &Visitor, value: &str) -> Result<()> {
    let written = root.writes(PLACE, json!({"data": {"v": value}})).await?;
    written.with(200).map(drop)
}

/// What every member reads.
async fn all_read(store: &Store, value: &str) -> Result<()> {
    for root in store.roots() {
        let read = root.reads(PLACE).await?.with(200)?;
        assert_eq!(read["data"]["data"]["v"], value);
    }
    Ok(())
}

/// The bytes of a snapshot.
async fn snapshot(root: &Visitor) -> Result<Vec<u8>> {
    let token = format!("X-Vault-Token: {}\r\n", root.token);
    let path = "/v1/sys/storage/raft/snapshot";
    let (head, body) = ask_for_bytes(&root.address, "GET", path, &token, "").await?;
    assert!(
        head.starts_with("HTTP/1.0 200") && head.contains("application/octet-stream"),
        "{head}"
    );
    Ok(body)
}

#[tokio::test]
async fn a_leader_that_is_told_to_step_down_does_so_and_secrets_are_written_and_read_on() -> TestResult {
    let mut store = Store::open().await?;
    write(&store.root(0), "before").await?;
    let before = store.cluster.leader().await?;
    let told = async |root: &Visitor| root.asks("PUT", "sys/step-down", Value::Null).await;
    told(&store.root(before).with_token("none")).await?.with(403)?;
    // One that does not lead has nothing to give up.
    told(&store.root((before + 1) % NODES)).await?.with(204)?;
    assert_eq!(store.cluster.leader().await?, before);
    told(&store.root(before)).await?.with(204)?;
    let another = async {
        while store.cluster.leader().await? == before {
            sleep(PAUSE).await;
        }
        Ok(())
    };
    let led: Result<()> = timeout(MAXIMUM_WAIT, another).await?;
    led?;
    all_read(&store, "before").await?;
    for node in 0..NODES {
        let value = format!("by {node}");
        write(&store.root(node), &value).await?;
        all_read(&store, &value).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cluster_begins_anew_from_a_snapshot_that_was_taken_by_vaults_interface() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("snapshot.db");
    let mut store = Store::open().await?;
    write(&store.root(0), "saved").await?;
    let leader = store.cluster.leader().await?;
    fs::write(&file, snapshot(&store.root((leader + 1) % NODES)).await?)?;
    write(&store.root(1), "after").await?;
    all_read(&store, "after").await?;
    store.cluster.kill_all()?;

    let (builder, addresses) = three_nodes()?;
    let mut restored = Store {
        cluster: builder.build()?,
        addresses,
        ..store
    };
    for node in restored.cluster.nodes() {
        check(stead_restores(&file, node, &[]).await?)?;
    }
    restored.cluster.start_all().await?;
    // What is in the file is sealed: it takes the shares of then.
    for root in restored.roots() {
        assert!(root.is_sealed().await?);
        root.unseals(&restored.shares[1..]).await?;
    }
    all_read(&restored, "saved").await?;
    write(&restored.root(2), "anew").await?;
    all_read(&restored, "anew").await?;
    Ok(())
}

#[tokio::test]
async fn clients_beyond_a_quota_are_told_what_they_may_ask_and_when() -> TestResult {
    let store = Store::open().await?;
    let root = store.root(0);
    write(&root, "kept").await?;
    let config = json!({"enable_rate_limit_response_headers": true});
    root.writes("sys/quotas/config", config).await?.with(204)?;
    let quota = json!({"path": "secret/", "rate": 2, "interval": "1h"});
    root.writes("sys/quotas/rate-limit/few", quota).await?.with(204)?;
    // Each member counts for itself, from when it has heard of it: it has, once it was asked once.
    all_read(&store, "kept").await?;
    for root in store.roots() {
        let token = format!("X-Vault-Token: {}\r\n", root.token);
        for (status, remaining) in [(200, 0), (429, 0)] {
            let answer = ask(&root.address, "GET", &format!("/v1/{PLACE}"), &token, "").await?;
            assert_eq!(answer.status, status, "{}", answer.body);
            assert!(answer.has_header("X-Ratelimit-Limit: 2"), "{}", answer.head);
            let remaining = format!("X-Ratelimit-Remaining: {remaining}");
            assert!(answer.has_header(&remaining), "{}", answer.head);
            let reset = |line: &str| {
                let (name, value) = line.split_once(": ")?;
                let is_reset = name.eq_ignore_ascii_case("X-Ratelimit-Reset");
                is_reset.then(|| value.trim().parse::<u64>().ok())?
            };
            let seconds = answer.head.lines().find_map(reset).ok_or("no reset")?;
            assert!((1..=3_600).contains(&seconds), "{seconds}");
        }
        // What is under no quota is served.
        root.reads("sys/mounts").await?.with(200)?;
    }
    Ok(())
}
