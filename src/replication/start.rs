//! Starts a node: folder, databases, raft, the tasks around it, the peer service; in this order.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::apply_seconds::ApplySeconds;
use super::barrier::{Barrier, BarrierSettings, LeaderReads};
use super::compaction::Compaction;
use super::departed::Departed;
use super::failure::Failure;
use super::hash::Hasher;
use super::identity::{DataFolder, LOG_FOLDER};
use super::intake::Intake;
use super::interface::{News, PeerMember, Settings, StartError};
use super::join;
use super::log::LogStore;
use super::machine::{ApplySettings, StateMachine};
use super::maintenance::{Maintenance, kept_log_entries};
use super::members::Members;
use super::network::introduction::Check;
use super::network::roster::RosterService;
use super::network::server::{self, PeerService};
use super::network::{PeerNetworkFactory, PeerSettings, Peers};
use super::propose::{Proposer, ProposerSettings};
use super::snapshot::SnapshotStore;
use super::status::StatusBoard;
use super::types::{Node, NodeId};
use super::waiters::Waiters;
use super::{Parts, Raft};
use crate::base::metrics::Metrics;
use crate::base::{ClusterId, MemberId};
use crate::state::Machine;
use crate::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use crate::storage::{Engine, StorageError};

/// What etcd adds to two elections to get the time that a request may take.
const REQUEST_TIMEOUT_MILLISECONDS: u64 = 5_000;
/// Entries in one append to a follower; bytes are bounded by the log's reads.
const MAXIMUM_APPEND_ENTRIES: u64 = 4_096;
/// Calls that wait for raft's core.
const MAXIMUM_WAITING_CALLS: u64 = 4_096;
/// Entries that are purged at once, at least.
const PURGE_BATCH_ENTRIES: u64 = 1_024;
/// Longest time to ship a snapshot.
const SNAPSHOT_TIMEOUT_MILLISECONDS: u64 = 30 * 60 * 1_000;

