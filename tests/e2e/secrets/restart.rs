//! Automatic seals: a cluster that was killed comes back unsealed by nobody; without the automatic key it is brought back by
//! shares, and serves everything but secrets meanwhile.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngCore;
use serde_json::{Value, json};
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{MAXIMUM_WAIT, Store, THRESHOLD, Visitor};
use crate::support::vault::{NODES, three_nodes};
use crate::support::{ClusterBuilder, Result, TestResult};

/// Secrets that are acknowledged before all members are killed at once.
const WRITTEN_BEFORE: usize = 100;
const WRITERS: usize = 6;

/// Where the key of the other automatic seal is.
const VARIABLE: &str = "STEAD_TEST_SEAL_KEY";

const PAUSE: Duration = Duration::from_millis(10);

/// The names of the secrets whose writing was acknowledged; the value of each is derived from its name.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

fn value_of(name: &str) -> Value {
    json!(format!("value of {name}"))
}

fn random_key() -> String {
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a key file that only its owner reads.
fn write_key(path: &Path, key: &str) -> Result<()> {
    fs::write(path, key)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

/// Where each member has its key file.
fn key_files(folder: &Path) -> Vec<PathBuf> {
    (1..=NODES)
        .map(|node| folder.join(format!("seal-{node}.key")))
        .collect()
}

/// Writes secrets until it is stopped or its member is gone.
async fn write(root: Visitor, writer: usize, acknowledged: Acknowledged) {
    for number in 0.. {
        let name = format!("{writer}-{number}");
        let secret = json!({"data": {"v": value_of(&name)}});
        let written = root.writes(&format!("secret/data/kept/{name}"), secret).await;
        match written.and_then(|written| written.with(200)) {
            Ok(_) => drop(acknowledged.lock().expect("nobody panics with it").insert(name)),
            // Its member is dead, or has lost the others.
            Err(_) => return,
        }
    }
}

/// Kills all members while secrets are written to each; those that were acknowledged.
async fn killed_while_writing(store: &mut Store) -> Result<BTreeSet<String>> {
    let acknowledged = Acknowledged::default();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(
            store.root(writer % NODES),
            writer,
            Arc::clone(&acknowledged),
        ));
    }
    let enough = async {
        while acknowledged.lock().expect("nobody panics with it").len() < WRITTEN_BEFORE {
            sleep(PAUSE).await;
        }
    };
    timeout(MAXIMUM_WAIT, enough)
        .await
        .map_err(|_| "secrets are not written")?;
    store.cluster.kill_all()?;
    writers.join_all().await;
    let acknowledged = acknowledged.lock().expect("nobody panics with it");
    Ok(acknowledged.clone())
}

/// Every member has every secret.
async fn all_are_there(store: &Store, names: &BTreeSet<String>) -> Result<()> {
    for root in store.roots() {
        for name in names {
            let read = root.reads(&format!("secret/data/kept/{name}")).await?.with(200)?;
            assert_eq!(read["data"]["data"]["v"], value_of(name), "{name}");
        }
    }
    Ok(())
}

async fn unsealed_by_themselves(store: &Store) -> Result<()> {
    for root in store.roots() {
        root.is_unsealed_by_itself().await?;
    }
    Ok(())
}

/// Waits until the log of a member has a line with all of these words, from `begin` on.
async fn logged(store: &Store, node: usize, begin: usize, words: &[&str]) -> Result<()> {
    let path = store.cluster.nodes()[node].log_path();
    let has = || -> Result<bool> {
        let log = fs::read(path)?;
        let log = String::from_utf8_lossy(&log[begin..]);
        Ok(log
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word))))
    };
    let waiting = async {
        while !has()? {
            sleep(PAUSE).await;
        }
        Ok(())
    };
    timeout(MAXIMUM_WAIT, waiting)
        .await
        .map_err(|_| format!("{words:?} is not in {}", store.cluster.nodes()[node].log_tail()))?
}

fn log_lengths(store: &Store) -> Result<Vec<usize>> {
    let length = |path: &Path| Ok(usize::try_from(fs::metadata(path)?.len())?);
    store
        .cluster
        .nodes()
        .iter()
        .map(|node| length(node.log_path()))
        .collect()
}

/// A cluster with a mount of secrets, whose members have unsealed themselves with the key in their files, or with `others`,
/// which are named behind it.
async fn unsealed_by_files(
    mut builder: ClusterBuilder,
    addresses: Vec<String>,
    files: &[PathBuf],
    key: &str,
    others: &str,
) -> Result<Store> {
    for (node, file) in files.iter().enumerate() {
        write_key(file, key)?;
        builder = builder.argument_of(node, format!("--secrets-seal=file:{}{others}", file.display()));
    }
    let store = Store::start(builder, addresses).await?;
    unsealed_by_themselves(&store).await?;
    store.mount_secrets().await?;
    Ok(store)
}

