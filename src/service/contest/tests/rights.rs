//! Contests of users: none is entered, seen or waited for without the rights to its keys.

use super::*;
use crate::service::auth::Caller;
use crate::state::applied::Refusal;
use crate::state::auth::{AuthChange, Permission, PermissionKind};

fn user(name: &str) -> Caller {
    Caller::default().with_certificate_name(name.into())
}

/// The range of all keys of the contest `l`.
fn permission(kind: PermissionKind, end: &'static str) -> Permission {
    Permission {
        kind,
        key: Bytes::from("l/"),
        end: Bytes::from(end),
    }
}

impl Node {
    async fn change(&self, change: AuthChange) {
        let root = self.services.users.by(user("root"));
        root.change(change).await.unwrap();
    }

    async fn add_user(&self, name: &str, permissions: &[Permission]) {
        let users = self.services.users.by(user("root"));
        users.add_user(name.to_owned(), None).await.unwrap();
        let name = || name.to_owned();
        self.change(AuthChange::AddRole { name: name() }).await;
        for permission in permissions {
            let permission = permission.clone();
            let role = name();
            self.change(AuthChange::GrantPermission { role, permission })
                .await;
        }
        let (user, role) = (name(), name());
        self.change(AuthChange::GrantRole { user, role }).await;
    }

    /// A node on which alice may do everything with the contest `l`; authentication is enabled.
    async fn start_with_users() -> Self {
        let node = Self::start().await;
        node.add_user("root", &[]).await;
        node.add_user("alice", &[permission(PermissionKind::ReadWrite, "l0")])
            .await;
        node.services.users.enable().await.unwrap();
        node
    }

    async fn lock_of(&self, name: &str, lease: LeaseId) -> Waiting {
        let locks = self.services.locks.by(user(name));
        tokio::spawn(async move { locks.lock(&Bytes::from("l"), lease).await })
    }

    fn leases(&self) -> usize {
        self.services.core.reader.view().leases().unwrap().len()
    }

    async fn lease_of(&self, name: &str) -> LeaseId {
        let leases = self.services.leases.by(user(name));
        leases.grant(LeaseId::NONE, 600).await.unwrap().answer.id
    }
}

#[tokio::test]
async fn a_contender_needs_the_rights_to_all_keys_of_the_contest_and_is_refused_without_a_trace() {
    let node = Node::start_with_users().await;
    node.add_user("reader", &[permission(PermissionKind::Read, "l0")])
        .await;
    node.add_user("writer", &[permission(PermissionKind::Write, "l0")])
        .await;
    node.add_user("stranger", &[]).await;
    let name = Bytes::from("l");
    for (who, refusal) in [
        (Caller::default(), ServiceError::Refused(Refusal::UserEmpty)),
        (user("reader"), ServiceError::Refused(Refusal::PermissionDenied)),
        (user("writer"), ServiceError::Refused(Refusal::PermissionDenied)),
        (user("stranger"), ServiceError::Refused(Refusal::PermissionDenied)),
    ] {
        let refused = node
            .services
            .locks
            .by(who.clone())
            .lock(&name, LeaseId::NONE)
            .await;
        assert_eq!(refused, Err(refusal.clone()), "{who:?}");
        let elections = node.services.elections.by(who.clone());
        let refused = elections
            .campaign(name.clone(), LeaseId::NONE, Bytes::new())
            .await;
        assert_eq!(refused, Err(refusal.clone()), "{who:?}");
    }
    // The lease that was made for a reader goes with the refusal.
    node.until(|node| node.leases() == 0).await;
    assert!(node.keys("l/").is_empty());
    let lease = node.lease_of("alice").await;
    let held = held(node.lock_of("alice", lease).await).await;
    for who in ["reader", "stranger"] {
        let refused = node.services.locks.by(user(who)).unlock(&held.answer).await;
        assert_eq!(
            refused,
            Err(ServiceError::Refused(Refusal::PermissionDenied)),
            "{who}"
        );
    }
    assert_eq!(node.keys("l/").len(), 1);
    let locks = node.services.locks.by(user("alice"));
    locks.unlock(&held.answer).await.unwrap();
}

#[tokio::test]
async fn a_leader_is_seen_by_who_may_read_and_speaks_only_with_the_right_to_write() {
    let node = Node::start_with_users().await;
    node.add_user("reader", &[permission(PermissionKind::Read, "l0")])
        .await;
    let name = Bytes::from("l");
    let alice = node.services.elections.by(user("alice"));
    let reader = node.services.elections.by(user("reader"));
    let nobody = &node.services.elections;
    let lease = node.lease_of("alice").await;
    let campaign = alice.campaign(name.clone(), lease, Bytes::from("one"));
    let leader = campaign.await.unwrap().answer;
    assert_eq!(reader.leader(&name).await.unwrap().answer.value, "one");
    assert_eq!(
        nobody.leader(&name).await,
        Err(ServiceError::Refused(Refusal::UserEmpty))
    );
    assert_eq!(
        nobody.observe(&name).next().await,
        Err(ServiceError::Refused(Refusal::UserEmpty))
    );
    let denied = Some(ServiceError::Refused(Refusal::PermissionDenied));
    assert_eq!(reader.proclaim(&leader, Bytes::new()).await.err(), denied);
    assert_eq!(reader.resign(&leader).await.err(), denied);
    let mut observation = reader.observe(&name);
    assert_eq!(next(&mut observation).await.1, "one");
    alice.proclaim(&leader, Bytes::from("two")).await.unwrap();
    assert_eq!(next(&mut observation).await.1, "two");
    node.change(AuthChange::RevokeRole {
        user: "reader".to_owned(),
        role: "reader".to_owned(),
    })
    .await;
    let ended = timeout(PATIENCE, observation.next()).await.expect("it ends");
    assert_eq!(ended.err(), denied, "the right is gone");
    alice.resign(&leader).await.unwrap();
}

#[tokio::test]
async fn a_waiter_whose_right_is_taken_away_leaves_the_queue() {
    let node = Node::start_with_users().await;
    node.add_user("bob", &[permission(PermissionKind::ReadWrite, "l0")])
        .await;
    let holder = held(node.lock_of("alice", node.lease_of("alice").await).await).await;
    // One with a lease of its own, one for whom the server made one.
    let mut waiting = Vec::new();
    for lease in [node.lease_of("bob").await, LeaseId::NONE] {
        waiting.push(node.lock_of("bob", lease).await);
        node.until_keys("l/", 1 + waiting.len()).await;
    }
    assert_eq!(node.leases(), 3);
    node.change(AuthChange::RevokeRole {
        user: "bob".to_owned(),
        role: "bob".to_owned(),
    })
    .await;
    for waiting in waiting {
        assert_eq!(
            outcome(waiting).await,
            Err(ServiceError::Refused(Refusal::PermissionDenied))
        );
    }
    node.until_keys("l/", 1).await;
    assert_eq!(node.keys("l/")[0].key, holder.answer);
    node.until(|node| node.leases() == 2).await;
}
