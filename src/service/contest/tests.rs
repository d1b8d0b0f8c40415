mod rights;

use bytes::Bytes;
use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::service::header::Answered;
use crate::service::testing::{Node, PATIENCE};
use crate::state::applied::Refusal;

impl Node {
    async fn lease(&self) -> LeaseId {
        let granted = self.services.leases.grant(LeaseId::NONE, 600).await.unwrap();
        granted.answer.id
    }

    /// The keys that begin with `prefix`, oldest first.
    fn keys(&self, prefix: &str) -> Vec<KeyValue> {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().unwrap() += 1;
        let request = Range {
            keys: Keys {
                namespace: Namespace::DEFAULT,
                key: Bytes::copy_from_slice(prefix.as_bytes()),
                end: end.into(),
            },
            sort_order: SortOrder::Ascend,
            sort_target: SortTarget::Create,
            ..Range::default()
        };
        let view = self.services.core.reader.view();
        view.range(&request).unwrap().unwrap().key_values
    }

    async fn until_keys(&self, prefix: &str, count: usize) {
        self.until(|node| node.keys(prefix).len() == count).await;
    }

    /// Asks for the lock, and is back when its key is in the queue, the `place`th of all.
    async fn queue(&self, name: &'static str, lease: LeaseId, place: usize) -> Waiting {
        let locks = self.services.locks.clone();
        let waiting = tokio::spawn(async move { locks.lock(&Bytes::from(name), lease).await });
        self.until_keys(&format!("{name}/"), place).await;
        waiting
    }

    async fn campaign(&self, lease: LeaseId, value: &'static str) -> LeaderKey {
        let campaign = self
            .services
            .elections
            .campaign(Bytes::from("e"), lease, Bytes::from(value));
        let led = timeout(PATIENCE, campaign).await.expect("the campaign ends");
        led.unwrap().answer
    }
}

type Waiting = JoinHandle<Result<Answered<Bytes>, ServiceError>>;

async fn held(waiting: Waiting) -> Answered<Bytes> {
    outcome(waiting).await.expect("the lock is held")
}

async fn outcome(waiting: Waiting) -> Result<Answered<Bytes>, ServiceError> {
    timeout(PATIENCE, waiting).await.expect("the wait ends").unwrap()
}

async fn next(observation: &mut Observation) -> (Revision, Bytes) {
    let observed = timeout(PATIENCE, observation.next())
        .await
        .expect("somebody leads");
    let observed = observed.unwrap();
    (observed.header.revision, observed.answer.value)
}

#[tokio::test]
async fn contenders_hold_a_lock_one_after_the_other_in_the_order_of_their_create_revisions() {
    let node = Node::start().await;
    let first = held(node.queue("l", node.lease().await, 1).await).await;
    let mut waiting = Vec::new();
    for place in 2..=4 {
        waiting.push(node.queue("l", node.lease().await, place).await);
    }
    let queue = node.keys("l/");
    assert_eq!(first.answer, queue[0].key);
    assert_eq!(first.header.revision, queue[0].create_revision);
    let mut holder = first.answer;
    for (waiting, own) in waiting.into_iter().zip(&queue[1..]) {
        assert!(!waiting.is_finished());
        let given_up = node.services.locks.unlock(&holder).await.unwrap();
        let now = held(waiting).await;
        assert_eq!(now.answer, own.key);
        assert!(now.header.revision >= given_up.header.revision);
        holder = now.answer;
    }
    let tokens: Vec<Revision> = queue.iter().map(|own| own.create_revision).collect();
    assert!(tokens.is_sorted(), "{tokens:?}");
}

#[tokio::test]
async fn a_lease_that_holds_a_lock_holds_it_however_often_it_asks() {
    let node = Node::start().await;
    let lease = LeaseId(0x1f);
    node.services.leases.grant(lease, 600).await.unwrap();
    let locks = &node.services.locks;
    let first = locks.lock(&Bytes::from("l"), lease).await.unwrap();
    assert_eq!(first.answer, "l/1f");
    let second = locks.lock(&Bytes::from("l"), lease).await.unwrap();
    assert_eq!(second, first);
}

#[tokio::test]
async fn the_end_of_a_waiting_lease_ends_the_wait_at_once() {
    let node = Node::start().await;
    let holder = held(node.queue("l", node.lease().await, 1).await).await;
    let lease = node.lease().await;
    let waiting = node.queue("l", lease, 2).await;
    node.services.leases.revoke(lease).await.unwrap();
    assert_eq!(outcome(waiting).await, Err(ServiceError::SessionExpired));
    assert_eq!(
        node.keys("l/")[0].key,
        holder.answer,
        "the holder was not touched"
    );
}

