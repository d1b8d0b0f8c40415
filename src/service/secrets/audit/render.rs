//! Writes an entry as Vault's JSON, for one device.
//!
//! What is secret is hashed here and nowhere else; every field that may hold a secret goes through `Veil`. Never reads a
//! clock.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;

use super::entry::{Auth, Entry, Fields, Mounted, Reply, Request, Wrap};
use super::hashing::{self, Veil, Veiled};
use crate::base::limits::MAXIMUM_AUDIT_RECORD_BYTES;
use crate::service::secrets::barrier::hashed::Hasher;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::policy::Operation;

/// Why an entry cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RenderError {
    /// It is too large.
    #[error("the audit record has {0} bytes; the most is {MAXIMUM_AUDIT_RECORD_BYTES}")]
    Large(usize),
    /// It cannot be written as JSON.
    #[error("the audit record cannot be written: {0}")]
    Json(String),
}

/// How a device shows entries.
pub struct Style {
    /// Hashes what is secret.
    pub hasher: Hasher,
    /// Whether nothing is hashed.
    pub is_raw: bool,
    /// Whether accessors are hashed.
    pub hashes_accessors: bool,
    /// Whether lists in answers are shown by how many names they have.
    pub elides_lists: bool,
}

impl Style {
    /// The entry as an object of JSON in one line.
    ///
    /// # Errors
    /// It is too large.
    pub fn render(&self, entry: &Entry<'_>) -> Result<Vec<u8>, RenderError> {
        let text = serde_json::to_vec(&self.entry(entry));
        let text = text.map_err(|error| RenderError::Json(error.to_string()))?;
        if text.len() > MAXIMUM_AUDIT_RECORD_BYTES {
            return Err(RenderError::Large(text.len()));
        }
        Ok(text)
    }

    fn veil(&self) -> Veil<'_> {
        Veil {
            hasher: &self.hasher,
            is_raw: self.is_raw,
        }
    }

    fn secret(&self, text: &str) -> Option<String> {
        (!text.is_empty()).then(|| self.veil().text(text))
    }

    fn accessor(&self, text: &str) -> Option<String> {
        if self.hashes_accessors {
            self.secret(text)
        } else {
            shown(text).map(str::to_owned)
        }
    }

    fn entry<'a>(&self, entry: &'a Entry<'_>) -> ShownEntry<'a> {
        ShownEntry {
            time: rfc3339(entry.time),
            kind: if entry.reply.is_some() {
                "response"
            } else {
                "request"
            },
            auth: entry.auth.map(|auth| self.auth(auth)),
            request: self.request(entry.request),
            response: entry.reply.map(|reply| self.reply(reply, entry.request)),
            error: shown(entry.error),
        }
    }

    fn auth<'a>(&self, auth: &'a Auth<'_>) -> ShownAuth<'a> {
        ShownAuth {
            client_token: self.secret(auth.client_token),
            accessor: self.accessor(auth.accessor),
            display_name: auth.display_name,
            policies: auth.policies,
            token_policies: auth.token_policies,
            identity_policies: auth.identity_policies,
            policy_results: auth.is_allowed.map(|allowed| PolicyResults { allowed }),
            no_default_policy: auth.no_default_policy,
            metadata: auth.metadata.filter(|metadata| !metadata.is_empty()),
            entity_id: auth.entity_id,
            token_type: auth.token_type,
            token_ttl: auth.token_ttl.as_secs(),
            token_issue_time: auth.token_issued.map(rfc3339),
            num_uses: auth.uses,
        }
    }

    fn request<'a>(&self, request: &'a Request<'_>) -> ShownRequest<'a> {
        let plain = request.mount.map_or(&[][..], |mount| mount.plain_request_keys);
        let data = self.data(request.data, plain, false, 0);
        let headers = request.headers.iter().map(|header| {
            let values = header.values.iter().map(|value| match header.is_hashed {
                true => self.veil().text(value),
                false => value.clone(),
            });
            (header.name, values.collect())
        });
        ShownRequest {
            id: request.id,
            client_id: request.client_id,
            operation: request.operation.name(),
            mount: mounted(request.mount),
            client_token: self.secret(request.client_token),
            client_token_accessor: self.accessor(request.client_token_accessor),
            namespace: Namespace { id: "root" },
            path: request.path,
            data: data.whole,
            data_elided: data.elided,
            remote_address: request.remote_address,
            remote_port: request.remote_port,
            headers: headers.collect(),
            wrap_ttl: request.wrap_ttl.map_or(0, |ttl| ttl.as_secs()),
            policy_override: request.policy_override,
            client_certificate_serial_number: request.client_certificate_serial_number,
        }
    }

    fn reply<'a>(&self, reply: &'a Reply<'_>, request: &'a Request<'_>) -> ShownReply<'a> {
        let plain = request.mount.map_or(&[][..], |mount| mount.plain_response_keys);
        let counts = self.elides_lists && request.operation == Operation::List;
        let data = self.data(reply.data, plain, counts, reply.status);
        ShownReply {
            auth: reply.auth.map(|auth| self.auth(auth)),
            secret: shown(reply.lease_id).map(|lease_id| Lease { lease_id }),
            data: data.whole,
            data_elided: data.elided,
            warnings: reply.warnings,
            wrap_info: reply.wrap.map(|wrap| self.wrap(wrap)),
            mount: mounted(request.mount),
        }
    }

    fn wrap<'a>(&self, wrap: Wrap<'a>) -> ShownWrap<'a> {
        ShownWrap {
            ttl: wrap.ttl.as_secs(),
            token: self.secret(wrap.token),
            accessor: self.accessor(wrap.accessor),
            creation_time: rfc3339(wrap.created),
            creation_path: wrap.creation_path,
            wrapped_accessor: self.accessor(wrap.wrapped_accessor),
        }
    }

    fn data(&self, fields: Fields<'_>, plain: &[String], counts: bool, status: u16) -> ShownData {
        if let Fields::Raw(raw) = fields {
            let body = match self.is_raw {
                true => STANDARD.encode(&raw.bytes),
                false => self.hasher.hash(&raw.bytes).to_string(),
            };
            let whole = to_raw_value(&RawBody {
                http_content_type: raw.content_type,
                http_raw_body: body,
                http_status_code: status,
            });
            return ShownData {
                whole: whole.ok(),
                elided: None,
            };
        }
        match hashing::fields(fields, self.veil(), plain, counts) {
            Some(Veiled::Whole(whole)) => ShownData {
                whole: Some(whole),
                elided: None,
            },
            Some(Veiled::Elided { bytes, hash }) => ShownData {
                whole: None,
                elided: Some(Elided { bytes, hash }),
            },
            None => ShownData {
                whole: None,
                elided: None,
            },
        }
    }
}

