//! A change of the members: one is removed, loses its disk, and joins again as another member.

use futures::future::BoxFuture;
use rand::rngs::StdRng;

use super::{Fault, Nemesis, any_node};
use crate::cluster::Cluster;
use crate::support::Result;

/// Below this many nodes, whoever is left could not do without one more.
const MINIMUM_NODES: usize = 3;

/// Removes a member, and adds one in its place when the fault ends.
pub struct Replace;

impl Nemesis for Replace {
    fn name(&self) -> &'static str {
        "replace"
    }

    fn summary(&self) -> &'static str {
        "one random member is removed (MemberRemove), and joins a while later as a new one with an empty disk"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let node = any_node(cluster, random);
            // A server may refuse, and a node may just have started: then nothing was broken.
            if cluster.size() < MINIMUM_NODES || cluster.remove_member(node).await.is_err() {
                return Ok(None);
            }
            Ok(Some(Fault::on_nodes("replace", &[node])))
        })
    }
}
