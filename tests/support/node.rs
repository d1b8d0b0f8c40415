//! One server process: its addresses, its files, and the signals that a test sends to it.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::ports::Reservation;
use super::{Program, Result};

/// How long a process may take to end after SIGTERM.
const MAXIMUM_SHUTDOWN: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How often a paused process is looked at before it counts as not stopping.
const MAXIMUM_PAUSE_POLLS: usize = 500;

/// How much of a log is shown when something fails.
const LOG_TAIL_LINES: usize = 40;

/// One member of a cluster: a process that may be running, stopped or dead, and what is needed to start it again.
pub struct Node {
    pub(super) program: Program,
    pub(super) name: String,
    /// `http` or `https`, for clients and peers.
    pub(super) scheme: &'static str,
    pub(super) client_port: u16,
    pub(super) peer_port: u16,
    /// The peer URL that this node tells of itself.
    pub(super) advertised_peer_url: String,
    /// The value of `--initial-cluster`, as this node sees its peers.
    pub(super) initial_cluster: String,
    /// The value of `--initial-cluster-state`.
    pub(super) initial_state: &'static str,
    pub(super) cluster_token: String,
    pub(super) data_directory: PathBuf,
    pub(super) log_path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) launcher: Vec<String>,
    pub(super) reservations: Vec<Reservation>,
    pub(super) process: Option<Child>,
}

impl Node {
    /// The name given with `--name`: `n1`, `n2` and so on.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL on which clients reach the node.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.client_port)
    }

    /// The address, `127.0.0.1:port`, on which the node listens for clients.
    pub fn client_address(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    /// The address, `127.0.0.1:port`, on which the node listens for its peers, whatever URL it advertises.
    pub fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.peer_port)
    }

    /// The peer URL that this node tells of itself.
    pub fn peer_url(&self) -> &str {
        &self.advertised_peer_url
    }

    /// Takes another port for its peers from the next start on; returns the URL that it tells of itself then.
    pub fn change_peer_port(&mut self) -> Result<String> {
        let reservation = super::ports::reserve_port()?;
        self.peer_port = reservation.port;
        self.advertised_peer_url = format!("http://127.0.0.1:{}", self.peer_port);
        self.reservations.push(reservation);
        Ok(self.advertised_peer_url.clone())
    }

    /// The value of `--initial-cluster` from the next start on.
    pub fn set_initial_cluster(&mut self, initial_cluster: impl Into<String>) {
        self.initial_cluster = initial_cluster.into();
    }

    /// Forgets who the node was: its folder is empty, and the next start joins a cluster that is there, as the member that
    /// was added for it.
    pub fn forget_identity(&mut self) -> Result<()> {
        if self.data_directory.exists() {
            fs::remove_dir_all(&self.data_directory)?;
        }
        self.initial_state = "existing";
        Ok(())
    }

    /// The directory given with `--data-dir`. It outlives the process and goes with the cluster.
    pub fn data_directory(&self) -> &Path {
        &self.data_directory
    }

    /// The file that holds the standard output and error of every process this node has had.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log_path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
        format!(
            "--- {} {} ({})\n{tail}",
            self.program.name(),
            self.name,
            self.log_path.display()
        )
    }

    /// The process id, while a process is there.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// The flags beyond the addresses, used from the next start on.
    pub fn set_arguments(&mut self, arguments: Vec<String>) {
        self.arguments = arguments;
    }

    /// The flags beyond the addresses.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The program to use from the next start on: another build of Stead, for instance.
    pub fn set_program(&mut self, program: Program) {
        self.program = program;
    }

    /// A command that turns into the server (by exec, so that signals reach it), such as `nice` or `setpriv`, used from
    /// the next start on. Empty: none.
    pub fn set_launcher(&mut self, launcher: &[&str]) {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
    }

    /// The flags that make the data folder of this node, for `snapshot restore` of either program.
    pub fn restore_arguments(&self) -> Vec<String> {
        vec![
            format!("--name={}", self.name),
            format!("--data-dir={}", self.data_directory.display()),
            format!("--initial-cluster={}", self.initial_cluster),
            format!("--initial-cluster-token={}", self.cluster_token),
            format!("--initial-advertise-peer-urls={}", self.advertised_peer_url),
        ]
    }

    /// The whole command line, as [`Node::start`] runs it.
    pub fn command(&self) -> std::process::Command {
        let client_url = self.endpoint();
        let mut command = self.program.command(&self.launcher);
        command
            .args(["--name", &self.name])
            .arg("--data-dir")
            .arg(&self.data_directory)
            .args(["--listen-client-urls", &client_url])
            .args(["--advertise-client-urls", &client_url])
            .args([
                "--listen-peer-urls",
                &format!("{}://{}", self.scheme, self.peer_address()),
            ])
            .args(["--initial-advertise-peer-urls", &self.advertised_peer_url])
            .args(["--initial-cluster", &self.initial_cluster])
            .args(["--initial-cluster-state", self.initial_state])
            .args(["--initial-cluster-token", &self.cluster_token])
            .args(&self.arguments)
            .stdin(Stdio::null());
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("ETCD_") || name.starts_with("STEAD_") {
                command.env_remove(&variable);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process and returns at once. The log is continued, not begun again.
    pub fn start(&mut self) -> Result<()> {
        if let Some(status) = self.exit_status()? {
            tracing::debug!(node = self.name, %status, "start after an exit");
        }
        if self.process.is_some() {
            return Err(format!("{} is running already", self.name).into());
        }
        self.reservations.clear();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log_path)?;
        self.process = Some(self.spawn(log)?);
        Ok(())
    }

    fn spawn(&self, log: File) -> Result<Child> {
        let mut command = self.command();
        command.stdout(log.try_clone()?).stderr(log);
        command
            .spawn()
            .map_err(|error| format!("cannot start {:?}: {error}", command.get_program()).into())
    }

    /// The exit status if the process has ended by itself; the node then counts as stopped.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let status = process.try_wait()?;
        if status.is_some() {
            self.process = None;
        }
        Ok(status)
    }

    /// Waits for the process to end by itself, at most `limit`.
    pub fn wait_for_exit(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            if self.process.is_none() {
                return Err(format!("{} is not running", self.name).into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} still runs after {limit:?}\n{}", self.name, self.log_tail()).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// SIGKILL, and waits until the process is gone. Nothing happens if no process is there.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// SIGSTOP: the process stays, its sockets stay open, nothing answers. Waits until all its threads have stopped, which
    /// on a busy machine is a while after the signal.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        for _ in 0..MAXIMUM_PAUSE_POLLS {
            if self.is_stopped()? {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Err(format!("{} does not stop on SIGSTOP", self.name).into())
    }

    /// Whether the kernel says of every thread that it is stopped.
    fn is_stopped(&self) -> Result<bool> {
        let process = self.process.as_ref().map_or(0, Child::id);
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let Ok(status) = fs::read_to_string(thread?.path().join("stat")) else {
                // A thread that has ended meanwhile.
                continue;
            };
            let state = status
                .rsplit(')')
                .next()
                .and_then(|rest| rest.trim().chars().next());
            if state != Some('T') {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// SIGTERM, and waits for the process to end; returns how it ended.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait_for_exit(MAXIMUM_SHUTDOWN)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self
            .process
            .as_ref()
            .ok_or_else(|| format!("{} is not running", self.name))?;
        Ok(kill_process(Pid::from_child(process), signal)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        // A process that has gone already is no matter here.
        let _ = self.kill();
    }
}
