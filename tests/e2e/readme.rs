//! Runs every block of commands in the README, in order, in one folder, against a cluster of `stead dev`.
//!
//! What a reader does in two terminals happens in one shell each: `make run` stands for `stead dev`, and the addresses of
//! the README become free ones of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::support::{Program, Result, TestResult, free_port};

/// What the README says on addresses: this and a port.
const HOST: &str = "127.0.0.1:";

/// How far the nodes of `stead dev --base-port` are apart.
const DEV_PORT_STEP: u16 = 10;

/// How far the port for DNS is above that for clients, and how the README names the first one.
const DNS_OFFSET: u16 = 3;
const DNS_PORT: &str = "-p 8600";

/// How far the port of Consul's interface is above that for clients, and the first one without flags.
const CONSUL_OFFSET: u16 = 2;
const CONSUL_PORT: &str = "8500";

/// How far the port of Vault's interface is above that for clients, and the first one without flags.
const VAULT_OFFSET: u16 = 4;
const VAULT_PORT: &str = "8200";

/// The client ports of `stead dev` without flags.
const DEV_PORTS: [&str; 3] = ["2379", "22379", "32379"];

/// A process that is asked to stop, and waited for, when the test ends, in whatever way.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(process) = Pid::from_raw(self.0.id().cast_signed()) {
            // It may have ended already.
            let _ = kill_process(process, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// A shell and all that it started, killed when the test ends.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// The blocks of commands, each with the number of its first line.
fn blocks(readme: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(readme.lines()) {
        match line.trim_start().strip_prefix("```") {
            Some("sh") => {
                inside = true;
                found.push((number + 1, String::new()));
            }
            Some(_) => inside = false,
            None if inside => {
                if let Some((_, block)) = found.last_mut() {
                    block.push_str(line);
                    block.push('\n');
                }
            }
            None => {}
        }
    }
    found
}

/// The base of three nodes' ports, all of them free, as are those for peers and DNS above them.
fn base_port() -> Result<u16> {
    for _ in 0..100 {
        let base = free_port()?;
        let free = (0..3_u16)
            .flat_map(|node| {
                [0, 1, CONSUL_OFFSET, DNS_OFFSET, VAULT_OFFSET]
                    .map(|offset| base + node * DEV_PORT_STEP + offset)
            })
            .all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
        if free {
            return Ok(base);
        }
    }
    Err("no free ports for three nodes were found".into())
}

/// Puts a free port in place of each port of the README.
fn with_free_ports(text: &str, ports: &mut BTreeMap<String, u16>) -> Result<String> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(HOST) {
        let (before, after) = rest.split_at(start + HOST.len());
        replaced.push_str(before);
        let digits = after.chars().take_while(char::is_ascii_digit).count();
        let (port, after) = after.split_at(digits);
        let free = match ports.get(port) {
            Some(free) => *free,
            None => free_port()?,
        };
        ports.insert(port.to_owned(), free);
        replaced.push_str(&free.to_string());
        rest = after;
    }
    Ok(replaced + rest)
}

/// Starts `stead dev` and waits until it says that the cluster serves.
fn start_dev(program: &Path, folder: &Path, base: u16) -> Result<Stopped> {
    let mut dev = Stopped(
        Command::new(program)
            .args(["dev", "-o", "json", "--base-port", &base.to_string()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let output = dev.0.stdout.take().ok_or("stead dev has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    if line.contains("endpoints") {
        Ok(dev)
    } else {
        Err(format!("stead dev did not start: {line:?}").into())
    }
}

#[test]
fn every_command_of_the_readme_works() -> TestResult {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"))?;
    let Program::Stead(program) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let folder = tempfile::tempdir()?;
    let base = base_port()?;
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    for (port, node) in DEV_PORTS.into_iter().zip(0_u16..) {
        ports.insert(port.to_owned(), base + node * DEV_PORT_STEP);
    }
    ports.insert(CONSUL_PORT.to_owned(), base + CONSUL_OFFSET);
    ports.insert(VAULT_PORT.to_owned(), base + VAULT_OFFSET);
    let binaries = program.parent().ok_or("the program has no folder")?.to_owned();
    let path = std::env::var("PATH")?;
    let path = format!("{}:{path}", binaries.display());
    let mut dev = None;
    let blocks = blocks(&readme);
    assert!(blocks.len() >= 6, "the README has commands");
    for (number, block) in blocks {
        if block.trim() == "make run" {
            dev = Some(start_dev(&program, folder.path(), base)?);
            continue;
        }
        assert!(dev.is_some(), "the README starts a cluster before it uses one");
        let script = with_free_ports(&block, &mut ports)?;
        let script = script.replace(DNS_PORT, &format!("-p {}", base + DNS_OFFSET));
        let output = folder.path().join("output");
        let log = fs::File::create(&output)?;
        let shell = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", &path)
            .env("CARGO_TARGET_DIR", binaries.parent().unwrap_or(&binaries))
            .env("STEAD_ENDPOINTS", format!("{HOST}{base}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        // What the block leaves running ends with it.
        let mut group = Group(shell);
        let status = group.0.wait()?;
        drop(group);
        assert!(
            status.success(),
            "README.md:{number}: {status}\n{script}\n{}",
            fs::read_to_string(&output)?
        );
    }
    Ok(())
}
