//! The members that were removed, for those who must not talk to them, and the news that this node is one of them.
//!
//! Learns from what is applied, and from peers: a node that is removed is sent no entries any more, so that it may never
//! apply its own removal. Never forgets a member, since none comes back.

use std::collections::BTreeSet;

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::base::MemberId;
use crate::state::ReadView;
use crate::state::applied::Fatal;

/// Who was removed. Shared.
pub struct Departed {
    own: MemberId,
    members: RwLock<BTreeSet<MemberId>>,
    is_own: watch::Sender<bool>,
}

impl Departed {
    /// Knows of nobody yet.
    #[must_use]
    pub fn new(own: MemberId) -> Self {
        Self {
            own,
            members: RwLock::default(),
            is_own: watch::Sender::new(false),
        }
    }

    /// These were removed.
    pub fn learn(&self, members: &[MemberId]) {
        if members.is_empty() {
            return;
        }
        self.members.write().extend(members);
        if members.contains(&self.own) {
            self.is_own.send_replace(true);
        }
    }

    /// Learns what a state holds.
    ///
    /// # Errors
    /// The disk failed.
    pub fn load(&self, view: &ReadView) -> Result<(), Fatal> {
        self.learn(&view.removed_members()?);
        Ok(())
    }

    /// Whether a member was removed.
    #[must_use]
    pub fn contains(&self, member: MemberId) -> bool {
        self.members.read().contains(&member)
    }

    /// Whether this node was removed.
    #[must_use]
    pub fn is_own(&self) -> bool {
        *self.is_own.borrow()
    }

    /// Resolves when this node was removed.
    pub async fn wait(&self) {
        // The sender lives in here, so that the wait ends only with the news.
        let _ = self.is_own.subscribe().wait_for(|is_own| *is_own).await;
    }
}
