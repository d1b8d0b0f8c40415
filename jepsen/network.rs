//! The network between the nodes: a TCP proxy in front of each node's peer port, and a table of links that says what
//! happens to the bytes that go from one node to another.
//!
//! All nodes are given the same member URLs (those of the proxies), so that any server with etcd's flags can be tested
//! unchanged. Which node dialed is asked of the kernel: the socket at the other end of an accepted connection belongs to
//! one of the processes that the harness started. A connection of anybody else is closed.
//!
//! A link is directed. Bytes from a to b obey the link (a, b) whichever of the two dialed. Bytes are never altered,
//! reordered or lost within a connection, since TCP promises that to the nodes; they are held, delayed, or the connection ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rand::Rng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The most bytes of one direction of a connection that are in the hands of a proxy.
const MAXIMUM_CHUNK_BYTES: usize = 16 * 1024;

/// What happens to the bytes from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// They pass.
    Open,
    /// They wait until the link opens again, as when packets are lost and sent again.
    Held,
    /// Connections between the two nodes end, and new ones end at once.
    Cut,
    /// Each chunk waits for up to this long, and in one of [`FLAKY_CHUNKS_PER_CUT`] cases the connection ends instead.
    Flaky {
        /// The longest wait.
        delay_milliseconds: u64,
    },
}

/// On a flaky link one chunk in this many ends its connection.
const FLAKY_CHUNKS_PER_CUT: u32 = 200;

type Links = Vec<Vec<Link>>;

/// The links and proxies of a cluster.
pub struct Network {
    links: watch::Sender<Links>,
    processes: Arc<[AtomicU32]>,
    addresses: Vec<SocketAddr>,
    listeners: Vec<JoinHandle<()>>,
}

impl Network {
    /// Starts one proxy for each of the given peer addresses, all links open.
    ///
    /// # Errors
    /// When no port of the loopback interface can be bound.
    pub async fn start(peers: &[SocketAddr]) -> std::io::Result<Self> {
        let (links, _) = watch::channel(vec![vec![Link::Open; peers.len()]; peers.len()]);
        let processes: Arc<[AtomicU32]> = peers.iter().map(|_| AtomicU32::new(0)).collect();
        let mut addresses = Vec::with_capacity(peers.len());
        let mut listeners = Vec::with_capacity(peers.len());
        for (destination, peer) in peers.iter().enumerate() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            addresses.push(listener.local_addr()?);
            let proxy = Proxy {
                destination,
                peer: *peer,
                processes: processes.clone(),
                links: links.subscribe(),
            };
            listeners.push(tokio::spawn(proxy.accept(listener)));
        }
        Ok(Self {
            links,
            processes,
            addresses,
            listeners,
        })
    }

    /// Where the others reach the peer port of `node`.
    pub fn address(&self, node: usize) -> SocketAddr {
        self.addresses[node]
    }

    /// Says which process `node` now is, so that its connections are known to be its own.
    pub fn set_process(&self, node: usize, process: u32) {
        self.processes[node].store(process, Ordering::SeqCst);
    }

    /// Puts `link` on each of the directed `pairs` (from, to), and opens all other links.
    pub fn set_links(&self, pairs: &[(usize, usize)], link: Link) {
        self.links.send_modify(|links| {
            open_all(links);
            for (from, to) in pairs {
                links[*from][*to] = link;
            }
        });
    }

    /// Opens every link.
    pub fn heal(&self) {
        self.links.send_modify(open_all);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

fn open_all(links: &mut Links) {
    for link in links.iter_mut().flatten() {
        *link = Link::Open;
    }
}

#[derive(Clone)]
struct Proxy {
    destination: usize,
    peer: SocketAddr,
    processes: Arc<[AtomicU32]>,
    links: watch::Receiver<Links>,
}

impl Proxy {
    async fn accept(self, listener: TcpListener) {
        // The tasks of the connections end with their listener.
        let mut connections = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(self.clone().carry(stream));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// Carries one connection until either side, or a link, ends it.
    async fn carry(self, dialer: TcpStream) {
        let processes = self.processes.clone();
        let (Ok(local), Ok(remote)) = (dialer.local_addr(), dialer.peer_addr()) else {
            return;
        };
        let source = tokio::task::spawn_blocking(move || {
            let inode = inode_of_socket(remote.port(), local.port())?;
            processes
                .iter()
                .position(|process| owns_socket(process.load(Ordering::SeqCst), inode))
        })
        .await;
        let Ok(Some(source)) = source else { return };
        let (outward, inward) = ((source, self.destination), (self.destination, source));
        if [outward, inward]
            .iter()
            .any(|(from, to)| self.links.borrow()[*from][*to] == Link::Cut)
        {
            return;
        }
        let Ok(server) = TcpStream::connect(self.peer).await else {
            return;
        };
        let no_delay = dialer.set_nodelay(true).and(server.set_nodelay(true));
        if no_delay.is_err() {
            return;
        }
        let (dialer_read, dialer_write) = dialer.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::select! {
            () = pump(dialer_read, server_write, outward, self.links.clone()) => {}
            () = pump(server_read, dialer_write, inward, self.links.clone()) => {}
        }
    }
}

/// Moves bytes one way as the link from `from` to `to` demands, until the connection is to end.
async fn pump(
    mut read: OwnedReadHalf,
    mut write: OwnedWriteHalf,
    (from, to): (usize, usize),
    mut links: watch::Receiver<Links>,
) {
    let mut chunk = vec![0; MAXIMUM_CHUNK_BYTES];
    loop {
        let length = tokio::select! {
            length = read.read(&mut chunk) => match length {
                Ok(length) if length > 0 => length,
                _ => return,
            },
            _ = links.wait_for(|links| links[from][to] == Link::Cut) => return,
        };
        let link = match links.wait_for(|links| links[from][to] != Link::Held).await {
            Ok(links) => links[from][to],
            Err(_) => return,
        };
        match link {
            Link::Open | Link::Held => {}
            Link::Cut => return,
            Link::Flaky { delay_milliseconds } => {
                let (cut, delay) = {
                    let mut random = rand::rng();
                    (
                        random.random_ratio(1, FLAKY_CHUNKS_PER_CUT),
                        Duration::from_millis(random.random_range(0..=delay_milliseconds)),
                    )
                };
                if cut {
                    return;
                }
                tokio::time::sleep(delay).await;
            }
        }
        if write.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

/// The inode of the loopback socket whose own port is `own` and whose other end has the port `other`.
fn inode_of_socket(own: u16, other: u16) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let port = |address: &str| u16::from_str_radix(address.split_once(':')?.1, 16).ok();
        let (local, remote) = (port(fields.next()?)?, port(fields.next()?)?);
        let inode = fields.nth(6)?.parse().ok()?;
        (local == own && remote == other).then_some(inode)
    })
}

fn owns_socket(process: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|target| target.as_os_str() == wanted.as_str())
}
