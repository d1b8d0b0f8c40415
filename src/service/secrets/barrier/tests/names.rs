//! Sealed names: that they come back, that they lie in order, and every way to spoil one.

use std::collections::BTreeMap;

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use proptest::prelude::*;

use super::super::NameError;
use super::super::names::{Names, ROOT_DIRECTORY, after, below};
use super::{bytes_of, counting_key, hexadecimal};
use crate::base::limits::{
    MAXIMUM_SECRET_PATH_BYTES, MAXIMUM_SECRET_PATH_SEGMENTS, MAXIMUM_SECRET_SEGMENT_BYTES,
};
use crate::service::secrets::memory::Key;

fn names() -> Names {
    Names::new(&counting_key())
}

/// RFC 5297, A.1. It has no vector for the longer key, for which the golden bytes below stand.
#[test]
fn the_construction_gives_the_published_vector() {
    let key = bytes_of("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let associated = bytes_of("101112131415161718191a1b1c1d1e1f2021222324252627");
    let plaintext = bytes_of("112233445566778899aabbccddee");
    let sealed = Aes128Siv::new(key.as_slice().into())
        .encrypt([associated], &plaintext)
        .unwrap();
    assert_eq!(
        hexadecimal(&sealed),
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    );
}

/// The bytes were made with another implementation of AES-256-SIV and HKDF.
#[test]
fn storage_keys_keep_their_bytes() {
    let golden = "0020017964520016064cb3a0940eac190744247280d2bbf6083a99916ca23ef9be080020380ec4ec0f1683be03fde3633930951d7f505b6b4a4eafbce70caf2d373113df";
    assert_eq!(hexadecimal(&names().encode("db/app").unwrap()), golden);
}

#[test]
fn a_name_cannot_be_read_in_its_storage_key() {
    let sealed = names().encode("production/password/production").unwrap();
    for part in ["production", "password", "prod", "pass"] {
        assert!(!sealed.windows(part.len()).any(|window| window == part.as_bytes()));
    }
    // The same name in another directory has nothing in common with the first.
    let (first, last) = (&sealed[2..34], &sealed[70..]);
    assert_eq!(first.len(), last.len());
    assert!(
        first
            .windows(4)
            .all(|window| !last.windows(4).any(|other| other == window))
    );
}

#[test]
fn lengths_show_in_steps_of_sixteen() {
    let length = |bytes: usize| names().encode(&"n".repeat(bytes)).unwrap().len();
    assert_eq!(
        (length(1), length(15), length(16), length(31), length(32)),
        (34, 34, 50, 50, 66)
    );
}

#[test]
fn another_key_opens_nothing() {
    let sealed = names().encode("a").unwrap();
    let other = Names::new(&Key::copied_from(&[1; 32]));
    assert_eq!(other.decode(&sealed), Err(NameError::TamperedOrMoved));
}

#[test]
fn a_segment_that_is_moved_to_another_directory_is_found_out() {
    let names = names();
    let one = names.encode("one/secret").unwrap();
    let other = names.encode("two").unwrap();
    let moved = [&other[..], &one[34..]].concat();
    assert_eq!(names.decode(&moved), Err(NameError::TamperedOrMoved));
    assert_eq!(names.decode(&one[34..]), Err(NameError::TamperedOrMoved));
}

#[test]
fn a_storage_key_that_is_cut_or_changed_anywhere_is_refused() {
    let names = names();
    let sealed = names.encode("one/secret").unwrap();
    for length in (0..sealed.len()).filter(|length| *length != 34) {
        assert_eq!(
            names.decode(&sealed[..length]),
            Err(NameError::Malformed),
            "{length}"
        );
    }
    assert_eq!(
        names.decode(&sealed[..34]).unwrap(),
        "one",
        "the directory itself"
    );
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(names.decode(&changed).is_err(), "{at}");
    }
}

