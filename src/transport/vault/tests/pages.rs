//! What is answered without a token and an envelope.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::open::{Page, find};
use super::super::shares::{nonce, numbers, share};
use super::super::{VERSION, generate_root, health, init, leader, rekey, seal};
use super::refused;
use crate::base::ClusterId;
use crate::base::secret::Secret;
use crate::replication::Status;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::randomness::SystemRandomness;
use crate::service::secrets::seal::Share;
use crate::service::secrets::status::{AttemptStatus, InitSettings, Initialized, SealStatus};
use crate::service::secrets::system::openapi::PAGES;

const CLUSTER: ClusterId = ClusterId(0xcafe);
const NONCE: Uuid = Uuid::from_u128(0x5c1b4b2e_9d3f_4a80_a7f0_0b6a40e43b3a);

fn written(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

fn body(value: &Value) -> Body {
    Body::parse(value.to_string().as_bytes()).unwrap()
}

fn sealed() -> SealStatus {
    SealStatus {
        is_initialized: true,
        is_sealed: true,
        threshold: 3,
        shares: 5,
        given: 2,
        nonce: Some(NONCE),
        seals: Vec::new(),
    }
}

fn opened() -> SealStatus {
    SealStatus {
        is_sealed: false,
        given: 0,
        nonce: None,
        ..sealed()
    }
}

fn uninitialized() -> SealStatus {
    SealStatus {
        is_initialized: false,
        threshold: 0,
        shares: 0,
        given: 0,
        nonce: None,
        ..sealed()
    }
}

#[test]
fn the_version_is_a_semantic_one_with_nothing_behind_it() {
    let numbers: Vec<u32> = VERSION.split('.').map(|part| part.parse().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0]), (3, 1));
}

#[test]
fn a_seal_is_shown_as_clients_read_it() {
    let mut expected = json!({
        "type": "shamir", "initialized": true, "sealed": true, "t": 3, "n": 5, "progress": 2,
        "nonce": NONCE.to_string(), "version": VERSION, "build_date": "", "migration": false,
        "recovery_seal": false, "storage_type": "raft"
    });
    assert_eq!(written(&seal::shown(&sealed(), CLUSTER)), expected);

    let open = written(&seal::shown(&opened(), CLUSTER));
    expected["sealed"] = json!(false);
    expected["progress"] = json!(0);
    expected["nonce"] = json!("");
    expected["cluster_name"] = json!("stead-cafe");
    expected["cluster_id"] = open["cluster_id"].clone();
    assert_eq!(open, expected);
    assert!(Uuid::parse_str(open["cluster_id"].as_str().unwrap()).is_ok());
    let other = written(&seal::shown(&opened(), ClusterId(1)));
    assert_ne!(open["cluster_id"], other["cluster_id"]);
}

#[test]
fn health_is_a_code_by_the_state_and_by_what_the_request_says() {
    for (status, has_leader, query, code) in [
        (opened(), true, json!({}), 200),
        (sealed(), true, json!({}), 503),
        (uninitialized(), true, json!({}), 501),
        (opened(), false, json!({}), 429),
        (opened(), false, json!({"standbyok": "true"}), 200),
        (opened(), false, json!({"standbyok": ""}), 200),
        (opened(), false, json!({"standbyok": "false"}), 429),
        (opened(), false, json!({"standbycode": "299"}), 299),
        (
            opened(),
            true,
            json!({"activecode": "204", "standbycode": "299"}),
            204,
        ),
        (sealed(), true, json!({"sealedcode": "200"}), 200),
        (
            uninitialized(),
            true,
            json!({"uninitcode": "200", "sealedcode": "201"}),
            200,
        ),
        (
            sealed(),
            true,
            json!({"perfstandbyok": "true", "drsecondarycode": "210"}),
            503,
        ),
    ] {
        let answered = health::code(&status, has_leader, &body(&query)).unwrap();
        assert_eq!(answered.as_u16(), code, "{query} {status:?}");
    }
    for query in [
        json!({"activecode": "ok"}),
        json!({"sealedcode": "99"}),
        json!({"standbycode": "100"}),
        json!({"uninitcode": "600"}),
        json!({"performancestandbycode": ""}),
        json!({"standbyok": "perhaps"}),
    ] {
        assert!(health::code(&opened(), true, &body(&query)).is_err(), "{query}");
    }
}

