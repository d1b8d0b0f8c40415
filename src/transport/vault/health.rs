//! Whether this node can serve: `sys/health`, which load balancers ask. Every member that is open and knows a leader can:
//! what Vault calls a standby is here one that knows none.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;

use super::answer::Answer;
use super::error::Refusal;
use super::leader::{cluster_id, cluster_name};
use super::shares::says;
use super::{Door, VERSION};
use crate::base::{ClusterId, clock};
use crate::service::secrets::parameters::{Body, integer};
use crate::service::secrets::status::SealStatus;

/// What the codes are unless the request has others.
const STANDBY_CODE: u16 = 429;
const UNINITIALIZED_CODE: u16 = 501;
const SEALED_CODE: u16 = 503;

/// Answers by the state of this node.
///
/// # Errors
/// The state cannot be told, or a parameter is none that can be.
pub(super) async fn answer(door: &Door, query: &Body) -> Result<Answer, Refusal> {
    let status = door.secrets.status().await?;
    let has_leader = door.status.borrow().leader.is_some();
    let code = code(&status, has_leader, query)?;
    let mut shown = shown(&status, has_leader, clock::unix_time(), door.cluster);
    shown.audit_failing = !door.secrets.can_audit();
    Answer::json(code, &shown)
}

/// The status code.
///
/// # Errors
/// A parameter is none that can be.
pub(super) fn code(status: &SealStatus, has_leader: bool, query: &Body) -> Result<StatusCode, Refusal> {
    let active = wanted(query, "activecode", StatusCode::OK.as_u16())?;
    let standby = wanted(query, "standbycode", STANDBY_CODE)?;
    let sealed = wanted(query, "sealedcode", SEALED_CODE)?;
    let uninitialized = wanted(query, "uninitcode", UNINITIALIZED_CODE)?;
    // What none of these members ever is.
    wanted(query, "drsecondarycode", active.as_u16())?;
    wanted(query, "performancestandbycode", active.as_u16())?;
    is_said(query, "perfstandbyok")?;
    let standby_will_do = is_said(query, "standbyok")?;
    Ok(match (status.is_initialized, status.is_sealed) {
        (false, _) => uninitialized,
        (true, true) => sealed,
        (true, false) if has_leader || standby_will_do => active,
        (true, false) => standby,
    })
}

/// A code that is asked for; else the usual one.
fn wanted(query: &Body, name: &str, otherwise: u16) -> Result<StatusCode, Refusal> {
    let refused = || {
        Refusal::invalid(format!(
            "the parameter {name:?} is no status code from 200 to 599"
        ))
    };
    let number = match query.get(name) {
        None => otherwise,
        Some(value) => integer(value)
            .ok()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|number| (200..600).contains(number))
            .ok_or_else(refused)?,
    };
    StatusCode::from_u16(number).map_err(|_| refused())
}

/// Whether a parameter is there and does not say no.
fn is_said(query: &Body, name: &str) -> Result<bool, Refusal> {
    match query.get(name) {
        Some(Value::String(text)) if text.is_empty() => Ok(true),
        _ => says(query, name),
    }
}

#[derive(Serialize)]
pub(super) struct Shown {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'static str,
    replication_dr_mode: &'static str,
    server_time_utc: u64,
    version: &'static str,
    /// Whether no audit device works where one must: then no request is served.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    audit_failing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
}

/// The state, as it is written.
pub(super) fn shown(status: &SealStatus, has_leader: bool, now: Duration, cluster: ClusterId) -> Shown {
    let is_open = !status.is_sealed;
    Shown {
        initialized: status.is_initialized,
        sealed: status.is_sealed,
        standby: !(is_open && has_leader),
        performance_standby: false,
        replication_performance_mode: "disabled",
        replication_dr_mode: "disabled",
        server_time_utc: now.as_secs(),
        version: VERSION,
        audit_failing: false,
        cluster_name: is_open.then(|| cluster_name(cluster)),
        cluster_id: is_open.then(|| cluster_id(cluster)),
    }
}
