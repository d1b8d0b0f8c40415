//! Reads a snapshot file: what it is, and all that is in it into a new state.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use super::schema::{self, StoredAlarm, StoredKeyValue, StoredLease};
use super::{CHECKSUM_BYTES, SnapshotError, users};
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::AppliedPosition;
use crate::state::applied::{EventKind, KeyValue};
use crate::state::command::Alarm;
use crate::state::restore::{StateBuilder, StoredVersion};
use crate::storage::bbolt::{Bucket, Reader};
use crate::storage::{Engine, StorageError};

/// The size of a bbolt file is a multiple of this, so a file that is that and a checksum longer ends in one.
const ALIGNMENT_BYTES: u64 = 512;
/// What is read at a time for the checksum.
const READ_BYTES: usize = 1024 * 1024;
/// Bytes of keys and values in one batch of a state that is built.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Leases in one batch.
const BATCH_LEASES: usize = 10_000;

/// A snapshot file that can be read.
pub struct SnapshotFile {
    reader: Reader,
    buckets: BTreeMap<Bytes, Bucket>,
}

/// What a snapshot file is, as etcd's tools say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// CRC-32C over the names of all buckets and their keys and values.
    pub hash: u32,
    /// The newest revision of a key.
    pub revision: Revision,
    /// How many items all buckets have together.
    pub total_keys: u64,
    /// Bytes of the database.
    pub total_bytes: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The revision of the new store.
    pub revision: Revision,
    /// The oldest revision that can be read, if history was compacted.
    pub compacted: Option<Revision>,
    /// How many versions of keys it has.
    pub versions: u64,
    /// How many leases it has.
    pub leases: u64,
}

impl SnapshotFile {
    /// Opens a snapshot file, and checks that its content is what its checksum says; with `skip_hash_check` it need not have
    /// one.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or is another kind of file.
    pub fn open(path: &Path, skip_hash_check: bool) -> Result<Self, SnapshotError> {
        let failed = |source| StorageError::File {
            action: "read",
            path: path.display().to_string(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(SnapshotError::Damaged("it is no file".to_owned()));
        }
        let length = metadata.len();
        let has_checksum = length % ALIGNMENT_BYTES == CHECKSUM_BYTES as u64;
        let content = if has_checksum {
            length - CHECKSUM_BYTES as u64
        } else {
            length
        };
        if !skip_hash_check {
            if !has_checksum {
                return Err(SnapshotError::NoChecksum);
            }
            check(&mut file, content)
                .map_err(failed)?
                .map_err(|()| SnapshotError::WrongChecksum)?;
        }
        let reader = Reader::open(file, content)?;
        let buckets: BTreeMap<Bytes, Bucket> = reader.buckets()?.into_iter().collect();
        for needed in [schema::KEY, schema::META] {
            if !buckets.contains_key(needed.as_bytes()) {
                return Err(SnapshotError::Foreign(needed));
            }
        }
        Ok(Self { reader, buckets })
    }

    /// What it is.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn summary(&self) -> Result<Summary, SnapshotError> {
        let mut summary = Summary {
            hash: 0,
            revision: Revision(0),
            total_keys: 0,
            total_bytes: self.reader.size_bytes(),
        };
        for (name, bucket) in &self.buckets {
            summary.hash = crc32c::crc32c_append(summary.hash, name);
            let is_key = name == schema::KEY.as_bytes();
            let mut entries = self.reader.entries(bucket)?;
            while let Some((key, value)) = entries.next_entry()? {
                summary.hash = crc32c::crc32c_append(summary.hash, &key);
                summary.hash = crc32c::crc32c_append(summary.hash, &value);
                summary.total_keys += 1;
                if is_key {
                    summary.revision = revision(&key)?;
                }
            }
        }
        Ok(summary)
    }

    /// Fills an empty engine with all that is in the file.
    pub(super) fn fill(
        &self,
        engine: Arc<dyn Engine>,
        applied: AppliedPosition,
        bump_revision: Option<u64>,
    ) -> Result<Restored, SnapshotError> {
        let mut state = StateBuilder::new(engine)?;
        state.auth(users::read(self)?)?;
        let leases = self.fill_leases(&mut state)?;
        let mut versions = 0;
        let mut newest = state.revision();
        for namespace in schema::NAMESPACES {
            let (count, last) = self.fill_keys(&mut state, namespace)?;
            versions += count;
            newest = newest.max(last);
        }
        self.fill_alarms(&mut state)?;
        let mut compacted = self.compacted()?;
        let mut revision = compacted.map_or(newest, |compacted| newest.max(compacted));
        if let Some(amount) = bump_revision {
            let raised = revision.0.checked_add_unsigned(amount);
            revision = Revision(raised.ok_or(SnapshotError::Bump(revision.0, amount))?);
            compacted = Some(revision);
        }
        state.finish(revision, compacted, applied)?;
        Ok(Restored {
            revision,
            compacted,
            versions,
            leases,
        })
    }

    /// Hands every item of a bucket to `visit`; of one that is not there, none.
    pub(super) fn each(
        &self,
        name: &str,
        mut visit: impl FnMut(Bytes, Bytes) -> Result<(), SnapshotError>,
    ) -> Result<(), SnapshotError> {
        let Some(bucket) = self.buckets.get(name.as_bytes()) else {
            return Ok(());
        };
        let mut entries = self.reader.entries(bucket)?;
        while let Some((key, value)) = entries.next_entry()? {
            visit(key, value)?;
        }
        Ok(())
    }

