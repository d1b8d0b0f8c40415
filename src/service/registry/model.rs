//! What the registry knows of nodes, instances and checks, as everybody above sees it and as it is stored.
//!
//! Stored types are written by [`super::record`]: a field is only ever appended, behind a new format version. Never checks
//! anything: that is done in [`super::validate`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::definition::CheckKind;
use crate::base::{LeaseId, Revision};

/// The id of the check that takes a node out of service (Consul's).
pub const NODE_MAINTENANCE: &str = "_node_maintenance";
/// The check that says whether a member lives (Consul's).
pub const MEMBER_CHECK: &str = "serfHealth";
/// The service that all members offer, and the id of its instances (Consul's).
pub const MEMBER_SERVICE: &str = "consul";
/// What the id of the check that takes an instance out of service begins with, before the instance's id (Consul's).
pub const INSTANCE_MAINTENANCE_PREFIX: &str = "_service_maintenance:";

/// How a check is, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Well.
    Passing,
    /// Still to be used, with less weight.
    Warning,
    /// Not to be used.
    Critical,
}

/// Where something is found under another name, such as `lan` or `wan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaggedAddress {
    /// An IP address or a host name.
    pub address: String,
    /// The port; 0: none.
    pub port: u16,
}

/// How large the share of an instance is among those that are as healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// While it passes its checks.
    pub passing: u16,
    /// While one of them warns.
    pub warning: u16,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            passing: 1,
            warning: 1,
        }
    }
}

/// A machine, or another group of instances, that somebody registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name; compared without regard to the case of ASCII letters.
    pub name: String,
    /// An id that stays when the name changes; may be empty.
    pub id: String,
    /// An IP address or a host name.
    pub address: String,
    /// Further addresses, by name.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

/// What is said of an instance when it is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The name of its service; compared without regard to the case of ASCII letters.
    pub service: String,
    /// Its id, unique on its node.
    pub id: String,
    /// The name of its node.
    pub node: String,
    /// An IP address or a host name; empty: that of the node.
    pub address: String,
    /// The port; 0: none.
    pub port: u16,
    /// Tags, in the order given.
    pub tags: Vec<String>,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
    /// Its share.
    pub weights: Weights,
    /// Further addresses, by name.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    /// Seconds after which it is gone unless it is heard of; 0: it stays.
    pub ttl_seconds: i64,
    /// Whether others may change its tags (Consul's).
    pub enable_tag_override: bool,
}

/// What a check is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDefinition {
    /// Its id, unique among the checks of its instance, or of its node.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub notes: String,
    /// How its status comes about.
    pub kind: CheckKind,
}

/// What a check said last. Stored apart from what it is, so that a change of it rewrites nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckState {
    /// How it is.
    pub status: Status,
    /// Why.
    pub output: String,
}

/// A check as it is registered: what it is, and how it is at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheck {
    /// What it is.
    pub definition: CheckDefinition,
    /// How it is until it is said otherwise.
    pub state: CheckState,
}

/// A check with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub definition: Arc<CheckDefinition>,
    /// How it is.
    pub state: Arc<CheckState>,
    /// The revision at which it was made.
    pub create_revision: Revision,
    /// The revision at which it was written last, its state not counted.
    pub definition_revision: Revision,
    /// The revision at which its state was written last.
    pub state_revision: Revision,
}

impl Check {
    /// The revision at which it, or its state, changed last.
    #[must_use]
    pub fn modification_revision(&self) -> Revision {
        self.definition_revision.max(self.state_revision)
    }
}

/// A registered instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// What was said of it.
    pub registration: Registration,
    /// The revision of its registration. A later registration of the same node and id has a larger one.
    pub epoch: Revision,
    /// The revision at which it came.
    pub create_revision: Revision,
    /// The revision at which it changed last, its checks not counted.
    pub modification_revision: Revision,
    /// What keeps it alive; none without a time to live.
    pub lease: LeaseId,
}

