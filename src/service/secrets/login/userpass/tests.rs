use std::time::Duration;

use serde_json::{Value, json};

use super::UserPass;
use crate::base::limits::{
    MAXIMUM_LOGIN_FAILURES, MAXIMUM_LOGIN_PASSWORD_BYTES, MAXIMUM_UNKNOWN_LOGIN_NAMES,
};
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Engine, Fault, Login};
use crate::service::secrets::login::tests::renewals_follow;
use crate::service::secrets::policy::Operation::{self, Delete, List, Read, Update};

struct Userpass(Bench<UserPass>);

impl Userpass {
    fn new() -> Self {
        let mut bench = Self(Bench::new(UserPass, "userpass", "auth/userpass/", &[]));
        let user = json!({"password": "testpass", "policies": "not_root", "ttl": "10s"});
        bench.ask(Update, "users/TestUser", &user).unwrap();
        bench
    }

    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Value, Fault> {
        self.0.data(operation, path, &body.to_string())
    }

    fn login(&mut self, name: &str, password: &str) -> Result<Login, Fault> {
        let body = json!({"password": password}).to_string();
        let answer = self.0.ask(Update, &format!("login/{name}"), &body)?;
        Ok(answer.login.unwrap())
    }

    fn fail(&mut self, name: &str, times: usize) {
        for _ in 0..times {
            assert_eq!(self.login(name, "wrong").unwrap_err().to_string(), WRONG);
        }
    }
}

const WRONG: &str = "invalid username or password";

#[test]
fn a_user_logs_in_in_any_case_of_letters() {
    let mut bench = Userpass::new();
    for name in ["testuser", "TESTUSER"] {
        let login = bench.login(name, "testpass").unwrap();
        assert_eq!(login.alias, "testuser");
        assert_eq!(login.display_name, "testuser");
        assert_eq!(login.metadata["username"], "testuser");
        assert_eq!(login.policies, ["not_root"]);
        assert_eq!(login.ttl, Duration::from_secs(10));
    }
    assert!(UserPass.is_open("login/testuser"));
    for path in ["login", "login/", "login/a/b", "users/testuser", "users"] {
        assert!(!UserPass.is_open(path), "{path}");
    }
}

#[test]
fn only_the_whole_password_opens() {
    let mut bench = Userpass::new();
    for (name, password) in [
        ("testuser", "testpas"),
        ("testuser", "testpass "),
        ("nobody", "testpass"),
    ] {
        let error = bench.login(name, password).unwrap_err();
        assert!(matches!(error, Fault::Invalid(_)));
        assert_eq!(error.to_string(), WRONG);
    }
    assert_eq!(
        bench.login("testuser", "").unwrap_err().to_string(),
        "missing password"
    );
    let longest = "a".repeat(MAXIMUM_LOGIN_PASSWORD_BYTES);
    bench
        .ask(Update, "users/long", &json!({"password": longest}))
        .unwrap();
    bench.login("long", &longest).unwrap();
    assert_eq!(
        bench
            .login("long", &format!("{longest}a"))
            .unwrap_err()
            .to_string(),
        WRONG
    );
    let error = bench
        .ask(Update, "users/long", &json!({"password": format!("{longest}a")}))
        .unwrap_err();
    assert_eq!(error.to_string(), "password has 73 bytes; the most is 72");
}

#[test]
fn a_user_is_shown_without_the_password() {
    let mut bench = Userpass::new();
    let data = bench.ask(Read, "users/testuser", &json!({})).unwrap();
    assert_eq!(data["policies"], json!(["not_root"]));
    assert_eq!(data["token_policies"], json!(["not_root"]));
    assert_eq!(data["token_ttl"], 10);
    assert!(data.get("password").is_none() && !data.to_string().contains("$2"));
    assert_eq!(
        bench.ask(List, "users/", &json!({})).unwrap(),
        json!({"keys": ["testuser"]})
    );
    for (record, _) in bench.0.storage.records.values() {
        let record = String::from_utf8_lossy(record);
        assert!(record.contains("$2") && !record.contains("testpass"), "{record}");
    }
    bench.ask(Delete, "users/testuser", &json!({})).unwrap();
    assert!(matches!(
        bench.ask(Read, "users/testuser", &json!({})),
        Err(Fault::Missing)
    ));
    assert!(matches!(
        bench.ask(List, "users/", &json!({})),
        Err(Fault::Missing)
    ));
    assert_eq!(
        bench.login("testuser", "testpass").unwrap_err().to_string(),
        WRONG
    );
}

