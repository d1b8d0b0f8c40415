//! One pipeline for every request: validate, admit, authorize, propose or read, reply.
//!
//! [`Services`] is what a node's front doors call. Its background work ([`Services::run`]) learns what is applied, counts
//! the time of leases while the node leads, raises and clears the alarm of a full database, compacts, and compares the
//! members' data.
//!
//! How a node is put together: a [`LeaderDesk`] is made first and given to replication as what answers other members; then
//! replication is started; then [`Services::new`] takes both, and [`Services::run`] the news of every applied batch. Front
//! doors are built on the services and served.
//!
//! Never knows a wire format; never decides by anything but replication, the state and the settings.

mod admit;
pub mod auth;
pub mod checks;
pub mod cluster;
pub mod compaction;
pub mod consul;
pub mod contest;
mod core;
mod corruption;
mod document;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod header;
pub mod health;
pub mod kv;
pub mod leader;
pub mod lease;
pub mod maintenance;
mod quota;
pub mod range_stream;
pub mod registry;
pub mod resolve;
pub mod secrets;
pub mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
mod turns;
mod validate;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::base::metrics::Metrics;
use crate::base::{ClusterId, MemberId, clock};
use crate::replication::{News, ReadError, Replication, Status};
use admit::Admission;
use auth::{Gate, Tokens, Users};
use checks::announcement::Announcement;
use checks::{Checks, Prober};
use cluster::Cluster;
use compaction::AutoCompaction;
use consul::Consul;
use contest::{Contests, Elections, Locks};
use core::Core;
pub use corruption::DataError;
pub use error::ServiceError;
use header::Headers;
use health::Health;
use kv::Kv;
use leader::LeaderDesk;
use lease::{Handover, Leases, Lessor};
use maintenance::Maintenance;
use registry::Registry;
use secrets::Secrets;
use watch::WatchHub;

/// Pause before a new leader tries again to pass its first read barrier.
const BARRIER_AGAIN_MILLISECONDS: u64 = 100;

/// What the services of a node are told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This member.
    pub member: MemberId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The election timeout.
    pub election: Duration,
    /// Bytes that one piece of a streamed range aims at: the largest request.
    pub maximum_request_bytes: usize,
    /// Most operations in one list of a transaction.
    pub maximum_txn_operations: usize,
    /// A read of keys that takes longer, once it may begin, is logged.
    pub slow_read: Duration,
    /// Bytes of the database above which writes are refused; none: no limit.
    pub quota_bytes: Option<u64>,
    /// Whether changes of the members that put the quorum at risk are refused.
    pub strict_reconfiguration: bool,
    /// Most learners at a time.
    pub maximum_learners: usize,
    /// When history is forgotten without being asked to; none: never.
    pub auto_compaction: Option<AutoCompaction>,
    /// Time between two comparisons of the members' data while this one leads; none: never.
    pub corruption_check_interval: Option<Duration>,
    /// Time between two looks whether history was forgotten, after which the leader compares what is left of it; none: never.
    pub compaction_check_interval: Option<Duration>,
    /// What Consul's interface is told.
    pub consul: consul::Settings,
    /// Where checks of services may go, and who may register them.
    pub checks: checks::Policy,
    /// Whether this member is a node of the catalog of services, as Consul's clients expect it.
    pub announce: bool,
}

/// What services have from the layers above: how they reach what is outside of the cluster.
pub struct Outside {
    /// Probes services for their checks.
    pub prober: Arc<dyn Prober>,
    /// What the secret store is told.
    pub secrets: secrets::Settings,
}

/// All services of a node. A handle: clones share one node.
#[derive(Clone)]
pub struct Services {
    /// Keys and values.
    pub kv: Kv,
    /// Leases.
    pub leases: Leases,
    /// Locks.
    pub locks: Locks,
    /// Elections.
    pub elections: Elections,
    /// Services.
    pub registry: Registry,
    /// What Consul's interface offers beside services.
    pub consul: Consul,
    /// Secrets.
    pub secrets: Secrets,
    /// Members.
    pub cluster: Cluster,
    /// Users and roles.
    pub users: Users,
    /// Lets watches through.
    pub gate: Gate,
    /// What operators ask.
    pub maintenance: Maintenance,
    /// Whether the node serves.
    pub health: Health,
    /// Makes headers.
    pub headers: Headers,
    /// Where the node stands.
    pub status: tokio::sync::watch::Receiver<Status>,
    /// The settings.
    pub settings: Settings,
    core: Arc<Core>,
    lessor: Lessor,
    checks: Checks,
}