/// A registered node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    /// What was said of it.
    pub node: Node,
    /// The revision at which it came.
    pub create_revision: Revision,
    /// The revision at which it changed last, its checks not counted.
    pub modification_revision: Revision,
}

/// What is known of a node itself. A node that nobody registered is there for as long as it has instances.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeState {
    /// What was registered, if it was.
    pub known: Option<KnownNode>,
    /// Its own checks, by id.
    pub checks: Vec<Check>,
}

impl NodeState {
    /// About how many bytes it takes in a message.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let metadata = self
            .known
            .as_ref()
            .map_or(0, |known| metadata_bytes(&known.node.metadata));
        FIXED_BYTES + metadata + checks_bytes(&self.checks)
    }
}

/// For everything in a message that has a fixed size.
const FIXED_BYTES: usize = 128;

fn metadata_bytes(pairs: &BTreeMap<String, String>) -> usize {
    let sizes = pairs.iter().map(|(key, value)| key.len() + value.len());
    sizes.sum()
}

fn checks_bytes<'check>(checks: impl IntoIterator<Item = &'check Check>) -> usize {
    let sizes = checks.into_iter().map(|check| {
        let definition = &check.definition;
        let words = definition.id.len() + definition.name.len() + definition.notes.len();
        FIXED_BYTES + words + definition.kind.size_bytes() + check.state.output.len()
    });
    sizes.sum()
}

/// An instance with all that decides over its health. Immutable; shared by all who look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Its checks, by id.
    pub checks: Vec<Check>,
    /// Its node.
    pub node: Arc<NodeState>,
}

impl Entry {
    /// The worst status of its checks and those of its node; without checks it is well.
    #[must_use]
    pub fn status(&self) -> Status {
        let checks = self.checks.iter().chain(&self.node.checks);
        let worst = checks.map(|check| check.state.status).max();
        worst.unwrap_or(Status::Passing)
    }

    /// About how many bytes it takes in a message.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let registration = &self.instance.registration;
        let tags = registration.tags.iter().map(String::len).sum::<usize>();
        let checks = checks_bytes(self.checks.iter().chain(&self.node.checks));
        FIXED_BYTES + tags + metadata_bytes(&registration.metadata) + checks
    }

    /// Whether an operator took it, or its node, out of service.
    #[must_use]
    pub fn is_in_maintenance(&self) -> bool {
        let mut checks = self.checks.iter().chain(&self.node.checks);
        checks.any(|check| check.definition.kind == CheckKind::Maintenance)
    }

    /// The address at which it is found: its own, else that of its node; empty if neither has one.
    #[must_use]
    pub fn address(&self) -> &str {
        let own = self.instance.registration.address.as_str();
        match &self.node.known {
            Some(known) if own.is_empty() => &known.node.address,
            _ => own,
        }
    }
}

/// Which registration a request means to make or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A new one: whatever was there is replaced, with its lease and its checks (not a maintenance).
    New,
    /// This one: refused if it was replaced or is gone.
    Holder(Revision),
    /// This one, or a new one in its place where its time to live was over: refused if it was replaced or deregistered.
    Renewal(Revision),
    /// Whichever is there, else a new one. Checks that are not named stay, and so does the state of those that are.
    Whichever,
}

/// What instances must be like; a default lets everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this service.
    pub service: Option<String>,
    /// On this node.
    pub node: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// With all of these pairs in their metadata.
    pub metadata: BTreeMap<String, String>,
    /// No worse than this.
    pub worst_status: Option<Status>,
}

impl Filter {
    /// Whether it lets an instance through.
    #[must_use]
    pub fn admits(&self, entry: &Entry) -> bool {
        let registration = &entry.instance.registration;
        let is_named = |wanted: &Option<String>, name: &str| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        is_named(&self.service, &registration.service)
            && is_named(&self.node, &registration.node)
            && self.tags.iter().all(|tag| registration.tags.contains(tag))
            && self
                .metadata
                .iter()
                .all(|(key, value)| registration.metadata.get(key) == Some(value))
            && self.worst_status.is_none_or(|worst| entry.status() <= worst)
    }
}
