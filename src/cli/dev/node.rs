//! One node of a local cluster: how its process is started, kept running and stopped.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::base::clock;
use crate::cli::exit::CliError;
use crate::cli::server::PARENT_VARIABLE;

/// How long a node may take to stop before it is killed.
const MAXIMUM_STOP: Duration = Duration::from_secs(20);

/// Pause before a node that ended is started again.
const FIRST_RESTART_PAUSE: Duration = Duration::from_millis(500);

/// Longest such pause: it doubles each time a node ends soon after its start.
const MAXIMUM_RESTART_PAUSE: Duration = Duration::from_secs(10);

/// A node that ran this long counts as started well.
const GOOD_RUN: Duration = Duration::from_secs(30);

/// How much of a log is shown when a node does not start.
const LOG_END_LINES: usize = 15;

/// One node.
#[derive(Debug, Clone)]
pub(super) struct DevNode {
    /// Its name: n1, n2 and so on.
    pub(super) name: String,
    /// Where its process writes its log.
    pub(super) log: PathBuf,
    data: PathBuf,
    /// The file with the key that unseals its secret store.
    key: PathBuf,
    client_port: u16,
    consul_port: u16,
    vault_port: u16,
    dns_port: u16,
    initial_cluster: String,
}

/// The nodes of a cluster on these ports for clients, for Consul's and Vault's interfaces and for DNS; `key`: the file with
/// the key that unseals their secret store.
pub(super) fn describe(
    folder: &Path,
    key: &Path,
    client_ports: &[u16],
    consul_ports: &[u16],
    vault_ports: &[u16],
    dns_ports: &[u16],
) -> Vec<DevNode> {
    let named = || (1..).map(|number: usize| format!("n{number}")).zip(client_ports);
    let initial_cluster: Vec<String> = named()
        .map(|(name, port)| format!("{name}=http://127.0.0.1:{}", port + 1))
        .collect();
    named()
        .zip(consul_ports.iter().zip(vault_ports).zip(dns_ports))
        .map(|((name, port), ((consul_port, vault_port), dns_port))| DevNode {
            log: folder.join(format!("{name}.log")),
            data: folder.join(&name),
            key: key.to_owned(),
            client_port: *port,
            consul_port: *consul_port,
            vault_port: *vault_port,
            dns_port: *dns_port,
            initial_cluster: initial_cluster.join(","),
            name,
        })
        .collect()
}

impl DevNode {
    /// Where clients find it.
    pub(super) fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// Where the other nodes find it.
    pub(super) fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.client_port + 1)
    }

    /// Where it answers clients of Consul.
    pub(super) fn consul_address(&self) -> String {
        format!("127.0.0.1:{}", self.consul_port)
    }

    /// Where it answers clients of Vault.
    pub(super) fn vault_address(&self) -> String {
        format!("127.0.0.1:{}", self.vault_port)
    }

    /// Where it answers DNS.
    pub(super) fn dns_address(&self) -> String {
        format!("127.0.0.1:{}", self.dns_port)
    }

    /// The last lines of its log.
    pub(super) fn log_end(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut lines: Vec<&str> = log.lines().rev().take(LOG_END_LINES).collect();
        lines.reverse();
        lines.join("\n")
    }

    /// Starts its process. The process ends with this one (the kernel sees to it), and does not get the signals of this
    /// one's terminal.
    ///
    /// # Errors
    /// The log cannot be written, or the process cannot be started.
    pub(super) fn start(&self) -> Result<Child, CliError> {
        let failed = |error: io::Error| CliError::failure(format!("cannot start {}: {error}", self.name));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(failed)?;
        let client_url = format!("http://{}", self.endpoint());
        let peer_url = format!("http://{}", self.peer_address());
        let mut command = Command::new(env::current_exe().map_err(failed)?);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("STEAD_") || text.starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        command
            .arg("server")
            .arg(format!("--name={}", self.name))
            .arg(format!("--listen-client-urls={client_url}"))
            .arg(format!("--advertise-client-urls={client_url}"))
            .arg(format!("--listen-peer-urls={peer_url}"))
            .arg(format!("--initial-advertise-peer-urls={peer_url}"))
            .arg(format!("--initial-cluster={}", self.initial_cluster))
            .arg(format!("--listen-consul-urls=http://{}", self.consul_address()))
            .arg(format!("--listen-vault-urls=http://{}", self.vault_address()))
            .arg("--initial-cluster-token=stead-dev")
            .arg(format!("--listen-dns={}", self.dns_address()))
            .arg(format!("--secrets-seal=file:{}", self.key.display()))
            .arg("--log-format=console")
            .arg("--data-dir")
            .arg(&self.data)
            .env(PARENT_VARIABLE, process::id().to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)
    }

    /// Starts the process again whenever it ends, until `stopping`; then asks it to stop, and waits.
    pub(super) async fn supervise(self, mut child: Child, stopping: CancellationToken) {
        let mut pause = FIRST_RESTART_PAUSE;
        loop {
            let started = clock::now();
            let ended = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                ended = child.wait() => ended,
            };
            if started.elapsed() >= GOOD_RUN {
                pause = FIRST_RESTART_PAUSE;
            }
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            self.note(&format!("ended ({how}); starting it again"));
            loop {
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(MAXIMUM_RESTART_PAUSE);
                match self.start() {
                    Ok(again) => {
                        child = again;
                        break;
                    }
                    Err(error) => self.note(&error.to_string()),
                }
            }
            self.note(&format!("runs as process {}", child.id().unwrap_or_default()));
        }
        self.stop(&mut child).await;
    }

    async fn stop(&self, child: &mut Child) {
        let process = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(process) = process {
            // It may have ended a moment ago: then there is nothing to stop.
            let _ = kill_process(process, Signal::TERM);
        }
        if timeout(MAXIMUM_STOP, child.wait()).await.is_err() {
            self.note(&format!(
                "did not stop within {} s; killing it",
                MAXIMUM_STOP.as_secs()
            ));
            if let Err(error) = child.kill().await {
                self.note(&format!("cannot be killed: {error}"));
            }
        }
    }

    /// Tells the user; a note that cannot be shown is no reason to stop.
    fn note(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{} {text} (log: {})", self.name, self.log.display());
    }
}
