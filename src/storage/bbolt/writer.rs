//! Writes a bbolt file from the first page to the last, its buckets one after the other, the keys of each in order.
//!
//! Pages are filled to the brim, leaves as they come and branches above them as the leaves below are written, so that
//! memory is that of one page for each level. Every branch has at least two children: bbolt relies on that when it deletes.
//! The metas are written last: a file that was not finished is none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};

use super::{
    BRANCH_PAGE, BUCKET_ELEMENT, BUCKET_HEADER_BYTES, ELEMENT_BYTES, FREELIST_PAGE, LEAF_PAGE, META_PAGE,
    Meta, PAGE_BYTES, PAGE_HEADER_BYTES, corrupt, file_error, page_header,
};
use crate::storage::StorageError;

/// What collects before it is written to the file.
const BUFFER_BYTES: usize = 256 * 1024;
/// The page behind the metas.
const FREELIST: u64 = 2;
/// The page behind the list of free pages, which is empty and takes one page.
const FIRST_PAGE: u64 = 3;
/// A branch is full only with so many children, so that it can spare one for the page behind it.
const FEWEST_CHILDREN_OF_FULL_BRANCH: usize = 4;

/// A bbolt file that is being written.
pub struct Writer {
    file: BufWriter<File>,
    next_page: u64,
    /// The root pages of the buckets.
    buckets: BTreeMap<Vec<u8>, u64>,
}

impl Writer {
    /// Begins a bbolt file at the start of an empty one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn new(file: File) -> Result<Self, StorageError> {
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        for _ in 0..FIRST_PAGE {
            file.write_all(&[0; PAGE_BYTES])
                .map_err(|source| file_error("write", source))?;
        }
        Ok(Self {
            file,
            next_page: FIRST_PAGE,
            buckets: BTreeMap::new(),
        })
    }

    /// Begins a bucket, to be filled and finished before the next one. One of the same name is replaced.
    pub fn bucket(&mut self, name: &[u8]) -> BucketWriter<'_> {
        BucketWriter {
            tree: Tree::default(),
            name: name.to_vec(),
            writer: self,
        }
    }

    /// Writes what names the buckets. Returns the file, which is whole but not synced, and its length in bytes.
    ///
    /// # Errors
    /// The disk failed.
    pub fn finish(mut self) -> Result<(File, u64), StorageError> {
        let mut tree = Tree::default();
        for (name, root) in std::mem::take(&mut self.buckets) {
            let mut header = [0; BUCKET_HEADER_BYTES];
            let (page, _) = header.split_at_mut(8);
            page.copy_from_slice(&root.to_le_bytes());
            tree.put(&mut self, BUCKET_ELEMENT, &name, &header)?;
        }
        let root = tree.finish(&mut self)?;
        let pages = self.next_page;
        let mut file = self
            .file
            .into_inner()
            .map_err(|error| file_error("write", error.into_error()))?;
        let mut start = Vec::with_capacity(3 * PAGE_BYTES);
        for id in 0..FREELIST {
            let meta = Meta {
                page_bytes: u32::try_from(PAGE_BYTES).unwrap_or(u32::MAX),
                root,
                freelist: FREELIST,
                pages,
                transaction: id,
            };
            start.extend_from_slice(&page_header(id, META_PAGE, 0, 0));
            start.extend_from_slice(&meta.encode());
            start.resize(start.len().next_multiple_of(PAGE_BYTES), 0);
        }
        start.extend_from_slice(&page_header(FREELIST, FREELIST_PAGE, 0, 0));
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(&start))
            .map_err(|source| file_error("write", source))?;
        Ok((file, pages.saturating_mul(PAGE_BYTES as u64)))
    }

    /// Writes a page and returns its id.
    fn write_page(&mut self, is_leaf: bool, items: &Items) -> Result<u64, StorageError> {
        let id = self.next_page;
        let pages = items.bytes.div_ceil(PAGE_BYTES);
        let count = u16::try_from(items.list.len()).map_err(|_| corrupt("a page has too many items"))?;
        let overflow =
            u32::try_from(pages.saturating_sub(1)).map_err(|_| corrupt("a page has too many bytes"))?;
        let flags = if is_leaf { LEAF_PAGE } else { BRANCH_PAGE };
        let mut page = Vec::with_capacity(pages * PAGE_BYTES);
        page.extend_from_slice(&page_header(id, flags, count, overflow));
        let mut behind = ELEMENT_BYTES * items.list.len();
        for item in &items.list {
            let [offset, key_length, value_length] = [behind, item.key.len(), item.value.len()]
                .map(|length| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
            if is_leaf {
                page.extend_from_slice(&item.flags.to_le_bytes());
            }
            page.extend_from_slice(&offset);
            page.extend_from_slice(&key_length);
            if is_leaf {
                page.extend_from_slice(&value_length);
            } else {
                page.extend_from_slice(&item.child.to_le_bytes());
            }
            behind = behind + item.key.len() + item.value.len() - ELEMENT_BYTES;
        }
        for item in &items.list {
            page.extend_from_slice(&item.key);
            page.extend_from_slice(&item.value);
        }
        page.resize(pages * PAGE_BYTES, 0);
        self.file
            .write_all(&page)
            .map_err(|source| file_error("write", source))?;
        self.next_page += pages as u64;
        Ok(id)
    }
}

