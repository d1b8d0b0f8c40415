//! An instance that is registered for as long as a program wants it.
//!
//! ```text
//!  registered -> lost -> registered   its lease is gone, and its time to live was over
//!       \          \--> ended         it was deregistered or replaced by others, or the cluster refuses it
//!        \--> deregistered            the program has done with it
//! ```
//!
//! A lease that is gone does not say why. So a registration that was lost asks the cluster for a *renewal*, with its
//! epoch: the cluster makes a new registration if the time to live of that one was over, and refuses if it was
//! deregistered since, or another one has its place. The cluster decides that on its log, at one revision; the clock of
//! the program decides nothing. Never brings back what others have deregistered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::Code;

use super::endpoints::Client;
use super::error::ClientError;
use super::keeper::Order;
use crate::base::clock;
use crate::proto::registry::{DeregisterRequest, GetRequest, Instance, RegisterRequest, RegisterResponse};

/// Pause before a renewal that was not answered is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// How a registration is.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It is there, as far as is known.
    Registered {
        /// Its epoch: the revision at which it was made.
        epoch: i64,
    },
    /// Its time to live was over, as when the cluster could not be reached; it is being registered anew.
    Lost,
    /// Others deregistered or replaced it, or the cluster refuses it. It does not come back.
    Ended(ClientError),
    /// The program deregistered it.
    Deregistered,
}

/// A registered instance. It is deregistered when this is dropped, in the background; who wants to know the outcome calls
/// [`Registration::deregister`].
#[derive(Debug)]
pub struct Registration {
    instance: Arc<Instance>,
    standing: watch::Receiver<Standing>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Registration {
    /// Registers an instance anew, replacing another of the same node and id.
    pub(super) async fn open(
        client: Arc<Client>,
        keeper: mpsc::UnboundedSender<Order>,
        mut instance: Instance,
    ) -> Result<Self, ClientError> {
        if instance.id.is_empty() {
            instance.id = instance.service.clone();
        }
        let registered = client
            .read(|node| {
                let request = RegisterRequest {
                    instance: Some(instance.clone()),
                    ..RegisterRequest::default()
                };
                async move { node.registry().register(request).await }
            })
            .await?;
        let instance = Arc::new(instance);
        let first = Standing::Registered {
            epoch: registered.epoch,
        };
        let (sender, standing) = watch::channel(first);
        let (stop, stopped) = oneshot::channel();
        let holder = Holder {
            client,
            keeper,
            instance: Arc::clone(&instance),
            standing: sender,
            stopped,
            registered,
        };
        Ok(Self {
            instance,
            standing,
            stop,
            task: tokio::spawn(holder.hold()),
        })
    }

    /// What was registered.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// How it is now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until that changes. Losing the future loses nothing.
    pub async fn changed(&mut self) -> Standing {
        // Without a sender nothing changes any more.
        if self.standing.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.standing.borrow_and_update().clone()
    }

    /// Takes it away for good, and waits until that is done. What is gone already is no error.
    ///
    /// # Errors
    /// Nobody answered in time: it is gone when its time to live is over.
    pub async fn deregister(self) -> Result<(), ClientError> {
        // A task that has ended needs no word.
        let _ = self.stop.send(());
        self.task.await.unwrap_or(Ok(()))
    }
}

/// The renewals of one registration of which no answer came. Each asked for a lease of its own, and nobody else has that:
/// another program may have registered the same in the meantime, which is not to be taken for one's own.
#[derive(Debug, Default)]
struct Unanswered {
    leases: Vec<i64>,
}

impl Unanswered {
    /// One more.
    fn add(&mut self, lease: i64) {
        self.leases.push(lease);
    }

