//! The engine in memory: the twin of [`super::rocks`] for simulations and unit tests.
//!
//! Invariants: a view costs a reference count and never changes; [`MemoryEngine::crash`] goes back to the last moment
//! that was made durable (a [`Durability::Synced`] write, a flush or a checkpoint), with every batch whole or absent.
//!
//! Never touches the disk, but for checkpoints, and has no limit of memory of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::RwLock;
use rpds::RedBlackTreeMapSync;

use super::{Batch, Change, Cursor, Durability, Engine, Family, KeyRange, StorageError, View};

/// The one file of a checkpoint.
const CHECKPOINT_FILE: &str = "memory-checkpoint";

/// A persistent map: a copy shares all that neither changes.
type Keys = RedBlackTreeMapSync<Bytes, Bytes>;

/// All families at one moment.
type Families = BTreeMap<Family, Keys>;

#[derive(Default)]
struct State {
    written: Arc<Families>,
    durable: Arc<Families>,
}

/// A [`Engine`] in memory. Holds the families of both databases, so that one stands for either.
#[derive(Default)]
pub struct MemoryEngine {
    state: RwLock<State>,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The engine that wrote the checkpoint in `folder`.
    ///
    /// # Errors
    /// The checkpoint cannot be read or is damaged.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(CHECKPOINT_FILE);
        let bytes = fs::read(&path).map_err(|error| file_error("read the checkpoint", &path, error))?;
        let families = Arc::new(decode(&bytes)?);
        let state = State {
            written: Arc::clone(&families),
            durable: families,
        };
        Ok(Self {
            state: RwLock::new(state),
        })
    }

    /// Loses what was not made durable, as a machine that loses its power does. Views from before keep what they saw.
    pub fn crash(&self) {
        let mut state = self.state.write();
        state.written = Arc::clone(&state.durable);
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), StorageError> {
        let mut state = self.state.write();
        let families = Arc::make_mut(&mut state.written);
        for change in batch.changes {
            let keys = families.entry(change.family()).or_default();
            match change {
                Change::Put(_, key, value) => keys.insert_mut(key, value),
                Change::Delete(_, key) => {
                    keys.remove_mut(key.as_ref());
                }
                Change::DeleteRange(_, range) => {
                    while let Some((key, _)) =
                        first(keys, Bound::Included(&range.start), range.end.as_deref())
                    {
                        let key = key.clone();
                        keys.remove_mut(&key);
                    }
                }
            }
        }
        if durability == Durability::Synced {
            state.durable = Arc::clone(&state.written);
        }
        Ok(())
    }

    fn view(&self) -> Arc<dyn View> {
        Arc::new(MemoryView(Arc::clone(&self.state.read().written)))
    }

    fn flush(&self) -> Result<(), StorageError> {
        let mut state = self.state.write();
        state.durable = Arc::clone(&state.written);
        Ok(())
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), StorageError> {
        self.flush()?;
        let families = Arc::clone(&self.state.read().durable);
        fs::create_dir(folder).map_err(|error| file_error("create the checkpoint", folder, error))?;
        let path = folder.join(CHECKPOINT_FILE);
        let written = File::create_new(&path).and_then(|mut file| {
            file.write_all(&encode(&families))?;
            file.sync_all()?;
            File::open(folder)?.sync_all()
        });
        written.map_err(|error| file_error("write the checkpoint", &path, error))
    }

    /// Nothing to do: what is removed takes no space.
    fn reclaim(&self) -> Result<(), StorageError> {
        Ok(())
    }

    /// What the keys and values take, as nothing is on disk.
    fn size_bytes(&self) -> u64 {
        let families = Arc::clone(&self.state.read().written);
        let items = families.values().flat_map(|keys| keys.iter());
        items
            .map(|(key, value)| key.len() as u64 + value.len() as u64)
            .sum()
    }

    fn live_bytes(&self) -> u64 {
        self.size_bytes()
    }
}

struct MemoryView(Arc<Families>);

