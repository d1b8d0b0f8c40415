//! The members as nodes of the catalog, as Consul's clients expect them: each with the service `consul` and the check
//! `serfHealth`.
//!
//! A member that is told to announces itself and writes only what differs. The leader says whether those who announced
//! themselves live, by their calls ([`super::desk`]), and takes away the nodes of those who are members no more. It knows
//! them by a pair of metadata, so that nodes that somebody else registered are left alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use super::desk::Desk;
use crate::base::{MemberId, clock};
use crate::service::ServiceError;
use crate::service::auth::Caller;
use crate::service::core::Core;
use crate::service::registry::{
    Catalog, CheckDefinition, CheckKind, CheckPlace, CheckState, Claim, MEMBER_CHECK, MEMBER_SERVICE,
    NewCheck, Node, NodeEntry, Registration, Registry, Status,
};

/// Time between two looks.
const LOOK_MILLISECONDS: u64 = 1_000;
/// The words of the check that says whether a member lives (Consul's).
const CHECK_NAME: &str = "Serf Health Status";
const ALIVE: &str = "Agent alive and reachable";
const SILENT: &str = "Agent not live or unreachable";
/// The port of the service that all members offer (Consul's).
const PORT: u16 = 8_300;
/// The metadata of a node that is a member: its id.
const MEMBER_KEY: &str = "stead-member";
/// Time without a leader's change after which who did not call does not live.
const SETTLING: Duration = Duration::from_secs(3);

/// Announces this member and judges the others. Shared.
pub(super) struct Members {
    core: Arc<Core>,
    registry: Registry,
    desk: Arc<Desk>,
}

impl Members {
    pub fn new(core: Arc<Core>, registry: Registry, desk: Arc<Desk>) -> Self {
        Self {
            core,
            registry: registry.by(Caller::node()),
            desk,
        }
    }

    /// Looks every second, for good.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(LOOK_MILLISECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.core.settings.announce
                && let Err(error) = self.announce().await
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

    /// Registers this member as a node, where it is not as it should be.
    async fn announce(&self) -> Result<(), ServiceError> {
        let id = self.core.settings.member;
        let view = self.core.reader.view();
        let published = view.members()?;
        let Some(name) = published
            .iter()
            .find(|member| member.id == id)
            .map(|member| &member.name)
        else {
            return Ok(());
        };
        let members = self.core.replication.members(&view)?;
        let member = members.iter().find(|member| member.id == id);
        let Some(address) = member.and_then(|member| host(member.peer_urls.first()?)) else {
            return Ok(());
        };
        let catalog = self.registry.newest();
        let (node, registration) = announcement(id, name, address);
        if !is_known(&catalog, &node) {
            self.registry.register_node(&node, &[health()]).await?;
        }
        let there = catalog.entry(name, MEMBER_SERVICE);
        if there.is_none_or(|there| there.instance.registration != registration) {
            self.registry
                .register(registration, Claim::Whichever, &[])
                .await?;
        }
        Ok(())
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

/// The host of a URL, without brackets.
fn host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some(bare.unwrap_or(host).to_owned())
}

fn state(lives: bool) -> CheckState {
    let (status, output) = match lives {
        true => (Status::Passing, ALIVE),
        false => (Status::Critical, SILENT),
    };
    CheckState {
        status,
        output: output.to_owned(),
    }
}

fn health() -> NewCheck {
    NewCheck {
        definition: CheckDefinition {
            id: MEMBER_CHECK.into(),
            name: CHECK_NAME.into(),
            notes: String::new(),
            kind: CheckKind::Reported,
        },
        state: state(true),
    }
}

/// How a member is registered.
fn announcement(id: MemberId, name: &str, address: String) -> (Node, Registration) {
    let node = Node {
        name: name.to_owned(),
        // Consul's clients expect a UUID.
        id: format!(
            "00000000-0000-0000-{:04x}-{:012x}",
            id.0 >> 48,
            id.0 & 0xffff_ffff_ffff
        ),
        address,
        metadata: BTreeMap::from([(MEMBER_KEY.to_owned(), id.to_string())]),
        ..Node::default()
    };
    let registration = Registration {
        service: MEMBER_SERVICE.into(),
        id: MEMBER_SERVICE.into(),
        node: name.to_owned(),
        port: PORT,
        ..Registration::default()
    };
    (node, registration)
}

fn is_known(catalog: &Catalog, node: &Node) -> bool {
    let there = catalog.node(&node.name);
    there.is_some_and(|there| {
        let known = there.state.known.as_ref();
        known.is_some_and(|known| known.node == *node)
            && there
                .state
                .checks
                .iter()
                .any(|check| check.definition.id == MEMBER_CHECK)
    })
}

/// The member that a node is, if it is one.
fn member_of(node: &NodeEntry) -> Option<MemberId> {
    let known = node.state.known.as_ref()?;
    let id = known.node.metadata.get(MEMBER_KEY)?;
    u64::from_str_radix(id, 16).ok().map(MemberId)
}
