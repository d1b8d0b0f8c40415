//! Locks and elections through real processes: etcdctl's and Stead's exclude each other, and who holds a lock is alone
//! with it while leaders die.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stead::proto::etcdserverpb::{LeaseGrantRequest, RangeRequest};
use stead::proto::v3lockpb::{LockRequest, UnlockRequest};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How long a whole test under faults may take.
const MAXIMUM_RUN: Duration = Duration::from_secs(300);
/// A lease that no test outlives, however long its processes are held up.
const LONG_LEASE_SECONDS: i64 = 3_600;

/// A client: `etcdctl`, or the binary of Stead, which takes the same arguments.
fn client(program: &str, cluster: &Cluster, arguments: &[&str]) -> Result<Command> {
    let program = match (program, Program::stead()?) {
        ("stead", Program::Stead(path)) => path,
        (other, _) => other.into(),
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", cluster.endpoints().join(","))
        .env("STEAD_ENDPOINTS", cluster.endpoints().join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

fn send(child: &Child, signal: Signal) -> Result<()> {
    let id = child.id().ok_or("the process has ended")?;
    let process = Pid::from_raw(i32::try_from(id)?).ok_or("no process id")?;
    Ok(kill_process(process, signal)?)
}

async fn ended(child: Child) -> Result<Output> {
    Ok(timeout(MAXIMUM_WAIT, child.wait_with_output()).await??)
}

fn lines_of(child: &mut Child) -> Result<Lines<BufReader<ChildStdout>>> {
    Ok(BufReader::new(child.stdout.take().ok_or("no output")?).lines())
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    let line = timeout(MAXIMUM_WAIT, lines.next_line()).await??;
    line.ok_or_else(|| "the process has ended".into())
}

/// Waits until `count` keys begin with `prefix`, which ends with a slash; the keys.
async fn until_keys(clients: &mut Clients, prefix: &str, count: usize) -> Result<Vec<String>> {
    let end = prefix.replace('/', "0");
    let waiting = async {
        loop {
            let request = RangeRequest {
                key: prefix.to_owned().into(),
                range_end: end.clone().into(),
                ..RangeRequest::default()
            };
            let answer = clients.kv.range(request).await?.into_inner();
            if answer.kvs.len() == count {
                let keys = answer.kvs.iter();
                return Ok(keys
                    .map(|pair| String::from_utf8_lossy(&pair.key).into_owned())
                    .collect());
            }
            sleep(POLL_INTERVAL).await;
        }
    };
    timeout(MAXIMUM_WAIT, waiting).await?
}

/// What etcdctl does, with a lock, on any server.
async fn the_command_line_locks(tool: &str, server: Program) -> Result<()> {
    let cluster = Cluster::builder(server).start().await?;
    let mut clients = cluster.clients(0)?;

    // The exit code is that of the command, which knows what it holds.
    let script = r#"echo "$ETCD_LOCK_KEY $ETCD_LOCK_REV"; exit 7"#;
    let child = client(
        tool,
        &cluster,
        &["lock", "--ttl=30", "L", "--", "sh", "-c", script],
    )?
    .spawn()?;
    let output = ended(child).await?;
    let printed = String::from_utf8(output.stdout)?;
    assert!(
        printed.starts_with("L/") && printed.ends_with(" 2\n"),
        "{printed}"
    );
    // etcdctl 3.4 always fails with 1; later ones pass the code on.
    let expected = if tool == "stead" { 7 } else { 1 };
    assert_eq!(output.status.code(), Some(expected));
    until_keys(&mut clients, "L/", 0).await?;

    // Without a command the lock is held until a signal, and then it is free.
    for signal in [Signal::INT, Signal::TERM] {
        let mut holder = client(tool, &cluster, &["lock", "L"])?.spawn()?;
        let mut lines = lines_of(&mut holder)?;
        let key = next_line(&mut lines).await?;
        assert_eq!(next_line(&mut lines).await?, "", "the value");
        assert_eq!(until_keys(&mut clients, "L/", 1).await?, [key]);
        send(&holder, signal)?;
        assert_eq!(ended(holder).await?.status.code(), Some(0));
        until_keys(&mut clients, "L/", 0).await?;
    }

    // One that waits can be told to stop, and leaves nothing.
    let mut holder = client(tool, &cluster, &["lock", "L"])?.spawn()?;
    let mut lines = lines_of(&mut holder)?;
    next_line(&mut lines).await?;
    let waiting = client(tool, &cluster, &["lock", "L"])?.spawn()?;
    until_keys(&mut clients, "L/", 2).await?;
    send(&waiting, Signal::INT)?;
    assert!(!ended(waiting).await?.status.success());
    until_keys(&mut clients, "L/", 1).await?;

    // An election is won, observed and given up.
    let mut observer = client(tool, &cluster, &["elect", "--listen", "E"])?.spawn()?;
    let mut seen = lines_of(&mut observer)?;
    let mut leader = client(tool, &cluster, &["elect", "E", "first"])?.spawn()?;
    let mut shown = lines_of(&mut leader)?;
    let key = next_line(&mut shown).await?;
    assert_eq!(next_line(&mut shown).await?, "first");
    assert_eq!(next_line(&mut seen).await?, key);
    assert_eq!(next_line(&mut seen).await?, "first");
    let mut second = client(tool, &cluster, &["elect", "E", "second"])?.spawn()?;
    until_keys(&mut clients, "E/", 2).await?;
    send(&leader, Signal::INT)?;
    assert_eq!(ended(leader).await?.status.code(), Some(0));
    let mut shown = lines_of(&mut second)?;
    let key = next_line(&mut shown).await?;
    assert_eq!(next_line(&mut seen).await?, key);
    assert_eq!(next_line(&mut seen).await?, "second");
    Ok(())
}

#[tokio::test]
async fn etcdctl_locks_and_elects_on_etcd() -> TestResult {
    Ok(the_command_line_locks("etcdctl", Program::etcd()?).await?)
}

#[tokio::test]
async fn etcdctl_locks_and_elects_on_stead() -> TestResult {
    Ok(the_command_line_locks("etcdctl", Program::stead()?).await?)
}

#[tokio::test]
async fn the_stead_command_locks_and_elects_on_etcd() -> TestResult {
    Ok(the_command_line_locks("stead", Program::etcd()?).await?)
}

#[tokio::test]
async fn the_stead_command_locks_and_elects_on_stead() -> TestResult {
    Ok(the_command_line_locks("stead", Program::stead()?).await?)
}

/// Contenders of both kinds, and a command that runs for as long as its input is open.
#[tokio::test]
async fn etcdctl_and_stead_exclude_each_other_from_one_lock() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let mut clients = cluster.clients(0)?;
    for (first, second) in [("etcdctl", "stead"), ("stead", "etcdctl")] {
        let mut holder = client(
            first,
            &cluster,
            &["lock", "L", "--", "sh", "-c", "echo held; cat"],
        )?
        .stdin(Stdio::piped())
        .spawn()?;
        // A command of etcdctl has no input, so that there it is ended by a signal instead.
        let mut lines = lines_of(&mut holder)?;
        assert_eq!(next_line(&mut lines).await?, "held");
        let mut waiting = client(second, &cluster, &["lock", "L"])?.spawn()?;
        if first == "stead" {
            until_keys(&mut clients, "L/", 2).await?;
            assert_eq!(waiting.try_wait()?, None);
            let mut input = holder.stdin.take().ok_or("no input")?;
            input.write_all(b"end\n").await?;
            drop(input);
            assert_eq!(next_line(&mut lines).await?, "end");
        }
        ended(holder).await?;
        let mut lines = lines_of(&mut waiting)?;
        let key = next_line(&mut lines).await?;
        assert_eq!(until_keys(&mut clients, "L/", 1).await?, [key]);
        send(&waiting, Signal::TERM)?;
        ended(waiting).await?;
        until_keys(&mut clients, "L/", 0).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_command_that_lost_its_lock_is_ended() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut clients = cluster.clients(0)?;
    let script = r#"trap 'echo told; exit 0' TERM; echo "$ETCD_LOCK_KEY"; while :; do sleep 0.1; done"#;
    let mut holder = client(
        "stead",
        &cluster,
        &["lock", "L", "--ttl", "2", "--", "sh", "-c", script],
    )?
    .spawn()?;
    let mut lines = lines_of(&mut holder)?;
    let key = next_line(&mut lines).await?;
    let lease = key.strip_prefix("L/").ok_or("no lease in the key")?;
    let request = stead::proto::etcdserverpb::LeaseRevokeRequest {
        id: i64::from_str_radix(lease, 16)?,
    };
    clients.lease.lease_revoke(request).await?;
    assert_eq!(next_line(&mut lines).await?, "told");
    let output = ended(holder).await?;
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("the session is lost"), "{said}");
    Ok(())
}

/// What the lock protects: it remembers the largest token it has seen, and who is in it.
#[derive(Default)]
struct Resource {
    inside: AtomicUsize,
    last_token: Mutex<i64>,
}

/// Takes the lock once, through whichever node answers, does something with the resource, and gives the lock up. A lease
/// for each time: what a dead node leaves under way concerns no later one.
async fn hold_once(mut nodes: Vec<Clients>, resource: &Resource) -> Result<()> {
    let lease = ask(&mut nodes, |mut node| async move {
        let request = LeaseGrantRequest {
            ttl: LONG_LEASE_SECONDS,
            id: 0,
        };
        node.lease.lease_grant(request).await
    })
    .await
    .id;
    let key = ask(&mut nodes, |mut node| async move {
        let request = LockRequest {
            name: "L".into(),
            lease,
        };
        node.lock.lock(request).await
    })
    .await
    .key;
    let others = resource.inside.fetch_add(1, Ordering::SeqCst);
    assert_eq!(others, 0, "two hold the lock");
    let read = key.clone();
    let answer = ask(&mut nodes, |mut node| {
        let request = RangeRequest {
            key: read.clone(),
            ..RangeRequest::default()
        };
        async move { node.kv.range(request).await }
    })
    .await;
    let token = answer
        .kvs
        .first()
        .ok_or("the key of the holder is gone")?
        .create_revision;
    {
        let mut last = resource.last_token.lock().await;
        assert!(token > *last, "token {token} after {last}");
        *last = token;
    }
    resource.inside.fetch_sub(1, Ordering::SeqCst);
    ask(&mut nodes, |mut node| {
        let request = UnlockRequest { key: key.clone() };
        async move { node.lock.unlock(request).await }
    })
    .await;
    Ok(())
}

/// Asks one node after another until one answers. The caller bounds the time.
async fn ask<T, F>(nodes: &mut [Clients], call: impl Fn(Clients) -> F) -> T
where
    F: Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
{
    loop {
        match call(nodes[0].clone()).await {
            Ok(answer) => return answer.into_inner(),
            Err(_) => nodes.rotate_left(1),
        }
        sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test]
async fn who_holds_a_lock_is_alone_and_has_the_largest_token_while_leaders_are_killed() -> TestResult {
    const CONTENDERS: usize = 6;
    const DEATHS: usize = 3;
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let nodes = (0..3)
        .map(|node| cluster.clients(node))
        .collect::<Result<Vec<_>>>()?;
    let resource = Arc::new(Resource::default());
    let held = Arc::new(AtomicUsize::new(0));
    let is_over = Arc::new(AtomicBool::new(false));
    let contenders: Vec<_> = (0..CONTENDERS)
        .map(|contender| {
            let mut nodes = nodes.clone();
            nodes.rotate_left(contender % 3);
            let (resource, held, is_over) = (resource.clone(), held.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    hold_once(nodes.clone(), &resource).await?;
                    held.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, crate::support::Error>(())
            })
        })
        .collect();
    let faults = async {
        for _ in 0..DEATHS {
            // Between two deaths the lock changes hands.
            let before = held.load(Ordering::SeqCst);
            while held.load(Ordering::SeqCst) < before + 2 * CONTENDERS {
                sleep(POLL_INTERVAL).await;
            }
            let leader = cluster.leader().await?;
            cluster.node(leader).kill()?;
            let before = held.load(Ordering::SeqCst);
            while held.load(Ordering::SeqCst) < before + CONTENDERS {
                sleep(POLL_INTERVAL).await;
            }
            cluster.restart(leader).await?;
        }
        is_over.store(true, Ordering::SeqCst);
        for contender in contenders {
            contender.await??;
        }
        Ok::<_, crate::support::Error>(())
    };
    timeout(MAXIMUM_RUN, faults).await??;
    Ok(())
}
