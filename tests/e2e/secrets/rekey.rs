//! New shares, asked for while nobody who would write them down answers: they are told all the same, and are to be verified
//! or given up, so that one always knows which ones open the store.

use serde_json::{Value, json};

use super::{Answered, SHARES, Store, THRESHOLD, Visitor};
use crate::support::vault::NODES;
use crate::support::{Result, TestResult};

/// New shares that may be in use or not.
struct Unknown {
    store: Store,
    /// The member that was asked for them.
    asked: usize,
    shares: Vec<String>,
    /// Of their verification.
    nonce: Value,
}

/// Asks the leader for new shares, while all others stand still when they are to be written: it has them in its log, and writes
/// them after all once the others are back, unless somebody keeps it from that.
async fn unknown() -> Result<Unknown> {
    let mut store = Store::open().await?;
    let secret = json!({"data": {"v": "kept"}});
    let written = store.root(0).writes("secret/data/app", secret).await?;
    written.with(200)?;
    let asked = store.cluster.leader().await?;
    let root = store.root(asked);
    let numbers = json!({"secret_shares": SHARES, "secret_threshold": THRESHOLD});
    let begun = root.writes("sys/rekey/init", numbers).await?.with(200)?;
    let gives = async |share: &String| {
        let share = json!({"key": share, "nonce": begun["nonce"]});
        root.writes("sys/rekey/update", share).await?.with(200)
    };
    let (last, first) = store.shares[..THRESHOLD].split_last().ok_or("no shares")?;
    for share in first {
        gives(share).await?;
    }
    let others = (0..NODES).filter(|node| *node != asked);
    for node in others.clone() {
        store.cluster.nodes()[node].pause()?;
    }
    let told = gives(last).await?;
    for node in others {
        store.cluster.nodes()[node].resume()?;
    }
    assert_eq!(told["verification_required"], true, "{told}");
    store.cluster.wait_until_ready().await?;
    Ok(Unknown {
        asked,
        shares: serde_json::from_value(told["keys"].clone())?,
        nonce: told["verification_nonce"].clone(),
        store,
    })
}

/// After a death of all, these open every member, and those do not.
async fn opens_to(store: &mut Store, right: &[String], wrong: &[String]) -> Result<()> {
    store.cluster.kill_all()?;
    store.cluster.start_all().await?;
    for root in store.roots() {
        let (last, first) = wrong[..THRESHOLD].split_last().ok_or("no shares")?;
        for share in first {
            is_given(&root, share).await?.with(200)?;
        }
        is_given(&root, last).await?.with(400)?;
        assert!(root.is_sealed().await?);
        root.unseals(&right[right.len() - THRESHOLD..]).await?;
        let read = root.reads("secret/data/app").await?.with(200)?;
        assert_eq!(read["data"]["data"]["v"], "kept");
    }
    Ok(())
}

async fn is_given(root: &Visitor, share: &str) -> Result<Answered> {
    root.writes("sys/unseal", json!({"key": share})).await
}

#[tokio::test]
async fn new_shares_of_which_nobody_knows_whether_they_are_in_use_are_once_verified() -> TestResult {
    let mut unknown = unknown().await?;
    let root = unknown.store.root(unknown.asked);
    for (place, share) in unknown.shares[..THRESHOLD].iter().enumerate() {
        let share = json!({"key": share, "nonce": unknown.nonce});
        let told = root.writes("sys/rekey/verify", share).await?.with(200)?;
        let is_complete = told["complete"].as_bool().unwrap_or(false);
        assert_eq!(is_complete, place + 1 == THRESHOLD, "{told}");
    }
    let former = unknown.store.shares.clone();
    Ok(opens_to(&mut unknown.store, &unknown.shares, &former).await?)
}

#[tokio::test]
async fn new_shares_of_which_nobody_knows_whether_they_are_in_use_can_be_given_up() -> TestResult {
    let mut unknown = unknown().await?;
    let root = unknown.store.root(unknown.asked);
    let given_up = root.asks("DELETE", "sys/rekey/init", Value::Null).await?;
    given_up.with(204)?;
    let former = unknown.store.shares.clone();
    Ok(opens_to(&mut unknown.store, &former, &unknown.shares).await?)
}
