//! A watched service as a set that is always whole.
//!
//! The set moves from one revision to a later one: while a snapshot is told, or the changes of one revision come in
//! several messages, the last whole set stays. After a loss it goes on where it was; where that is compacted, it is told
//! anew, and the old set stays until the new one is whole. Never shows an instance of one revision beside one of another.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Code;

use super::changes::{Batch, Changes, Event};
use super::endpoints::Client;
use super::error::ClientError;
use crate::proto::registry::change::Change;
use crate::proto::registry::{Filter, Instance};

/// Pause after a refusal that may pass.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Which instance: service, node and id, the order of lists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The service.
    pub service: String,
    /// The node it is on.
    pub node: String,
    /// Its id on the node.
    pub id: String,
}

impl Place {
    /// Where an instance is.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::new(&instance.service, &instance.node, &instance.id)
    }

    /// The names of services and nodes have no case.
    fn new(service: &str, node: &str, id: &str) -> Self {
        Self {
            service: service.to_ascii_lowercase(),
            node: node.to_ascii_lowercase(),
            id: id.to_owned(),
        }
    }
}

/// The instances of a watched service at one revision. Immutable; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Instances {
    revision: i64,
    known: RedBlackTreeMapSync<Place, Arc<Instance>>,
}

impl Instances {
    /// The revision at which they are.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.size()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// All, in the order of lists.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.known.values()
    }

    /// One.
    #[must_use]
    pub fn get(&self, place: &Place) -> Option<&Arc<Instance>> {
        self.known.get(place)
    }
}

/// What is told, put together.
#[derive(Debug, Default)]
pub(super) struct Picture {
    whole: Instances,
    /// What is being told, if it is not whole yet.
    partial: Option<RedBlackTreeMapSync<Place, Arc<Instance>>>,
}

impl Picture {
    /// Takes what was told; the set, if it is whole again and another one.
    pub(super) fn take(&mut self, batch: Batch) -> Option<Instances> {
        let mut known = match self.partial.take() {
            _ if batch.begins => RedBlackTreeMapSync::default(),
            Some(partial) => partial,
            None => self.whole.known.clone(),
        };
        for change in batch.changes {
            match change.change {
                Some(Change::Put(instance)) => {
                    known.insert_mut(Place::of(&instance), Arc::new(instance));
                }
                Some(Change::Removed(place)) => {
                    known.remove_mut(&Place::new(&place.service, &place.node, &place.id));
                }
                None => {}
            }
        }
        if batch.revision == 0 {
            self.partial = Some(known);
            return None;
        }
        self.whole = Instances {
            revision: batch.revision,
            known,
        };
        Some(self.whole.clone())
    }
}

/// What a live set is.
#[derive(Debug, Clone, Default)]
struct State {
    instances: Instances,
    /// Why it does not go on.
    ended: Option<ClientError>,
}

/// The instances of a watched service as they are now. Ends its watch when it is dropped.
#[derive(Debug)]
pub struct LiveSet {
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

impl Drop for LiveSet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LiveSet {
    /// Follows, and waits until everything that is there is known.
    pub(super) async fn open(client: Arc<Client>, filter: Filter) -> Result<Self, ClientError> {
        let (sender, mut state) = watch::channel(State::default());
        let task = tokio::spawn(async move { follow(&client, filter, &sender).await });
        let first = state.changed().await;
        let set = Self { state, task };
        let ended = set.state.borrow().ended.clone();
        match (first, ended) {
            (Ok(()), None) => Ok(set),
            (_, Some(error)) => Err(error),
            (Err(_), None) => Err(ClientError::Unknown {
                endpoint: "the watch".to_owned(),
                reason: "it ended".to_owned(),
            }),
        }
    }

    /// The instances as they are known now.
    #[must_use]
    pub fn current(&self) -> Instances {
        self.state.borrow().instances.clone()
    }

    /// Waits for the next change of the set, and gives it. What changes meanwhile comes together. Losing the future loses
    /// nothing.
    ///
    /// # Errors
    /// The cluster refuses the watch for good: the set stays as it is.
    pub async fn changed(&mut self) -> Result<Instances, ClientError> {
        if let Some(error) = &self.state.borrow().ended {
            return Err(error.clone());
        }
        // The sender says why it ends before it is gone.
        let _ = self.state.changed().await;
        let state = self.state.borrow_and_update();
        match &state.ended {
            Some(error) => Err(error.clone()),
            None => Ok(state.instances.clone()),
        }
    }
}

async fn follow(client: &Client, filter: Filter, sender: &watch::Sender<State>) {
    let mut picture = Picture::default();
    let mut changes = Changes::after(client, filter, 0);
    loop {
        match changes.next().await {
            Ok(Event::Told(batch)) => {
                if let Some(instances) = picture.take(batch) {
                    sender.send_modify(|state| state.instances = instances);
                }
            }
            Ok(Event::Lost { .. }) => {}
            // What was to come is compacted, or the store is another one.
            Err(ClientError::Refused(status)) if status.code() == Code::OutOfRange => changes.restart(),
            Err(ClientError::Refused(status)) if status.code() == Code::ResourceExhausted => {
                tokio::time::sleep(AGAIN).await;
            }
            // After the first set it waits for the cluster for as long as it takes.
            Err(ClientError::NotConnected { .. }) if picture.whole.revision > 0 => {
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => {
                sender.send_modify(|state| state.ended = Some(error));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
