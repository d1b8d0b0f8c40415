//! SIGKILL, of one node or of all at once, and a restart on the same data.

use futures::future::BoxFuture;
use rand::rngs::StdRng;

use super::{Fault, Nemesis, any_node};
use crate::cluster::Cluster;
use crate::support::Result;

/// Kills one node.
pub struct KillOne;

impl Nemesis for KillOne {
    fn name(&self) -> &'static str {
        "kill"
    }

    fn summary(&self) -> &'static str {
        "kill -9 of one random node, restarted a while later"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let node = any_node(cluster, random);
            cluster.kill_node(node).await?;
            Ok(Some(Fault::on_nodes("kill", &[node])))
        })
    }
}

/// Kills every node.
pub struct KillAll;

impl Nemesis for KillAll {
    fn name(&self) -> &'static str {
        "kill-all"
    }

    fn summary(&self) -> &'static str {
        "kill -9 of all nodes at once, all restarted a while later"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        _random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let nodes: Vec<usize> = (0..cluster.size()).collect();
            for node in &nodes {
                cluster.kill_node(*node).await?;
            }
            Ok(Some(Fault::on_nodes("kill-all", &nodes)))
        })
    }
}
