//! The envelope of answers: all of its keys always, and for old paths of the system the fields of the data beside them.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::Answer;
use super::error::Refusal;
use crate::service::secrets::Response;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Data, TokenKind};
use crate::service::secrets::request::{Auth, Wrapped};

/// Paths whose data clients of old look for at the top; those with a slash at their end stand for what is below.
const SPREAD: [&str; 22] = [
    "sys/audit",
    "sys/audit/",
    "sys/audit-hash/",
    "sys/auth",
    "sys/auth/",
    "sys/capabilities",
    "sys/capabilities-accessor",
    "sys/capabilities-self",
    "sys/config/auditing/request-headers",
    "sys/config/auditing/request-headers/",
    "sys/config/cors",
    "sys/ha-status",
    "sys/key-status",
    "sys/mounts",
    "sys/mounts/",
    "sys/policy",
    "sys/policy/",
    "sys/rekey/backup",
    "sys/rekey/recovery-key-backup",
    "sys/remount",
    "sys/rotate",
    "sys/wrapping/wrap",
];

/// Whether the data of a path are at the top as well.
pub(super) fn spreads(path: &str) -> bool {
    SPREAD.iter().any(|spread| match spread.ends_with('/') {
        true => path.starts_with(spread),
        false => path == *spread,
    })
}

/// What is answered to a request of that id.
///
/// # Errors
/// The answer cannot be written.
pub(super) fn answer(id: &str, response: Response, spreads: bool) -> Result<Answer, Refusal> {
    let allowance = response.allowance;
    Ok(whole(id, response, spreads)?.with_allowance(allowance))
}

fn whole(id: &str, mut response: Response, spreads: bool) -> Result<Answer, Refusal> {
    if let Some(raw) = response.raw.take() {
        return Ok(Answer::raw(raw.content_type, raw.bytes));
    }
    if let Some(pieces) = response.pieces.take() {
        return Ok(Answer::pieces(pieces));
    }
    let asked = response
        .status
        .and_then(|status| StatusCode::from_u16(status).ok());
    let status = match response {
        Response { is_gone: true, .. } => StatusCode::NOT_FOUND,
        Response { goes_on: true, .. } => StatusCode::ACCEPTED,
        _ => asked.unwrap_or(StatusCode::OK),
    };
    if says_nothing(&response) {
        let status = match status {
            StatusCode::OK => StatusCode::NO_CONTENT,
            other => other,
        };
        return Ok(Answer::nothing().with_status(status));
    }
    let envelope = Envelope {
        request_id: id,
        lease_id: &response.lease_id,
        renewable: response.is_renewable,
        lease_duration: response.lease_seconds,
        data: response.data.as_ref(),
        wrap_info: response.wrapped.as_ref().map(WrapInfo::from),
        warnings: Some(response.warnings.as_slice()).filter(|warnings| !warnings.is_empty()),
        auth: response.auth.as_ref().map(AuthInfo::from),
        mount_type: &response.mount_kind,
    };
    match &response.data {
        Some(data) if spreads => {
            let beside = data.fields().filter(|(name, _)| !KEYS.contains(name)).collect();
            Answer::json(status, &Spread { beside, envelope })
        }
        _ => Answer::json(status, &envelope),
    }
}

fn says_nothing(response: &Response) -> bool {
    response.data.is_none()
        && response.auth.is_none()
        && response.wrapped.is_none()
        && response.warnings.is_empty()
        && response.lease_id.is_empty()
}

/// The envelope, as it is written.
#[derive(Serialize)]
struct Envelope<'response> {
    request_id: &'response str,
    lease_id: &'response str,
    renewable: bool,
    lease_duration: u64,
    data: Option<&'response Data>,
    wrap_info: Option<WrapInfo<'response>>,
    warnings: Option<&'response [String]>,
    auth: Option<AuthInfo<'response>>,
    mount_type: &'response str,
}

/// The keys of the envelope, which those of the data do not replace.
const KEYS: [&str; 9] = [
    "request_id",
    "lease_id",
    "renewable",
    "lease_duration",
    "data",
    "wrap_info",
    "warnings",
    "auth",
    "mount_type",
];

/// The envelope with the data beside its keys.
#[derive(Serialize)]
struct Spread<'response> {
    #[serde(flatten)]
    beside: BTreeMap<&'response str, &'response RawValue>,
    #[serde(flatten)]
    envelope: Envelope<'response>,
}

/// A token, as it is written.
#[derive(Serialize)]
struct AuthInfo<'response> {
    client_token: &'response str,
    accessor: &'response str,
    policies: &'response [String],
    token_policies: &'response [String],
    metadata: Option<&'response BTreeMap<String, String>>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'static str,
    token_type: TokenKind,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u64,
}

impl<'response> From<&'response Auth> for AuthInfo<'response> {
    fn from(auth: &'response Auth) -> Self {
        Self {
            client_token: auth.token.expose(),
            accessor: &auth.accessor,
            policies: &auth.policies,
            token_policies: &auth.policies,
            metadata: Some(&auth.metadata).filter(|metadata| !metadata.is_empty()),
            lease_duration: auth.lease_seconds,
            renewable: auth.is_renewable,
            entity_id: "",
            token_type: auth.kind,
            orphan: auth.is_orphan,
            mfa_requirement: None,
            num_uses: auth.uses,
        }
    }
}

/// Where an answer is wrapped, as it is written.
#[derive(Serialize)]
struct WrapInfo<'response> {
    token: &'response str,
    accessor: &'response str,
    ttl: u64,
    creation_time: String,
    creation_path: &'response str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapped_accessor: Option<&'response str>,
}

impl<'response> From<&'response Wrapped> for WrapInfo<'response> {
    fn from(wrapped: &'response Wrapped) -> Self {
        Self {
            token: wrapped.token.expose(),
            accessor: &wrapped.accessor,
            ttl: wrapped.ttl_seconds,
            creation_time: rfc3339(wrapped.created),
            creation_path: &wrapped.creation_path,
            wrapped_accessor: wrapped.wrapped_accessor.as_deref(),
        }
    }
}
