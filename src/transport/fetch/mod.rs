//! What logins have fetched over HTTP: keys of who signs tokens, and reviews of tokens.
//!
//! Logins need no token, so whoever can connect can have something fetched: only so many fetches are under way at a time,
//! those who need the same keys share one fetch, and its answer is at hand for the next ones for a while. Never keeps or shares
//! what was asked with a body or with credentials, and never keeps a failure.

#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::time::Instant;

use crate::base::limits::{MAXIMUM_FETCH_AGE_SECONDS, MAXIMUM_FETCHES_AT_ONCE, MAXIMUM_KEPT_FETCHES};
use crate::service::secrets::Fetcher;
use crate::service::secrets::engine::Errand;

/// How long fetching may take.
const PATIENCE_SECONDS: u64 = 10;

/// What was fetched, or why it was not.
type Fetched = Result<Arc<[u8]>, String>;

/// Where a fetch tells what it brought; none while it is under way.
type Answer = watch::Receiver<Option<Fetched>>;

/// Fetches over HTTP/1.1.
pub struct HttpFetcher {
    places: Arc<Semaphore>,
    /// Trusts whom the system trusts, as it was when it was first asked.
    system: Arc<OnceCell<Arc<ClientConfig>>>,
    /// What was asked without a body or credentials.
    asked: Mutex<BTreeMap<Arc<Errand>, Asked>>,
}

struct Asked {
    at: Instant,
    answer: Answer,
}

impl Asked {
    /// Whether the answer is there and not too old, or can still come.
    fn is_good(&self, now: Instant) -> bool {
        let is_over = self.answer.has_changed().is_err();
        match *self.answer.borrow() {
            None => !is_over,
            Some(Ok(_)) => {
                now.saturating_duration_since(self.at) < Duration::from_secs(MAXIMUM_FETCH_AGE_SECONDS)
            }
            Some(Err(_)) => false,
        }
    }
}

impl Default for HttpFetcher {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAXIMUM_FETCHES_AT_ONCE)),
            system: Arc::default(),
            asked: Mutex::default(),
        }
    }
}

impl HttpFetcher {
    /// The answer that is at hand or under way, or that of a new fetch.
    fn ask(&self, errand: &Errand) -> Result<Answer, String> {
        if errand.body.is_some() || !errand.bearer.is_empty() {
            return self.begin(Arc::new(errand.clone()));
        }
        let now = Instant::now();
        let mut all = self.asked.lock();
        all.retain(|_, asked| asked.is_good(now));
        if let Some(asked) = all.get(errand) {
            return Ok(asked.answer.clone());
        }
        let errand = Arc::new(errand.clone());
        let answer = self.begin(Arc::clone(&errand))?;
        if all.len() >= MAXIMUM_KEPT_FETCHES {
            let oldest = all
                .iter()
                .filter(|(_, asked)| asked.answer.borrow().is_some())
                .min_by_key(|(_, asked)| asked.at)
                .map(|(errand, _)| Arc::clone(errand));
            if let Some(oldest) = oldest {
                all.remove(&oldest);
            }
        }
        let asked = Asked {
            at: now,
            answer: answer.clone(),
        };
        all.insert(errand, asked);
        Ok(answer)
    }

    /// Begins a fetch, which goes on if nobody waits for it any more: it has its place until it is over.
    fn begin(&self, errand: Arc<Errand>) -> Result<Answer, String> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            format!("{MAXIMUM_FETCHES_AT_ONCE} fetches are under way on this node; try again later")
        })?;
        let (sender, answer) = watch::channel(None);
        let system = Arc::clone(&self.system);
        tokio::spawn(async move {
            let place = Arc::new(place);
            let fetching = wire::fetch(&errand, &system, &place);
            let fetched = match tokio::time::timeout(Duration::from_secs(PATIENCE_SECONDS), fetching).await {
                Ok(fetched) => fetched,
                Err(_) => Err(format!(
                    "{} did not answer within {PATIENCE_SECONDS} s",
                    errand.url
                )),
            };
            sender.send_replace(Some(fetched));
        });
        Ok(answer)
    }
}

impl Fetcher for HttpFetcher {
    fn fetch<'a>(
        &'a self,
        errand: &'a Errand,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>> {
        Box::pin(async move {
            let mut answer = self.ask(errand)?;
            let answered = answer.wait_for(Option::is_some).await;
            match answered.map(|fetched| fetched.clone()) {
                Ok(Some(fetched)) => fetched.map(|bytes| bytes.to_vec()),
                // It ends without an answer where the node stops.
                Ok(None) | Err(_) => Err(format!("fetching {} was given up", errand.url)),
            }
        })
    }
}
