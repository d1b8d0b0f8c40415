//! Entries of the catalog in transactions: nodes, instances and checks, as [`super::txn`] has them, and registering some of
//! each together.
//!
//! What a change needs in rights depends on what is there: of whose service an id is. So it is looked at where the change
//! is decided, on the state that it is bound to.

use std::sync::Arc;

use super::acl::{Access, Authorizer, Resource};
use super::plan::{OWN_REVISION, Plan};
use super::{Consul, ConsulError};
use crate::base::Revision;
use crate::service::ServiceError;
use crate::service::registry::{
    Check, Entry, KnownNode, NewCheck, Node, NodeState, Registration, RegistryError,
};

/// What is done with an entry, or asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryVerb<T> {
    /// Write it.
    Set(T),
    /// Write it if its last change was at a revision; 0: if it is not there.
    SetAt(T, u64),
    /// Show it; it must be there.
    Get,
    /// Remove it.
    Delete,
    /// Remove it if its last change was at a revision.
    DeleteAt(u64),
}

impl<T> EntryVerb<T> {
    fn only_reads(&self) -> bool {
        matches!(self, Self::Get)
    }

    /// Why it fails on what changed last at `modified`, if that is not what it wants.
    fn denial(&self, modified: Option<Revision>, what: &str) -> Option<String> {
        let is_at = |index: u64| modified.is_some_and(|modified| i64::try_from(index) == Ok(modified.0));
        match self {
            Self::SetAt(_, 0) if modified.is_none() => None,
            Self::SetAt(_, index) if *index == 0 || !is_at(*index) => {
                Some(format!("failed to set {what}, index is stale"))
            }
            Self::DeleteAt(index) if !is_at(*index) => {
                Some(format!("failed to delete {what}, index is stale"))
            }
            Self::Get if modified.is_none() => Some(format!("{what} doesn't exist")),
            _ => None,
        }
    }
}

/// An operation on the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryOperation {
    /// On a node.
    Node {
        /// Its name.
        name: String,
        /// What.
        verb: EntryVerb<Node>,
    },
    /// On an instance.
    Instance {
        /// The name of its node.
        node: String,
        /// Its id.
        id: String,
        /// What.
        verb: EntryVerb<Registration>,
    },
    /// On a check.
    Check {
        /// The name of its node.
        node: String,
        /// The id of the instance that it is of; none: of the node itself, or of any instance on it where it is there
        /// already.
        instance: Option<String>,
        /// Its id.
        id: String,
        /// What.
        verb: EntryVerb<NewCheck>,
    },
}

impl EntryOperation {
    /// Whether it changes nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Node { verb, .. } => verb.only_reads(),
            Self::Instance { verb, .. } => verb.only_reads(),
            Self::Check { verb, .. } => verb.only_reads(),
        }
    }

    /// The check that it writes.
    pub(super) fn check(&self) -> Option<&NewCheck> {
        match self {
            Self::Check {
                verb: EntryVerb::Set(check) | EntryVerb::SetAt(check, _),
                ..
            } => Some(check),
            _ => None,
        }
    }
}

/// What an operation on the catalog shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShownEntry {
    /// A node.
    Node(KnownNode),
    /// An instance, without its checks and its node.
    Instance(Entry),
    /// A check.
    Check {
        /// The check.
        check: Check,
        /// The name of its node.
        node: String,
        /// What it is of; none: the node itself.
        registration: Option<Registration>,
    },
}

impl ShownEntry {
    /// Says at which revision what was written by the transaction itself was done.
    pub(super) fn settle(&mut self, revision: Revision) {
        let settle = |at: &mut Revision| {
            if *at == OWN_REVISION {
                *at = revision;
            }
        };
        match self {
            Self::Node(known) => {
                settle(&mut known.create_revision);
                settle(&mut known.modification_revision);
            }
            Self::Instance(entry) => {
                let instance = Arc::make_mut(&mut entry.instance);
                settle(&mut instance.create_revision);
                settle(&mut instance.modification_revision);
                settle(&mut instance.epoch);
            }
            Self::Check { check, .. } => {
                settle(&mut check.create_revision);
                settle(&mut check.definition_revision);
                settle(&mut check.state_revision);
            }
        }
    }
}

/// Nodes, instances and checks that are registered together. All of it is of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogRegistration {
    /// The node.
    pub node: Node,
    /// Whether the node stays as it is if it is known.
    pub skips_node: bool,
    /// An instance on it.
    pub service: Option<Registration>,
    /// Checks, with the id of the instance that each is of; none: of the node itself.
    pub checks: Vec<(NewCheck, Option<String>)>,
}