#[test]
fn the_limits_of_paths_hold_and_what_is_at_them_passes() {
    let names = names();
    let longest = "n".repeat(MAXIMUM_SECRET_SEGMENT_BYTES);
    let sealed = names.encode(&longest).unwrap();
    assert_eq!(names.decode(&sealed).unwrap(), longest);
    let bytes = MAXIMUM_SECRET_SEGMENT_BYTES + 1;
    assert_eq!(
        names.encode(&format!("{longest}n")),
        Err(NameError::SegmentTooLong { bytes })
    );

    let deepest = vec!["n"; MAXIMUM_SECRET_PATH_SEGMENTS].join("/");
    assert_eq!(names.decode(&names.encode(&deepest).unwrap()).unwrap(), deepest);
    assert_eq!(names.encode(&format!("{deepest}/n")), Err(NameError::TooDeep));

    let bytes = MAXIMUM_SECRET_PATH_BYTES + 1;
    assert_eq!(
        names.encode(&"n".repeat(bytes)),
        Err(NameError::PathTooLong { bytes })
    );
    for empty in ["", "/", "a/", "/a", "a//b"] {
        assert_eq!(names.encode(empty), Err(NameError::EmptySegment), "{empty:?}");
    }
}

#[test]
fn a_listing_tells_children_from_what_is_below_them() {
    let names = names();
    let directory = names.encode("a").unwrap();
    let child = names.child(&directory, &names.encode("a/b").unwrap()).unwrap();
    assert_eq!((child.name.as_str(), child.is_itself), ("b", true));
    let deep = names
        .child(&directory, &names.encode("a/b/c/d").unwrap())
        .unwrap();
    assert_eq!((deep.name.as_str(), deep.is_itself), ("b", false));
    assert_eq!(deep.storage_key, child.storage_key);
    for elsewhere in [directory.clone(), names.encode("c/b").unwrap()] {
        assert_eq!(names.child(&directory, &elsewhere), Err(NameError::Elsewhere));
    }
}

/// Lists `directory` as one does in the store: a seek for each child, whatever is below it.
fn list(names: &Names, store: &BTreeMap<Vec<u8>, String>, directory: &[u8]) -> (Vec<String>, usize) {
    let range = below(directory);
    let mut from = range.start.clone();
    let (mut found, mut seeks) = (Vec::new(), 0);
    while let Some((key, _)) = store.range(from..).next().filter(|(key, _)| range.contains(key)) {
        seeks += 1;
        let child = names.child(directory, key).unwrap();
        found.push(child.name);
        match after(&child.storage_key) {
            Some(next) => from = next,
            None => break,
        }
    }
    found.sort();
    (found, seeks)
}

#[test]
fn a_directory_is_listed_with_one_seek_for_each_child_however_much_is_below() {
    let names = names();
    let mut store = BTreeMap::new();
    let mut put = |path: String| store.insert(names.encode(&path).unwrap(), path);
    for number in 0..100 {
        put(format!("a/deep/{number}/x"));
    }
    for path in ["a", "a/b", "a/deep", "b/a", "ab"] {
        put(path.to_owned());
    }
    let directory = names.encode("a").unwrap();
    assert_eq!(
        list(&names, &store, &directory),
        (vec!["b".to_owned(), "deep".to_owned()], 2)
    );
    let (top, _) = list(&names, &store, ROOT_DIRECTORY);
    assert_eq!(top, ["a", "ab", "b"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_comes_back(path in "[^/]{1,40}(/[^/]{1,40}){0,5}") {
        prop_assert_eq!(names().decode(&names().encode(&path).unwrap()).unwrap(), path);
    }

    #[test]
    fn all_that_is_below_a_directory_is_in_its_range_and_nothing_else(
        one in "[ab]{1,2}(/[ab]{1,2}){0,3}", other in "[ab]{1,2}(/[ab]{1,2}){0,3}",
    ) {
        let (directory, key) = (names().encode(&one).unwrap(), names().encode(&other).unwrap());
        prop_assert_eq!(below(&directory).contains(&key), other.starts_with(&format!("{one}/")));
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        prop_assert!(names().decode(&bytes).is_err());
        let likely = [&[0, 32][..], &bytes].concat();
        prop_assert!(names().decode(&likely).is_err());
        prop_assert!(names().child(ROOT_DIRECTORY, &likely).is_err());
    }
}
