//! One of many instances: by health, weight and a rule. Never one that is critical, or whose weight is 0.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::live::{Instances, Place};
use crate::base::clock;
use crate::proto::registry::{Instance, Status};

/// By what rule an instance is picked. Each gives every instance its share by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One after the other.
    RoundRobin,
    /// By chance.
    Random,
    /// Of two by chance, the one that is less in use for its weight.
    LeastOfTwo,
}

/// Picks instances. One picker is shared by all who pick, so that each sees what the others use.
#[derive(Debug)]
pub struct Picker {
    rule: Rule,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How far ahead of its share each is; for the round robin.
    ahead: HashMap<Place, i64>,
    /// How often each is in use.
    used: HashMap<Place, Arc<AtomicU64>>,
}

/// An instance that was picked. It counts as in use until this is dropped.
#[derive(Debug)]
pub struct Picked {
    instance: Arc<Instance>,
    used: Arc<AtomicU64>,
}

impl Picked {
    /// The instance.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The share of an instance as it is now: 0 for one that is not to be used.
#[must_use]
pub fn weight(instance: &Instance) -> u32 {
    let weights = instance.weights;
    match instance.status() {
        Status::Passing => weights.map_or(1, |weights| weights.passing),
        Status::Warning => weights.map_or(1, |weights| weights.warning),
        Status::Critical | Status::Unspecified => 0,
    }
}

impl Picker {
    /// One with a rule.
    #[must_use]
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            state: Mutex::new(State::default()),
        }
    }

    /// One of the instances; none if none is to be used.
    pub fn pick(&self, instances: &Instances) -> Option<Picked> {
        self.pick_if(instances, |_| true)
    }

    /// One of the instances that `is_wanted` lets through.
    pub fn pick_if(&self, instances: &Instances, is_wanted: impl Fn(&Instance) -> bool) -> Option<Picked> {
        let usable: Vec<(&Arc<Instance>, u32)> = instances
            .iter()
            .map(|instance| (instance, weight(instance)))
            .filter(|(instance, weight)| *weight > 0 && is_wanted(instance))
            .collect();
        let total: u64 = usable.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut state = self.state.lock();
        state.forget_all_but(instances);
        let (instance, _) = match self.rule {
            Rule::RoundRobin => state.next(&usable, total)?,
            Rule::Random => by_chance(&usable, total)?,
            Rule::LeastOfTwo => {
                let one = by_chance(&usable, total)?;
                let others: Vec<_> = usable
                    .iter()
                    .filter(|(other, _)| !Arc::ptr_eq(other, one.0))
                    .copied()
                    .collect();
                let rest = total.saturating_sub(u64::from(one.1));
                match by_chance(&others, rest) {
                    // Uses for each unit of weight, compared without dividing.
                    Some(other)
                        if state.uses(other.0).saturating_mul(u64::from(one.1))
                            < state.uses(one.0).saturating_mul(u64::from(other.1)) =>
                    {
                        other
                    }
                    _ => one,
                }
            }
        };
        let used = state.used.entry(Place::of(instance)).or_default();
        used.fetch_add(1, Ordering::Relaxed);
        Some(Picked {
            instance: Arc::clone(instance),
            used: Arc::clone(used),
        })
    }
}

impl State {
    /// Whoever is gone, and comes back, begins anew.
    fn forget_all_but(&mut self, instances: &Instances) {
        if self.used.len().max(self.ahead.len()) > instances.len() {
            self.used.retain(|place, _| instances.get(place).is_some());
            self.ahead.retain(|place, _| instances.get(place).is_some());
        }
    }

    fn uses(&self, instance: &Instance) -> u64 {
        let used = self.used.get(&Place::of(instance));
        used.map_or(0, |used| used.load(Ordering::Relaxed))
    }

    /// All come nearer by their weight; who is nearest is taken, and goes back by the weight of all.
    fn next<'set>(
        &mut self,
        usable: &[(&'set Arc<Instance>, u32)],
        total: u64,
    ) -> Option<(&'set Arc<Instance>, u32)> {
        let mut nearest: Option<(i64, &(&Arc<Instance>, u32))> = None;
        for candidate in usable {
            let ahead = self.ahead.entry(Place::of(candidate.0)).or_default();
            *ahead = ahead.saturating_add(i64::from(candidate.1));
            if nearest.is_none_or(|(best, _)| *ahead > best) {
                nearest = Some((*ahead, candidate));
            }
        }
        let (_, taken) = nearest?;
        let ahead = self.ahead.entry(Place::of(taken.0)).or_default();
        *ahead = ahead.saturating_sub(i64::try_from(total).unwrap_or(i64::MAX));
        usable
            .iter()
            .find(|(instance, _)| Arc::ptr_eq(instance, taken.0))
            .copied()
    }
}

fn by_chance<'set>(usable: &[(&'set Arc<Instance>, u32)], total: u64) -> Option<(&'set Arc<Instance>, u32)> {
    let mut rest = clock::random_u64().checked_rem(total)?;
    for candidate in usable {
        let weight = u64::from(candidate.1);
        if rest < weight {
            return Some(*candidate);
        }
        rest = rest.saturating_sub(weight);
    }
    None
}

#[cfg(test)]
mod tests;
