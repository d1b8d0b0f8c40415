//! Roles and logins with their ids.

mod secret_ids;

use std::time::Duration;

use serde_json::{Value, json};

use super::AppRole;
use crate::service::secrets::engine::testing::Bench;
use crate::service::secrets::engine::{Engine, Fault, Login};
use crate::service::secrets::login::tests::renewals_follow;
use crate::service::secrets::policy::Operation::{self, Delete, List, Read, Update};

struct Approle(Bench<AppRole>);

impl Approle {
    fn new(role: &Value) -> Self {
        let mut bench = Self(Bench::new(AppRole, "approle", "auth/approle/", &[]));
        bench.0.peer.address = Some([127, 0, 0, 1].into());
        bench.ask(Update, "role/testrole", role).unwrap();
        bench
    }

    fn ask(&mut self, operation: Operation, path: &str, body: &Value) -> Result<Value, Fault> {
        self.0.data(operation, path, &body.to_string())
    }

    fn role_id(&mut self) -> String {
        let data = self.ask(Read, "role/testrole/role-id", &json!({})).unwrap();
        data["role_id"].as_str().unwrap().to_owned()
    }

    fn secret(&mut self, body: &Value) -> Value {
        self.ask(Update, "role/testrole/secret-id", body).unwrap()
    }

    fn login(&mut self, role_id: &str, secret_id: &str) -> Result<Login, Fault> {
        let body = json!({"role_id": role_id, "secret_id": secret_id}).to_string();
        Ok(self.0.ask(Update, "login", &body)?.login.unwrap())
    }

    fn log_in_with(&mut self, secret: &Value) -> Result<Login, Fault> {
        let role_id = self.role_id();
        self.login(&role_id, secret["secret_id"].as_str().unwrap())
    }
}

const WRONG: &str = "invalid role or secret ID";

#[test]
fn a_program_with_both_ids_logs_in() {
    let mut bench = Approle::new(&json!({"token_policies": "a", "token_ttl": "5m"}));
    let secret = bench.secret(&json!({"metadata": "{\"foo\": \"bar\"}"}));
    let login = bench.log_in_with(&secret).unwrap();
    assert_eq!(login.policies, ["a"]);
    assert_eq!(login.ttl, Duration::from_secs(300));
    assert_eq!(login.alias, bench.role_id());
    assert_eq!(login.metadata["foo"], "bar");
    assert_eq!(login.metadata["role_name"], "testrole");
    assert!(AppRole.is_open("login"));
    assert!(!AppRole.is_open("role/testrole/role-id"));
}

#[test]
fn a_role_is_shown_without_its_id() {
    let mut bench =
        Approle::new(&json!({"policies": "default", "secret_id_ttl": "10m", "secret_id_num_uses": 4}));
    let data = bench.ask(Read, "role/TestRole", &json!({})).unwrap();
    assert_eq!(
        data,
        json!({
            "bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": [],
            "secret_id_num_uses": 4, "secret_id_ttl": 600, "policies": ["default"],
            "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
            "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
            "token_policies": ["default"], "token_ttl": 0, "token_type": "default",
        })
    );
    assert_eq!(
        bench.ask(List, "role/", &json!({})).unwrap(),
        json!({"keys": ["testrole"]})
    );
    bench.ask(Delete, "role/testrole", &json!({})).unwrap();
    assert!(matches!(
        bench.ask(Read, "role/testrole", &json!({})),
        Err(Fault::Missing)
    ));
    assert!(matches!(
        bench.ask(List, "role/", &json!({})),
        Err(Fault::Missing)
    ));
    assert_eq!(
        bench.0.storage.records.keys().collect::<Vec<_>>(),
        ["salt"],
        "nothing is left"
    );
}

