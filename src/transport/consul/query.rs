//! `/v1/query`: prepared queries.

use std::sync::Arc;

use serde_json::{Value, json};

use super::answer::{Answer, Meta};
use super::blocking::{Seen, blocking};
use super::call::Call;
use super::fields::Fields;
use super::routes::Route;
use super::shapes;
use crate::base::secret::Secret;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::query::{self, KnownQuery, PreparedQuery, QueryPicture, Template, Wanted};

/// What is shown in place of a secret that the token may not see.
const HIDDEN: &str = "<hidden>";
/// The only kind of template.
const TEMPLATE_TYPE: &str = "name_prefix_match";

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/query", |call| Box::pin(list(call))),
    Route::post("/v1/query", |call| Box::pin(create(call))),
    Route::get("/v1/query/", |call| Box::pin(read(call))),
    Route::put("/v1/query/", |call| Box::pin(change(call))),
    Route::delete("/v1/query/", |call| Box::pin(delete(call))),
];

fn shown(call: &Call, query: &PreparedQuery) -> Value {
    let wanted = &query.wanted;
    let token = query.token.expose();
    let may_see = token.is_empty() || call.authorizer.allows(Resource::Acl, Access::Write);
    json!({
        "ID": query.id,
        "Name": query.name,
        "Session": "",
        "Token": if may_see { token.as_str() } else { HIDDEN },
        "Template": match &query.template {
            Some(template) => json!({
                "Type": TEMPLATE_TYPE,
                "Regexp": template.pattern,
                "RemoveEmptyTags": template.remove_empty_tags,
            }),
            None => json!({"Type": "", "Regexp": "", "RemoveEmptyTags": false}),
        },
        "Service": {
            "Service": wanted.service,
            "Failover": {"NearestN": wanted.failover_nearest, "Datacenters": wanted.failover_datacenters},
            "OnlyPassing": wanted.only_passing,
            "IgnoreCheckIDs": wanted.ignored_checks,
            "Near": wanted.near,
            "Tags": wanted.tags,
            "NodeMeta": wanted.node_metadata,
            "ServiceMeta": wanted.service_metadata,
            "Connect": false,
        },
        "DNS": {"TTL": query.dns_ttl},
    })
}

fn shown_known(call: &Call, known: &KnownQuery) -> Value {
    let mut shown = shown(call, &known.query);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("CreateIndex".into(), shapes::index(known.create_revision).into());
        fields.insert(
            "ModifyIndex".into(),
            shapes::index(known.modification_revision).into(),
        );
    }
    shown
}

fn invalid(text: impl Into<String>) -> ConsulError {
    ConsulError::Invalid(text.into())
}

fn parse(call: &Call, id: String) -> Result<PreparedQuery, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    let text = |fields: &Fields, name: &str| -> Result<String, ConsulError> {
        Ok(fields.text(name)?.unwrap_or_default())
    };
    if !text(&fields, "Session")?.is_empty() {
        return Err(invalid(
            "Session is not supported: a query stays until it is deleted",
        ));
    }
    let service = fields.object("Service")?.unwrap_or_default();
    if service.switch("Connect")? {
        return Err(invalid("Connect is not supported"));
    }
    let template = match fields.object("Template")? {
        None => None,
        Some(template) => match text(&template, "Type")?.as_str() {
            "" => None,
            TEMPLATE_TYPE => Some(Template {
                pattern: text(&template, "Regexp")?,
                remove_empty_tags: template.switch("RemoveEmptyTags")?,
            }),
            other => {
                return Err(invalid(format!(
                    "Bad Template.Type {other:?}: it is {TEMPLATE_TYPE}"
                )));
            }
        },
    };
    let failover = service.object("Failover")?.unwrap_or_default();
    let dns_ttl = fields
        .object("DNS")?
        .map(|dns| text(&dns, "TTL"))
        .transpose()?
        .unwrap_or_default();
    if !dns_ttl.is_empty() && super::parameters::duration(&dns_ttl).is_none() {
        return Err(invalid(format!(
            "Bad DNS TTL {dns_ttl:?}: write a time such as 10s"
        )));
    }
    Ok(PreparedQuery {
        id,
        name: text(&fields, "Name")?,
        token: Secret::new(text(&fields, "Token")?),
        wanted: Wanted {
            service: text(&service, "Service")?,
            only_passing: service.switch("OnlyPassing")?,
            near: text(&service, "Near")?,
            tags: service.texts("Tags")?.unwrap_or_default(),
            node_metadata: service.text_map("NodeMeta")?.unwrap_or_default(),
            service_metadata: service.text_map("ServiceMeta")?.unwrap_or_default(),
            ignored_checks: service.texts("IgnoreCheckIDs")?.unwrap_or_default(),
            failover_nearest: failover.number("NearestN")?.unwrap_or_default(),
            failover_datacenters: failover.texts("Datacenters")?.unwrap_or_default(),
        },
        dns_ttl,
        template,
    })
}

