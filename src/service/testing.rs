//! A node without front doors, for the tests of services that need a whole one.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::auth::{TokenSettings, Tokens};
use super::consul::acl::AclSettings;
use super::leader::LeaderDesk;
use super::watch::{WatchHub, WatchSettings};
use super::{Outside, Services, Settings, consul};
use crate::base::metrics::Metrics;
use crate::base::tls::{Entrance, Side};
use crate::base::{ClusterId, MemberId};
use crate::replication::{self, News, PeerListener, PeerMember, Replication};
use crate::transport::{HttpFetcher, Probes};

/// Bound of every wait: a test that needs longer is broken, however slow the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const ELECTION: Duration = Duration::from_secs(1);
const MEMBER: MemberId = MemberId(1);
const CLUSTER: ClusterId = ClusterId(77);

/// A node of its own, as `node.rs` makes one, without front doors.
pub(crate) struct Node {
    /// Its services.
    pub services: Services,
    /// Its watches.
    pub hub: WatchHub,
    folder: TempDir,
}

impl Node {
    /// Starts one, and waits until it leads.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Starts one with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let desk = LeaderDesk::default();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (sender, news) = mpsc::channel(1_000);
        let settings = replication::Settings {
            member: MEMBER,
            cluster: CLUSTER,
            initial_members: vec![PeerMember {
                id: MEMBER,
                name: "n1".into(),
                peer_urls: vec![url],
                is_learner: false,
            }],
            new_cluster: true,
            data_folder: folder.path().join("data"),
            peer_listeners: vec![PeerListener {
                listener,
                entrance: Entrance::new(Side::Peer, None),
            }],
            peer_tls: None,
            dial_map: Default::default(),
            heartbeat: ELECTION / 10,
            election: ELECTION,
            snapshot_entries: 10_000,
            maximum_command_bytes: 2 * 1024 * 1024,
            slow_apply: ELECTION,
            member_requests: Arc::new(desk.clone()),
        };
        let replication = Replication::start(settings, Arc::clone(&metrics), sender)
            .await
            .unwrap();
        let (hub_sender, hub_news) = mpsc::channel(1_000);
        let (service_sender, service_news) = mpsc::channel(1_000);
        tokio::spawn(hand_on(news, [hub_sender, service_sender]));
        let hub = WatchHub::start(
            hub_news,
            replication.reader(),
            Arc::clone(&metrics),
            WatchSettings::default(),
        )
        .unwrap();
        let mut settings = Settings {
            member: MEMBER,
            cluster: CLUSTER,
            election: ELECTION,
            maximum_request_bytes: 1024 * 1024,
            maximum_txn_operations: 128,
            slow_read: ELECTION,
            quota_bytes: None,
            strict_reconfiguration: true,
            maximum_learners: 1,
            auto_compaction: None,
            corruption_check_interval: None,
            compaction_check_interval: None,
            consul: consul::Settings {
                datacenter: "dc1".into(),
                node: "n1".into(),
                acls: AclSettings::default(),
            },
            checks: super::checks::Policy::default(),
            announce: false,
        };
        change(&mut settings);
        let ttl = Duration::from_secs(300);
        let tokens = Tokens::open(TokenSettings::Simple { ttl }).unwrap();
        let prober = Arc::new(Probes::new(settings.checks.clone()));
        let secrets = super::secrets::Settings {
            seals: Vec::new(),
            fetcher: Arc::new(HttpFetcher::default()),
            audit_directory: Some(folder.path().join("audit")),
        };
        let services = Services::new(
            replication,
            hub.clone(),
            metrics,
            &desk,
            settings,
            tokens,
            Outside { prober, secrets },
        );
        tokio::spawn(services.clone().run(service_news));
        let node = Self {
            services,
            hub,
            folder,
        };
        node.until(|node| node.services.health.has_leader()).await;
        node
    }

    /// Its folder.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Waits for a condition.
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                sleep(POLL_INTERVAL).await;
            }
        };
        timeout(PATIENCE, waiting)
            .await
            .expect("the condition comes true");
    }
}

async fn hand_on(mut news: mpsc::Receiver<News>, consumers: [mpsc::Sender<Arc<News>>; 2]) {
    while let Some(batch) = news.recv().await {
        let batch = Arc::new(batch);
        for consumer in &consumers {
            let _ = consumer.send(Arc::clone(&batch)).await;
        }
    }
}
