//! Whether the members hold the same data: hashes of all versions at one revision, compared between them.
//!
//! [`Services::check_data`](super::Services::check_data) compares before a member serves. Two members are only compared if
//! both have the revision and have forgotten the same history; one that cannot answer, or has got to another point, is left
//! out, never blamed. Hashing reads a snapshot on a thread that may block, and holds nothing up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::ServiceError;
use super::core::{Core, read_aside};
use crate::base::{MemberId, Revision, clock};
use crate::replication::PeerHash;
use crate::state::{KeyValueHash, ReadView};

/// How much longer than this member's hash another member's may take, besides the time of a request.
const PATIENCE: u32 = 4;

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
