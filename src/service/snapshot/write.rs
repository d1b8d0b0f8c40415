//! Writes the state as a database of etcd.

use std::fs::File;

use prost::Message;

use super::schema::{self, StoredAlarm, StoredLease};
use super::users;
use crate::base::Namespace;
use crate::state::applied::{EventKind, Fatal};
use crate::state::{ReadView, Record};
use crate::storage::StorageError;
use crate::storage::bbolt::{BucketWriter, Writer};

/// Writes all of `view` into an empty file. Returns the file and its length in bytes.
///
/// # Errors
/// The disk failed.
pub fn write(view: &ReadView, file: File) -> Result<(File, u64), Fatal> {
    let mut writer = Writer::new(file)?;
    for name in schema::EMPTY {
        writer.bucket(name.as_bytes()).finish()?;
    }
    let mut leases = writer.bucket(schema::LEASE.as_bytes());
    for (id, ttl_seconds) in view.leases()? {
        let stored = StoredLease {
            id: id.0,
            ttl_seconds,
            remaining_seconds: 0,
        };
        leases.put(&id.0.to_be_bytes(), &stored.encode_to_vec())?;
    }
    leases.finish()?;
    write_alarms(view, &mut writer)?;
    users::write(view.auth(), &mut writer)?;
    write_counters(view, &mut writer)?;
    for namespace in schema::NAMESPACES {
        write_keys(view, &mut writer, namespace)?;
    }
    Ok(writer.finish()?)
}

fn write_alarms(view: &ReadView, writer: &mut Writer) -> Result<(), Fatal> {
    let stored = view.alarms()?.into_iter().map(|(member, alarm)| {
        let stored = StoredAlarm {
            member: member.0,
            alarm: alarm.number().into(),
        };
        stored.encode_to_vec()
    });
    let mut keys: Vec<Vec<u8>> = stored.collect();
    keys.sort();
    let mut alarms = writer.bucket(schema::ALARM.as_bytes());
    for key in keys {
        alarms.put(&key, &[])?;
    }
    Ok(alarms.finish()?)
}

fn write_counters(view: &ReadView, writer: &mut Writer) -> Result<(), Fatal> {
    let mut meta = writer.bucket(schema::META.as_bytes());
    meta.put(schema::CONSISTENT_INDEX, &view.applied_index().to_be_bytes())?;
    // Revision 0, which a store that was never compacted accepts once, forgets nothing.
    if let Some(compacted) = view.compacted().filter(|compacted| compacted.0 > 0) {
        let key = schema::revision_key(compacted);
        meta.put(schema::FINISHED_COMPACTION, &key)?;
        meta.put(schema::SCHEDULED_COMPACTION, &key)?;
    }
    Ok(meta.finish()?)
}

/// Writes the bucket of a namespace; only etcd's own may be empty.
fn write_keys(view: &ReadView, writer: &mut Writer, namespace: Namespace) -> Result<(), Fatal> {
    let name = schema::bucket_of(namespace);
    let mut bucket = writer.bucket(name.as_bytes());
    let mut is_empty = true;
    view.records(&mut |record| {
        if record.namespace == namespace {
            is_empty = false;
            put_record(&mut bucket, record)
        } else {
            Ok(())
        }
    })?;
    if is_empty && namespace != Namespace::DEFAULT {
        return Ok(());
    }
    Ok(bucket.finish()?)
}

fn put_record(bucket: &mut BucketWriter<'_>, record: &Record<'_>) -> Result<(), StorageError> {
    let key = record.revision_key();
    match record.kind {
        EventKind::Put => bucket.put(&key, record.value),
        EventKind::Delete => bucket.put(&[&key[..], &[schema::TOMBSTONE_MARK]].concat(), record.value),
    }
}
