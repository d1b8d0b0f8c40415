//! Whoever breaks the cluster. A nemesis is one file here and one line in [`all`].
//!
//! A fault has a beginning and an end, both in the history. Between two faults the cluster is left alone for a while.
//! Whatever a nemesis leaves behind, the runner heals at the end of a run.

mod kill;
mod leader;
mod mixed;
mod partition;
mod pause;
mod replace;
mod rollback;

use std::time::Duration;

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::edn::Edn;
use crate::history::Recorder;
use crate::support::Result;

pub use rollback::Rollback;

/// How long a fault lasts, and how long the cluster is left alone after it, in milliseconds.
const FAULT_MILLISECONDS: std::ops::RangeInclusive<u64> = 500..=5_000;
const QUIET_MILLISECONDS: std::ops::RangeInclusive<u64> = 500..=3_000;

/// The function of the nemesis' operation that begins a fault.
pub const BEGIN_FAULT: &str = "begin-fault";
/// The function of the nemesis' operation that ends a fault.
pub const END_FAULT: &str = "end-fault";

/// The name of the absence of a nemesis.
pub const NONE: &str = "none";

/// What one fault did: a name and what it was done to.
pub struct Fault {
    /// The name of the fault, a word for the history.
    pub name: &'static str,
    /// The nodes or the links concerned.
    pub target: Edn,
}

impl Fault {
    fn on_nodes(name: &'static str, nodes: &[usize]) -> Self {
        Self {
            name,
            target: nodes.iter().map(|node| number(*node)).collect(),
        }
    }
}

/// Breaks a cluster.
pub trait Nemesis: Send + Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// One line for `list`.
    fn summary(&self) -> &'static str;

    /// Begins a fault. `None` if there was nothing to break just now, such as no leader to be found.
    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>>;

    /// Ends the fault. Unless a nemesis knows better, everything is healed.
    fn end<'a>(&'a self, cluster: &'a Cluster) -> BoxFuture<'a, Result<()>> {
        Box::pin(cluster.heal())
    }
}

/// Every nemesis, in the order of `list`. The absence of one is called [`NONE`].
pub fn all() -> Vec<Box<dyn Nemesis>> {
    vec![
        Box::new(kill::KillOne),
        Box::new(kill::KillAll),
        Box::new(pause::Pause),
        Box::new(partition::Partition),
        Box::new(partition::Flaky),
        Box::new(leader::Leader),
        Box::new(replace::Replace),
        Box::new(mixed::Mixed::new()),
    ]
}

/// Breaks the cluster again and again until `stop`, and heals it then.
///
/// # Errors
/// When the harness itself cannot break or heal: that ends a run as a failure.
pub async fn torment(
    nemesis: &dyn Nemesis,
    cluster: &Cluster,
    recorder: &Recorder,
    mut random: StdRng,
    stop: CancellationToken,
) -> Result<()> {
    loop {
        if rest(&mut random, QUIET_MILLISECONDS, &stop).await {
            break;
        }
        let Some(fault) = nemesis.begin(cluster, &mut random).await? else {
            continue;
        };
        recorder.record_fault(
            BEGIN_FAULT,
            Edn::Vector(vec![Edn::keyword(fault.name), fault.target.clone()]),
        );
        let stopped = rest(&mut random, FAULT_MILLISECONDS, &stop).await;
        nemesis.end(cluster).await?;
        recorder.record_fault(
            END_FAULT,
            Edn::Vector(vec![Edn::keyword(fault.name), fault.target]),
        );
        if stopped {
            break;
        }
    }
    cluster.heal().await
}

/// Waits for a while; true if the run is to stop.
async fn rest(
    random: &mut StdRng,
    milliseconds: std::ops::RangeInclusive<u64>,
    stop: &CancellationToken,
) -> bool {
    let pause = Duration::from_millis(random.random_range(milliseconds));
    tokio::time::timeout(pause, stop.cancelled()).await.is_ok()
}

fn number(node: usize) -> Edn {
    Edn::Integer(i64::try_from(node).unwrap_or(i64::MAX))
}

fn any_node(cluster: &Cluster, random: &mut StdRng) -> usize {
    random.random_range(0..cluster.size())
}