#[tokio::test]
async fn a_holder_whose_lease_ends_makes_way() {
    let node = Node::start().await;
    let lease = node.lease().await;
    held(node.queue("l", lease, 1).await).await;
    let waiting = node.queue("l", node.lease().await, 2).await;
    let ended = node.services.leases.revoke(lease).await.unwrap();
    let now = held(waiting).await;
    assert!(now.header.revision >= ended.header.revision);
}

#[tokio::test]
async fn a_waiter_that_goes_away_leaves_nothing_and_nobody_overtakes() {
    let node = Node::start().await;
    let holder = held(node.queue("l", node.lease().await, 1).await).await;
    // One with a lease of its own, one for whom the server made one.
    let leaver = node.queue("l", node.lease().await, 2).await;
    let guest = node.queue("l", LeaseId::NONE, 3).await;
    let last = node.queue("l", node.lease().await, 4).await;
    let queue = node.keys("l/");
    let granted = queue[2].lease;
    leaver.abort();
    guest.abort();
    node.until_keys("l/", 2).await;
    assert_eq!(node.keys("l/")[1].key, queue[3].key);
    node.until(|node| node.services.core.reader.view().lease(granted).unwrap().is_none())
        .await;
    assert!(!last.is_finished());
    let given_up = node.services.locks.unlock(&holder.answer).await.unwrap();
    assert!(held(last).await.header.revision >= given_up.header.revision);
}

#[tokio::test]
async fn a_request_that_goes_away_before_its_key_is_there_leaves_nothing() {
    let node = Node::start().await;
    held(node.queue("l", node.lease().await, 1).await).await;
    let lease = node.lease().await;
    let name = Bytes::from("l");
    let mut asking = Box::pin(node.services.locks.lock(&name, lease));
    assert!((&mut asking).now_or_never().is_none());
    drop(asking);
    // The key comes, since the change was under way, and goes.
    let revision = |node: &Node| node.services.core.reader.view().revision();
    let before = revision(&node);
    node.until(|node| revision(node) >= Revision(before.0 + 2) || node.keys("l/").len() == 2)
        .await;
    node.until_keys("l/", 1).await;
}

#[tokio::test]
async fn a_lock_that_is_held_stays_when_its_holder_asks_again_and_goes_away() {
    let node = Node::start().await;
    let lease = node.lease().await;
    let holder = held(node.queue("l", lease, 1).await).await;
    let name = Bytes::from("l");
    let mut asking = Box::pin(node.services.locks.lock(&name, lease));
    assert!((&mut asking).now_or_never().is_none());
    drop(asking);
    let probe = node.queue("l", node.lease().await, 2).await;
    assert!(!probe.is_finished());
    assert_eq!(node.keys("l/")[0].key, holder.answer);
    probe.abort();
}

