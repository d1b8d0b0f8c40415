//! Users and roles: what is in memory is what is stored, and there is an end to it.

use bytes::Bytes;

use super::Fixture;
use crate::base::limits::MAXIMUM_AUTH_BYTES;
use crate::base::secret::Secret;
use crate::state::applied::{Answer, Refusal};
use crate::state::auth::{Auth, AuthChange, Permission, PermissionKind};
use crate::state::command::Command;
use crate::state::{format, schema};
use crate::storage::Family;

fn change(fixture: &mut Fixture, change: AuthChange) -> Result<Answer, Refusal> {
    fixture.outcome(Command::Auth(change))
}

fn add_user(fixture: &mut Fixture, name: &str, hash: &str) -> Result<Answer, Refusal> {
    let change = AuthChange::AddUser {
        name: name.to_owned(),
        password: Some(Secret::new(hash.to_owned())),
    };
    self::change(fixture, change)
}

/// All that can be asked of users and roles.
fn picture(auth: &Auth) -> String {
    let users: Vec<_> = auth
        .user_names()
        .into_iter()
        .map(|name| (auth.user(&name).cloned(), name))
        .collect();
    let roles: Vec<_> = auth
        .role_names()
        .into_iter()
        .map(|name| (auth.role(&name).cloned(), name))
        .collect();
    let hashes: Vec<_> = users
        .iter()
        .filter_map(|(user, _)| user.as_ref()?.password.as_ref())
        .map(|hash| hash.expose().clone())
        .collect();
    let settings = (auth.is_enabled(), auth.revision(), auth.token_key().expose());
    format!("{settings:?} {users:?} {hashes:?} {roles:?}")
}

#[test]
fn what_is_read_from_disk_is_what_was_in_memory() {
    let name = |text: &str| text.to_owned();
    let permission = |kind, key: &'static str, end: &'static str| Permission {
        kind,
        key: Bytes::from(key),
        end: Bytes::from(end),
    };
    let grant = |role: &str, permission| AuthChange::GrantPermission {
        role: role.to_owned(),
        permission,
    };
    let changes = [
        AuthChange::AddUser {
            name: name("root"),
            password: Some(Secret::new(name("one"))),
        },
        AuthChange::AddUser {
            name: name("ü/ser"),
            password: None,
        },
        AuthChange::AddRole { name: name("r") },
        AuthChange::AddRole { name: name("s") },
        AuthChange::GrantRole {
            user: name("root"),
            role: name("root"),
        },
        AuthChange::GrantRole {
            user: name("ü/ser"),
            role: name("s"),
        },
        grant("r", permission(PermissionKind::Read, "b", "")),
        grant("r", permission(PermissionKind::Read, "a", "\0")),
        grant("r", permission(PermissionKind::ReadWrite, "b", "")),
        grant("s", permission(PermissionKind::Write, "x", "y")),
        AuthChange::ChangePassword {
            name: name("root"),
            password: Secret::new(name("two")),
        },
        AuthChange::RevokePermission {
            role: name("r"),
            key: Bytes::from("a"),
            end: Bytes::from("\0"),
        },
        AuthChange::DeleteRole { name: name("s") },
        AuthChange::Enable {
            token_key: Secret::new(vec![1; 32]),
        },
    ];
    let mut fixture = Fixture::new();
    for change in changes {
        let shown = format!("{change:?}");
        let outcome = fixture.outcome(match fixture.machine.reader().needs_identity() {
            true => Command::Auth(change).by_node(),
            false => Command::Auth(change),
        });
        assert_eq!(outcome, Ok(Answer::Auth), "{shown}");
        let (now, stored) = (fixture.machine.reader().view(), fixture.fresh_view());
        assert_eq!(picture(now.auth()), picture(stored.auth()), "after {shown}");
    }
    let reader = fixture.machine.reader();
    assert!(reader.needs_identity());
    assert_eq!(
        fixture.outcome(Command::Auth(AuthChange::Disable).by_node()),
        Ok(Answer::Auth)
    );
    assert!(!reader.needs_identity());
    assert!(
        reader.view().auth().token_key().expose().is_empty(),
        "no token outlives it"
    );
}

/// The format that the database says it has.
fn database_format(fixture: &Fixture) -> u32 {
    let rows = fixture.rows(Family::Meta);
    let row = rows.iter().find(|(key, _)| key == schema::FORMAT);
    let (_, record) = row.expect("there is a format");
    format::decode("database format", &Bytes::copy_from_slice(record)).expect("it is a number")
}

#[test]
fn a_database_with_users_has_a_format_that_a_program_without_users_refuses() {
    let mut fixture = Fixture::new();
    assert_eq!(add_user(&mut fixture, "", "hash"), Err(Refusal::UserEmpty));
    fixture.fresh_view();
    assert_eq!(database_format(&fixture), 1, "nothing has changed yet");
    assert_eq!(add_user(&mut fixture, "alice", "hash"), Ok(Answer::Auth));
    assert_eq!(database_format(&fixture), 2);
    assert!(fixture.fresh_view().auth().user("alice").is_some());
}

#[test]
fn users_and_roles_that_would_take_too_much_room_are_refused_until_some_are_removed() {
    const PIECE: usize = 4 * 1024 * 1024;
    let mut fixture = Fixture::new();
    let hash = "h".repeat(PIECE);
    let mut users = 0;
    let refusal = loop {
        match add_user(&mut fixture, &users.to_string(), &hash) {
            Ok(_) => users += 1,
            Err(refusal) => break refusal,
        }
        assert!(users * PIECE <= MAXIMUM_AUTH_BYTES);
    };
    assert_eq!(refusal, Refusal::AuthFull);
    assert_eq!(
        users,
        MAXIMUM_AUTH_BYTES / PIECE - 1,
        "each takes a little more than its hash"
    );
    let revision = fixture.machine.reader().view().auth().revision();
    let stored: usize = fixture
        .rows(Family::Auth)
        .iter()
        .filter(|(key, _)| key.starts_with(b"user/"))
        .map(|(key, record)| key.len() + record.len())
        .sum();
    assert!(stored <= MAXIMUM_AUTH_BYTES);
    assert_eq!(add_user(&mut fixture, "small", "h"), Ok(Answer::Auth));
    let name = "0".to_owned();
    assert_eq!(
        change(&mut fixture, AuthChange::DeleteUser { name }),
        Ok(Answer::Auth)
    );
    assert_eq!(add_user(&mut fixture, "again", &hash), Ok(Answer::Auth));
    assert_eq!(
        fixture.machine.reader().view().auth().revision(),
        revision + 3,
        "a refusal is no change"
    );
}

#[test]
fn no_password_and_no_key_shows_in_what_is_printed() {
    let commands = [
        AuthChange::AddUser {
            name: "n".to_owned(),
            password: Some(Secret::new("hunter2".to_owned())),
        },
        AuthChange::ChangePassword {
            name: "n".to_owned(),
            password: Secret::new("hunter2".to_owned()),
        },
        AuthChange::Enable {
            token_key: Secret::new(b"hunter2".to_vec()),
        },
    ];
    let mut fixture = Fixture::new();
    for change in commands {
        let command = Command::Auth(change);
        let shown = format!("{command:?} {:?}", fixture.apply(command.clone()));
        assert!(
            !shown.contains("hunter2") && !shown.contains("104, 117"),
            "{shown}"
        );
    }
    let view = fixture.machine.reader().view();
    let shown = format!("{:?}", view.auth());
    assert!(!shown.contains("hunter2"), "{shown}");
}
