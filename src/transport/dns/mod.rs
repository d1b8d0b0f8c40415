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
//! **Rights.** DNS knows no users. With `--consul-acl` every question is answered with the rights of one token, that of
//! `--dns-token-file` or else the anonymous one, and what it may not see is as if it were not there; a token that there is
//! not gets REFUSED. Without, while users have to say who they are (authentication is enabled), every question is REFUSED.
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
mod tally;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_proto::op::ResponseCode;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::base::limits::MAXIMUM_DNS_WAITING;
use crate::base::metrics::DnsMetrics;
use crate::service::consul::{Consul, ConsulError};
use crate::service::resolve::{Resolver, ReverseIndex, Sight};
use answer::{Answerer, Outcome};
pub use message::NEWEST_OPTION;
use message::{Draft, Question};
use reply::{Known, Reply, Waiting};
pub use settings::{DnsSettings, DomainName, ServiceTtls};
use tally::{Arrival, Tally};

/// Answers questions. A handle: clones share one.
#[derive(Clone)]
pub struct DnsDoor {
    shared: Arc<Shared>,
}

struct Shared {
    answerer: Answerer,
    consul: Consul,
    tally: Tally,
    /// Whether the log says that nothing may be told.
    is_refusing: AtomicBool,
    reverse: Mutex<Arc<ReverseIndex>>,
    waiting: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl DnsDoor {
    /// A door to the services and prepared queries that `consul` shows. It serves until `stopping`.
    #[must_use]
    pub fn new(
        settings: DnsSettings,
        consul: Consul,
        metrics: DnsMetrics,
        stopping: CancellationToken,
    ) -> Self {
        let resolver = Resolver::new(settings.only_passing).with_queries(Arc::new(consul.clone()));
        Self {
            shared: Arc::new(Shared {
                answerer: Answerer::new(Arc::new(settings), resolver),
                consul,
                tally: Tally(metrics),
                is_refusing: AtomicBool::new(false),
                reverse: Mutex::default(),
                waiting: Arc::new(Semaphore::new(MAXIMUM_DNS_WAITING)),
                stopping,
            }),
        }
    }
}

impl Shared {
    /// Answers a packet, as far as that can be done without waiting.
    fn at_once(&self, packet: &[u8], arrival: Arrival, out: &mut Vec<u8>) -> Reply {
        let known = || self.known();
        let reply = self.answerer.reply(packet, arrival.carrier, known, out);
        match reply {
            Reply::Written(code) => self.tally.answered(arrival, code),
            Reply::Nothing => self.tally.dropped(arrival),
            Reply::Later(..) => {}
        }
        reply
    }

    fn token(&self) -> Option<&str> {
        let token = self.answerer.settings.token.as_ref();
        token.map(|token| token.expose().as_str())
    }

    /// What this member knows now, and may tell.
    fn known(&self) -> Known {
        match self.consul.authorize_now(self.token()) {
            Ok(authorizer) => {
                if self.is_refusing.load(Ordering::Relaxed) {
                    self.is_refusing.store(false, Ordering::Relaxed);
                }
                match self.consul.registry().local() {
                    Some(catalog) => Known::Seen(Sight { catalog, authorizer }),
                    None => Known::Nothing,
                }
            }
            Err(ConsulError::Service(_)) => Known::Nothing,
            Err(error) => {
                if !self.is_refusing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "questions of DNS are refused: nobody may see anything that way");
                }
                Known::Hidden
            }
        }
    }

    /// All that was acknowledged before, as far as it may be told.
    async fn newest(&self, question: &Question) -> Result<Sight, ConsulError> {
        let catalog = self.consul.catalog(false).await?;
        if self.answerer.asks_for_query(question) {
            self.consul.queries().reach(catalog.revision()).await?;
        }
        let authorizer = self.consul.authorize(self.token()).await?;
        Ok(Sight { catalog, authorizer })
    }

    fn say(&self, arrival: Arrival, question: &Question, draft: &Draft, out: &mut Vec<u8>) {
        message::write(question, draft, self.answerer.manner(), out);
        self.tally.answered(arrival, draft.code);
    }

    /// Answers what could not be answered at once; nothing is written if it cannot be said at all.
    async fn later(&self, arrival: Arrival, question: &Question, waiting: Waiting, out: &mut Vec<u8>) {
        let (sight, outcome) = match waiting {
            Waiting::Known(sight, outcome) => (sight, outcome),
            Waiting::Newest => match self.newest(question).await {
                Ok(sight) => {
                    let outcome = self.answerer.answer(&sight, question);
                    (sight, outcome)
                }
                Err(error) => {
                    tracing::debug!(%error, "the newest services cannot be told");
                    let code = match error {
                        ConsulError::Denied(_) => ResponseCode::Refused,
                        _ => ResponseCode::ServFail,
                    };
                    self.say(arrival, question, &Draft::only(code), out);
                    return;
                }
            },
        };
        let outcome = match outcome {
            Outcome::Owners(address) => self.owners(sight, question, address).await,
            outcome => outcome,
        };
        let draft = self.complete(question, outcome).await;
        self.say(arrival, question, &draft, out);
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
    async fn owners(&self, sight: Sight, question: &Question, address: IpAddr) -> Outcome {
        // Held while one is made: the others that wait for it find it made.
        let mut known = self.reverse.lock().await;
        if known.changed < sight.catalog.changed() {
            let catalog = Arc::clone(&sight.catalog);
            let making = tokio::task::spawn_blocking(move || Arc::new(ReverseIndex::of(&catalog)));
            // It fails only when the runtime goes down.
            let Ok(index) = making.await else {
                return Outcome::Answer(Draft::only(ResponseCode::ServFail));
            };
            *known = index;
        }
        let index = Arc::clone(&known);
        drop(known);
        self.answerer.owners(&index, &sight, question, address)
    }
}
