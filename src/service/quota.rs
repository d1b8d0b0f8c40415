//! The alarm of a full database: each member raises its own when it refused a request for want of space, and clears it when
//! there is room again. Members that have no room either raise theirs as well, so that all is over when the last is cleared.
//!
//! What counts is what the state takes on this member's disk, as `Status.dbSize` says. What was deleted and compacted
//! takes space until files are rewritten, so while the alarm is active that is done at once. The alarm itself goes through
//! the log: all members refuse the same commands. A member that was removed cannot clear its own any more, so those that
//! stay do. An alarm about anybody else, such as member 0, is for an operator to clear. Never on the path of a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Core;
use super::interval;
use crate::base::{MemberId, Revision, clock};
use crate::state::applied::Fatal;
use crate::state::command::{Alarm, Command};

/// Pause before space is given back again without a new compaction: a reader may have held on to what was removed.
const RECLAIM_AGAIN_SECONDS: u64 = 60;

/// Measures the database, raises and clears the alarm, for good.
pub(super) async fn run(core: Arc<Core>) {
    let mut ticks = interval();
    // When and after which compaction space was given back last, while the alarm is active.
    let mut reclaimed: Option<(Instant, Option<Revision>)> = None;
    loop {
        ticks.tick().await;
        let admission = &core.admission;
        let (member, alarm) = (core.settings.member, Alarm::NoSpace);
        if admission.has_own_alarm() {
            let removed = core.replication.last_compaction_removed();
            let is_due = reclaimed.is_none_or(|(at, after)| {
                after != removed || at.elapsed() >= Duration::from_secs(RECLAIM_AGAIN_SECONDS)
            });
            // Raising it once more changes nothing, but makes readers go on to a view of the state after the removal: what
            // the last view still sees takes space.
            let again = Command::AlarmActivate { member, alarm };
            if is_due && core.replication.propose(again.by_node()).await.is_ok() {
                core.replication.reclaim_space().await;
                reclaimed = Some((clock::now(), removed));
            }
        } else {
            reclaimed = None;
        }
        admission.measure(core.replication.database_bytes().0);
        let command = if admission.take_wish_for_alarm() {
            tracing::warn!("the database has reached its quota; raising the alarm NOSPACE");
            Command::AlarmActivate { member, alarm }
        } else if admission.may_clear_alarm() {
            tracing::info!("the database has room again; clearing the alarm NOSPACE");
            Command::AlarmDeactivate { member, alarm }
        } else {
            match removed_with_alarm(&core) {
                Ok(Some(member)) => {
                    tracing::info!(%member, "clearing the alarm NOSPACE of a member that was removed");
                    Command::AlarmDeactivate { member, alarm }
                }
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "cannot read the alarms of members that were removed; it is tried again");
                    continue;
                }
            }
        };
        if let Err(error) = core.replication.propose(command.by_node()).await {
            tracing::warn!(%error, "the alarm NOSPACE was not changed; it is tried again");
        }
    }
}

/// A removed member whose alarm of a full database is active still.
fn removed_with_alarm(core: &Core) -> Result<Option<MemberId>, Fatal> {
    if !core.admission.has_alarm() {
        return Ok(None);
    }
    let view = core.reader.view();
    let removed = view.removed_members()?;
    let mut alarms = view.alarms()?.into_iter();
    let found = alarms.find(|(member, alarm)| *alarm == Alarm::NoSpace && removed.contains(member));
    Ok(found.map(|(member, _)| member))
}
