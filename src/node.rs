//! A node: the layers wired together, started in order and stopped in the reverse one.
//!
//! Sockets are bound before the data folder is opened, so that a taken port changes nothing on disk; clients are let in
//! only once the node can answer them. Holds no logic of its own.

mod ready;
mod sockets;

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::metrics::{Metrics, MetricsError};
use crate::base::tls::{Entrance, Side, Tls, TlsError, TlsSettings};
use crate::config::{AutoCompaction, ListenAddress, ListenSocket, ServerConfig};
use crate::replication::{self, News, PeerListener, Replication, StartError};
use crate::service::DataError;
use crate::service::auth::Tokens;
use crate::service::auth::tokens::KeyError;
use crate::service::compaction;
use crate::service::leader::LeaderDesk;
use crate::service::watch::{WatchHub, WatchSettings};
use crate::service::{self, Outside, Services, secrets};
use crate::transport::dns::DnsDoor;
use crate::transport::{
    CallSettings, ConnectionSettings, FrontDoors, HttpFetcher, HttpSettings, Names, Probes,
};

/// Applied batches that one consumer of news may lag behind before apply waits for it.
const MAXIMUM_PENDING_NEWS: usize = 1_024;

/// Pause before a member tries again to publish its name and client URLs.
const PUBLISH_AGAIN_MILLISECONDS: u64 = 500;

/// Longest wait for the publication before clients are let in without it.
const PUBLISH_PATIENCE_MILLISECONDS: u64 = 7_000;

