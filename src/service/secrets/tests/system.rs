//! What `sys/` says of the node, of the cluster and of mounts that were moved.

use serde_json::json;

use super::support::{Store, data, refusal};
use crate::service::secrets::engine::Fault;
use crate::service::secrets::system::openapi;
use crate::service::secrets::{ErrorKind, SecretsError, Verb};
use crate::service::snapshot::SnapshotFile;

#[tokio::test(flavor = "multi_thread")]
async fn the_members_and_the_machine_are_told_as_those_of_a_highly_available_store() {
    let store = Store::start().await;
    let nodes = data(&store.read("sys/ha-status").await.expect("the members"));
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "{nodes}");
    assert_eq!(nodes["nodes"][0]["active_node"], true);
    let told = store.read("sys/storage/raft/configuration").await;
    let told = data(&told.expect("the members"));
    let server = &told["config"]["servers"][0];
    let id = store.secrets.core.settings.member.to_string();
    assert_eq!(server["node_id"], json!(id), "{told}");
    assert_eq!(
        (&server["leader"], &server["voter"]),
        (&json!(true), &json!(true))
    );
    let address = server["address"].as_str().unwrap_or_default();
    assert!(!address.is_empty() && !address.contains("//"), "{told}");
    let machine = data(&store.read("sys/host-info").await.expect("the machine"));
    assert!(machine["memory"]["total"].as_u64() > Some(0), "{machine}");
    let other = store.read("sys/storage/raft/autopilot/state").await;
    assert_eq!(other.expect_err("not known").kind(), ErrorKind::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_member_goes_on_leading() {
    let store = Store::start().await;
    let refused = refusal(store.write("sys/step-down", json!({})).await);
    assert!(refused.contains("no other member that could lead"), "{refused}");
    let policy = "path \"sys/step-down\" { capabilities = [\"update\"] }";
    store
        .write("sys/policies/acl/half", json!({"policy": policy}))
        .await
        .expect("root writes it");
    let token = store.token(json!({"policies": ["half"]})).await;
    let refused = store.ask(&token, Verb::Write, "sys/step-down", json!({})).await;
    assert_eq!(refused.expect_err("it needs sudo").kind(), ErrorKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_and_what_was_never_counted_is_not() {
    let store = Store::start().await;
    let count = async || {
        let told = store.read("sys/internal/counters/tokens").await;
        data(&told.expect("a count"))["counters"]["service_tokens"]["total"].clone()
    };
    assert_eq!(count().await, json!(1));
    for _ in 0..3 {
        store.token(json!({})).await;
    }
    assert_eq!(count().await, json!(4));
    let entities = store.read("sys/internal/counters/entities").await;
    assert_eq!(
        data(&entities.expect("a count")),
        json!({"counters": {"entities": {"total": 0}}})
    );
    for what in ["requests", "activity", "config"] {
        let refused = store.read(&format!("sys/internal/counters/{what}")).await;
        assert_eq!(refused.expect_err("not counted").kind(), ErrorKind::Unimplemented);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_told_for_prometheus_and_in_the_form_of_vault() {
    let store = Store::start().await;
    let ask = async |format: &str| {
        let body = json!({"format": format});
        store.ask(&store.root, Verb::Read, "sys/metrics", body).await
    };
    let page = ask("prometheus").await.expect("a page").raw.expect("text");
    assert!(page.content_type.starts_with("text/plain"));
    let page = String::from_utf8(page.bytes).expect("text");
    assert!(page.contains("\nstead_secrets_sealed "), "{page}");
    let told = ask("").await.expect("metrics").raw.expect("JSON");
    assert_eq!(told.content_type, "application/json");
    let told: serde_json::Value = serde_json::from_slice(&told.bytes).expect("JSON");
    for list in ["Gauges", "Counters", "Samples"] {
        assert_ne!(told[list], json!([]), "{list}");
    }
    let refused = refusal(ask("statsd").await);
    assert!(refused.contains("in the format \"statsd\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_was_moved_is_told_of_and_no_other() {
    let store = Store::start().await;
    store
        .write("sys/mounts/old", json!({"type": "kv"}))
        .await
        .expect("root mounts");
    let moved = store
        .write("sys/remount", json!({"from": "old", "to": "new"}))
        .await
        .expect("root moves it");
    let id = data(&moved)["migration_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let told = store.read(&format!("sys/remount/status/{id}")).await;
    assert_eq!(
        data(&told.expect("it was moved")),
        json!({
            "migration_id": id,
            "migration_info": {"source_mount": "old/", "target_mount": "new/", "status": "success"},
        })
    );
    for other in ["x", "00000000-0000-4000-8000-000000000000"] {
        let refused = store.read(&format!("sys/remount/status/{other}")).await;
        assert_eq!(refused.expect_err("nothing was moved").kind(), ErrorKind::Missing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_file_of_etcd_and_needs_sudo() {
    let store = Store::start().await;
    let at = "sys/storage/raft/snapshot";
    let answer = store.read(at).await.expect("root may");
    let mut pieces = answer.pieces.expect("a snapshot");
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.recv().await {
        bytes.extend_from_slice(&piece.expect("the disk works").bytes);
    }
    let file = store.node.folder().join("snapshot");
    std::fs::write(&file, &bytes).expect("there is room");
    SnapshotFile::open(&file, false).expect("its checksum is right");
    let policy = format!("path \"{at}\" {{ capabilities = [\"read\"] }}");
    store
        .write("sys/policies/acl/half", json!({"policy": policy}))
        .await
        .expect("root writes it");
    let token = store.token(json!({"policies": ["half"]})).await;
    let refused = store.ask(&token, Verb::Read, at, json!({})).await;
    assert_eq!(refused.expect_err("it needs sudo").kind(), ErrorKind::Denied);
    for at in [at.to_owned(), format!("{at}-force")] {
        let refused = store.write(&at, json!({})).await.expect_err("not offered");
        assert_eq!(refused.kind(), ErrorKind::Unimplemented);
        assert!(
            refused.to_string().contains("stead snapshot restore"),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_is_served() {
    let store = Store::start().await;
    let document = store
        .ask("", Verb::Read, "sys/internal/specs/openapi", json!({}))
        .await
        .expect("it is open");
    let document = document.raw.expect("JSON").bytes;
    let document: serde_json::Value = serde_json::from_slice(&document).expect("JSON");
    let mut asked = 0;
    // That which seals the node is the last.
    let (sealing, others): (Vec<_>, Vec<_>) = openapi::ROUTES
        .iter()
        .partition(|(path, _, _)| *path == "sys/seal");
    for (path, methods, _) in others.into_iter().chain(sealing) {
        assert!(document["paths"][format!("/{path}")].is_object(), "{path}");
        for method in methods.iter() {
            let verb = match method {
                openapi::Method::Read => Verb::Read,
                openapi::Method::Write => Verb::Write,
                openapi::Method::Delete => Verb::Delete,
                openapi::Method::List => Verb::List,
            };
            let named = path.replace(['{', '}'], "");
            // Some end the token that they are asked with.
            let token = store.token(json!({"policies": ["root"]})).await;
            let outcome = store.ask(&token, verb, &named, json!({})).await;
            asked += 1;
            if let Err(error) = outcome {
                let is_served = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Denied)
                    || matches!(error, SecretsError::Fault(Fault::Missing));
                assert!(is_served, "{method:?} {named}: {error}");
            }
        }
    }
    assert!(asked > 80, "{asked}");
}
