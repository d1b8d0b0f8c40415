//! `/v1/session/`: sessions.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use super::blocking::blocking;
use super::call::Call;
use super::fields::Fields;
use super::parameters::duration;
use super::routes::Route;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::session::{Behavior, NewSession, Session, watched_session, watched_sessions};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::put("/v1/session/create", |call| Box::pin(create(call))),
    Route::put("/v1/session/destroy/", |call| Box::pin(destroy(call))),
    Route::put("/v1/session/renew/", |call| Box::pin(renew(call))),
    Route::get("/v1/session/info/", |call| Box::pin(info(call))),
    Route::get("/v1/session/list", |call| Box::pin(list(call))),
    Route::get("/v1/session/node/", |call| Box::pin(of_node(call))),
];

/// The lock-delay of a session that names none (Consul).
const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);
/// A number below this is a lock-delay in seconds, not in nanoseconds (Consul).
const SECONDS_BELOW: i64 = 1_000;

/// A session as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SessionShown {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    node: String,
    lock_delay: i64,
    behavior: &'static str,
    #[serde(rename = "TTL")]
    ttl: String,
    node_checks: Vec<String>,
    service_checks: Vec<ServiceCheck>,
    create_index: i64,
    modify_index: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceCheck {
    #[serde(rename = "ID")]
    id: String,
    namespace: &'static str,
}

impl From<Session> for SessionShown {
    fn from(session: Session) -> Self {
        let service_check = |id| ServiceCheck { id, namespace: "" };
        Self {
            id: session.id.to_string(),
            name: session.name,
            node: session.node,
            lock_delay: session.lock_delay_nanoseconds,
            behavior: match session.behavior {
                Behavior::Release => "release",
                Behavior::Delete => "delete",
            },
            ttl: session.ttl,
            node_checks: session.node_checks,
            service_checks: session.service_checks.into_iter().map(service_check).collect(),
            create_index: session.create.0,
            modify_index: session.modified.0,
        }
    }
}

#[derive(Serialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

async fn create(call: Call) -> Result<Answer, ConsulError> {
    let new = new_session(&Fields::parse(&call.body)?)?;
    let node = new.node.as_ref().unwrap_or(&call.consul.settings().node);
    call.authorizer.require(Resource::Session(node), Access::Write)?;
    let id = call.consul.create_session(new).await?;
    call.json(&Created { id: id.to_string() })
}

fn new_session(fields: &Fields) -> Result<NewSession, ConsulError> {
    let ttl = match fields.text("TTL")?.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let ttl = duration(&text).ok_or_else(|| {
                ConsulError::Failed(format!("Invalid Session TTL '{text}': write a time such as 30s"))
            })?;
            // As in Consul, no time is no limit.
            (!ttl.is_zero()).then_some((text, ttl))
        }
    };
    let lock_delay = match fields.nanoseconds("LockDelay")? {
        None => DEFAULT_LOCK_DELAY,
        Some(number) => {
            let is_short = number < SECONDS_BELOW && fields.text("LockDelay").is_err();
            let number = u64::try_from(number)
                .map_err(|_| ConsulError::Invalid("Invalid LockDelay: it is negative".into()))?;
            match is_short {
                true => Duration::from_secs(number),
                false => Duration::from_nanos(number),
            }
        }
    };
    let behavior = match fields.text("Behavior")?.as_deref() {
        None | Some("" | "release") => Behavior::Release,
        Some("delete") => Behavior::Delete,
        Some(other) => {
            return Err(ConsulError::Failed(format!(
                "Invalid Behavior setting '{other}': write release or delete"
            )));
        }
    };
    // An empty list means none; only who says nothing gets the default.
    let named = |name: &str| match fields.has(name) {
        true => Ok(Some(fields.texts(name)?.unwrap_or_default())),
        false => Ok::<_, ConsulError>(None),
    };
    let node_checks = match (named("NodeChecks")?, named("Checks")?) {
        (Some(mut checks), older) => {
            checks.extend(older.unwrap_or_default());
            Some(checks)
        }
        (None, older) => older,
    };
    let mut service_checks = Vec::new();
    for check in fields.objects("ServiceChecks")?.unwrap_or_default() {
        let id = check.text("ID")?.filter(|id| !id.is_empty());
        let missing = || ConsulError::Invalid("Request decode failed: ServiceChecks has no ID".into());
        service_checks.push(id.ok_or_else(missing)?);
    }
    Ok(NewSession {
        name: fields.text("Name")?.unwrap_or_default(),
        node: fields.text("Node")?.filter(|node| !node.is_empty()),
        lock_delay,
        behavior,
        ttl,
        node_checks,
        service_checks,
    })
}

/// The session that the path names; none if it is no id.
fn id(call: &Call) -> Result<Option<Uuid>, ConsulError> {
    let text = call.named("session")?;
    Ok(Uuid::parse_str(&text).ok())
}

/// Refuses a change of a session on a node whose sessions the token may not change. Whether there is one.
async fn may_change(call: &Call, id: Uuid) -> Result<bool, ConsulError> {
    match call.consul.session(id, false, false).await?.content {
        Some(session) => {
            let node = &session.node;
            call.authorizer.require(Resource::Session(node), Access::Write)?;
            Ok(true)
        }
        None => Ok(false),
    }
}

async fn destroy(call: Call) -> Result<Answer, ConsulError> {
    if let Some(id) = id(&call)?
        && may_change(&call, id).await?
    {
        call.consul.end_session(id).await?;
    }
    call.json(&true)
}

async fn renew(call: Call) -> Result<Answer, ConsulError> {
    let id = id(&call)?;
    if let Some(id) = id
        && may_change(&call, id).await?
        && let Some(session) = call.consul.renew_session(id).await?
    {
        return call.json(&[SessionShown::from(session)]);
    }
    let name = call.rest_text();
    Err(ConsulError::Unknown(format!("Session id '{name}' not found")))
}

async fn info(call: Call) -> Result<Answer, ConsulError> {
    let id = id(&call)?.unwrap_or_default();
    let is_exact = call.options.index.is_some();
    let consul = &call.consul;
    let reading = blocking(&call, watched_session(id), |is_stale| async move {
        Ok(consul.session(id, is_stale, is_exact).await?.into())
    });
    let (session, meta): (Option<Session>, _) = reading.await?;
    let shown = shown(&call, session);
    Ok(call.json(&shown)?.with_meta(meta))
}

async fn list(call: Call) -> Result<Answer, ConsulError> {
    all(call, |_| true).await
}

async fn of_node(call: Call) -> Result<Answer, ConsulError> {
    let node = call.named("node name")?;
    all(call, |session| session.node.eq_ignore_ascii_case(&node)).await
}

async fn all(call: Call, admits: impl Fn(&Session) -> bool) -> Result<Answer, ConsulError> {
    let is_exact = call.options.index.is_some();
    let consul = &call.consul;
    let reading = blocking(&call, watched_sessions(), |is_stale| async move {
        Ok(consul.sessions(is_stale, is_exact).await?.into())
    });
    let (sessions, meta): (Vec<Session>, _) = reading.await?;
    let shown = shown(&call, sessions.into_iter().filter(|session| admits(session)));
    Ok(call.json(&shown)?.with_meta(meta))
}

/// Those that the token may see.
fn shown(call: &Call, sessions: impl IntoIterator<Item = Session>) -> Vec<SessionShown> {
    let may = |session: &Session| {
        call.authorizer
            .allows(Resource::Session(&session.node), Access::Read)
    };
    sessions.into_iter().filter(may).map(SessionShown::from).collect()
}