impl Consul {
    /// Registers all of it, or nothing.
    ///
    /// # Errors
    /// It cannot be, the token has no right to it, a check is of an instance that is not there, or no answer in time.
    pub async fn register(
        &self,
        wanted: &CatalogRegistration,
        authorizer: &Authorizer,
    ) -> Result<(), ConsulError> {
        for (check, _) in &wanted.checks {
            self.registry.admit_checks(std::slice::from_ref(check))?;
        }
        self.change_entries(|plan| register(plan, wanted, authorizer))
            .await?;
        Ok(())
    }
}

fn register(
    plan: &mut Plan<'_>,
    wanted: &CatalogRegistration,
    authorizer: &Authorizer,
) -> Result<(), ConsulError> {
    let node = &wanted.node;
    let known = plan.entries.node(&node.name)?;
    let stays = match &known {
        Some(known) => wanted.skips_node || known.node == *node,
        None => false,
    };
    if !stays {
        if node.address.is_empty() {
            return Err(ConsulError::Failed(format!(
                "Node {:?} is not registered, so its address is needed",
                node.name
            )));
        }
        authorizer.require(Resource::Node(&node.name), Access::Write)?;
        plan.entries.register_node(node)?;
    }
    if let Some(service) = &wanted.service {
        may_register(plan, service, authorizer)?;
        plan.entries.register(service)?;
    }
    for (check, instance) in &wanted.checks {
        may_change_check(plan, &node.name, instance.as_deref(), authorizer, Access::Write)?
            .map_err(ConsulError::Failed)?;
        plan.entries
            .register_check(&node.name, instance.as_deref(), check)?;
    }
    Ok(())
}

/// Refuses who may not write the service of an instance, nor that which has its id now.
fn may_register(
    plan: &mut Plan<'_>,
    registration: &Registration,
    authorizer: &Authorizer,
) -> Result<(), ConsulError> {
    authorizer.require(Resource::Service(&registration.service), Access::Write)?;
    if let Some(there) = plan.entries.instance(&registration.node, &registration.id)? {
        authorizer.require(Resource::Service(&there.registration.service), Access::Write)?;
    }
    Ok(())
}

/// The registration of the instance that a check is of, none for the node itself, for whoever may do this to its checks.
/// The inner error: the instance is not there.
fn may_change_check(
    plan: &mut Plan<'_>,
    node: &str,
    instance: Option<&str>,
    authorizer: &Authorizer,
    access: Access,
) -> Result<Result<Option<Registration>, String>, ConsulError> {
    let Some(id) = instance else {
        authorizer.require(Resource::Node(node), access)?;
        return Ok(Ok(None));
    };
    let Some(there) = plan.entries.instance(node, id)? else {
        return Ok(Err(format!("Missing service registration for service {id:?}")));
    };
    authorizer.require(Resource::Service(&there.registration.service), access)?;
    Ok(Ok(Some(there.registration)))
}

/// What an operation shows, or why it fails on what is there.
type Step = Result<Option<ShownEntry>, String>;

/// Does one operation on the catalog.
pub(super) fn step(
    plan: &mut Plan<'_>,
    operation: &EntryOperation,
    authorizer: &Authorizer,
) -> Result<Step, ConsulError> {
    let done = match operation {
        EntryOperation::Node { name, verb } => node(plan, name, verb, authorizer),
        EntryOperation::Instance { node, id, verb } => instance(plan, node, id, verb, authorizer),
        EntryOperation::Check {
            node,
            instance,
            id,
            verb,
        } => check(plan, node, instance.as_deref(), id, verb, authorizer),
    };
    match done {
        // What depends on what is there.
        Err(ConsulError::Service(ServiceError::Registry(
            error @ (RegistryError::UnknownNode { .. }
            | RegistryError::UnknownInstance { .. }
            | RegistryError::UnknownCheck { .. }
            | RegistryError::TooMany { .. }),
        ))) => Ok(Err(error.to_string())),
        done => done,
    }
}

fn access_of<T>(verb: &EntryVerb<T>) -> Access {
    match verb {
        EntryVerb::Get => Access::Read,
        _ => Access::Write,
    }
}

