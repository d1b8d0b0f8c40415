//! Secret ids: their uses, times and bounds.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Approle, WRONG};
use crate::base::limits::{MAXIMUM_ROLE_ID_BYTES, MAXIMUM_SECRET_PORTION_RECORDS};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::policy::Operation::{Delete, List, Update};

#[test]
fn a_secret_id_of_another_role_opens_nothing() {
    let mut bench = Approle::new(&json!({}));
    bench.ask(Update, "role/other", &json!({})).unwrap();
    let other = bench.ask(Update, "role/other/secret-id", &json!({})).unwrap();
    assert_eq!(bench.log_in_with(&other).unwrap_err().to_string(), WRONG);
}

#[test]
fn no_secret_id_is_stored() {
    let mut bench = Approle::new(&json!({}));
    bench
        .ask(
            Update,
            "role/testrole/custom-secret-id",
            &json!({"secret_id": "hunter2hunter2"}),
        )
        .unwrap();
    let made = bench.secret(&json!({}));
    let made = made["secret_id"].as_str().unwrap();
    for (path, (record, _)) in &bench.0.storage.records {
        let record = String::from_utf8_lossy(record);
        for secret in ["hunter2hunter2", made] {
            assert!(!path.contains(secret) && !record.contains(secret), "{path}");
        }
    }
}

#[test]
fn uses_are_counted_down_to_none() {
    let mut bench = Approle::new(&json!({"secret_id_num_uses": 2}));
    let secret = bench.secret(&json!({}));
    assert_eq!(secret["secret_id_num_uses"], 2);
    bench.log_in_with(&secret).unwrap();
    let id = json!({"secret_id": secret["secret_id"]});
    let left = bench.ask(Update, "role/testrole/secret-id/lookup", &id).unwrap();
    assert_eq!(left["secret_id_num_uses"], 1);
    bench.log_in_with(&secret).unwrap();
    assert_eq!(bench.log_in_with(&secret).unwrap_err().to_string(), WRONG);
    assert!(matches!(
        bench.ask(List, "role/testrole/secret-id/", &json!({})),
        Err(Fault::Missing)
    ));
}

#[test]
fn a_refused_login_uses_nothing_up() {
    let mut bench = Approle::new(&json!({"secret_id_num_uses": 1}));
    let secret = bench.secret(&json!({"cidr_list": ["127.0.0.1/32"]}));
    bench.0.peer.address = Some([10, 0, 0, 1].into());
    let error = bench.log_in_with(&secret).unwrap_err().to_string();
    assert_eq!(
        error,
        "source address \"10.0.0.1\" unauthorized through CIDR restrictions on the secret ID"
    );
    bench.0.peer.address = Some([127, 0, 0, 1].into());
    bench.log_in_with(&secret).unwrap();
}

#[test]
fn a_secret_id_ends_with_its_time() {
    let mut bench = Approle::new(&json!({"secret_id_ttl": "10m", "secret_id_num_uses": 5}));
    let secret = bench.secret(&json!({"ttl": 60}));
    assert_eq!(secret["secret_id_ttl"], 60);
    let ttls: Vec<_> = bench
        .0
        .storage
        .records
        .values()
        .filter_map(|(_, ttl)| *ttl)
        .collect();
    assert_eq!(
        ttls,
        [Duration::from_secs(60); 2],
        "the store removes it and its accessor"
    );
    bench.0.now += Duration::from_secs(20);
    bench.log_in_with(&secret).unwrap();
    let ttls: Vec<_> = bench
        .0
        .storage
        .records
        .values()
        .filter_map(|(_, ttl)| *ttl)
        .collect();
    assert!(
        ttls.contains(&Duration::from_secs(40)),
        "a use does not make it last longer: {ttls:?}"
    );
    bench.0.now += Duration::from_secs(39);
    bench.log_in_with(&secret).unwrap();
    bench.0.now += Duration::from_secs(1);
    assert_eq!(bench.log_in_with(&secret).unwrap_err().to_string(), WRONG);
    let id = json!({"secret_id": secret["secret_id"]});
    assert_eq!(
        bench.ask(Update, "role/testrole/secret-id/lookup", &id).unwrap(),
        Value::Null
    );
    let answer = bench.0.ask(Update, "tidy/secret-id", "").unwrap();
    assert_eq!(
        answer.warnings,
        ["Tidy operation done: 1 secret IDs were removed"]
    );
    assert!(
        !bench
            .0
            .storage
            .records
            .keys()
            .any(|path| path.starts_with("secret-id/"))
    );
}

