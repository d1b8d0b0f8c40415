//! A different fault each time, at times two at once.

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::kill::{KillAll, KillOne};
use super::leader::Leader;
use super::partition::{Flaky, Partition};
use super::pause::Pause;
use super::replace::Replace;
use super::{Fault, Nemesis};
use crate::cluster::Cluster;
use crate::edn::Edn;
use crate::support::Result;

/// One fault in this many is joined by a second one.
const FAULTS_PER_DOUBLE_FAULT: u32 = 4;

/// Draws from all other nemeses.
pub struct Mixed {
    processes: Vec<Box<dyn Nemesis>>,
    networks: Vec<Box<dyn Nemesis>>,
}

impl Mixed {
    /// A mix of every other nemesis.
    pub fn new() -> Self {
        Self {
            processes: vec![
                Box::new(KillOne),
                Box::new(KillAll),
                Box::new(Pause),
                Box::new(Leader),
                Box::new(Replace),
            ],
            networks: vec![Box::new(Partition), Box::new(Flaky)],
        }
    }
}

impl Nemesis for Mixed {
    fn name(&self) -> &'static str {
        "mixed"
    }

    fn summary(&self) -> &'static str {
        "a random fault of all the others each time, at times one of the network and one of a process at once"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            // The network first: the process nemeses may look for a leader and must find those that run.
            let double = random.random_ratio(1, FAULTS_PER_DOUBLE_FAULT);
            let mut chosen = Vec::new();
            let network = random.random();
            if network || double {
                chosen.extend(self.networks.choose(random));
            }
            if !network || double {
                chosen.extend(self.processes.choose(random));
            }
            let mut faults = Vec::new();
            for nemesis in chosen {
                faults.extend(nemesis.begin(cluster, random).await?);
            }
            Ok(match faults.len() {
                0 => None,
                1 => faults.pop(),
                _ => Some(Fault {
                    name: "double",
                    target: faults
                        .into_iter()
                        .map(|fault| Edn::Vector(vec![Edn::keyword(fault.name), fault.target]))
                        .collect(),
                }),
            })
        })
    }
}