impl View for MemoryView {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.0.get(&family).and_then(|keys| keys.get(key)).cloned())
    }

    fn scan<'view>(
        &'view self,
        family: Family,
        range: KeyRange,
    ) -> Result<Box<dyn Cursor + 'view>, StorageError> {
        let keys = self.0.get(&family);
        let item = keys.and_then(|keys| first(keys, Bound::Included(&range.start), range.end.as_deref()));
        Ok(Box::new(MemoryCursor { keys, range, item }))
    }
}

struct MemoryCursor<'view> {
    keys: Option<&'view Keys>,
    range: KeyRange,
    item: Option<(&'view Bytes, &'view Bytes)>,
}

impl MemoryCursor<'_> {
    fn move_to(&mut self, start: Bound<&[u8]>) {
        self.item = self
            .keys
            .and_then(|keys| first(keys, start, self.range.end.as_deref()));
    }
}

impl Cursor for MemoryCursor<'_> {
    fn item(&self) -> Option<(&[u8], &[u8])> {
        self.item.map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    fn advance(&mut self) -> Result<(), StorageError> {
        if let Some((key, _)) = self.item {
            self.move_to(Bound::Excluded(key));
        }
        Ok(())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), StorageError> {
        let start = self.range.start.clone();
        self.move_to(Bound::Included(key.max(&start)));
        Ok(())
    }
}

/// The first item from `start` on that is before `end`.
fn first<'keys>(
    keys: &'keys Keys,
    start: Bound<&[u8]>,
    end: Option<&[u8]>,
) -> Option<(&'keys Bytes, &'keys Bytes)> {
    // The end is compared here: a map panics when asked for a range that ends before it starts.
    let item = keys.range::<[u8], _>((start, Bound::Unbounded)).next();
    item.filter(|(key, _)| end.is_none_or(|end| key.as_ref() < end))
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> StorageError {
    StorageError::File {
        action,
        path: path.display().to_string(),
        source,
    }
}

/// A checkpoint file: the number of items; for each item the name of its family, its key and its value, each behind its
/// length; and at the end the CRC-32C of all that. The numbers are `u64`, the checksum is `u32`, all big-endian.
fn encode(families: &Families) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u64(families.values().map(|keys| keys.size() as u64).sum());
    for (family, keys) in families {
        for (key, value) in keys {
            for part in [family.name().as_bytes(), key, value] {
                bytes.put_u64(part.len() as u64);
                bytes.put_slice(part);
            }
        }
    }
    bytes.put_u32(crc32c::crc32c(&bytes));
    bytes.freeze()
}

fn decode(bytes: &[u8]) -> Result<Families, StorageError> {
    let (mut items, checksum) = bytes
        .split_last_chunk::<4>()
        .ok_or_else(|| corrupt("it is cut short"))?;
    if u32::from_be_bytes(*checksum) != crc32c::crc32c(items) {
        return Err(corrupt("its checksum does not match"));
    }
    let count = items.try_get_u64().map_err(|_| corrupt("it is cut short"))?;
    let mut families = Families::new();
    for _ in 0..count {
        let name = split_part(&mut items)?;
        let family = Family::STATE
            .into_iter()
            .chain(Family::LOG)
            .find(|family| family.name().as_bytes() == name);
        let family = family.ok_or_else(|| corrupt("it has a family of an unknown name"))?;
        let (key, value) = (split_part(&mut items)?, split_part(&mut items)?);
        families.entry(family).or_default().insert_mut(key, value);
    }
    if items.is_empty() {
        Ok(families)
    } else {
        Err(corrupt("it goes on after its last item"))
    }
}

/// Takes a length and as many bytes from the front of `items`.
fn split_part(items: &mut &[u8]) -> Result<Bytes, StorageError> {
    let length = items.try_get_u64().map_err(|_| corrupt("an item is cut short"))?;
    let part = usize::try_from(length)
        .ok()
        .and_then(|length| items.split_off(..length));
    part.map(Bytes::copy_from_slice)
        .ok_or_else(|| corrupt("an item is cut short"))
}

fn corrupt(reason: &str) -> StorageError {
    StorageError::Corrupt {
        what: "checkpoint",
        reason: reason.to_owned(),
    }
}
