//! All certificates, keys and authorities of clients and peers replaced, one step after the other, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use stead::proto::etcdserverpb::PutRequest;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::site::{HOSTS, HTTP2_PREFACE, Site, is_let_in, is_spoken_with};
use super::{MAXIMUM_WAIT, eventually};
use crate::support::pki::Authority;
use crate::support::{Clients, Cluster, Credentials, Program, Result, Security, TestResult};

/// Puts that succeed between two steps, by each kind of writer.
const PUTS_BETWEEN_STEPS: usize = 50;

/// Writers that take no failure: one on a connection that is never closed, and one that connects anew for each put, both
/// for each node.
struct Load {
    credentials: Arc<Mutex<Credentials>>,
    is_stopped: Arc<AtomicBool>,
    puts: Vec<Arc<AtomicUsize>>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(cluster: &Cluster, credentials: Credentials) -> Self {
        let mut load = Self {
            credentials: Arc::new(Mutex::new(credentials)),
            is_stopped: Arc::default(),
            puts: Vec::new(),
            tasks: Vec::new(),
        };
        for endpoint in cluster.endpoints() {
            for reconnects in [false, true] {
                let puts = Arc::new(AtomicUsize::new(0));
                load.puts.push(Arc::clone(&puts));
                load.tasks.push(tokio::spawn(write(
                    endpoint.clone(),
                    Arc::clone(&load.credentials),
                    Arc::clone(&load.is_stopped),
                    puts,
                    reconnects,
                )));
            }
        }
        load
    }

    /// Waits until every writer has written more; one that has failed is an error at once.
    async fn goes_on(&self) -> Result<()> {
        let before: Vec<usize> = self
            .puts
            .iter()
            .map(|puts| puts.load(Ordering::Relaxed))
            .collect();
        eventually("every writer goes on", async || {
            if self.tasks.iter().any(JoinHandle::is_finished) {
                return Err("a writer has failed".into());
            }
            let now = self.puts.iter().map(|puts| puts.load(Ordering::Relaxed));
            Ok(now
                .zip(&before)
                .all(|(now, before)| now >= before + PUTS_BETWEEN_STEPS))
        })
        .await
    }

    /// The first failure, if there was any.
    async fn stop(self) -> Result<()> {
        self.is_stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

async fn write(
    endpoint: String,
    credentials: Arc<Mutex<Credentials>>,
    is_stopped: Arc<AtomicBool>,
    puts: Arc<AtomicUsize>,
    reconnects: bool,
) -> Result<()> {
    let connect = || Clients::protected(&endpoint, &credentials.lock().clone());
    let mut clients = connect()?;
    while !is_stopped.load(Ordering::Relaxed) {
        if reconnects {
            clients = connect()?;
        }
        let put = PutRequest {
            key: "rotation".into(),
            ..PutRequest::default()
        };
        let put = timeout(MAXIMUM_WAIT, clients.kv.put(put)).await?;
        put.map_err(|status| format!("{endpoint} (reconnects: {reconnects}): {status:?}"))?;
        puts.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Waits until what is asked of every node is so.
async fn on_every_node<F>(cluster: &Cluster, what: &str, is_so: impl Fn(String, String) -> F) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    for node in cluster.nodes() {
        eventually(&format!("{}: {what}", node.name()), || {
            is_so(node.endpoint(), node.peer_address())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn certificates_keys_and_authorities_are_replaced_under_load_and_no_request_fails() -> TestResult {
    let site = Site::new(3)?;
    let mut cluster = site.cluster(Program::stead()?).start().await?;
    let old = site.credentials();
    let load = Load::start(&cluster, old.clone());
    load.goes_on().await?;

    // First everybody trusts both authorities.
    let (clients, peers) = (Authority::new("next clients")?, Authority::new("next peers")?);
    let both = site.clients.pem() + &clients.pem();
    let both_peers = site.peers.pem() + &peers.pem();
    let new = Credentials {
        authorities: clients.pem(),
        identity: Some(clients.issue("alice", &[])?),
    };
    let new_peer = Credentials {
        authorities: both_peers.clone(),
        identity: Some(peers.issue("probe", &HOSTS)?),
    };
    site.replace("client-ca.pem", &both)?;
    site.replace("peer-ca.pem", &both_peers)?;
    on_every_node(&cluster, "trusts both authorities", |endpoint, peer| {
        let trusting = Credentials {
            authorities: both.clone(),
            ..new.clone()
        };
        let new_peer = new_peer.clone();
        async move {
            Ok(is_let_in(&endpoint, &trusting).await?
                && is_spoken_with(&peer, &new_peer, HTTP2_PREFACE).await?)
        }
    })
    .await?;
    load.credentials.lock().authorities.clone_from(&both);
    load.goes_on().await?;

    // Then everybody shows a certificate of the new one.
    for node in 0..3 {
        site.issue_node(node, &clients, &peers)?;
    }
    load.credentials.lock().identity.clone_from(&new.identity);
    on_every_node(
        &cluster,
        "shows a certificate of the new authority",
        |endpoint, peer| {
            let new = new.clone();
            let new_peer = Credentials {
                authorities: peers.pem(),
                ..new_peer.clone()
            };
            async move {
                Ok(is_let_in(&endpoint, &new).await?
                    && is_spoken_with(&peer, &new_peer, HTTP2_PREFACE).await?)
            }
        },
    )
    .await?;
    load.goes_on().await?;

    // Then nobody trusts the old one any more.
    load.credentials.lock().authorities.clone_from(&new.authorities);
    site.replace("client-ca.pem", &clients.pem())?;
    site.replace("peer-ca.pem", &peers.pem())?;
    site.replace("client-crl.pem", &clients.revoke(&[])?)?;
    let old_peer = Credentials {
        authorities: peers.pem(),
        identity: Some(site.peers.issue("probe", &HOSTS)?),
    };
    on_every_node(&cluster, "refuses the old authority", |endpoint, peer| {
        let refused = Credentials {
            authorities: both.clone(),
            identity: old.identity.clone(),
        };
        let old_peer = old_peer.clone();
        async move {
            Ok(!is_let_in(&endpoint, &refused).await?
                && !is_spoken_with(&peer, &old_peer, HTTP2_PREFACE).await?)
        }
    })
    .await?;
    load.goes_on().await?;
    load.stop().await?;

    // Members that connect anew find each other with the new ones.
    cluster.set_security(Security::Tls(new));
    for node in 0..3 {
        cluster.restart(node).await?;
    }
    Ok(())
}
