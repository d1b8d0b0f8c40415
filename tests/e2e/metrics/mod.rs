//! What a node measures: every metric that etcd's dashboard and alerts ask for is there, under its name, with its type and
//! labels, and moves when something happens.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    AlarmRequest, AlarmType, CompactionRequest, DefragmentRequest, DeleteRangeRequest, HashKvRequest,
    HashRequest, LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, MemberPromoteRequest,
    PutRequest, RangeRequest, SnapshotRequest, TxnRequest, WatchCreateRequest, WatchRequest,
};
use tonic::Code;

use super::http::get;
use super::members::{add, member_id};
use crate::support::{Clients, Cluster, Program, Result, TestResult};
use names::{FURTHER, Metric, OF_THE_MIXIN};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What the log must never show.
const SECRET: &str = "what-nobody-may-read";

/// A member that is in no cluster: nobody clears its alarm.
const STRANGER: u64 = 0x4d;

/// Labels and a value.
type Sample = (BTreeMap<String, String>, f64);

/// The page of one node.
struct Page {
    types: BTreeMap<String, String>,
    /// By name.
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Page {
    async fn read(cluster: &Cluster, node: usize) -> Result<Self> {
        let (status, body) = get(&cluster.nodes()[node].client_address(), "/metrics").await?;
        assert_eq!(status, 200, "{body}");
        let mut page = Self {
            types: BTreeMap::new(),
            samples: BTreeMap::new(),
        };
        for line in body.lines() {
            if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').ok_or_else(|| line.to_owned())?;
                page.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                let (series, value) = line.rsplit_once(' ').ok_or_else(|| line.to_owned())?;
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
                    let (name, value) = label.split_once('=')?;
                    Some((name.to_owned(), value.trim_matches('"').to_owned()))
                });
                let samples = page.samples.entry(name.to_owned()).or_default();
                samples.push((labels.collect(), value.parse()?));
            }
        }
        Ok(page)
    }

    /// The sum of all samples that have these labels; none if there are none.
    fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let matching = self.samples.get(name)?.iter().filter(|(labels, _)| {
            wanted
                .iter()
                .all(|(name, value)| labels.get(*name).is_some_and(|given| given == value))
        });
        matching.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }

    /// What is wrong with a metric.
    fn problem(&self, (name, kind, labels): &Metric) -> Option<String> {
        match self.types.get(*name) {
            None => return Some(format!("{name} is missing")),
            Some(given) if given != kind => return Some(format!("{name} is a {given}, not a {kind}")),
            Some(_) => {}
        }
        let sample = if *kind == "histogram" {
            format!("{name}_count")
        } else {
            (*name).to_owned()
        };
        let wanted: BTreeSet<&str> = labels.iter().copied().collect();
        let mut samples = self.samples.get(&sample).into_iter().flatten();
        samples.find_map(|(given, _)| {
            let given: BTreeSet<&str> = given.keys().map(String::as_str).collect();
            (given != wanted).then(|| format!("{sample} has the labels {given:?}, not {wanted:?}"))
        })
    }

    fn check(&self, metrics: &[Metric]) {
        let problems: Vec<String> = metrics.iter().filter_map(|metric| self.problem(metric)).collect();
        assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
    }
}

