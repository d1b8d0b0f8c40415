//! The keyring: terms, counts, and what it is stored as.

use proptest::prelude::*;

use super::super::BarrierError;
use super::super::cipher::Place;
use super::super::keyring::{Keyring, Uncounted};
use super::{bytes_of, counting_key, hexadecimal};
use crate::base::limits::{
    MAXIMUM_KEYRING_TERMS, MAXIMUM_TERM_ENCRYPTIONS, MAXIMUM_UNCOUNTED_ENCRYPTIONS, ROTATION_DUE_ENCRYPTIONS,
};
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::{Counting, SystemRandomness};

const PLACE: Place<'_> = Place {
    storage_key: b"keyring",
    version: 1,
};

fn root() -> Key {
    Key::copied_from(&[9; 32])
}

fn keyring() -> Keyring {
    Keyring::new(1_000, &mut SystemRandomness).unwrap()
}

fn encrypt(keyring: &Keyring) -> Result<Vec<u8>, BarrierError> {
    keyring.encrypt(PLACE, b"value", &mut SystemRandomness)
}

/// A keyring whose only term is said to have made so many encryptions.
fn used(encryptions: u64) -> Keyring {
    let mut used = keyring();
    used.count(&[Uncounted { term: 1, encryptions }]);
    used
}

/// What the stored form says and what it was sealed as were made with another implementation.
#[test]
fn the_sealed_keyring_keeps_its_bytes() {
    let mut randomness = Counting(0);
    let keyring = Keyring::new(1_000, &mut randomness).unwrap();
    let sealed = keyring.seal(&root(), PLACE, &mut randomness).unwrap();
    let golden = "0100000000606162636465666768696a6b19f4166f43e233591e13ea071bdaa96c1e9d522195e2ee2994a73c26de6f8d\
        9067120576f3b0de14745883771cb295b129e5363b89f7da72363802143d4262aef4fe1f7e9c9b6c3afe10d2e861d71e\
        2443259948a9b9cd3194fee329fbf499bb190737de3c6f220124c888f8fbd8273f395fe0c20285fea7dc25c0c95575fe\
        f6fa7f9c1fe226cc6dcf";
    assert_eq!(hexadecimal(&sealed), golden);
    let opened = Keyring::open(&root(), PLACE, &bytes_of(&hexadecimal(&sealed))).unwrap();
    assert_eq!(opened.status().unwrap(), keyring.status().unwrap());
    assert_eq!(opened.name_key(), &counting_key());
    assert_ne!(opened.name_key(), opened.hash_key());
}

#[test]
fn records_of_every_term_decrypt_after_rotations_and_new_ones_are_of_the_newest() {
    let mut keyring = keyring();
    let mut records = vec![encrypt(&keyring).unwrap()];
    for term in 2..5 {
        assert_eq!(
            keyring.rotate(u64::from(term), &mut SystemRandomness).unwrap(),
            term
        );
        records.push(encrypt(&keyring).unwrap());
        assert_eq!(keyring.status().unwrap().term, term);
        assert_eq!(keyring.status().unwrap().installed_unix_seconds, u64::from(term));
    }
    let sealed = keyring.seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    let opened = Keyring::open(&root(), PLACE, &sealed).unwrap();
    for (record, term) in records.iter().zip(1_u8..) {
        assert_eq!(record[4], term);
        assert_eq!(opened.decrypt(PLACE, record).unwrap().expose(), b"value");
    }
}

#[test]
fn a_record_of_a_term_that_is_not_held_is_named() {
    let mut newer = keyring();
    newer.rotate(0, &mut SystemRandomness).unwrap();
    let error = keyring().decrypt(PLACE, &encrypt(&newer).unwrap()).unwrap_err();
    assert!(matches!(error, BarrierError::UnknownTerm { term: 2 }), "{error}");
}

#[test]
fn a_record_that_is_said_to_be_of_another_term_is_found_out() {
    let mut keyring = keyring();
    keyring.rotate(0, &mut SystemRandomness).unwrap();
    let mut record = encrypt(&keyring).unwrap();
    record[4] = 1;
    assert!(matches!(
        keyring.decrypt(PLACE, &record),
        Err(BarrierError::TamperedOrMoved)
    ));
}

#[test]
fn a_keyring_opens_only_with_its_root_key_at_its_place_and_version() {
    let sealed = keyring().seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    let earlier = Place { version: 2, ..PLACE };
    let elsewhere = Place {
        storage_key: b"other",
        ..PLACE
    };
    let other_root = Key::copied_from(&[8; 32]);
    for (root, place) in [(&other_root, PLACE), (&root(), earlier), (&root(), elsewhere)] {
        assert!(matches!(
            Keyring::open(root, place, &sealed),
            Err(BarrierError::TamperedOrMoved)
        ));
    }
}

#[test]
fn a_record_of_a_data_key_is_no_keyring() {
    let record = encrypt(&keyring()).unwrap();
    let opened = Keyring::open(&root(), PLACE, &record);
    assert!(matches!(opened, Err(BarrierError::UnknownTerm { term: 1 })));
}

#[test]
fn rotation_is_due_at_nine_tenths_of_two_to_the_thirty_second() {
    assert!(
        !used(ROTATION_DUE_ENCRYPTIONS - 1)
            .status()
            .unwrap()
            .is_rotation_due()
    );
    assert!(used(ROTATION_DUE_ENCRYPTIONS).status().unwrap().is_rotation_due());
    assert_eq!(ROTATION_DUE_ENCRYPTIONS, (1_u64 << 32) * 9 / 10);
    // With all that 63 other nodes may not have written yet, it is still below the bound of NIST.
    let most = MAXIMUM_TERM_ENCRYPTIONS + 63 * MAXIMUM_UNCOUNTED_ENCRYPTIONS;
    assert!(most < 1 << 32);
}