    /// Whether an instance that is there is what one of them made.
    fn made(&self, found: &Instance) -> bool {
        self.leases.contains(&found.lease)
    }
}

/// Why a registration is not renewed.
enum NotRenewed {
    Stopped,
    Refused(ClientError),
}

struct Holder {
    client: Arc<Client>,
    keeper: mpsc::UnboundedSender<Order>,
    instance: Arc<Instance>,
    standing: watch::Sender<Standing>,
    stopped: oneshot::Receiver<()>,
    registered: RegisterResponse,
}

impl Holder {
    /// Holds the registration until the program has done with it, or it ended.
    async fn hold(mut self) -> Result<(), ClientError> {
        loop {
            let lease = self.registered.lease;
            let (gone, is_gone) = oneshot::channel();
            let ttl = u64::try_from(self.registered.ttl_seconds).unwrap_or_default();
            let ttl = Duration::from_secs(ttl);
            let order = Order::Keep { lease, ttl, gone };
            if lease != 0 && self.keeper.send(order).is_err() {
                return Ok(());
            }
            let was_told = tokio::select! {
                // Without a lease nobody says that it is gone.
                Ok(()) = is_gone, if lease != 0 => false,
                _ = &mut self.stopped => true,
            };
            if was_told {
                let _ = self.keeper.send(Order::Leave { lease });
                return self.end(self.registered.epoch).await;
            }
            self.standing.send_replace(Standing::Lost);
            match self.renew().await {
                Ok(registered) => {
                    self.registered = registered;
                    let epoch = registered.epoch;
                    self.standing.send_replace(Standing::Registered { epoch });
                }
                Err(NotRenewed::Stopped) => return self.end(self.registered.epoch).await,
                Err(NotRenewed::Refused(error)) => {
                    self.standing.send_replace(Standing::Ended(error));
                    return Ok(());
                }
            }
        }
    }

    /// Registers anew, however long that takes.
    async fn renew(&mut self) -> Result<RegisterResponse, NotRenewed> {
        let mut unanswered = Unanswered::default();
        loop {
            let request = RegisterRequest {
                instance: Some(Instance::clone(&self.instance)),
                epoch: self.registered.epoch,
                renew: true,
                lease: clock::random_lease_id().0,
            };
            let lease = request.lease;
            let renewed = self.client.write(|node| {
                let request = request.clone();
                async move { node.registry().register(request).await }
            });
            match renewed.await {
                Ok(registered) => return Ok(registered),
                Err(ClientError::NotConnected { .. }) => {}
                Err(ClientError::Unknown { .. }) => {
                    unanswered.add(lease);
                    self.client.move_on(&self.client.current()).await;
                }
                Err(ClientError::Refused(status))
                    if matches!(status.code(), Code::ResourceExhausted | Code::Unknown) => {}
                Err(error) => match self.made(&unanswered).await {
                    // It is the registration of which no answer came.
                    Some(epoch) => {
                        self.registered.epoch = epoch;
                        unanswered = Unanswered::default();
                    }
                    None => return Err(NotRenewed::Refused(error)),
                },
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = &mut self.stopped => {
                    if let Some(epoch) = self.made(&unanswered).await {
                        self.registered.epoch = epoch;
                    }
                    return Err(NotRenewed::Stopped);
                }
            }
        }
    }

    /// The epoch of the registration that one of these made, if it is there.
    async fn made(&self, unanswered: &Unanswered) -> Option<i64> {
        if unanswered.leases.is_empty() {
            return None;
        }
        let request = GetRequest {
            node: self.instance.node.clone(),
            id: self.instance.id.clone(),
            stale: false,
        };
        let found = self.client.read(|node| {
            let request = request.clone();
            async move { node.registry().get(request).await }
        });
        let found = found.await.ok()?.instance?;
        unanswered.made(&found).then_some(found.epoch)
    }

    /// Takes the registration with an epoch away.
    async fn end(&self, epoch: i64) -> Result<(), ClientError> {
        let request = DeregisterRequest {
            node: self.instance.node.clone(),
            id: self.instance.id.clone(),
            epoch,
        };
        // Ending it twice is ending it: repeating after a loss is safe.
        let ending = self.client.read(|node| {
            let request = request.clone();
            async move { node.registry().deregister(request).await }
        });
        let ended = match timeout(self.client.command_timeout(), ending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ClientError::Refused(status)))
                if matches!(status.code(), Code::NotFound | Code::FailedPrecondition) =>
            {
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ClientError::Unknown {
                endpoint: self.client.current().endpoint,
                reason: "the time for an answer is over".to_owned(),
            }),
        };
        if ended.is_ok() {
            self.standing.send_replace(Standing::Deregistered);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_the_same_on_another_lease_is_another_registration() {
        let found = |lease| Instance {
            service: "web".into(),
            lease,
            ..Instance::default()
        };
        let mut unanswered = Unanswered::default();
        assert!(!unanswered.made(&found(7)) && !unanswered.made(&found(0)));
        for lease in [7, 8] {
            unanswered.add(lease);
        }
        assert!(unanswered.made(&found(7)) && unanswered.made(&found(8)));
        assert!(!unanswered.made(&found(9)) && !unanswered.made(&found(0)));
    }
}
