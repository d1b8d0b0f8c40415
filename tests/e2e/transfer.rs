//! `stead import` of the data of a Kubernetes control plane while leaders are killed: run again after an error, as its
//! help says, it ends with exactly what was in the file, revisions included.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::RangeRequest;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::kubernetes::registry::data_file;
use crate::support::{Cluster, Program, Result, TestResult};

/// The leader is killed when the import has reached each of these parts of the file's revisions.
const DEATHS: [i64; 3] = [20, 45, 70];
const ALL: i64 = 100;

/// How often the import may end with an error and be run again.
const MAXIMUM_RUNS: usize = 10;

/// How long one command may take.
const MAXIMUM_RUN: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

fn stead(program: &Program, cluster: &Cluster) -> Result<Command> {
    let Program::Stead(path) = program else {
        return Err("the program is not stead".into());
    };
    let mut command = Command::new(path);
    command
        .env("STEAD_ENDPOINTS", cluster.endpoints().join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

fn start_import(program: &Program, cluster: &Cluster, file: &Path, resume_file: &Path) -> Result<Child> {
    let mut command = stead(program, cluster)?;
    command
        .arg("import")
        .arg(file)
        .arg("--resume-file")
        .arg(resume_file);
    Ok(command.spawn()?)
}

/// Waits for a command to end, and returns what it said if it failed.
async fn ended(child: Child) -> Result<Result<(), String>> {
    let output = timeout(MAXIMUM_RUN, child.wait_with_output())
        .await
        .map_err(|_| format!("a command did not end within {MAXIMUM_RUN:?}"))??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(format!("{}: {said}", output.status)),
    })
}

/// The highest revision of the file.
fn last_revision(file: &Path) -> Result<i64> {
    let mut last = 0;
    for line in fs::read_to_string(file)?.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        last = last.max(line["mod_revision"].as_i64().ok_or("a line without a revision")?);
    }
    Ok(last)
}

/// The revision that a node has applied.
async fn revision(cluster: &Cluster, node: usize) -> Result<i64> {
    let request = RangeRequest {
        key: "a".into(),
        serializable: true,
        ..RangeRequest::default()
    };
    let answer = cluster.clients(node)?.kv.range(request).await?.into_inner();
    Ok(answer.header.ok_or("an answer without a header")?.revision)
}

/// Waits until the store has come to `target` while the import runs. An import that has ended is run `again`.
async fn reach(
    cluster: &Cluster,
    target: i64,
    import: &mut Child,
    mut again: impl FnMut() -> Result<Child>,
) -> Result<i64> {
    let deadline = Instant::now() + MAXIMUM_RUN;
    loop {
        let reached = revision(cluster, 0).await?;
        if reached >= target {
            return Ok(reached);
        }
        if Instant::now() > deadline {
            return Err(format!("the import is at {reached}, not at {target}, after {MAXIMUM_RUN:?}").into());
        }
        if import.try_wait()?.is_some() {
            *import = again()?;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[tokio::test]
async fn an_import_during_which_leaders_are_killed_ends_with_exactly_the_file() -> TestResult {
    let program = Program::stead()?;
    let file = data_file()?;
    let last = last_revision(&file)?;
    let mut cluster = Cluster::builder(program.clone()).nodes(3).start().await?;
    let resume_file = cluster.directory().join("resume");
    let mut runs = 1;
    let mut import = start_import(&program, &cluster, &file, &resume_file)?;
    for part in DEATHS {
        let reached = reach(&cluster, last * part / ALL, &mut import, || {
            runs += 1;
            match runs > MAXIMUM_RUNS {
                true => Err(format!("the import has failed {MAXIMUM_RUNS} times").into()),
                false => start_import(&program, &cluster, &file, &resume_file),
            }
        })
        .await?;
        assert!(
            reached < last,
            "the import is over, at {reached}, before the leader is killed"
        );
        let leader = cluster.leader().await?;
        cluster.node(leader).kill()?;
        cluster.restart(leader).await?;
    }
    while let Err(said) = ended(import).await? {
        assert!(
            runs < MAXIMUM_RUNS,
            "the import failed {runs} times, last with {said}"
        );
        runs += 1;
        import = start_import(&program, &cluster, &file, &resume_file)?;
    }
    assert!(!resume_file.exists(), "an import that is done leaves nothing");

    let exported = cluster.directory().join("exported.jsonl");
    let mut export = stead(&program, &cluster)?;
    ended(export.arg("export").arg(&exported).spawn()?).await??;
    assert!(
        fs::read(&exported)? == fs::read(&file)?,
        "the export is the file that was imported, byte for byte"
    );
    Ok(())
}
