//! `/v1/agent/check`: checks that are registered through a member, and what is reported of them.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::call::Call;
use super::definition::{self, Otherwise};
use super::fields::Fields;
use super::listing::filter;
use super::routes::Route;
use super::shapes;
use crate::base::limits::MAXIMUM_CHECK_OUTPUT_BYTES;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::{ConsulError, FoundCheck};
use crate::service::registry::{CheckKind, CheckState, MEMBER_CHECK, Status};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/agent/checks", |call| Box::pin(checks(call))),
    Route::put("/v1/agent/check/register", |call| Box::pin(register(call))),
    Route::put("/v1/agent/check/deregister/", |call| Box::pin(deregister(call))),
    Route::put("/v1/agent/check/pass/", |call| {
        Box::pin(note(call, Status::Passing))
    }),
    Route::put("/v1/agent/check/warn/", |call| {
        Box::pin(note(call, Status::Warning))
    }),
    Route::put("/v1/agent/check/fail/", |call| {
        Box::pin(note(call, Status::Critical))
    }),
    Route::put("/v1/agent/check/update/", |call| Box::pin(update(call))),
];

async fn checks(call: Call) -> Result<Answer, ConsulError> {
    let filter = filter(&call, shapes::CHECK)?;
    let catalog = call.consul.catalog(call.options.is_stale()).await?;
    let mut found = Map::new();
    let mut is_filtered = false;
    if let Some(node) = call.consul.own_node(&catalog) {
        let mut add = |id: &str, shown: Value| {
            if filter.as_ref().is_none_or(|filter| filter.admits(&shown)) {
                found.insert(id.to_owned(), shown);
            }
        };
        let may = |resource| call.authorizer.allows(resource, Access::Read);
        if may(Resource::Node(node.name())) {
            let checks = node.state.checks.iter();
            // The member's own was registered by nobody here.
            for check in checks.filter(|check| check.definition.id != MEMBER_CHECK) {
                add(&check.definition.id, shapes::check(check, node.name(), None));
            }
        } else {
            is_filtered |= !node.state.checks.is_empty();
        }
        for entry in node.instances() {
            let said = &entry.instance.registration;
            if !may(Resource::Service(&said.service)) {
                is_filtered |= !entry.checks.is_empty();
                continue;
            }
            for check in &entry.checks {
                add(
                    &check.definition.id,
                    shapes::check(check, node.name(), Some(said)),
                );
            }
        }
    }
    Ok(call.json(&found)?.marked(is_filtered))
}

async fn register(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    if fields.text("Name")?.unwrap_or_default().is_empty() {
        return Err(ConsulError::Invalid("Missing check name".to_owned()));
    }
    let mut check = definition::parse(&fields, Otherwise::Refused)?;
    if check.definition.id.is_empty() {
        check.definition.id.clone_from(&check.definition.name);
    }
    call.consul.begin_own_node().await?;
    let (node, instance) = match fields.text("ServiceID")?.filter(|id| !id.is_empty()) {
        Some(id) => {
            let catalog = call.consul.catalog(false).await?;
            let entry = call.consul.instance(&catalog, &id).await?;
            let entry =
                entry.ok_or_else(|| ConsulError::Unknown(format!("ServiceID {id:?} does not exist")))?;
            let said = &entry.instance.registration;
            call.authorizer
                .require(Resource::Service(&said.service), Access::Write)?;
            (said.node.clone(), Some(id))
        }
        None => {
            let node = call.consul.settings().node.clone();
            call.authorizer.require(Resource::Node(&node), Access::Write)?;
            (node, None)
        }
    };
    // As it was if it is there: who registers again says nothing of how it is.
    let registry = call.consul.registry();
    registry
        .register_check(&node, instance.as_deref(), &check, true)
        .await?;
    Ok(Answer::empty())
}

/// The check with the id in the path, which the token may change.
async fn find(call: &Call) -> Result<FoundCheck, ConsulError> {
    let id = call.named("check ID")?;
    let catalog = call.consul.catalog(false).await?;
    let found = call.consul.check(&catalog, &id).await?;
    let found = found.ok_or_else(|| {
        ConsulError::Unknown(format!(
            "Unknown check ID {id:?}. Ensure that the check ID is passed, not the check name."
        ))
    })?;
    match &found.service {
        Some(service) => call
            .authorizer
            .require(Resource::Service(service), Access::Write)?,
        None => call
            .authorizer
            .require(Resource::Node(&found.node), Access::Write)?,
    }
    Ok(found)
}

async fn deregister(call: Call) -> Result<Answer, ConsulError> {
    let found = find(&call).await?;
    let registry = call.consul.registry();
    let id = &found.check.definition.id;
    registry
        .deregister_check(&found.node, found.instance.as_deref(), id)
        .await?;
    Ok(Answer::empty())
}

async fn report(call: &Call, status: Status, mut output: String) -> Result<Answer, ConsulError> {
    let found = find(call).await?;
    let id = &found.check.definition.id;
    if !matches!(
        found.check.definition.kind,
        CheckKind::TimeToLive(_) | CheckKind::Reported
    ) {
        return Err(ConsulError::Unknown(format!(
            "CheckID {id:?} does not have associated TTL"
        )));
    }
    // What is too long is cut, as Consul does.
    let mut end = output.len().min(MAXIMUM_CHECK_OUTPUT_BYTES);
    while !output.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    output.truncate(end);
    let state = CheckState { status, output };
    let registry = call.consul.registry();
    registry
        .report(&found.node, found.instance.as_deref(), id, &state)
        .await?;
    Ok(Answer::empty())
}

async fn note(call: Call, status: Status) -> Result<Answer, ConsulError> {
    let note = call.parameters.text("note").unwrap_or_default().to_owned();
    report(&call, status, note).await
}

async fn update(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    let name = fields.text("Status")?.unwrap_or_default();
    let status = shapes::status_of(&name).ok_or_else(|| {
        ConsulError::Invalid(format!(
            "Invalid check status: {name:?} is neither passing, warning nor critical"
        ))
    })?;
    report(&call, status, fields.text("Output")?.unwrap_or_default()).await
}
