//! Locks of sessions, through the death of the leader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde_json::json;
use tokio::time::sleep;

use super::*;
use crate::support::TestResult;

const TTL: Duration = Duration::from_secs(10);
const LOCK_DELAY: Duration = Duration::from_secs(5);
/// How long all of it may take: twice the time to live, and again for a new leader, the delay, and a slow machine.
const MAXIMUM_RUN: Duration = Duration::from_secs(180);
/// How long everybody goes on trying after one has the lock.
const TRIED_ON: Duration = Duration::from_secs(3);
const CONTENDERS: usize = 6;

/// The lock of a key, as a member knows it.
async fn lock(address: &str) -> Result<Value> {
    let answer = get(address, "/v1/kv/lock?consistent").await?;
    match answer.status {
        200 => Ok(answer.json()?[0].take()),
        status => Err(format!("{status}: {}", answer.body).into()),
    }
}

/// Tries to lock until somebody has had it for a while; whether this one was told that it has it, and when.
async fn contend(address: String, id: String, is_taken: Arc<AtomicBool>) -> Option<(String, Instant)> {
    let (began, mut taken_at, mut won) = (Instant::now(), None, None);
    let path = format!("/v1/kv/lock?acquire={id}");
    while began.elapsed() < MAXIMUM_RUN && taken_at.is_none_or(|at: Instant| at.elapsed() < TRIED_ON) {
        // There may be no leader for a moment; an answer that is lost is asked for again.
        if let Ok(answer) = put(&address, &path, &id).await
            && answer.body == "true"
        {
            won.get_or_insert((id.clone(), Instant::now()));
            is_taken.store(true, Ordering::Relaxed);
        }
        if is_taken.load(Ordering::Relaxed) {
            taken_at.get_or_insert_with(Instant::now);
        }
        sleep(Duration::from_millis(50)).await;
    }
    won
}

/// When the lock was last seen to be held by `id`.
async fn last_held(address: &str, id: &str) -> Option<Instant> {
    let (began, mut held) = (Instant::now(), None);
    while began.elapsed() < MAXIMUM_RUN {
        let asked = Instant::now();
        match lock(address).await {
            Ok(lock) if lock["Session"] == id => held = Some(asked),
            Ok(_) => return held,
            Err(_) => {}
        }
        sleep(POLL_INTERVAL).await;
    }
    None
}

#[tokio::test]
async fn a_lock_whose_session_ends_while_the_leader_dies_gets_one_new_holder_after_the_delay() -> TestResult {
    let mut cluster = ConsulCluster::start(3, &[]).await?;
    let leader = cluster.cluster.leader().await?;
    let alive: Vec<String> = (0..3)
        .filter(|node| *node != leader)
        .map(|node| cluster.addresses[node].clone())
        .collect();
    let delay = LOCK_DELAY.as_secs();
    let body = json!({"TTL": format!("{}s", TTL.as_secs()), "LockDelay": format!("{delay}s")});
    let began = Instant::now();
    let first = session(&alive[0], &body.to_string()).await?;
    let taken = put(&alive[0], &format!("/v1/kv/lock?acquire={first}"), "first").await?;
    assert_eq!(taken.body, "true");
    let is_taken = Arc::new(AtomicBool::new(false));
    let mut contenders = Vec::new();
    for number in 0..CONTENDERS {
        let address = alive[number % alive.len()].clone();
        let id = session(&address, "").await?;
        contenders.push(tokio::spawn(contend(address, id, Arc::clone(&is_taken))));
    }
    cluster.cluster.node(leader).kill()?;

    let held = last_held(&alive[0], &first)
        .await
        .ok_or("the session never ended")?;
    let mut winners = Vec::new();
    for contender in contenders {
        winners.extend(contender.await?);
    }
    let [(winner, won)] = winners.as_slice() else {
        return Err(format!("{} sessions got the lock", winners.len()).into());
    };
    // Freed after it was last seen to be held, and locked no earlier than the delay after that.
    assert!(*won - held >= LOCK_DELAY, "{:?}", *won - held);
    assert!(*won - began >= TTL + LOCK_DELAY, "{:?}", *won - began);
    for address in &alive {
        let lock = lock(address).await?;
        assert_eq!(
            (&lock["Session"], &lock["LockIndex"]),
            (&json!(winner), &json!(2))
        );
    }
    let renewed = put(&alive[1], &format!("/v1/session/renew/{first}"), "").await?;
    assert_eq!(renewed.status, 404);
    Ok(())
}
