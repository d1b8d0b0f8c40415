//! Reads a bbolt file that may be damaged: see the module above for what is checked.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::{
    BRANCH_PAGE, BUCKET_ELEMENT, BUCKET_HEADER_BYTES, ELEMENT_BYTES, LEAF_PAGE, META_BYTES, Meta,
    PAGE_HEADER_BYTES, corrupt, file_error, number_16, number_32, number_64,
};
use crate::storage::StorageError;

/// The sizes of pages that are looked for, as powers of two: machines have pages of 4 KiB to 64 KiB.
const PAGE_SIZE_EXPONENTS: std::ops::RangeInclusive<u32> = 10..=16;
/// The longest page. The items of one fit into a page of a few KiB, or it holds very few items: etcd's largest request is
/// far smaller than this.
const MAXIMUM_PAGE_BYTES: u64 = 256 * 1024 * 1024;
/// The deepest tree: with two children for each branch it holds more items than a disk.
const MAXIMUM_DEPTH: usize = 64;

/// A bbolt file.
pub struct Reader {
    file: File,
    meta: Meta,
}

/// A bucket of a file.
#[derive(Debug, Clone)]
pub struct Bucket(Root);

#[derive(Debug, Clone)]
enum Root {
    Page(u64),
    /// The page lies in the value that names the bucket.
    Inline(Bytes),
}

impl Reader {
    /// Opens the file whose first `length` bytes are a bbolt file.
    ///
    /// # Errors
    /// It cannot be read, is no bbolt file, or is cut short.
    pub fn open(file: File, length: u64) -> Result<Self, StorageError> {
        let mut found: Option<Meta> = None;
        let meta_at = |offset: u64| -> Option<Meta> {
            let mut bytes = [0; PAGE_HEADER_BYTES + META_BYTES + 8];
            if offset.saturating_add(bytes.len() as u64) > length {
                return None;
            }
            file.read_exact_at(&mut bytes, offset).ok()?;
            Meta::decode(bytes.get(PAGE_HEADER_BYTES..)?)
        };
        let second_pages = PAGE_SIZE_EXPONENTS.map(|exponent| 1_u64 << exponent);
        for offset in std::iter::once(0).chain(second_pages) {
            let Some(meta) = meta_at(offset) else { continue };
            let fits = offset == 0 || u64::from(meta.page_bytes) == offset;
            if fits && found.is_none_or(|known| meta.transaction > known.transaction) {
                found = Some(meta);
            }
        }
        let meta = found.ok_or_else(|| corrupt("it has no valid meta page: it is another kind of file"))?;
        let page_bytes = u64::from(meta.page_bytes);
        if !PAGE_SIZE_EXPONENTS.contains(&page_bytes.trailing_zeros()) || !page_bytes.is_power_of_two() {
            return Err(corrupt(format!("pages of {page_bytes} bytes are not known")));
        }
        match meta.pages.checked_mul(page_bytes) {
            Some(needed) if needed <= length => Ok(Self { file, meta }),
            _ => Err(corrupt(format!(
                "it is cut short: {} pages of {page_bytes} bytes are not in {length} bytes",
                meta.pages
            ))),
        }
    }

    /// Bytes of all pages.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.meta.pages.saturating_mul(u64::from(self.meta.page_bytes))
    }

    /// The buckets with their names, in order of those.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn buckets(&self) -> Result<Vec<(Bytes, Bucket)>, StorageError> {
        let mut entries = self.entries(&Bucket(Root::Page(self.meta.root)))?;
        let mut buckets = Vec::new();
        while let Some(item) = entries.next_item()? {
            let root = number_64(&item.value, 0).filter(|_| item.value.len() >= BUCKET_HEADER_BYTES);
            let root = match root {
                _ if item.flags & BUCKET_ELEMENT == 0 => None,
                Some(0) => Some(Root::Inline(item.value.slice(BUCKET_HEADER_BYTES..))),
                page => page.map(Root::Page),
            };
            let root = root.ok_or_else(|| corrupt("its root holds what is no bucket"))?;
            buckets.push((item.key, Bucket(root)));
        }
        Ok(buckets)
    }

    /// The items of a bucket, in order of their keys.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn entries(&self, bucket: &Bucket) -> Result<Entries<'_>, StorageError> {
        let root = match &bucket.0 {
            Root::Page(id) => self.page(*id)?,
            Root::Inline(bytes) => Page::parse(bytes.clone())?,
        };
        Ok(Entries {
            reader: self,
            path: vec![(root, 0)],
            pages: 1,
            last_key: None,
        })
    }

    fn page(&self, id: u64) -> Result<Page, StorageError> {
        let page_bytes = u64::from(self.meta.page_bytes);
        let outside = || corrupt(format!("page {id} lies outside of the file"));
        if id >= self.meta.pages {
            return Err(outside());
        }
        let start = id.checked_mul(page_bytes).ok_or_else(outside)?;
        let mut header = [0; PAGE_HEADER_BYTES];
        self.file
            .read_exact_at(&mut header, start)
            .map_err(|source| file_error("read", source))?;
        if number_64(&header, 0) != Some(id) {
            return Err(corrupt(format!("page {id} says that it is another one")));
        }
        let span = u64::from(number_32(&header, 12).unwrap_or(u32::MAX)).saturating_add(1);
        let length = span.saturating_mul(page_bytes);
        if span > self.meta.pages - id || length > MAXIMUM_PAGE_BYTES {
            return Err(corrupt(format!(
                "page {id} is longer than it can be: {length} bytes"
            )));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| outside())?];
        self.file
            .read_exact_at(&mut bytes, start)
            .map_err(|source| file_error("read", source))?;
        Page::parse(bytes.into())
    }
}