/// A bucket that is being written.
pub struct BucketWriter<'writer> {
    writer: &'writer mut Writer,
    name: Vec<u8>,
    tree: Tree,
}

impl BucketWriter<'_> {
    /// Adds an item, whose key must be larger than the one before.
    ///
    /// # Errors
    /// The disk failed, or the key is not larger.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        self.tree.put(self.writer, 0, key, value)
    }

    /// Ends the bucket. Without it the file does not have the bucket.
    ///
    /// # Errors
    /// The disk failed.
    pub fn finish(self) -> Result<(), StorageError> {
        let root = self.tree.finish(self.writer)?;
        self.writer.buckets.insert(self.name, root);
        Ok(())
    }
}

/// An item of a leaf, or a child of a branch.
#[derive(Default)]
struct Item {
    key: Vec<u8>,
    value: Vec<u8>,
    flags: u32,
    child: u64,
}

/// What becomes a page.
struct Items {
    list: Vec<Item>,
    /// The length of the page: header, elements, keys and values.
    bytes: usize,
}

impl Default for Items {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            bytes: PAGE_HEADER_BYTES,
        }
    }
}

impl Items {
    fn push(&mut self, item: Item) {
        self.bytes += item_bytes(&item);
        self.list.push(item);
    }

    fn pop(&mut self) -> Option<Item> {
        let item = self.list.pop()?;
        self.bytes -= item_bytes(&item);
        Some(item)
    }
}

fn item_bytes(item: &Item) -> usize {
    ELEMENT_BYTES + item.key.len() + item.value.len()
}

/// A level of branches: the page that is being filled, and the full one before it, which may have to spare a child.
#[derive(Default)]
struct Level {
    full: Option<Items>,
    filling: Items,
}

/// A tree that is being written, from the leaves up.
#[derive(Default)]
struct Tree {
    leaf: Items,
    branches: Vec<Level>,
    last_key: Option<Vec<u8>>,
}

impl Tree {
    fn put(&mut self, writer: &mut Writer, flags: u32, key: &[u8], value: &[u8]) -> Result<(), StorageError> {
        if self.last_key.as_deref().is_some_and(|last| last >= key) {
            return Err(corrupt("the keys that are written do not ascend"));
        }
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        let item = Item {
            key: key.to_vec(),
            value: value.to_vec(),
            flags,
            child: 0,
        };
        if !self.leaf.list.is_empty() && self.leaf.bytes + item_bytes(&item) > PAGE_BYTES {
            let full = std::mem::take(&mut self.leaf);
            self.write(writer, 0, &full)?;
        }
        self.leaf.push(item);
        Ok(())
    }

    /// Writes a page of the level that is so many above the leaves, and adds it to the level above.
    fn write(&mut self, writer: &mut Writer, height: usize, items: &Items) -> Result<(), StorageError> {
        let child = writer.write_page(height == 0, items)?;
        let key = items
            .list
            .first()
            .map(|item| item.key.clone())
            .unwrap_or_default();
        if self.branches.len() == height {
            self.branches.push(Level::default());
        }
        let Some(level) = self.branches.get_mut(height) else {
            return Ok(());
        };
        let item = Item {
            key,
            child,
            ..Item::default()
        };
        let is_full = level.filling.list.len() >= FEWEST_CHILDREN_OF_FULL_BRANCH
            && level.filling.bytes + item_bytes(&item) > PAGE_BYTES;
        let full = is_full.then(|| std::mem::take(&mut level.filling));
        level.filling.push(item);
        let before = full.and_then(|full| level.full.replace(full));
        match before {
            Some(before) => self.write(writer, height + 1, &before),
            None => Ok(()),
        }
    }

    /// Writes what is left and returns the root page.
    fn finish(mut self, writer: &mut Writer) -> Result<u64, StorageError> {
        let leaf = std::mem::take(&mut self.leaf);
        self.write(writer, 0, &leaf)?;
        let mut height = 0;
        while let Some(level) = self.branches.get_mut(height) {
            let mut last = std::mem::take(&mut level.filling);
            let full = level.full.take();
            height += 1;
            match full {
                Some(mut full) => {
                    if last.list.len() < 2
                        && let Some(spared) = full.pop()
                    {
                        last.bytes += item_bytes(&spared);
                        last.list.insert(0, spared);
                    }
                    self.write(writer, height, &full)?;
                    self.write(writer, height, &last)?;
                }
                // The only child of what would be its root is the root.
                None if last.list.len() == 1 => {
                    return Ok(last.list.first().map_or(0, |item| item.child));
                }
                None => self.write(writer, height, &last)?,
            }
        }
        Err(corrupt("a tree has no root"))
    }
}
