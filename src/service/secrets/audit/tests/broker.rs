//! The broker with real devices, and with ones that block.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::broker::{Broker, Health, RecordError, Status};
use super::super::render::RenderError;
use super::super::sink::{Opened, Sink};
use super::super::verify::{Report, Verifier};
use super::super::{Allowed, Fields, Settings};
use super::{NOW, entry, key, numbered, options, request};
use crate::base::limits::{MAXIMUM_AUDIT_BUFFER_RECORDS, MAXIMUM_AUDIT_DEVICES, MAXIMUM_AUDIT_RECORD_BYTES};
use crate::service::secrets::engine::Fault;

/// So long that no test ends by it.
const LONG: Duration = Duration::from_secs(60);
/// So short that a test may wait for its end.
const SHORT: Duration = Duration::from_millis(30);

fn settings(name: &str, kind: &str, value: Value, directory: &Path) -> Settings {
    let allowed = Allowed::within(Some(directory.to_owned()));
    Settings::parse(name, kind, &options(value), &allowed).unwrap()
}

fn file(name: &str, directory: &Path) -> Settings {
    settings(
        name,
        "file",
        json!({"file_path": format!("{name}.log")}),
        directory,
    )
}

async fn record(broker: &Broker, number: usize) -> Result<(), RecordError> {
    let data = numbered(number);
    let request = request(Fields::Map(&data), None);
    broker.record(&entry(&request, None, None)).await
}

fn numbers(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    let records = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter_map(|record| record["request"]["data"]["number"].as_u64())
        .collect()
}

fn check(files: &[&Path]) -> Report {
    let key = key();
    let mut verifier = Verifier::new(Some(&key));
    for file in files {
        verifier.read(fs::read(file).unwrap().as_slice()).unwrap();
    }
    verifier.finish()
}

fn status(broker: &Broker, name: &str) -> Status {
    broker
        .status()
        .into_iter()
        .find(|status| status.name == name)
        .unwrap()
}

/// Writes into a pipe.
struct Pipe(io::PipeWriter);

impl Sink for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.write_all(line)?;
        self.0.write_all(b"\n")
    }
}

/// A device whose pipe nobody reads and that is full behind the first record.
async fn blocked(broker: &Broker, name: &str) -> PipeReader {
    let (reader, writer) = io::pipe().unwrap();
    let mut writer = Some(writer);
    let opening = move || {
        let writer = writer.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Opened::fresh(Box::new(Pipe(writer))))
    };
    let settings = settings(name, "log", json!({"prefix": "p"}), Path::new("/"));
    broker
        .enable_with(settings, Box::new(opening), &key(), NOW)
        .await
        .unwrap();
    reader
}

/// Bytes that no pipe holds.
const LARGE: usize = 4 << 20;

async fn fill(broker: &Broker) -> Result<(), RecordError> {
    let request = request(Fields::Nothing, None);
    let long = "e".repeat(LARGE);
    let mut entry = entry(&request, None, None);
    entry.error = &long;
    broker.record(&entry).await
}

#[tokio::test]
async fn without_a_device_nothing_is_recorded_and_nothing_is_refused() {
    let broker = Broker::new("n1", LONG);
    record(&broker, 1).await.unwrap();
    assert!(broker.can_record() && broker.status().is_empty());
}

#[tokio::test]
async fn a_record_is_in_every_file_and_the_chain_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::new("n1", LONG);
    for name in ["one", "two"] {
        broker
            .enable(file(name, folder.path()), &key(), NOW)
            .await
            .unwrap();
    }
    for number in 0..10 {
        record(&broker, number).await.unwrap();
    }
    broker.close(NOW).await;
    for name in ["one.log", "two.log"] {
        let path = folder.path().join(name);
        assert_eq!(numbers(&path), (0..10).collect::<Vec<_>>());
        let report = check(&[&path]);
        assert!(report.is_intact() && report.chains[0].is_ended, "{report:?}");
        assert_eq!(report.records, 12);
    }
    record(&broker, 11).await.unwrap();
}

#[tokio::test]
async fn what_was_recorded_is_written_when_record_returns() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::new("n1", LONG);
    let synced = settings(
        "f",
        "file",
        json!({"path": "f.log", "fsync": true}),
        folder.path(),
    );
    broker.enable(synced, &key(), NOW).await.unwrap();
    for number in 0..5 {
        record(&broker, number).await.unwrap();
        assert_eq!(
            numbers(&folder.path().join("f.log")).last(),
            Some(&(number as u64))
        );
    }
    let status = status(&broker, "f");
    assert_eq!(
        (status.written, status.failed, status.health),
        (5, 0, Health::Working)
    );
    assert_eq!(
        status.head,
        Some(check(&[&folder.path().join("f.log")]).chains[0].head.clone())
    );
}

