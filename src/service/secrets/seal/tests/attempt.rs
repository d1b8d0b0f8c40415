//! Collecting shares.

use uuid::Uuid;

use super::super::attempt::{Outcome, Progress, Unsealing};
use super::super::shamir::split;
use super::super::{SealError, Share, WrappedKeys};
use super::{again, key, people};
use crate::service::secrets::memory::Key;
use crate::service::secrets::randomness::SystemRandomness;

const THRESHOLD: u8 = 3;

struct Scene {
    unsealing: Unsealing,
    wrapped: WrappedKeys,
    shares: Vec<Share>,
}

impl Scene {
    fn new() -> Self {
        Self {
            unsealing: Unsealing::new("people", THRESHOLD).unwrap(),
            wrapped: WrappedKeys::wrap(&key(50), &[&people(1)], &mut SystemRandomness).unwrap(),
            shares: split(&key(1), 5, THRESHOLD, &mut SystemRandomness).unwrap(),
        }
    }

    fn offer(&mut self, share: Share, nonce: Option<Uuid>) -> Result<Outcome, SealError> {
        self.unsealing
            .offer(share, nonce, &self.wrapped, &mut SystemRandomness)
    }

    /// Gives the share of this number.
    fn give(&mut self, number: usize) -> Result<Outcome, SealError> {
        self.offer(again(&self.shares[number]), None)
    }

    fn given(&self) -> usize {
        self.unsealing.progress().given
    }
}

fn opened(outcome: Result<Outcome, SealError>) -> Key {
    match outcome.unwrap() {
        Outcome::Opened(root) => root,
        Outcome::Waiting(progress) => panic!("{progress:?}"),
    }
}

#[test]
fn enough_shares_open_the_root_key_and_nothing_of_the_attempt_is_left() {
    let mut scene = Scene::new();
    let none = Progress {
        nonce: None,
        given: 0,
        threshold: THRESHOLD,
    };
    assert_eq!(scene.unsealing.progress(), none);
    let Outcome::Waiting(first) = scene.give(4).unwrap() else {
        panic!("one is not enough")
    };
    assert_eq!((first.given, first.nonce.is_some()), (1, true));
    let Outcome::Waiting(second) = scene.give(0).unwrap() else {
        panic!("two are not enough")
    };
    assert_eq!((second.given, second.nonce), (2, first.nonce));
    assert_eq!(opened(scene.give(2)), key(50));
    assert_eq!(scene.unsealing.progress(), none);
}

#[test]
fn a_share_that_is_given_twice_counts_once() {
    let mut scene = Scene::new();
    for _ in 0..5 {
        scene.give(1).unwrap();
        assert_eq!(scene.given(), 1);
    }
}

#[test]
fn a_share_of_another_attempt_is_refused_and_changes_nothing() {
    let mut scene = Scene::new();
    let other = Uuid::from_u128(7);
    let share = again(&scene.shares[0]);
    assert!(
        matches!(scene.offer(share, Some(other)), Err(SealError::WrongNonce { nonce }) if nonce == other)
    );
    scene.give(0).unwrap();
    let nonce = scene.unsealing.progress().nonce;
    let share = again(&scene.shares[1]);
    assert!(scene.offer(share, Some(other)).is_err());
    assert_eq!(scene.given(), 1);
    let share = again(&scene.shares[1]);
    assert!(scene.offer(share, nonce).is_ok());
    assert_eq!(scene.given(), 2);
}

#[test]
fn wrong_shares_show_only_at_the_end_and_end_the_attempt() {
    let mut texts = Vec::new();
    // Wrong values, and another share's coordinate.
    for (at, change) in [(0, 1), (31, 0x80)] {
        for wrong_place in 0..3 {
            let mut scene = Scene::new();
            for number in 0..3 {
                let mut bytes = scene.shares[number].expose().to_vec();
                if number == wrong_place {
                    bytes[at] ^= change;
                }
                let outcome = scene.offer(Share::new(&bytes).unwrap(), None);
                match outcome {
                    Ok(Outcome::Waiting(progress)) => assert_eq!(progress.given, number + 1),
                    Ok(Outcome::Opened(_)) => panic!("wrong shares open nothing"),
                    Err(error) => {
                        assert_eq!(number, 2);
                        assert!(matches!(error, SealError::WrongShares), "{error}");
                        texts.push(error.to_string());
                    }
                }
            }
            assert_eq!(scene.given(), 0);
            // The right ones open it afterwards.
            scene.give(0).unwrap();
            scene.give(1).unwrap();
            assert_eq!(opened(scene.give(2)), key(50));
        }
    }
    assert_eq!(texts.len(), 6);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn two_shares_of_one_coordinate_are_as_wrong_as_any() {
    let mut scene = Scene::new();
    let mut forged = scene.shares[0].expose().to_vec();
    forged[0] ^= 1;
    scene.give(0).unwrap();
    scene.offer(Share::new(&forged).unwrap(), None).unwrap();
    assert_eq!(scene.given(), 2);
    assert!(matches!(scene.give(1), Err(SealError::WrongShares)));
    assert_eq!(scene.given(), 0);
}

#[test]
fn a_reset_drops_what_was_given() {
    let mut scene = Scene::new();
    scene.give(0).unwrap();
    let before = scene.unsealing.progress().nonce;
    scene.unsealing.reset();
    assert_eq!(scene.given(), 0);
    scene.give(0).unwrap();
    assert_ne!(scene.unsealing.progress().nonce, before);
}

#[test]
fn a_single_share_is_for_a_threshold_of_one_and_a_part_is_not() {
    let mut scene = Scene::new();
    assert!(matches!(
        scene.offer(Share::Whole(key(1)), None),
        Err(SealError::ShareKind { threshold: 3 })
    ));
    assert_eq!(scene.given(), 0);
    scene.unsealing = Unsealing::new("people", 1).unwrap();
    assert!(matches!(
        scene.give(0),
        Err(SealError::ShareKind { threshold: 1 })
    ));
    assert!(matches!(
        scene.offer(Share::Whole(key(2)), None),
        Err(SealError::WrongShares)
    ));
    assert_eq!(opened(scene.offer(Share::Whole(key(1)), None)), key(50));
    assert!(matches!(
        Unsealing::new("people", 0),
        Err(SealError::ThresholdOfZero)
    ));
}

#[test]
fn a_seal_that_wrapped_nothing_is_named() {
    let mut scene = Scene::new();
    scene.unsealing = Unsealing::new("others", THRESHOLD).unwrap();
    scene.give(0).unwrap();
    scene.give(1).unwrap();
    assert!(matches!(scene.give(2), Err(SealError::UnknownSeal { .. })));
    assert_eq!(scene.given(), 0);
}
