//! Whether the members hold the same data: hashes of all versions at one revision, compared between them.
//!
//! [`Services::check_data`](super::Services::check_data) compares before a member serves; the leader compares by the clock,
//! and raises the alarm `CORRUPT` for who holds something else, after which all members refuse changes. Two members are only compared if
//! both have the revision and have forgotten the same history; one that cannot answer, or has got to another point, is left
//! out, never blamed. Hashing reads a snapshot on a thread that may block, and holds nothing up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::ServiceError;
use super::core::{Core, read_aside};
use crate::base::{MemberId, Revision, clock};
use crate::replication::PeerHash;
use crate::state::command::{Alarm, Command};
use crate::state::{KeyValueHash, ReadView};

/// How much longer than this member's hash another member's may take, besides the time of a request.
const PATIENCE: u32 = 4;

/// How often one compaction is compared while not all members can be: each time hashes all data.
const MAXIMUM_ATTEMPTS: u32 = 3;

/// Stands for the whole cluster in an alarm, as in etcd: nobody knows which of its members are wrong.
const NOBODY_IN_PARTICULAR: MemberId = MemberId(0);

/// Why a member must not serve.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataError {
    /// Its own data cannot be read.
    #[error("the data of this member cannot be hashed to compare them with those of the others: {0}")]
    Unreadable(ServiceError),
    /// Another member holds other data.
    #[error(
        "member {member} found data inconsistency with peers: at revision {revision}, compacted at {compacted}, it holds {own}, \
         but {others}; it serves nothing. `stead endpoint hashkv --cluster --rev {revision}` shows what most members hold. \
         Remove each member that holds something else (`stead member remove`) and add it again with an empty data folder \
         (`stead member add`); without --initial-corrupt-check this member starts as it is"
    )]
    Differs {
        /// This member.
        member: MemberId,
        /// Where they were compared.
        revision: Revision,
        /// What history both have forgotten, -1 if none.
        compacted: Revision,
        /// What this member holds.
        own: String,
        /// What the others hold.
        others: String,
    },
}

/// What a member holds at a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Content {
    /// Versions with this hash.
    Hash(u32),
    /// No such revision, although it has applied the log up to there.
    Nothing,
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => write!(formatter, "hash {hash}"),
            Self::Nothing => write!(formatter, "no such revision"),
        }
    }
}

/// What the members hold at one revision.
#[derive(Debug)]
struct Comparison {
    revision: Revision,
    compacted: Revision,
    /// By what they hold.
    members: BTreeMap<Content, Vec<MemberId>>,
    /// Those that cannot be compared, and why.
    left_out: Vec<(MemberId, String)>,
}

impl Comparison {
    fn new(member: MemberId, own: KeyValueHash, answers: Vec<(MemberId, Result<PeerHash, String>)>) -> Self {
        let mut comparison = Self {
            revision: own.revision,
            compacted: own.compacted,
            members: BTreeMap::from([(Content::Hash(own.hash), vec![member])]),
            left_out: Vec::new(),
        };
        for (other, answer) in answers {
            let content = match answer {
                Ok(PeerHash::Hashed { hash, compacted }) if compacted == own.compacted => {
                    Ok(Content::Hash(hash))
                }
                Ok(PeerHash::Hashed { compacted, .. } | PeerHash::Compacted(compacted)) => Err(format!(
                    "it was compacted at {compacted}, member {member} at {}",
                    own.compacted
                )),
                Ok(PeerHash::Lacking) => Ok(Content::Nothing),
                Ok(PeerHash::Behind) => Err(format!("it has not applied revision {} yet", own.revision)),
                Err(reason) => Err(reason),
            };
            match content {
                Ok(content) => comparison.members.entry(content).or_default().push(other),
                Err(reason) => comparison.left_out.push((other, reason)),
            }
        }
        comparison
    }

    /// How many members could be compared.
    fn compared(&self) -> usize {
        self.members.values().map(Vec::len).sum()
    }

    /// Whether all of them hold the same.
    fn agrees(&self) -> bool {
        self.members.len() < 2
    }