#[test]
fn neither_wrong_id_says_which_it_was() {
    let mut bench = Approle::new(&json!({}));
    let secret = bench.secret(&json!({}));
    let (role_id, good) = (bench.role_id(), secret["secret_id"].as_str().unwrap().to_owned());
    for (role_id, secret_id, text) in [
        ("nobody", good.as_str(), WRONG),
        (role_id.as_str(), "wrong", WRONG),
        ("nobody", "wrong", WRONG),
        (role_id.as_str(), "", "missing secret_id"),
        ("nobody", "", "missing secret_id"),
        ("", good.as_str(), "missing role_id"),
    ] {
        let error = bench.login(role_id, secret_id).unwrap_err();
        assert!(matches!(error, Fault::Invalid(_)));
        assert_eq!(error.to_string(), text, "{role_id} {secret_id}");
    }
    let accessor = secret["secret_id_accessor"].as_str().unwrap();
    assert_eq!(bench.login(&role_id, accessor).unwrap_err().to_string(), WRONG);
}

#[test]
fn a_role_without_secret_ids_needs_another_bound() {
    let mut bench = Approle::new(&json!({}));
    let error = bench
        .ask(Update, "role/open", &json!({"bind_secret_id": false}))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("at least one constraint should be enabled on the role")
    );
    bench
        .ask(
            Update,
            "role/open",
            &json!({"bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.0/8", "role_id": "open"}),
        )
        .unwrap();
    bench.login("open", "").unwrap();
    bench.0.peer.address = Some([10, 0, 0, 1].into());
    let error = bench.login("open", "").unwrap_err().to_string();
    assert_eq!(
        error,
        "source address \"10.0.0.1\" unauthorized by CIDR restrictions on the role"
    );
    let error = bench
        .ask(Update, "role/open/secret-id", &json!({}))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "bind_secret_id is not set on the role");
    let error = bench
        .ask(Delete, "role/open/secret-id-bound-cidrs", &json!({}))
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("at least one constraint"), "{error}");
}

#[test]
fn a_role_id_can_be_chosen_and_belongs_to_one_role() {
    let mut bench = Approle::new(&json!({}));
    let before = bench.role_id();
    bench
        .ask(
            Update,
            "role/testrole/role-id",
            &json!({"role_id": "test_role_id"}),
        )
        .unwrap();
    assert_eq!(bench.role_id(), "test_role_id");
    let secret = bench.secret(&json!({}));
    bench.log_in_with(&secret).unwrap();
    let secret_id = secret["secret_id"].as_str().unwrap();
    assert_eq!(bench.login(&before, secret_id).unwrap_err().to_string(), WRONG);
    let error = bench
        .ask(Update, "role/other", &json!({"role_id": "test_role_id"}))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "role_id already in use; choose another");
    let error = bench
        .ask(Update, "role/nobody/role-id", &json!({"role_id": "a"}))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "role \"nobody\" does not exist");
    bench
        .ask(Update, "role/testrole", &json!({"token_ttl": 5}))
        .unwrap();
    assert_eq!(bench.role_id(), "test_role_id", "an update leaves it");
}

