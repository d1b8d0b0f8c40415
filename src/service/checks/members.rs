//! The members as nodes of the catalog: who is announced ([`super::announcement`]), and who of them lives.
//!
//! A member that is told to announces itself from the start. The leader says whether those who announced
//! themselves live, by their calls ([`super::desk`]), and takes away the nodes of those who are members no more. It knows
//! them by a pair of metadata, so that nodes that somebody else registered are left alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::announcement::{Announcement, MEMBER_KEY};
use super::desk::Desk;
use crate::base::{MemberId, clock};
use crate::service::ServiceError;
use crate::service::auth::Caller;
use crate::service::core::Core;
use crate::service::registry::{CheckPlace, CheckState, MEMBER_CHECK, NodeEntry, Registry, Status};

/// Time between two looks.
const LOOK_MILLISECONDS: u64 = 1_000;
/// What the check says (Consul's).
const ALIVE: &str = "Agent alive and reachable";
const SILENT: &str = "Agent not live or unreachable";
/// Time without a leader's change after which who did not call does not live.
const SETTLING: Duration = Duration::from_secs(3);

/// Announces this member and judges the others. Shared.
pub(super) struct Members {
    core: Arc<Core>,
    registry: Registry,
    desk: Arc<Desk>,
    announcement: Arc<Announcement>,
}

impl Members {
    pub fn new(
        core: Arc<Core>,
        registry: Registry,
        desk: Arc<Desk>,
        announcement: Arc<Announcement>,
    ) -> Self {
        Self {
            core,
            registry: registry.by(Caller::node()),
            desk,
            announcement,
        }
    }

    /// Looks every second, for good.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(LOOK_MILLISECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.core.settings.announce
                && let Err(error) = self.announcement.make().await
            {
                tracing::debug!(%error, "this member is not announced as a node yet");
            }
            if let Some((term, since)) = self.desk.led()
                && let Err(error) = self.judge(term, since).await
            {
                tracing::debug!(%error, "the nodes of the members are not up to date yet");
            }
        }
    }

    /// Says how the members are that announced themselves, as the leader of `term` since a moment.
    async fn judge(&self, term: u64, since: Instant) -> Result<(), ServiceError> {
        if clock::now().saturating_duration_since(since) < SETTLING {
            return Ok(());
        }
        let catalog = self.registry.newest();
        let announced: Vec<(MemberId, &Arc<NodeEntry>)> = catalog
            .nodes()
            .filter_map(|node| Some((member_of(node)?, node)))
            .collect();
        if announced.is_empty() {
            return Ok(());
        }
        let living = Arc::clone(&self.desk.living().borrow());
        let members = self.core.replication.members(&self.core.reader.view())?;
        for (id, node) in announced {
            if members.iter().all(|member| member.id != id) {
                tracing::info!(node = node.name(), member = %id, "the node of a member that is gone is taken away");
                self.registry.deregister_node(node.name()).await?;
                continue;
            }
            let place = CheckPlace {
                node: node.name().to_ascii_lowercase().into(),
                instance: None,
                check: MEMBER_CHECK.into(),
            };
            let state = state(living.contains(&id));
            if let Some(check) = catalog.check(&place).filter(|check| *check.state != state) {
                self.registry.settle(&place, check, &state, Some(term)).await?;
            }
        }
        Ok(())
    }
}

/// How the check of a member is.
pub(super) fn state(lives: bool) -> CheckState {
    let (status, output) = match lives {
        true => (Status::Passing, ALIVE),
        false => (Status::Critical, SILENT),
    };
    CheckState {
        status,
        output: output.to_owned(),
    }
}

/// The member that a node is, if it is one.
fn member_of(node: &NodeEntry) -> Option<MemberId> {
    let known = node.state.known.as_ref()?;
    let id = known.node.metadata.get(MEMBER_KEY)?;
    u64::from_str_radix(id, 16).ok().map(MemberId)
}
