//! Seals of this machine, and the record of what several of them wrapped.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use proptest::prelude::*;

use super::super::{LocalSeal, SealError, SealKey, SealKind, WrappedKeys};
use super::{key, people};
use crate::base::limits::{MAXIMUM_SEAL_ID_BYTES, MAXIMUM_SEALS};
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Counting, SystemRandomness};
use crate::state::format;

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn variable(id: &str, text: &str) -> Result<LocalSeal, SealError> {
    LocalSeal::environment(id, "ROOT", |_| Some(OsString::from(text)))
}

/// The bytes were made with another implementation.
#[test]
fn what_a_seal_wrapped_keeps_its_bytes() {
    let wrapped = people(0)
        .wrap(&Key::copied_from(&[0x2A; 32]), &mut Counting(32))
        .unwrap();
    assert_eq!(
        hexadecimal(&wrapped),
        "0100000000202122232425262728292a2bf8108c5a46b23024305668e4eb32ded3fa63c6b6adaa49c446dc463863a074235b62fbd8f22cdb35cd3233e402022428"
    );
    assert_eq!(people(0).unwrap(&wrapped).unwrap(), Key::copied_from(&[0x2A; 32]));
}

#[test]
fn the_record_of_what_was_wrapped_keeps_its_bytes() {
    let root = Key::copied_from(&[0x2A; 32]);
    let keys = WrappedKeys::wrap(&root, &[&people(0)], &mut Counting(32)).unwrap();
    let wrapped = people(0).wrap(&root, &mut Counting(32)).unwrap();
    // Version, number of seals, id, kind, and what is wrapped.
    let golden = format!("01010670656f706c650041{}", hexadecimal(&wrapped));
    assert_eq!(hexadecimal(&keys.encode().unwrap()), golden);
    for (kind, variant) in [
        (SealKind::Shares, 0),
        (SealKind::KeyFile, 1),
        (SealKind::Environment, 2),
    ] {
        assert_eq!(format::encode("kind", &kind).unwrap()[..], [1, variant]);
    }
}

#[test]
fn each_of_several_seals_opens_the_root_key_by_itself() {
    let automatic = variable("automatic", &hexadecimal(key(9).expose())).unwrap();
    let keys = WrappedKeys::wrap(&key(50), &[&people(1), &automatic], &mut SystemRandomness).unwrap();
    let read = WrappedKeys::decode(&keys.encode().unwrap()).unwrap();
    assert_eq!(read, keys);
    let seals: Vec<_> = read.seals().collect();
    assert_eq!(
        seals,
        [("people", SealKind::Shares), ("automatic", SealKind::Environment)]
    );
    assert_eq!(read.unwrap(&people(1)).unwrap(), key(50));
    assert_eq!(read.unwrap(&automatic).unwrap(), key(50));
    let lost = variable("automatic", &hexadecimal(key(10).expose())).unwrap();
    assert!(matches!(read.unwrap(&lost), Err(SealError::CannotUnwrap { .. })));
    let unknown = LocalSeal::shares("automatic", key(9));
    assert!(
        matches!(read.unwrap(&unknown), Err(SealError::UnknownSeal { .. })),
        "of another kind"
    );
}

#[test]
fn seals_are_replaced_by_id_and_those_that_are_not_kept_are_gone() {
    let automatic = |id: &str, number| variable(id, &hexadecimal(key(number).expose())).unwrap();
    let (old, other) = (automatic("old", 9), automatic("other", 10));
    let keys = WrappedKeys::wrap(&key(50), &[&people(1), &old, &other], &mut SystemRandomness).unwrap();
    let renewed = automatic("old", 11);
    let replaced = |keeps: fn(SealKind) -> bool| {
        let replaced = keys.replaced(&key(50), &[&renewed], keeps, &mut SystemRandomness);
        replaced.unwrap()
    };
    let ids = |keys: &WrappedKeys| keys.seals().map(|(id, _)| id.to_owned()).collect::<Vec<_>>();
    let kept = replaced(|_| true);
    assert_eq!(ids(&kept), ["people", "other", "old"]);
    let dropped = replaced(|kind| kind == SealKind::Shares);
    assert_eq!(ids(&dropped), ["people", "old"]);
    for keys in [&kept, &dropped] {
        assert_eq!(keys.unwrap(&people(1)).unwrap(), key(50));
        assert_eq!(keys.unwrap(&renewed).unwrap(), key(50));
        assert!(matches!(keys.unwrap(&old), Err(SealError::CannotUnwrap { .. })));
    }
    assert_eq!(kept.unwrap(&other).unwrap(), key(50));
    let none = keys.replaced(&key(50), &[&renewed], |_| false, &mut SystemRandomness);
    assert!(
        matches!(none, Err(SealError::NoShares)),
        "shares are never dropped"
    );
}

#[test]
fn what_one_seal_wrapped_is_not_taken_by_another_of_the_same_key() {
    let wrapped = people(1).wrap(&key(50), &mut SystemRandomness).unwrap();
    let text = hexadecimal(key(1).expose());
    for other in [
        LocalSeal::shares("others", key(1)),
        variable("people", &text).unwrap(),
    ] {
        assert!(matches!(
            other.unwrap(&wrapped),
            Err(SealError::CannotUnwrap { .. })
        ));
    }
}

