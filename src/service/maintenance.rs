//! What operators ask: status, hashes, alarms, snapshots, defragmentation, a change of leader.
//!
//! All but alarms and the change of leader is answered from this node alone, so that it works without a quorum.

use std::sync::Arc;

use prometheus::Histogram;
use tokio::sync::Mutex;

use super::ServiceError;
use super::auth::Caller;
use super::core::{Core, read_aside};
use super::header::{Answered, Header};
use super::snapshot::{Pieces, Snapshots};
use crate::base::{MemberId, Revision};
use crate::state::KeyValueHash;
use crate::state::access::Request;
use crate::state::applied::Answer;
use crate::state::command::{Alarm, Command};

/// The version of etcd whose interface this is. Clients choose by it what they may ask for, so it never says more than is
/// served.
pub const ETCD_VERSION: &str = "3.7.1";
/// Its first two numbers.
pub(super) const ETCD_SHORT_VERSION: &str = "3.7";
/// The major and minor number of the only version that etcd would go back to.
const DOWNGRADE_TARGET: (u64, u64) = (3, 6);
/// The cluster and storage version that goes with it.
pub const ETCD_MINOR_VERSION: &str = "3.7.0";

/// Where a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Bytes of the database on disk.
    pub database_bytes: u64,
    /// An estimate of the bytes that live data takes.
    pub database_bytes_in_use: u64,
    /// Bytes above which writes are refused; none: no limit.
    pub quota_bytes: Option<u64>,
    /// The leader it knows.
    pub leader: Option<MemberId>,
    /// The last log index it knows to be committed.
    pub committed_index: u64,
    /// The last log index it applied.
    pub applied_index: u64,
    /// The raft term.
    pub term: u64,
    /// Whether it is a learner.
    pub is_learner: bool,
    /// Active alarms.
    pub alarms: Vec<(MemberId, Alarm)>,
}

/// Which alarms a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmAction {
    /// List them.
    List,
    /// Raise one.
    Activate,
    /// Clear one.
    Deactivate,
}

/// What a request for a downgrade wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DowngradeAction {
    /// To know whether it could be.
    Validate,
    /// To begin it.
    Enable,
    /// To give it up.
    Cancel,
}

/// Maintenance. A handle: clones share one service.
#[derive(Clone)]
pub struct Maintenance {
    core: Arc<Core>,
    snapshots: Arc<Snapshots>,
    defragmenting: Arc<Mutex<()>>,
    caller: Caller,
}