#[test]
fn health_is_shown_as_load_balancers_read_it() {
    let now = Duration::new(1_767_323_045, 9);
    let shown = written(&health::shown(&sealed(), true, now, CLUSTER));
    assert_eq!(
        shown,
        json!({
            "initialized": true, "sealed": true, "standby": true, "performance_standby": false,
            "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
            "server_time_utc": 1_767_323_045, "version": VERSION
        })
    );
    let open = written(&health::shown(&opened(), true, now, CLUSTER));
    assert_eq!(
        (&open["standby"], &open["cluster_name"]),
        (&json!(false), &json!("stead-cafe"))
    );
}

#[test]
fn a_leader_is_shown_as_the_command_line_reads_it() {
    let status = Status {
        is_leader: true,
        committed_index: 9,
        applied_index: 8,
        ..Status::default()
    };
    assert_eq!(
        written(&leader::shown(&status)),
        json!({
            "ha_enabled": true, "is_self": true, "active_time": "0001-01-01T00:00:00Z", "leader_address": "",
            "leader_cluster_address": "", "performance_standby": false,
            "performance_standby_last_remote_wal": 0, "raft_committed_index": 9, "raft_applied_index": 8
        })
    );
}

#[test]
fn shares_are_written_in_both_ways_and_read_in_both() {
    let mut bytes = [0xab; 33];
    bytes[0] = 0x01;
    let made = Initialized {
        shares: vec![Share::new(&bytes).unwrap(), Share::new(&[7; 32]).unwrap()],
        root_token: Secret::new("hvs.root".into()),
    };
    let shown = written(&init::shown(&made));
    assert_eq!(shown["keys"][0], json!(format!("01{}", "ab".repeat(32))));
    assert_eq!(shown["keys"][1], json!("07".repeat(32)));
    assert_eq!(
        shown["keys_base64"][1],
        json!("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=")
    );
    assert_eq!(shown["root_token"], "hvs.root");
    assert_eq!(shown.as_object().unwrap().len(), 3);
    for (place, share_made) in made.shares.iter().enumerate() {
        for way in ["keys", "keys_base64"] {
            let text = shown[way][place].as_str().unwrap();
            for text in [text.to_owned(), format!(" {text}\n")] {
                let read = share(&body(&json!({"key": text})), "missing");
                assert!(read.is_ok_and(|read| read == *share_made), "{way}");
            }
            let upper = shown["keys"][place].as_str().unwrap().to_uppercase();
            assert!(share(&body(&json!({"key": upper})), "missing").is_ok());
        }
    }
}

#[tokio::test]
async fn what_is_no_share_is_refused_without_repeating_it() {
    for (value, text) in [
        (json!({}), "missing"),
        (json!({"key": ""}), "missing"),
        (json!({"key": null}), "missing"),
        (json!({"key": 7}), "'key' must be a valid hex or base64 string"),
        (
            json!({"key": "hunter2!"}),
            "'key' must be a valid hex or base64 string",
        ),
        (
            json!({"key": "z".repeat(66)}),
            "'key' must be a valid hex or base64 string",
        ),
        (
            json!({"key": "aGk="}),
            "stead: a share has 2 bytes; one of several has 33, a single one 32",
        ),
    ] {
        let Err(refusal) = share(&body(&value), "missing") else {
            panic!("{value}");
        };
        assert_eq!(refused(refusal).await, (400, json!({"errors": [text]})));
    }
}

