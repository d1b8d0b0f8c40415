//! Data folders that a node must not start on: it says what is wrong, ends, and leaves the folder as it is, so that it
//! starts again when the folder is put right.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use stead::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use stead::storage::{Batch, Durability, Engine, Family};

use crate::support::{Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

/// How much one key holds: enough that a folder has more than empty files.
const VALUE_BYTES: usize = 1_000;
const KEYS: usize = 200;

/// A cluster of one node that has written and has been stopped, whose folder can be tampered with.
async fn written_node() -> Result<Cluster> {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut clients = cluster.clients(0)?;
    for number in 0..KEYS {
        let request = PutRequest {
            key: format!("key/{number}").into(),
            value: vec![b'v'; VALUE_BYTES].into(),
            ..PutRequest::default()
        };
        clients.kv.put(request).await?;
    }
    let status = cluster.node(0).terminate()?;
    assert!(status.success(), "a node stops with 0 at SIGTERM: {status}");
    Ok(cluster)
}

/// The node refuses its folder: it ends by itself, not with 0 and not by a signal, and its log names `reason`. Returns
/// what it said.
fn refuses(cluster: &mut Cluster, reason: &str) -> Result<String> {
    let node = cluster.node(0);
    let before = fs::metadata(node.log_path())?.len();
    node.start()?;
    let status = node.wait_for_exit(MAXIMUM_WAIT)?;
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{status}\n{}",
        node.log_tail()
    );
    let log = fs::read(node.log_path())?;
    let said = String::from_utf8_lossy(&log[usize::try_from(before)?..]).to_lowercase();
    assert!(
        said.contains(reason),
        "{reason:?} is not in what the node said:\n{said}"
    );
    assert!(!said.contains("panicked"), "a refusal is no panic:\n{said}");
    Ok(said)
}

/// The node starts on its folder and holds everything.
async fn holds_everything(cluster: &mut Cluster) -> Result<()> {
    cluster.start_all().await?;
    assert_eq!(held_keys(cluster).await?, KEYS);
    Ok(())
}

/// How many keys the node holds.
async fn held_keys(cluster: &Cluster) -> Result<usize> {
    let request = RangeRequest {
        key: "key/".into(),
        range_end: "key0".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let answer = cluster.clients(0)?.kv.range(request).await?.into_inner();
    Ok(usize::try_from(answer.count)?)
}

fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => directories.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    Ok(files)
}

fn content_of(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    files_below(directory)?
        .into_iter()
        .map(|path| Ok((path.clone(), fs::read(path)?)))
        .collect()
}

/// Puts the folder back as it was.
fn restore(directory: &Path, content: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for path in files_below(directory)? {
        if !content.contains_key(&path) {
            fs::remove_file(path)?;
        }
    }
    for (path, bytes) in content {
        fs::write(path, bytes)?;
    }
    Ok(())
}

#[tokio::test]
async fn a_folder_says_who_the_node_is_whatever_the_flags_say() -> TestResult {
    let mut cluster = written_node().await?;
    let other = Cluster::builder(Program::stead()?)
        .token("another-cluster")
        .build()?;
    let home = cluster.node(0).data_directory().to_owned();
    let mut stranger = other;
    let foreign = stranger.node(0).data_directory().to_owned();
    fs::rename(&home, &foreign)?;
    // The log of the stranger is made by its first start.
    fs::write(stranger.node(0).log_path(), "")?;
    stranger.start_all().await?;
    let own = stranger.status(0).await?.header.ok_or("no header")?;
    stranger.node(0).terminate()?;
    fs::rename(&foreign, &home)?;
    holds_everything(&mut cluster).await?;
    let known = cluster.status(0).await?.header.ok_or("no header")?;
    assert_eq!(
        (own.cluster_id, own.member_id),
        (known.cluster_id, known.member_id)
    );
    Ok(())
}

#[tokio::test]
async fn a_folder_from_which_a_file_is_missing_is_refused() -> TestResult {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let content = content_of(&folder)?;
    // What a copy that was broken off leaves out. An engine that makes what it does not find would begin anew with an
    // empty log, and vote as if it had promised nothing.
    let essential: Vec<&PathBuf> = content
        .keys()
        .filter(|path| path.file_name().is_some_and(|name| name == "CURRENT"))
        .collect();
    assert!(!essential.is_empty(), "the folder holds a database");
    for path in essential {
        fs::remove_file(path)?;
        refuses(&mut cluster, &folder.display().to_string().to_lowercase())?;
        restore(&folder, &content)?;
    }
    Ok(holds_everything(&mut cluster).await?)
}