#[tokio::test]
async fn a_contender_without_a_lease_gets_one_of_60_seconds() {
    let node = Node::start().await;
    let lock = node
        .services
        .locks
        .lock(&Bytes::from("l"), LeaseId::NONE)
        .await
        .unwrap();
    let lease = node.keys("l/")[0].lease;
    assert_eq!(lock.answer, format!("l/{:x}", lease.0));
    assert_eq!(node.services.core.reader.view().lease(lease).unwrap(), Some(60));
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_refused_and_leaves_nothing() {
    let node = Node::start().await;
    let name = Bytes::from("l");
    let refused = node.services.locks.lock(&name, LeaseId(5)).await;
    assert_eq!(refused, Err(ServiceError::Refused(Refusal::LeaseNotFound)));
    let refused = node
        .services
        .elections
        .campaign(name, LeaseId(-5), Bytes::new())
        .await;
    assert_eq!(refused.err(), Some(ServiceError::Refused(Refusal::LeaseNotFound)));
    assert!(node.keys("l/").is_empty());
    assert_eq!(
        node.services.locks.unlock(&Bytes::new()).await.err(),
        Some(ServiceError::EmptyKey)
    );
}

#[tokio::test]
async fn a_leader_proclaims_until_it_resigns_and_never_after() {
    let node = Node::start().await;
    let elections = &node.services.elections;
    let name = Bytes::from("e");
    assert_eq!(
        elections.leader(&name).await.err(),
        Some(ServiceError::NoElectionLeader)
    );
    let leader = node.campaign(node.lease().await, "one").await;
    let seen = elections.leader(&name).await.unwrap().answer;
    assert_eq!((&seen.key, &seen.value[..]), (&leader.key, &b"one"[..]));
    assert_eq!(seen.create_revision, leader.revision);
    elections.proclaim(&leader, Bytes::from("two")).await.unwrap();
    let without_lease = LeaderKey {
        lease: LeaseId::NONE,
        ..leader.clone()
    };
    elections
        .proclaim(&without_lease, Bytes::from("three"))
        .await
        .unwrap();
    let seen = elections.leader(&name).await.unwrap().answer;
    assert_eq!((&seen.value[..], seen.lease), (&b"three"[..], leader.lease));
    elections.resign(&leader).await.unwrap();
    elections.resign(&leader).await.unwrap();
    assert_eq!(
        elections.proclaim(&leader, Bytes::from("late")).await.err(),
        Some(ServiceError::NotElectionLeader)
    );
    assert_eq!(
        elections.leader(&name).await.err(),
        Some(ServiceError::NoElectionLeader)
    );
}

#[tokio::test]
async fn a_former_leader_takes_nothing_from_its_successor() {
    let node = Node::start().await;
    let lease = node.lease().await;
    let former = node.campaign(lease, "old").await;
    node.services.elections.resign(&former).await.unwrap();
    let again = node.campaign(lease, "new").await;
    assert_eq!(former.key, again.key, "the same lease has the same key");
    assert!(former.revision < again.revision);
    node.services.elections.resign(&former).await.unwrap();
    let seen = node.services.elections.leader(&Bytes::from("e")).await.unwrap();
    assert_eq!(seen.answer.create_revision, again.revision);
}

#[tokio::test]
async fn a_campaign_again_with_another_value_proclaims_it() {
    let node = Node::start().await;
    let lease = node.lease().await;
    let first = node.campaign(lease, "one").await;
    assert_eq!(node.campaign(lease, "two").await, first);
    assert_eq!(&node.keys("e/")[0].value[..], b"two");
}

#[tokio::test]
async fn a_campaign_whose_lease_ends_does_not_lead() {
    let node = Node::start().await;
    let leader = node.campaign(node.lease().await, "one").await;
    let lease = node.lease().await;
    let elections = node.services.elections.clone();
    let campaign =
        tokio::spawn(async move { elections.campaign("e".into(), lease, Bytes::from("two")).await });
    node.until_keys("e/", 2).await;
    node.services.leases.revoke(lease).await.unwrap();
    let outcome = timeout(PATIENCE, campaign)
        .await
        .expect("the campaign ends")
        .unwrap();
    assert_eq!(outcome.err(), Some(ServiceError::NotElectionLeader));
    assert_eq!(node.keys("e/")[0].key, leader.key);
}

#[tokio::test]
async fn an_observer_is_told_every_value_and_every_leader_in_order() {
    let node = Node::start().await;
    let elections = &node.services.elections;
    let mut observation = elections.observe(&Bytes::from("e"));
    // There is no leader, and nothing is said.
    assert!(observation.next().now_or_never().is_none());
    let first = node.campaign(node.lease().await, "one").await;
    assert_eq!(next(&mut observation).await, (first.revision, Bytes::from("one")));
    for value in ["two", "three"] {
        let proclaimed = elections.proclaim(&first, Bytes::from(value)).await.unwrap();
        assert_eq!(
            next(&mut observation).await,
            (proclaimed.header.revision, Bytes::from(value))
        );
    }
    elections.resign(&first).await.unwrap();
    let second = node.campaign(node.lease().await, "four").await;
    assert_eq!(
        next(&mut observation).await,
        (second.revision, Bytes::from("four"))
    );
    // Who comes later is told at once.
    let mut late = elections.observe(&Bytes::from("e"));
    assert_eq!(next(&mut late).await.1, "four");
}

#[tokio::test]
async fn observers_and_waiters_end_with_the_node() {
    let node = Node::start().await;
    held(node.queue("l", node.lease().await, 1).await).await;
    let waiting = node.queue("l", node.lease().await, 2).await;
    let mut observation = node.services.elections.observe(&Bytes::from("e"));
    assert!(observation.next().now_or_never().is_none());
    node.hub.stop();
    assert_eq!(outcome(waiting).await, Err(ServiceError::Stopped));
    let ended = timeout(PATIENCE, observation.next())
        .await
        .expect("the observation ends");
    assert_eq!(ended, Err(ServiceError::Stopped));
}

#[test]
fn contenders_have_the_keys_that_etcds_clients_give_them() {
    let contest = Contest::named(&Bytes::from("a"));
    assert_eq!(
        contest.key_of(LeaseId(0x5315_a1fb_90e2_a538)),
        "a/5315a1fb90e2a538"
    );
    assert_eq!(contest.key_of(LeaseId(-1)), "a/-1");
    let keys = contest.keys();
    assert_eq!((&keys.key[..], &keys.end[..]), (&b"a/"[..], &b"a0"[..]));
    assert_eq!(Contest::named(&Bytes::new()).keys().key, "/");
}
