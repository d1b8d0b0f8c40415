//! `stead service run`: a program is an instance while it runs, whatever dies beside it.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stead::proto::registry::{DeregisterRequest, Instance, ListRequest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::{Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
/// The time to live of what is run.
const TTL_SECONDS: u64 = 6;

/// `stead service` with endpoints, its outputs kept.
fn service(endpoints: &[String], arguments: &[&str]) -> Result<Child> {
    let Program::Stead(path) = Program::stead()? else {
        return Err("there is no binary".into());
    };
    let child = Command::new(path)
        .arg("service")
        .args(arguments)
        .env("STEAD_ENDPOINTS", endpoints.join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// `stead service run` of an instance on node `n`.
fn run(endpoints: &[String], id: &str, program: &str) -> Result<Child> {
    let ttl = TTL_SECONDS.to_string();
    let instance = ["run", "--name", "web", "--node", "n", "--address", "10.0.0.1"];
    let more = [
        "--port", "8080", "--id", id, "--ttl", &ttl, "--", "sh", "-c", program,
    ];
    service(endpoints, &[&instance[..], &more[..]].concat())
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    let id = i32::try_from(child.id().ok_or("it has ended")?)?;
    Ok(kill_process(Pid::from_raw(id).ok_or("no id")?, signal)?)
}

async fn end(child: &mut Child) -> Result<(ExitStatus, String, String)> {
    let status = timeout(MAXIMUM_WAIT, child.wait()).await??;
    let (mut out, mut error) = (String::new(), String::new());
    child
        .stdout
        .take()
        .ok_or("taken")?
        .read_to_string(&mut out)
        .await?;
    child
        .stderr
        .take()
        .ok_or("taken")?
        .read_to_string(&mut error)
        .await?;
    Ok((status, out, error))
}

async fn listed(cluster: &Cluster, member: usize) -> Result<Vec<Instance>> {
    let mut clients = cluster.clients(member)?;
    let listing = async {
        loop {
            match clients.registry.list(ListRequest::default()).await {
                Ok(answer) => return answer.into_inner().instances,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    Ok(timeout(MAXIMUM_WAIT, listing).await?)
}

async fn until_listed(cluster: &Cluster, member: usize, ids: &[&str]) -> Result<()> {
    let waiting = async {
        while listed(cluster, member)
            .await?
            .iter()
            .map(|found| found.id.as_str())
            .ne(ids.iter().copied())
        {
            sleep(PAUSE).await;
        }
        Ok(())
    };
    timeout(MAXIMUM_WAIT, waiting).await?
}

/// The first line that a program says.
async fn first_line(child: &mut Child) -> Result<String> {
    let out = child.stdout.as_mut().ok_or("taken")?;
    let line = timeout(MAXIMUM_WAIT, BufReader::new(out).lines().next_line()).await??;
    Ok(line.ok_or("it said nothing")?)
}

async fn until_ended(process: &str) -> Result<()> {
    let ended = async {
        loop {
            let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
            // What nobody has waited for is ended, too.
            if state.is_err() || state.is_ok_and(|state| state.contains(") Z ")) {
                return;
            }
            sleep(PAUSE).await;
        }
    };
    Ok(timeout(MAXIMUM_WAIT, ended).await?)
}

#[tokio::test]
async fn a_program_is_an_instance_while_it_runs_and_its_exit_code_is_passed_on() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let endpoints = cluster.addresses();
    let says = "echo $STEAD_SERVICE_NAME $STEAD_SERVICE_NODE $STEAD_SERVICE_ID $STEAD_SERVICE_ADDRESS:$STEAD_SERVICE_PORT; exit 7";
    let (status, out, error) = end(&mut run(&endpoints, "w1", says)?).await?;
    assert_eq!(
        (status.code(), out.as_str()),
        (Some(7), "web n w1 10.0.0.1:8080\n"),
        "{error}"
    );
    assert_eq!(listed(&cluster, 0).await?, []);

    // Told to stop: it is deregistered, and the program is told.
    let mut stopped = run(&endpoints, "w2", "echo $$; exec sleep 1000")?;
    let process = first_line(&mut stopped).await?;
    until_listed(&cluster, 0, &["w2"]).await?;
    signal(&stopped, Signal::TERM)?;
    let (status, _, error) = end(&mut stopped).await?;
    assert_eq!(status.code(), Some(143), "{error}");
    assert_eq!(listed(&cluster, 0).await?, []);
    until_ended(&process).await?;

    // What cannot be run, or registered, is not there.
    let missing = [
        "run",
        "--name",
        "web",
        "--node",
        "n",
        "--address",
        "10.0.0.1",
        "/nowhere/server",
    ];
    let (status, _, error) = end(&mut service(&endpoints, &missing)?).await?;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("cannot run /nowhere/server"), "{error}");
    assert_eq!(listed(&cluster, 0).await?, []);
    let refused = [
        "run",
        "--name",
        "a b\u{7}",
        "--node",
        "n",
        "--address",
        "10.0.0.1",
        "echo",
        "started",
    ];
    let (status, out, error) = end(&mut service(&endpoints, &refused)?).await?;
    assert_eq!((status.code(), out.as_str()), (Some(3), ""), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_an_operator_deregisters_stays_so_while_its_program_goes_on() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut running = run(&cluster.addresses(), "w", "echo up; exec sleep 1000")?;
    first_line(&mut running).await?;
    let mut clients = cluster.clients(0)?;
    clients
        .registry
        .deregister(DeregisterRequest {
            node: "n".into(),
            id: "w".into(),
            epoch: 0,
        })
        .await?;
    let mut errors = BufReader::new(running.stderr.take().ok_or("taken")?).lines();
    let said = async {
        while let Some(line) = errors.next_line().await? {
            if line.contains("the command goes on without") {
                return Ok::<_, std::io::Error>(Some(line));
            }
        }
        Ok(None)
    };
    let line = timeout(MAXIMUM_WAIT, said).await??.ok_or("it did not say so")?;
    assert!(line.contains("was deregistered after its registration"), "{line}");
    // Longer than it takes to renew anything.
    sleep(Duration::from_secs(2 * TTL_SECONDS)).await;
    assert_eq!(listed(&cluster, 0).await?, []);
    signal(&running, Signal::TERM)?;
    let status = timeout(MAXIMUM_WAIT, running.wait()).await??;
    assert_eq!(status.code(), Some(143));
    Ok(())
}

/// Follows what `stead service watch` says.
fn follow(watching: &mut Child) -> Result<Arc<Mutex<Vec<Value>>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut lines = BufReader::new(watching.stdout.take().ok_or("taken")?).lines();
    let kept = Arc::clone(&log);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let told = serde_json::from_str(&line).unwrap_or(Value::String(line));
            kept.lock().expect("nobody panics with it").push(told);
        }
    });
    Ok(log)
}

