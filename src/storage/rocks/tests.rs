//! What only a disk can show: crashes, checkpoints, damage, and space that comes back.

use std::fs;
use std::path::Path;

use super::*;
use crate::storage::tests::{from, items, keys, puts, range};

fn open(folder: &Path, kind: DatabaseKind) -> Result<Arc<RocksEngine>, StorageError> {
    RocksEngine::open(folder, kind, RocksOptions::default())
}

/// The text of the error that opening `folder` gives.
fn refusal(folder: &Path, kind: DatabaseKind) -> String {
    let error = open(folder, kind)
        .err()
        .expect("the folder must be refused")
        .to_string();
    assert!(
        error.contains(&folder.display().to_string()),
        "no folder in: {error}"
    );
    error
}

/// The folder as the operating system has it at this moment, which is what a killed process leaves behind.
fn copy_of(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn file_with_extension(folder: &Path, extension: &str) -> PathBuf {
    let mut paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .unwrap()
}

#[test]
fn the_log_keeps_synced_writes_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::Log).unwrap();
    let mut vote = puts(Family::Log, &["1", "2"]);
    vote.put(Family::LogMeta, "vote", "3");
    engine.write(vote, Durability::Synced).unwrap();
    let mut truncate = Batch::default();
    truncate.delete_range(Family::Log, from(b"2"));
    engine.write(truncate, Durability::Buffered).unwrap();
    engine
        .write(puts(Family::Log, &["2", "3"]), Durability::Synced)
        .unwrap();

    let killed = copy_of(folder.path());
    let reopened = open(killed.path(), DatabaseKind::Log).unwrap();
    assert_eq!(keys(&*reopened.view(), Family::Log), ["1", "2", "3"]);
    assert_eq!(keys(&*reopened.view(), Family::LogMeta), ["vote"]);
}

#[test]
fn the_log_loses_at_most_a_torn_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::Log).unwrap();
    engine
        .write(puts(Family::Log, &["1"]), Durability::Synced)
        .unwrap();
    engine
        .write(puts(Family::Log, &["2"]), Durability::Synced)
        .unwrap();
    let killed = copy_of(folder.path());
    let log = file_with_extension(killed.path(), "log");
    let torn = fs::metadata(&log).unwrap().len() - 1;
    fs::OpenOptions::new()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(torn)
        .unwrap();

    let reopened = open(killed.path(), DatabaseKind::Log).unwrap();
    assert_eq!(keys(&*reopened.view(), Family::Log), ["1"]);
}

#[test]
fn the_state_comes_back_as_of_its_last_flush_in_all_families() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    for (position, flush) in [("1", true), ("2", false)] {
        let mut batch = Batch::default();
        for family in Family::STATE {
            batch.put(family, position, position);
        }
        engine.write(batch, Durability::Buffered).unwrap();
        if flush {
            engine.flush().unwrap();
        }
    }
    let killed = copy_of(folder.path());
    let reopened = open(killed.path(), DatabaseKind::State).unwrap();
    for family in Family::STATE {
        assert_eq!(keys(&*engine.view(), family), ["1", "2"]);
        assert_eq!(keys(&*reopened.view(), family), ["1"], "{family:?}");
    }
}

#[test]
fn the_state_never_comes_back_with_half_a_batch_when_it_flushed_by_itself() {
    const BATCHES: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        state_write_buffer_bytes: 1 << 20,
        ..RocksOptions::default()
    };
    let engine = RocksEngine::open(folder.path(), DatabaseKind::State, options).unwrap();
    for number in 1..=BATCHES {
        let mut batch = Batch::default();
        batch.put(Family::Versions, number.to_be_bytes().to_vec(), vec![1; 64 << 10]);
        batch.put(Family::Meta, "applied", number.to_be_bytes().to_vec());
        engine.write(batch, Durability::Buffered).unwrap();
    }
    engine
        .database
        .rocks
        .wait_for_compact(&rocksdb::WaitForCompactOptions::default())
        .unwrap();
    let killed = copy_of(folder.path());
    let reopened = open(killed.path(), DatabaseKind::State).unwrap().view();
    let versions = items(&*reopened, Family::Versions, from(b"")).len() as u64;
    assert!(versions > 0, "nothing was flushed");
    assert_eq!(
        reopened.get(Family::Meta, b"applied").unwrap().unwrap(),
        versions.to_be_bytes().to_vec()
    );
}

