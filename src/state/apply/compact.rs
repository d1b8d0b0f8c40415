//! Compact: the logical part. The physical removal follows in the background ([`mvcc::compaction`](crate::state::mvcc::compaction)).

use super::{Answer, Effect, Outcome, Refusal, Transition, format, schema};
use crate::base::Revision;

impl Transition<'_> {
    pub(super) fn compact(&mut self, revision: Revision) -> Outcome<Answer> {
        if revision > self.counters.revision {
            return Ok(Err(Refusal::FutureRevision));
        }
        // A store that was never compacted accepts revision 0 once, as etcd does.
        if self
            .counters
            .compacted
            .is_some_and(|compacted| revision <= compacted)
            || revision.0 < 0
        {
            return Ok(Err(Refusal::Compacted));
        }
        self.counters.compacted = Some(revision);
        let record = format::encode("compacted revision", &revision)?;
        self.put_meta(schema::COMPACTED, record);
        self.effects.push(Effect::Compacted { revision });
        Ok(Ok(Answer::Compact))
    }
}
