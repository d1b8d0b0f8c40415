//! Health checks that the cluster does itself.
//!
//! ```text
//!  catalog ----> table ----> probes and aliases of this member ---> settle: only what changes
//!  who lives --> owner --'                                            ^
//!  reports ----> heard ----> expiry (leader): no report in time ------'
//!                            reaper (leader): critical for too long ----> deregistered
//! ```
//!
//! Each check belongs to one member that lives, by hashing (`owner`). Who lives is what the leader says (`desk`): every
//! member calls it every second, and who was silent for three is left out. Two members that disagree for a moment both do a
//! check, which costs a second probe and nothing else: a state is written only onto the definition and the state that were
//! there when the probe began (`Registry::settle`), so that one of them writes it, and what one found out before the other
//! wrote is dropped. The same holds for a probe that was slow while its instance was registered anew. A member that the leader
//! cannot be reached from goes on with what it knew, and can write nothing.
//!
//! Only a change of the status is written at once; another output alone is written later, at most five minutes, by whoever
//! found it. Reports of checks with a time to live that change nothing are kept in memory (`heard`) and never written.
//!
//! Never touches a check that somebody reports without a time to live, or a maintenance. Never runs a program. Goes only
//! where [`Policy`] lets it.

mod alias;
pub(super) mod announcement;
pub(super) mod desk;
mod expiry;
pub(super) mod heard;
mod members;
mod owner;
mod policy;
mod runner;
mod table;
mod threshold;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
pub use policy::{CheckRegistration, DEFAULT_TARGETS, Policy, ranges};

use self::announcement::Announcement;
use self::desk::{CALL_MILLISECONDS, Desk, Told};
use self::members::Members;
use self::runner::Runner;
use super::core::Core;
use super::registry::{CheckState, Probe, Registry};

/// Asks what a check is about. Given by the layer that knows how to speak with others.
pub trait Prober: Send + Sync + 'static {
    /// Asks once, for no longer than the probe may take.
    fn ask<'probe>(&'probe self, probe: &'probe Probe) -> BoxFuture<'probe, CheckState>;
}

/// The checks of a member. A handle: clones share them.
#[derive(Clone)]
pub(super) struct Checks {
    core: Arc<Core>,
    desk: Arc<Desk>,
    runner: Arc<Runner>,
    members: Arc<Members>,
}

impl Checks {
    pub fn new(
        core: Arc<Core>,
        registry: &Registry,
        prober: Arc<dyn Prober>,
        announcement: Arc<Announcement>,
    ) -> Self {
        let desk = Arc::new(Desk::new(core.settings.member, Arc::clone(registry.heard())));
        Self {
            runner: Arc::new(Runner::new(
                Arc::clone(&core),
                registry.clone(),
                Arc::clone(&desk),
                prober,
            )),
            members: Arc::new(Members::new(
                Arc::clone(&core),
                registry.clone(),
                Arc::clone(&desk),
                announcement,
            )),
            core,
            desk,
        }
    }

    /// Where members call in.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Does the checks until the node stops.
    pub async fn run(&self) {
        let calling = async {
            let mut told = Told::default();
            let mut ticks = tokio::time::interval(Duration::from_millis(CALL_MILLISECONDS));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut status = self.core.replication.status();
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // Another leader is called at once.
                    changed = status.wait_for(|status| status.term != told.term()) => {
                        if changed.is_err() {
                            return;
                        }
                    }
                }
                self.desk.round(&self.core, &mut told).await;
            }
        };
        tokio::select! {
            () = calling => {}
            () = Arc::clone(&self.runner).run() => {}
            () = self.members.run() => {}
        }
    }
}
