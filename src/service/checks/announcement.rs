//! How a member becomes a node of the catalog, as Consul's clients expect it: with the service `consul` and the check
//! `serfHealth`.
//!
//! Whoever needs the node of this member makes it: each second whoever looks after it, and a request that registers something
//! on it. Writes only what differs, one at a time, so that nothing is written twice.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::members::state;
use crate::base::MemberId;
use crate::replication::PeerMember;
use crate::service::ServiceError;
use crate::service::auth::Caller;
use crate::service::core::Core;
use crate::service::registry::{
    Catalog, CheckDefinition, CheckKind, Claim, MEMBER_CHECK, MEMBER_SERVICE, NewCheck, Node, Registration,
    Registry, TaggedAddress,
};

/// The name of the check that says whether a member lives (Consul's).
const CHECK_NAME: &str = "Serf Health Status";
/// The port of the service that all members offer (Consul's).
const PORT: u16 = 8_300;
/// Pause before a member looks again whether it is one.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// The metadata of a node that is a member: its id.
pub(super) const MEMBER_KEY: &str = "stead-member";

/// The announcement of this member. Shared.
pub(in crate::service) struct Announcement {
    core: Arc<Core>,
    registry: Registry,
    /// Whoever writes.
    turn: Mutex<()>,
}

impl Announcement {
    pub fn new(core: Arc<Core>, registry: &Registry) -> Self {
        Self {
            core,
            registry: registry.by(Caller::node()),
            turn: Mutex::new(()),
        }
    }

    /// As [`Announcement::make`], for whoever needs the node now: a member that has just started learns of itself in a moment.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn make_in_time(&self) -> Result<(), ServiceError> {
        let making = async {
            loop {
                match self.make().await {
                    Err(ServiceError::MemberNotFound) => tokio::time::sleep(TRY_AGAIN).await,
                    made => return made,
                }
            }
        };
        self.core.in_time(making).await
    }

    /// Registers this member as a node, where it is not as it should be.
    ///
    /// # Errors
    /// It is no member, or no answer in time.
    pub async fn make(&self) -> Result<(), ServiceError> {
        let id = self.core.settings.member;
        let members = self.core.replication.members(&self.core.reader.view())?;
        let member = members.iter().find(|member| member.id == id);
        let address = member.and_then(address).ok_or(ServiceError::MemberNotFound)?;
        let (node, registration) = announcement(id, &self.core.settings.consul.node, address);
        let catalog = self.registry.newest();
        if is_known(&catalog, &node) && is_registered(&catalog, &registration) {
            return Ok(());
        }
        // Whoever comes second finds what the first has written.
        let _turn = self.turn.lock().await;
        let catalog = self.registry.catalog(false).await?;
        if !is_known(&catalog, &node) {
            self.registry.register_node(&node, &[health()]).await?;
        }
        if !is_registered(&catalog, &registration) {
            self.registry
                .register(registration, Claim::Whichever, &[])
                .await?;
        }
        Ok(())
    }
}

/// Where a member is: its host, without brackets.
fn address(member: &PeerMember) -> Option<String> {
    let host = member.host()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Some(bare.unwrap_or(&host).to_owned())
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
        tagged_addresses: tagged(&address),
        address,
        metadata: BTreeMap::from([(MEMBER_KEY.to_owned(), id.to_string())]),
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

/// The address under the names that Consul's clients know.
fn tagged(address: &str) -> BTreeMap<String, TaggedAddress> {
    let names: &[&str] = match address.parse() {
        Ok(IpAddr::V4(_)) => &["lan", "lan_ipv4", "wan", "wan_ipv4"],
        Ok(IpAddr::V6(_)) => &["lan", "lan_ipv6", "wan", "wan_ipv6"],
        Err(_) => &["lan", "wan"],
    };
    let address = TaggedAddress {
        address: address.to_owned(),
        port: 0,
    };
    let names = names.iter();
    names.map(|name| ((*name).to_owned(), address.clone())).collect()
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

fn is_registered(catalog: &Catalog, registration: &Registration) -> bool {
    let there = catalog.entry(&registration.node, &registration.id);
    there.is_some_and(|there| there.instance.registration == *registration)
}
