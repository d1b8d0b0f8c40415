//! Records: the published vectors, golden bytes that another implementation made, and every way to spoil one.

use proptest::prelude::*;

use super::super::BarrierError;
use super::super::cipher::{
    FORMAT, OVERHEAD_BYTES, Place, decrypt, decrypt_in_place, encrypt, encrypt_in_place, term_of,
};
use super::{array_of, bytes_of, counting_key, hexadecimal};
use crate::base::limits::MAXIMUM_SEALED_RECORD_BYTES;
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Counting, SystemRandomness};

const PLACE: Place<'_> = Place {
    storage_key: b"k/1",
    version: 5,
};

fn record_of(plaintext: &[u8]) -> Vec<u8> {
    encrypt(&counting_key(), 7, PLACE, plaintext, &mut Counting(32)).unwrap()
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16, which NIST took over.
#[test]
fn the_cipher_gives_the_published_vectors() {
    let long_key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
    let zeros = "0".repeat(64);
    for (key, nonce, associated, plaintext, ciphertext, tag) in [
        (
            zeros.as_str(),
            "000000000000000000000000",
            "",
            "",
            "",
            "530f8afbc74536b9a963b4f1c4cb738b",
        ),
        (
            zeros.as_str(),
            "000000000000000000000000",
            "",
            "00000000000000000000000000000000",
            "cea7403d4d606b6e074ec5d3baf39d18",
            "d0d1c8a799996bf0265b98b5d48ab919",
        ),
        (
            long_key,
            "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525\
             b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838\
             c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ] {
        let key = Key::copied_from(&array_of(key));
        let (nonce, associated) = (array_of(nonce), bytes_of(associated));
        let mut body = bytes_of(plaintext);
        let made = encrypt_in_place(&key, &nonce, &associated, &mut body).unwrap();
        assert_eq!(
            (hexadecimal(&body).as_str(), hexadecimal(&made).as_str()),
            (ciphertext, tag)
        );
        assert!(decrypt_in_place(&key, &nonce, &associated, &mut body, &made));
        assert_eq!(hexadecimal(&body), plaintext);
    }
}

/// The bytes are those of the layout, made with another implementation of AES-GCM.
#[test]
fn records_keep_their_bytes() {
    let record = record_of(b"plain");
    assert_eq!(
        hexadecimal(&record),
        "0100000007202122232425262728292a2ba256c71902f5c54c45fa46037f2a6b31a20fb8520a"
    );
    assert_eq!(record.len(), OVERHEAD_BYTES + 5);
    assert_eq!(
        decrypt(&counting_key(), PLACE, &record).unwrap().expose(),
        b"plain"
    );
    assert_eq!(term_of(&record).unwrap(), 7);
}

#[test]
fn a_record_that_is_cut_anywhere_is_refused() {
    let record = record_of(b"a value");
    for length in 0..record.len() {
        let error = decrypt(&counting_key(), PLACE, &record[..length]).unwrap_err();
        if length < OVERHEAD_BYTES {
            assert!(
                matches!(error, BarrierError::Truncated { bytes, .. } if bytes == length),
                "{length}"
            );
        } else {
            assert!(
                matches!(error, BarrierError::TamperedOrMoved),
                "{length}: {error}"
            );
        }
    }
}

#[test]
fn a_record_of_another_format_is_named() {
    let mut record = record_of(b"a value");
    record[0] = FORMAT + 1;
    let error = decrypt(&counting_key(), PLACE, &record).unwrap_err();
    assert!(
        matches!(error, BarrierError::UnknownFormat { format: 2 }),
        "{error}"
    );
}

#[test]
fn an_earlier_version_that_is_put_back_is_found_out() {
    let earlier = record_of(b"the old password");
    let now = Place { version: 6, ..PLACE };
    let error = decrypt(&counting_key(), now, &earlier).unwrap_err();
    assert!(matches!(error, BarrierError::TamperedOrMoved), "{error}");
}

#[test]
fn the_end_of_a_storage_key_is_not_taken_for_the_version() {
    let one = Place {
        storage_key: b"k\0\0\0\0\0\0\0\0",
        version: 1,
    };
    let other = Place {
        storage_key: b"k",
        version: 0,
    };
    let record = encrypt(&counting_key(), 1, one, b"v", &mut Counting(0)).unwrap();
    assert!(decrypt(&counting_key(), other, &record).is_err());
    assert!(decrypt(&counting_key(), one, &record).is_ok());
}

#[test]
fn a_plaintext_over_the_limit_is_refused() {
    let long = vec![0; MAXIMUM_SEALED_RECORD_BYTES + 1];
    let error = encrypt(&counting_key(), 1, PLACE, &long, &mut SystemRandomness).unwrap_err();
    assert!(matches!(error, BarrierError::TooLong { .. }), "{error}");
}

#[test]
fn the_same_plaintext_is_never_the_same_record() {
    let seal = || encrypt(&counting_key(), 1, PLACE, b"v", &mut SystemRandomness).unwrap();
    assert_ne!(seal(), seal());
}

proptest! {
    #[test]
    fn what_is_encrypted_comes_back(plaintext: Vec<u8>, storage_key: Vec<u8>, version: u64, term: u32) {
        let place = Place { storage_key: &storage_key, version };
        let record = encrypt(&counting_key(), term, place, &plaintext, &mut SystemRandomness).unwrap();
        let opened = decrypt(&counting_key(), place, &record).unwrap();
        prop_assert_eq!(opened.expose(), &plaintext);
    }

    #[test]
    fn a_byte_that_is_changed_is_found_out(
        plaintext: Vec<u8>, at: proptest::sample::Index, change in 1_u8..,
    ) {
        let mut record = record_of(&plaintext);
        let at = at.index(record.len());
        record[at] ^= change;
        let error = decrypt(&counting_key(), PLACE, &record).unwrap_err();
        if at == 0 {
            prop_assert!(matches!(error, BarrierError::UnknownFormat { .. }), "{}", error);
        } else {
            prop_assert!(matches!(error, BarrierError::TamperedOrMoved), "{} {}", at, error);
        }
    }

    #[test]
    fn two_records_that_change_places_are_found_out(
        one: Vec<u8>, other: Vec<u8>, version: u64, other_version: u64,
    ) {
        prop_assume!(one != other || version != other_version);
        let one = Place { storage_key: &one, version };
        let other = Place { storage_key: &other, version: other_version };
        let record = encrypt(&counting_key(), 1, one, b"v", &mut SystemRandomness).unwrap();
        let error = decrypt(&counting_key(), other, &record).unwrap_err();
        prop_assert!(matches!(error, BarrierError::TamperedOrMoved), "{}", error);
    }

    #[test]
    fn no_bytes_make_decryption_panic(mut bytes: Vec<u8>, has_format: bool) {
        if let (true, Some(first)) = (has_format, bytes.first_mut()) {
            *first = FORMAT;
        }
        prop_assert!(decrypt(&counting_key(), PLACE, &bytes).is_err());
    }
}