/// Why a node cannot start, or stopped by itself.
#[derive(Debug, Error)]
pub enum NodeError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} (--{flag}): {source}; choose another address or stop what listens there"
    )]
    Listen {
        /// The flag it came from.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// A Unix socket cannot be listened on.
    #[error(
        "cannot listen on {socket} (--listen-client-urls): {source}; choose another path or stop what listens there"
    )]
    ListenSocket {
        /// The socket.
        socket: ListenSocket,
        /// Why not.
        source: io::Error,
    },
    /// The system refused something a node needs.
    #[error("cannot {action}: {source}")]
    System {
        /// What was refused.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be used, or the self-signed one cannot be made.
    #[error("cannot protect connections: {0}")]
    Tls(#[from] TlsError),
    /// Two metrics share a name.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A key of tokens cannot be used.
    #[error(transparent)]
    TokenKey(#[from] KeyError),
    /// Replication cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The data are not those of the other members.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Something without which the node must not go on has failed. It may be started again.
    #[error("the node stops: {0}")]
    Failed(String),
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or a failure stopped it.
pub async fn run(config: ServerConfig) -> Result<(), NodeError> {
    // Before anything is bound or written: a key that cannot be used is no reason to start.
    let tokens = Tokens::open(config.tokens.clone())?;
    let client_listeners = bind_all("listen-client-urls", &config.listen_client)?;
    let http_listeners = bind_all("listen-client-http-urls", &config.listen_client_http)?;
    // Held until the end: their files are taken away with them.
    let mut sockets = bind_sockets(&config.listen_sockets)?;
    let metrics_listeners = bind_all("listen-metrics-urls", &config.listen_metrics)?;
    let consul_listeners = bind_all("listen-consul-urls", &config.listen_consul)?;
    let vault_listeners = bind_all("listen-vault-urls", &config.listen_vault)?;
    let dns_sockets = bind_dns(&config.listen_dns)?;
    let peer_listeners = bind_all("listen-peer-urls", &config.listen_peer)?;
    let stopping = CancellationToken::new();
    let client_tls = protection(config.client_tls.clone(), &stopping)?;
    let vault_tls = protection(asking(&config), &stopping)?;
    let peer_tls = protection(config.peer_tls.clone(), &stopping)?;
    let metrics = Arc::new(Metrics::new()?);
    let desk = Arc::new(LeaderDesk::default());
    let (news_sender, news) = mpsc::channel(MAXIMUM_PENDING_NEWS);
    let replication = Replication::start(
        replication_settings(&config, peer_listeners, peer_tls, Arc::clone(&desk)),
        Arc::clone(&metrics),
        news_sender,
    )
    .await?;

    let (hub_sender, hub_news) = mpsc::channel(MAXIMUM_PENDING_NEWS);
    let (service_sender, service_news) = mpsc::channel(MAXIMUM_PENDING_NEWS);
    tokio::spawn(hand_on_news(news, [hub_sender, service_sender]));
    let hub_settings = WatchSettings {
        progress_interval: config.watch_progress_interval,
    };
    let hub = WatchHub::start(hub_news, replication.reader(), Arc::clone(&metrics), hub_settings).map_err(
        |source| NodeError::System {
            action: "start the watch threads",
            source,
        },
    )?;
    let services = Services::new(
        replication.clone(),
        hub.clone(),
        Arc::clone(&metrics),
        &desk,
        service_settings(&config, &replication),
        tokens,
        Outside {
            prober: Arc::new(Probes::new(config.checks.clone())),
            secrets: secrets::Settings {
                seals: config.seals.clone(),
                fetcher: Arc::new(HttpFetcher::default()),
                audit_directory: config.audit_directory.clone(),
            },
        },
    );
    tokio::spawn(services.clone().run(service_news));
    if config.corruption_checks.initial
        && let Err(error) = services.check_data().await
    {
        replication.shutdown().await;
        return Err(error.into());
    }
    let hangups = services.secrets.clone();
    tokio::spawn(async move {
        match signal(SignalKind::hangup()) {
            Ok(mut hangup) => {
                while hangup.recv().await.is_some() {
                    hangups.reopen_audit().await;
                }
            }
            Err(error) => tracing::warn!(%error, "SIGHUP does not open the files of audit again"),
        }
    });
    let publication = tokio::spawn(publish(
        services.clone(),
        config.name.clone(),
        config.advertise_client_urls.clone(),
    ));
    // As in etcd, clients are let in when the members know where to find this one; without a quorum it serves what needs
    // none all the same, only later.
    let patience = Duration::from_millis(PUBLISH_PATIENCE_MILLISECONDS);
    tokio::select! {
        published = tokio::time::timeout(patience, publication) => {
            if published.is_err() {
                tracing::warn!("there is no quorum yet; serving what needs none");
            }
        }
        _ = replication.removed() => {}
    }

    let doors = TaskTracker::new();
    let connections = ConnectionSettings {
        maximum_concurrent_streams: config.maximum_concurrent_streams,
        keepalive_interval: config.keepalive.interval,
        keepalive_timeout: config.keepalive.timeout,
    };
    let calls = CallSettings {
        measures_handling: config.extensive_metrics,
        slow_after: config.slow_request,
    };
    let http = HttpSettings {
        gateway: config.gateway,
        origins: config.cors_origins.clone().map_or(Names::All, Names::Only),
        hosts: config.host_names.clone().map_or(Names::All, Names::Only),
    };
    let client_doors = FrontDoors::for_clients(
        &services,
        hub.clone(),
        &metrics,
        connections,
        calls,
        http,
        stopping.clone(),
    );
    let (client_doors, http_doors) = if http_listeners.is_empty() {
        (client_doors, None)
    } else {
        let (calls, pages) = client_doors.apart();
        (calls, Some(pages))
    };
    let entrance_of = |is_tls: bool| Entrance::new(Side::Client, client_tls.clone().filter(|_| is_tls));
    for (listener, is_tls) in client_listeners {
        doors.spawn(
            client_doors
                .clone()
                .serve(asynchronous(listener)?, entrance_of(is_tls)),
        );
    }
    for (socket, ListenSocket { is_tls, .. }) in sockets.iter_mut().zip(&config.listen_sockets) {
        if let Some(listener) = socket.listener.take() {
            let listener = tokio::net::UnixListener::from_std(listener).map_err(cannot_wait)?;
            doors.spawn(client_doors.clone().serve(listener, entrance_of(*is_tls)));
        }
    }
    for ((listener, is_tls), pages) in http_listeners.into_iter().zip(http_doors.into_iter().cycle()) {
        doors.spawn(pages.serve(asynchronous(listener)?, entrance_of(is_tls)));
    }
    let metrics_doors = FrontDoors::for_metrics(&services, &metrics, connections, stopping.clone());
    for (listener, is_tls) in metrics_listeners {
        doors.spawn(
            metrics_doors
                .clone()
                .serve(asynchronous(listener)?, entrance_of(is_tls)),
        );
    }
    let consul_doors = FrontDoors::for_consul(
        &services.consul,
        bytes(config.consul_requests_per_client),
        connections,
        stopping.clone(),
    );
    for (listener, is_tls) in consul_listeners {
        doors.spawn(
            consul_doors
                .clone()
                .serve(asynchronous(listener)?, entrance_of(is_tls)),
        );
    }
    let vault_doors = FrontDoors::for_vault(&services, connections, stopping.clone());
    for (listener, is_tls) in vault_listeners {
        let entrance = Entrance::new(Side::Client, vault_tls.clone().filter(|_| is_tls));
        doors.spawn(vault_doors.clone().serve(asynchronous(listener)?, entrance));
    }
    let dns = DnsDoor::new(
        config.dns.clone(),
        services.consul.clone(),
        metrics.dns.clone(),
        stopping.clone(),
    );
    for (datagrams, listener) in dns_sockets {
        let datagrams = tokio::net::UdpSocket::from_std(datagrams).map_err(cannot_wait)?;
        doors.spawn(dns.clone().serve_datagrams(datagrams));
        doors.spawn(dns.clone().serve_connections(asynchronous(listener)?));
    }
    doors.close();
    tracing::info!(
        name = config.name,
        member = %replication.member(),
        cluster = %replication.cluster(),
        clients = ?texts(&config.listen_client),
        sockets = ?texts(&config.listen_sockets),
        peers = ?texts(&config.listen_peer),
        consul = ?texts(&config.listen_consul),
        vault = ?texts(&config.listen_vault),
        dns = ?texts(&config.listen_dns),
        "ready to serve client requests"
    );
    ready::announce();

    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|name| tracing::info!(signal = name, "stopping")),
        // As in etcd, this is no failure: there is nothing left to do here, and nothing that a restart would mend.
        reason = replication.removed() => {
            tracing::warn!(reason, "this member was removed and stops");
            Ok(())
        }
        reason = replication.failed() => Err(NodeError::Failed(reason)),
        reason = hub.failed() => Err(NodeError::Failed(reason)),
    };
    if ended.is_ok() {
        hub.stop();
        stopping.cancel();
        doors.wait().await;
        services.secrets.stop().await;
        replication.shutdown().await;
        tracing::info!("stopped");
    }
    ended
}

/// Listeners, each with whether TLS is spoken on it.
fn bind_all(flag: &'static str, addresses: &[ListenAddress]) -> Result<Vec<(TcpListener, bool)>, NodeError> {
    let bind = |address: SocketAddr| {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    addresses
        .iter()
        .map(|ListenAddress { address, is_tls }| {
            let listener = bind(*address).map_err(|source| NodeError::Listen {
                flag,
                address: *address,
                source,
            })?;
            Ok((listener, *is_tls))
        })
        .collect()
}

/// Sockets for DNS: for each address one for datagrams and one for connections.
fn bind_dns(addresses: &[SocketAddr]) -> Result<Vec<(UdpSocket, TcpListener)>, NodeError> {
    let bind = |address: SocketAddr| {
        let datagrams = UdpSocket::bind(address)?;
        datagrams.set_nonblocking(true)?;
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok((datagrams, listener))
    };
    let bind = |address: &SocketAddr| {
        bind(*address).map_err(|source| NodeError::Listen {
            flag: "listen-dns",
            address: *address,
            source,
        })
    };
    addresses.iter().map(bind).collect()
}

/// TLS for one side, which follows its files until `stopping`.
fn protection(settings: Option<TlsSettings>, stopping: &CancellationToken) -> Result<Option<Tls>, NodeError> {
    let tls = settings.map(Tls::load).transpose()?;
    if let Some(tls) = &tls {
        tokio::spawn(tls.clone().follow(stopping.clone()));
    }
    Ok(tls)
}

/// TLS for Vault's interface: as for other clients, who are asked for a certificate besides, that may be anybody's. Where
/// clients must show one of a certain authority, they must here too. None if nothing there is protected.
fn asking(config: &ServerConfig) -> Option<TlsSettings> {
    let is_protected = config.listen_vault.iter().any(|address| address.is_tls);
    let settings = config.client_tls.clone().filter(|_| is_protected)?;
    Some(TlsSettings {
        asks_for_certificate: true,
        names_callers: false,
        ..settings
    })
}

fn texts(addresses: &[impl ToString]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn asynchronous(listener: TcpListener) -> Result<tokio::net::TcpListener, NodeError> {
    tokio::net::TcpListener::from_std(listener).map_err(cannot_wait)
}

fn cannot_wait(source: io::Error) -> NodeError {
    NodeError::System {
        action: "wait for connections",
        source,
    }
}

fn bind_sockets(sockets: &[ListenSocket]) -> Result<Vec<sockets::Bound>, NodeError> {
    sockets
        .iter()
        .map(|socket| {
            sockets::Bound::at(&socket.path).map_err(|source| NodeError::ListenSocket {
                socket: socket.clone(),
                source,
            })
        })
        .collect()
}

fn replication_settings(
    config: &ServerConfig,
    peer_listeners: Vec<(TcpListener, bool)>,
    peer_tls: Option<Tls>,
    desk: Arc<LeaderDesk>,
) -> replication::Settings {
    replication::Settings {
        member: config.member,
        cluster: config.cluster,
        initial_members: config.initial_members.clone(),
        new_cluster: config.new_cluster,
        data_folder: config.data_folder.clone(),
        peer_listeners: peer_listeners
            .into_iter()
            .map(|(listener, is_tls)| PeerListener {
                listener,
                entrance: Entrance::new(Side::Peer, peer_tls.clone().filter(|_| is_tls)),
            })
            .collect(),
        peer_tls,
        dial_map: config.peer_dial_map.clone(),
        heartbeat: config.heartbeat,
        election: config.election,
        snapshot_entries: config.snapshot_entries,
        maximum_command_bytes: bytes(config.maximum_request_bytes),
        slow_apply: config.slow_apply,
        member_requests: desk,
    }
}

fn service_settings(config: &ServerConfig, replication: &Replication) -> service::Settings {
    service::Settings {
        member: replication.member(),
        cluster: replication.cluster(),
        strict_reconfiguration: config.strict_reconfiguration,
        maximum_learners: bytes(config.maximum_learners),
        election: config.election,
        maximum_request_bytes: bytes(config.maximum_request_bytes),
        maximum_txn_operations: bytes(config.maximum_txn_operations),
        slow_read: config.slow_apply,
        quota_bytes: config.quota_bytes.and_then(|quota| u64::try_from(quota).ok()),
        auto_compaction: match config.auto_compaction {
            AutoCompaction::Off => None,
            AutoCompaction::Periodic(retention) => Some(compaction::AutoCompaction::Periodic(retention)),
            AutoCompaction::Revisions(kept) => Some(compaction::AutoCompaction::Revisions(kept)),
        },
        corruption_check_interval: config.corruption_checks.interval,
        compaction_check_interval: config.corruption_checks.compaction_interval,
        consul: service::consul::Settings {
            acls: config.consul_acls.clone(),
            datacenter: config.consul_datacenter.clone(),
            node: config.name.clone(),
        },
        checks: config.checks.clone(),
        announce: !config.listen_consul.is_empty(),
    }
}

/// A limit of 32 bits as a size in memory, which has at least as many.
fn bytes(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Hands the news of every applied batch to all consumers, in order.
async fn hand_on_news(mut news: mpsc::Receiver<News>, consumers: [mpsc::Sender<Arc<News>>; 2]) {
    while let Some(batch) = news.recv().await {
        let batch = Arc::new(batch);
        for consumer in &consumers {
            // A consumer that has ended has nobody left to tell.
            let _ = consumer.send(Arc::clone(&batch)).await;
        }
    }
}

/// Tells the cluster this member's name and where its clients find it, however often it takes.
async fn publish(services: Services, name: String, client_urls: Vec<String>) {
    while let Err(error) = services.cluster.publish(&name, &client_urls).await {
        tracing::info!(%error, "this member is not published yet; trying again");
        tokio::time::sleep(Duration::from_millis(PUBLISH_AGAIN_MILLISECONDS)).await;
    }
}

/// Resolves with the name of the first signal that asks the process to stop.
async fn stop_signal() -> Result<&'static str, NodeError> {
    let listen = |kind| {
        signal(kind).map_err(|source| NodeError::System {
            action: "listen for signals",
            source,
        })
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::select! {
        Some(()) = terminate.recv() => Ok("SIGTERM"),
        Some(()) = interrupt.recv() => Ok("SIGINT"),
        else => pending().await,
    }
}