impl Services {
    /// The services on top of `replication`, which was started with `desk`, and of the watches of `hub`. They serve at
    /// once; [`Services::run`] must run beside them.
    #[must_use]
    pub fn new(
        replication: Replication,
        hub: WatchHub,
        metrics: Arc<Metrics>,
        desk: &LeaderDesk,
        settings: Settings,
        tokens: Tokens,
        outside: Outside,
    ) -> Self {
        let Outside { prober, secrets } = outside;
        if let Err(error) = metrics.describe(
            maintenance::ETCD_VERSION,
            maintenance::ETCD_SHORT_VERSION,
            settings.member,
        ) {
            tracing::warn!(%error, "the metrics do not say which member they are of");
        }
        let status = replication.status();
        let headers = Headers::new(settings.cluster, settings.member, status.clone());
        let gate = Gate::new(replication.clone(), Arc::new(tokens));
        let core = Arc::new(Core {
            gate: gate.clone(),
            reader: replication.reader(),
            replication,
            headers: headers.clone(),
            metrics,
            admission: Admission::new(settings.member, settings.quota_bytes),
            settings: settings.clone(),
        });
        let lessor = Lessor::new(Arc::clone(&core));
        let kv = Kv::new(Arc::clone(&core));
        let leases = Leases::new(Arc::clone(&core), lessor.clone());
        let registry = Registry::new(Arc::clone(&core), leases.clone(), hub.clone());
        let announcement = Arc::new(Announcement::new(Arc::clone(&core), &registry));
        let consul = Consul::new(
            Arc::clone(&core),
            &registry,
            &leases,
            hub.clone(),
            Arc::clone(&announcement),
        );
        let checks = Checks::new(Arc::clone(&core), &registry, prober, announcement);
        desk.open(&core, &lessor, checks.desk());
        let maintenance = Maintenance::new(Arc::clone(&core));
        let secrets = Secrets::new(
            Arc::clone(&core),
            &leases,
            hub.clone(),
            maintenance.clone(),
            secrets,
        );
        let contests = Contests::new(kv.clone(), leases.clone(), hub, Arc::clone(&core));
        Self {
            kv,
            leases,
            locks: Locks::new(contests.clone()),
            elections: Elections::new(contests),
            registry,
            consul,
            secrets,
            cluster: Cluster::new(Arc::clone(&core)),
            users: Users::new(Arc::clone(&core)),
            gate,
            maintenance,
            health: Health::new(Arc::clone(&core)),
            headers,
            status,
            settings,
            core,
            lessor,
            checks,
        }
    }

    /// Compares this member's data with those of the others, for it to be done before anybody is served. Others that
    /// cannot be reached, or have got to another point, count as equal.
    ///
    /// # Errors
    /// The data differ, or cannot be read.
    pub async fn check_data(&self) -> Result<(), DataError> {
        corruption::check_at_start(&self.core).await
    }

    /// Does the background work until `news` ends. `news` is every applied batch in log order, from the start of the node
    /// on; the caller bounds the channel, and a full one slows apply down, so this never waits for the log.
    pub async fn run(self, news: mpsc::Receiver<Arc<News>>) {
        let compaction = async {
            match self.settings.auto_compaction {
                Some(mode) => compaction::run(Arc::clone(&self.core), mode).await,
                None => std::future::pending().await,
            }
        };
        let comparison = async {
            match self.settings.corruption_check_interval {
                Some(period) => corruption::watch_members(Arc::clone(&self.core), period).await,
                None => std::future::pending().await,
            }
        };
        let comparison_of_compactions = async {
            match self.settings.compaction_check_interval {
                Some(period) => corruption::watch_compactions(Arc::clone(&self.core), period).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = compaction => {}
            () = comparison => {}
            () = comparison_of_compactions => {}
            () = quota::run(Arc::clone(&self.core)) => {}
            () = self.expire_leases() => {}
            () = self.lessor.run() => {}
            () = self.follow_log(news) => {}
            () = self.core.gate.tokens().follow_files() => {}
            () = self.registry.run() => {}
            () = self.consul.run() => {}
            () = self.checks.run() => {}
            () = self.secrets.run() => {}
        }
    }

    /// Learns what is applied and who leads.
    async fn follow_log(&self, mut news: mpsc::Receiver<Arc<News>>) {
        if let Err(error) = self.core.admission.read_alarms(&self.core.reader.view()) {
            tracing::error!(%error, "cannot read the alarms; none is heeded until one changes");
        }
        let mut status = self.status.clone();
        let mut term_led = None;
        // A new leader's first read barrier, while it is awaited.
        let mut barrier = std::pin::pin!(futures::future::OptionFuture::from(None));
        status.mark_changed();
        loop {
            tokio::select! {
                changed = status.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let led = {
                        let now = status.borrow_and_update();
                        now.is_leader.then_some(now.term)
                    };
                    if led != term_led {
                        term_led = led;
                        self.lessor.follow();
                        barrier.set(led.map(|term| self.begin_to_lead(term)).into());
                    }
                }
                Some(passed) = &mut barrier => {
                    barrier.set(None.into());
                    if let (Ok(handover), Some(term)) = (passed, term_led) {
                        self.lessor.lead(term, Some(handover)).await;
                    }
                }
                received = news.recv() => {
                    let Some(received) = received else { return };
                    if let Err(error) = self.core.admission.learn(&received) {
                        tracing::error!(%error, "cannot read the alarms; what was known of them still holds");
                    }
                    let must_rebuild = self.lessor.learn(&received) && self.lessor.is_primary();
                    if let (true, Some(term)) = (must_rebuild, term_led) {
                        self.lessor.lead(term, None).await;
                    }
                }
            }
        }
    }

    /// Passes a read barrier, however often it takes, and asks what is known of the leases; gives up only when the node
    /// stops.
    async fn begin_to_lead(&self, term: u64) -> Result<Handover, ReadError> {
        loop {
            match self.core.replication.read_barrier().await {
                Ok(_) => return Ok(self.lessor.take_over(term).await),
                Err(ReadError::Stopped) => return Err(ReadError::Stopped),
                Err(_) => tokio::time::sleep(Duration::from_millis(BARRIER_AGAIN_MILLISECONDS)).await,
            }
        }
    }

    async fn expire_leases(&self) {
        let mut ticks = interval();
        loop {
            ticks.tick().await;
            if self.lessor.has_expired(clock::now()) {
                self.lessor.expire().await;
            }
        }
    }
}

fn interval() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(Duration::from_millis(lease::EXPIRY_INTERVAL_MILLISECONDS));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}
