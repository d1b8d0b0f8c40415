//! In the place of etcd: the binary under etcd's names, as what launches, probes and supervises an etcd sees it.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{Program, Result, TestResult, free_port};

const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Copies of the binary under etcd's names, and what runs under them.
struct Site {
    folder: TempDir,
    running: Vec<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        for child in &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Site {
    fn new() -> Result<Self> {
        let Program::Stead(program) = Program::stead()? else {
            return Err("the program is not stead".into());
        };
        let folder = tempfile::tempdir()?;
        // A hard link is as good as a copy, and smaller, where it can be made.
        let copy = folder.path().join("etcd");
        if fs::hard_link(&program, &copy).is_err() {
            fs::copy(&program, &copy)?;
        }
        for name in ["etcdctl", "etcdutl", "stead"] {
            std::os::unix::fs::symlink(&program, folder.path().join(name))?;
        }
        Ok(Self {
            folder,
            running: Vec::new(),
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path(name));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("STEAD_ENDPOINTS")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(name, arguments).output()?)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Starts a server with a log of its own.
    fn start(&mut self, mut command: Command) -> Result<()> {
        let log = fs::File::create(self.path("log"))?;
        self.running.push(command.stderr(log).spawn()?);
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + MAXIMUM_WAIT;
        while !self.log().contains("ready to serve client requests") {
            if Instant::now() > deadline {
                return Err(format!("the server is not ready\n{}", self.log()).into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn terminate(&mut self) -> Result<ExitStatus> {
        let mut child = self.running.pop().ok_or("nothing runs")?;
        let process = Pid::from_raw(child.id().cast_signed()).ok_or("no process")?;
        kill_process(process, Signal::TERM)?;
        Ok(child.wait()?)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn http(address: &str, path: &str) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(address)?;
    std::io::Write::write_all(
        &mut stream,
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

#[test]
fn each_name_says_which_etcd_it_stands_for_in_its_first_line() -> TestResult {
    let site = Site::new()?;
    for (name, argument, first) in [
        ("etcd", "--version", "etcd Version: 3.7.1"),
        ("etcd", "-version", "etcd Version: 3.7.1"),
        ("etcdctl", "version", "etcdctl version: 3.7.1\nAPI version: 3.7"),
        ("etcdutl", "version", "etcdutl version: 3.7.1\nAPI version: 3.7"),
    ] {
        let output = site.run(name, &[argument])?;
        assert!(output.status.success(), "{name} {argument}");
        let printed = text(&output.stdout);
        assert!(printed.starts_with(first), "{name} {argument}: {printed}");
        assert!(printed.to_lowercase().contains("\nstead version: "), "{printed}");
    }
    Ok(())
}

#[test]
fn a_server_under_etcds_name_lives_and_ends_as_its_supervisor_expects() -> TestResult {
    let mut site = Site::new()?;
    let (peer, client, pages) = (free_port()?, free_port()?, free_port()?);
    let notify = UnixDatagram::bind(site.path("notify"))?;
    notify.set_read_timeout(Some(MAXIMUM_WAIT))?;
    let mut command = site.command(
        "etcd",
        &[
            // Go's flags: one dash or two, with a space or an equals sign.
            "-name",
            "one",
            "--data-dir=data",
            &format!("-listen-client-urls=http://[::1]:{client},unix://client.sock"),
            &format!("--advertise-client-urls=http://[::1]:{client}"),
            &format!("--listen-client-http-urls=http://127.0.0.1:{pages}"),
            &format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            &format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            &format!("--initial-cluster=one=http://127.0.0.1:{peer}"),
            "--pre-vote=true",
            "--feature-gates=InitialCorruptCheck=true,LeaseCheckpoint=true",
        ],
    );
    command
        .env("ETCD_SNAPSHOT_COUNT", "5000")
        .env("NOTIFY_SOCKET", site.path("notify"));
    site.start(command)?;
    site.wait_until_ready()?;
    let mut buffer = [0; 64];
    let length = notify.recv(&mut buffer)?;
    assert_eq!(&buffer[..length], b"READY=1");
    let log = site.log();
    assert!(log.contains("--pre-vote has no effect: "), "{log}");
    assert!(
        log.contains("--feature-gates LeaseCheckpoint has no effect: "),
        "{log}"
    );

    let ipv6 = format!("--endpoints=[::1]:{client}");
    let socket = format!("--endpoints=unix://{}", site.path("client.sock").display());
    let put = site.run("etcdctl", &[&ipv6, "put", "greeting", "hello"])?;
    assert!(put.status.success(), "{}", text(&put.stderr));
    let get = site.run("etcdctl", &[&socket, "get", "greeting"])?;
    assert_eq!(text(&get.stdout), "greeting\nhello\n", "{}", text(&get.stderr));
    let other = Command::new("etcdctl")
        .args([&socket, "get", "greeting"])
        .env("ETCDCTL_API", "3")
        .output()?;
    assert_eq!(
        text(&other.stdout),
        "greeting\nhello\n",
        "{}",
        text(&other.stderr)
    );
    let status = site.run("etcdctl", &[&ipv6, "endpoint", "status"])?;
    assert!(
        text(&status.stdout).contains(", 3.7.1, "),
        "{}",
        text(&status.stdout)
    );

    // Asked for in pieces, it is the same.
    let whole = site.run("etcdctl", &[&ipv6, "get", "", "--prefix", "-w", "json"])?;
    let pieces = site.run(
        "etcdctl",
        &[&ipv6, "get", "", "--prefix", "--stream", "-w", "json"],
    )?;
    assert!(
        text(&whole.stdout).contains("\"count\":1"),
        "{}",
        text(&whole.stdout)
    );
    assert_eq!(
        text(&pieces.stdout),
        text(&whole.stdout),
        "{}",
        text(&pieces.stderr)
    );

    let saved = site.run("etcdctl", &[&ipv6, "snapshot", "save", "saved.db"])?;
    assert!(saved.status.success(), "{}", text(&saved.stderr));
    let status = |name, format| {
        let output = site.run(name, &["snapshot", "status", "saved.db", "-w", format])?;
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        Ok::<_, crate::support::Error>(text(&output.stdout))
    };
    for format in ["simple", "json", "table"] {
        assert_eq!(status("etcdutl", format)?, status("stead", format)?, "{format}");
    }
    let restore = [
        "snapshot",
        "restore",
        "saved.db",
        "--data-dir=restored",
        "--initial-memory-map-size=1",
    ];
    let restored = site.run("etcdutl", &restore)?;
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert!(site.path("restored").read_dir()?.next().is_some());
    let elsewhere = [&restore[..3], &["--data-dir=other", "--wal-dir=wal"]].concat();
    let refused = site.run("etcdutl", &elsewhere)?;
    assert!(!refused.status.success() && !site.path("other").exists());
    assert!(
        text(&refused.stderr).contains("--wal-dir"),
        "{}",
        text(&refused.stderr)
    );

    // HTTP is apart from gRPC, as the flag asks.
    let page = http(&format!("127.0.0.1:{pages}"), "/health")?;
    assert!(page.contains("\"health\":\"true\""), "{page}");
    let none = http(&format!("[::1]:{client}"), "/health")?;
    assert!(none.starts_with("HTTP/1.1 404"), "{none}");

    let ended = site.terminate()?;
    assert_eq!(
        ended.code(),
        Some(0),
        "{ended} {:?}\n{}",
        ended.signal(),
        site.log()
    );
    assert!(
        !site.path("client.sock").exists(),
        "the file of the socket is left"
    );
    Ok(())
}

#[test]
fn tls_is_spoken_on_sockets_and_where_http_is_apart() -> TestResult {
    let mut site = Site::new()?;
    let (peer, client, pages) = (free_port()?, free_port()?, free_port()?);
    let command = site.command(
        "etcd",
        &[
            "--data-dir=data",
            "--auto-tls",
            &format!("--listen-client-urls=https://127.0.0.1:{client},unixs://client.sock,unix://plain.sock"),
            &format!("--advertise-client-urls=https://127.0.0.1:{client}"),
            &format!("--listen-client-http-urls=https://127.0.0.1:{pages}"),
            &format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            &format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
            &format!("--initial-cluster=default=http://127.0.0.1:{peer}"),
        ],
    );
    site.start(command)?;
    site.wait_until_ready()?;
    let authority = site.path("data/fixtures/client/cert.pem").display().to_string();
    let cacert = format!("--cacert={authority}");
    let address = format!("--endpoints=https://127.0.0.1:{client}");
    let bare = format!("--endpoints=127.0.0.1:{client}");
    let socket = format!("--endpoints=unixs://{}", site.path("client.sock").display());
    let plain = format!("--endpoints=unix://{}", site.path("plain.sock").display());
    let put = site.run("etcdctl", &[&socket, &cacert, "put", "greeting", "hello"])?;
    assert!(put.status.success(), "{}", text(&put.stderr));
    let [address, bare, socket, plain] = [&address, &bare, &socket, &plain].map(String::as_str);
    let good: [&[&str]; 6] = [
        &[address, &cacert],
        &[bare, &cacert],
        &[bare, "--insecure-skip-tls-verify"],
        &[
            bare,
            "--insecure-transport=false",
            "--insecure-skip-tls-verify=true",
        ],
        &[socket, "--insecure-skip-tls-verify"],
        &[plain],
    ];
    for arguments in good {
        let get = site.run("etcdctl", &[arguments, &["get", "greeting"]].concat())?;
        let (printed, error) = (text(&get.stdout), text(&get.stderr));
        assert_eq!(printed, "greeting\nhello\n", "{arguments:?}: {error}");
    }
    // Whose certificate is not trusted, or who speaks in the clear, gets nothing.
    for endpoint in [address, socket, bare] {
        let get = site.run("etcdctl", &[endpoint, "get", "greeting"])?;
        assert_eq!(get.status.code(), Some(1), "{endpoint}");
        assert!(text(&get.stderr).starts_with("Error: "), "{}", text(&get.stderr));
    }
    // Nothing was sent, so that nothing can have been done: neither in the clear to TLS, nor the other way round.
    let reverse = plain.replace("unix://", "unixs://");
    for (endpoint, mend) in [(bare, "write https://"), (&reverse, "write http://")] {
        let put = site.run("etcdctl", &[endpoint, "put", "greeting", "bye"])?;
        let error = text(&put.stderr);
        assert_eq!(put.status.code(), Some(1), "{endpoint}");
        assert!(
            error.contains("cannot connect to ")
                && error.contains(mend)
                && !error.contains("may have been made"),
            "{error}"
        );
    }
    let curl = |address: &str| {
        let url = format!("{address}:{pages}/health");
        let arguments = ["--silent", "--max-time", "30", "--cacert", &authority, &url];
        Command::new("curl").args(arguments).output()
    };
    let page = text(&curl("https://127.0.0.1")?.stdout);
    assert!(page.contains("\"health\":\"true\""), "{page}");
    let page = text(&curl("http://127.0.0.1")?.stdout);
    assert!(
        page.contains("Client sent an HTTP request to an HTTPS server."),
        "{page}"
    );

    // A mirror has flags of its own for its destination.
    let destination = format!("127.0.0.1:{client}");
    let dest_cacert = format!("--dest-cacert={authority}");
    let flags = ["--prefix=greeting", "--dest-prefix=copy", &dest_cacert];
    let mirror = [&[plain, "make-mirror", &destination][..], &flags].concat();
    let mirror = site
        .command("etcdctl", &mirror)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    site.running.push(mirror);
    let deadline = Instant::now() + MAXIMUM_WAIT;
    while text(&site.run("etcdctl", &[plain, "get", "copy"])?.stdout) != "copy\nhello\n" {
        assert!(Instant::now() < deadline, "nothing is mirrored");
        std::thread::sleep(POLL);
    }
    site.terminate()?;
    Ok(())
}

#[test]
fn an_unknown_flag_ends_the_server_before_it_writes_anything() -> TestResult {
    let site = Site::new()?;
    let output = site.run("etcd", &["--nonsense=1", "--data-dir=data"])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("unknown flag --nonsense"));
    assert!(!site.path("data").exists());
    Ok(())
}

#[test]
fn what_etcdutl_cannot_do_here_is_refused_with_what_can() -> TestResult {
    let site = Site::new()?;
    for arguments in [&["migrate", "--data-dir=x"][..], &["defrag"], &["hashkv", "x.db"]] {
        let output = site.run("etcdutl", arguments)?;
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        let error = text(&output.stderr);
        assert!(
            error.starts_with("Error: etcdutl ") && error.contains("not supported: "),
            "{error}"
        );
    }
    Ok(())
}

/// The files that a completion or a manual is made of.
fn is_script(shell: &str, script: &Path) -> Result<bool> {
    let checked = Command::new(shell).arg("-n").arg(script).output()?;
    Ok(checked.status.success())
}

#[test]
fn completions_and_manual_pages_come_from_the_definitions() -> TestResult {
    let site = Site::new()?;
    let Program::Stead(program) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    for (path, name) in [(program.as_path(), "stead"), (&site.path("etcdctl"), "etcdctl")] {
        for shell in ["bash", "zsh", "fish"] {
            let output = Command::new(path).args(["completion", shell]).output()?;
            let script = text(&output.stdout);
            assert!(output.status.success() && script.contains(name), "{name} {shell}");
            assert!(
                script.contains("make-mirror") && script.contains("print-value-only"),
                "{name} {shell}"
            );
            if shell == "bash" {
                let file = site.path("script");
                fs::write(&file, &script)?;
                assert!(is_script("bash", &file)?, "{name} {shell}");
            }
        }
    }
    let output = Command::new(&program).arg("man").output()?;
    assert!(
        text(&output.stdout).contains(".TH stead"),
        "{}",
        text(&output.stdout)
    );
    let folder = site.path("man1");
    let made = Command::new(&program).arg("man").arg(&folder).output()?;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let page = fs::read_to_string(folder.join("stead-lease-grant.1"))?;
    assert!(page.contains("Time to live in seconds"), "{page}");
    Ok(())
}
