//! `/v1/txn`: transactions on keys and on the catalog.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::answer::Answer;
use super::call::Call;
use super::catalog::{check_of, node_of};
use super::fields::Fields;
use super::kv::PairShown;
use super::routes::Route;
use super::{registration, shapes};
use crate::base::limits::{MAXIMUM_CONSUL_TXN_OPERATIONS, MAXIMUM_CONSUL_VALUE_BYTES};
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::catalog::{EntryOperation, EntryVerb, ShownEntry};
use crate::service::consul::txn::{KeyOperation, Outcome, Shown, TxnOperation, Verb};

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
enum ResultShown {
    #[serde(rename = "KV")]
    Pair(PairShown),
    Node(Value),
    Service(Value),
    Check(Value),
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
    let operations: Vec<TxnOperation> = given.iter().map(operation).collect::<Result<_, _>>()?;
    for operation in &operations {
        if let TxnOperation::Key(operation) = operation {
            may(&call, operation)?;
        }
    }
    let only_reads = operations.iter().all(TxnOperation::only_reads);
    let outcome = call
        .consul
        .transact(&operations, call.options.is_stale(), &call.authorizer)
        .await?;
    let revision = outcome.revision;
    let status = match outcome.failed.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    };
    let datacenter = &call.consul.settings().datacenter;
    let answer = call.json(&shown(outcome, datacenter))?.with_status(status);
    Ok(match only_reads {
        true => answer.with_meta(call.meta(revision)),
        false => answer,
    })
}

fn shown(outcome: Outcome, datacenter: &str) -> OutcomeShown {
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
    let results = outcome.shown.into_iter().map(|shown| match shown {
        Shown::Whole(pair) => ResultShown::Pair(PairShown::of(&pair)),
        Shown::Written(pair) => ResultShown::Pair(PairShown::without_value(&pair)),
        Shown::Entry(entry) => match *entry {
            ShownEntry::Node(known) => ResultShown::Node(shapes::known_node(&known, datacenter)),
            ShownEntry::Instance(entry) => {
                ResultShown::Service(Value::Object(shapes::service_of_node(&entry)))
            }
            ShownEntry::Check {
                check,
                node,
                registration,
            } => ResultShown::Check(shapes::check(&check, &node, registration.as_ref())),
        },
    });
    let results: Vec<ResultShown> = results.collect();
    OutcomeShown {
        results: (!results.is_empty()).then_some(results),
        errors: None,
    }
}

/// One operation: the first of its kinds that is there.
pub(super) fn operation(fields: &Fields) -> Result<TxnOperation, ConsulError> {
    if let Some(pair) = fields.object("KV")? {
        return key_operation(&pair).map(TxnOperation::Key);
    }
    let entry = if let Some(node) = fields.object("Node")? {
        node_operation(&node)?
    } else if let Some(service) = fields.object("Service")? {
        service_operation(&service)?
    } else if let Some(check) = fields.object("Check")? {
        check_operation(&check)?
    } else {
        return Err(ConsulError::Invalid(
            "Request decode failed: an operation has no KV, Node, Service or Check".to_owned(),
        ));
    };
    Ok(TxnOperation::Entry(entry))
}

fn named(fields: &Fields, name: &str, kind: &str) -> Result<String, ConsulError> {
    fields.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| {
        ConsulError::Invalid(format!(
            "Request decode failed: an operation of the kind {kind} has no {name}"
        ))
    })
}

/// What is done with an entry, which is read where it is written.
fn entry_verb<T>(
    fields: &Fields,
    kind: &str,
    entry: &Fields,
    read: impl FnOnce() -> Result<T, ConsulError>,
) -> Result<EntryVerb<T>, ConsulError> {
    let index = || Ok::<_, ConsulError>(entry.number("ModifyIndex")?.unwrap_or_default());
    Ok(match fields.text("Verb")?.unwrap_or_default().as_str() {
        "set" => EntryVerb::Set(read()?),
        "cas" => EntryVerb::SetAt(read()?, index()?),
        "get" => EntryVerb::Get,
        "delete" => EntryVerb::Delete,
        "delete-cas" => EntryVerb::DeleteAt(index()?),
        other => {
            return Err(ConsulError::Invalid(format!(
                "unknown {kind} operation {other:?}"
            )));
        }
    })
}

fn node_operation(fields: &Fields) -> Result<EntryOperation, ConsulError> {
    let entry = fields.object("Node")?.unwrap_or_default();
    let name = named(&entry, "Node", "Node")?;
    let verb = entry_verb(fields, "Node", &entry, || node_of(&entry, &name, "Meta"))?;
    Ok(EntryOperation::Node { name, verb })
}

fn service_operation(fields: &Fields) -> Result<EntryOperation, ConsulError> {
    let node = named(fields, "Node", "Service")?;
    let entry = fields.object("Service")?.unwrap_or_default();
    let id = match entry.text("ID")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => named(&entry, "Service", "Service")?,
    };
    let verb = entry_verb(fields, "Service", &entry, || {
        registration::parse(&entry, "Service", &node)
    })?;
    Ok(EntryOperation::Instance { node, id, verb })
}

fn check_operation(fields: &Fields) -> Result<EntryOperation, ConsulError> {
    let entry = fields.object("Check")?.unwrap_or_default();
    let node = named(&entry, "Node", "Check")?;
    let id = match entry.text("CheckID")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => named(&entry, "Name", "Check")?,
    };
    let instance = entry.text("ServiceID")?.filter(|id| !id.is_empty());
    let verb = entry_verb(fields, "Check", &entry, || Ok(check_of(&entry, &node)?.0))?;
    Ok(EntryOperation::Check {
        node,
        instance,
        id,
        verb,
    })
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

/// Refuses an operation that the token may not do.
fn may(call: &Call, operation: &KeyOperation) -> Result<(), ConsulError> {
    let key = operation.key.as_ref();
    let (resource, access) = match operation.verb {
        Verb::GetTree => (Resource::KeyPrefix(key), Access::List),
        Verb::DeleteTree => (Resource::KeyPrefix(key), Access::Write),
        verb if verb.only_reads() => (Resource::Key(key), Access::Read),
        _ => (Resource::Key(key), Access::Write),
    };
    Ok(call.authorizer.require(resource, access)?)
}
