//! `/v1/txn`: transactions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::fields::Fields;
use super::kv::PairShown;
use super::routes::Route;
use crate::base::limits::{MAXIMUM_CONSUL_TXN_OPERATIONS, MAXIMUM_CONSUL_VALUE_BYTES};
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::txn::{KeyOperation, Outcome, Shown, Verb};

/// Bytes of a body: what a transaction of the store takes is less, and refused below.
const MAXIMUM_BODY_BYTES: usize = 4 * MAXIMUM_CONSUL_VALUE_BYTES;

/// The routes.
pub(super) const ROUTES: &[Route] =
    &[Route::put("/v1/txn", |call| Box::pin(transact(call))).with_body(MAXIMUM_BODY_BYTES)];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OutcomeShown {
    results: Option<Vec<ResultShown>>,
    errors: Option<Vec<ErrorShown>>,
}

#[derive(Serialize)]
struct ResultShown {
    #[serde(rename = "KV")]
    pair: PairShown,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorShown {
    op_index: usize,
    what: String,
}

async fn transact(call: Call) -> Result<Answer, ConsulError> {
    let given = Fields::parse_list(&call.body)?;
    if given.len() > MAXIMUM_CONSUL_TXN_OPERATIONS {
        return Err(ConsulError::TooLarge(format!(
            "Transaction contains too many operations ({} > {MAXIMUM_CONSUL_TXN_OPERATIONS})",
            given.len()
        )));
    }
    let mut operations = Vec::with_capacity(given.len());
    for fields in given {
        if let Some(pair) = fields.object("KV")? {
            operations.push(key_operation(&pair)?);
            continue;
        }
        let other = ["Node", "Service", "Check"]
            .into_iter()
            .find(|kind| fields.has(kind));
        return Err(ConsulError::Invalid(match other {
            Some(kind) => format!(
                "Operations of the kind {kind} are not offered in transactions: register through /v1/catalog/register"
            ),
            None => "Request decode failed: an operation has no KV".to_owned(),
        }));
    }
    let denied: Vec<(usize, String)> = operations
        .iter()
        .enumerate()
        .filter_map(|(number, operation)| Some((number, denial(&call, operation)?)))
        .collect();
    if !denied.is_empty() {
        let (_, first) = denied.first().cloned().unwrap_or_default();
        return Err(ConsulError::Denied(first));
    }
    let only_reads = operations.iter().all(|operation| operation.verb.only_reads());
    let outcome = call.consul.transact(&operations, call.options.is_stale()).await?;
    let revision = outcome.revision;
    let status = match outcome.failed.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    };
    let answer = call.json(&shown(outcome))?.with_status(status);
    Ok(match only_reads {
        true => answer.with_meta(call.meta(revision)),
        false => answer,
    })
}

fn shown(outcome: Outcome) -> OutcomeShown {
    if !outcome.failed.is_empty() {
        let failed = outcome.failed.into_iter();
        return OutcomeShown {
            results: None,
            errors: Some(
                failed
                    .map(|(op_index, what)| ErrorShown { op_index, what })
                    .collect(),
            ),
        };
    }
    let results = outcome.shown.into_iter().map(|shown| ResultShown {
        pair: match shown {
            Shown::Whole(pair) => PairShown::of(&pair),
            Shown::Written(pair) => PairShown::without_value(&pair),
        },
    });
    let results: Vec<ResultShown> = results.collect();
    OutcomeShown {
        results: (!results.is_empty()).then_some(results),
        errors: None,
    }
}

fn key_operation(fields: &Fields) -> Result<KeyOperation, ConsulError> {
    let invalid = |text: String| ConsulError::Invalid(format!("Request decode failed: {text}"));
    let key = fields.text("Key")?.unwrap_or_default();
    let value = match fields.text("Value")? {
        None => Bytes::new(),
        Some(text) => STANDARD
            .decode(&text)
            .map_err(|error| invalid(format!("the Value of key {key:?} is no base64: {error}")))?
            .into(),
    };
    let index = fields.number("Index")?.unwrap_or_default();
    let session = || {
        let text = fields.text("Session")?.unwrap_or_default();
        Uuid::parse_str(&text).map_err(|_| ConsulError::Invalid(format!("invalid session {text:?}")))
    };
    let verb = fields.text("Verb")?.unwrap_or_default();
    let verb = match verb.as_str() {
        "set" => Verb::Set,
        "cas" => Verb::SetAt(index),
        "lock" => Verb::Lock(session()?),
        "unlock" => Verb::Unlock(session()?),
        "get" => Verb::Get,
        "get-or-empty" => Verb::GetOrEmpty,
        "get-tree" => Verb::GetTree,
        "check-index" => Verb::CheckIndex(index),
        "check-session" => Verb::CheckSession(session()?),
        "check-not-exists" => Verb::CheckNotExists,
        "delete" => Verb::Delete,
        "delete-tree" => Verb::DeleteTree,
        "delete-cas" => Verb::DeleteAt(index),
        other => return Err(ConsulError::Invalid(format!("unknown KV operation {other:?}"))),
    };
    if key.is_empty() && !matches!(verb, Verb::GetTree | Verb::DeleteTree) {
        return Err(invalid("an operation has no Key".to_owned()));
    }
    Ok(KeyOperation {
        verb,
        key: Bytes::from(key),
        value,
        flags: fields.number("Flags")?.unwrap_or_default(),
    })
}

/// Why the token may not do an operation.
fn denial(call: &Call, operation: &KeyOperation) -> Option<String> {
    let key = operation.key.as_ref();
    let (resource, access) = match operation.verb {
        Verb::GetTree => (Resource::KeyPrefix(key), Access::List),
        Verb::DeleteTree => (Resource::KeyPrefix(key), Access::Write),
        verb if verb.only_reads() => (Resource::Key(key), Access::Read),
        _ => (Resource::Key(key), Access::Write),
    };
    let required = call.authorizer.require(resource, access);
    required.err().map(|error| error.to_string())
}