fn may(call: &Call, query: &PreparedQuery, access: Access) -> Result<(), ConsulError> {
    Ok(call.authorizer.require(Resource::Query(&query.name), access)?)
}

async fn list(call: Call) -> Result<Answer, ConsulError> {
    let (picture, meta) = pictured(&call).await?;
    let known = picture.queries.values();
    let visible = known.filter(|known| {
        call.authorizer
            .allows(Resource::Query(&known.query.name), Access::Read)
    });
    let shown: Vec<Value> = visible.map(|known| shown_known(&call, known)).collect();
    Ok(call.json(&shown)?.with_meta(meta))
}

/// All queries, once one of them has changed if the request waits for that.
async fn pictured(call: &Call) -> Result<(Arc<QueryPicture>, Meta), ConsulError> {
    let read = |is_stale| {
        let queries = call.consul.queries().clone();
        async move {
            let (picture, revision) = queries.seen(is_stale).await?;
            Ok(Seen {
                index: picture.changed,
                revision,
                answer: picture,
            })
        }
    };
    blocking(call, query::watched(), read).await
}

async fn create(call: Call) -> Result<Answer, ConsulError> {
    let query = parse(&call, String::new())?;
    may(&call, &query, Access::Write)?;
    let id = call.consul.queries().put(query).await?;
    call.json(&json!({"ID": id}))
}

fn find(picture: &QueryPicture, id: &str) -> Result<Arc<KnownQuery>, ConsulError> {
    let known = picture.queries.get(id).cloned();
    known.ok_or_else(|| ConsulError::Unknown("Query not found".to_owned()))
}

async fn change(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("query ID")?;
    let query = parse(&call, id.clone())?;
    let there = find(&*call.consul.queries().all(false).await?, &id)?;
    may(&call, &there.query, Access::Write)?;
    may(&call, &query, Access::Write)?;
    call.consul.queries().put(query).await?;
    Ok(Answer::empty())
}

async fn delete(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("query ID")?;
    let there = find(&*call.consul.queries().all(false).await?, &id)?;
    may(&call, &there.query, Access::Write)?;
    call.consul.queries().delete(&id).await?;
    Ok(Answer::empty())
}

async fn read(call: Call) -> Result<Answer, ConsulError> {
    let rest = call.named("query ID")?;
    if let Some(name) = rest.strip_suffix("/execute") {
        return execute(&call, name).await;
    }
    if let Some(name) = rest.strip_suffix("/explain") {
        let picture = call.consul.queries().all(call.options.is_stale()).await?;
        let query = picture.find(name)?;
        may(&call, &query, Access::Read)?;
        let answer = call.json(&json!({"Query": shown(&call, &query)}))?;
        return Ok(answer.with_meta(call.meta(picture.changed)));
    }
    let (picture, meta) = pictured(&call).await?;
    let known = find(&picture, &rest)?;
    may(&call, &known.query, Access::Read)?;
    Ok(call.json(&[shown_known(&call, &known)])?.with_meta(meta))
}

async fn execute(call: &Call, name: &str) -> Result<Answer, ConsulError> {
    let limit = match call.parameters.number("limit")? {
        None | Some(0) => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let picture = call.consul.queries().all(call.options.is_stale()).await?;
    let query = picture.find(name)?;
    let authorizer = match query.token.expose().is_empty() {
        true => Arc::clone(&call.authorizer),
        false => call.consul.authorize(Some(query.token.expose())).await?,
    };
    let catalog = call.consul.catalog(call.options.is_stale()).await?;
    let settings = call.consul.settings();
    let near = call.parameters.text("near").unwrap_or(&query.wanted.near);
    let near = call.consul.near(near);
    let chosen = query.wanted.choose(&catalog, near).into_iter();
    let visible = chosen.filter(|entry| authorizer.shows(entry)).take(limit);
    let nodes: Vec<Value> = visible
        .filter_map(|entry| {
            let node = catalog.node(&entry.instance.registration.node)?;
            Some(shapes::health_entry(&entry, node, &settings.datacenter))
        })
        .collect();
    let answer = call.json(&json!({
        "Service": query.wanted.service,
        "Nodes": nodes,
        "DNS": {"TTL": query.dns_ttl},
        "Datacenter": settings.datacenter,
        "Failovers": 0,
    }))?;
    Ok(answer.with_meta(call.meta(catalog.service_changed(&query.wanted.service))))
}