/// Waits until a page of a node is as `wanted`, and returns it.
async fn page_becomes(
    cluster: &Cluster,
    node: usize,
    what: &str,
    wanted: impl Fn(&Page) -> bool,
) -> Result<Page> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let page = Page::read(cluster, node).await?;
        if wanted(&page) {
            return Ok(page);
        }
        if Instant::now() > deadline {
            return Err(format!("{what}: not on node {node} after {MAXIMUM_WAIT:?}").into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Requests of many kinds; a watch that stays open is returned.
async fn work(clients: &mut Clients) -> Result<impl Sized + use<>> {
    let put = |key: &str| PutRequest {
        key: key.to_owned().into(),
        value: SECRET.into(),
        ..PutRequest::default()
    };
    let create = WatchCreateRequest {
        key: SECRET.into(),
        ..WatchCreateRequest::default()
    };
    let (sender, requests) = tokio::sync::mpsc::channel(1);
    sender
        .send(WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        })
        .await?;
    let requests = tokio_stream::wrappers::ReceiverStream::new(requests);
    let mut watch = clients.watch.watch(requests).await?.into_inner();
    watch.message().await?.ok_or("the watch is not created")?;
    clients.kv.put(put(SECRET)).await?;
    let event = watch.message().await?.ok_or("the watch has ended")?;
    assert_eq!(event.events.len(), 1);
    clients.kv.put(put("other")).await?;
    let range = RangeRequest {
        key: SECRET.into(),
        ..RangeRequest::default()
    };
    clients.kv.range(range.clone()).await?;
    let future = RangeRequest {
        revision: 1_000_000,
        ..range
    };
    let refused = clients.kv.range(future).await.expect_err("no such revision");
    assert_eq!(refused.code(), Code::OutOfRange);
    clients.kv.txn(TxnRequest::default()).await?;
    let delete = DeleteRangeRequest {
        key: "other".into(),
        ..DeleteRangeRequest::default()
    };
    let deleted = clients.kv.delete_range(delete).await?.into_inner();
    let revision = deleted.header.map_or(0, |header| header.revision);
    let lease = clients
        .lease
        .lease_grant(LeaseGrantRequest { id: 7, ttl: 600 })
        .await?;
    let id = lease.into_inner().id;
    let renewals = tokio_stream::iter([LeaseKeepAliveRequest { id }]);
    let mut renewed = clients.lease.lease_keep_alive(renewals).await?.into_inner();
    renewed.message().await?.ok_or("the lease is not renewed")?;
    clients.lease.lease_revoke(LeaseRevokeRequest { id }).await?;
    let compact = CompactionRequest {
        revision,
        physical: true,
    };
    clients.kv.compact(compact).await?;
    let mut snapshot = clients
        .maintenance
        .snapshot(SnapshotRequest {})
        .await?
        .into_inner();
    while snapshot.message().await?.is_some() {}
    clients.maintenance.defragment(DefragmentRequest {}).await?;
    clients.maintenance.hash(HashRequest {}).await?;
    clients.maintenance.hash_kv(HashKvRequest::default()).await?;
    Ok((sender, watch))
}

async fn set_alarm(clients: &mut Clients, action: AlarmAction) -> Result<()> {
    let request = AlarmRequest {
        action: action.into(),
        member_id: STRANGER,
        alarm: AlarmType::Nospace.into(),
    };
    clients.maintenance.alarm(request).await?;
    Ok(())
}

#[tokio::test]
async fn every_metric_of_etcds_dashboard_and_alerts_is_there_and_moves() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--metrics=extensive")
        .argument("--warning-unary-request-duration=0s")
        .argument("--warning-apply-duration=0s")
        .start()
        .await?;
    let leader = cluster.leader().await?;
    let [follower, other] = [(leader + 1) % 3, (leader + 2) % 3];
    let leader_id = format!("{:x}", member_id(&cluster, leader).await?);
    let other_id = format!("{:x}", member_id(&cluster, other).await?);
    let before = Page::read(&cluster, follower).await?;
    let mut clients = cluster.clients(follower)?;
    let watch = work(&mut clients).await?;
    for path in ["/health", "/livez", "/readyz"] {
        let (status, body) = get(&cluster.nodes()[follower].client_address(), path).await?;
        assert_eq!(status, 200, "{path}: {body}");
    }
    set_alarm(&mut clients, AlarmAction::Activate).await?;
    let alarm: &[(&str, &str)] = &[("server_id", "4d"), ("alarm_type", "NOSPACE")];
    for node in 0..3 {
        page_becomes(&cluster, node, "the alarm", |page| {
            page.sum("etcd_debugging_server_alarms", alarm) == Some(1.0)
        })
        .await?;
    }
    set_alarm(&mut clients, AlarmAction::Deactivate).await?;
    page_becomes(&cluster, follower, "the end of the alarm", |page| {
        page.sum("etcd_debugging_server_alarms", alarm) == Some(0.0)
    })
    .await?;

    // A learner that never starts is not promoted, and cannot be reached.
    let (_, learner) = add(&mut cluster, leader, true).await?;
    let promote = MemberPromoteRequest { id: learner.id };
    let mut of_leader = cluster.clients(leader)?;
    of_leader
        .cluster
        .member_promote(promote)
        .await
        .expect_err("it has not started");
    let page = Page::read(&cluster, leader).await?;
    let refusal = "etcdserver: can only promote a learner member which is in sync with leader";
    assert_eq!(
        page.sum("etcd_server_learner_promote_failures", &[("Reason", refusal)]),
        Some(1.0)
    );

    // What the follower shows, and how it moved. What it never sent to a member that does not answer, it cannot show.
    let page = Page::read(&cluster, follower).await?;
    let of_a_leader = ["etcd_network_peer_sent_failures_total"];
    let mixin: Vec<Metric> = OF_THE_MIXIN
        .iter()
        .filter(|(name, ..)| !of_a_leader.contains(name))
        .copied()
        .collect();
    page.check(&mixin);
    page.check(FURTHER);
    let put: &[(&str, &str)] = &[("grpc_service", "etcdserverpb.KV"), ("grpc_method", "Put")];
    let of_watch: &[(&str, &str)] = &[("grpc_service", "etcdserverpb.Watch"), ("grpc_method", "Watch")];
    let from_leader: &[(&str, &str)] = &[("From", &leader_id)];
    let to_leader: &[(&str, &str)] = &[("To", &leader_id)];
    for (name, labels) in [
        ("etcd_network_peer_received_bytes_total", from_leader),
        ("etcd_network_peer_sent_bytes_total", to_leader),
        ("etcd_network_client_grpc_received_bytes_total", &[]),
        ("etcd_server_proposals_applied_total", &[]),
        ("etcd_disk_wal_fsync_duration_seconds_count", &[]),
        ("etcd_disk_wal_write_duration_seconds_count", &[]),
        ("etcd_disk_backend_commit_duration_seconds_count", &[]),
        ("etcd_disk_backend_defrag_duration_seconds_count", &[]),
        ("etcd_disk_backend_snapshot_duration_seconds_count", &[]),
        ("etcd_mvcc_hash_duration_seconds_count", &[]),
        ("etcd_mvcc_hash_rev_duration_seconds_count", &[]),
        ("etcd_mvcc_put_total", &[]),
        ("etcd_mvcc_delete_total", &[]),
        ("etcd_debugging_mvcc_total_put_size_in_bytes", &[]),
        ("etcd_debugging_mvcc_events_total", &[]),
        ("etcd_debugging_mvcc_watcher_total", &[]),
        ("etcd_debugging_mvcc_db_compaction_last", &[]),
        (
            "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count",
            &[],
        ),
        ("etcd_debugging_lease_ttl_total_count", &[]),
        ("etcd_server_slow_apply_total", &[]),
        ("etcd_server_range_duration_seconds_count", &[("success", "true")]),
        (
            "etcd_server_range_duration_seconds_count",
            &[("success", "false")],
        ),
        (
            "etcd_server_request_duration_seconds_count",
            &[("type", "Range"), ("success", "false")],
        ),
        (
            "etcd_server_apply_duration_seconds_count",
            &[("op", "Put"), ("success", "true"), ("version", "v3")],
        ),
        ("etcd_server_client_requests_total", &[("type", "stream")]),
        (
            "etcd_server_healthcheck",
            &[("type", "readyz"), ("name", "linearizable_read")],
        ),
        (
            "etcd_server_healthchecks_total",
            &[("type", "livez"), ("status", "success")],
        ),
        ("grpc_server_handled_total", put),
        ("grpc_server_handling_seconds_count", put),
        ("grpc_server_msg_received_total", put),
        ("grpc_server_msg_sent_total", put),
        ("grpc_server_started_total", of_watch),
        ("grpc_server_msg_received_total", of_watch),
        ("grpc_server_msg_sent_total", of_watch),
    ] as [(&str, &[(&str, &str)]); 34]
    {
        let (was, is) = (before.sum(name, labels), page.sum(name, labels));
        assert!(
            is > Some(was.unwrap_or(0.0)),
            "{name} {labels:?} was {was:?} and is {is:?}"
        );
    }
    assert_eq!(page.sum("grpc_server_msg_sent_total", of_watch), Some(2.0));
    assert_eq!(
        page.sum("grpc_server_handled_total", of_watch),
        Some(0.0),
        "the watch is open"
    );
    assert_eq!(page.sum("etcd_network_known_peers", &[]), Some(3.0));
    assert_eq!(
        page.sum("etcd_network_active_peers", &[("Remote", &leader_id)]),
        Some(1.0)
    );
    drop(watch);

    // A member that dies is seen by the leader.
    cluster.node(other).kill()?;
    let to_other: &[(&str, &str)] = &[("To", &other_id)];
    let remote: &[(&str, &str)] = &[("Remote", &other_id)];
    let page = page_becomes(&cluster, leader, "the death of a member", |page| {
        page.sum("etcd_network_peer_sent_failures_total", to_other) > Some(0.0)
            && page.sum("etcd_network_disconnected_peers_total", remote) > Some(0.0)
            && page.sum("etcd_network_active_peers", remote) == Some(0.0)
            && page.sum("etcd_server_heartbeat_send_failures_total", &[]) > Some(0.0)
    })
    .await?;
    page.check(OF_THE_MIXIN);

    // Slow requests are in the log, and nothing of what was in them.
    let log = std::fs::read_to_string(cluster.nodes()[follower].log_path())?;
    for said in [
        "a request took long",
        "etcdserverpb.KV/Put",
        "applying changes took long",
        "reading keys took long",
    ] {
        assert!(log.contains(said), "{said:?} is not in the log\n{log}");
    }
    assert!(!log.contains(SECRET), "a key or value is in the log\n{log}");
    Ok(())
}