impl Maintenance {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            snapshots: Arc::new(Snapshots::new()),
            defragmenting: Arc::default(),
            caller: Caller::default(),
        }
    }

    /// The same, as asked for by `caller`.
    #[must_use]
    pub fn by(&self, caller: Caller) -> Self {
        Self {
            core: Arc::clone(&self.core),
            snapshots: Arc::clone(&self.snapshots),
            defragmenting: Arc::clone(&self.defragmenting),
            caller,
        }
    }

    async fn admit(&self, request: &Request<'_>) -> Result<(), ServiceError> {
        self.core.gate.admit(&self.caller, request).await.map(drop)
    }

    /// A header at this node's revision.
    #[must_use]
    pub fn header(&self) -> Header {
        self.core.headers.at(self.core.reader.view().revision())
    }

    /// Where this member stands.
    ///
    /// # Errors
    /// The caller has no identity, or the disk failed.
    pub async fn status(&self) -> Result<Answered<MemberStatus>, ServiceError> {
        self.admit(&Request::Status).await?;
        let status = self.core.replication.status().borrow().clone();
        let (database_bytes, database_bytes_in_use) = self.core.replication.database_bytes();
        let view = self.core.reader.view();
        let answer = MemberStatus {
            database_bytes,
            database_bytes_in_use,
            quota_bytes: self.core.settings.quota_bytes,
            leader: status.leader,
            committed_index: status.committed_index,
            applied_index: status.applied_index,
            term: status.term,
            is_learner: status.is_learner,
            alarms: view.alarms()?,
        };
        Ok(Answered {
            header: self.core.headers.at(view.revision()),
            answer,
        })
    }

    /// A hash of all versions on this node, comparable between members at the same revision.
    ///
    /// # Errors
    /// The caller may not, or the disk failed.
    pub async fn hash(&self) -> Result<Answered<KeyValueHash>, ServiceError> {
        let seconds = &self.core.metrics.maintenance.hash_seconds;
        self.hash_measured(Revision(0), seconds).await
    }

    /// A hash of all versions up to `revision` on this node (0: the current one), comparable between members.
    ///
    /// # Errors
    /// The caller may not, compacted, future, or the disk failed.
    pub async fn hash_key_values(&self, revision: Revision) -> Result<Answered<KeyValueHash>, ServiceError> {
        let seconds = &self.core.metrics.maintenance.hash_revision_seconds;
        self.hash_measured(revision, seconds).await
    }

    async fn hash_measured(
        &self,
        revision: Revision,
        seconds: &Histogram,
    ) -> Result<Answered<KeyValueHash>, ServiceError> {
        self.admit(&Request::Hash).await?;
        let view = self.core.reader.view();
        let header = self.core.headers.at(view.revision());
        let timer = seconds.start_timer();
        let hashed = read_aside(view, move |view| view.hash_kv(revision)).await;
        timer.observe_duration();
        let answer = hashed?;
        Ok(Answered { header, answer })
    }

    /// Lists, raises or clears alarms through the log; `alarm` none in a list: any. The answer holds what is listed, is
    /// active now, or was cleared, as etcd's does.
    ///
    /// # Errors
    /// No answer in time, or the disk failed.
    pub async fn alarm(
        &self,
        action: AlarmAction,
        member: MemberId,
        alarm: Option<Alarm>,
    ) -> Result<Answered<Vec<(MemberId, Alarm)>>, ServiceError> {
        let command = match (action, alarm) {
            (AlarmAction::List, _) => {
                let view = self
                    .core
                    .view_for(&self.caller, false, &Request::AlarmList)
                    .await?;
                let mut answer = view.alarms()?;
                answer.retain(|(_, active)| alarm.is_none_or(|wanted| wanted == *active));
                return Ok(Answered {
                    header: self.core.headers.at(view.revision()),
                    answer,
                });
            }
            (_, None) => {
                self.admit(&Request::AlarmChange).await?;
                return Ok(Answered {
                    header: self.header(),
                    answer: Vec::new(),
                });
            }
            (AlarmAction::Activate, Some(alarm)) => Command::AlarmActivate { member, alarm },
            (AlarmAction::Deactivate, Some(alarm)) => Command::AlarmDeactivate { member, alarm },
        };
        let pick = |answer| {
            if let Answer::Alarm { changed } = answer {
                Some(changed)
            } else {
                None
            }
        };
        let (revision, changed) = self.core.propose_for(&self.caller, command, pick).await?;
        let answer = alarm
            .filter(|_| changed || action == AlarmAction::Activate)
            .map(|alarm| (member, alarm))
            .into_iter()
            .collect();
        Ok(Answered {
            header: self.core.headers.at(revision),
            answer,
        })
    }

    /// Gives back the space on this node's disk of what was removed, and answers when that is done. Holds nothing up. One
    /// runs at a time; it goes on if nobody waits for it any more.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn defragment(&self) -> Result<(), ServiceError> {
        self.admit(&Request::Defragment).await?;
        let running = Arc::clone(&self.defragmenting).lock_owned().await;
        let replication = self.core.replication.clone();
        let metrics = self.core.metrics.maintenance.clone();
        let done = tokio::spawn(async move {
            metrics.defragmentations.inc();
            let timer = metrics.defragmentation_seconds.start_timer();
            replication.reclaim_space().await;
            timer.observe_duration();
            metrics.defragmentations.dec();
            drop(running);
        });
        // It only fails to answer when the node ends.
        let _ = done.await;
        Ok(())
    }

    /// A snapshot of the state of this node as it is now, in pieces.
    ///
    /// # Errors
    /// The caller may not, or this node sends too many already.
    pub async fn snapshot(&self) -> Result<Pieces, ServiceError> {
        self.admit(&Request::Snapshot).await?;
        self.pieces()
    }

    /// The same, for whom another gate let through.
    ///
    /// # Errors
    /// This node sends too many already.
    pub(super) fn pieces(&self) -> Result<Pieces, ServiceError> {
        let seconds = self.core.metrics.maintenance.snapshot_seconds.clone();
        self.snapshots.send(&self.core.replication, seconds)
    }

    /// Checks a downgrade as etcd does, and then refuses it: there is no older Stead to go back to, and a store of etcd 3.6 is
    /// made with `stead export`. So none is ever on its way, and to cancel it is done at once. The answer: a header and the
    /// cluster's version.
    ///
    /// # Errors
    /// The caller may not, the version cannot be read, is not the one before the cluster's, or it could be and is not served.
    pub async fn downgrade(
        &self,
        action: DowngradeAction,
        version: &str,
    ) -> Result<(Header, &'static str), ServiceError> {
        self.admit(&Request::Downgrade).await?;
        match action {
            DowngradeAction::Cancel => {}
            DowngradeAction::Validate | DowngradeAction::Enable => {
                check_downgrade(version)?;
                return Err(ServiceError::Unimplemented(
                    "Stead has no older version to go back to; `stead export` takes the keys to another store.",
                ));
            }
        }
        Ok((self.header(), ETCD_SHORT_VERSION))
    }

    /// Hands leadership to `target`; done at once if it leads already.
    ///
    /// # Errors
    /// The caller may not, this node does not lead, the target is unknown or a learner, or it did not take over in time.
    pub async fn move_leader(&self, target: MemberId) -> Result<(), ServiceError> {
        self.admit(&Request::MoveLeader).await?;
        if !self.core.replication.status().borrow().is_leader {
            return Err(ServiceError::NotLeader);
        }
        if target == self.core.headers.member() {
            return Ok(());
        }
        Ok(self
            .core
            .replication
            .transfer_leader(target, self.core.request_timeout())
            .await?)
    }
}

/// Whether etcd would go back to a version: `major.minor`, or with a patch number, exactly one minor version below.
fn check_downgrade(version: &str) -> Result<(), ServiceError> {
    let number = |text: &str| -> Option<u64> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let numbers: Option<Vec<u64>> = version.split('.').map(number).collect();
    match numbers.as_deref() {
        Some([major, minor] | [major, minor, _]) if (*major, *minor) == DOWNGRADE_TARGET => Ok(()),
        Some([_, _] | [_, _, _]) => Err(ServiceError::DowngradeTarget),
        Some(_) | None => Err(ServiceError::DowngradeVersionFormat),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_downgrade_is_to_the_version_before_and_to_no_other() {
        for version in ["3.6", "3.6.0", "3.6.14"] {
            assert_eq!(check_downgrade(version), Ok(()), "{version}");
        }
        for version in ["3.7", "3.7.1", "3.5", "3.8", "4.6", "2.6"] {
            assert_eq!(
                check_downgrade(version),
                Err(ServiceError::DowngradeTarget),
                "{version}"
            );
        }
        for version in ["", "3", "three", "3.x", "3.6.1.1", "+3.6", "3.", ".6", "-3.6"] {
            assert_eq!(
                check_downgrade(version),
                Err(ServiceError::DowngradeVersionFormat),
                "{version}"
            );
        }
    }
}