    fn fill_leases(&self, state: &mut StateBuilder) -> Result<u64, SnapshotError> {
        let mut count = 0;
        let mut batch = Vec::new();
        self.each(schema::LEASE, |key, value| {
            let stored: StoredLease = decode("lease", &value)?;
            if key != stored.id.to_be_bytes().as_slice() || stored.id == 0 {
                return Err(damaged("a lease is not where its id says"));
            }
            batch.push((LeaseId(stored.id), stored.ttl_seconds));
            count += 1;
            if batch.len() >= BATCH_LEASES {
                state.leases(&batch)?;
                batch.clear();
            }
            Ok(())
        })?;
        state.leases(&batch)?;
        Ok(count)
    }

    /// Fills in the versions of a namespace; returns how many they are, and the newest revision.
    fn fill_keys(
        &self,
        state: &mut StateBuilder,
        namespace: Namespace,
    ) -> Result<(u64, Revision), SnapshotError> {
        let mut count = 0;
        let mut newest = Revision(0);
        let mut batch = Vec::new();
        let mut bytes = 0;
        self.each(&schema::bucket_of(namespace), |key, value| {
            newest = revision(&key)?;
            let Some(version) = version(namespace, &key, &value)? else {
                return Ok(());
            };
            count += 1;
            bytes += key.len() + value.len();
            batch.push(version);
            if bytes >= BATCH_BYTES {
                state.versions(&batch)?;
                batch.clear();
                bytes = 0;
            }
            Ok(())
        })?;
        state.versions(&batch)?;
        Ok((count, newest))
    }

    /// The alarm of members that disagree is about the data, and stays. That of a full database was about a member that is
    /// no more: the new ones measure themselves.
    fn fill_alarms(&self, state: &mut StateBuilder) -> Result<(), SnapshotError> {
        self.each(schema::ALARM, |key, _| {
            let stored: StoredAlarm = decode("alarm", &key)?;
            if stored.alarm == i32::from(Alarm::Corrupt.number()) {
                state.alarm(MemberId(stored.member), Alarm::Corrupt)?;
            }
            Ok(())
        })
    }

    /// The compacted revision. What a compaction that an etcd had not finished has left is removed after the start.
    fn compacted(&self) -> Result<Option<Revision>, SnapshotError> {
        let mut compacted = None;
        self.each(schema::META, |key, value| {
            if key == schema::SCHEDULED_COMPACTION || key == schema::FINISHED_COMPACTION {
                // An etcd that never compacted says so by revision 0.
                let is_none = value.iter().all(|byte| matches!(byte, 0 | b'_'));
                if !is_none {
                    compacted = compacted.max(Some(revision(&value)?));
                }
            }
            Ok(())
        })?;
        Ok(compacted)
    }
}

/// Whether the first `content` bytes are those whose checksum follows.
fn check(file: &mut File, content: u64) -> std::io::Result<Result<(), ()>> {
    let mut checksum = Sha256::new();
    let mut remaining = content;
    let mut buffer = vec![0; READ_BYTES];
    while remaining > 0 {
        let length = READ_BYTES.min(usize::try_from(remaining).unwrap_or(READ_BYTES));
        let Some(piece) = buffer.get_mut(..length) else {
            break;
        };
        file.read_exact(piece)?;
        checksum.update(piece);
        remaining -= length as u64;
    }
    let mut expected = [0; CHECKSUM_BYTES];
    file.read_exact(&mut expected)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(if checksum.finalize().as_slice() == expected {
        Ok(())
    } else {
        Err(())
    })
}

pub(super) fn damaged(what: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged(what.into())
}

pub(super) fn decode<Stored: Message + Default>(what: &str, bytes: &Bytes) -> Result<Stored, SnapshotError> {
    Stored::decode(bytes.clone()).map_err(|error| damaged(format!("a {what} cannot be decoded: {error}")))
}

fn revision(key: &[u8]) -> Result<Revision, SnapshotError> {
    schema::parse_revision_key(key)
        .map(|(id, _)| id.revision)
        .ok_or_else(|| damaged("a revision cannot be read"))
}

/// The version that a record is of. None for the one without a key by which etcd raises the revision of a store.
fn version(namespace: Namespace, key: &[u8], value: &Bytes) -> Result<Option<StoredVersion>, SnapshotError> {
    let (id, is_tombstone) =
        schema::parse_revision_key(key).ok_or_else(|| damaged("a revision cannot be read"))?;
    let stored: StoredKeyValue = decode("key", value)?;
    if stored.key.is_empty() {
        return Ok(None);
    }
    let kind = if is_tombstone {
        EventKind::Delete
    } else {
        EventKind::Put
    };
    let is_sound = stored.modification_revision == id.revision.0
        && (1..=id.revision.0).contains(&stored.create_revision)
        && stored.version > 0;
    if !is_tombstone && !is_sound {
        return Err(damaged(format!(
            "the record of revision {} says that it is of another one",
            id.revision
        )));
    }
    Ok(Some(StoredVersion {
        namespace,
        id,
        kind,
        key_value: KeyValue {
            key: stored.key,
            value: stored.value,
            create_revision: Revision(stored.create_revision),
            modification_revision: id.revision,
            version: stored.version,
            lease: LeaseId(stored.lease),
        },
    }))
}
