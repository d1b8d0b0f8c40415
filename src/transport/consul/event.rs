//! `/v1/event/`: events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use super::blocking::blocking;
use super::call::Call;
use super::routes::Route;
use crate::base::limits::MAXIMUM_CONSUL_EVENT_BYTES;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::event::{Event, watched_events};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::put("/v1/event/fire/", |call| Box::pin(fire(call))).with_body(MAXIMUM_CONSUL_EVENT_BYTES),
    Route::get("/v1/event/list", |call| Box::pin(list(call))),
];

/// The version of the form of events (Consul).
const VERSION: u64 = 1;

/// An event as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EventShown {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    payload: Option<String>,
    node_filter: String,
    service_filter: String,
    tag_filter: String,
    version: u64,
    #[serde(rename = "LTime")]
    time: u64,
}

impl From<Event> for EventShown {
    fn from(event: Event) -> Self {
        Self {
            id: event.id.to_string(),
            name: event.name,
            payload: (!event.payload.is_empty()).then(|| STANDARD.encode(&event.payload)),
            node_filter: event.node_filter,
            service_filter: event.service_filter,
            tag_filter: event.tag_filter,
            version: VERSION,
            time: event.time,
        }
    }
}

async fn fire(call: Call) -> Result<Answer, ConsulError> {
    let name = call.named("name")?;
    call.authorizer.require(Resource::Event(&name), Access::Write)?;
    let filter = |name: &str| {
        let text = call.parameters.text(name).unwrap_or_default();
        match regex::Regex::new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(ConsulError::Invalid(format!(
                "Invalid {name} filter {text:?}: {error}"
            ))),
        }
    };
    let event = Event {
        id: Uuid::new_v4(),
        name,
        payload: call.body.clone(),
        node_filter: filter("node")?,
        service_filter: filter("service")?,
        tag_filter: filter("tag")?,
        time: 0,
    };
    if !event.tag_filter.is_empty() && event.service_filter.is_empty() {
        return Err(ConsulError::Invalid(
            "Cannot provide tag filter without service filter".into(),
        ));
    }
    let fired = call.consul.fire(event).await?;
    call.json(&EventShown::from(fired))
}

async fn list(call: Call) -> Result<Answer, ConsulError> {
    let consul = &call.consul;
    let reading = blocking(&call, watched_events(), |is_stale| async move {
        Ok(consul.events(is_stale).await?.into())
    });
    let (events, meta): (Vec<Event>, _) = reading.await?;
    let name = call.parameters.text("name");
    let may = |event: &Event| call.authorizer.allows(Resource::Event(&event.name), Access::Read);
    let shown: Vec<EventShown> = events
        .into_iter()
        .filter(|event| name.is_none_or(|name| name == event.name) && may(event))
        .map(EventShown::from)
        .collect();
    Ok(call.json(&shown)?.with_meta(meta))
}