/// Opens the state database in a folder, or creates it there.
///
/// # Errors
/// The disk failed, or the database is damaged.
pub fn open_state(folder: &Path) -> Result<Arc<dyn Engine>, StorageError> {
    let engine = RocksEngine::open(folder, DatabaseKind::State, RocksOptions::default())?;
    Ok(engine)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// openraft's settings for etcd's two flags. A follower starts an election after `election_timeout_max` without a
/// heartbeat plus a random time between minimum and maximum, so that a lost leader is replaced within one and a half to
/// two of etcd's election timeouts.
fn raft_config(settings: &Settings) -> Result<Arc<Config>, StartError> {
    let heartbeat = milliseconds(settings.heartbeat);
    let election = milliseconds(settings.election);
    // A heartbeat that an append has just made needless is left out, as long as two missing ones cannot cause an election.
    let heartbeat_minimum = if heartbeat * 2 < election / 2 {
        heartbeat / 2
    } else {
        0
    };
    let config = Config {
        cluster_name: settings.cluster.to_string(),
        heartbeat_interval: heartbeat,
        heartbeat_min_interval: Some(heartbeat_minimum),
        election_timeout_min: election / 2,
        election_timeout_max: election,
        max_payload_entries: MAXIMUM_APPEND_ENTRIES,
        max_append_entries: Some(MAXIMUM_APPEND_ENTRIES),
        api_channel_size: Some(MAXIMUM_WAITING_CALLS),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: kept_log_entries(settings.snapshot_entries),
        purge_batch_size: PURGE_BATCH_ENTRIES.min(settings.snapshot_entries),
        install_snapshot_timeout: SNAPSHOT_TIMEOUT_MILLISECONDS,
        enable_pre_vote: Some(true),
        // Two election timeouts, the least that openraft allows: long enough for the others to elect.
        quorum_loss_probe_interval: Some(2 * election),
        enable_leader_restore: Some(false),
        allow_log_reversion: None,
        backoff: "20ms 40ms ..500ms".to_owned(),
        ..Config::default()
    };
    let config = config
        .validate()
        .map_err(|error| StartError::Raft(error.to_string()))?;
    Ok(Arc::new(config))
}

/// Starts everything.
pub async fn start(
    mut settings: Settings,
    metrics: Arc<Metrics>,
    news: mpsc::Sender<News>,
) -> Result<Parts, StartError> {
    let failure = Failure::default();
    let stop = CancellationToken::new();
    let mut folder = DataFolder::take(&settings.data_folder)?;
    let peers_of = |cluster, member| {
        Arc::new(Peers::new(PeerSettings {
            cluster,
            member,
            dial_map: settings.dial_map.clone(),
            tls: settings.peer_tls.clone(),
            silence: settings.election,
            maximum_command_bytes: settings.maximum_command_bytes,
            metrics: metrics.clone(),
        }))
    };
    let identity = match folder.identity().cloned() {
        Some(identity) => {
            let is_told_otherwise =
                (identity.cluster, identity.member) != (settings.cluster, settings.member);
            if is_told_otherwise && !identity.has_joined {
                tracing::info!(
                    cluster = %identity.cluster,
                    member = %identity.member,
                    "the flags are of another cluster or member; the data folder says which one this is"
                );
            }
            identity
        }
        None => {
            let peers = peers_of(ClusterId(0), MemberId(0));
            let identity = join::identify(&settings, &peers).await?;
            folder.claim(identity.clone())?;
            identity
        }
    };
    let peers = peers_of(identity.cluster, identity.member);
    let initial = Initial {
        members: std::mem::take(&mut settings.initial_members),
        may_form: !identity.has_joined
            && (identity.cluster, identity.member) == (settings.cluster, settings.member),
    };
    settings.cluster = identity.cluster;
    settings.member = identity.member;
    let config = raft_config(&settings)?;
    let departed = Arc::new(Departed::new(settings.member));
    let databases = open_databases(folder, &settings, &departed, &metrics, &failure, news)?;
    let had_log = databases.log.last().is_some();
    let factory = PeerNetworkFactory { peers: peers.clone() };
    let Databases {
        folder,
        log,
        snapshots,
        compaction,
        machine,
        reader,
        waiters,
        applied_end,
    } = databases;
    let raft = Raft::new(settings.member.0, config, factory, log.clone(), machine)
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;

    let status = StatusBoard::new(settings.member, settings.election);
    tokio::spawn(status.clone().follow(
        raft.clone(),
        log.clone(),
        applied_end.clone(),
        peers.clone(),
        metrics.clone(),
        failure.clone(),
    ));
    let members = Members::new(raft.clone(), status.clone(), peers.clone(), reader.clone());
    let members = Arc::new(members);
    tokio::spawn(members.clone().run(stop.clone()));
    tokio::spawn(join::watch_membership(
        settings.cluster,
        initial.members.clone(),
        status.clone(),
        peers.clone(),
        departed.clone(),
        settings.election,
        stop.clone(),
    ));
    let leader_reads = LeaderReads::start(raft.clone());
    let deadline = Duration::from_millis(REQUEST_TIMEOUT_MILLISECONDS) + 2 * settings.election;
    let barrier_settings = BarrierSettings {
        deadline,
        status: status.clone(),
        peers: peers.clone(),
        reader: reader.clone(),
        applied_end: applied_end.clone(),
        metrics: metrics.clone(),
    };
    let barrier = Barrier::start(barrier_settings, leader_reads.clone());
    let proposer_settings = ProposerSettings {
        member: settings.member,
        deadline,
        election: settings.election,
        maximum_command_bytes: settings.maximum_command_bytes,
        waiters: waiters.clone(),
        status: status.clone(),
        peers: peers.clone(),
        log: log.clone(),
        applied_end: applied_end.clone(),
        metrics,
    };
    let intake = Intake::start(raft.clone());
    let proposer = Proposer::start(proposer_settings, raft.clone(), intake.clone());
    let maintenance = Maintenance {
        raft: raft.clone(),
        log: log.clone(),
        snapshots: snapshots.clone(),
        peers: peers.clone(),
        applied_end: applied_end.clone(),
        snapshot_entries: settings.snapshot_entries,
        failure: failure.clone(),
    };
    tokio::spawn(maintenance.run(stop.clone()));
    let service = PeerService {
        raft: raft.clone(),
        intake,
        leader_reads: leader_reads.clone(),
        hasher: Hasher {
            reader: reader.clone(),
            applied_end,
            running: Arc::default(),
        },
        status: status.clone(),
        member_requests: settings.member_requests.clone(),
        snapshots: snapshots.clone(),
        peers: peers.clone(),
    };
    let roster = RosterService {
        cluster: settings.cluster,
        reader: reader.clone(),
    };
    let check = Check::new(settings.cluster, settings.member, departed.clone());
    let listeners = std::mem::take(&mut settings.peer_listeners);
    let server = server::serve(
        service,
        roster,
        check,
        listeners,
        settings.election,
        failure.clone(),
        stop.clone(),
    )
    .map_err(|error| StartError::Raft(format!("peers cannot be served: {error}")))?;

    form_cluster(&raft, &settings, initial, identity.has_joined).await?;
    if had_log {
        // A local read must not see less than it did before the restart. Without a quorum this cannot be told, so the
        // wait is bounded: reads behind a barrier are right in any case.
        if let Err(error) = raft.wait_for_recovery(Some(2 * settings.election)).await {
            tracing::info!(%error, "serving before the cluster confirmed this node's log");
        }
    }
    Ok(Parts {
        raft,
        log,
        snapshots,
        compaction,
        proposer,
        barrier,
        leader_reads,
        waiters,
        status,
        peers,
        reader,
        member_requests: settings.member_requests,
        failure,
        member: settings.member,
        cluster: settings.cluster,
        members,
        departed,
        election: settings.election,
        stop,
        server: Mutex::new(Some(server)),
        folder,
    })
}

/// What the flags say about a cluster that is still to be formed.
struct Initial {
    members: Vec<PeerMember>,
    /// Whether they make the cluster and the member that the folder is of.
    may_form: bool,
}

/// What the data folder holds, opened.
struct Databases {
    folder: DataFolder,
    log: LogStore,
    snapshots: Arc<SnapshotStore>,
    compaction: Arc<Compaction>,
    machine: StateMachine,
    reader: crate::state::Reader,
    waiters: Waiters,
    applied_end: watch::Receiver<u64>,
}

fn open_databases(
    mut folder: DataFolder,
    settings: &Settings,
    departed: &Arc<Departed>,
    metrics: &Arc<Metrics>,
    failure: &Failure,
    news: mpsc::Sender<News>,
) -> Result<Databases, StartError> {
    let data_folder = settings.data_folder.as_path();
    let unreadable = |error: &dyn std::fmt::Display| StartError::DataFolder {
        folder: data_folder.display().to_string(),
        reason: error.to_string(),
    };
    let log_engine = RocksEngine::open(
        &data_folder.join(LOG_FOLDER),
        DatabaseKind::Log,
        RocksOptions::default(),
    )?;
    let log =
        LogStore::open(log_engine, metrics.clone(), failure.clone()).map_err(|error| unreadable(&error))?;
    let snapshots = Arc::new(SnapshotStore::open(data_folder, open_state)?);
    folder.set_complete()?;

    let machine = Machine::open(snapshots.engine()).map_err(|error| unreadable(&error))?;
    let reader = machine.reader();
    let waiters = Waiters::new(settings.member);
    let compaction =
        Compaction::spawn(metrics.clone(), failure.clone()).map_err(|source| StorageError::File {
            action: "start the thread of",
            path: "compaction".to_owned(),
            source,
        })?;
    let applied_sender = Arc::new(watch::Sender::new(0));
    let applied_end = applied_sender.subscribe();
    let apply_settings = ApplySettings {
        waiters: waiters.clone(),
        runtime: tokio::runtime::Handle::current(),
        news,
        apply_seconds: ApplySeconds::new(&metrics.requests),
        slow_after: settings.slow_apply,
        metrics: metrics.clone(),
        failure: failure.clone(),
        compaction: compaction.clone(),
        departed: departed.clone(),
        durable_end: log.durable_end(),
        applied_end: applied_sender,
    };
    let machine = StateMachine::start(machine, log.clone(), snapshots.clone(), apply_settings)?;
    if departed.is_own() {
        return Err(unreadable(&folder.set_removed()?));
    }
    Ok(Databases {
        folder,
        log,
        snapshots,
        compaction,
        machine,
        reader,
        waiters,
        applied_end,
    })
}

/// Forms a new cluster if this node was told to and has not been in one: every member does so with the same members,
/// which raft allows.
async fn form_cluster(
    raft: &Raft,
    settings: &Settings,
    initial: Initial,
    has_joined: bool,
) -> Result<(), StartError> {
    let is_formed = raft
        .is_initialized()
        .await
        .map_err(|error| StartError::Raft(error.to_string()))?;
    if is_formed || has_joined {
        return Ok(());
    }
    if !initial.may_form {
        return Err(StartError::DataFolder {
            folder: settings.data_folder.display().to_string(),
            reason: format!(
                "it was made for member {} of cluster {}, which has not been formed yet: start it with the --initial-cluster, \
                 --initial-advertise-peer-urls and --initial-cluster-token of its first start, or name another folder",
                settings.member, settings.cluster
            ),
        });
    }
    let members: BTreeMap<NodeId, Node> = initial
        .members
        .iter()
        .map(|member| (member.id.0, member.into()))
        .collect();
    match raft.initialize(members).await {
        Ok(()) => Ok(()),
        Err(openraft::errors::RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => {
            // A peer was faster: its leader has already reached this node.
            Ok(())
        }
        Err(error) => Err(StartError::Raft(error.to_string())),
    }
}
