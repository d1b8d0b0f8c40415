//! Following secrets: whoever may read them is told when they may have changed, and reads them then.
//!
//! The store is followed through its watches, so that nothing is done while nothing changes. When something has, what is
//! followed is read as any request reads it, in the name of the token, at most once in a second: what a token may not
//! read, or not any more, it is told nothing of. What is open to everybody is followed too, but only for a token that is one.
//!
//! Never keeps what it read: only a hash of it, to compare. Never drops a change; two in a second are told as one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::engine::{Fault, Peer};
use super::parameters::Body;
use super::{Request, Secrets, SecretsError, Verb};
use crate::base::limits::{MAXIMUM_WATCHED_SECRETS, SECRET_WATCH_PAUSE_MILLISECONDS};
use crate::base::secret::Secret;
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::service::watch::{WatchBody, WatchCreate, WatchHub, WatchStreamReceiver};
use crate::state::command::Keys;

/// What is compared of an answer; none: nothing is there.
type Print = Option<[u8; 32]>;

/// The secrets that somebody follows.
pub struct SecretChanges {
    secrets: Secrets,
    followed: Vec<(String, Print)>,
    token: Option<Secret<String>>,
    peer: Peer,
    hub: WatchHub,
    news: WatchStreamReceiver,
    /// Not before this they are read again.
    next_look: Instant,
}

impl Secrets {
    /// Follows what is at `paths`, each in the form of [`super::path::normalise`]; equal ones are one. From its return on
    /// nothing is missed.
    ///
    /// # Errors
    /// None or too many are named, the token is none or may not read one, or reading it gives something new each time.
    pub async fn changes(
        &self,
        hub: &WatchHub,
        paths: Vec<String>,
        token: Option<Secret<String>>,
        peer: Peer,
    ) -> Result<SecretChanges, SecretsError> {
        if paths.is_empty() || paths.len() > MAXIMUM_WATCHED_SECRETS {
            let text = format!(
                "{} paths are to be watched; name 1 to {MAXIMUM_WATCHED_SECRETS}",
                paths.len()
            );
            return Err(Fault::Invalid(text).into());
        }
        let paths: BTreeSet<String> = paths.into_iter().collect();
        let mut changes = SecretChanges {
            secrets: self.clone(),
            followed: paths.into_iter().map(|path| (path, None)).collect(),
            token,
            peer,
            hub: hub.clone(),
            news: follow(hub).await,
            next_look: Instant::now(),
        };
        changes.look().await?;
        Ok(changes)
    }
}

/// Follows the whole store of secrets from now on. Which of its records a path is made of, only its engine knows.
async fn follow(hub: &WatchHub) -> WatchStreamReceiver {
    let (mut handle, receiver) = hub.open_own_stream();
    let everything = Keys {
        namespace: Namespace::SECRETS,
        key: Bytes::from_static(&[0]),
        end: Bytes::from_static(&[0]),
    };
    let watch = WatchCreate {
        keys: everything,
        start_revision: Revision(0),
        ..WatchCreate::default()
    };
    handle.create(watch).await;
    receiver
}

impl SecretChanges {
    /// Resolves when something that is followed may have changed: with its paths.
    ///
    /// # Errors
    /// The store is sealed, the token is none any more or may not read one, or the node stops. Nothing is followed any more
    /// then.
    pub async fn next(&mut self) -> Result<Vec<String>, SecretsError> {
        loop {
            self.wait_for_news().await?;
            self.drain_until_due().await?;
            let changed = self.look().await?;
            if !changed.is_empty() {
                return Ok(changed);
            }
        }
    }

    async fn wait_for_news(&mut self) -> Result<(), SecretsError> {
        while !self.take_news().await? {}
        Ok(())
    }

    /// Takes news as they come until it is time to look again, so that they do not pile up.
    async fn drain_until_due(&mut self) -> Result<(), SecretsError> {
        let due = self.next_look;
        loop {
            tokio::select! {
                biased;
                () = sleep_until(due) => return Ok(()),
                taken = self.take_news() => { taken?; }
            }
        }
    }

    /// Whether what comes next is a change. Losing the future loses at most a change that comes again by a look.
    async fn take_news(&mut self) -> Result<bool, SecretsError> {
        let Some(response) = self.news.next().await else {
            return Err(ServiceError::Stopped.into());
        };
        match response.body {
            WatchBody::Events { .. } => Ok(true),
            WatchBody::Created | WatchBody::Progress => Ok(false),
            WatchBody::Compacted { .. } | WatchBody::Canceled => {
                // What was missed is seen by looking.
                self.news = follow(&self.hub).await;
                Ok(true)
            }
            WatchBody::Refused(refusal) => Err(ServiceError::Internal(refusal.to_string()).into()),
            WatchBody::Revoked(error) => Err(error.into()),
        }
    }

    /// Reads everything that is followed; which of it is not as it was.
    async fn look(&mut self) -> Result<Vec<String>, SecretsError> {
        self.next_look = Instant::now() + Duration::from_millis(SECRET_WATCH_PAUSE_MILLISECONDS);
        let mut changed = Vec::new();
        for index in 0..self.followed.len() {
            let Some((path, before)) = self.followed.get(index) else {
                break;
            };
            let now = self.read(path).await?;
            if index == 0 {
                // Only now, so that what needs a token is refused by the read, which quotas count and audit records.
                self.require_token(path).await?;
            }
            if now != *before {
                changed.push(path.clone());
                if let Some((_, print)) = self.followed.get_mut(index) {
                    *print = now;
                }
            }
        }
        Ok(changed)
    }

    /// Looks whether the token is one, as a read of `path` would find it; that is no use of it.
    async fn require_token(&self, path: &str) -> Result<(), SecretsError> {
        let unsealed = self.secrets.custody.require()?;
        let view = self.secrets.core.view(false).await?;
        unsealed.follow(&view)?;
        let request = Arc::new(self.request(path));
        let work = self.secrets.work(&request, &unsealed, view, &Arc::default())?;
        match work.look()?.identity {
            Some(_) => Ok(()),
            None => Err(SecretsError::Denied),
        }
    }

    fn request(&self, path: &str) -> Request {
        Request {
            id: Uuid::new_v4().to_string(),
            verb: Verb::Read,
            path: path.to_owned(),
            body: Body::default(),
            token: self.token.clone(),
            wrap: None,
            peer: self.peer.clone(),
        }
    }

    async fn read(&self, path: &str) -> Result<Print, SecretsError> {
        let response = match self.secrets.handle(self.request(path)).await {
            Ok(response) => response,
            Err(SecretsError::Fault(Fault::Missing)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if !response.lease_id.is_empty() || response.auth.is_some() {
            let text = format!("{path} gives something new whenever it is read; renew its lease instead");
            return Err(Fault::Invalid(text).into());
        }
        let mut hash = Sha256::new();
        hash.update([u8::from(response.is_gone)]);
        for (name, text) in response.data.iter().flat_map(super::engine::Data::fields) {
            for part in [name, text.get()] {
                hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                hash.update(part);
            }
        }
        Ok(Some(hash.finalize().into()))
    }
}
