//! Who leads an election, and every value that it proclaims, as it happens.
//!
//! Tells every change of the leader's key, in order. Of leaders that came and went between two looks at the contest, the
//! one that leads at the second is told, as in etcd. Holds one watch and what is not read yet of one of its messages.

use std::collections::VecDeque;

use super::{Contest, Contests, Followed, Follower, single};
use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::header::{Answered, Header};
use crate::service::watch::WatchCreate;
use crate::state::applied::{EventKind, KeyValue};

/// What an observer is told: the key and value of the leader.
pub type Observed = Answered<KeyValue>;

/// What is watched.
enum Stage {
    /// Nothing: who leads has to be read.
    Unknown,
    /// All keys of the contest: there was none.
    Nobody(Follower),
    /// The key of the leader.
    Led(Follower),
}

/// Follows one election.
pub struct Observation {
    contests: Contests,
    contest: Contest,
    stage: Stage,
    /// Whether the state was read through a quorum once: from then on that of this node only gets newer.
    is_current: bool,
    pending: VecDeque<Observed>,
}

impl Observation {
    pub(super) fn new(contests: Contests, contest: Contest) -> Self {
        Self {
            contests,
            contest,
            stage: Stage::Unknown,
            is_current: false,
            pending: VecDeque::new(),
        }
    }

    /// The next leader or value. Waits for as long as there is none.
    ///
    /// # Errors
    /// No quorum at the beginning, or the node is stopping. The observation is over then.
    pub async fn next(&mut self) -> Result<Observed, ServiceError> {
        loop {
            if let Some(observed) = self.pending.pop_front() {
                return Ok(observed);
            }
            match &mut self.stage {
                Stage::Unknown => self.look().await?,
                Stage::Nobody(follower) => {
                    let followed = follower.next().await?;
                    self.elected(followed).await;
                }
                Stage::Led(follower) => {
                    let followed = follower.next().await?;
                    self.changed(followed);
                }
            }
        }
    }

    /// Reads who leads.
    async fn look(&mut self) -> Result<(), ServiceError> {
        let (header, holder) = self.contests.holder(&self.contest, self.is_current).await?;
        self.is_current = true;
        match holder {
            Some(leader) => self.follow(header, leader).await,
            None => {
                let watch = WatchCreate {
                    keys: self.contest.keys(),
                    start_revision: next(header.revision),
                    without_deletes: true,
                    ..WatchCreate::default()
                };
                self.stage = Stage::Nobody(self.contests.follow([watch]).await);
            }
        }
        Ok(())
    }

    /// Tells a leader and watches its key from the revision of `header` on.
    async fn follow(&mut self, header: Header, leader: KeyValue) {
        let watch = WatchCreate {
            keys: single(&leader.key),
            start_revision: next(header.revision),
            ..WatchCreate::default()
        };
        self.stage = Stage::Led(self.contests.follow([watch]).await);
        self.pending.push_back(Answered {
            header,
            answer: leader,
        });
    }

    /// The first key of an empty contest leads.
    async fn elected(&mut self, followed: Followed) {
        let first = match followed {
            Followed::Events { events, .. } => events.into_iter().next(),
            Followed::Compacted => None,
        };
        match first {
            Some(record) => {
                let leader = record.event().key_value.clone();
                let header = self.contests.core.headers.at(leader.modification_revision);
                self.follow(header, leader).await;
            }
            None => self.stage = Stage::Unknown,
        }
    }

    /// The key of the leader has changed, or is gone.
    fn changed(&mut self, followed: Followed) {
        let Followed::Events { revision, events, .. } = followed else {
            self.stage = Stage::Unknown;
            return;
        };
        for record in events {
            let event = record.event();
            match event.kind {
                EventKind::Put => self.pending.push_back(Answered {
                    header: self.contests.core.headers.at(revision),
                    answer: event.key_value.clone(),
                }),
                EventKind::Delete => {
                    self.stage = Stage::Unknown;
                    return;
                }
            }
        }
    }
}

fn next(revision: Revision) -> Revision {
    Revision(revision.0.saturating_add(1))
}
