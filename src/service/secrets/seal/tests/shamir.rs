//! Shares of a key. The field has its own tests, with the published vectors.

use proptest::prelude::*;

use super::super::SealError;
use super::super::shamir::{SHARE_BYTES, Share, combine, split};
use super::{again, key};
use crate::service::secrets::randomness::{Counting, SystemRandomness};

/// The third coefficient is none: with two shares needed, a value is the byte plus what was drawn times the coordinate.
#[test]
fn shares_of_known_randomness_are_those_of_the_polynomial() {
    let shares = split(&key(100), 2, 2, &mut Counting(0)).unwrap();
    for share in &shares {
        let bytes = share.expose();
        assert_eq!(bytes.len(), SHARE_BYTES);
        let coordinate = bytes[32];
        for (number, value) in (0_u8..).zip(&bytes[..32]) {
            // The row of a byte is two drawn bytes, of which the first gives way to the byte.
            let slope = super::super::field::multiply(2 * number + 1, coordinate);
            assert_eq!(*value, (100 + number) ^ slope, "{number}");
        }
    }
}

#[test]
fn a_single_share_is_the_key() {
    let shares = split(&key(1), 1, 1, &mut SystemRandomness).unwrap();
    assert_eq!(shares.len(), 1);
    assert_eq!(shares[0].expose(), key(1).expose());
    assert_eq!(combine(&shares, 1).unwrap(), key(1));
}

#[test]
fn numbers_of_shares_that_cannot_be_are_refused() {
    for (shares, threshold) in [(0, 0), (1, 0), (0, 1), (2, 1), (3, 4), (1, 2), (255, 0)] {
        let error = split(&key(1), shares, threshold, &mut SystemRandomness).unwrap_err();
        assert!(
            matches!(error, SealError::ShareNumbers { .. }),
            "{shares} {threshold}"
        );
    }
}

#[test]
fn the_most_shares_have_all_coordinates_and_give_the_key() {
    let shares = split(&key(1), 255, 255, &mut SystemRandomness).unwrap();
    let mut coordinates: Vec<u8> = shares.iter().map(|share| share.expose()[32]).collect();
    assert!(!coordinates.is_sorted(), "they are random");
    coordinates.sort_unstable();
    assert_eq!(coordinates, (1..=255).collect::<Vec<u8>>());
    assert_eq!(combine(&shares, 255).unwrap(), key(1));
}

#[test]
fn bytes_that_are_no_share_are_refused() {
    for bytes in [0, 1, 31, 34, 64] {
        let error = Share::new(&vec![1; bytes]).unwrap_err();
        assert!(matches!(error, SealError::ShareLength { bytes: told } if told == bytes));
    }
    assert!(matches!(
        Share::new(&[0; SHARE_BYTES]),
        Err(SealError::ShareCoordinate)
    ));
}

#[test]
fn shares_that_cannot_be_put_together_are_named() {
    let shares = split(&key(1), 3, 2, &mut SystemRandomness).unwrap();
    let error = combine(&shares[..1], 2).unwrap_err();
    assert!(
        matches!(error, SealError::TooFewShares { given: 1, needed: 2 }),
        "{error}"
    );
    let twice = [again(&shares[0]), again(&shares[0])];
    assert!(matches!(combine(&twice, 2), Err(SealError::RepeatedShare)));
    let whole = [Share::Whole(key(1)), again(&shares[0])];
    assert!(matches!(
        combine(&whole, 2),
        Err(SealError::ShareKind { threshold: 2 })
    ));
    assert!(matches!(
        combine(&shares, 1),
        Err(SealError::ShareKind { threshold: 1 })
    ));
    assert!(matches!(combine(&[], 0), Err(SealError::ThresholdOfZero)));
}

#[test]
fn a_share_is_not_shown() {
    let share = Share::new(&[1; 33]).unwrap();
    assert_eq!(format!("{share:?}"), "Part([redacted])");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_of_the_shares_that_are_enough_give_the_key_and_fewer_do_not(
        threshold in 2_u8..8, more in 0_u8..8, seed: u64, bytes: [u8; 32],
    ) {
        let key = super::Key::copied_from(&bytes);
        let mut shares = split(&key, threshold + more, threshold, &mut SystemRandomness).unwrap();
        // Some of them, in some order.
        let number = shares.len();
        for place in 0..number {
            let other = (seed.rotate_left(u32::try_from(place).unwrap()) % number as u64) as usize;
            shares.swap(place, other);
        }
        let enough = usize::from(threshold);
        prop_assert_eq!(&combine(&shares[..enough], threshold).unwrap(), &key);
        prop_assert_eq!(&combine(&shares, threshold).unwrap(), &key, "all of them");
        let fewer = &shares[..enough - 1];
        prop_assert!(combine(fewer, threshold).is_err());
        if threshold > 2 {
            // Whoever pretends that fewer are needed does not get the key.
            prop_assert_ne!(&combine(fewer, threshold - 1).unwrap(), &key);
        }
        prop_assert_ne!(&fewer[0].expose()[..32], &bytes[..]);
    }

    #[test]
    fn a_share_that_is_changed_gives_another_key(at in 0_usize..33, change in 1_u8..) {
        let shares = split(&key(1), 2, 2, &mut SystemRandomness).unwrap();
        let mut changed = shares[0].expose().to_vec();
        changed[at] ^= change;
        if let Ok(changed) = Share::new(&changed) {
            match combine(&[changed, again(&shares[1])], 2) {
                Ok(other) => prop_assert_ne!(other, key(1)),
                Err(error) => prop_assert!(matches!(error, SealError::RepeatedShare), "{}", error),
            }
        }
    }

    #[test]
    fn no_bytes_make_a_share_panic(bytes: Vec<u8>) {
        prop_assert_eq!(Share::new(&bytes).is_ok(), bytes.len() == 32 || (bytes.len() == 33 && bytes[32] != 0));
    }
}
