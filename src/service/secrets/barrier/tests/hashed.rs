//! Keyed hashes: the published vectors, and golden bytes that another implementation made.

use hkdf::Hkdf;
use sha2::Sha256;

use super::super::hashed::{Hasher, KeyedHash, Purpose, hmac};
use super::{bytes_of, counting_key, hexadecimal};
use crate::service::secrets::memory::Key;

/// A shorter key is the same as one that is filled up with zeros.
fn padded(key: &[u8]) -> [u8; 64] {
    std::array::from_fn(|number| key.get(number).copied().unwrap_or_default())
}

/// RFC 4231, 4.2 to 4.4.
#[test]
fn hmac_gives_the_published_vectors() {
    for (key, value, golden) in [
        (
            &[0x0B; 20][..],
            &b"Hi There"[..],
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            &[0xAA; 20],
            &[0xDD; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
    ] {
        assert_eq!(hexadecimal(&hmac(&padded(key), value)), golden);
    }
}

/// RFC 5869, A.1 and A.3.
#[test]
fn the_derivation_gives_the_published_vectors() {
    let input = [0x0B; 22];
    let mut first = [0; 42];
    Hkdf::<Sha256>::new(Some(&bytes_of("000102030405060708090a0b0c")), &input)
        .expand(&bytes_of("f0f1f2f3f4f5f6f7f8f9"), &mut first)
        .unwrap();
    assert_eq!(
        hexadecimal(&first),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    let mut third = [0; 42];
    Hkdf::<Sha256>::new(None, &input).expand(&[], &mut third).unwrap();
    assert_eq!(
        hexadecimal(&third),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    );
}

#[test]
fn hashes_keep_their_bytes_and_each_purpose_has_its_own() {
    for (purpose, golden) in [
        (
            Purpose::Token,
            "66d2283ca6913d36b8eae247a4b3ae2f3593d087c6b5905ffbb8f82e5e63a810",
        ),
        (
            Purpose::Accessor,
            "91e56e0ebc2d42237fbc99eadf9365b5590aa033400edd2e7c24cd184bc108d9",
        ),
        (
            Purpose::Audit { device: "file" },
            "19b5a67224ee1c2823defc885e142e70dc932b8d8f44a84c70bebe1a9060e4e3",
        ),
    ] {
        let hash = Hasher::new(&counting_key(), purpose).hash(b"s.token");
        assert_eq!(hash.to_string(), format!("hmac-sha256:{golden}"), "{purpose:?}");
        assert_eq!(hash, KeyedHash::new(*hash.bytes()));
    }
}

#[test]
fn another_value_another_device_and_another_key_have_other_hashes() {
    let hash = |key: &Key, device, value: &[u8]| Hasher::new(key, Purpose::Audit { device }).hash(value);
    let one = hash(&counting_key(), "one", b"v");
    assert_eq!(one, hash(&counting_key(), "one", b"v"));
    assert_ne!(one, hash(&counting_key(), "one", b"w"));
    assert_ne!(one, hash(&counting_key(), "two", b"v"));
    assert_ne!(one, hash(&Key::copied_from(&[1; 32]), "one", b"v"));
}