    /// Who is wrong: whoever does not hold what most of all members hold. Without a majority nobody can tell.
    fn wrong(&self) -> Vec<MemberId> {
        if self.agrees() {
            return Vec::new();
        }
        let quorum = (self.compared() + self.left_out.len()) / 2 + 1;
        let majority = self.members.values().find(|members| members.len() >= quorum);
        match majority {
            Some(majority) => {
                let others = self.members.values().filter(|members| *members != majority);
                others.flatten().copied().collect()
            }
            None => vec![NOBODY_IN_PARTICULAR],
        }
    }

    /// What the others hold, for `member` to show.
    fn difference(&self, member: MemberId) -> Option<DataError> {
        if self.agrees() {
            return None;
        }
        let (own, others): (Vec<_>, Vec<_>) = self
            .members
            .iter()
            .flat_map(|(content, members)| members.iter().map(move |other| (other, content)))
            .partition(|(other, _)| **other == member);
        let others: Vec<_> = others
            .iter()
            .map(|(other, content)| format!("member {other} {content}"))
            .collect();
        let own = own.first().map(|(_, content)| content.to_string());
        Some(DataError::Differs {
            member,
            revision: self.revision,
            compacted: self.compacted,
            own: own.unwrap_or_default(),
            others: others.join(", "),
        })
    }
}

/// Compares what the members hold at `revision` of `view` (0: its newest), which is this member's; none if there is no
/// other member.
async fn compare(
    core: &Core,
    view: Arc<ReadView>,
    revision: Revision,
) -> Result<Option<Comparison>, ServiceError> {
    if core.replication.members(&view)?.len() < 2 {
        return Ok(None);
    }
    let applied_index = view.applied_index();
    let started = clock::now();
    let own = read_aside(view, move |view| view.hash_kv(revision)).await?;
    let limit = core.request_timeout() + PATIENCE * started.elapsed();
    let answers = core
        .replication
        .peer_hashes(own.revision, applied_index, limit)
        .await?;
    let comparison = Comparison::new(core.settings.member, own, answers);
    for (member, reason) in &comparison.left_out {
        tracing::warn!(%member, reason, revision = %own.revision, "a member's data could not be compared");
    }
    tracing::info!(
        revision = %own.revision,
        compacted = %own.compacted,
        compared = comparison.compared(),
        same = comparison.agrees(),
        "compared the data of the members"
    );
    Ok(Some(comparison))
}

/// Compares what this member holds with what every other holds that can be reached, as etcd does before it serves.
///
/// # Errors
/// One of them holds something else, or the own data cannot be read.
pub(super) async fn check_at_start(core: &Core) -> Result<(), DataError> {
    let compared = compare(core, core.reader.view(), Revision(0)).await;
    let comparison = compared.map_err(DataError::Unreadable)?;
    let difference = comparison.and_then(|comparison| comparison.difference(core.settings.member));
    difference.map_or(Ok(()), Err)
}

/// While this member leads, compares the newest data of the members every `period`, for good.
pub(super) async fn watch_members(core: Arc<Core>, period: Duration) {
    let mut ticks = interval(period);
    loop {
        ticks.tick().await;
        if core.replication.status().borrow().is_leader {
            let compared = compare(&core, core.reader.view(), Revision(0)).await;
            judge(&core, compared).await;
        }
    }
}

/// While this member leads, looks every `period` whether history was forgotten since the last comparison, and compares then
/// what the members kept of it, for good. If not all of them could be compared, that is tried again a few times.
pub(super) async fn watch_compactions(core: Arc<Core>, period: Duration) {
    let mut ticks = interval(period);
    let mut known = Revision(0);
    let mut attempts = 0;
    loop {
        ticks.tick().await;
        let view = core.reader.view();
        let compacted = view.compacted().unwrap_or_default();
        if compacted > known {
            known = compacted;
            attempts = MAXIMUM_ATTEMPTS;
        }
        let is_leader = core.replication.status().borrow().is_leader;
        if is_leader && attempts > 0 {
            attempts -= 1;
            let compared = compare(&core, view, compacted).await;
            if judge(&core, compared).await {
                attempts = 0;
            }
        }
    }
}

