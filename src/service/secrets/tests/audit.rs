//! Audit on a node: nothing is served that is not written down, and nothing secret is.

use std::fs;

use serde_json::json;

use super::support::{Store, refusal};
use crate::base::clock;
use crate::service::secrets::Verb;
use crate::service::secrets::audit::verify;
use crate::service::secrets::auditing::{self, Device, Devices};
use crate::service::secrets::store::Draft;
use crate::service::secrets::store::commit::Committed;

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_answer_are_written_down_without_what_is_secret_in_them() {
    let store = Store::start().await;
    let directory = store.audit_directory();
    fs::create_dir_all(&directory).expect("a folder of the test");
    let file = directory.join("audit.log");
    let device = json!({"type": "file", "options": {"file_path": file}});
    store
        .write("sys/audit/file", device)
        .await
        .expect("root enables it");
    store
        .write("sys/mounts/secret", json!({"type": "kv"}))
        .await
        .expect("root mounts");
    store
        .write("secret/app", json!({"password": "canary"}))
        .await
        .expect("root writes");
    store.read("secret/app").await.expect("root reads");
    let written = fs::read_to_string(&file).expect("it was written");
    for told in [
        "\"path\":\"secret/app\"",
        "\"operation\":\"read\"",
        "hmac-sha256:",
    ] {
        assert!(written.contains(told), "{told} is not in {written}");
    }
    assert!(!written.contains("canary") && !written.contains(&store.root));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_outside_of_the_directory_of_audit_is_refused() {
    let store = Store::start().await;
    let device = json!({"type": "file", "options": {"file_path": "/tmp/anywhere.log"}});
    let said = refusal(store.write("sys/audit/file", device).await);
    assert!(said.contains("directory"), "{said}");
    let listed = store.ask(&store.root, Verb::Read, "sys/audit", json!({})).await;
    assert!(listed.expect("root lists").data.expect("data").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_that_no_device_can_write_down() {
    let store = Store::start().await;
    let directory = store.audit_directory();
    fs::create_dir_all(&directory).expect("a folder of the test");
    let file = directory.join("audit.log");
    let device = json!({"type": "file", "options": {"file_path": file}});
    store
        .write("sys/audit/file", device)
        .await
        .expect("root enables it");
    assert!(store.secrets.can_audit());
    // A folder in the place of the file: it cannot be opened again.
    fs::remove_file(&file).expect("it was written");
    fs::create_dir(&file).expect("a folder of the test");
    store.secrets.seal().await;
    for share in &store.shares {
        let share = crate::service::secrets::seal::Share::new(share.expose()).expect("a share");
        store.secrets.unseal(share).await.expect("a right share");
    }
    let said = refusal(store.read("sys/mounts").await);
    assert!(said.starts_with("the request cannot be audited"), "{said}");
    fs::remove_dir(&file).expect("it is empty");
    store.secrets.reopen_audit().await;
    store.read("sys/mounts").await.expect("the device works again");
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_wrapped_answer_does_not_use_up_its_token() {
    let store = Store::start().await;
    let mut wrapping =
        super::support::request(&store.root, Verb::Write, "sys/wrapping/wrap", &json!({"a": 1}));
    wrapping.wrap = Some(std::time::Duration::from_secs(60));
    let wrapped = store
        .secrets
        .handle(wrapping)
        .await
        .expect("root wraps")
        .wrapped
        .expect("it is wrapped");
    let token = wrapped.token.expose();
    let look = store
        .ask(token, Verb::Write, "sys/wrapping/lookup", json!({"token": token}))
        .await;
    assert!(look.is_ok());
    assert!(
        store
            .ask(token, Verb::Write, "sys/wrapping/unwrap", json!({}))
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_used_as_the_store_has_it_and_its_chain_has_an_end_when_the_node_stops() {
    let store = Store::start().await;
    let directory = store.audit_directory();
    fs::create_dir_all(&directory).expect("a folder of the test");
    let device = |name: &str, is_raw: bool| Device {
        kind: "file".to_owned(),
        description: String::new(),
        options: json!({"file_path": directory.join(name), "log_raw": is_raw})
            .as_object()
            .expect("options")
            .clone(),
    };
    // What was enabled here and not written down, as where the cluster did not answer.
    let secrets = &store.secrets;
    let unsealed = secrets.custody.unsealed().expect("it is open");
    let enabled = secrets
        .auditing
        .enable(&unsealed, "file", &device("phantom.log", true))
        .await;
    enabled.expect("it can be written to");
    // Another node writes down another one of that name.
    let view = secrets.core.view(false).await.expect("there is a quorum");
    let mut draft = Draft::new(unsealed, view, clock::unix_time());
    let devices = Devices::from([("file".to_owned(), device("audit.log", false))]);
    auditing::read(&mut draft).expect("there is none");
    auditing::write(&mut draft, &devices).expect("it is encoded");
    let written = draft.commit(&secrets.core, &secrets.leases).await;
    assert!(matches!(written, Ok(Committed::Written(_))), "{written:?}");

    store.read("sys/mounts").await.expect("root reads");
    let kept = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    assert!(kept("audit.log").contains("sys/mounts"));
    assert!(!kept("phantom.log").contains("sys/mounts"));

    // Its enabling here is taken back late, while another node has written it down.
    secrets.auditing.disable("file").await;
    store.read("sys/policies/acl").await.expect("root reads");
    assert!(kept("audit.log").contains("sys/policies/acl"));

    secrets.stop().await;
    let report = verify(kept("audit.log").as_bytes(), None).expect("it is read");
    assert!(report.faults.is_empty() && report.chains.iter().all(|chain| chain.is_ended));
}
