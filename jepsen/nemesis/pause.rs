//! SIGSTOP of one node or of a minority, and SIGCONT: a long pause of a process, which wakes up in a world that went on.

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::index::sample;

use super::{Fault, Nemesis};
use crate::cluster::Cluster;
use crate::support::Result;

/// Pauses one node, or several, even all.
pub struct Pause;

impl Nemesis for Pause {
    fn name(&self) -> &'static str {
        "pause"
    }

    fn summary(&self) -> &'static str {
        "SIGSTOP of one or more random nodes, SIGCONT a while later"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let several = random.random_ratio(1, 4);
            let count = if several {
                random.random_range(1..=cluster.size())
            } else {
                1
            };
            let nodes = sample(random, cluster.size(), count).into_vec();
            for node in &nodes {
                cluster.pause_node(*node).await?;
            }
            Ok(Some(Fault::on_nodes("pause", &nodes)))
        })
    }
}