/// Ticks for the first time after one period, as etcd's checks do.
fn interval(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Raises the alarm for each member that is wrong and has none yet. Whether nothing is left to find out: all members could
/// be compared, and have their alarms.
async fn judge(core: &Core, compared: Result<Option<Comparison>, ServiceError>) -> bool {
    let raised = async {
        let Some(comparison) = compared? else {
            return Ok(true);
        };
        let active = core.reader.view().alarms()?;
        for member in comparison.wrong() {
            let alarm = Alarm::Corrupt;
            if active.contains(&(member, alarm)) {
                continue;
            }
            tracing::error!(
                %member,
                revision = %comparison.revision,
                compacted = %comparison.compacted,
                holds = ?comparison.members,
                "the members hold different data; raising the alarm CORRUPT"
            );
            let command = Command::AlarmActivate { member, alarm };
            core.replication.propose(command.by_node()).await?;
        }
        Ok::<_, ServiceError>(comparison.left_out.is_empty())
    };
    raised.await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the data of the members were not compared, or the alarm CORRUPT was not raised");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: Revision = Revision(12);
    const COMPACTED: Revision = Revision(4);

    fn compare_with(answers: &[Result<PeerHash, &str>]) -> Comparison {
        let own = KeyValueHash {
            hash: 7,
            revision: REVISION,
            compacted: COMPACTED,
        };
        let answers = answers.iter().map(|answer| answer.map_err(str::to_owned));
        Comparison::new(MemberId(1), own, (2..).map(MemberId).zip(answers).collect())
    }

    fn hashed(hash: u32) -> Result<PeerHash, &'static str> {
        Ok(PeerHash::Hashed {
            hash,
            compacted: COMPACTED,
        })
    }

    #[test]
    fn who_cannot_be_compared_differs_from_nobody() {
        let comparison = compare_with(&[
            Ok(PeerHash::Hashed {
                hash: 8,
                compacted: Revision(5),
            }),
            Ok(PeerHash::Compacted(Revision(20))),
            Ok(PeerHash::Behind),
            Err("connection refused"),
            hashed(7),
        ]);
        assert_eq!(comparison.difference(MemberId(1)), None);
        assert_eq!((comparison.compared(), comparison.left_out.len()), (2, 4));
    }

    #[test]
    fn those_who_do_not_hold_what_most_members_hold_are_wrong() {
        let wrong = |answers: &[Result<PeerHash, &str>]| -> Vec<u64> {
            let wrong = compare_with(answers).wrong();
            wrong.into_iter().map(|member| member.0).collect()
        };
        assert_eq!(wrong(&[hashed(7), hashed(7)]), [] as [u64; 0]);
        assert_eq!(wrong(&[hashed(7), hashed(8)]), [3]);
        assert_eq!(wrong(&[hashed(8), hashed(8)]), [1], "the leader itself");
        assert_eq!(wrong(&[hashed(7), Ok(PeerHash::Lacking)]), [3]);
        assert_eq!(wrong(&[hashed(8), hashed(7), hashed(9), hashed(7)]), [2, 4]);
        // Two against two, all different, one of three away: nobody can tell.
        assert_eq!(wrong(&[hashed(7), hashed(8), hashed(8)]), [0]);
        assert_eq!(wrong(&[hashed(8), hashed(9)]), [0]);
        assert_eq!(wrong(&[hashed(8), Err("connection refused")]), [0]);
        assert_eq!(wrong(&[hashed(8)]), [0]);
        // Those who cannot be compared still count for the majority.
        assert_eq!(
            wrong(&[hashed(7), hashed(7), hashed(8), Ok(PeerHash::Behind)]),
            [4]
        );
        assert_eq!(
            wrong(&[hashed(7), hashed(8), Ok(PeerHash::Behind), Ok(PeerHash::Behind)]),
            [0]
        );
    }

    #[test]
    fn a_difference_names_the_members_the_hashes_the_revision_and_the_mend() {
        let comparison = compare_with(&[hashed(8), hashed(7), Ok(PeerHash::Lacking)]);
        let text = comparison
            .difference(MemberId(1))
            .map(|difference| difference.to_string())
            .unwrap_or_default();
        for part in [
            "member 1 found data inconsistency with peers: at revision 12, compacted at 4, it holds hash 7,",
            "member 2 hash 8",
            "member 3 hash 7",
            "member 4 no such revision",
            "stead member remove",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
