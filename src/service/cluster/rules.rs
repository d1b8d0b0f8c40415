//! When a change of the members is allowed: etcd's rules and etcd's refusals, as functions of the members.
//!
//! The strict checks (`--strict-reconfig-check`) keep a cluster from losing its quorum by a change: too few members that have
//! started, or too few that answer. Where etcd wants members to have been connected for five seconds, it is enough here that
//! they answered the leader's last heartbeat. Never makes a change.

use crate::base::MemberId;
use crate::service::ServiceError;

/// How much of the leader's log a learner must have to be promoted, in percent, as in etcd.
const READY_PERCENT: u64 = 90;

/// A member, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    pub id: MemberId,
    pub peer_urls: Vec<String>,
    pub is_learner: bool,
    /// It has said its name.
    pub is_started: bool,
    /// It answers the leader, or is the leader.
    pub is_active: bool,
    /// Its last entry that the leader knows of.
    pub matched_index: u64,
}

/// The members, as the rules see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subjects {
    pub members: Vec<Subject>,
    /// The last entry of the leader's log.
    pub last_index: u64,
    /// Whether the strict checks are on.
    pub is_strict: bool,
    /// Most learners at a time.
    pub maximum_learners: usize,
}

type Allowed = Result<(), ServiceError>;

fn quorum(members: usize) -> usize {
    members / 2 + 1
}

impl Subjects {
    fn voters(&self) -> impl Iterator<Item = &Subject> {
        self.members.iter().filter(|member| !member.is_learner)
    }

    fn started_voters(&self) -> usize {
        self.voters().filter(|member| member.is_started).count()
    }

    fn active_voters(&self) -> usize {
        self.voters().filter(|member| member.is_active).count()
    }

    fn find(&self, id: MemberId) -> Result<&Subject, ServiceError> {
        let member = self.members.iter().find(|member| member.id == id);
        member.ok_or(ServiceError::MemberNotFound)
    }

    fn urls_are_free(&self, peer_urls: &[String], of: Option<MemberId>) -> Allowed {
        let mut others = self.members.iter().filter(|member| Some(member.id) != of);
        if others.any(|member| member.peer_urls.iter().any(|url| peer_urls.contains(url))) {
            return Err(ServiceError::PeerUrlExists);
        }
        Ok(())
    }

    /// Whether a member may be added.
    pub fn may_add(&self, peer_urls: &[String], is_learner: bool) -> Allowed {
        let voters = self.voters().count();
        if self.is_strict {
            // The first member of a cluster can always be given a second one.
            let is_second = voters == 1 && self.started_voters() == 1;
            if !is_learner && !is_second && self.started_voters() < quorum(voters + 1) {
                return Err(ServiceError::NotEnoughStartedMembers);
            }
            let needed = if is_learner || is_second {
                quorum(voters)
            } else {
                quorum(voters + 1)
            };
            if self.active_voters() < needed {
                return Err(ServiceError::Unhealthy);
            }
        }
        self.urls_are_free(peer_urls, None)?;
        let learners = self.members.iter().filter(|member| member.is_learner).count();
        if is_learner && learners >= self.maximum_learners {
            return Err(ServiceError::TooManyLearners);
        }
        Ok(())
    }

    /// Whether a member may be removed.
    pub fn may_remove(&self, id: MemberId) -> Allowed {
        let member = self.find(id)?;
        if member.is_learner {
            return Ok(());
        }
        let voters = self.voters().count();
        let started = self.started_voters() - usize::from(member.is_started);
        // Without a voter nobody could ever change anything again, strict or not.
        if voters == 1 || (self.is_strict && started < quorum(voters - 1)) {
            return Err(ServiceError::NotEnoughStartedMembers);
        }
        // A member that is down is in no quorum that works, and can go.
        if self.is_strict && member.is_active && self.active_voters() - 1 < quorum(voters - 1) {
            return Err(ServiceError::Unhealthy);
        }
        Ok(())
    }

    /// Whether a member may be given these peer URLs.
    pub fn may_update(&self, id: MemberId, peer_urls: &[String]) -> Allowed {
        self.find(id)?;
        self.urls_are_free(peer_urls, Some(id))
    }

