//! Alarms: raised and cleared through the log, so that all members know the same ones.

use super::{Answer, Effect, Outcome, Transition, format, schema};
use crate::base::MemberId;
use crate::state::command::Alarm;
use crate::state::format::ActiveAlarm;
use crate::storage::{Family, View};

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
            self.effects.push(Effect::AlarmChanged {
                member,
                alarm,
                active,
            });
        }
        Ok(Ok(Answer::Alarm { changed }))
    }
}
