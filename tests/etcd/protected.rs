//! Every command of Debian's etcdctl, 3.4, against three nodes that speak TLS and need users.
//!
//! A step of the scripts in `protected/` is a piece of bash with the words of `prelude.sh`; all steps of a script run in
//! one folder. Clients must show a certificate. The users are root and alice, who may do all with keys that begin with
//! `a`, and whose name is in the certificate.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group};
use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::{AlarmRequest, AlarmType};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::script::{Script, Step};
use super::{differences, etcdctl, is_to_be_recorded, script_paths};
use crate::e2e::auth::{ALICE_PASSWORD, ROOT_PASSWORD, protected};
use crate::e2e::tls::site::Site;
use crate::support::{Cluster, Program, Result, TestResult};

/// How many clusters of each program run at a time.
const MAXIMUM_CLUSTERS_OF_EACH: usize = 2;

/// How long a step may take: `check perf` writes for a minute.
const MAXIMUM_STEP: Duration = Duration::from_secs(180);

/// The id of no member, and small enough to be shown.
const RAISED_BY: u64 = 5;

/// What etcdctl does without a server, whoever calls it.
const WITHOUT_A_SERVER: [&str; 6] = [
    "completion",
    "help",
    "migrate",
    "snapshot restore",
    "snapshot status",
    "version",
];

/// Flags that ask a name server for the members: nothing of that reaches a member.
const NEEDS_A_NAME_SERVER: [&str; 3] = ["--discovery-srv", "--discovery-srv-name", "--insecure-discovery"];

/// Kills a shell and all that it started.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // All of it may have ended already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// A cluster, its certificates, and the folder in which the shell works.
struct Protected {
    site: Site,
    cluster: Cluster,
    folder: TempDir,
    /// What differs from run to run, and what is written in its place.
    names: Vec<(String, String)>,
}

impl Protected {
    async fn start(program: Program) -> Result<Self> {
        let (site, cluster) = protected(program).await?;
        let folder = tempfile::tempdir()?;
        let mut names = vec![(folder.path().display().to_string(), "<folder>".to_owned())];
        for (index, node) in (1..).zip(cluster.nodes()) {
            names.push((node.endpoint(), format!("<endpoint {index}>")));
            names.push((node.client_address(), format!("<address {index}>")));
            names.push((node.peer_url().to_owned(), format!("<peer {index}>")));
        }
        names.push((cluster.status(0).await?.version, "<version>".to_owned()));
        Ok(Self {
            site,
            cluster,
            folder,
            names,
        })
    }

    /// `raise NOSPACE`, which etcdctl cannot.
    async fn raise(&self, alarm: &str) -> Result<Vec<String>> {
        let request = AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: RAISED_BY,
            alarm: AlarmType::from_str_name(alarm).ok_or("no such alarm")?.into(),
        };
        self.cluster.clients(0)?.maintenance.alarm(request).await?;
        Ok(Vec::new())
    }

    /// The answer to a step. Who calls what of etcdctl is noted in the file `calls`, a call on each line.
    async fn answer(&self, step: &Step, calls: &Path) -> Result<Vec<String>> {
        if let Some(alarm) = step.command.first().and_then(|line| line.strip_prefix("raise ")) {
            return self.raise(alarm).await;
        }
        let prelude = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/etcd/protected/prelude.sh");
        let pair = self.site.alice_pair();
        let endpoints = self.cluster.endpoints();
        let child = Command::new("bash")
            .arg("-c")
            .arg(format!(". {}\n{}", prelude.display(), step.command.join("\n")))
            .current_dir(self.folder.path())
            .env("CALLS", calls)
            .env("ROOT_PASSWORD", ROOT_PASSWORD)
            .env("ALICE_PASSWORD", ALICE_PASSWORD)
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_ENDPOINTS", endpoints.join(","))
            // Neither a login nor an answer takes that long, but a busy machine may.
            .env("ETCDCTL_DIAL_TIMEOUT", "30s")
            .env("ETCDCTL_COMMAND_TIMEOUT", "30s")
            .env("ETCDCTL_CACERT", self.site.path("client-ca.pem"))
            .env("ETCDCTL_CERT", pair.certificate)
            .env("ETCDCTL_KEY", pair.key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
        let output = timeout(MAXIMUM_STEP, child.wait_with_output())
            .await
            .map_err(|_| format!("it did not end within {MAXIMUM_STEP:?}"))??;
        drop(group);
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        for (from, to) in &self.names {
            printed = printed.replace(from, to);
        }
        Ok(sorted(etcdctl::shown(&printed)))
    }
}

/// Sorts the lines that the shell has marked as unordered, and takes the marks out.
fn sorted(lines: Vec<String>) -> Vec<String> {
    let mut result = Vec::new();
    let mut unordered = None;
    for line in lines {
        match (line.as_str(), &mut unordered) {
            ("<unordered>", None) => unordered = Some(Vec::new()),
            ("</unordered>", Some(lines)) => {
                lines.sort();
                result.append(lines);
                unordered = None;
            }
            (_, Some(lines)) => lines.push(line),
            (_, None) => result.push(line),
        }
    }
    result
}

