//! A whole cluster in one process: real RocksDB, real sockets on loopback.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::base::tls::{Entrance, Side};
use crate::base::{ClusterId, LeaseId, Namespace, Revision};
use crate::state::applied::{Answer, Effect};
use crate::state::command::{Keys, Put, Range};

/// Bound of every wait: a test that needs longer is broken, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ELECTION: Duration = Duration::from_millis(1_000);

/// Answers with the request and the member that answered.
struct Echo(MemberId);

impl MemberRequests for Echo {
    fn answer_as_leader(&self, request: Bytes) -> BoxFuture<'static, Bytes> {
        let answer = self.answer_as_member(request);
        Box::pin(async move { answer })
    }

    fn answer_as_member(&self, request: Bytes) -> Bytes {
        [&request[..], &self.0.0.to_be_bytes()].concat().into()
    }
}

struct TestNode {
    replication: Replication,
    news: mpsc::Receiver<News>,
}

struct TestCluster {
    folder: TempDir,
    addresses: BTreeMap<u64, String>,
    nodes: BTreeMap<u64, TestNode>,
    snapshot_entries: u64,
}

impl TestCluster {
    /// Reserves addresses for members 1 to `size`; none of them runs.
    fn new(size: u64, snapshot_entries: u64) -> (Self, BTreeMap<u64, TcpListener>) {
        let listeners: BTreeMap<u64, TcpListener> = (1..=size)
            .map(|id| (id, TcpListener::bind("127.0.0.1:0").unwrap()))
            .collect();
        let addresses = listeners
            .iter()
            .map(|(id, listener)| (*id, listener.local_addr().unwrap().to_string()))
            .collect();
        let cluster = Self {
            folder: tempfile::tempdir().unwrap(),
            addresses,
            nodes: BTreeMap::new(),
            snapshot_entries,
        };
        (cluster, listeners)
    }

    async fn started(size: u64, snapshot_entries: u64) -> Self {
        let (mut cluster, listeners) = Self::new(size, snapshot_entries);
        for (id, listener) in listeners {
            cluster.start(id, listener).await;
        }
        cluster
    }

    fn settings(&self, id: u64, listener: TcpListener) -> Settings {
        let initial_members = self
            .addresses
            .iter()
            .map(|(id, address)| PeerMember {
                id: MemberId(*id),
                name: format!("node{id}"),
                peer_urls: vec![format!("http://{address}")],
                is_learner: false,
            })
            .collect();
        Settings {
            member: MemberId(id),
            cluster: ClusterId(77),
            initial_members,
            new_cluster: true,
            data_folder: self.folder.path().join(id.to_string()),
            peer_listeners: vec![PeerListener {
                listener,
                entrance: Entrance::new(Side::Peer, None),
            }],
            peer_tls: None,
            dial_map: BTreeMap::new(),
            heartbeat: Duration::from_millis(100),
            election: ELECTION,
            snapshot_entries: self.snapshot_entries,
            maximum_command_bytes: 2 * 1024 * 1024,
            slow_apply: ELECTION,
            member_requests: Arc::new(Echo(MemberId(id))),
        }
    }

    async fn start(&mut self, id: u64, listener: TcpListener) {
        let (sender, news) = mpsc::channel(100_000);
        let settings = self.settings(id, listener);
        let replication = Replication::start(settings, Arc::new(Metrics::new().unwrap()), sender).await;
        let replication = replication.unwrap();
        self.nodes.insert(id, TestNode { replication, news });
    }

    /// Starts a member again on its old address, once its old life has let go of everything.
    async fn restart(&mut self, id: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listener = TcpListener::bind(&self.addresses[&id]).unwrap();
            let (sender, news) = mpsc::channel(100_000);
            let settings = self.settings(id, listener);
            match Replication::start(settings, Arc::new(Metrics::new().unwrap()), sender).await {
                Ok(replication) => {
                    self.nodes.insert(id, TestNode { replication, news });
                    return;
                }
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).unwrap();
        node.replication.shutdown().await;
    }

    fn node(&self, id: u64) -> &Replication {
        &self.nodes[&id].replication
    }

