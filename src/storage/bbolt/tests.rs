//! Files that are written are read back as they were, and damaged ones are errors.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

type Items = BTreeMap<Vec<u8>, Vec<u8>>;

fn write(buckets: &BTreeMap<Vec<u8>, Items>) -> (File, u64) {
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    for (name, items) in buckets {
        let mut bucket = writer.bucket(name);
        for (key, value) in items {
            bucket.put(key, value).unwrap();
        }
        bucket.finish().unwrap();
    }
    writer.finish().unwrap()
}

fn read(file: File, length: u64) -> Result<BTreeMap<Vec<u8>, Items>, StorageError> {
    let reader = Reader::open(file, length)?;
    let mut buckets = BTreeMap::new();
    for (name, bucket) in reader.buckets()? {
        let mut items = Items::new();
        let mut entries = reader.entries(&bucket)?;
        while let Some((key, value)) = entries.next_entry()? {
            items.insert(key.to_vec(), value.to_vec());
        }
        buckets.insert(name.to_vec(), items);
    }
    Ok(buckets)
}

/// Branches of a file: how many have how many children.
fn fewest_children(file: &File, length: u64) -> Option<u16> {
    let pages = length / PAGE_BYTES as u64;
    let mut fewest = None;
    let mut id = 3;
    while id < pages {
        let mut header = [0; PAGE_HEADER_BYTES];
        file.read_exact_at(&mut header, id * PAGE_BYTES as u64).unwrap();
        if number_16(&header, 8) == Some(BRANCH_PAGE) {
            let count = number_16(&header, 10).unwrap();
            fewest = Some(fewest.map_or(count, |known: u16| known.min(count)));
        }
        id += 1 + u64::from(number_32(&header, 12).unwrap());
    }
    fewest
}

fn numbered(count: u32, value_bytes: usize) -> BTreeMap<Vec<u8>, Items> {
    let items = (0..count).map(|number| (number.to_be_bytes().to_vec(), vec![7; value_bytes]));
    BTreeMap::from([(b"key".to_vec(), items.collect())])
}

