//! etcdctl with all endpoints of a cluster. What it prints for single commands is compared in `tests/etcd/`; here is
//! what needs a whole cluster or a second process.

use std::process::Stdio;
use std::time::Duration;

use stead::proto::etcdserverpb::alarm_request::AlarmAction;
use stead::proto::etcdserverpb::{AlarmRequest, AlarmType};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::{succeeds, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

fn etcdctl(cluster: &Cluster, arguments: &[&str]) -> Command {
    let mut command = Command::new("etcdctl");
    command
        .args(arguments)
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", cluster.endpoints().join(","));
    command
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    succeeds(&mut etcdctl(cluster, arguments)).await
}

async fn operators_commands(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    let endpoints = cluster.endpoints();

    // Health goes to the error output in this version: the exit code is the answer.
    run(&cluster, &["endpoint", "health"]).await?;

    let status = run(&cluster, &["endpoint", "status"]).await?;
    assert_eq!(status.lines().count(), 3, "{status}");
    assert_eq!(
        status.matches(", true, false, ").count(),
        1,
        "one leader, no learner: {status}"
    );

    let members = run(&cluster, &["member", "list"]).await?;
    for (index, endpoint) in endpoints.iter().enumerate() {
        let line = members
            .lines()
            .find(|line| line.contains(endpoint))
            .unwrap_or_default();
        let fields: Vec<&str> = line.split(", ").collect();
        assert_eq!(fields.get(1), Some(&"started"), "{members}");
        assert_eq!(
            fields.get(2),
            Some(&format!("n{}", index + 1).as_str()),
            "{members}"
        );
        assert_eq!(fields.get(4), Some(&endpoint.as_str()), "{members}");
        assert_eq!(fields.get(5), Some(&"false"), "{members}");
    }

    run(&cluster, &["put", "a", "1"]).await?;
    for endpoint in &endpoints {
        let mut read = etcdctl(&cluster, &["get", "a"]);
        assert_eq!(succeeds(read.env("ETCDCTL_ENDPOINTS", endpoint)).await?, "a\n1\n");
    }
    let hashes = run(&cluster, &["endpoint", "hashkv"]).await?;
    let mut hashes: Vec<&str> = hashes
        .lines()
        .filter_map(|line| line.split(", ").nth(1))
        .collect();
    assert_eq!(hashes.len(), 3);
    hashes.dedup();
    assert_eq!(hashes.len(), 1, "all nodes hold the same: {hashes:?}");
    Ok(())
}

/// What a program prints for a command, without the blanks at the ends of lines.
async fn lines(command: &mut Command) -> Result<Vec<String>> {
    let printed = succeeds(command).await?;
    Ok(printed.lines().map(|line| line.trim_end().to_owned()).collect())
}

/// Both command lines show and clear the same alarms.
async fn alarms(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let own = |arguments: &[&str]| {
        let mut command = Command::new(&stead);
        command
            .args(arguments)
            .env("STEAD_ENDPOINTS", cluster.addresses().join(","));
        command
    };
    for (alarm, refusal) in [
        (AlarmType::Nospace, "etcdserver: mvcc: database space exceeded"),
        (AlarmType::Corrupt, "etcdserver: corrupt cluster"),
    ] {
        let expected = [format!("memberID:5 alarm:{}", alarm.as_str_name())];
        for is_own in [false, true] {
            let raise = AlarmRequest {
                action: AlarmAction::Activate.into(),
                member_id: 5,
                alarm: alarm.into(),
            };
            cluster.clients(0)?.maintenance.alarm(raise).await?;
            for mut list in [etcdctl(&cluster, &["alarm", "list"]), own(&["alarm", "list"])] {
                assert_eq!(lines(&mut list).await?, expected);
            }
            for mut put in [etcdctl(&cluster, &["put", "a", "1"]), own(&["put", "a", "1"])] {
                let error = succeeds(&mut put).await.expect_err("it is refused").to_string();
                assert!(error.contains(refusal), "{error}");
            }
            let mut disarm = if is_own {
                own(&["alarm", "disarm"])
            } else {
                etcdctl(&cluster, &["alarm", "disarm"])
            };
            assert_eq!(lines(&mut disarm).await?, expected);
            for mut list in [etcdctl(&cluster, &["alarm", "list"]), own(&["alarm", "list"])] {
                assert_eq!(lines(&mut list).await?, [""; 0]);
            }
            run(&cluster, &["put", "a", "1"]).await?;
        }
    }
    // Nothing to clear is nothing to show.
    assert_eq!(lines(&mut own(&["alarm", "disarm"])).await?, [""; 0]);
    assert_eq!(
        lines(&mut etcdctl(&cluster, &["alarm", "disarm"])).await?,
        [""; 0]
    );
    for mut defragment in [etcdctl(&cluster, &["defrag"]), own(&["defrag"])] {
        let printed = lines(&mut defragment).await?;
        assert_eq!(printed.len(), 3, "{printed:?}");
    }
    Ok(())
}

/// The lines that a running `etcdctl` prints, one after another.
async fn next_lines<const COUNT: usize>(
    lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
) -> Result<[String; COUNT]> {
    let mut result = [const { String::new() }; COUNT];
    for line in &mut result {
        *line = timeout(MAXIMUM_WAIT, lines.next_line())
            .await??
            .ok_or("etcdctl has ended")?;
    }
    Ok(result)
}

async fn watches(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    run(&cluster, &["put", "w/a", "1"]).await?;
    let mut watch = etcdctl(&cluster, &["watch", "w/", "--prefix", "--rev=2", "--prev-kv"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().ok_or("no output")?).lines();
    // The first event is old, so that the watch is known to be there before the next.
    assert_eq!(next_lines(&mut lines).await?, ["PUT", "w/a", "1"]);
    run(&cluster, &["put", "w/a", "2"]).await?;
    assert_eq!(next_lines(&mut lines).await?, ["PUT", "w/a", "1", "w/a", "2"]);
    run(&cluster, &["del", "w/a"]).await?;
    assert_eq!(next_lines(&mut lines).await?, ["DELETE", "w/a", "2", "w/a", ""]);
    watch.kill().await?;
    Ok(())
}

async fn locks(program: Program) -> Result<()> {
    let cluster = three_nodes(program).await?;
    // etcdctl takes the lock with a lease and a transaction, runs the program, and gives it up.
    let printed = run(&cluster, &["lock", "L", "echo", "held"]).await?;
    assert_eq!(printed, "held\n");
    assert_eq!(
        run(&cluster, &["get", "L", "--prefix"]).await?,
        "",
        "nothing is left of the lock"
    );
    Ok(())
}

#[tokio::test]
async fn etcdctl_shows_a_stead_cluster_to_its_operator() -> TestResult {
    Ok(operators_commands(Program::stead()?).await?)
}

#[tokio::test]
async fn etcdctl_shows_an_etcd_cluster_to_its_operator() -> TestResult {
    Ok(operators_commands(Program::etcd()?).await?)
}

#[tokio::test]
async fn etcdctl_and_stead_agree_on_the_alarms_of_stead() -> TestResult {
    Ok(alarms(Program::stead()?).await?)
}

#[tokio::test]
async fn etcdctl_and_stead_agree_on_the_alarms_of_etcd() -> TestResult {
    Ok(alarms(Program::etcd()?).await?)
}

#[tokio::test]
async fn etcdctl_watches_stead() -> TestResult {
    Ok(watches(Program::stead()?).await?)
}

#[tokio::test]
async fn etcdctl_watches_etcd() -> TestResult {
    Ok(watches(Program::etcd()?).await?)
}

#[tokio::test]
async fn etcdctl_locks_on_stead() -> TestResult {
    Ok(locks(Program::stead()?).await?)
}

#[tokio::test]
async fn etcdctl_locks_on_etcd() -> TestResult {
    Ok(locks(Program::etcd()?).await?)
}
