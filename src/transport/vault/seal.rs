//! The seal of this node: `sys/seal-status` and `sys/unseal`.

use http::StatusCode;
use serde::Serialize;

use super::answer::Answer;
use super::error::Refusal;
use super::leader::{cluster_id, cluster_name};
use super::shares::{says, share};
use super::{Door, VERSION};
use crate::base::ClusterId;
use crate::service::secrets::SecretsError;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::status::SealStatus;

/// What is stored where, in a word that clients know: every member has all of it, by Raft.
const STORAGE: &str = "raft";

/// Where the seal stands.
///
/// # Errors
/// It cannot be told.
pub(super) async fn status(door: &Door) -> Result<Answer, Refusal> {
    let status = door.secrets.status().await?;
    Answer::json(StatusCode::OK, &shown(&status, door.cluster))
}

/// Takes a share, or drops those that were given.
///
/// # Errors
/// It is none, the shares are wrong, or nothing was initialised.
pub(super) async fn unseal(door: &Door, body: &Body) -> Result<Answer, Refusal> {
    if says(body, "migrate")? {
        return Err(Refusal::unimplemented("migration of seals is"));
    }
    let status = match says(body, "reset")? {
        true => door.secrets.reset_unsealing().await,
        false => {
            let missing = "'key' must be specified in request body as JSON, or 'reset' set to true";
            door.secrets.unseal(share(body, missing)?).await
        }
    };
    let status = status.map_err(|error| match error {
        SecretsError::NotInitialized => Refusal::invalid("Vault is not initialized"),
        error => error.into(),
    })?;
    Answer::json(StatusCode::OK, &shown(&status, door.cluster))
}

#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(rename = "type")]
    kind: &'static str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: usize,
    nonce: String,
    version: &'static str,
    build_date: &'static str,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    recovery_seal: bool,
    storage_type: &'static str,
}

/// A seal, as it is written. Which cluster it is, is told of one that is open.
pub(super) fn shown(status: &SealStatus, cluster: ClusterId) -> Shown {
    let is_open = !status.is_sealed;
    Shown {
        kind: "shamir",
        initialized: status.is_initialized,
        sealed: status.is_sealed,
        t: status.threshold,
        n: status.shares,
        progress: status.given,
        nonce: status.nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
        version: VERSION,
        build_date: "",
        migration: false,
        cluster_name: is_open.then(|| cluster_name(cluster)),
        cluster_id: is_open.then(|| cluster_id(cluster)),
        recovery_seal: false,
        storage_type: STORAGE,
    }
}