#[test]
fn a_key_that_was_used_as_often_as_it_may_be_encrypts_no_more_until_it_is_rotated() {
    let mut keyring = used(MAXIMUM_TERM_ENCRYPTIONS - 2);
    let record = encrypt(&keyring).unwrap();
    encrypt(&keyring).unwrap();
    let error = encrypt(&keyring).unwrap_err();
    assert!(matches!(error, BarrierError::Exhausted { term: 1 }), "{error}");
    assert!(keyring.decrypt(PLACE, &record).is_ok());
    keyring.rotate(0, &mut SystemRandomness).unwrap();
    assert!(encrypt(&keyring).is_ok());
}

#[test]
fn a_node_that_does_not_write_down_what_it_made_encrypts_no_more_until_it_did() {
    let mut node = keyring();
    let stored = node.seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    assert!(!node.must_count());
    // As if it had made all but one of them.
    node.owe(1, MAXIMUM_UNCOUNTED_ENCRYPTIONS - 1);
    assert!(node.must_count());
    encrypt(&node).unwrap();
    let error = encrypt(&node).unwrap_err();
    assert!(matches!(error, BarrierError::Uncounted { term: 1 }), "{error}");

    let written = node.uncounted();
    let mut next = Keyring::open(&root(), PLACE, &stored).unwrap();
    next.count(&written);
    let node = next.follow(&mut node);
    node.pay(&written);
    assert!(encrypt(&node).is_ok());
    assert_eq!(
        node.status().unwrap().encryptions,
        MAXIMUM_UNCOUNTED_ENCRYPTIONS + 1
    );
    assert_eq!(
        node.uncounted(),
        [Uncounted {
            term: 1,
            encryptions: 1
        }]
    );
}

#[test]
fn what_was_made_while_the_count_was_written_stays_owed() {
    let mut node = keyring();
    let stored = node.seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    encrypt(&node).unwrap();
    encrypt(&node).unwrap();
    let written = node.uncounted();
    encrypt(&node).unwrap();
    let mut next = Keyring::open(&root(), PLACE, &stored).unwrap();
    next.count(&written);
    next.rotate(5, &mut SystemRandomness).unwrap();
    let sealed = next.seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    let node = next.follow(&mut node);
    node.pay(&written);
    assert_eq!(
        node.uncounted(),
        [Uncounted {
            term: 1,
            encryptions: 1
        }]
    );
    assert_eq!(node.status().unwrap().encryptions, 0, "the new term is active");
    // What is stored is what was counted, and no more.
    let reopened = Keyring::open(&root(), PLACE, &sealed).unwrap();
    assert_eq!(reopened.uncounted(), []);
}

#[test]
fn a_full_keyring_is_not_rotated() {
    let mut keyring = keyring();
    for _ in 1..MAXIMUM_KEYRING_TERMS {
        keyring.rotate(0, &mut SystemRandomness).unwrap();
    }
    let error = keyring.rotate(0, &mut SystemRandomness).unwrap_err();
    assert!(matches!(error, BarrierError::TooManyTerms), "{error}");
    let sealed = keyring.seal(&root(), PLACE, &mut SystemRandomness).unwrap();
    assert!(Keyring::open(&root(), PLACE, &sealed).is_ok());
}

/// The plaintext of a keyring with these terms, and keys of ones.
fn plain(format: u8, number: u32, terms: &[u32]) -> Vec<u8> {
    let mut bytes = vec![format];
    bytes.extend_from_slice(&[1; 64]);
    bytes.extend_from_slice(&number.to_be_bytes());
    for term in terms {
        bytes.extend_from_slice(&term.to_be_bytes());
        bytes.extend_from_slice(&[1; 48]);
    }
    bytes
}

#[test]
fn a_keyring_that_does_not_say_what_it_must_is_refused() {
    assert!(Keyring::decode(&plain(1, 2, &[1, 3])).is_ok());
    assert!(matches!(
        Keyring::decode(&plain(2, 1, &[1])),
        Err(BarrierError::UnknownFormat { format: 2 })
    ));
    let too_many = u32::try_from(MAXIMUM_KEYRING_TERMS + 1).unwrap();
    for bad in [
        Vec::new(),
        plain(1, 0, &[]),
        plain(1, 1, &[0]),
        plain(1, 2, &[2, 2]),
        plain(1, 2, &[2, 1]),
        plain(1, 1, &[1, 2]),
        plain(1, 3, &[1, 2]),
        plain(1, too_many, &[1]),
    ] {
        assert!(matches!(Keyring::decode(&bad), Err(BarrierError::Keyring { .. })));
    }
    let whole = plain(1, 2, &[1, 2]);
    for length in 0..whole.len() {
        assert!(Keyring::decode(&whole[..length]).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_a_keyring_panic(bytes: Vec<u8>, number in 0_u32..5) {
        let _ = Keyring::decode(&bytes);
        let mut likely = plain(1, number, &[]);
        likely.extend_from_slice(&bytes);
        let _ = Keyring::decode(&likely);
        prop_assert!(Keyring::open(&root(), PLACE, &bytes).is_err());
    }
}
