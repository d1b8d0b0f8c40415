//! What the cluster itself finds out about checks is written here: only onto what it was found out about.
//!
//! Never waits for a read: the conditions of the transaction say what was looked at. What has changed since is left alone.

use std::sync::Arc;

use bytes::Bytes;

use super::Registry;
use super::catalog::Catalog;
use super::error::RegistryError;
use super::keys::Owner;
use super::model::{Check, CheckState};
use super::plan;
use super::record::encode;
use crate::base::Namespace;
use crate::service::ServiceError;
use crate::state::applied::Answer;
use crate::state::command::{Command, Operation, Put, Txn};

/// Which check: of an instance, or of a node itself. The name of the node is folded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckPlace {
    /// The node.
    pub node: Arc<str>,
    /// The id of the instance; none: the node itself.
    pub instance: Option<Arc<str>>,
    /// The id of the check.
    pub check: Arc<str>,
}

impl CheckPlace {
    fn owner(&self) -> Owner<'_> {
        Owner {
            node: &self.node,
            instance: self.instance.as_deref(),
        }
    }

    /// The key of its state.
    pub(in crate::service) fn key(&self) -> Bytes {
        self.owner().state(&self.check)
    }
}

impl Catalog {
    /// One check.
    #[must_use]
    pub fn check(&self, place: &CheckPlace) -> Option<&Check> {
        let node = self.node(&place.node)?;
        let checks = match &place.instance {
            Some(id) => &node.instance(id)?.checks,
            None => &node.state.checks,
        };
        checks.iter().find(|check| *check.definition.id == *place.check)
    }
}

impl Registry {
    /// Says how a check is that was found to be so while it was as in `seen`; whether that still was so. With a term, only
    /// as the leader of it.
    ///
    /// # Errors
    /// No space, or no answer in time.
    pub(in crate::service) async fn settle(
        &self,
        place: &CheckPlace,
        seen: &Check,
        state: &CheckState,
        term: Option<u64>,
    ) -> Result<bool, ServiceError> {
        let owner = place.owner();
        let txn = Txn {
            compare: vec![
                plan::is_at(owner.check(&place.check), seen.definition_revision),
                plan::is_at(owner.state(&place.check), seen.state_revision),
            ],
            success: vec![Operation::Put(Put {
                namespace: Namespace::SERVICES,
                key: owner.state(&place.check),
                value: encode(state)?,
                ignore_lease: true,
                ..Put::default()
            })],
            failure: Vec::new(),
        };
        self.core.admission.txn(&txn)?;
        let command = Command::Txn(txn).by_node();
        let committed = match term {
            Some(term) => self.core.replication.propose_as_leader(command, term).await?,
            None => self.core.replication.propose(command).await?,
        };
        match committed.outcome? {
            Answer::Txn(txn) => {
                if txn.succeeded {
                    self.core.metrics.checks.written.inc();
                }
                Ok(txn.succeeded)
            }
            _ => Err(RegistryError::Unreadable("another answer than the one asked for".into()).into()),
        }
    }
}
