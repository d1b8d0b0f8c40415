//! Faults that single out the leader: whoever holds the leadership loses it, by force or by being asked to.

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::partition::partition;
use super::{Fault, Nemesis};
use crate::cluster::Cluster;
use crate::partition::Shape;
use crate::support::Result;

/// Kills, pauses, isolates or deposes the leader.
pub struct Leader;

impl Nemesis for Leader {
    fn name(&self) -> &'static str {
        "leader"
    }

    fn summary(&self) -> &'static str {
        "the leader is killed, paused, isolated, muted, or asked to hand over (MoveLeader)"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let Some(leader) = cluster.leader().await else {
                return Ok(None);
            };
            let fault = match random.random_range(0..5) {
                0 => {
                    cluster.kill_node(leader).await?;
                    Fault::on_nodes("kill-leader", &[leader])
                }
                1 => {
                    cluster.pause_node(leader).await?;
                    Fault::on_nodes("pause-leader", &[leader])
                }
                2 => partition(cluster, Shape::IsolateOne, leader, random),
                3 => partition(cluster, Shape::Mute, leader, random),
                _ => {
                    let target = (leader + random.random_range(1..cluster.size().max(2))) % cluster.size();
                    // A server may refuse, and a leader may have changed meanwhile: then nothing was broken.
                    if cluster.move_leader(leader, target).await.is_err() {
                        return Ok(None);
                    }
                    Fault::on_nodes("move-leader", &[leader, target])
                }
            };
            Ok(Some(fault))
        })
    }
}