#[tokio::test]
async fn without_being_asked_the_time_of_calls_is_not_measured_for_each_method() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut clients = cluster.clients(0)?;
    clients
        .kv
        .range(RangeRequest {
            key: "k".into(),
            ..RangeRequest::default()
        })
        .await?;
    let page = Page::read(&cluster, 0).await?;
    assert_eq!(page.sum("grpc_server_handling_seconds_count", &[]), None);
    assert!(page.sum("etcd_server_request_duration_seconds_count", &[]) >= Some(1.0));
    Ok(())
}

/// The list is right: an etcd shows it.
#[tokio::test]
async fn etcd_shows_what_its_dashboard_and_alerts_ask_for() -> TestResult {
    let mut cluster = Cluster::builder(Program::etcd()?)
        .nodes(3)
        .argument("--metrics=extensive")
        .start()
        .await?;
    let leader = cluster.leader().await?;
    cluster.node((leader + 1) % 3).kill()?;
    let page = page_becomes(&cluster, leader, "the death of a member", |page| {
        page.sum("etcd_network_peer_sent_failures_total", &[]) > Some(0.0)
            && page
                .samples
                .contains_key("etcd_network_peer_round_trip_time_seconds_count")
    })
    .await?;
    page.check(OF_THE_MIXIN);
    Ok(())
}