#[test]
fn a_secret_id_may_not_go_beyond_its_role() {
    let mut bench = Approle::new(&json!({
        "secret_id_ttl": 60, "secret_id_num_uses": 5, "secret_id_bound_cidrs": "10.0.0.0/8",
        "token_bound_cidrs": "10.1.0.0/16",
    }));
    for (body, text) in [
        (
            json!({"ttl": 61}),
            "ttl cannot be longer than the role's secret_id_ttl",
        ),
        (
            json!({"ttl": 0}),
            "ttl cannot be longer than the role's secret_id_ttl",
        ),
        (
            json!({"num_uses": 6}),
            "num_uses cannot be higher than the role's secret_id_num_uses",
        ),
        (
            json!({"num_uses": 0}),
            "num_uses cannot be higher than the role's secret_id_num_uses",
        ),
        (
            json!({"cidr_list": "11.0.0.0/8"}),
            "cidr_list: 11.0.0.0/8 is not a subset",
        ),
        (
            json!({"cidr_list": "10.0.0.0/7"}),
            "cidr_list: 10.0.0.0/7 is not a subset",
        ),
        (
            json!({"token_bound_cidrs": "10.2.0.0/16"}),
            "token_bound_cidrs: 10.2.0.0/16 is not a subset",
        ),
        (json!({"metadata": "bad"}), "metadata is no object"),
    ] {
        let error = bench
            .ask(Update, "role/testrole/secret-id", &body)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(text), "{body}: {error}");
    }
    let secret = bench.secret(&json!({"cidr_list": "10.1.2.0/24", "token_bound_cidrs": "10.1.2.3"}));
    bench.0.peer.address = Some([10, 1, 2, 4].into());
    assert!(matches!(bench.log_in_with(&secret), Err(Fault::Denied)));
    bench.0.peer.address = Some([10, 1, 2, 3].into());
    assert_eq!(bench.log_in_with(&secret).unwrap().bound_cidrs.len(), 1);
}

#[test]
fn a_destroyed_secret_id_is_no_more() {
    for (path, field) in [
        ("role/testrole/secret-id/destroy", "secret_id"),
        ("role/testrole/secret-id-accessor/destroy", "secret_id_accessor"),
    ] {
        for operation in [Update, Delete] {
            let mut bench = Approle::new(&json!({}));
            let (secret, other) = (bench.secret(&json!({})), bench.secret(&json!({})));
            bench
                .ask(operation, path, &json!({field: secret[field]}))
                .unwrap();
            assert_eq!(bench.log_in_with(&secret).unwrap_err().to_string(), WRONG);
            bench.log_in_with(&other).unwrap();
            let keys = bench.ask(List, "role/testrole/secret-id/", &json!({})).unwrap();
            assert_eq!(keys, json!({"keys": [other["secret_id_accessor"]]}));
            let by_secret = json!({"secret_id": secret["secret_id"]});
            let found = bench
                .ask(Update, "role/testrole/secret-id/lookup", &by_secret)
                .unwrap();
            assert_eq!(found, Value::Null, "204");
            let by_accessor = json!({"secret_id_accessor": secret["secret_id_accessor"]});
            let found = bench.ask(Update, "role/testrole/secret-id-accessor/lookup", &by_accessor);
            assert!(matches!(found, Err(Fault::Missing)));
        }
    }
}

#[test]
fn a_secret_id_is_looked_up_by_itself_or_its_accessor() {
    let mut bench = Approle::new(&json!({}));
    let secret = bench.secret(&json!({"cidr_list": ["127.0.0.1/32"], "metadata": {"a": "b"}}));
    let by_secret = json!({"secret_id": secret["secret_id"]});
    let found = bench
        .ask(Update, "role/testrole/secret-id/lookup", &by_secret)
        .unwrap();
    let by_accessor = json!({"secret_id_accessor": secret["secret_id_accessor"]});
    let same = bench
        .ask(Update, "role/testrole/secret-id-accessor/lookup", &by_accessor)
        .unwrap();
    assert_eq!(found, same);
    assert_eq!(
        found,
        json!({
            "cidr_list": ["127.0.0.1/32"], "creation_time": "2023-11-14T22:13:20.000000000Z",
            "expiration_time": "0001-01-01T00:00:00Z", "last_updated_time": "2023-11-14T22:13:20.000000000Z",
            "metadata": {"a": "b"}, "secret_id_accessor": secret["secret_id_accessor"],
            "secret_id_num_uses": 0, "secret_id_ttl": 0, "token_bound_cidrs": [],
        })
    );
}

#[test]
fn a_custom_secret_id_is_taken_once() {
    let mut bench = Approle::new(&json!({}));
    let path = "role/testrole/custom-secret-id";
    let custom = json!({"secret_id": "custom_secret", "metadata": "{\"a\": \"val1\"}"});
    let made = bench.ask(Update, path, &custom).unwrap();
    assert_eq!(made["secret_id"], "custom_secret");
    bench.log_in_with(&made).unwrap();
    let error = bench.ask(Update, path, &custom).unwrap_err().to_string();
    assert_eq!(error, "failed to store SecretID: SecretID is already registered");
    let error = bench.ask(Update, path, &json!({})).unwrap_err().to_string();
    assert_eq!(error, "missing secret_id");
    let long = json!({"secret_id": "a".repeat(MAXIMUM_ROLE_ID_BYTES + 1)});
    let error = bench.ask(Update, path, &long).unwrap_err().to_string();
    assert_eq!(error, "secret_id has 4097 bytes; the most is 4096");
}

