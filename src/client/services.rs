//! Services, as a program offers and uses them. Never registers or watches anything by itself.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::balance::Balanced;
use super::endpoints::Client;
use super::error::ClientError;
use super::keeper::{self, Order};
use super::live::LiveSet;
use super::pick::Rule;
use super::registration::Registration;
use crate::proto::registry::{Filter, Instance};

/// The services of a cluster. A handle: clones share one stream of heartbeats.
#[derive(Debug, Clone)]
pub struct Services {
    client: Arc<Client>,
    keeper: Arc<OnceLock<mpsc::UnboundedSender<Order>>>,
}

impl Services {
    /// The services of the cluster of a client.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self {
            client: Arc::new(client),
            keeper: Arc::default(),
        }
    }

    /// Registers an instance, replacing another of the same node and id, and keeps it alive if it has a time to live.
    /// Must be called in a runtime of tokio, and holds for as long as that runs.
    ///
    /// # Errors
    /// The cluster refuses it (the text says what is wrong), or nobody answered in time.
    pub async fn register(&self, instance: Instance) -> Result<Registration, ClientError> {
        let keeper = self.keeper.get_or_init(|| {
            let (sender, orders) = mpsc::unbounded_channel();
            tokio::spawn(keeper::keep(Arc::clone(&self.client), orders));
            sender
        });
        Registration::open(Arc::clone(&self.client), keeper.clone(), instance).await
    }

    /// Watches what a filter lets through, and waits until everything that is there is known.
    ///
    /// # Errors
    /// The cluster refuses it, or nobody answered in time.
    pub async fn watch(&self, filter: Filter) -> Result<LiveSet, ClientError> {
        LiveSet::open(Arc::clone(&self.client), filter).await
    }

    /// A gRPC channel that sends each call to an instance of a service, in the clear.
    ///
    /// # Errors
    /// As [`Services::watch`].
    pub async fn balance(&self, service: &str, rule: Rule) -> Result<Balanced, ClientError> {
        let filter = Filter {
            service: service.to_owned(),
            ..Filter::default()
        };
        Ok(Balanced::new(self.watch(filter).await?, rule))
    }
}