#[test]
fn a_wrapped_key_that_is_cut_or_changed_anywhere_is_refused() {
    let wrapped = people(1).wrap(&key(50), &mut SystemRandomness).unwrap();
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 1;
        assert!(people(1).unwrap(&changed).is_err(), "{at}");
        assert!(people(1).unwrap(&wrapped[..at]).is_err(), "{at}");
    }
}

#[test]
fn seals_that_cannot_be_together_are_refused() {
    let wrap = |seals: &[&dyn SealKey]| WrappedKeys::wrap(&key(50), seals, &mut SystemRandomness);
    let automatic = variable("automatic", &hexadecimal(key(9).expose())).unwrap();
    assert!(matches!(wrap(&[&automatic]), Err(SealError::NoShares)));
    assert!(matches!(wrap(&[]), Err(SealError::NoShares)));
    assert!(matches!(
        wrap(&[&people(1), &people(2)]),
        Err(SealError::RepeatedSeal { .. })
    ));
    let many: Vec<LocalSeal> = (0..=MAXIMUM_SEALS)
        .map(|number| LocalSeal::shares(number.to_string(), key(1)))
        .collect();
    let many: Vec<&dyn SealKey> = many.iter().map(|seal| seal as &dyn SealKey).collect();
    assert!(matches!(wrap(&many), Err(SealError::TooManySeals { .. })));
    assert!(wrap(&many[1..]).is_ok());
    for bytes in [0, MAXIMUM_SEAL_ID_BYTES + 1] {
        let named = LocalSeal::shares("n".repeat(bytes), key(1));
        assert!(
            matches!(wrap(&[&named]), Err(SealError::SealId { .. })),
            "{bytes}"
        );
    }
}

#[test]
fn a_key_file_may_be_raw_hexadecimal_or_base64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let raw = *key(200).expose();
    let wrapped = {
        fs::write(&path, raw).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let seal = LocalSeal::key_file("file", &path).unwrap();
        assert_eq!((seal.id(), seal.kind()), ("file", SealKind::KeyFile));
        seal.wrap(&key(50), &mut SystemRandomness).unwrap()
    };
    for text in [
        hexadecimal(&raw),
        hexadecimal(&raw).to_uppercase() + "\n",
        STANDARD.encode(raw),
        STANDARD_NO_PAD.encode(raw) + " \n",
    ] {
        fs::write(&path, &text).unwrap();
        let seal = LocalSeal::key_file("file", &path).unwrap();
        assert_eq!(seal.unwrap(&wrapped).unwrap(), key(50), "{text:?}");
    }
}

#[test]
fn a_key_file_that_others_may_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, key(1).expose()).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o666] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = LocalSeal::key_file("file", &path).err().unwrap();
        assert!(
            matches!(error, SealError::KeyFileIsOpen { mode: told, .. } if told == mode),
            "{error}"
        );
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(LocalSeal::key_file("file", &path).is_ok());
}

#[test]
fn a_key_file_that_is_none_is_refused_and_what_it_holds_is_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    assert!(matches!(
        LocalSeal::key_file("file", &path),
        Err(SealError::KeyFile { .. })
    ));
    assert!(matches!(
        LocalSeal::key_file("file", folder.path()),
        Err(SealError::KeyFileKind { .. })
    ));
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    for content in [
        "",
        "hunter2",
        &"hunter2/".repeat(8),
        &"aa".repeat(32),
        &"A".repeat(43),
        &STANDARD.encode([7; 33]),
    ] {
        fs::write(&path, content).unwrap();
        let error = LocalSeal::key_file("file", &path).err().unwrap();
        assert!(matches!(error, SealError::Key { .. }), "{content}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    fs::write(&path, "a".repeat(1025)).unwrap();
    assert!(matches!(
        LocalSeal::key_file("file", &path),
        Err(SealError::KeyFileKind { .. })
    ));
}

#[test]
fn a_variable_that_is_not_set_or_holds_no_key_is_refused() {
    let unset = LocalSeal::environment("automatic", "ROOT", |_| None)
        .err()
        .unwrap();
    assert_eq!(
        unset.to_string(),
        "stead: environment variable ROOT does not hold a key: it is not set; it is 32 random bytes, in hexadecimal or base64"
    );
    for text in ["", "short", &"00".repeat(32), &STANDARD.encode([7; 31])] {
        assert!(
            matches!(variable("automatic", text), Err(SealError::Key { .. })),
            "{text}"
        );
    }
    assert!(variable("automatic", &STANDARD.encode(key(1).expose())).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
        let likely = [&[1, 1][..], &bytes].concat();
        let _ = WrappedKeys::decode(&Bytes::from(likely));
        prop_assert!(WrappedKeys::decode(&Bytes::from(bytes.clone())).is_err());
        prop_assert!(people(1).unwrap(&bytes).is_err());
    }
}