    /// The leader that all running members agree on.
    async fn leader(&self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let leaders: Vec<Option<MemberId>> = self
                .nodes
                .values()
                .map(|node| node.replication.status().borrow().leader)
                .collect();
            if let Some(Some(leader)) = leaders.first()
                && leaders.iter().all(|other| *other == Some(*leader))
                && self.nodes.contains_key(&leader.0)
            {
                return leader.0;
            }
            assert!(Instant::now() < deadline, "no common leader: {leaders:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn put(key: &str, value: &str) -> Command {
    Command::Put(Put {
        namespace: Namespace::DEFAULT,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease: LeaseId::NONE,
        ..Put::default()
    })
}

fn get(view: &ReadView, key: &str) -> Option<String> {
    let range = Range {
        keys: Keys {
            namespace: Namespace::DEFAULT,
            key: Bytes::copy_from_slice(key.as_bytes()),
            end: Bytes::new(),
        },
        ..Range::default()
    };
    let answer = view.range(&range).unwrap().unwrap();
    let found = answer.key_values.first()?;
    Some(String::from_utf8(found.value.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_answers_tells_the_news_and_remembers_across_a_restart() {
    let mut cluster = TestCluster::started(1, 100_000).await;
    let committed = cluster.node(1).propose(put("a", "1")).await.unwrap();
    assert!(matches!(committed.outcome, Ok(Answer::Put(_))));
    assert_eq!(committed.revision, Revision(2));
    let view = cluster.node(1).read_barrier().await.unwrap();
    assert_eq!(get(&view, "a").as_deref(), Some("1"));
    let news = cluster.nodes.get_mut(&1).unwrap().news.recv().await.unwrap();
    assert!(matches!(
        news.effects[..],
        [Effect::Changed {
            revision: Revision(2),
            ..
        }]
    ));
    assert!(cluster.node(1).confirm_leadership().await.is_ok());
    drop((view, news));
    cluster.stop(1).await;
    cluster.restart(1).await;
    let view = cluster.node(1).read_barrier().await.unwrap();
    assert_eq!(get(&view, "a").as_deref(), Some("1"));
    assert_eq!(view.revision(), Revision(2));
    drop(view);
    cluster.stop(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_proposes_and_reads_and_the_cluster_outlives_its_leader() {
    let mut cluster = TestCluster::started(3, 100_000).await;
    let first_leader = cluster.leader().await;
    for id in 1..=3 {
        let key = format!("from-{id}");
        cluster.node(id).propose(put(&key, "x")).await.unwrap();
        for reader in 1..=3 {
            let view = cluster.node(reader).read_barrier().await.unwrap();
            assert_eq!(
                get(&view, &key).as_deref(),
                Some("x"),
                "written by {id}, read by {reader}"
            );
        }
        let answer = cluster
            .node(id)
            .ask_leader(Bytes::from_static(b"?"), PATIENCE)
            .await
            .unwrap();
        assert_eq!(answer[..], [&b"?"[..], &first_leader.to_be_bytes()].concat());
        let view = cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(cluster.node(id).members(&view).unwrap().len(), 3);
    }

    cluster.stop(first_leader).await;
    let survivors: Vec<u64> = cluster.nodes.keys().copied().collect();
    for id in survivors {
        let key = format!("after-{id}");
        cluster.node(id).propose(put(&key, "y")).await.unwrap();
        let view = cluster.node(id).read_barrier().await.unwrap();
        assert_eq!(get(&view, &key).as_deref(), Some("y"));
    }
    let second_leader = cluster.leader().await;
    assert_ne!(second_leader, first_leader);

    cluster.restart(first_leader).await;
    let view = cluster.node(first_leader).read_barrier().await.unwrap();
    for id in (1..=3).filter(|id| *id != first_leader) {
        assert_eq!(get(&view, &format!("after-{id}")).as_deref(), Some("y"));
    }
    drop(view);
    let leader = cluster.leader().await;
    let target = (1..=3).find(|id| *id != leader).unwrap();
    cluster
        .node(leader)
        .transfer_leader(MemberId(target), PATIENCE)
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, target);
    for id in 1..=3 {
        cluster.stop(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_missed_more_than_the_log_keeps_gets_a_snapshot() {
    let mut cluster = TestCluster::started(3, 200).await;
    let leader = cluster.leader().await;
    let laggard = (1..=3).find(|id| *id != leader).unwrap();
    cluster.node(leader).propose(put("seen", "1")).await.unwrap();
    let seen = cluster.nodes[&laggard].replication.parts.log.last();
    cluster.stop(laggard).await;
    let leader = cluster.leader().await;
    // A few at a time: many at once would be few entries.
    let writers = (0..4).map(|writer| {
        let replication = cluster.node(leader).clone();
        async move {
            for number in (writer..1_000).step_by(4) {
                let written = replication.propose(put(&format!("missed-{number}"), "1"));
                written.await.unwrap();
            }
        }
    });
    futures::future::join_all(writers).await;
    // Another snapshot is made half a minute after the first, should that have come too early.
    let deadline = Instant::now() + 2 * PATIENCE;
    let mut more = 0;
    while cluster
        .nodes
        .values()
        .any(|node| node.replication.parts.log.purged() <= seen)
    {
        assert!(Instant::now() < deadline, "the log was not purged");
        more += 1;
        cluster
            .node(leader)
            .propose(put("more", &more.to_string()))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    cluster.restart(laggard).await;
    let view = cluster.node(laggard).read_barrier().await.unwrap();
    assert_eq!(get(&view, "missed-999").as_deref(), Some("1"));
    // None was needed if the log was purged before the first look.
    assert_eq!(get(&view, "more"), (more > 0).then(|| more.to_string()));
    let mut is_restored = false;
    while let Ok(news) = cluster.nodes.get_mut(&laggard).unwrap().news.try_recv() {
        is_restored |= news.effects.contains(&Effect::Restored);
    }
    assert!(is_restored, "it caught up from the log alone");
    cluster.node(laggard).propose(put("seen", "2")).await.unwrap();
    drop(view);
    cluster.stop(laggard).await;
    cluster.restart(laggard).await;
    let view = cluster.node(laggard).read_barrier().await.unwrap();
    assert_eq!(get(&view, "seen").as_deref(), Some("2"));
    drop(view);
    for id in 1..=3 {
        cluster.stop(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_in_use_or_copied_in_part_is_refused_with_a_reason() {
    let mut cluster = TestCluster::started(1, 100_000).await;
    cluster.node(1).propose(put("a", "1")).await.unwrap();
    let refusal = async |cluster: &TestCluster| {
        let settings = cluster.settings(1, TcpListener::bind("127.0.0.1:0").unwrap());
        let metrics = Arc::new(Metrics::new().unwrap());
        match Replication::start(settings, metrics, mpsc::channel(1).0).await {
            Ok(_) => panic!("it started"),
            Err(error) => error.to_string(),
        }
    };
    let reason = refusal(&cluster).await;
    assert!(reason.contains("another process uses it"), "{reason}");
    cluster.stop(1).await;
    cluster.restart(1).await;
    cluster.stop(1).await;
    let folder = cluster.folder.path().join("1");
    let identity = std::fs::read_to_string(folder.join("identity")).unwrap();
    std::fs::write(folder.join("identity"), identity.replace("format 1", "format 2")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let newer = loop {
        let reason = refusal(&cluster).await;
        if !reason.contains("another process") || Instant::now() > deadline {
            break reason;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(newer.contains("it has format 2"), "{newer}");
    std::fs::write(folder.join("identity"), identity).unwrap();
    std::fs::rename(folder.join("log"), folder.join("elsewhere")).unwrap();
    let reason = refusal(&cluster).await;
    assert!(reason.contains("\"log\" is missing"), "{reason}");
    std::fs::remove_file(folder.join("identity")).unwrap();
    let reason = refusal(&cluster).await;
    assert!(reason.contains("no file identity"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn throughput() {
    let mut cluster = TestCluster::started(3, 100_000).await;
    cluster.leader().await;
    for node in cluster.nodes.values_mut() {
        let mut news = std::mem::replace(&mut node.news, mpsc::channel(1).1);
        tokio::spawn(async move { while news.recv().await.is_some() {} });
    }
    let value = "v".repeat(256);
    for clients in [1_u64, 16, 64, 256, 1024] {
        let started = Instant::now();
        let mut tasks = Vec::new();
        for client in 0..clients {
            let replication = cluster.node(client % 3 + 1).clone();
            let value = value.clone();
            tasks.push(tokio::spawn(async move {
                let mut count = 0_u64;
                while started.elapsed() < Duration::from_secs(4) {
                    replication
                        .propose(put(&format!("{client}-{count}"), &value))
                        .await
                        .unwrap();
                    count += 1;
                }
                count
            }));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{clients} clients: {:.0} proposals/s", total as f64 / seconds);
        let started = Instant::now();
        let mut tasks = Vec::new();
        for client in 0..clients {
            let replication = cluster.node(client % 3 + 1).clone();
            tasks.push(tokio::spawn(async move {
                let mut count = 0_u64;
                while started.elapsed() < Duration::from_secs(3) {
                    replication.read_barrier().await.unwrap();
                    count += 1;
                }
                count
            }));
        }
        let mut total = 0;
        for task in tasks {
            total += task.await.unwrap();
        }
        let seconds = started.elapsed().as_secs_f64();
        println!("{clients} clients: {:.0} barriers/s", total as f64 / seconds);
    }
}
