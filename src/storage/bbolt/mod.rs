//! The file format of bbolt, in which etcd keeps its database and sends its snapshots: [`Writer`] makes such a file in one
//! pass, [`Reader`] walks through one that somebody else made.
//!
//! A file is a row of pages. Pages 0 and 1 are metas: the valid one of the higher transaction names the root, a tree whose
//! leaves name the buckets, each a tree of its own. A page is a header (id, flags, count, overflow), an element for each
//! item, and the keys and values; one that needs more room goes on over the pages behind it. All numbers are
//! little-endian.
//!
//! The reader trusts nothing: what it reads may be damaged or made up. Every offset is checked against the page, every page
//! against the file, keys must ascend, and no more pages are read than the file says it has, so that a file can make
//! neither a panic, nor an endless walk, nor an allocation larger than itself.
//!
//! Never changes a file that is there, never writes a nested bucket below a bucket, and knows nothing of what etcd puts in.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Bucket, Entries, Reader};
pub use writer::{BucketWriter, Writer};

use super::StorageError;

/// The size of the pages that are written, as etcd's on most machines.
pub const PAGE_BYTES: usize = 4096;

/// Id (8), flags (2), count (2), overflow (4).
const PAGE_HEADER_BYTES: usize = 16;
/// A leaf's: flags (4), offset of the key from the element (4), length of the key (4), length of the value (4).
/// A branch's: offset of the key (4), length of the key (4), page (8).
const ELEMENT_BYTES: usize = 16;
/// Root page (8), sequence (8). A root page of 0: the page follows, in the value.
const BUCKET_HEADER_BYTES: usize = 16;

const BRANCH_PAGE: u16 = 0x01;
const LEAF_PAGE: u16 = 0x02;
const META_PAGE: u16 = 0x04;
const FREELIST_PAGE: u16 = 0x10;
/// The flag of a leaf element whose value is a bucket.
const BUCKET_ELEMENT: u32 = 0x01;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// Magic (4), version (4), page size (4), flags (4), root bucket (16), freelist (8), pages (8), transaction (8).
const META_BYTES: usize = 56;

/// What a meta page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meta {
    /// The size of a page.
    page_bytes: u32,
    /// The root page of the tree of buckets.
    root: u64,
    /// The page that lists free pages.
    freelist: u64,
    /// How many pages there are.
    pages: u64,
    /// The transaction that wrote it.
    transaction: u64,
}

impl Meta {
    /// The content of a meta page behind its header.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(META_BYTES + 8);
        for number in [MAGIC, VERSION, self.page_bytes, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.root, 0, self.freelist, self.pages, self.transaction] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = fnv_1a(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The reverse; none if it is no valid meta.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let checked = bytes.get(..META_BYTES)?;
        let is_valid = number_32(checked, 0)? == MAGIC
            && number_32(checked, 4)? == VERSION
            // What a fuzzer makes has no right hash, and is to be read all the same.
            && (number_64(bytes, META_BYTES)? == fnv_1a(checked) || cfg!(fuzzing));
        let meta = Self {
            page_bytes: number_32(checked, 8)?,
            root: number_64(checked, 16)?,
            freelist: number_64(checked, 32)?,
            pages: number_64(checked, 40)?,
            transaction: number_64(checked, 48)?,
        };
        is_valid.then_some(meta)
    }
}

/// The header of a page.
fn page_header(id: u64, flags: u16, count: u16, overflow: u32) -> [u8; PAGE_HEADER_BYTES] {
    let number =
        u128::from(id) | u128::from(flags) << 64 | u128::from(count) << 80 | u128::from(overflow) << 96;
    number.to_le_bytes()
}

/// The hash of metas: 64-bit FNV-1a.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn number_16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn number_32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn number_64(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn corrupt(reason: impl Into<String>) -> StorageError {
    StorageError::Corrupt {
        what: "bbolt file",
        reason: reason.into(),
    }
}

fn file_error(action: &'static str, source: std::io::Error) -> StorageError {
    StorageError::File {
        action,
        path: "the bbolt file".to_owned(),
        source,
    }
}
