//! The members, as Consul's interface shows its servers.

use std::sync::Arc;

use super::{Consul, ConsulError};
use crate::base::MemberId;
use crate::service::auth::Caller;
use crate::service::cluster::Cluster;
use crate::service::health::Health;

/// The port that clients of Consul expect of a server. Nothing listens there: it is part of a name.
const SERVER_PORT: u16 = 8_300;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started once.
    pub name: String,
    /// The host of its first peer URL.
    pub host: String,
    /// The host with the port of a server.
    pub address: String,
    /// Whether it leads, as this member knows.
    pub is_leader: bool,
    /// Whether it counts for a quorum.
    pub is_voter: bool,
}

impl Consul {
    /// The members, by id.
    ///
    /// # Errors
    /// The disk failed.
    pub async fn servers(&self) -> Result<Vec<Server>, ConsulError> {
        let view = self.view(true).await?;
        let leader = self.core.replication.status().borrow().leader;
        let published = view.members()?;
        let members = self.core.replication.members(&view)?;
        Ok(members
            .into_iter()
            .map(|member| {
                let host = member.host().unwrap_or_default();
                let said = published.iter().find(|said| said.id == member.id);
                Server {
                    id: member.id,
                    name: said.map_or(member.name, |said| said.name.clone()),
                    address: format!("{host}:{SERVER_PORT}"),
                    host,
                    is_leader: leader == Some(member.id),
                    is_voter: !member.is_learner,
                }
            })
            .collect())
    }
}

impl Consul {
    /// The index up to which the log is applied here.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.core.replication.status().borrow().applied_index
    }

    /// All metrics of this member, as Prometheus reads them.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn metrics_page(&self) -> Result<String, ConsulError> {
        Ok(Health::new(Arc::clone(&self.core)).metrics_page()?)
    }

    /// Takes a member out of the cluster.
    ///
    /// # Errors
    /// No such member, the quorum would be at risk, or no answer in time.
    pub async fn remove_server(&self, id: MemberId) -> Result<(), ConsulError> {
        let cluster = Cluster::new(Arc::clone(&self.core)).by(Caller::node());
        cluster.remove(id).await?;
        Ok(())
    }
}
