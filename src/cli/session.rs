//! A lease that lives as long as this process wants it: what locks and leadership are held with.
//!
//! Counts its time itself: a session is lost when the last renewal that was answered is one time to live old, whether or
//! not a server could be asked. Never calls a lost session held.

use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::{Code, Response, Status};

use super::exit::{CliError, Exit};
use super::lease::{KEEPALIVES_PER_TTL, renew};
use crate::base::LeaseId;
use crate::client::login::wants_new_token;
use crate::client::node::Node;
use crate::client::{Client, ClientError, is_lost};
use crate::proto::etcdserverpb::{LeaseGrantRequest, LeaseRevokeRequest};

/// Pause before a renewal that failed is tried again.
const AGAIN_MILLISECONDS: u64 = 100;

/// What a server says when another, or the same a little later, may say otherwise. Calls of locks and elections carry no
/// code that tells. The last two are said when the node that was asked before has taken the place away.
const PASSING: [&str; 5] = [
    "etcdserver: request timed out",
    "etcdserver: leader changed",
    "etcdserver: server stopped",
    "mutex: session is expired",
    "election: not leader",
];

/// A lease that is kept alive while [`Session::lost`] is polled.
pub(super) struct Session<'client> {
    client: &'client Client,
    /// The lease.
    pub(super) lease: i64,
    lost: BoxFuture<'client, ()>,
}

impl<'client> Session<'client> {
    /// Grants a lease of `ttl` seconds.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn open(client: &'client Client, ttl: i64) -> Result<Self, CliError> {
        let asked = Instant::now();
        let request = LeaseGrantRequest { ttl, id: 0 };
        let granted = client
            .write(|node| async move { node.lease().lease_grant(request).await })
            .await?;
        let ttl = Duration::from_secs(u64::try_from(granted.ttl).unwrap_or_default());
        Ok(Self {
            client,
            lease: granted.id,
            lost: keep(client, granted.id, asked, ttl).boxed(),
        })
    }

    /// Makes a call that may wait for as long as it takes, on one endpoint after another. It may be made more than once:
    /// the same lease has the same place.
    ///
    /// # Errors
    /// A refusal, or the session is lost.
    pub(super) async fn wait_for<T, F>(&mut self, call: impl Fn(Node) -> F) -> Result<T, CliError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let client = self.client;
        let calling = async {
            let mut wants_token = true;
            loop {
                let node = client.current();
                let status = match call(node.clone()).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => status,
                };
                if is_lost(&status) {
                    client.move_on(&node).await;
                } else if wants_token && wants_new_token(&status) {
                    // Users or roles have changed while it waited.
                    wants_token = false;
                    client.log_in(&node, true).await.map_err(ClientError::Refused)?;
                } else if !is_passing(&status) {
                    return Err(ClientError::Refused(status).into());
                }
            }
        };
        tokio::select! {
            outcome = calling => outcome,
            error = lost(&mut self.lost, self.lease) => Err(error),
        }
    }

    /// Resolves when the session is lost, with the error that says so. Must be polled for the session to live.
    pub(super) async fn lost(&mut self) -> CliError {
        lost(&mut self.lost, self.lease).await
    }

    /// Ends the lease, and with it what is attached to it.
    ///
    /// # Errors
    /// No server answered: it ends by itself.
    pub(super) async fn close(self) -> Result<(), CliError> {
        let request = LeaseRevokeRequest { id: self.lease };
        // Ending a lease twice is ending it: repeating after a loss is safe.
        let ended = self
            .client
            .read(|node| async move { node.lease().lease_revoke(request).await })
            .await;
        match ended {
            Ok(_) => Ok(()),
            Err(ClientError::Refused(status)) if status.code() == Code::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn lost(session: &mut BoxFuture<'_, ()>, lease: i64) -> CliError {
    session.await;
    CliError::new(
        Exit::Server,
        format!(
            "the session is lost: lease {} was not renewed in time",
            LeaseId(lease)
        ),
    )
}

/// Renews the lease, which was renewed at `renewed` for `ttl`, until it is gone or may be.
async fn keep(client: &Client, lease: i64, renewed: Instant, ttl: Duration) {
    let (mut renewed, mut ttl) = (renewed, ttl);
    let per_ttl = u32::try_from(KEEPALIVES_PER_TTL).unwrap_or(1);
    loop {
        let end = renewed + ttl;
        let next = (renewed + ttl / per_ttl).min(end);
        let renewing = async {
            sleep_until(next).await;
            loop {
                let asked = Instant::now();
                let node = client.current();
                match renew(&node, lease).await {
                    Ok(answer) => return (asked, answer.ttl),
                    Err(_) => {
                        client.move_on(&node).await;
                        sleep(Duration::from_millis(AGAIN_MILLISECONDS)).await;
                    }
                }
            }
        };
        let answer = tokio::select! {
            answer = renewing => answer,
            () = sleep_until(end) => return,
        };
        match (answer.0, u64::try_from(answer.1)) {
            (asked, Ok(seconds @ 1..)) => (renewed, ttl) = (asked, Duration::from_secs(seconds)),
            _ => return,
        }
    }
}

fn is_passing(status: &Status) -> bool {
    status.code() == Code::Unknown && PASSING.iter().any(|text| status.message().starts_with(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_server_may_say_otherwise_is_asked_again_and_a_refusal_is_not() {
        assert!(is_passing(&Status::unknown("mutex: session is expired")));
        assert!(is_passing(&Status::unknown(
            "etcdserver: request timed out, possibly due to previous leader failure"
        )));
        assert!(!is_passing(&Status::unknown("etcdserver: permission denied")));
        assert!(!is_passing(&Status::invalid_argument("election: not leader")));
    }
}