fn node(
    plan: &mut Plan<'_>,
    name: &str,
    verb: &EntryVerb<Node>,
    authorizer: &Authorizer,
) -> Result<Step, ConsulError> {
    authorizer.require(Resource::Node(name), access_of(verb))?;
    let there = plan.entries.node(name)?;
    let modified = there.as_ref().map(|known| known.modification_revision);
    if let Some(reason) = verb.denial(modified, &format!("node {name:?}")) {
        return Ok(Err(reason));
    }
    match verb {
        EntryVerb::Set(node) | EntryVerb::SetAt(node, _) => plan.entries.register_node(node)?,
        EntryVerb::Get => {}
        EntryVerb::Delete | EntryVerb::DeleteAt(_) => {
            plan.entries.deregister_node(name)?;
            return Ok(Ok(None));
        }
    }
    Ok(Ok(plan.entries.node(name)?.map(ShownEntry::Node)))
}

fn instance(
    plan: &mut Plan<'_>,
    node: &str,
    id: &str,
    verb: &EntryVerb<Registration>,
    authorizer: &Authorizer,
) -> Result<Step, ConsulError> {
    let there = plan.entries.instance(node, id)?;
    match &there {
        Some(there) => authorizer.require(Resource::Service(&there.registration.service), access_of(verb))?,
        // Whoever may not write the node learns nothing of what is not on it.
        None if !matches!(verb, EntryVerb::Set(_) | EntryVerb::SetAt(..)) => {
            authorizer.require(Resource::Node(node), access_of(verb))?;
        }
        None => {}
    }
    if let EntryVerb::Set(registration) | EntryVerb::SetAt(registration, _) = verb {
        authorizer.require(Resource::Service(&registration.service), Access::Write)?;
    }
    if verb.only_reads() {
        authorizer.require(Resource::Node(node), Access::Read)?;
    }
    let modified = there.as_ref().map(|there| there.modification_revision);
    if let Some(reason) = verb.denial(modified, &format!("service {id:?} on node {node:?}")) {
        return Ok(Err(reason));
    }
    match verb {
        EntryVerb::Set(registration) | EntryVerb::SetAt(registration, _) => {
            if !plan.entries.has_node(node)? {
                return Ok(Err(format!("Missing node registration for node {node:?}")));
            }
            plan.entries.register(registration)?;
        }
        EntryVerb::Get => {}
        EntryVerb::Delete | EntryVerb::DeleteAt(_) => {
            plan.entries.deregister(node, id)?;
            return Ok(Ok(None));
        }
    }
    let shown = plan.entries.instance(node, id)?.map(|instance| {
        ShownEntry::Instance(Entry {
            instance: Arc::new(instance),
            checks: Vec::new(),
            node: Arc::new(NodeState::default()),
        })
    });
    Ok(Ok(shown))
}

fn check(
    plan: &mut Plan<'_>,
    node: &str,
    instance: Option<&str>,
    id: &str,
    verb: &EntryVerb<NewCheck>,
    authorizer: &Authorizer,
) -> Result<Step, ConsulError> {
    let is_written = matches!(verb, EntryVerb::Set(_) | EntryVerb::SetAt(..));
    let found = match instance {
        Some(_) => instance.map(str::to_owned),
        None if is_written => None,
        None => plan.entries.holder(node, id)?.flatten(),
    };
    let instance = found.as_deref();
    let registration = match may_change_check(plan, node, instance, authorizer, access_of(verb))? {
        Ok(registration) => registration,
        Err(reason) if is_written => return Ok(Err(reason)),
        // The check of what is not there is not there either; that is the node's to say.
        Err(_) => {
            authorizer.require(Resource::Node(node), access_of(verb))?;
            None
        }
    };
    if verb.only_reads() {
        authorizer.require(Resource::Node(node), Access::Read)?;
    }
    let there = plan.entries.check(node, instance, id)?;
    let modified = there.as_ref().map(Check::modification_revision);
    if let Some(reason) = verb.denial(modified, &format!("check {id:?} on node {node:?}")) {
        return Ok(Err(reason));
    }
    match verb {
        EntryVerb::Set(check) | EntryVerb::SetAt(check, _) => {
            plan.entries.register_check(node, instance, check)?;
        }
        EntryVerb::Get => {}
        EntryVerb::Delete | EntryVerb::DeleteAt(_) => {
            plan.entries.deregister_check(node, instance, id)?;
            return Ok(Ok(None));
        }
    }
    let shown = plan.entries.check(node, instance, id)?;
    Ok(Ok(shown.map(|check| ShownEntry::Check {
        check,
        node: node.to_owned(),
        registration,
    })))
}
