//! Heartbeats on their way to the leader: those of all streams of a member go together.
//!
//! While one message is under way, all that arrives waits for the next one, so that the number of messages depends on the
//! time of a round and not on the number of instances or streams. Never decides which leases are renewed.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::base::LeaseId;
use crate::service::ServiceError;
use crate::service::lease::Leases;

/// Leases in one message to the leader: 9 bytes for each, far below the most that a message may have.
const MAXIMUM_LEASES: usize = 32_768;
/// Requests that wait for the next message; whoever comes after that waits for a place.
const MAXIMUM_WAITING: usize = 8_192;

/// What one stream wants renewed, and where the answer goes: the time to live of each, 0 for those that are gone.
struct Wanted {
    leases: Vec<LeaseId>,
    answer: oneshot::Sender<Result<Vec<i64>, ServiceError>>,
}

/// Sends renewals together. A handle: clones share one queue.
#[derive(Clone)]
pub(super) struct Renewals {
    leases: Leases,
    sender: mpsc::Sender<Wanted>,
    receiver: Arc<Mutex<mpsc::Receiver<Wanted>>>,
}

impl Renewals {
    /// An empty queue.
    pub fn new(leases: Leases) -> Self {
        let (sender, receiver) = mpsc::channel(MAXIMUM_WAITING);
        Self {
            leases,
            sender,
            receiver: Arc::new(Mutex::new(receiver)),
        }
    }

    /// Renews leases: the time to live of each, 0 for those that are gone.
    ///
    /// # Errors
    /// No leader that can prove it in time, or the node is stopping.
    pub async fn renew(&self, leases: Vec<LeaseId>) -> Result<Vec<i64>, ServiceError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let wanted = Wanted { leases, answer };
        self.sender
            .send(wanted)
            .await
            .map_err(|_| ServiceError::Stopped)?;
        answered.await.unwrap_or(Err(ServiceError::Stopped))
    }

    /// Sends what waits, one message after the other, until the node stops.
    pub async fn run(&self) {
        let mut receiver = self.receiver.lock().await;
        let mut next = None;
        loop {
            let Some(first) = (match next.take() {
                Some(first) => Some(first),
                None => receiver.recv().await,
            }) else {
                return;
            };
            let mut number = first.leases.len();
            let mut together = vec![first];
            while let Ok(wanted) = receiver.try_recv() {
                number = number.saturating_add(wanted.leases.len());
                if number > MAXIMUM_LEASES {
                    next = Some(wanted);
                    break;
                }
                together.push(wanted);
            }
            self.send(together).await;
        }
    }

    async fn send(&self, together: Vec<Wanted>) {
        let ids: Vec<LeaseId> = together
            .iter()
            .flat_map(|wanted| wanted.leases.iter().copied())
            .collect();
        let renewed = self.leases.renew(&ids).await.map(|answered| answered.answer);
        let mut from = 0_usize;
        for Wanted { leases, answer } in together {
            let until = from.saturating_add(leases.len());
            let own = match &renewed {
                Ok(all) => Ok(all.get(from..until).unwrap_or_default().to_vec()),
                Err(error) => Err(error.clone()),
            };
            from = until;
            // Whoever has gone away needs no answer.
            let _ = answer.send(own);
        }
    }
}