#[test]
fn passwords_and_policies_are_changed_alone() {
    let mut bench = Userpass::new();
    bench
        .ask(Update, "users/testuser/password", &json!({"password": "other"}))
        .unwrap();
    bench
        .ask(Update, "users/testuser/policies", &json!({"policies": "a,b"}))
        .unwrap();
    assert_eq!(
        bench.login("testuser", "testpass").unwrap_err().to_string(),
        WRONG
    );
    let login = bench.login("testuser", "other").unwrap();
    assert_eq!(
        (login.policies.as_slice(), login.ttl.as_secs()),
        (&["a".to_owned(), "b".to_owned()][..], 10)
    );
    bench
        .ask(Update, "users/testuser", &json!({"token_ttl": 20}))
        .unwrap();
    assert_eq!(bench.login("testuser", "other").unwrap().ttl.as_secs(), 20);
    for path in ["users/nobody/password", "users/nobody/policies"] {
        let error = bench
            .ask(Update, path, &json!({"password": "a"}))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "username does not exist");
    }
    let error = bench
        .ask(Update, "users/new", &json!({"policies": "a"}))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "missing password");
    let hashed = bench.ask(Update, "users/new", &json!({"password_hash": "$2a$10$"}));
    assert!(matches!(hashed, Err(Fault::Unimplemented(_))));
}

#[test]
fn five_wrong_passwords_lock_anybody_out_for_a_while_there_or_not() {
    for name in ["testuser", "nobody"] {
        let mut bench = Userpass::new();
        bench.fail(name, MAXIMUM_LOGIN_FAILURES);
        for password in ["testpass", "wrong"] {
            assert!(
                matches!(bench.login(name, password), Err(Fault::Denied)),
                "{name} {password}"
            );
        }
        bench.0.now += Duration::from_secs(15 * 60 - 1);
        assert!(matches!(bench.login(name, "testpass"), Err(Fault::Denied)));
        bench.0.now += Duration::from_secs(1);
        bench.fail(name, 1);
        if name == "testuser" {
            bench.login(name, "testpass").unwrap();
        }
    }
}

#[test]
fn one_who_is_locked_out_locks_nobody_else_out() {
    let mut bench = Userpass::new();
    bench
        .ask(Update, "users/other", &json!({"password": "testpass"}))
        .unwrap();
    bench.fail("other", MAXIMUM_LOGIN_FAILURES);
    bench.login("testuser", "testpass").unwrap();
}

#[test]
fn failures_are_forgotten_after_a_while_or_a_login() {
    let mut bench = Userpass::new();
    bench.fail("testuser", MAXIMUM_LOGIN_FAILURES - 1);
    bench.login("testuser", "testpass").unwrap();
    bench.fail("testuser", MAXIMUM_LOGIN_FAILURES - 1);
    bench.0.now += Duration::from_secs(15 * 60);
    bench.fail("testuser", MAXIMUM_LOGIN_FAILURES - 1);
    bench.login("testuser", "testpass").unwrap();
    assert_eq!(bench.0.storage.records.len(), 1, "nothing is left of them");
}

#[test]
fn who_may_change_a_user_ends_a_lock() {
    let mut bench = Userpass::new();
    bench.fail("testuser", MAXIMUM_LOGIN_FAILURES);
    bench
        .ask(
            Update,
            "users/testuser/password",
            &json!({"password": "testpass"}),
        )
        .unwrap();
    bench.login("testuser", "testpass").unwrap();
}