#[tokio::test]
async fn a_device_that_blocks_fails_records_in_bounded_time_and_holds_up_no_other_device() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::new("n1", LONG);
    let reader = blocked(&broker, "pipe").await;
    broker.wait = SHORT;
    assert_eq!(fill(&broker).await, Err(RecordError::Late(SHORT)));
    while status(&broker, "pipe").health != Health::Blocked {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!broker.can_record());

    // Another device alone suffices, even when the buffer of the first is full.
    let patient = Broker::new("n1", LONG);
    let other_reader = blocked(&patient, "pipe").await;
    patient
        .enable(file("f", folder.path()), &key(), NOW)
        .await
        .unwrap();
    fill(&patient).await.unwrap();
    for number in 0..MAXIMUM_AUDIT_BUFFER_RECORDS + 5 {
        record(&patient, number).await.unwrap();
    }
    let pipe = status(&patient, "pipe");
    assert_eq!(pipe.buffered_records, MAXIMUM_AUDIT_BUFFER_RECORDS);
    assert_eq!((pipe.refused, pipe.written), (6, 0));
    assert_eq!(
        numbers(&folder.path().join("f.log")).len(),
        MAXIMUM_AUDIT_BUFFER_RECORDS + 5
    );
    assert!(patient.can_record());
    drop((reader, other_reader));
}

#[tokio::test]
async fn a_full_buffer_refuses_at_once_and_is_worked_off_when_somebody_reads() {
    let broker = Broker::new("n1", LONG);
    let mut reader = blocked(&broker, "pipe").await;
    let broker = Arc::new(broker);
    // Seven records of 4 MiB and something fit into 32 MiB.
    let waiting: Vec<_> = (0..7)
        .map(|_| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move { fill(&broker).await })
        })
        .collect();
    while status(&broker, "pipe").buffered_records < 7 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fill(&broker).await, Err(RecordError::Failed));
    assert_eq!(status(&broker, "pipe").refused, 1);
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map(|_| text)
    });
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    let status = status(&broker, "pipe");
    assert_eq!(
        (status.buffered_records, status.buffered_bytes, status.written),
        (0, 0, 7)
    );
    broker.close(NOW).await;
    let text = reading.join().unwrap().unwrap();
    let key = key();
    let report = super::super::verify(text.as_slice(), Some(&key)).unwrap();
    assert!(report.is_intact() && report.records == 9, "{report:?}");
}

#[tokio::test]
async fn a_rotated_file_goes_on_in_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("f.log"), folder.path().join("f.log.1"));
    let broker = Broker::new("n1", LONG);
    broker
        .enable(file("f", folder.path()), &key(), NOW)
        .await
        .unwrap();
    record(&broker, 1).await.unwrap();
    fs::rename(&path, &old).unwrap();
    record(&broker, 2).await.unwrap();
    assert!(broker.reopen(NOW).await.is_empty());
    record(&broker, 3).await.unwrap();
    assert_eq!((numbers(&old), numbers(&path)), (vec![1, 2], vec![3]));
    let report = check(&[&old, &path]);
    assert!(report.is_intact() && report.chains.len() == 1, "{report:?}");
    assert!(check(&[&path]).is_intact());
    // Reopened without having been moved.
    assert!(broker.reopen(NOW).await.is_empty());
    record(&broker, 4).await.unwrap();
    assert!(check(&[&old, &path]).is_intact());
    // What cannot be opened again is written to as before.
    fs::rename(&path, folder.path().join("f.log.2")).unwrap();
    fs::create_dir(&path).unwrap();
    let failed = broker.reopen(NOW).await;
    assert_eq!(failed[0].0, "f");
    record(&broker, 5).await.unwrap();
    assert_eq!(numbers(&folder.path().join("f.log.2")), [3, 4, 5]);
}

#[tokio::test]
async fn a_removed_file_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.log");
    let broker = Broker::new("n1", LONG);
    broker
        .enable(file("f", folder.path()), &key(), NOW)
        .await
        .unwrap();
    record(&broker, 1).await.unwrap();
    fs::remove_file(&path).unwrap();
    record(&broker, 2).await.unwrap();
    assert_eq!(numbers(&path), [2]);
    let report = check(&[&path]);
    assert!(report.is_intact() && report.chains[0].first == 2, "{report:?}");
}

#[tokio::test]
async fn a_process_that_starts_again_continues_the_chain_of_its_node_and_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.log");
    for (node, run) in [("n1", 1), ("n2", 2), ("n1", 3)] {
        let broker = Broker::new(node, LONG);
        broker
            .enable(file("f", folder.path()), &key(), NOW)
            .await
            .unwrap();
        record(&broker, run).await.unwrap();
        // The last one is killed.
        if run != 3 {
            broker.close(NOW).await;
        }
    }
    let report = check(&[&path]);
    assert!(report.is_intact(), "{report:?}");
    let text = fs::read_to_string(&path).unwrap();
    let starts: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let starts: Vec<&Value> = starts.iter().filter(|record| record["type"] == "start").collect();
    assert_eq!(starts[0]["start"], json!({"is_first": true, "continues": null}));
    assert_eq!(starts[1]["start"], json!({"is_first": false, "continues": null}));
    let first = &starts[0]["chain"]["id"];
    assert_eq!(
        starts[2]["start"],
        json!({"is_first": false, "continues": {"id": first, "sequence": 2}})
    );
}