fn buckets() -> impl Strategy<Value = BTreeMap<Vec<u8>, Items>> {
    let lengths = prop_oneof![8 => 0_usize..200, 1 => 3_000_usize..12_000];
    let value = lengths.prop_flat_map(|length| vec(any::<u8>(), length));
    let items = btree_map(vec(any::<u8>(), 1..40), value, 0..120);
    btree_map(vec(any::<u8>(), 1..12), items, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(buckets in buckets()) {
        let (file, length) = write(&buckets);
        prop_assert_eq!(file.metadata().unwrap().len(), length);
        prop_assert_eq!(read(file, length).unwrap(), buckets);
    }

    /// It may go unnoticed, in a value for instance, but it never panics and never takes for ever.
    #[test]
    fn a_damaged_file_never_panics(
        buckets in buckets(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (file, length) = write(&buckets);
        for (index, byte) in damage {
            file.write_all_at(&[byte], index.index(usize::try_from(length).unwrap()) as u64).unwrap();
        }
        let length = cut.map_or(length, |cut| cut.index(usize::try_from(length).unwrap()) as u64);
        file.set_len(length).unwrap();
        let _ = read(file, length);
    }

    /// Headers and elements of pages, where damage is followed.
    #[test]
    fn a_page_with_a_damaged_header_never_panics(
        page in 3_u64..40,
        offset in 0_u64..96,
        bytes in prop::array::uniform4(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()]),
    ) {
        let (file, length) = write(&numbered(3_000, 20));
        file.write_all_at(&bytes, page * PAGE_BYTES as u64 + offset).unwrap();
        let _ = read(file, length);
    }
}

#[test]
fn every_branch_has_two_children_at_least() {
    // One leaf holds 113 of them, one branch 204 leaves: numbers around these, and a third level.
    for count in [
        0,
        1,
        113,
        114,
        226,
        227,
        204 * 113,
        204 * 113 + 1,
        408 * 113 + 1,
        60_000,
    ] {
        let buckets = numbered(count, 16);
        let (file, length) = write(&buckets);
        if let Some(fewest) = fewest_children(&file, length) {
            assert!(fewest >= 2, "{count} items make a branch of {fewest}");
        }
        assert_eq!(read(file, length).unwrap(), buckets, "{count} items");
    }
}

#[test]
fn items_that_are_longer_than_a_page_go_on_over_the_next_ones() {
    let buckets = numbered(5, 1_000_000);
    let (file, length) = write(&buckets);
    assert!(length > 5_000_000);
    assert_eq!(read(file, length).unwrap(), buckets);
}

#[test]
fn keys_that_do_not_ascend_are_not_written() {
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    let mut bucket = writer.bucket(b"key");
    bucket.put(b"b", b"").unwrap();
    assert!(bucket.put(b"b", b"").is_err());
    assert!(bucket.put(b"a", b"").is_err());
}

#[test]
fn a_file_that_is_cut_short_or_is_no_bbolt_file_is_refused() {
    let (file, length) = write(&numbered(1_000, 100));
    let error = |file: &File, length| match read(file.try_clone().unwrap(), length) {
        Ok(_) => panic!("{length} bytes were read"),
        Err(error) => error.to_string(),
    };
    assert!(error(&file, length - 1).contains("cut short"));
    assert!(error(&file, 0).contains("another kind of file"));
    let other = tempfile::tempfile().unwrap();
    other.write_all_at(&[7; 20_000], 0).unwrap();
    assert!(error(&other, 20_000).contains("another kind of file"));
}

#[test]
fn of_two_metas_the_newer_valid_one_counts() {
    let buckets = numbered(10, 10);
    for damaged in [0, PAGE_BYTES as u64] {
        let (file, length) = write(&buckets);
        file.write_all_at(&[0xff; 8], damaged + 40).unwrap();
        assert_eq!(read(file, length).unwrap(), buckets, "the other meta is whole");
    }
}

#[test]
fn pages_that_go_round_in_a_circle_are_an_error() {
    let (file, length) = write(&numbered(1_000, 100));
    let reader = Reader::open(file.try_clone().unwrap(), length).unwrap();
    let (_, bucket) = reader.buckets().unwrap().remove(0);
    let mut entries = reader.entries(&bucket).unwrap();
    entries.next_entry().unwrap();
    // The root is the last page but one; its first child becomes itself.
    let root = length / PAGE_BYTES as u64 - 2;
    let child = root * PAGE_BYTES as u64 + (PAGE_HEADER_BYTES + 8) as u64;
    file.write_all_at(&root.to_le_bytes(), child).unwrap();
    let error = read(file, length).unwrap_err().to_string();
    assert!(error.contains("circle"), "{error}");
}

#[test]
fn a_bucket_that_lies_in_the_value_that_names_it_is_read() {
    // A leaf with one item, as bbolt writes small buckets.
    let mut page = page_header(0, LEAF_PAGE, 1, 0).to_vec();
    for number in [0_u32, 16, 1, 2] {
        page.extend_from_slice(&number.to_le_bytes());
    }
    page.extend_from_slice(b"kvv");
    let mut writer = Writer::new(tempfile::tempfile().unwrap()).unwrap();
    let value = [&[0; BUCKET_HEADER_BYTES][..], &page].concat();
    let mut root = writer.bucket(b"root");
    root.put(b"lease", &value).unwrap();
    root.finish().unwrap();
    let (file, length) = writer.finish().unwrap();
    // The tree of the bucket becomes that of the file: its one item is made a bucket.
    let leaf = 3 * PAGE_BYTES as u64;
    file.write_all_at(&BUCKET_ELEMENT.to_le_bytes(), leaf + PAGE_HEADER_BYTES as u64)
        .unwrap();
    for id in 0..2 {
        let meta = Meta {
            page_bytes: 4096,
            root: 3,
            freelist: 2,
            pages: length / PAGE_BYTES as u64,
            transaction: id,
        };
        file.write_all_at(&meta.encode(), id * PAGE_BYTES as u64 + PAGE_HEADER_BYTES as u64)
            .unwrap();
    }
    let items = BTreeMap::from([(b"k".to_vec(), b"vv".to_vec())]);
    assert_eq!(
        read(file, length).unwrap(),
        BTreeMap::from([(b"lease".to_vec(), items)])
    );
}

/// The bytes of a meta never change.
#[test]
fn a_meta_has_these_bytes() {
    let meta = Meta {
        page_bytes: 4096,
        root: 4,
        freelist: 2,
        pages: 5,
        transaction: 1,
    };
    let bytes = meta.encode();
    assert_eq!(
        bytes.get(..16),
        Some(&b"\xed\xda\x0c\xed\x02\0\0\0\0\x10\0\0\0\0\0\0"[..])
    );
    assert_eq!(Meta::decode(&bytes), Some(meta));
    assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c, "the published vector");
}