#[test]
fn the_longest_time_of_a_secret_id_can_be_shown() {
    let longest = crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
    let mut bench = Approle::new(&json!({"secret_id_ttl": longest}));
    let secret = bench.secret(&json!({}));
    let by_secret = json!({"secret_id": secret["secret_id"]});
    let found = bench
        .ask(Update, "role/testrole/secret-id/lookup", &by_secret)
        .unwrap();
    assert_eq!(found["expiration_time"], "2309-01-26T14:13:20.000000000Z");
    let error = bench
        .ask(Update, "role/testrole/secret-id", &json!({"ttl": longest + 1}))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "ttl is 9000000001 seconds; the most is 9000000000"
    );
}

/// Stores the only secret id so many times more, with accessors, in front of itself.
fn copy(bench: &mut Approle, count: usize) {
    let records = &mut bench.0.storage.records;
    let mut secrets = records
        .iter()
        .filter(|(path, _)| path.starts_with("secret-id/testrole/"));
    let secret = secrets.next().unwrap().1.clone();
    for number in 0..count {
        let path = format!("secret-id/testrole/!{number:05}");
        let accessor = json!(path).to_string().into_bytes();
        records.insert(path, secret.clone());
        records.insert(format!("accessor/testrole/!{number:05}"), (accessor, None));
    }
}

/// Asks until nothing is left to be done; how often, and what the last answer warned of.
fn ask_again(bench: &mut Approle, mut ask: impl FnMut(&mut Approle) -> Vec<String>) -> (usize, Vec<String>) {
    let mut asked = 1;
    loop {
        let warnings = ask(bench);
        assert!(bench.0.storage.touched.len() <= MAXIMUM_SECRET_PORTION_RECORDS + 8);
        match warnings.last() {
            Some(last) if last.ends_with("ask again") => asked += 1,
            _ => return (asked, warnings),
        }
    }
}

#[test]
fn a_role_goes_at_once_and_its_many_secret_ids_in_portions() {
    let mut bench = Approle::new(&json!({"role_id": "id"}));
    let secret = bench.secret(&json!({}));
    let secret = secret["secret_id"].as_str().unwrap();
    copy(&mut bench, 1_500);
    bench.login("id", secret).unwrap();
    let delete = |bench: &mut Approle| bench.0.ask(Delete, "role/testrole", "").unwrap().warnings;
    let (asked, _) = ask_again(&mut bench, delete);
    assert_eq!(asked, 3);
    assert_eq!(bench.0.storage.records.keys().collect::<Vec<_>>(), ["salt"]);
}

#[test]
fn what_is_left_of_a_role_opens_none_of_its_name() {
    let role = json!({"role_id": "id"});
    let mut bench = Approle::new(&role);
    let secret = bench.secret(&json!({}));
    let secret = secret["secret_id"].as_str().unwrap();
    copy(&mut bench, 1_500);
    let answer = bench.0.ask(Delete, "role/testrole", "").unwrap();
    assert!(answer.warnings[0].ends_with("ask again"));
    let is_left = |bench: &Approle| {
        let mut paths = bench.0.storage.records.keys();
        paths.any(|path| path.starts_with("secret-id/testrole/"))
    };
    assert!(is_left(&bench));
    assert_eq!(bench.login("id", secret).unwrap_err().to_string(), WRONG);
    let (asked, _) = ask_again(&mut bench, |bench| {
        match bench.ask(Update, "role/testrole", &role) {
            Ok(_) => Vec::new(),
            Err(fault) => vec![fault.to_string()],
        }
    });
    assert_eq!(asked, 2);
    assert!(!is_left(&bench));
    assert_eq!(bench.login("id", secret).unwrap_err().to_string(), WRONG);
}

#[test]
fn tidying_remembers_only_what_it_removes_as_much_as_it_may() {
    let mut bench = Approle::new(&json!({"secret_id_ttl": "1m"}));
    bench.secret(&json!({}));
    copy(&mut bench, 1_500);
    let tidy = |bench: &mut Approle| bench.0.ask(Update, "tidy/secret-id", "").unwrap().warnings;
    assert_eq!(
        tidy(&mut bench),
        ["Tidy operation done: 0 secret IDs were removed"]
    );
    assert!(bench.0.storage.touched.is_empty());
    bench.0.now += Duration::from_secs(60);
    let (asked, warnings) = ask_again(&mut bench, tidy);
    assert_eq!(asked, 3);
    assert_eq!(warnings.len(), 1);
}
