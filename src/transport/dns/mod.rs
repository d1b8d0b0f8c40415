//! DNS: questions about services and nodes, answered from the catalog. Translation only: what a name stands for is decided
//! in [`crate::service::resolve`].
//!
//! Questions of a datagram socket are answered one after the other by the task that reads them, without another task and
//! without waiting: the catalog is in memory. What has to wait is done aside, and so much of it at a time that it can
//! neither fill the memory nor hold up the rest: the newest state, the owners of an address, what other servers say.
//!
//! **How new.** An answer is from the catalog of the member that is asked, which follows the log as fast as anything else
//! does; where a member is cut off from the others it goes on answering with what it knew. Whoever must not miss what was
//! acknowledged before the question asks for it with an option of EDNS ([`NEWEST_OPTION`]), and gets an answer behind a
//! read barrier, or SERVFAIL without a quorum; `--dns-consistent` does so for every question. It is an option, and not a
//! label of the name, since options are for the next server alone: a cache in between drops it, and never takes an old
//! answer for a new one.
//!
//! **Rights.** DNS knows no users. While users have to say who they are (authentication is enabled), every question about
//! the own domain is REFUSED.
//!
//! **Abuse.** A sender's address is easily forged, and an answer may be longer than its question: without EDNS it has at
//! most 512 bytes and three records, with it 8,192 bytes. There is no limit of answers per client; a server that strangers
//! can reach belongs behind a firewall. Other servers are asked only where an operator said so, at most
//! [`MAXIMUM_DNS_WAITING`] questions at a time. A packet with the bit of an answer is dropped, so that two servers never
//! talk without end.
//!
//! Own loops around `hickory-proto`: the server of hickory starts a task for every question, and brings catalogs and zones
//! that have no place here.
//!
//! Never writes anything; never ends for anything that comes from the network.

mod answer;
mod connections;
mod datagrams;
#[cfg(fuzzing)]
pub mod fuzzing;
mod message;
mod names;
mod recursor;
mod reply;
mod settings;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::ResponseCode;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::base::limits::MAXIMUM_DNS_WAITING;
use crate::service::registry::{Catalog, Registry};
use crate::service::resolve::{Resolver, ReverseIndex};
use answer::{Answerer, Outcome};
pub use message::NEWEST_OPTION;
use message::{Carrier, Draft, Question};
use reply::{Known, Reply, Waiting};
pub use settings::{DnsSettings, DomainName, ServiceTtls};

/// Answers questions. A handle: clones share one.
#[derive(Clone)]
pub struct DnsDoor {
    shared: Arc<Shared>,
}

struct Shared {
    answerer: Answerer,
    registry: Registry,
    reverse: Mutex<Arc<ReverseIndex>>,
    waiting: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl DnsDoor {
    /// A door to `registry`. It serves until `stopping`.
    #[must_use]
    pub fn new(settings: DnsSettings, registry: Registry, stopping: CancellationToken) -> Self {
        let resolver = Resolver::new(settings.only_passing);
        Self {
            shared: Arc::new(Shared {
                answerer: Answerer::new(Arc::new(settings), resolver),
                registry,
                reverse: Mutex::default(),
                waiting: Arc::new(Semaphore::new(MAXIMUM_DNS_WAITING)),
                stopping,
            }),
        }
    }
}

impl Shared {
    /// Answers a packet, as far as that can be done without waiting.
    fn at_once(&self, packet: &[u8], carrier: Carrier, out: &mut Vec<u8>) -> Reply {
        let known = || match self.registry.local() {
            _ if self.answerer.settings.is_guarded || !self.registry.is_open() => Known::Hidden,
            Some(catalog) => Known::Catalog(catalog),
            None => Known::Nothing,
        };
        self.answerer.reply(packet, carrier, known, out)
    }

    fn say(&self, question: &Question, draft: &Draft, out: &mut Vec<u8>) {
        message::write(question, draft, self.answerer.manner(), out);
    }

    /// Answers what could not be answered at once; nothing is written if it cannot be said at all.
    async fn later(&self, question: &Question, waiting: Waiting, out: &mut Vec<u8>) {
        let (catalog, outcome) = match waiting {
            Waiting::Known(catalog, outcome) => (catalog, outcome),
            Waiting::Newest => match self.registry.catalog(false).await {
                Ok(catalog) => {
                    let outcome = self.answerer.answer(&catalog, question);
                    (catalog, outcome)
                }
                Err(error) => {
                    tracing::debug!(%error, "the newest services cannot be told");
                    self.say(question, &Draft::only(ResponseCode::ServFail), out);
                    return;
                }
            },
        };
        let outcome = match outcome {
            Outcome::Owners(address) => self.owners(catalog, question, address).await,
            outcome => outcome,
        };
        let draft = self.complete(question, outcome).await;
        self.say(question, &draft, out);
    }

    /// Asks others, where they are needed.
    async fn complete(&self, question: &Question, outcome: Outcome) -> Draft {
        let settings = &self.answerer.settings;
        let ask = |name| {
            let (recursors, patience) = (&settings.recursors, settings.recursor_timeout);
            recursor::ask(recursors, patience, question, name, question.kind)
        };
        match outcome {
            Outcome::Answer(draft) => draft,
            Outcome::Elsewhere => match ask(&question.name).await {
                Some(answer) => Draft::of_others(answer),
                None => Draft::only(ResponseCode::ServFail),
            },
            // Where nobody knows the other name, it is still the answer.
            Outcome::Alias(mut draft, name) => {
                let answers = ask(&name).await.map(Draft::of_others);
                draft
                    .answers
                    .extend(answers.into_iter().flat_map(|others| others.answers));
                draft
            }
            Outcome::Owners(_) => Draft::only(ResponseCode::ServFail),
        }
    }

    /// Looks up who is found at an address, in an index of the catalog that is made when somebody asks and the last one is
    /// outdated.
    async fn owners(&self, catalog: Arc<Catalog>, question: &Question, address: IpAddr) -> Outcome {
        // Held while one is made: the others that wait for it find it made.
        let mut known = self.reverse.lock().await;
        if known.changed < catalog.changed() {
            let making = tokio::task::spawn_blocking(move || Arc::new(ReverseIndex::of(&catalog)));
            // It fails only when the runtime goes down.
            let Ok(index) = making.await else {
                return Outcome::Answer(Draft::only(ResponseCode::ServFail));
            };
            *known = index;
        }
        let index = Arc::clone(&known);
        drop(known);
        self.answerer.owners(&index, question, address)
    }
}
