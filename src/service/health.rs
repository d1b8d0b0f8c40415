//! Whether this node serves: the checks behind the health pages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use super::ServiceError;
use super::core::Core;
use crate::base::{MemberId, Namespace, Revision};
use crate::state::command::{Alarm, Keys, Range};

/// Seconds that a check of a quorum may take.
const CHECK_SECONDS: u64 = 5;

/// One thing that must be so for the node to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The members' data do not differ.
    DataCorruption,
    /// The own state can be read.
    SerializableRead,
    /// A quorum confirms a read in time.
    LinearizableRead,
    /// The node is a full member.
    NonLearner,
}

impl Check {
    /// What makes a node alive: a restart would help if it is not so.
    pub const LIVE: [Self; 1] = [Self::SerializableRead];
    /// What makes a node ready for requests.
    pub const READY: [Self; 4] = [
        Self::DataCorruption,
        Self::SerializableRead,
        Self::LinearizableRead,
        Self::NonLearner,
    ];

    /// The name on the health pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }
}

/// The checks. A handle: clones share one service.
#[derive(Clone)]
pub struct Health {
    core: Arc<Core>,
}

impl Health {
    pub(in crate::service) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Does one check.
    ///
    /// # Errors
    /// Why it failed, in words.
    pub async fn check(&self, check: Check) -> Result<(), String> {
        match check {
            Check::DataCorruption => {
                let alarms = self.alarms().map_err(|error| error.to_string())?;
                match alarms.iter().find(|(_, alarm)| *alarm == Alarm::Corrupt) {
                    Some((member, _)) => Err(format!("alarm CORRUPT is active on member {member}")),
                    None => Ok(()),
                }
            }
            Check::SerializableRead => self.read(true).await.map_err(|error| error.to_string()),
            Check::LinearizableRead => self.read(false).await.map_err(|error| error.to_string()),
            Check::NonLearner if self.is_learner() => Err("the member is a learner".into()),
            Check::NonLearner => Ok(()),
        }
    }

    /// Reads a key that need not be there.
    ///
    /// # Errors
    /// The read failed or took too long.
    pub async fn read(&self, serializable: bool) -> Result<(), ServiceError> {
        let probe = async {
            let view = self.core.view(serializable).await?;
            let keys = Keys {
                namespace: Namespace::DEFAULT,
                key: Bytes::from_static(b"health"),
                end: Bytes::new(),
            };
            view.range(&Range {
                keys,
                limit: 1,
                keys_only: true,
                ..Range::default()
            })??;
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(CHECK_SECONDS), probe)
            .await
            .map_err(|_| ServiceError::Timeout)?
    }

    /// The active alarms as this node knows them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn alarms(&self) -> Result<Vec<(MemberId, Alarm)>, ServiceError> {
        Ok(self.core.reader.view().alarms()?)
    }

    /// Whether the node knows a leader.
    #[must_use]
    pub fn has_leader(&self) -> bool {
        self.core.replication.status().borrow().leader.is_some()
    }

    /// Whether the node is a learner.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.core.headers.is_learner()
    }

    /// All metrics as Prometheus reads them, as they are now.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn metrics_page(&self) -> Result<String, ServiceError> {
        self.refresh_gauges();
        let page = self.core.metrics.page();
        page.map_err(|error| ServiceError::Internal(error.to_string()))
    }

    /// The metrics, as they are.
    #[must_use]
    pub fn metric_families(&self) -> Vec<MetricFamily> {
        self.refresh_gauges();
        self.core.metrics.registry.gather()
    }

    /// Brings the gauges that are read from the state and the disk up to date.
    fn refresh_gauges(&self) {
        let metrics = &self.core.metrics;
        let (total, in_use) = self.core.replication.database_bytes();
        metrics.database_bytes.set(signed(total));
        metrics.database_bytes_in_use.set(signed(in_use));
        metrics
            .quota_bytes
            .set(self.core.settings.quota_bytes.map_or(0, signed));
        let view = self.core.reader.view();
        metrics.revision.set(view.revision().0);
        metrics
            .compacted_revision
            .set(view.compacted().unwrap_or(Revision(-1)).0);
        let status = self.core.replication.status().borrow().clone();
        metrics.auth_revision.set(signed(view.auth().revision()));
        metrics.process.refresh();
        metrics.is_learner.set(i64::from(status.is_learner));
        match view.alarms() {
            Ok(alarms) => {
                let named: Vec<_> = alarms
                    .iter()
                    .map(|(member, alarm)| (*member, alarm.name()))
                    .collect();
                metrics.set_alarms(&named);
            }
            Err(error) => tracing::warn!(%error, "the metrics do not show the alarms"),
        }
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
