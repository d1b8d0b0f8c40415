//! Answers that are handed on wrapped: what was answered lies in the store, and a token that can be used once gives it out.
//! Whoever is handed the token and finds it used knows that another saw the answer.
//!
//! Never gives an answer out twice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine::storage::{decode, encode};
use super::engine::times::rfc3339;
use super::engine::{Data, Fault, TokenKind};
use super::error::SecretsError;
use super::policy::RESPONSE_WRAPPING;
use super::request::{Auth, Response, Wrapped};
use super::token::{self, Identity, New};
use super::work::Work;
use crate::base::secret::Secret;

/// Where wrapped answers are, by the ids of their tokens.
const WRAPPED: &str = "wrapped";

/// An answer as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    data: Option<BTreeMap<String, Box<RawValue>>>,
    warnings: Vec<String>,
    lease_id: String,
    lease_seconds: u64,
    is_renewable: bool,
    mount_kind: String,
    auth: Option<StoredAuth>,
}

#[derive(Serialize, Deserialize)]
struct StoredAuth {
    token: Secret<String>,
    accessor: String,
    policies: Vec<String>,
    metadata: BTreeMap<String, String>,
    lease_seconds: u64,
    is_renewable: bool,
    is_orphan: bool,
    kind: TokenKind,
    uses: u64,
}

/// Whether the answer of a path is never wrapped by the token's header: it is about wrapping itself.
#[must_use]
pub fn is_exempt(path: &str) -> bool {
    matches!(
        path,
        "sys/wrapping/unwrap" | "sys/wrapping/lookup" | "sys/wrapping/rewrap"
    )
}

/// Whether the token of a request to that path may be the one that wraps.
#[must_use]
pub fn takes_own_token(path: &str) -> bool {
    matches!(path, "sys/wrapping/unwrap" | "sys/wrapping/rewrap")
}

/// What is said of a token that wraps nothing.
#[must_use]
pub fn unknown() -> Fault {
    Fault::Invalid("wrapping token is not valid or does not exist".to_owned())
}

/// Wraps an answer.
///
/// # Errors
/// There is no randomness.
pub fn wrap(
    work: &mut Work,
    response: Response,
    ttl: Duration,
    path: &str,
) -> Result<Response, SecretsError> {
    if response.raw.is_some() {
        return Err(Fault::Invalid("an answer that is not JSON cannot be wrapped".to_owned()).into());
    }
    if response.data.is_none() && response.auth.is_none() && response.warnings.is_empty() {
        return Ok(response);
    }
    let wrapped_accessor = response.auth.as_ref().map(|auth| auth.accessor.clone());
    let record = encode(&Stored::from(response))?;
    wrap_record(work, record, ttl, path.to_owned(), wrapped_accessor)
}

fn wrap_record(
    work: &mut Work,
    record: Secret<Vec<u8>>,
    ttl: Duration,
    path: String,
    wrapped_accessor: Option<String>,
) -> Result<Response, SecretsError> {
    let new = New {
        id: None,
        parent: None,
        policies: vec![RESPONSE_WRAPPING.to_owned()],
        path: path.clone(),
        metadata: BTreeMap::new(),
        display_name: "token".to_owned(),
        uses: 1,
        ttl,
        max_ttl: Duration::ZERO,
        explicit_max_ttl: ttl,
        period: Duration::ZERO,
        is_renewable: false,
        role: String::new(),
        bound_cidrs: Vec::new(),
        kind: TokenKind::Service,
        wraps: path.clone(),
    };
    let tuning = work.tuning_of("auth/token/");
    let made = work.with_randomness(|draft, randomness| token::make(draft, new, &tuning, randomness))?;
    let name = work.draft().name(&format!("{WRAPPED}/{}", made.id))?;
    let seconds = Duration::from_secs(made.auth.lease_seconds);
    work.draft().put(&name, record, Some(seconds));
    Ok(Response {
        wrapped: Some(Wrapped {
            token: made.auth.token,
            accessor: made.auth.accessor,
            ttl_seconds: made.auth.lease_seconds,
            created: work.draft().now(),
            creation_path: path,
            wrapped_accessor,
        }),
        ..Response::default()
    })
}