/// A leaf or a branch.
struct Page {
    bytes: Bytes,
    is_leaf: bool,
    count: usize,
}

impl Page {
    fn parse(bytes: Bytes) -> Result<Self, StorageError> {
        let (Some(flags), Some(count)) = (number_16(&bytes, 8), number_16(&bytes, 10)) else {
            return Err(corrupt("a page has no header"));
        };
        let is_leaf = match flags {
            LEAF_PAGE => true,
            BRANCH_PAGE => false,
            _ => {
                return Err(corrupt(format!(
                    "a page has the flags {flags:#x}, which no tree has"
                )));
            }
        };
        if count == 0 && !is_leaf {
            return Err(corrupt("a branch has no children"));
        }
        Ok(Self {
            bytes,
            is_leaf,
            count: usize::from(count),
        })
    }

    fn slice(&self, element: usize, offset: u32, length: u32) -> Option<Bytes> {
        let start = element.checked_add(usize::try_from(offset).ok()?)?;
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }

    fn item(&self, index: usize) -> Result<Item, StorageError> {
        let read = || -> Option<Item> {
            let element = PAGE_HEADER_BYTES.checked_add(index.checked_mul(ELEMENT_BYTES)?)?;
            let number = |offset: usize| number_32(&self.bytes, element + offset);
            if self.is_leaf {
                let (offset, key_length, value_length) = (number(4)?, number(8)?, number(12)?);
                Some(Item {
                    flags: number(0)?,
                    key: self.slice(element, offset, key_length)?,
                    value: self.slice(element, offset.checked_add(key_length)?, value_length)?,
                    child: 0,
                })
            } else {
                Some(Item {
                    flags: 0,
                    key: self.slice(element, number(0)?, number(4)?)?,
                    value: Bytes::new(),
                    child: number_64(&self.bytes, element + 8)?,
                })
            }
        };
        read().ok_or_else(|| corrupt("an item lies outside of its page"))
    }
}

struct Item {
    flags: u32,
    key: Bytes,
    value: Bytes,
    child: u64,
}

/// A walk through the items of a bucket.
pub struct Entries<'reader> {
    reader: &'reader Reader,
    /// The pages from the root down, each with the index of the item that comes next.
    path: Vec<(Page, usize)>,
    /// Pages that were read.
    pages: u64,
    last_key: Option<Bytes>,
}

impl Entries<'_> {
    /// The next key and value; none after the last.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn next_entry(&mut self) -> Result<Option<(Bytes, Bytes)>, StorageError> {
        match self.next_item()? {
            Some(item) if item.flags & BUCKET_ELEMENT != 0 => Err(corrupt("a bucket holds another bucket")),
            item => Ok(item.map(|item| (item.key, item.value))),
        }
    }

    fn next_item(&mut self) -> Result<Option<Item>, StorageError> {
        while let Some((page, next)) = self.path.last_mut() {
            if *next >= page.count {
                self.path.pop();
                continue;
            }
            let item = page.item(*next)?;
            let is_leaf = page.is_leaf;
            *next += 1;
            if is_leaf {
                if self.last_key.as_ref().is_some_and(|last| *last >= item.key) {
                    return Err(corrupt("its keys do not ascend"));
                }
                self.last_key = Some(item.key.clone());
                return Ok(Some(item));
            }
            self.pages = self.pages.saturating_add(1);
            if self.path.len() >= MAXIMUM_DEPTH || self.pages > self.reader.meta.pages {
                return Err(corrupt("its pages go round in a circle"));
            }
            let child = self.reader.page(item.child)?;
            self.path.push((child, 0));
        }
        Ok(None)
    }
}
