//! `/v1/kv/`: keys and values.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use super::blocking::{Seen, blocking};
use super::call::Call;
use super::routes::Route;
use crate::base::limits::MAXIMUM_CONSUL_VALUE_BYTES;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::kv::{Condition, Pair, Snapshot, watched_key, watched_prefix};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/kv/", |call| Box::pin(read(call))),
    Route::put("/v1/kv/", |call| Box::pin(write(call))).with_body(MAXIMUM_CONSUL_VALUE_BYTES),
    Route::delete("/v1/kv/", |call| Box::pin(remove(call))),
];

/// A key as clients see it. Consul writes no session where there is none.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PairShown {
    lock_index: u64,
    key: String,
    flags: u64,
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    create_index: i64,
    modify_index: i64,
}

impl PairShown {
    /// With its value.
    pub fn of(pair: &Pair) -> Self {
        Self {
            value: (!pair.value.is_empty()).then(|| STANDARD.encode(&pair.value)),
            ..Self::without_value(pair)
        }
    }

    /// With `null` for its value.
    pub fn without_value(pair: &Pair) -> Self {
        Self {
            lock_index: pair.lock_index,
            key: String::from_utf8_lossy(&pair.key).into_owned(),
            flags: pair.flags,
            value: None,
            session: pair.session.map(|id| id.to_string()),
            create_index: pair.create.0,
            modify_index: pair.modified.0,
        }
    }
}

impl<T> From<Snapshot<T>> for Seen<T> {
    fn from(snapshot: Snapshot<T>) -> Self {
        Self {
            answer: snapshot.content,
            index: snapshot.index,
            revision: snapshot.revision,
        }
    }
}

fn named(call: &Call) -> Result<&Bytes, ConsulError> {
    match call.rest.is_empty() {
        true => Err(ConsulError::Invalid("Missing key name".into())),
        false => Ok(&call.rest),
    }
}

async fn read(call: Call) -> Result<Answer, ConsulError> {
    if call.parameters.has("keys") {
        return read_names(call).await;
    }
    if call.parameters.has("recurse") {
        return read_prefix(call).await;
    }
    let key = named(&call)?;
    call.authorizer.require(Resource::Key(key), Access::Read)?;
    let (consul, is_exact) = (&call.consul, call.options.index.is_some());
    let reading = blocking(&call, watched_key(key), |is_stale| async move {
        Ok(consul.pair(key, is_stale, is_exact).await?.into())
    });
    let (pair, meta) = reading.await?;
    let Some(pair) = pair else {
        return Ok(Answer::missing().with_meta(meta));
    };
    if call.parameters.has("raw") {
        let policy = HeaderValue::from_static("sandbox");
        return Ok(Answer::bytes("text/plain", pair.value)
            .with_header(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            )
            .with_header(header::CONTENT_SECURITY_POLICY, policy)
            .with_meta(meta));
    }
    Ok(call.json(&[PairShown::of(&pair)])?.with_meta(meta))
}

async fn read_prefix(call: Call) -> Result<Answer, ConsulError> {
    let prefix = &call.rest;
    call.authorizer
        .require(Resource::KeyPrefix(prefix), Access::List)?;
    let (consul, is_exact) = (&call.consul, call.options.index.is_some());
    let reading = blocking(&call, watched_prefix(prefix), |is_stale| async move {
        Ok(consul.pairs(prefix, is_stale, is_exact).await?.into())
    });
    let (pairs, meta): (Vec<Pair>, _) = reading.await?;
    let all = pairs.len();
    let may = |pair: &&Pair| call.authorizer.allows(Resource::Key(&pair.key), Access::Read);
    let shown: Vec<PairShown> = pairs.iter().filter(may).map(PairShown::of).collect();
    if shown.is_empty() {
        return Ok(Answer::missing().marked(all > 0).with_meta(meta));
    }
    let is_filtered = shown.len() < all;
    Ok(call.json(&shown)?.marked(is_filtered).with_meta(meta))
}

async fn read_names(call: Call) -> Result<Answer, ConsulError> {
    let prefix = &call.rest;
    call.authorizer
        .require(Resource::KeyPrefix(prefix), Access::List)?;
    let given = call
        .parameters
        .text("separator")
        .or_else(|| call.parameters.text("seperator"));
    let separator = given.unwrap_or_default().as_bytes();
    let (consul, is_exact) = (&call.consul, call.options.index.is_some());
    let reading = blocking(&call, watched_prefix(prefix), |is_stale| async move {
        let names = consul.names(prefix, separator, is_stale, is_exact);
        Ok(names.await?.into())
    });
    let (names, meta): (Vec<Bytes>, _) = reading.await?;
    let all = names.len();
    let may = |name: &&Bytes| call.authorizer.allows(Resource::Key(name), Access::Read);
    let shown: Vec<_> = names
        .iter()
        .filter(may)
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    if shown.is_empty() && !prefix.is_empty() {
        return Ok(Answer::missing().marked(all > 0).with_meta(meta));
    }
    let is_filtered = shown.len() < all;
    Ok(call.json(&shown)?.marked(is_filtered).with_meta(meta))
}

fn session(call: &Call, name: &str) -> Result<Option<Uuid>, ConsulError> {
    let Some(text) = call.parameters.text(name) else {
        return Ok(None);
    };
    Uuid::parse_str(text)
        .map(Some)
        .map_err(|_| ConsulError::Failed(format!("invalid session {text:?}")))
}

async fn write(call: Call) -> Result<Answer, ConsulError> {
    let key = named(&call)?;
    let flags = call.parameters.number("flags")?.unwrap_or_default();
    let given: Vec<&str> = ["cas", "acquire", "release"]
        .into_iter()
        .filter(|name| call.parameters.has(name))
        .collect();
    if given.len() > 1 {
        return Err(ConsulError::Invalid(format!(
            "Conflicting flags: {}",
            given.join(", ")
        )));
    }
    call.authorizer.require(Resource::Key(key), Access::Write)?;
    let condition = if let Some(index) = call.parameters.number("cas")? {
        Condition::Revision(index)
    } else if let Some(id) = session(&call, "acquire")? {
        Condition::Acquire(id)
    } else if call.parameters.has("release") {
        // What is no id is that of a session that holds nothing.
        Condition::Release(session(&call, "release").ok().flatten().unwrap_or_default())
    } else {
        Condition::Always
    };
    let done = call.consul.put(key, flags, call.body.clone(), condition).await?;
    call.json(&done)
}

async fn remove(call: Call) -> Result<Answer, ConsulError> {
    let index = call.parameters.number("cas")?;
    if call.parameters.has("recurse") {
        if index.is_some() {
            return Err(ConsulError::Invalid("Conflicting flags: recurse, cas".into()));
        }
        let prefix = &call.rest;
        call.authorizer
            .require(Resource::KeyPrefix(prefix), Access::Write)?;
        call.consul.remove_prefix(prefix).await?;
        return call.json(&true);
    }
    let key = named(&call)?;
    call.authorizer.require(Resource::Key(key), Access::Write)?;
    let done = call.consul.remove(key, index).await?;
    call.json(&done)
}
