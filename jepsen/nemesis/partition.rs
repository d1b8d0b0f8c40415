//! Partitions of every shape, and a network that is merely bad.

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::{Fault, Nemesis, any_node, number};
use crate::cluster::Cluster;
use crate::edn::Edn;
use crate::network::Link;
use crate::partition::Shape;
use crate::support::Result;

/// The longest wait of a chunk of bytes on a flaky link is drawn from this range, in milliseconds.
const FLAKY_DELAY_MILLISECONDS: std::ops::RangeInclusive<u64> = 5..=300;

/// Breaks the network in a random shape, with or without ending connections.
pub struct Partition;

impl Nemesis for Partition {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn summary(&self) -> &'static str {
        "a partition of a random shape: one node, minority, one-way, bridge, ring, all from all"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let shape = Shape::ALL.choose(random).copied().unwrap_or(Shape::IsolateOne);
            // Half of the partitions are around the leader: those around a follower are the gentler ones.
            let special = match cluster.leader().await {
                Some(leader) if random.random() => leader,
                _ => any_node(cluster, random),
            };
            Ok(Some(partition(cluster, shape, special, random)))
        })
    }
}

/// Breaks the network in the given shape around the node `special`.
pub(super) fn partition(cluster: &Cluster, shape: Shape, special: usize, random: &mut StdRng) -> Fault {
    let pairs = shape.pairs(cluster.size(), special, random);
    let link = if shape.is_one_way() || random.random() {
        Link::Held
    } else {
        Link::Cut
    };
    cluster.network().set_links(&pairs, link);
    Fault {
        name: shape.name(),
        target: pairs
            .into_iter()
            .map(|(from, to)| Edn::Vector(vec![number(from), number(to)]))
            .collect(),
    }
}

/// Delays bytes and ends connections at random on every link.
pub struct Flaky;

impl Nemesis for Flaky {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn summary(&self) -> &'static str {
        "random delays and lost connections on every link"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let delay_milliseconds = random.random_range(FLAKY_DELAY_MILLISECONDS);
            let pairs = Shape::Shatter.pairs(cluster.size(), 0, random);
            cluster
                .network()
                .set_links(&pairs, Link::Flaky { delay_milliseconds });
            let target = Edn::Integer(i64::try_from(delay_milliseconds).unwrap_or(i64::MAX));
            Ok(Some(Fault {
                name: "flaky",
                target,
            }))
        })
    }
}
