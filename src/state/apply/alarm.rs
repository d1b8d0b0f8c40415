//! Alarms: raised and cleared through the log, so that all members know the same ones and refuse the same commands.

use bytes::Bytes;

use super::{Answer, Effect, Outcome, Refusal, Transition, format, schema};
use crate::base::MemberId;
use crate::state::command::{Alarm, Command};
use crate::state::format::ActiveAlarm;
use crate::storage::{Family, KeyRange, StorageError, View};

/// The kinds of alarm that are active, whichever members they are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Alarms {
    no_space: bool,
    corrupt: bool,
}

impl Alarms {
    /// The kinds of the alarms that `view` holds.
    ///
    /// # Errors
    /// The disk failed, or a record is damaged.
    pub fn load(view: &dyn View) -> Result<Self, StorageError> {
        let active = active_alarms(view)?;
        let any = |wanted| active.iter().any(|active| active.alarm == wanted);
        Ok(Self {
            no_space: any(Alarm::NoSpace),
            corrupt: any(Alarm::Corrupt),
        })
    }

    /// Why `command` is refused while these are active: as in etcd, a full database takes nothing that puts a key or grants
    /// a lease, and one that members disagree about takes no change of keys or leases at all.
    pub fn forbid(self, command: &Command) -> Option<Refusal> {
        let grows = match command {
            Command::Put(_) | Command::LeaseGrant { .. } => true,
            Command::Txn(txn) => txn.puts(),
            Command::DeleteRange(_) | Command::Compact { .. } | Command::LeaseRevoke { .. } => false,
            // Members and alarms themselves.
            _ => return None,
        };
        if self.corrupt {
            Some(Refusal::Corrupt)
        } else {
            (self.no_space && grows).then_some(Refusal::NoSpace)
        }
    }
}

/// The active alarms, by member and kind.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn active_alarms(view: &dyn View) -> Result<Vec<ActiveAlarm>, StorageError> {
    let mut active = Vec::new();
    let mut cursor = view.scan(Family::Meta, KeyRange::prefix(schema::ALARM_PREFIX))?;
    while let Some((_, record)) = cursor.item() {
        active.push(format::decode("alarm", &Bytes::copy_from_slice(record))?);
        cursor.advance()?;
    }
    Ok(active)
}

impl Transition<'_> {
    pub(super) fn set_alarm(&mut self, member: MemberId, alarm: Alarm, active: bool) -> Outcome<Answer> {
        let key = schema::alarm(member, alarm.number());
        let was_active = self.overlay.get(Family::Meta, &key)?.is_some();
        let changed = was_active != active;
        if changed && active {
            let record = format::encode("alarm", &ActiveAlarm { member, alarm })?;
            self.overlay.put(Family::Meta, key, record);
        } else if changed {
            self.overlay.delete(Family::Meta, key);
        }
        if changed {
            self.counters.alarms = Alarms::load(&self.overlay)?;
            self.effects.push(Effect::AlarmChanged {
                member,
                alarm,
                active,
            });
        }
        Ok(Ok(Answer::Alarm { changed }))
    }
}