#[tokio::test]
async fn a_cluster_comes_back_by_itself_and_by_shares_when_its_automatic_key_is_destroyed() -> TestResult {
    let folder = tempfile::tempdir()?;
    let files = key_files(folder.path());
    let key = random_key();
    let (builder, addresses) = three_nodes()?;
    let mut store = unsealed_by_files(builder, addresses, &files, &key, "").await?;

    let names = killed_while_writing(&mut store).await?;
    store.cluster.start_all().await?;
    unsealed_by_themselves(&store).await?;
    all_are_there(&store, &names).await?;

    // The key is destroyed, in another way at each member.
    store.cluster.kill_all()?;
    let begins = log_lengths(&store)?;
    fs::remove_file(&files[0])?;
    write_key(&files[1], &random_key())?;
    write_key(&files[2], "no key")?;
    store.cluster.start_all().await?;
    for (node, reason) in [
        "No such file",
        "its key is another",
        "neither hexadecimal nor base64",
    ]
    .into_iter()
    .enumerate()
    {
        let told = ["no seal of this node opens the secret store", reason];
        logged(&store, node, begins[node], &told).await?;
        let root = store.root(node);
        let status = root.reads("sys/seal-status").await?.with(200)?;
        assert_eq!(
            (&status["initialized"], &status["sealed"], &status["progress"]),
            (&json!(true), &json!(true), &json!(0))
        );
        let refused = root.reads("secret/data/kept/0-0").await?.with(503)?;
        assert_eq!(refused, json!({"errors": ["Vault is sealed"]}));
        root.reads("sys/health").await?.with(503)?;

        let mut clients = store.cluster.clients(node)?;
        let name = format!("plain-{node}");
        let put = PutRequest {
            key: name.clone().into(),
            value: "v".into(),
            ..PutRequest::default()
        };
        clients.kv.put(put).await?;
        let range = RangeRequest {
            key: name.into(),
            ..RangeRequest::default()
        };
        assert_eq!(clients.kv.range(range).await?.into_inner().count, 1);
    }

    // People with shares bring back each member by itself, by whichever shares.
    for (node, root) in store.roots().iter().enumerate() {
        let mut shares = store.shares.clone();
        shares.rotate_left(node);
        assert!(root.is_sealed().await?);
        root.unseals(&shares[..THRESHOLD]).await?;
    }
    all_are_there(&store, &names).await?;
    let new = json!({"data": {"v": value_of("new")}});
    store
        .root(2)
        .writes("secret/data/kept/new", new)
        .await?
        .with(200)?;
    all_are_there(&store, &BTreeSet::from(["new".to_owned()])).await?;

    // Where the key is had again, nobody is needed again.
    store.cluster.kill_all()?;
    write_key(&files[1], &key)?;
    store.cluster.start_all().await?;
    store.root(1).is_unsealed_by_itself().await?;
    assert!(store.root(0).is_sealed().await? && store.root(2).is_sealed().await?);
    Ok(())
}

#[tokio::test]
async fn a_lost_automatic_key_is_replaced_by_another_when_a_member_is_told_to_take_it() -> TestResult {
    let folder = tempfile::tempdir()?;
    let files = key_files(folder.path());
    let key = random_key();
    let (builder, addresses) = three_nodes()?;
    let mut store = unsealed_by_files(builder, addresses, &files, &key, "").await?;
    let names = killed_while_writing(&mut store).await?;

    let another = random_key();
    for file in &files {
        write_key(file, &another)?;
    }
    store.cluster.start_all().await?;
    for root in store.roots() {
        assert!(root.is_sealed().await?);
        root.unseals(&store.shares[..THRESHOLD]).await?;
    }
    let taken = store.root(1).writes("sys/seals", json!({})).await?.with(200)?;
    let seals = taken["data"]["seals"].as_array().ok_or("no seals")?;
    let mut automatic = seals.iter().filter(|seal| seal["configured"] == true);
    assert!(automatic.all(|seal| seal["opens"] == true), "{taken}");

    store.cluster.kill_all()?;
    store.cluster.start_all().await?;
    unsealed_by_themselves(&store).await?;
    all_are_there(&store, &names).await?;

    // The key that was lost opens nothing, should it be found; the shares do.
    store.cluster.kill_all()?;
    write_key(&files[0], &key)?;
    let begins = log_lengths(&store)?;
    store.cluster.start_all().await?;
    logged(
        &store,
        0,
        begins[0],
        &["no seal of this node opens", "its key is another"],
    )
    .await?;
    store.root(0).unseals(&store.shares[1..]).await?;
    all_are_there(&store, &names).await?;
    Ok(())
}

#[tokio::test]
async fn of_two_automatic_seals_either_may_be_lost() -> TestResult {
    let folder = tempfile::tempdir()?;
    let files = key_files(folder.path());
    let (of_files, of_variable) = (random_key(), random_key());
    let (mut builder, addresses) = three_nodes()?;
    builder = builder.environment(VARIABLE, &of_variable);
    let others = format!(",env:{VARIABLE}");
    let mut store = unsealed_by_files(builder, addresses, &files, &of_files, &others).await?;

    // The files are lost.
    let names = killed_while_writing(&mut store).await?;
    for file in &files {
        fs::remove_file(file)?;
    }
    let begins = log_lengths(&store)?;
    store.cluster.start_all().await?;
    unsealed_by_themselves(&store).await?;
    all_are_there(&store, &names).await?;
    for (node, begin) in begins.into_iter().enumerate() {
        // Whoever runs the cluster is told, before the other is lost as well.
        let told = [
            "a seal of this node does not open the secret store",
            "No such file",
        ];
        logged(&store, node, begin, &told).await?;
    }

    // The variables are lost, and the files are had again.
    store.cluster.kill_all()?;
    for (node, file) in files.iter().enumerate() {
        write_key(file, &of_files)?;
        let arguments = store.cluster.node(node).arguments().to_vec();
        let lost = format!("env:{VARIABLE}_LOST");
        let arguments = arguments
            .iter()
            .map(|flag| flag.replace(&format!("env:{VARIABLE}"), &lost));
        let arguments = arguments.collect();
        store.cluster.node(node).set_arguments(arguments);
    }
    store.cluster.start_all().await?;
    unsealed_by_themselves(&store).await?;
    all_are_there(&store, &names).await?;
    Ok(())
}
