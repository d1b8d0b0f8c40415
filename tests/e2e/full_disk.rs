//! A disk that becomes full: the node says so and ends, nothing that was acknowledged is lost, the other nodes go on, and
//! when there is space the node comes back.
//!
//! The disk is a small file system in memory that root can mount. Where that cannot be, these tests say so and show
//! nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::writers::{Shape, Writers, all_serve_and_hold};
use crate::support::{Cluster, Program, Result, TestResult};

const SMALL: &str = "size=64m";
const LARGE: &str = "size=1g";

const SHAPE: Shape = Shape {
    writers: 4,
    keys: u64::MAX,
    value_bytes: 64 * 1024,
};

/// How long the disk may take to become full, and the node to end.
const MAXIMUM_WAIT: Duration = Duration::from_secs(120);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How many puts the others acknowledge while the node is gone.
const PUTS: usize = 50;

/// A mounted file system. It is taken away at the end, in whatever way the test ends; the memory is free as soon as the
/// last process that uses it is gone.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one on a folder, or says why that cannot be.
    fn mount(path: &Path) -> Result<Option<Self>> {
        fs::create_dir(path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("{SMALL},mode=700"), "tmpfs"])
            .arg(path)
            .output();
        let problem = match mounted {
            Ok(output) if output.status.success() => {
                return Ok(Some(Self {
                    path: path.to_owned(),
                }));
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        println!("nothing is shown here, since no small disk can be mounted: {problem}");
        Ok(None)
    }

    fn make_larger(&self) -> Result<()> {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{LARGE}")])
            .arg(&self.path)
            .status()?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("the disk could not be made larger: {status}").into()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the node may still run. There is nobody to tell if it fails.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).status();
    }
}

/// Waits until the node has ended by itself, with an error that says that the disk is full.
async fn ends_for_lack_of_space(cluster: &mut Cluster, node: usize) -> Result<()> {
    let deadline = Instant::now() + MAXIMUM_WAIT;
    let node = cluster.node(node);
    let status = loop {
        if let Some(status) = node.exit_status()? {
            break status;
        }
        if Instant::now() > deadline {
            return Err(format!("the node still runs {MAXIMUM_WAIT:?} later\n{}", node.log_tail()).into());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    let said = fs::read_to_string(node.log_path())?;
    assert!(status.code().is_some_and(|code| code != 0), "{status}\n{said}");
    assert!(!said.contains("panicked"), "a full disk is no panic:\n{said}");
    let last = said.lines().rfind(|line| line.starts_with("error: "));
    let last = last.ok_or_else(|| format!("the node ended without an error:\n{said}"))?;
    println!("{last}");
    assert!(last.contains("No space left on device"), "{last}");
    assert!(last.contains("make room, then start again"), "{last}");
    let folder = node.data_directory().display().to_string();
    assert!(last.contains(&folder), "the folder is named: {last}");
    Ok(())
}

#[tokio::test]
async fn a_single_node_with_a_full_disk_ends_and_loses_nothing() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).build()?;
    let Some(disk) = SmallDisk::mount(cluster.node(0).data_directory())? else {
        return Ok(());
    };
    cluster.start_all().await?;
    let writers = Writers::start(&cluster.endpoints(), SHAPE);
    ends_for_lack_of_space(&mut cluster, 0).await?;
    let acknowledged = writers.stop().await?;
    assert!(!acknowledged.is_empty(), "something was written");
    disk.make_larger()?;
    cluster.start_all().await?;
    Ok(all_serve_and_hold(&cluster, &acknowledged).await?)
}

#[tokio::test]
async fn a_cluster_goes_on_while_the_disk_of_one_node_is_full() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).build()?;
    let Some(disk) = SmallDisk::mount(cluster.node(0).data_directory())? else {
        return Ok(());
    };
    cluster.start_all().await?;
    let writers = Writers::start(&cluster.endpoints()[1..], SHAPE);
    ends_for_lack_of_space(&mut cluster, 0).await?;
    writers.more_acknowledged(PUTS).await?;
    cluster.wait_until_ready().await?;
    disk.make_larger()?;
    cluster.start_all().await?;
    writers.more_acknowledged(PUTS).await?;
    let acknowledged = writers.stop().await?;
    Ok(all_serve_and_hold(&cluster, &acknowledged).await?)
}