fn shown(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn mounted(mount: Option<Mounted<'_>>) -> ShownMount<'_> {
    mount.map_or_else(ShownMount::default, |mount| ShownMount {
        mount_class: if mount.is_auth { "auth" } else { "secret" },
        mount_point: mount.point,
        mount_type: mount.kind,
        mount_accessor: mount.accessor,
    })
}

fn is_zero<Number: Default + PartialEq>(number: &Number) -> bool {
    *number == Number::default()
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

struct ShownData {
    whole: Option<Box<RawValue>>,
    elided: Option<Elided>,
}

/// Stands for data that are too large to be shown.
#[derive(Serialize)]
struct Elided {
    bytes: usize,
    hash: String,
}

#[derive(Serialize)]
struct RawBody<'a> {
    http_content_type: &'a str,
    http_raw_body: String,
    #[serde(skip_serializing_if = "is_zero")]
    http_status_code: u16,
}

#[derive(Serialize)]
struct ShownEntry<'a> {
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<ShownAuth<'a>>,
    request: ShownRequest<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ShownReply<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct PolicyResults {
    allowed: bool,
}

#[derive(Serialize)]
struct ShownAuth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accessor: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    display_name: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    token_policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    identity_policies: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_results: Option<PolicyResults>,
    #[serde(skip_serializing_if = "is_zero")]
    no_default_policy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_empty")]
    entity_id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    token_type: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    token_ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issue_time: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    num_uses: u64,
}

#[derive(Serialize)]
struct Namespace {
    id: &'static str,
}

#[derive(Serialize, Default)]
struct ShownMount<'a> {
    #[serde(skip_serializing_if = "is_empty")]
    mount_class: &'static str,
    #[serde(skip_serializing_if = "is_empty")]
    mount_point: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    mount_type: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    mount_accessor: &'a str,
}

#[derive(Serialize)]
struct ShownRequest<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "is_empty")]
    client_id: &'a str,
    operation: &'static str,
    #[serde(flatten)]
    mount: ShownMount<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token_accessor: Option<String>,
    namespace: Namespace,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_elided: Option<Elided>,
    #[serde(skip_serializing_if = "is_empty")]
    remote_address: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    remote_port: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    wrap_ttl: u64,
    #[serde(skip_serializing_if = "is_zero")]
    policy_override: bool,
    #[serde(skip_serializing_if = "is_empty")]
    client_certificate_serial_number: &'a str,
}

#[derive(Serialize)]
struct Lease<'a> {
    lease_id: &'a str,
}

#[derive(Serialize)]
struct ShownReply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<ShownAuth<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Lease<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_elided: Option<Elided>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_info: Option<ShownWrap<'a>>,
    #[serde(flatten)]
    mount: ShownMount<'a>,
}

#[derive(Serialize)]
struct ShownWrap<'a> {
    ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accessor: Option<String>,
    creation_time: String,
    creation_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapped_accessor: Option<String>,
}
