//! Services of users: shown to all who are known, changed by `root`.

use super::*;
use crate::state::applied::Refusal;
use crate::state::auth::AuthChange;

fn user(name: &str) -> Caller {
    Caller::default().with_certificate_name(name.into())
}

async fn with_users(node: &TestNode) {
    let users = &node.services.users;
    for name in ["root", "alice"] {
        users.add_user(name.to_owned(), None).await.unwrap();
    }
    let role = || "root".to_owned();
    users.change(AuthChange::AddRole { name: role() }).await.unwrap();
    let grant = AuthChange::GrantRole {
        user: role(),
        role: role(),
    };
    users.change(grant).await.unwrap();
    users.enable().await.unwrap();
}

#[tokio::test]
async fn services_are_shown_to_any_user_and_changed_by_root_alone() {
    let node = TestNode::start().await;
    with_users(&node).await;
    let registry = node.registry();
    let web = instance("web", "n", "w");
    for (caller, refusal) in [
        (Caller::default(), ServiceError::Refused(Refusal::UserEmpty)),
        (user("alice"), ServiceError::Refused(Refusal::PermissionDenied)),
    ] {
        let refused = registry.by(caller);
        assert_eq!(
            refused.register(web.clone(), Claim::New, &[]).await,
            Err(refusal.clone())
        );
        assert_eq!(refused.deregister("n", "w", None).await, Err(refusal.clone()));
        assert_eq!(
            refused.register_node(&known_node("n"), &[]).await,
            Err(refusal.clone())
        );
        assert_eq!(refused.deregister_node("n").await, Err(refusal.clone()));
        let maintenance = refused.set_maintenance("n", Some("w"), Some("why")).await;
        assert_eq!(maintenance, Err(refusal.clone()));
        let reported = refused.report("n", Some("w"), "c", &state(Status::Passing)).await;
        assert_eq!(reported, Err(refusal.clone()));
        assert_eq!(refused.heartbeat(&[LeaseId(1)]).await, Err(refusal));
    }
    let root = registry.by(user("root"));
    let mortal = mortal("web", "n", "w");
    let registered = root.register(mortal, Claim::New, &[]).await.unwrap().answer;
    assert_eq!(root.heartbeat(&[registered.lease]).await.unwrap().answer, []);
    assert_eq!(
        registry.catalog(false).await.err(),
        Some(ServiceError::Refused(Refusal::UserEmpty))
    );
    assert_eq!(
        registry.catalog(true).await.err(),
        Some(ServiceError::Refused(Refusal::UserEmpty))
    );
    let nobody = registry.watch(Filter::default(), None).await;
    assert_eq!(nobody.err(), Some(ServiceError::Refused(Refusal::UserEmpty)));
    let alice = registry.by(user("alice"));
    assert_eq!(alice.catalog(false).await.unwrap().instances(), 1);
    // What the lists of etcd need no rights for because they do not show it.
    let leases = node.services.leases.by(user("alice"));
    assert_eq!(leases.list().await.unwrap().answer, []);

    // A watch ends with the user.
    let mut watch = alice.watch(Filter::default(), None).await.unwrap();
    assert_eq!(watch.next().await.unwrap().changes.len(), 1);
    let name = "alice".to_owned();
    let users = node.services.users.by(user("root"));
    users.change(AuthChange::DeleteUser { name }).await.unwrap();
    root.register(web, Claim::Whichever, &[]).await.unwrap();
    let ended = timeout(PATIENCE, watch.next()).await.expect("the watch ends");
    assert_eq!(
        ended.err(),
        Some(ServiceError::Refused(Refusal::PermissionDenied))
    );
}

#[tokio::test]
async fn a_catalog_is_kept_while_users_come_and_go() {
    let node = TestNode::start().await;
    node.register(instance("web", "n", "first"), Claim::New)
        .await
        .unwrap();
    with_users(&node).await;
    let root = node.registry().by(user("root"));
    root.register(instance("web", "n", "second"), Claim::New, &[])
        .await
        .unwrap();
    assert_eq!(root.catalog(false).await.unwrap().instances(), 2);
}