/// The records of failures: where they are, and after how long they are gone.
fn failures(bench: &Userpass) -> Vec<(&str, Option<Duration>)> {
    let records = bench.0.storage.records.iter();
    let failures = records.filter(|(path, _)| path.starts_with("failures/") || path.starts_with("unknown/"));
    failures.map(|(path, (_, ttl))| (path.as_str(), *ttl)).collect()
}

#[test]
fn records_of_failures_go_by_themselves() {
    let mut bench = Userpass::new();
    bench.fail("nobody", 1);
    bench.fail("testuser", 1);
    let ttls: Vec<_> = failures(&bench).into_iter().map(|(_, ttl)| ttl).collect();
    assert_eq!(ttls, [Some(Duration::from_secs(15 * 60)); 2]);
}

/// The record of failures of a name that is nobody's.
fn failed(bench: &Userpass, name: &str) -> Vec<u8> {
    let mut records = bench.0.storage.records.iter();
    let is_of = |record: &[u8]| String::from_utf8_lossy(record).contains(&format!("\"{name}\""));
    let found = records.find(|(path, (record, _))| path.starts_with("unknown/") && is_of(record));
    found.unwrap().1.0.clone()
}

#[test]
fn names_that_are_made_up_share_records_and_leave_those_of_users_alone() {
    let mut bench = Userpass::new();
    bench.fail("testuser", MAXIMUM_LOGIN_FAILURES);
    bench.fail("nobody", 1);
    // As if somebody had failed by every other name that there is, the last ones by these.
    let record = String::from_utf8(failed(&bench, "nobody")).unwrap();
    for slot in 0..MAXIMUM_UNKNOWN_LOGIN_NAMES {
        let record = record.replace("nobody", &format!("other{slot}")).into_bytes();
        let ttl = Some(Duration::from_secs(1));
        bench
            .0
            .storage
            .records
            .insert(format!("unknown/{slot}"), (record, ttl));
    }
    for name in ["somebody", "anybody", "a", "b", "c"] {
        bench.fail(name, 1);
        failed(&bench, name);
    }
    let unknown = failures(&bench)
        .into_iter()
        .filter(|(path, _)| path.starts_with("unknown/"));
    assert_eq!(unknown.count() as u64, MAXIMUM_UNKNOWN_LOGIN_NAMES);
    assert!(matches!(bench.login("testuser", "testpass"), Err(Fault::Denied)));
    // A name whose record another took is counted anew, from what is its own.
    bench.fail("nobody", MAXIMUM_LOGIN_FAILURES);
    assert!(matches!(bench.login("nobody", "wrong"), Err(Fault::Denied)));
}

#[test]
fn which_record_a_made_up_name_has_is_another_for_each_mount() {
    let place = || {
        let mut bench = Userpass::new();
        let mut places = Vec::new();
        for name in ["a", "b"] {
            bench.fail(name, 1);
            places.push(failures(&bench).last().unwrap().0.to_owned());
        }
        places
    };
    assert_ne!(place(), place());
}

#[test]
fn a_bound_user_logs_in_from_there_only() {
    let mut bench = Userpass::new();
    bench
        .ask(
            Update,
            "users/testuser",
            &json!({"token_bound_cidrs": "10.0.0.0/8"}),
        )
        .unwrap();
    assert!(matches!(bench.login("testuser", "testpass"), Err(Fault::Denied)));
    bench.0.peer.address = Some([10, 0, 0, 1].into());
    bench.login("testuser", "testpass").unwrap();
}

#[test]
fn a_renewal_follows_the_user() {
    let mut bench = Userpass::new();
    let login = bench.login("TESTUSER", "testpass").unwrap();
    let gone = "user no longer exists, do not renew";
    renewals_follow(&mut bench.0, "users/testuser", &login, gone);
}