/// The token that wraps: of the body, or the request's own.
fn given(work: &mut Work) -> Result<Identity, SecretsError> {
    let token = match work.text("token")?.filter(|token| !token.is_empty()) {
        Some(token) => Secret::new(token),
        None => work.own_token(),
    };
    let identity = token::find(work.draft(), token.expose())?;
    let identity = identity.filter(|identity| !identity.entry.wraps.is_empty());
    Ok(identity.ok_or_else(unknown)?)
}

fn take(work: &mut Work, identity: &Identity) -> Result<Secret<Vec<u8>>, SecretsError> {
    let name = work.draft().name(&format!("{WRAPPED}/{}", identity.id))?;
    let record = work.draft().get(&name)?.ok_or_else(unknown)?;
    work.draft().delete(&name)?;
    token::revoke(work.draft(), &identity.id)?;
    Ok(record)
}

/// Serves `sys/wrapping/<what>`.
///
/// # Errors
/// The token wraps nothing, or nothing more.
pub fn handle(work: &mut Work, what: &str) -> Result<Response, SecretsError> {
    match what {
        "wrap" => {
            if work.request().wrap.is_none() {
                return Err(
                    Fault::Invalid("endpoint requires response wrapping to be used".to_owned()).into(),
                );
            }
            let mut data = Data::new();
            let fields: Vec<String> = work.body().fields().keys().cloned().collect();
            for field in fields {
                if let Some(text) = work.body().text(&field) {
                    data.set_text(&field, text)?;
                }
            }
            Ok(Response::data(data))
        }
        "unwrap" => {
            let identity = given(work)?;
            let record = take(work, &identity)?;
            let stored: Stored = decode(record.expose())?;
            stored.response().map_err(SecretsError::from)
        }
        "rewrap" => {
            let identity = given(work)?;
            let record = take(work, &identity)?;
            let entry = &identity.entry;
            wrap_record(work, record, entry.creation_ttl, entry.wraps.clone(), None)
        }
        "lookup" => {
            let identity = given(work)?;
            let entry = &identity.entry;
            let data = Data::new()
                .with("creation_path", &entry.wraps)?
                .with("creation_time", &rfc3339(entry.created))?
                .with("creation_ttl", &entry.creation_ttl.as_secs())?;
            Ok(Response::data(data))
        }
        other => Err(Fault::NoPath(format!("unsupported path \"sys/wrapping/{other}\"")).into()),
    }
}

impl From<Response> for Stored {
    fn from(response: Response) -> Self {
        let data = response.data.as_ref().map(|data| {
            let fields = data.fields();
            fields
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .collect()
        });
        Self {
            data,
            warnings: response.warnings,
            lease_id: response.lease_id,
            lease_seconds: response.lease_seconds,
            is_renewable: response.is_renewable,
            mount_kind: response.mount_kind,
            auth: response.auth.map(|auth| StoredAuth {
                token: auth.token,
                accessor: auth.accessor,
                policies: auth.policies,
                metadata: auth.metadata,
                lease_seconds: auth.lease_seconds,
                is_renewable: auth.is_renewable,
                is_orphan: auth.is_orphan,
                kind: auth.kind,
                uses: auth.uses,
            }),
        }
    }
}

impl Stored {
    fn response(self) -> Result<Response, Fault> {
        let data = self.data.map(|fields| {
            let mut data = Data::new();
            for (name, text) in fields {
                data.set_text(name, text.get())?;
            }
            Ok::<_, Fault>(data)
        });
        Ok(Response {
            data: data.transpose()?,
            warnings: self.warnings,
            lease_id: self.lease_id,
            lease_seconds: self.lease_seconds,
            is_renewable: self.is_renewable,
            mount_kind: self.mount_kind,
            auth: self.auth.map(|auth| Auth {
                token: auth.token,
                accessor: auth.accessor,
                policies: auth.policies,
                metadata: auth.metadata,
                lease_seconds: auth.lease_seconds,
                is_renewable: auth.is_renewable,
                is_orphan: auth.is_orphan,
                kind: auth.kind,
                uses: auth.uses,
            }),
            ..Response::default()
        })
    }
}
