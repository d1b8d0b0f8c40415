//! Who leads, `sys/leader`, and what the cluster is called.
//!
//! Where other members have this interface nobody tells a member, so no address is told: every member answers everything.

use http::StatusCode;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::Door;
use super::answer::Answer;
use super::error::Refusal;
use crate::base::ClusterId;
use crate::replication::Status;
use crate::service::secrets::SecretsError;

/// What is told of a time that is not known, in a form that clients read.
const UNKNOWN_TIME: &str = "0001-01-01T00:00:00Z";

/// Tells whether this node leads.
///
/// # Errors
/// It is sealed.
pub(super) async fn answer(door: &Door) -> Result<Answer, Refusal> {
    if door.secrets.status().await?.is_sealed {
        return Err(SecretsError::Sealed.into());
    }
    let shown = shown(&door.status.borrow());
    Answer::json(StatusCode::OK, &shown)
}

#[derive(Serialize)]
pub(super) struct Shown {
    ha_enabled: bool,
    is_self: bool,
    active_time: &'static str,
    leader_address: &'static str,
    leader_cluster_address: &'static str,
    performance_standby: bool,
    performance_standby_last_remote_wal: u64,
    raft_committed_index: u64,
    raft_applied_index: u64,
}

/// Who leads, as it is written.
pub(super) fn shown(status: &Status) -> Shown {
    Shown {
        ha_enabled: true,
        is_self: status.is_leader,
        active_time: UNKNOWN_TIME,
        leader_address: "",
        leader_cluster_address: "",
        performance_standby: false,
        performance_standby_last_remote_wal: 0,
        raft_committed_index: status.committed_index,
        raft_applied_index: status.applied_index,
    }
}

/// The name of a cluster.
pub(super) fn cluster_name(cluster: ClusterId) -> String {
    format!("stead-{cluster}")
}

/// The id of a cluster, in the form that Vault's have: the same on all members, and another for each cluster.
pub(super) fn cluster_id(cluster: ClusterId) -> String {
    let digest = Sha256::digest(cluster_name(cluster));
    let mut bytes = [0; 16];
    for (byte, drawn) in bytes.iter_mut().zip(digest) {
        *byte = drawn;
    }
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}
