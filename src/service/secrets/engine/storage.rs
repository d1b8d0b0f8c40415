//! What an engine stores: records below a directory of its own, encrypted by whoever implements [`Storage`], names and all.
//!
//! Never tells an engine of other mounts.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Fault;
use crate::base::secret::Secret;

/// Records by path. A path is one or more segments with single slashes between them; a segment is any text that is not
/// empty and holds no slash, at most [`crate::base::limits::MAXIMUM_SECRET_SEGMENT_BYTES`] long.
///
/// What was written for the same request is seen by those who read after it.
pub trait Storage {
    /// The record at a path.
    ///
    /// # Errors
    /// It cannot be read, or was tampered with.
    fn get(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault>;

    /// The record at a path as it was before the request, for a look at many. Not remembered: what is written holds even if
    /// the record changes meanwhile. Who decides by it changes the record itself, or reads it again.
    ///
    /// # Errors
    /// It cannot be read, or was tampered with.
    fn peek(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        self.get(path)
    }

    /// Whether the request may read and write more, where it can leave the rest to another.
    fn has_room(&self) -> bool {
        true
    }

    /// Whether there is a record at a path.
    ///
    /// # Errors
    /// It cannot be read.
    fn has(&mut self, path: &str) -> Result<bool, Fault>;

    /// Writes a record. With a `ttl` it hangs on a lease of the store: so long after the request it is gone.
    ///
    /// # Errors
    /// The path is too long or too deep.
    fn put(&mut self, path: &str, record: Secret<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Fault>;

    /// Removes the record at a path, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    fn delete(&mut self, path: &str) -> Result<(), Fault>;

    /// The names in a directory, sorted; those of directories end with a slash, and a name can be both. The directory is
    /// given without a slash at its end; empty: that of the engine itself.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&mut self, directory: &str) -> Result<Vec<String>, Fault>;

    /// Removes all records below a directory.
    ///
    /// # Errors
    /// It cannot be read.
    fn delete_below(&mut self, directory: &str) -> Result<(), Fault>;
}

/// Reads a record that [`write()`] wrote.
///
/// # Errors
/// It cannot be read.
pub fn read<Record: DeserializeOwned>(
    storage: &mut dyn Storage,
    path: &str,
) -> Result<Option<Record>, Fault> {
    let Some(record) = storage.get(path)? else {
        return Ok(None);
    };
    decode(record.expose()).map(Some)
}

/// As [`read`], by [`Storage::peek`].
///
/// # Errors
/// It cannot be read.
pub fn peek<Record: DeserializeOwned>(
    storage: &mut dyn Storage,
    path: &str,
) -> Result<Option<Record>, Fault> {
    let Some(record) = storage.peek(path)? else {
        return Ok(None);
    };
    decode(record.expose()).map(Some)
}

/// What a record says.
///
/// # Errors
/// It says nothing that this program understands.
pub fn decode<Record: DeserializeOwned>(record: &[u8]) -> Result<Record, Fault> {
    serde_json::from_slice(record)
        .map_err(|_| Fault::Internal("a stored record cannot be read by this program".to_owned()))
}

/// Writes a record as JSON, to which fields can be added later.
///
/// # Errors
/// Those of [`Storage::put`].
pub fn write(
    storage: &mut dyn Storage,
    path: &str,
    record: &impl Serialize,
    ttl: Option<Duration>,
) -> Result<(), Fault> {
    storage.put(path, encode(record)?, ttl)
}

/// The bytes of a record.
///
/// # Errors
/// It cannot be written as JSON.
pub fn encode(record: &impl Serialize) -> Result<Secret<Vec<u8>>, Fault> {
    json(record).map(|mut bytes| Secret::new(std::mem::take(&mut *bytes)))
}

/// A value as JSON, in bytes that were never moved.
pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Result<Zeroizing<Vec<u8>>, Fault> {
    // Measured first: what grows leaves copies behind.
    let mut counted = Counted(0);
    let failed = |error: serde_json::Error| Fault::Internal(error.to_string());
    serde_json::to_writer(&mut counted, value).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(counted.0));
    serde_json::to_writer(&mut *bytes, value).map_err(failed)?;
    Ok(bytes)
}

struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