#[test]
fn a_synced_write_of_the_state_is_durable_although_it_has_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    engine
        .write(puts(Family::Meta, &["1"]), Durability::Synced)
        .unwrap();
    let killed = copy_of(folder.path());
    assert_eq!(
        keys(
            &*open(killed.path(), DatabaseKind::State).unwrap().view(),
            Family::Meta
        ),
        ["1"]
    );
}

#[test]
fn a_checkpoint_is_a_database_of_its_own_that_never_changes() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint");
    for kind in [DatabaseKind::State, DatabaseKind::Log] {
        let [family, ..] = kind.families() else {
            panic!("a database without families")
        };
        let engine = open(&folder.path().join(family.name()), kind).unwrap();
        engine
            .write(puts(*family, &["a", "b"]), Durability::Buffered)
            .unwrap();
        engine.checkpoint(&checkpoint).unwrap();
        let mut later = Batch::default();
        later.delete_range(*family, from(b""));
        later.put(*family, "c", "later");
        engine.write(later, Durability::Synced).unwrap();
        engine.flush().unwrap();
        engine.database.rocks.compact_range_cf(
            engine.database.handle(*family).unwrap(),
            None::<&[u8]>,
            None::<&[u8]>,
        );

        let copy = open(&checkpoint, kind).unwrap();
        assert_eq!(keys(&*copy.view(), *family), ["a", "b"]);
        copy.write(puts(*family, &["d"]), Durability::Synced).unwrap();
        assert_eq!(keys(&*engine.view(), *family), ["c"]);
        let error = engine.checkpoint(&checkpoint).unwrap_err().to_string();
        assert!(
            error.contains("create the checkpoint") && error.contains("exists"),
            "{error}"
        );
        drop(copy);
        fs::remove_dir_all(&checkpoint).unwrap();
    }
}

#[test]
fn a_view_keeps_its_database_open_and_what_it_sees_through_compaction() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::Log).unwrap();
    engine
        .write(puts(Family::Log, &["1", "2"]), Durability::Buffered)
        .unwrap();
    let view = engine.view();
    let mut purge = Batch::default();
    purge.delete_range(Family::Log, range(b"", b"3"));
    engine.write(purge, Durability::Synced).unwrap();
    let handle = engine.database.handle(Family::Log).unwrap();
    engine.database.rocks.flush_cf(handle).unwrap();
    engine
        .database
        .rocks
        .compact_range_cf(handle, None::<&[u8]>, None::<&[u8]>);
    drop(engine);
    assert_eq!(keys(&*view, Family::Log), ["1", "2"]);
    assert!(refusal(folder.path(), DatabaseKind::Log).contains("in use"));
    drop(view);
    assert!(
        keys(
            &*open(folder.path(), DatabaseKind::Log).unwrap().view(),
            Family::Log
        )
        .is_empty()
    );
}