#[test]
fn every_field_has_a_path_of_its_own() {
    let mut bench = Approle::new(&json!({}));
    for (path, body, shown, reset) in [
        (
            "policies",
            json!({"policies": "b,a"}),
            json!({"token_policies": ["a", "b"]}),
            json!({"token_policies": []}),
        ),
        (
            "policies",
            json!({"token_policies": "c"}),
            json!({"token_policies": ["c"]}),
            json!({"token_policies": []}),
        ),
        (
            "secret-id-num-uses",
            json!({"secret_id_num_uses": 3}),
            json!({"secret_id_num_uses": 3}),
            json!({"secret_id_num_uses": 0}),
        ),
        (
            "secret-id-ttl",
            json!({"secret_id_ttl": "1m"}),
            json!({"secret_id_ttl": 60}),
            json!({"secret_id_ttl": 0}),
        ),
        (
            "secret-id-bound-cidrs",
            json!({"secret_id_bound_cidrs": "10.0.0.0/8"}),
            json!({"secret_id_bound_cidrs": ["10.0.0.0/8"]}),
            json!({"secret_id_bound_cidrs": []}),
        ),
        (
            "bound-cidr-list",
            json!({"bound_cidr_list": "10.0.0.0/8"}),
            json!({"secret_id_bound_cidrs": ["10.0.0.0/8"]}),
            json!({"secret_id_bound_cidrs": []}),
        ),
        (
            "period",
            json!({"period": 9}),
            json!({"token_period": 9}),
            json!({"token_period": 0}),
        ),
        (
            "token-ttl",
            json!({"token_ttl": 9}),
            json!({"token_ttl": 9}),
            json!({"token_ttl": 0}),
        ),
        (
            "token-max-ttl",
            json!({"token_max_ttl": 9}),
            json!({"token_max_ttl": 9}),
            json!({"token_max_ttl": 0}),
        ),
        (
            "token-num-uses",
            json!({"token_num_uses": 9}),
            json!({"token_num_uses": 9}),
            json!({"token_num_uses": 0}),
        ),
        (
            "token-bound-cidrs",
            json!({"token_bound_cidrs": "10.0.0.0/8"}),
            json!({"token_bound_cidrs": ["10.0.0.0/8"]}),
            json!({"token_bound_cidrs": []}),
        ),
        (
            "bind-secret-id",
            json!({"bind_secret_id": true}),
            json!({"bind_secret_id": true}),
            json!({"bind_secret_id": true}),
        ),
        (
            "token-type",
            json!({"token_type": "batch"}),
            json!({"token_type": "batch"}),
            json!({"token_type": "default"}),
        ),
    ] {
        let path = format!("role/testrole/{path}");
        bench.ask(Update, &path, &body).unwrap();
        assert_eq!(bench.ask(Read, &path, &json!({})).unwrap(), shown, "{path}");
        bench.ask(Delete, &path, &json!({})).unwrap();
        assert_eq!(bench.ask(Read, &path, &json!({})).unwrap(), reset, "{path}");
        let error = bench.ask(Update, &path, &json!({})).unwrap_err().to_string();
        assert!(error.starts_with("missing "), "{path}: {error}");
    }
    assert!(matches!(
        bench.ask(Read, "role/testrole/nothing", &json!({})),
        Err(Fault::NoPath(_))
    ));
    assert!(matches!(
        bench.ask(Update, "role/testrole/local-secret-ids", &json!({})),
        Err(Fault::Unsupported)
    ));
    let error = bench
        .ask(Update, "role/testrole", &json!({"local_secret_ids": true}))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "local_secret_ids can only be modified during role creation"
    );
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let mut bench = Approle::new(&json!({}));
    let longest = "a".repeat(crate::base::limits::MAXIMUM_LOGIN_NAME_BYTES);
    bench.ask(Update, &format!("role/{longest}"), &json!({})).unwrap();
    let error = bench
        .ask(Update, &format!("role/{longest}a"), &json!({}))
        .unwrap_err()
        .to_string();
    assert_eq!(error, "the name has 257 bytes; the most is 256");
}

#[test]
fn an_empty_list_takes_bounds_away() {
    let mut bench = Approle::new(&json!({"secret_id_bound_cidrs": "10.0.0.0/8"}));
    bench
        .ask(
            Update,
            "role/testrole",
            &json!({"secret_id_bound_cidrs": null, "bind_secret_id": null}),
        )
        .unwrap();
    let shown = |bench: &mut Approle| {
        bench.ask(Read, "role/testrole", &json!({})).unwrap()["secret_id_bound_cidrs"].clone()
    };
    assert_eq!(shown(&mut bench), json!(["10.0.0.0/8"]));
    bench
        .ask(Update, "role/testrole", &json!({"secret_id_bound_cidrs": ""}))
        .unwrap();
    assert_eq!(shown(&mut bench), json!([]));
}

#[test]
fn a_renewal_follows_the_role_whatever_a_secret_id_says() {
    let role = json!({"token_policies": "a", "token_ttl": "5m", "token_max_ttl": "1h"});
    let mut bench = Approle::new(&role);
    bench.ask(Update, "role/other", &role).unwrap();
    let secret = bench.secret(&json!({"metadata": "{\"role_name\": \"other\"}"}));
    let login = bench.log_in_with(&secret).unwrap();
    let gone = "role \"testrole\" does not exist during renewal";
    renewals_follow(&mut bench.0, "role/testrole", &login, gone);
}
