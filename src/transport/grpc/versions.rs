//! Calls counted by the version that the client says it has. What a client says becomes the name of a counter, so only a
//! bounded number of versions is told apart.

use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntCounterVec};

use super::methods::Kind;

/// Versions that are told apart. There are fewer of etcd's clients.
const MAXIMUM_VERSIONS: usize = 64;
/// What clients are counted under that say nothing, as etcd does.
const SILENT: &str = "unknown";
/// What clients are counted under that say something new when enough is known.
const FURTHER: &str = "other";

/// The counters, found once for each version.
pub(super) struct ClientVersions {
    counters: IntCounterVec,
    silent: Known,
    further: Known,
    known: ArcSwap<Vec<Arc<Known>>>,
}

struct Known {
    version: String,
    unary: IntCounter,
    stream: IntCounter,
}

impl Known {
    fn new(counters: &IntCounterVec, version: &str) -> Self {
        Self {
            version: version.to_owned(),
            unary: counters.with_label_values(&["unary", version]),
            stream: counters.with_label_values(&["stream", version]),
        }
    }

    fn count(&self, kind: Kind) {
        match kind {
            Kind::Unary => self.unary.inc(),
            Kind::ServerStream | Kind::BidirectionalStream => self.stream.inc(),
        }
    }
}

impl ClientVersions {
    /// Knows none yet.
    pub fn new(counters: &IntCounterVec) -> Self {
        Self {
            silent: Known::new(counters, SILENT),
            further: Known::new(counters, FURTHER),
            counters: counters.clone(),
            known: ArcSwap::default(),
        }
    }

    /// Counts a call of a client that says that it has `version`, or nothing.
    pub fn count(&self, version: Option<&str>, kind: Kind) {
        let Some(version) = version else {
            self.silent.count(kind);
            return;
        };
        let known = self.known.load();
        match known.iter().find(|known| known.version == version) {
            Some(known) => known.count(kind),
            None if known.len() < MAXIMUM_VERSIONS => self.learn(version).count(kind),
            None => self.further.count(kind),
        }
    }

    fn learn(&self, version: &str) -> Arc<Known> {
        let learnt = Arc::new(Known::new(&self.counters, version));
        self.known.rcu(|known| {
            let mut known = Vec::clone(known);
            if !known.iter().any(|known| known.version == version) {
                known.push(Arc::clone(&learnt));
            }
            known
        });
        learnt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Metrics;

    #[test]
    fn a_version_has_a_counter_of_its_own_until_there_are_too_many() {
        let metrics = Metrics::new().expect("metrics register once");
        let counters = &metrics.calls.by_client_version;
        let versions = ClientVersions::new(counters);
        versions.count(None, Kind::Unary);
        versions.count(Some("3.5"), Kind::Unary);
        versions.count(Some("3.5"), Kind::ServerStream);
        for number in 0..2 * MAXIMUM_VERSIONS {
            versions.count(Some(&format!("made up {number}")), Kind::Unary);
        }
        versions.count(Some("3.5"), Kind::Unary);
        let count = |kind: &str, version: &str| counters.with_label_values(&[kind, version]).get();
        assert_eq!(count("unary", SILENT), 1);
        assert_eq!((count("unary", "3.5"), count("stream", "3.5")), (2, 1));
        assert_eq!(count("unary", "made up 0"), 1);
        assert_eq!(count("unary", FURTHER), 65);
    }
}
