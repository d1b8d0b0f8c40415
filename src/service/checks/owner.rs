//! Which member does a check: of those who live, the one whose number with the check's is the highest (rendezvous hashing).
//! When a member comes or goes, only checks that it gets or had change hands.
//!
//! Never depends on anything but the ids: members that know the same of who lives choose the same.

use std::collections::BTreeSet;

use crate::base::MemberId;

/// The member that does the check with this number, if anybody lives.
pub(super) fn owner(check: u64, living: &BTreeSet<MemberId>) -> Option<MemberId> {
    living
        .iter()
        .copied()
        .max_by_key(|member| (mixed(member.0 ^ mixed(check)), member.0))
}

/// Spreads every bit over all (the finalizer of SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_spread_evenly_and_only_those_of_a_member_that_goes_move() {
        let members: BTreeSet<MemberId> = [11, 22, 33].map(MemberId).into();
        let without: BTreeSet<MemberId> = [11, 33].map(MemberId).into();
        let mut shares = [0_u32; 3];
        for check in 0..3_000 {
            let before = owner(check, &members);
            let share = members
                .iter()
                .position(|member| Some(*member) == before)
                .expect("a member");
            shares[share] += 1;
            let after = owner(check, &without);
            assert!(after.is_some() && after != Some(MemberId(22)));
            if before != Some(MemberId(22)) {
                assert_eq!(before, after);
            }
        }
        assert!(
            shares.iter().all(|share| (800..1_200).contains(share)),
            "{shares:?}"
        );
        assert_eq!(owner(1, &BTreeSet::new()), None);
    }
}