#[tokio::test]
async fn a_folder_without_one_of_its_databases_is_refused() -> TestResult {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let databases: Vec<PathBuf> = files_below(&folder)?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "CURRENT"))
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect();
    for database in databases {
        let aside = folder.with_extension("aside");
        fs::rename(&database, &aside)?;
        refuses(&mut cluster, &folder.display().to_string().to_lowercase())?;
        fs::remove_dir_all(&database).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        fs::rename(&aside, &database)?;
    }
    Ok(holds_everything(&mut cluster).await?)
}

#[tokio::test]
async fn a_folder_whose_manifest_is_cut_is_refused_or_holds_everything() -> TestResult {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let content = content_of(&folder)?;
    let manifests = content.iter().filter(|(path, _)| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("MANIFEST-"))
    });
    for (path, bytes) in manifests {
        fs::write(path, &bytes[..bytes.len() / 2])?;
        cluster.node(0).start()?;
        // The half may itself be a whole manifest, of an earlier time: the log has everything since then.
        if cluster.wait_until_ready().await.is_ok() {
            holds_everything(&mut cluster).await?;
            cluster.node(0).terminate()?;
        } else {
            assert_eq!(
                cluster.node(0).process_id(),
                None,
                "a node that is not ready has ended"
            );
        }
        restore(&folder, &content)?;
    }
    Ok(holds_everything(&mut cluster).await?)
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_refused() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).build()?;
    let path = cluster.node(0).data_directory().to_owned();
    fs::write(&path, "not a folder")?;
    fs::write(cluster.node(0).log_path(), "")?;
    refuses(&mut cluster, &path.display().to_string().to_lowercase())?;
    assert_eq!(fs::read_to_string(path)?, "not a folder");
    Ok(())
}

#[tokio::test]
async fn a_read_only_folder_is_refused() -> TestResult {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let permissions = |mode| -> Result<()> {
        for path in files_below(&folder)?.iter().chain([&folder]) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    };
    if rustix::process::geteuid().is_root() {
        // Without these capabilities, permissions hold for root, too.
        let without = "--bounding-set=-dac_override,-dac_read_search,-fowner";
        cluster.node(0).set_launcher(&["setpriv", without]);
    }
    permissions(0o500)?;
    let refused = refuses(&mut cluster, &folder.display().to_string().to_lowercase());
    permissions(0o700)?;
    refused?;
    Ok(holds_everything(&mut cluster).await?)
}

#[tokio::test]
async fn one_folder_serves_one_process() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let mut second = Cluster::builder(Program::stead()?).build()?;
    let place = second.node(0).data_directory().to_owned();
    std::os::unix::fs::symlink(&folder, &place)?;
    fs::write(second.node(0).log_path(), "")?;
    refuses(&mut second, "")?;
    cluster.wait_until_ready().await?;
    Ok(())
}

/// The number of a format that this version does not know.
const NEWER_FORMAT: u8 = 99;

/// What a newer version would say of the mend.
const RUN_THE_OTHER_VERSION: &str = "run the version of stead that wrote it";

/// Puts another byte at `position` of a stored record, and returns the byte that was there.
fn set_byte(
    database: &Path,
    kind: DatabaseKind,
    (family, key): (Family, Bytes),
    position: usize,
    byte: u8,
) -> Result<u8> {
    let engine = RocksEngine::open(database, kind, RocksOptions::default())?;
    let record = engine.view().get(family, &key)?;
    let mut record = record
        .ok_or_else(|| format!("{key:?} is not in {}", database.display()))?
        .to_vec();
    let before = std::mem::replace(&mut record[position], byte);
    let mut batch = Batch::default();
    batch.put(family, key, record);
    engine.write(batch, Durability::Synced)?;
    Ok(before)
}

/// The key of the newest entry of the log.
fn last_entry(database: &Path) -> Result<Bytes> {
    let engine = RocksEngine::open(database, DatabaseKind::Log, RocksOptions::default())?;
    let view = engine.view();
    let mut last = None;
    for index in 1_u64.. {
        let key = Bytes::copy_from_slice(&index.to_be_bytes());
        if view.get(Family::Log, &key)?.is_none() {
            break;
        }
        last = Some(key);
    }
    Ok(last.ok_or("the log is empty")?)
}