#[tokio::test]
async fn a_restored_device_that_cannot_be_opened_fails_records_until_another_works() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("f.log")).unwrap();
    let broker = Broker::new("n1", LONG);
    let refused = broker.enable(file("f", folder.path()), &key(), NOW).await;
    assert!(matches!(refused, Err(Fault::Invalid(text)) if text.starts_with("sanity check failed")));
    record(&broker, 0).await.unwrap();
    broker.restore(file("f", folder.path()), &key(), NOW).unwrap();
    assert_eq!(record(&broker, 1).await, Err(RecordError::Failed));
    assert!(matches!(status(&broker, "f").health, Health::Failing(_)) && !broker.can_record());
    broker
        .enable(file("g", folder.path()), &key(), NOW)
        .await
        .unwrap();
    record(&broker, 2).await.unwrap();
    assert!(broker.can_record());
    fs::remove_dir(folder.path().join("f.log")).unwrap();
    broker.reopen(NOW).await;
    record(&broker, 3).await.unwrap();
    assert!(broker.disable("f/", NOW).await && !broker.disable("f", NOW).await);
    assert_eq!(numbers(&folder.path().join("f.log")), [3]);
}

#[tokio::test]
async fn names_and_files_are_taken_once_and_devices_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::new("n1", LONG);
    broker
        .enable(file("f", folder.path()), &key(), NOW)
        .await
        .unwrap();
    let refused = |outcome: Result<(), Fault>, text: &str| match outcome {
        Err(Fault::Invalid(found)) => assert!(found.contains(text), "{found}"),
        other => panic!("{other:?}"),
    };
    refused(
        broker.enable(file("f", folder.path()), &key(), NOW).await,
        "path already in use",
    );
    let same = settings("g", "file", json!({"path": "./f.log"}), folder.path());
    refused(broker.restore(same, &key(), NOW), "writes to the same file");
    for number in 1..MAXIMUM_AUDIT_DEVICES {
        let discard = settings(
            &format!("d{number}"),
            "file",
            json!({"path": "discard"}),
            folder.path(),
        );
        broker.enable(discard, &key(), NOW).await.unwrap();
    }
    let more = settings("more", "log", json!({}), folder.path());
    refused(broker.enable(more, &key(), NOW).await, "which is the most");
    assert_eq!(
        broker.hash("f/", "canary").map(|hash| hash.to_string()),
        broker.hash("f", "canary").map(|hash| hash.to_string())
    );
    assert!(broker.hash("f", "canary") != broker.hash("d1", "canary") && broker.hash("none", "").is_none());
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_and_says_so() {
    let broker = Broker::new("n1", LONG);
    broker
        .enable(settings("l", "log", json!({}), Path::new("/")), &key(), NOW)
        .await
        .unwrap();
    let request = request(Fields::Nothing, None);
    let long = "e".repeat(MAXIMUM_AUDIT_RECORD_BYTES);
    let mut entry = entry(&request, None, None);
    entry.error = &long;
    let refused = broker.record(&entry).await;
    assert!(matches!(refused, Err(RecordError::Render(RenderError::Large(_)))));
    assert_eq!(status(&broker, "l").failed, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_of_many_tasks_are_all_written_once_while_files_rotate_and_devices_come_and_go() {
    const TASKS: usize = 32;
    const EACH: usize = 50;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.log");
    let broker = Arc::new(Broker::new("n1", LONG));
    broker
        .enable(file("f", folder.path()), &key(), NOW)
        .await
        .unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let broker = Arc::clone(&broker);
            tokio::spawn(async move {
                for number in 0..EACH {
                    record(&broker, task * EACH + number).await.unwrap();
                }
            })
        })
        .collect();
    let mut files = Vec::new();
    for turn in 0..5 {
        let old = folder.path().join(format!("f.log.{turn}"));
        fs::rename(&path, &old).unwrap();
        assert!(broker.reopen(NOW).await.is_empty());
        files.push(old);
        broker
            .enable(file("g", folder.path()), &key(), NOW)
            .await
            .unwrap();
        assert!(broker.disable("g", NOW).await);
    }
    for task in tasks {
        task.await.unwrap();
    }
    broker.close(NOW).await;
    files.push(path);
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let written: Vec<u64> = files.iter().flat_map(|file| numbers(file)).collect();
    assert_eq!(written.len(), TASKS * EACH);
    assert_eq!(written.iter().collect::<BTreeSet<_>>().len(), TASKS * EACH);
    let report = check(&files);
    assert!(
        report.is_intact() && report.chains.len() == 1 && report.chains[0].is_ended,
        "{report:?}"
    );
    assert!(check(&[&folder.path().join("g.log")]).is_intact());
}