#[tokio::test]
async fn numbers_of_shares_are_read_and_what_is_not_offered_is_refused() {
    let good = json!({
        "secret_shares": 5, "secret_threshold": "3", "pgp_keys": [], "root_token_pgp_key": "", "stored_shares": 0,
        "recovery_shares": 5, "recovery_threshold": 3, "recovery_pgp_keys": null
    });
    let settings = InitSettings {
        shares: 5,
        threshold: 3,
    };
    assert_eq!(numbers(&body(&good)).unwrap(), settings);
    for (value, status) in [
        (json!({}), 400),
        (json!({"secret_shares": 5}), 400),
        (json!({"secret_shares": 0, "secret_threshold": 0}), 400),
        (json!({"secret_shares": 256, "secret_threshold": 3}), 400),
        (json!({"secret_shares": "many", "secret_threshold": 3}), 400),
        (
            json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["mQ"]}),
            501,
        ),
        (
            json!({"secret_shares": 1, "secret_threshold": 1, "root_token_pgp_key": "mQ"}),
            501,
        ),
    ] {
        let refusal = numbers(&body(&value)).unwrap_err();
        assert_eq!(refused(refusal).await.0, status, "{value}");
    }
    assert_eq!(nonce(&body(&json!({"nonce": NONCE.to_string()}))).unwrap(), NONCE);
    assert!(nonce(&body(&json!({}))).is_err() && nonce(&body(&json!({"nonce": "1"}))).is_err());
}

#[test]
fn other_shares_are_shown_as_clients_read_it() {
    let status = AttemptStatus {
        is_started: true,
        nonce: Some(NONCE),
        given: 1,
        needed: 3,
        new_shares: Some(InitSettings {
            shares: 7,
            threshold: 4,
        }),
        ..AttemptStatus::default()
    };
    assert_eq!(
        written(&rekey::shown(&status)),
        json!({
            "nonce": NONCE.to_string(), "started": true, "t": 4, "n": 7, "progress": 1, "required": 3,
            "pgp_fingerprints": null, "backup": false, "verification_required": false
        })
    );
    let shares = [Share::new(&[7; 32]).unwrap()];
    let done = written(&rekey::done(NONCE, &shares, None));
    assert_eq!(
        done,
        json!({
            "nonce": NONCE.to_string(), "complete": true, "keys": ["07".repeat(32)],
            "keys_base64": ["BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="],
            "pgp_fingerprints": null, "backup": false, "verification_required": false
        })
    );

    // While they are to be verified.
    let status = AttemptStatus {
        requires_verification: true,
        verification: Some(NONCE),
        ..status
    };
    for shown in [
        written(&rekey::shown(&status)),
        written(&rekey::done(NONCE, &shares, Some(NONCE))),
    ] {
        assert_eq!(shown["verification_required"], true);
        assert_eq!(shown["verification_nonce"], NONCE.to_string());
    }
    assert_eq!(
        written(&rekey::verifying(&status)),
        json!({"nonce": NONCE.to_string(), "started": true, "t": 3, "n": 7, "progress": 1})
    );
}

#[test]
fn a_root_token_is_shown_to_who_knows_the_password() {
    let status = AttemptStatus {
        is_started: true,
        nonce: Some(NONCE),
        given: 1,
        needed: 3,
        password_length: 28,
        ..AttemptStatus::default()
    };
    let shown = written(&generate_root::shown(&status, ""));
    assert_eq!(
        shown,
        json!({
            "nonce": NONCE.to_string(), "started": true, "progress": 1, "required": 3, "complete": false,
            "encoded_token": "", "encoded_root_token": "", "pgp_fingerprint": "", "otp": "", "otp_length": 28
        })
    );
    let done = written(&generate_root::done(NONCE, 3, "Kg4"));
    for (name, value) in [
        ("complete", json!(true)),
        ("progress", json!(3)),
        ("encoded_token", json!("Kg4")),
        ("encoded_root_token", json!("Kg4")),
    ] {
        assert_eq!(done[name], value, "{name}");
    }
    let password = generate_root::password(28, &mut SystemRandomness).unwrap();
    assert_eq!(password.len(), 28);
    assert!(password.bytes().all(|letter| letter.is_ascii_alphanumeric()));
}

#[test]
fn pages_without_a_token_are_these_and_no_others() {
    assert_eq!(find("sys/health"), Some(Page::Health));
    assert_eq!(find("sys/rekey/init"), Some(Page::Rekey));
    for path in [
        "sys/seal",
        "sys/ha-status",
        "sys/rekey/backup",
        "sys/mounts",
        "sys/init/",
        "sys/initx",
        "secret/sys/init",
        "",
    ] {
        assert_eq!(find(path), None, "{path}");
    }
}

#[test]
fn every_page_of_the_openapi_document_is_one() {
    for (path, _, _) in PAGES {
        assert!(find(path).is_some(), "{path}");
    }
    assert_eq!(find("sys/mounts"), None);
}