/// What is there after all that was told: id to epoch. Fails if something is gone twice.
fn replay(log: &[Value]) -> Result<BTreeMap<String, i64>> {
    let mut known = BTreeMap::new();
    let mut last = 0;
    for told in log {
        let revision = told["revision"].as_i64().ok_or("no revision")?;
        assert!(revision >= last, "in order: {told}");
        last = revision;
        let id = told["instance"]["id"].as_str().ok_or("no id")?.to_owned();
        if told["type"] == "put" {
            known.insert(id, told["instance"]["epoch"].as_i64().ok_or("no epoch")?);
        } else {
            assert!(known.remove(&id).is_some(), "gone twice: {told}");
        }
    }
    Ok(known)
}

#[tokio::test]
async fn a_watchers_log_equals_the_end_when_a_program_its_node_and_the_leader_are_killed() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let own = (leader + 1) % 3;
    let other = (leader + 2) % 3;
    let from = |first: usize| -> Vec<String> {
        let mut endpoints = cluster.addresses();
        endpoints.rotate_left(first);
        endpoints
    };
    let (of_own, of_leader, of_other) = (from(own), from(leader), from(other));
    let mut watching = service(&of_own, &["watch", "web", "-o", "json"])?;
    let log = follow(&mut watching)?;
    let mut killed = run(&of_own, "killed", "echo $$; exec sleep 1000")?;
    let process = first_line(&mut killed).await?;
    let mut lives = run(&of_own, "lives", "echo up; exec sleep 1000")?;
    first_line(&mut lives).await?;
    let mut beside = run(&of_leader, "beside", "echo up; exec sleep 1000")?;
    first_line(&mut beside).await?;
    until_listed(&cluster, other, &["beside", "killed", "lives"]).await?;
    let epochs = |instances: Vec<Instance>| -> BTreeMap<String, i64> {
        instances
            .into_iter()
            .map(|found| (found.id, found.epoch))
            .collect()
    };
    let before = epochs(listed(&cluster, other).await?);

    // Their own node, and that of the watcher.
    cluster.node(own).kill()?;
    sleep(Duration::from_secs(2 * TTL_SECONDS)).await;
    assert_eq!(epochs(listed(&cluster, other).await?), before, "no gap");
    cluster.restart(own).await?;
    cluster.wait_until_ready().await?;
    // The leader.
    let leader = cluster.leader().await?;
    cluster.node(leader).kill()?;
    sleep(Duration::from_secs(2 * TTL_SECONDS)).await;
    let up = (leader + 1) % 3;
    assert_eq!(epochs(listed(&cluster, up).await?), before, "no gap");
    cluster.restart(leader).await?;
    cluster.wait_until_ready().await?;
    // The command itself: its program ends with it, and its instance within its time.
    signal(&killed, Signal::KILL)?;
    timeout(MAXIMUM_WAIT, killed.wait()).await??;
    until_ended(&process).await?;
    until_listed(&cluster, up, &["beside", "lives"]).await?;
    let mut later = run(&of_other, "later", "echo up; exec sleep 1000")?;
    first_line(&mut later).await?;
    signal(&beside, Signal::TERM)?;
    timeout(MAXIMUM_WAIT, beside.wait()).await??;

    let told = async {
        loop {
            let known = replay(&log.lock().expect("nobody panics with it"))?;
            if known.keys().map(String::as_str).eq(["later", "lives"]) {
                return Ok::<_, crate::support::Error>(known);
            }
            sleep(PAUSE).await;
        }
    };
    let told = timeout(MAXIMUM_WAIT, told).await??;
    for member in 0..3 {
        assert_eq!(
            epochs(listed(&cluster, member).await?),
            told,
            "on member {member}"
        );
    }
    assert_eq!(told["lives"], before["lives"], "it was never registered anew");
    let log = log.lock().expect("nobody panics with it").clone();
    let gone: Vec<&Value> = log.iter().filter(|told| told["type"] == "gone").collect();
    assert_eq!(gone.len(), 2, "{gone:?}");
    for child in [&lives, &later] {
        signal(child, Signal::TERM)?;
    }
    for child in [&mut lives, &mut later] {
        timeout(MAXIMUM_WAIT, child.wait()).await??;
    }
    assert_eq!(listed(&cluster, 0).await?, []);
    Ok(())
}