    /// Whether a learner may become a voter.
    pub fn may_promote(&self, id: MemberId) -> Allowed {
        let member = self.find(id)?;
        if !member.is_learner {
            return Err(ServiceError::MemberNotLearner);
        }
        let is_ready =
            u128::from(member.matched_index) * 100 >= u128::from(self.last_index) * u128::from(READY_PERCENT);
        if !is_ready || member.matched_index == 0 {
            return Err(ServiceError::LearnerNotReady);
        }
        // The learner counts as started.
        let voters = self.voters().count();
        if self.is_strict && self.started_voters() + 1 < quorum(voters + 1) {
            return Err(ServiceError::NotEnoughStartedMembers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A letter for each member: `+` a voter that answers, `-` one that is down, `?` one that has not started, `l` a
    /// learner that is in sync, `L` one that lags.
    fn cluster(letters: &str) -> Subjects {
        let members = letters.chars().zip(1..).map(|(letter, id)| Subject {
            id: MemberId(id),
            peer_urls: vec![format!("http://m{id}:1")],
            is_learner: "lL".contains(letter),
            is_started: letter != '?',
            is_active: "+lL".contains(letter),
            matched_index: match letter {
                '+' => 1_000,
                'l' => 900,
                'L' => 899,
                _ => 0,
            },
        });
        Subjects {
            members: members.collect(),
            last_index: 1_000,
            is_strict: true,
            maximum_learners: 1,
        }
    }

    fn relaxed(letters: &str) -> Subjects {
        Subjects {
            is_strict: false,
            ..cluster(letters)
        }
    }

    const NEW: &str = "http://new:1";

    fn add(cluster: &Subjects, is_learner: bool) -> Result<(), ServiceError> {
        cluster.may_add(&[NEW.to_owned()], is_learner)
    }

    use ServiceError as E;

    #[test]
    fn a_voter_is_added_only_if_started_and_answering_members_make_a_quorum_without_it() {
        for (letters, expected) in [
            ("+", Ok(())),
            ("++", Ok(())),
            ("+++", Ok(())),
            ("++-", Err(E::Unhealthy)),
            ("++++-", Ok(())),
            ("+++--", Err(E::Unhealthy)),
            ("+?", Err(E::NotEnoughStartedMembers)),
            ("++?", Err(E::NotEnoughStartedMembers)),
            ("+++?", Ok(())),
            ("+++??", Err(E::NotEnoughStartedMembers)),
            ("+++l", Ok(())),
        ] {
            assert_eq!(add(&cluster(letters), false), expected, "{letters}");
            assert_eq!(add(&relaxed(letters), false), Ok(()), "{letters}");
        }
    }

    #[test]
    fn a_learner_needs_a_quorum_and_a_place() {
        assert_eq!(add(&cluster("++-"), true), Ok(()));
        assert_eq!(add(&cluster("+--"), true), Err(E::Unhealthy));
        assert_eq!(add(&cluster("+?"), true), Err(E::Unhealthy));
        assert_eq!(add(&cluster("+++L"), true), Err(E::TooManyLearners));
        assert_eq!(add(&relaxed("+++L"), true), Err(E::TooManyLearners));
        let mut two = cluster("+++L");
        two.maximum_learners = 2;
        assert_eq!(add(&two, true), Ok(()));
    }

    #[test]
    fn a_peer_url_has_one_member() {
        let cluster = cluster("+++");
        let taken = ["http://m2:1".to_owned()];
        assert_eq!(cluster.may_add(&taken, false), Err(E::PeerUrlExists));
        assert_eq!(cluster.may_add(&taken, true), Err(E::PeerUrlExists));
        assert_eq!(cluster.may_update(MemberId(1), &taken), Err(E::PeerUrlExists));
        assert_eq!(cluster.may_update(MemberId(2), &taken), Ok(()));
        assert_eq!(cluster.may_update(MemberId(4), &taken), Err(E::MemberNotFound));
    }

    #[test]
    fn a_voter_is_removed_only_if_those_that_stay_have_a_quorum() {
        // The first member is removed.
        for (letters, expected) in [
            ("+", Err(E::NotEnoughStartedMembers)),
            ("++", Ok(())),
            ("+++", Ok(())),
            ("+-", Err(E::Unhealthy)),
            ("++-", Err(E::Unhealthy)),
            ("-++", Ok(())),
            ("--+", Ok(())),
            ("+?", Err(E::NotEnoughStartedMembers)),
            ("?+", Ok(())),
            ("++?", Err(E::NotEnoughStartedMembers)),
            ("l+", Ok(())),
            ("L+-", Ok(())),
            ("+l", Err(E::NotEnoughStartedMembers)),
        ] {
            assert_eq!(cluster(letters).may_remove(MemberId(1)), expected, "{letters}");
        }
        assert_eq!(cluster("+++").may_remove(MemberId(9)), Err(E::MemberNotFound));
        assert_eq!(cluster("+").may_remove(MemberId(9)), Err(E::MemberNotFound));
        assert_eq!(relaxed("++-").may_remove(MemberId(1)), Ok(()));
        assert_eq!(relaxed("+?").may_remove(MemberId(1)), Ok(()));
        assert_eq!(
            relaxed("+").may_remove(MemberId(1)),
            Err(E::NotEnoughStartedMembers)
        );
    }

    #[test]
    fn a_learner_is_promoted_when_it_has_nine_tenths_of_the_log() {
        // The first member is promoted.
        for (letters, expected) in [
            ("l+++", Ok(())),
            ("L+++", Err(E::LearnerNotReady)),
            ("++++", Err(E::MemberNotLearner)),
            ("l+", Ok(())),
            ("l+??", Err(E::NotEnoughStartedMembers)),
            ("l+?", Ok(())),
        ] {
            assert_eq!(cluster(letters).may_promote(MemberId(1)), expected, "{letters}");
        }
        assert_eq!(cluster("+").may_promote(MemberId(9)), Err(E::MemberNotFound));
        assert_eq!(relaxed("l+??").may_promote(MemberId(1)), Ok(()));
        let mut fresh = cluster("L+");
        fresh.last_index = 0;
        fresh.members[0].matched_index = 0;
        assert_eq!(
            fresh.may_promote(MemberId(1)),
            Err(E::LearnerNotReady),
            "one that never answered"
        );
    }
}
