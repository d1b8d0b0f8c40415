//! Users and roles are read back as they were written.

use bytes::Bytes;
use prost::Message as _;

use super::super::schema::{self, StoredPermission, StoredRole, StoredUser};
use super::{Items, NamedItems, apply, file_of, file_of_buckets, fill, machine_of, refused};
use crate::base::limits::MAXIMUM_AUTH_BYTES;
use crate::base::secret::Secret;
use crate::state::auth::{Auth, AuthChange, Permission, PermissionKind};
use crate::state::command::Command;

/// Users, roles and rights as somebody who may see all of them would.
fn users_seen(auth: &Auth) -> impl PartialEq + std::fmt::Debug + use<> {
    let users: Vec<_> = auth
        .user_names()
        .into_iter()
        .map(|name| {
            let user = auth.user(&name).unwrap();
            let hash = user.password.as_ref().map(|hash| hash.expose().clone());
            (name, hash, user.roles.clone())
        })
        .collect();
    let roles: Vec<_> = auth
        .role_names()
        .into_iter()
        .map(|name| (auth.role(&name).cloned(), name))
        .collect();
    (auth.is_enabled(), auth.revision(), users, roles)
}

fn permission(kind: PermissionKind, key: &'static str, end: &'static str) -> Permission {
    Permission {
        kind,
        key: key.into(),
        end: end.into(),
    }
}

/// Users with and without a password, roles with rights of every kind, and `root`; enabled.
fn users() -> Vec<Command> {
    let add_user = |name: &str, hash: Option<&str>| AuthChange::AddUser {
        name: name.to_owned(),
        password: hash.map(|hash| Secret::new(hash.to_owned())),
    };
    let add_role = |name: &str| AuthChange::AddRole {
        name: name.to_owned(),
    };
    let grant_role = |user: &str, role: &str| AuthChange::GrantRole {
        user: user.to_owned(),
        role: role.to_owned(),
    };
    let grant = |permission| AuthChange::GrantPermission {
        role: "own".to_owned(),
        permission,
    };
    let changes = vec![
        add_user("root", Some("$argon2id$root")),
        add_role("root"),
        grant_role("root", "root"),
        add_user("alice", Some("$argon2id$alice")),
        add_user("machine", None),
        add_role("own"),
        add_role("empty"),
        grant(permission(PermissionKind::Read, "b", "c")),
        grant(permission(PermissionKind::Write, "a", "")),
        grant(permission(PermissionKind::ReadWrite, "a", "\0")),
        grant_role("alice", "own"),
        grant_role("alice", "empty"),
        grant_role("machine", "own"),
        AuthChange::Enable {
            token_key: Secret::new(b"the key of the tokens".to_vec()),
        },
    ];
    changes.into_iter().map(Command::Auth).collect()
}

#[test]
fn users_and_roles_are_restored_and_the_key_of_their_tokens_is_in_no_file() {
    let machine = machine_of(users());
    let view = machine.reader().view();
    let fixture = file_of(&view);
    let file = std::fs::read(&fixture.path).unwrap();
    let has = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(has(b"$argon2id$alice") && !has(b"the key of the tokens"));
    let (_, mut other) = fill(&fixture, None).unwrap();
    let restored = other.reader().view();
    assert_eq!(users_seen(restored.auth()), users_seen(view.auth()));
    assert!(restored.auth().token_key().expose().is_empty());

    // The first login draws another key, and no second one does.
    for (index, key) in (1..).zip([b"second", b"third "]) {
        let enable = Command::Auth(AuthChange::Enable {
            token_key: Secret::new(key.to_vec()),
        });
        apply(&mut other, index, enable.by_node());
    }
    let after = other.reader().view();
    assert_eq!(after.auth().token_key().expose(), b"second");
    assert_eq!(users_seen(after.auth()), users_seen(view.auth()));
}

#[test]
fn users_and_roles_that_cannot_be_are_refused() {
    let key: NamedItems<'_> = ("key", &[]);
    let meta: NamedItems<'_> = ("meta", &[]);
    let twice = StoredPermission {
        kind: schema::READ,
        key: "a".into(),
        end: Bytes::new(),
    };
    let unknown = StoredPermission {
        kind: 3,
        ..twice.clone()
    };
    let role = |permissions: &[&StoredPermission]| StoredRole {
        name: "r".into(),
        permissions: permissions.iter().map(|&permission| permission.clone()).collect(),
    };
    let twice = role(&[&twice, &twice]).encode_to_vec();
    let unknown = role(&[&unknown]).encode_to_vec();
    let user = StoredUser {
        name: "u".into(),
        password: Bytes::from_static(b"\xff"),
        ..StoredUser::default()
    };
    let user = user.encode_to_vec();
    let cases: [(&str, &[u8], &[u8]); 6] = [
        ("authUsers", b"u", &user),
        ("authUsers", b"u", b"\xff\xff"),
        ("authUsers", b"\xff", b""),
        ("authRoles", b"r", &twice),
        ("authRoles", b"r", &unknown),
        ("auth", b"authRevision", b"three"),
    ];
    for (name, item, value) in cases {
        let items: Items<'_> = &[(item, value)];
        let error = refused(&file_of_buckets(&[key, meta, (name, items)]));
        assert!(error.contains("damaged"), "{name}: {error}");
    }
    let large = StoredUser {
        password: vec![b'x'; MAXIMUM_AUTH_BYTES].into(),
        ..StoredUser::default()
    }
    .encode_to_vec();
    let items: Items<'_> = &[(b"u", &large)];
    let error = refused(&file_of_buckets(&[key, meta, ("authUsers", items)]));
    assert!(error.contains("more than"), "{error}");

    let none: Items<'_> = &[(b"authEnabled", b"\x00"), (b"authRevision", &[0; 8])];
    let (_, machine) = fill(&file_of_buckets(&[key, meta, ("auth", none)]), None).unwrap();
    assert_eq!(
        users_seen(machine.reader().view().auth()),
        users_seen(&Auth::default())
    );
}