async fn run(path: &Path, program: &Program, calls: &Path) -> Result<Vec<String>> {
    let script = Script::read(path)?;
    let protected = Protected::start(program.clone()).await?;
    let mut answers = Vec::new();
    let is_etcd = matches!(program, Program::Etcd(_));
    for step in script.steps() {
        if is_etcd && !step.is_for_etcd() {
            answers.push(Vec::new());
            continue;
        }
        let answer = protected.answer(step, calls).await;
        answers.push(answer.map_err(|error| format!("{}:{}: {error}", script.name, step.line))?);
    }
    if is_etcd && is_to_be_recorded() {
        fs::write(path, script.with_answers(&answers))?;
        return Ok(Vec::new());
    }
    Ok(differences(&script, &answers, is_etcd))
}

/// Runs every script, each on its own cluster; returns the differences.
async fn run_all(program: Program, calls: &Path) -> Result<Vec<String>> {
    let paths = script_paths("protected")?;
    let runs = stream::iter(&paths).map(|path| {
        let program = &program;
        async move {
            let differences = run(path, program, calls).await;
            let differences =
                differences.unwrap_or_else(|error| vec![format!("{}: {error}\n", path.display())]);
            let of = |difference| format!("{} {difference}", program.name());
            differences.into_iter().map(of).collect::<Vec<String>>()
        }
    });
    Ok(runs.buffered(MAXIMUM_CLUSTERS_OF_EACH).concat().await)
}

/// What `etcdctl` says of itself or of a command.
async fn help(command: &str) -> Result<String> {
    let mut etcdctl = Command::new("etcdctl");
    etcdctl.args(command.split_whitespace()).arg("--help");
    let output = etcdctl.env("ETCDCTL_API", "3").output().await?;
    Ok(String::from_utf8(output.stdout)?)
}

/// The lines below a heading of such a text.
fn section<'text>(text: &'text str, heading: &str) -> impl Iterator<Item = &'text str> {
    let below = text
        .split_once(&format!("\n{heading}:\n"))
        .map_or("", |(_, below)| below);
    let lines = below.lines().take_while(|line| !line.ends_with(':'));
    lines.map(str::trim).filter(|line| !line.is_empty())
}

/// The flags that a text of help names, but for that of the help itself.
fn flags(text: &str) -> Vec<String> {
    let words = section(text, "OPTIONS")
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")));
    words
        .filter_map(|word| word.split(['[', '=']).next())
        .filter(|flag| *flag != "--help" && !NEEDS_A_NAME_SERVER.contains(flag))
        .map(str::to_owned)
        .collect()
}

/// What of etcdctl the calls have left out.
async fn left_out(calls: &str) -> Result<Vec<String>> {
    let called = |who: &str, command: &str, flag: &str| {
        calls.lines().any(|call| {
            call.strip_prefix(who)
                .and_then(|call| call.trim_start().strip_prefix(command))
                .is_some_and(|rest| {
                    let is_whole = |text: &str| text.is_empty() || text.starts_with([' ', '=']);
                    is_whole(rest) && (flag.is_empty() || rest.split(flag).skip(1).any(is_whole))
                })
        })
    };
    let general = help("").await?;
    let commands: Vec<&str> = section(&general, "COMMANDS")
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert!(commands.len() > 50, "the commands were found: {commands:?}");
    let mut missing = Vec::new();
    for command in commands {
        for who in ["root", "alice"] {
            let is_expected =
                who == "root" || !WITHOUT_A_SERVER.iter().any(|local| command.starts_with(local));
            if is_expected && !called(who, command, "") {
                missing.push(format!("{command}, as {who}"));
            }
        }
        for flag in flags(&help(command).await?) {
            if !["root", "alice", ""]
                .iter()
                .any(|who| called(who, command, &flag))
            {
                missing.push(format!("{command} {flag}"));
            }
        }
    }
    let words: BTreeSet<&str> = calls.split([' ', '=', '\n']).collect();
    let general = flags(&general).into_iter();
    missing.extend(general.filter(|flag| !words.contains(flag.as_str())));
    Ok(missing)
}

#[tokio::test]
async fn every_command_of_etcdctl_answers_as_recorded_on_protected_etcds_and_steads() -> TestResult {
    let folder = tempfile::tempdir()?;
    let calls = folder.path().join("calls");
    // At the same time, because a part of it waits.
    let (of_etcd, of_stead) = futures::try_join!(
        run_all(Program::etcd()?, &calls),
        run_all(Program::stead()?, &calls)
    )?;
    let differences = [of_etcd, of_stead].concat();
    assert!(
        differences.is_empty(),
        "{} differences\n\n{}",
        differences.len(),
        differences.join("\n")
    );
    if env::var_os("STEAD_SCRIPT").is_none() {
        let calls = fs::read_to_string(calls)?;
        assert_eq!(left_out(&calls).await?, [""; 0], "no script has this");
    }
    Ok(())
}
