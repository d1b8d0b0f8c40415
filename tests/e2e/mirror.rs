//! `stead make-mirror` from one store to another: what is there, what changes, and what changed while nobody mirrored.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

struct Mirror(Child);

impl Drop for Mirror {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Mirror {
    /// Asks it to stop; what it says at its end.
    fn stop(mut self) -> Result<String> {
        let process = Pid::from_raw(self.0.id().cast_signed()).ok_or("no process")?;
        kill_process(process, Signal::INT)?;
        let status = self.0.wait()?;
        let mut errors = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut errors)?;
        }
        if status.success() {
            Ok(errors)
        } else {
            Err(format!("the mirror ended with {status}: {errors}").into())
        }
    }
}

fn stead(endpoint: &str, arguments: &[&str]) -> Result<Command> {
    let Program::Stead(program) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--endpoints", endpoint])
        .stdin(Stdio::null());
    Ok(command)
}

fn run(endpoint: &str, arguments: &[&str]) -> Result<String> {
    let output = stead(endpoint, arguments)?.output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn start(source: &str, destination: &str, more: &[&str]) -> Result<Mirror> {
    let arguments = [
        &["make-mirror", destination, "--prefix=app/", "--dest-prefix=copy/"],
        more,
    ]
    .concat();
    let child = stead(source, &arguments)?
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    Ok(Mirror(child))
}

fn wait_for(destination: &str, wanted: &str) -> Result<()> {
    wait_as(destination, &[], wanted)
}

/// The same by a user.
fn wait_as(destination: &str, user: &[&str], wanted: &str) -> Result<()> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    loop {
        let found = run(destination, &[&["get", "", "--prefix"], user].concat())?;
        if found == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the mirror has {found:?}, not {wanted:?}").into());
        }
        std::thread::sleep(POLL);
    }
}

#[tokio::test]
async fn a_mirror_has_what_is_there_what_changes_and_goes_on_where_it_was() -> TestResult {
    let source_cluster = Cluster::builder(Program::stead()?).nodes(1).start().await?;
    let destination_cluster = Cluster::builder(Program::etcd()?).nodes(1).start().await?;
    let (source, destination) = (
        &source_cluster.endpoints()[0],
        &destination_cluster.endpoints()[0],
    );
    for (key, value) in [("app/a", "1"), ("app/b", "2"), ("other", "3")] {
        run(source, &["put", key, value])?;
    }
    let mirror = start(source, destination, &[])?;
    wait_for(destination, "copy/a\n1\ncopy/b\n2\n")?;
    run(source, &["put", "app/c", "4"])?;
    run(source, &["del", "app/a"])?;
    run(source, &["put", "other", "5"])?;
    wait_for(destination, "copy/b\n2\ncopy/c\n4\n")?;
    let said = mirror.stop()?;
    let next = said.rsplit("--rev ").next().unwrap_or_default().trim().to_owned();

    run(source, &["put", "app/d", "6"])?;
    run(source, &["del", "app/b"])?;
    // What is mirrored already is not read again: it would come back.
    run(destination, &["del", "copy/c"])?;
    let mirror = start(source, destination, &["--rev", &next])?;
    wait_for(destination, "copy/d\n6\n")?;
    mirror.stop()?;
    Ok(())
}

#[tokio::test]
async fn a_mirror_is_somebody_else_at_its_destination() -> TestResult {
    let source_cluster = Cluster::builder(Program::stead()?).nodes(1).start().await?;
    let destination_cluster = Cluster::builder(Program::stead()?).nodes(1).start().await?;
    let (source, destination) = (
        &source_cluster.endpoints()[0],
        &destination_cluster.endpoints()[0],
    );
    run(source, &["put", "app/a", "1"])?;
    for (store, root) in [(source, "root:here"), (destination, "root:there")] {
        run(store, &["user", "add", root])?;
        run(store, &["auth", "enable"])?;
    }
    // Who is known at the source is nobody at the destination, unless it is said.
    let mut unknown = start(source, destination, &["--user=root:here"])?;
    let ended = unknown.0.wait()?;
    assert!(!ended.success());
    let mirror = start(
        source,
        destination,
        &["--user=root:here", "--dest-user=root:there"],
    )?;
    wait_as(destination, &["--user=root:there"], "copy/a\n1\n")?;
    mirror.stop()?;
    let apart = ["--user=root:here", "--dest-user=root", "--dest-password=there"];
    run(source, &["put", "app/b", "2", "--user=root:here"])?;
    let mirror = start(source, destination, &apart)?;
    wait_as(destination, &["--user=root:there"], "copy/a\n1\ncopy/b\n2\n")?;
    mirror.stop()?;
    Ok(())
}