#[test]
fn the_space_of_a_purged_log_comes_back_while_the_log_grows() {
    const ENTRY_BYTES: usize = 64 << 10;
    const ROUNDS: u64 = 40;
    const ENTRIES_PER_ROUND: u64 = 32;
    let folder = tempfile::tempdir().unwrap();
    let options = RocksOptions {
        log_write_buffer_bytes: 1 << 20,
        ..RocksOptions::default()
    };
    let engine = RocksEngine::open(folder.path(), DatabaseKind::Log, options).unwrap();
    for round in 0..ROUNDS {
        for entry in 0..ENTRIES_PER_ROUND {
            let mut append = Batch::default();
            let index = round * ENTRIES_PER_ROUND + entry;
            append.put(Family::Log, index.to_be_bytes().to_vec(), vec![7; ENTRY_BYTES]);
            engine.write(append, Durability::Buffered).unwrap();
        }
        let mut purge = Batch::default();
        let kept = (round * ENTRIES_PER_ROUND).to_be_bytes();
        purge.delete_range(Family::Log, range(b"", &kept));
        engine.write(purge, Durability::Synced).unwrap();
    }
    engine
        .database
        .rocks
        .wait_for_compact(&rocksdb::WaitForCompactOptions::default())
        .unwrap();
    assert_eq!(
        items(&*engine.view(), Family::Log, from(b"")).len() as u64,
        ENTRIES_PER_ROUND
    );
    // 80 MiB were written and 2 MiB are left; the rest is what waits for the next compaction.
    let size_bytes = engine.size_bytes();
    assert!(size_bytes < 16 << 20, "{size_bytes} bytes on disk");
}

#[test]
fn a_folder_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    let error = refusal(folder.path(), DatabaseKind::State);
    assert!(error.contains("in use by another process"), "{error}");
    drop(engine);
    open(folder.path(), DatabaseKind::State).unwrap();
}

#[test]
fn a_folder_of_the_other_kind_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path(), DatabaseKind::State).unwrap());
    let error = refusal(folder.path(), DatabaseKind::Log);
    assert!(
        error.contains("newer version, or is a database for something else"),
        "{error}"
    );
    open(folder.path(), DatabaseKind::State).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let error = refusal(&file.join("database"), DatabaseKind::State);
    assert!(error.contains("create the database folder"), "{error}");
}

#[test]
fn a_half_copied_folder_is_refused_whichever_file_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    engine
        .write(puts(Family::Heads, &["a"]), Durability::Synced)
        .unwrap();
    let manifest = fs::read_to_string(folder.path().join("CURRENT")).unwrap();
    let sst = file_with_extension(folder.path(), "sst");
    let sst = sst.file_name().unwrap().to_str().unwrap();
    let manifest = manifest.trim_end();
    let log = file_with_extension(folder.path(), "log");
    let log = log.file_name().unwrap().to_str().unwrap();
    let combinations = [
        vec!["CURRENT"],
        vec![manifest],
        vec![sst],
        vec!["CURRENT", manifest],
        vec!["CURRENT", manifest, log],
        vec!["CURRENT", sst, log],
    ];
    for missing in combinations {
        let copy = copy_of(folder.path());
        for file in &missing {
            fs::remove_file(copy.path().join(file)).unwrap();
        }
        let error = refusal(copy.path(), DatabaseKind::State);
        assert!(
            error.contains("bring this member back"),
            "without {missing:?}: {error}"
        );
    }
}

#[test]
fn a_folder_whose_creation_was_cut_short_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("IDENTITY"), "never finished").unwrap();
    fs::write(folder.path().join("MANIFEST-000001"), "").unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    engine
        .write(puts(Family::Heads, &["a"]), Durability::Synced)
        .unwrap();
}

#[test]
fn a_flipped_bit_in_a_table_is_an_error_of_the_read_and_never_an_early_end() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    let mut batch = Batch::default();
    for number in 0..1000_u16 {
        batch.put(Family::Heads, number.to_be_bytes().to_vec(), vec![1; 100]);
    }
    engine.write(batch, Durability::Synced).unwrap();
    drop(engine);
    let table = file_with_extension(folder.path(), "sst");
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();

    let engine = open(folder.path(), DatabaseKind::State).unwrap();
    let view = engine.view();
    let mut cursor = view.scan(Family::Heads, from(b"")).unwrap();
    let mut read = 0;
    let error = loop {
        match cursor.advance() {
            Err(error) => break error.to_string(),
            Ok(()) => read += 1,
        }
        assert!(read < 1000, "the scan ended as if nothing were wrong");
    };
    assert!(
        error.contains("damaged") && error.contains(&folder.path().display().to_string()),
        "{error}"
    );
}
