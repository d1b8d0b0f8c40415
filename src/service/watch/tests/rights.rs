//! Rights and watches: none is created without, and none outlives them.

use super::*;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::state::auth::{AuthChange, Identity, Permission, PermissionKind};

fn auth(change: AuthChange) -> Command {
    Command::Auth(change).by_node()
}

fn add_user(name: &str) -> Command {
    auth(AuthChange::AddUser {
        name: name.to_owned(),
        password: Some(Secret::new("hash".to_owned())),
    })
}

fn grant_role(user: &str, role: &str) -> Command {
    auth(AuthChange::GrantRole {
        user: user.to_owned(),
        role: role.to_owned(),
    })
}

fn grant(key: &str, end: &str) -> Command {
    auth(AuthChange::GrantPermission {
        role: "reader".to_owned(),
        permission: Permission {
            kind: PermissionKind::Read,
            key: Bytes::copy_from_slice(key.as_bytes()),
            end: Bytes::copy_from_slice(end.as_bytes()),
        },
    })
}

fn revoke(key: &str, end: &str) -> Command {
    auth(AuthChange::RevokePermission {
        role: "reader".to_owned(),
        key: Bytes::copy_from_slice(key.as_bytes()),
        end: Bytes::copy_from_slice(end.as_bytes()),
    })
}

fn enable() -> Command {
    auth(AuthChange::Enable {
        token_key: Secret::new(vec![1; 32]),
    })
}

/// root, and alice who may read `[a, c)`; authentication is enabled.
fn node() -> Node {
    let mut node = Node::new();
    let role = AuthChange::AddRole {
        name: "reader".to_owned(),
    };
    node.run(vec![
        add_user("root"),
        grant_role("root", "root"),
        add_user("alice"),
        auth(role),
        grant_role("alice", "reader"),
        grant("a", "c"),
        enable(),
    ]);
    node
}

fn identity(node: &Node, name: &str) -> Result<Option<Identity>, ServiceError> {
    let view = node.machine.reader().view();
    Ok(Some(Identity {
        user: name.to_owned(),
        auth_revision: view.auth().revision(),
        password_revision: view.auth().user(name).map(|user| user.password_revision),
    }))
}

fn by_node(command: Command) -> Command {
    command.by_node()
}

#[tokio::test]
async fn a_watch_needs_the_right_to_read_all_its_keys() {
    let node = node();
    let mut client = node.open();
    for (request, says) in [
        (watch("a", "", 0), "0 @ 1: created"),
        (watch("a", "c", 0), "1 @ 1: created"),
        (
            watch("b", "c\0", 0),
            "-1 @ 1: refused: etcdserver: permission denied",
        ),
        (
            watch("b", "\0", 0),
            "-1 @ 1: refused: etcdserver: permission denied",
        ),
        (watch("", "", 0), "-1 @ 1: refused: etcdserver: permission denied"),
        (
            watch("b", "a", 0),
            "-1 @ 1: refused: mvcc: watcher range is empty",
        ),
    ] {
        client.handle.create_for(&request, identity(&node, "alice"));
        assert_eq!(client.drain(), [says]);
    }
    client
        .handle
        .create_for(&watch("", "\0", 0), identity(&node, "root"));
    assert_eq!(client.drain(), ["2 @ 1: created"]);
    client.create(watch("a", "", 0));
    assert_eq!(
        client.drain(),
        ["-1 @ 1: refused: etcdserver: user name is empty"]
    );
    let invalid = Err(ServiceError::InvalidAuthToken);
    client.handle.create_for(&watch("a", "", 0), invalid);
    assert_eq!(
        client.drain(),
        ["-1 @ 1: refused: etcdserver: invalid auth token"]
    );
}

#[tokio::test]
async fn a_watch_ends_with_the_right_that_it_needs_and_others_go_on() {
    let mut node = node();
    node.run(vec![grant("x", "")]);
    let mut client = node.open();
    let mut root = node.open();
    client
        .handle
        .create_for(&watch("a", "c", 0), identity(&node, "alice"));
    client
        .handle
        .create_for(&watch("x", "", 0), identity(&node, "alice"));
    root.handle
        .create_for(&watch("a", "c", 0), identity(&node, "root"));
    assert_eq!(client.drain(), ["0 @ 1: created", "1 @ 1: created"]);
    assert_eq!(root.drain(), ["0 @ 1: created"]);
    // A change that takes nothing from them.
    node.run(vec![grant("y", "")]);
    node.run(vec![
        by_node(put("a", "1")),
        revoke("a", "c"),
        by_node(put("b", "2")),
        by_node(put("x", "3")),
    ]);
    assert_eq!(
        client.drain(),
        [
            "0 @ 2: a=1",
            "0 @ 2: revoked: etcdserver: permission denied",
            "1 @ 4: x=3"
        ]
    );
    assert_eq!(root.drain(), ["0 @ 2: a=1", "0 @ 3: b=2"]);
    // Its id is free again, and it is not told a second time.
    node.run(vec![revoke("y", "")]);
    client.cancel(0);
    assert_eq!(client.drain(), [""; 0]);
}

#[tokio::test]
async fn a_watch_that_is_behind_ends_as_well() {
    let mut node = node();
    node.run(vec![by_node(put("a", "1"))]);
    let mut client = node.open();
    client
        .handle
        .create_for(&watch("a", "c", 1), identity(&node, "alice"));
    node.run(vec![revoke("a", "c")]);
    node.catch_up();
    assert_eq!(
        client.drain(),
        ["0 @ 2: created", "0 @ 2: revoked: etcdserver: permission denied"]
    );
}

#[tokio::test]
async fn a_watch_ends_with_its_user_and_with_the_password_it_was_made_with() {
    let mut node = node();
    let mut client = node.open();
    client
        .handle
        .create_for(&watch("a", "", 0), identity(&node, "alice"));
    client.drain();
    let change = AuthChange::ChangePassword {
        name: "alice".to_owned(),
        password: Secret::new("other".to_owned()),
    };
    node.run(vec![auth(change)]);
    assert_eq!(client.drain(), ["0 @ 1: revoked: etcdserver: invalid auth token"]);
    client
        .handle
        .create_for(&watch("a", "", 0), identity(&node, "alice"));
    assert_eq!(client.drain(), ["1 @ 1: created"]);
    let name = "alice".to_owned();
    node.run(vec![auth(AuthChange::DeleteUser { name })]);
    assert_eq!(client.drain(), ["1 @ 1: revoked: etcdserver: permission denied"]);
}

#[tokio::test]
async fn a_watch_of_nobody_ends_when_identities_are_needed() {
    let mut node = node();
    node.run(vec![auth(AuthChange::Disable)]);
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.run(vec![enable()]);
    assert_eq!(
        client.drain(),
        ["0 @ 1: created", "0 @ 1: revoked: etcdserver: user name is empty"]
    );
}

#[tokio::test]
async fn a_right_that_a_snapshot_takes_away_ends_the_watch() {
    let mut node = node();
    let mut client = node.open();
    client
        .handle
        .create_for(&watch("a", "", 0), identity(&node, "alice"));
    client.drain();
    node.apply(vec![revoke("a", "c"), by_node(put("a", "1"))]);
    node.announce_as_snapshot();
    node.catch_up();
    assert_eq!(client.drain(), ["0 @ 2: revoked: etcdserver: permission denied"]);
}