/// A node refuses what a newer version wrote, and holds everything when the number of the format is put back.
async fn refuses_a_newer_format(
    place: impl FnOnce(&Path) -> Result<(PathBuf, DatabaseKind, (Family, Bytes), usize)>,
) -> Result<()> {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let (database, kind, record, position) = place(&folder)?;
    let known = set_byte(&database, kind, record.clone(), position, NEWER_FORMAT)?;
    assert!(known < NEWER_FORMAT, "a newer format has a higher number");
    for _ in 0..2 {
        let said = refuses(&mut cluster, &folder.display().to_string().to_lowercase())?;
        assert!(
            said.contains(&format!("format is {NEWER_FORMAT}"))
                || said.contains(&format!("format {NEWER_FORMAT}")),
            "{said}"
        );
        assert!(said.contains(RUN_THE_OTHER_VERSION), "{said}");
    }
    assert_eq!(
        set_byte(&database, kind, record, position, known)?,
        NEWER_FORMAT,
        "the record was left alone"
    );
    holds_everything(&mut cluster).await
}

#[tokio::test]
async fn a_state_of_a_newer_format_is_refused_and_left_alone() -> TestResult {
    Ok(refuses_a_newer_format(|folder| {
        let state = folder.join(fs::read_to_string(folder.join("current"))?.trim());
        // A byte for the form of the record, then the number.
        Ok((state, DatabaseKind::State, (Family::Meta, "format".into()), 1))
    })
    .await?)
}

#[tokio::test]
async fn a_vote_of_a_newer_format_is_refused_and_left_alone() -> TestResult {
    Ok(refuses_a_newer_format(|folder| {
        Ok((
            folder.join("log"),
            DatabaseKind::Log,
            (Family::LogMeta, "vote".into()),
            0,
        ))
    })
    .await?)
}

#[tokio::test]
async fn a_log_entry_of_a_newer_format_is_refused_and_left_alone() -> TestResult {
    Ok(refuses_a_newer_format(|folder| {
        let log = folder.join("log");
        let last = last_entry(&log)?;
        Ok((log, DatabaseKind::Log, (Family::Log, last), 0))
    })
    .await?)
}

#[tokio::test]
async fn a_folder_of_a_newer_format_is_refused_and_left_alone() -> TestResult {
    let mut cluster = written_node().await?;
    let folder = cluster.node(0).data_directory().to_owned();
    let identity = folder.join("identity");
    let known = fs::read_to_string(&identity)?;
    let newer = known.replace("format 1\n", &format!("format {NEWER_FORMAT}\n"));
    assert_ne!(newer, known);
    fs::write(&identity, &newer)?;
    let said = refuses(&mut cluster, &folder.display().to_string().to_lowercase())?;
    assert!(said.contains(&format!("format {NEWER_FORMAT}")), "{said}");
    assert!(said.contains("run the version that wrote it"), "{said}");
    assert_eq!(fs::read_to_string(&identity)?, newer, "the file was left alone");
    fs::write(&identity, known)?;
    Ok(holds_everything(&mut cluster).await?)
}

#[tokio::test]
async fn a_node_that_cannot_make_a_snapshot_ends_and_says_why() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .argument(format!("--snapshot-count={}", KEYS / 2))
        .start()
        .await?;
    let folder = cluster.node(0).data_directory().to_owned();
    // A file where the snapshots would be.
    let obstacle = folder.join("snapshots");
    fs::write(&obstacle, "in the way")?;
    let mut clients = cluster.clients(0)?;
    let mut acknowledged = 0;
    // The node may end before the last of them.
    for number in 0..KEYS {
        let request = PutRequest {
            key: format!("key/{number}").into(),
            ..PutRequest::default()
        };
        match clients.kv.put(request).await {
            Ok(_) => acknowledged += 1,
            Err(_) => break,
        }
    }
    let node = cluster.node(0);
    let status = node.wait_for_exit(MAXIMUM_WAIT)?;
    let said = fs::read_to_string(node.log_path())?;
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{said}");
    let last = said.lines().rfind(|line| line.starts_with("error: "));
    let last = last.ok_or_else(|| format!("it ended without an error:\n{said}"))?;
    assert!(last.contains(&obstacle.display().to_string()), "{last}");
    fs::remove_file(&obstacle)?;
    cluster.start_all().await?;
    assert!(held_keys(&cluster).await? >= acknowledged);
    Ok(())
}
