//! `/v1/acl`: tokens, policies and roles.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::answer::{Answer, Meta};
use super::blocking::{Seen, blocking};
use super::call::Call;
use super::fields::Fields;
use super::routes::Route;
use super::shapes::index;
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::consul::ConsulError;
use crate::service::consul::acl::{
    self, Access, AclError, AclPicture, Grants, Known, Link, NodeIdentity, Policy, Resource, Role,
    ServiceIdentity, Token, TokenDraft, fingerprint,
};

/// What is shown in place of a secret that the token may not see.
const HIDDEN: &str = "<hidden>";

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::put("/v1/acl/bootstrap", |call| Box::pin(bootstrap(call))).open(),
    Route::get("/v1/acl/tokens", |call| Box::pin(tokens(call))),
    Route::put("/v1/acl/token", |call| Box::pin(create_token(call))),
    Route::get("/v1/acl/token/self", |call| Box::pin(own_token(call))),
    Route::get("/v1/acl/token/", |call| Box::pin(token(call))),
    Route::put("/v1/acl/token/", |call| Box::pin(change_token(call))),
    Route::delete("/v1/acl/token/", |call| Box::pin(delete_token(call))),
    Route::get("/v1/acl/policies", |call| Box::pin(policies(call))),
    Route::put("/v1/acl/policy", |call| Box::pin(put_policy(call))),
    Route::get("/v1/acl/policy/", |call| Box::pin(policy_of_id(call))),
    Route::get("/v1/acl/policy/name/", |call| Box::pin(policy(call))),
    Route::put("/v1/acl/policy/", |call| Box::pin(put_policy(call))),
    Route::delete("/v1/acl/policy/", |call| Box::pin(delete_policy(call))),
    Route::get("/v1/acl/roles", |call| Box::pin(roles(call))),
    Route::put("/v1/acl/role", |call| Box::pin(put_role(call))),
    Route::get("/v1/acl/role/", |call| Box::pin(role(call))),
    Route::get("/v1/acl/role/name/", |call| Box::pin(role(call))),
    Route::put("/v1/acl/role/", |call| Box::pin(put_role(call))),
    Route::delete("/v1/acl/role/", |call| Box::pin(delete_role(call))),
];

fn may(call: &Call, access: Access) -> Result<(), ConsulError> {
    if !call.consul.acls().is_enabled() {
        return Err(ConsulError::AclsOff);
    }
    Ok(call.authorizer.require(Resource::Acl, access)?)
}

fn hash(record: &impl serde::Serialize) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(fingerprint(record))
}

fn time(milliseconds: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_millis(time).to_string()
}

fn links(picture: &AclPicture, grants: &Grants) -> Vec<Value> {
    let found = grants.policies.iter().filter_map(|id| picture.policies.get(id));
    let shown = found.map(|policy| json!({"ID": policy.record.id, "Name": policy.record.name}));
    shown.collect()
}

fn identities(grants: &Grants) -> (Vec<Value>, Vec<Value>) {
    let services = grants.services.iter().map(|service| {
        let datacenters = &service.datacenters;
        json!({"ServiceName": service.service, "Datacenters": datacenters})
    });
    let nodes = grants.nodes.iter();
    let nodes = nodes.map(|node| json!({"NodeName": node.node, "Datacenter": node.datacenter}));
    (services.collect(), nodes.collect())
}

fn shown_token(picture: &AclPicture, token: &Known<Token>, with_secret: bool) -> Value {
    let record = &token.record;
    let roles = record.roles.iter().filter_map(|id| picture.roles.get(id));
    let roles = roles.map(|role| json!({"ID": role.record.id, "Name": role.record.name}));
    let (services, nodes) = identities(&record.grants);
    let mut shown = json!({
        "AccessorID": record.accessor,
        "SecretID": if with_secret { record.secret.expose() } else { HIDDEN },
        "Description": record.description,
        "Policies": links(picture, &record.grants),
        "Roles": roles.collect::<Vec<_>>(),
        "ServiceIdentities": services,
        "NodeIdentities": nodes,
        "Local": record.is_local,
        "CreateTime": time(record.created_milliseconds),
        "Hash": hash(record),
        "CreateIndex": index(token.create_revision),
        "ModifyIndex": index(token.modification_revision),
    });
    if let (Some(fields), Some(end)) = (shown.as_object_mut(), record.expires_milliseconds) {
        fields.insert("ExpirationTime".into(), time(end).into());
    }
    shown
}

fn shown_policy(policy: &Known<Policy>, with_rules: bool) -> Value {
    let record = &policy.record;
    let mut shown = json!({
        "ID": record.id,
        "Name": record.name,
        "Description": record.description,
        "Datacenters": record.datacenters,
        "Hash": hash(record),
        "CreateIndex": index(policy.create_revision),
        "ModifyIndex": index(policy.modification_revision),
    });
    if let (Some(fields), true) = (shown.as_object_mut(), with_rules) {
        fields.insert("Rules".into(), record.rules.as_str().into());
    }
    shown
}

fn shown_role(picture: &AclPicture, role: &Known<Role>) -> Value {
    let record = &role.record;
    let (services, nodes) = identities(&record.grants);
    json!({
        "ID": record.id,
        "Name": record.name,
        "Description": record.description,
        "Policies": links(picture, &record.grants),
        "ServiceIdentities": services,
        "NodeIdentities": nodes,
        "Hash": hash(record),
        "CreateIndex": index(role.create_revision),
        "ModifyIndex": index(role.modification_revision),
    })
}

fn link_list(fields: &Fields, name: &str) -> Result<Vec<Link>, ConsulError> {
    let given = fields.objects(name)?.unwrap_or_default();
    let links = given.iter().map(|link| {
        Ok(Link {
            id: link.text("ID")?.unwrap_or_default(),
            name: link.text("Name")?.unwrap_or_default(),
        })
    });
    links.collect()
}

/// The identities of a body; its policies are links by name as well.
fn grants(fields: &Fields) -> Result<Grants, ConsulError> {
    if fields
        .objects("TemplatedPolicies")?
        .is_some_and(|given| !given.is_empty())
    {
        return Err(ConsulError::Invalid(
            "TemplatedPolicies are not supported; use policies".to_owned(),
        ));
    }
    let services = fields.objects("ServiceIdentities")?.unwrap_or_default();
    let services = services.iter().map(|service| {
        Ok(ServiceIdentity {
            service: service.text("ServiceName")?.unwrap_or_default(),
            datacenters: service.texts("Datacenters")?.unwrap_or_default(),
        })
    });
    let services = services.collect::<Result<Vec<_>, ConsulError>>()?;
    let nodes = fields.objects("NodeIdentities")?.unwrap_or_default();
    let nodes = nodes.iter().map(|node| {
        Ok(NodeIdentity {
            node: node.text("NodeName")?.unwrap_or_default(),
            datacenter: node.text("Datacenter")?.unwrap_or_default(),
        })
    });
    Ok(Grants {
        policies: Vec::new(),
        services,
        nodes: nodes.collect::<Result<Vec<_>, ConsulError>>()?,
    })
}

async fn bootstrap(call: Call) -> Result<Answer, ConsulError> {
    let fields = Fields::parse(&call.body)?;
    let secret = fields
        .text("BootstrapSecret")?
        .filter(|secret| !secret.is_empty());
    if secret
        .as_ref()
        .is_some_and(|secret| uuid::Uuid::parse_str(secret).is_err())
    {
        return Err(ConsulError::Invalid(
            "BootstrapSecret is not a valid UUID".to_owned(),
        ));
    }
    let token = call.consul.acls().bootstrap(secret.map(Secret::new)).await?;
    let picture = call.consul.acls().picture(true).await?;
    call.json(&shown_token(&picture, &token, true))
}

/// All tokens, policies and roles, once one of them has changed if the request waits for that.
async fn read(call: &Call) -> Result<(Arc<AclPicture>, Meta), ConsulError> {
    let read = |is_stale| {
        let acls = call.consul.acls().clone();
        async move {
            let (picture, revision) = acls.seen(is_stale).await?;
            Ok(Seen {
                index: picture.changed,
                revision,
                answer: picture,
            })
        }
    };
    blocking(call, acl::watched(), read).await
}

async fn tokens(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let with_secret = call.authorizer.allows(Resource::Acl, Access::Write);
    let wanted = |name: &str| call.parameters.text(name);
    let (policy, role, service) = (wanted("policy"), wanted("role"), wanted("servicename"));
    let found = picture.tokens.values().filter(|token| {
        let record = &token.record;
        policy.is_none_or(|policy| record.grants.policies.iter().any(|id| id == policy))
            && role.is_none_or(|role| record.roles.iter().any(|id| id == role))
            && service.is_none_or(|name| {
                record
                    .grants
                    .services
                    .iter()
                    .any(|service| service.service == name)
            })
    });
    let shown = found.map(|token| shown_token(&picture, token, with_secret));
    let shown: Vec<Value> = shown.collect();
    Ok(call.json(&shown)?.with_meta(meta))
}

fn draft(fields: &Fields, accessor: Option<String>) -> Result<TokenDraft, ConsulError> {
    let given = |name: &str| -> Result<Option<String>, ConsulError> {
        Ok(fields.text(name)?.filter(|text| !text.is_empty()))
    };
    if given("AuthMethod")?.is_some() {
        return Err(ConsulError::Invalid("AuthMethod is not supported".to_owned()));
    }
    let ttl = match (fields.nanoseconds("ExpirationTTL")?, given("ExpirationTime")?) {
        (Some(0) | None, None) => None,
        (Some(nanoseconds), _) if nanoseconds != 0 => Some(Duration::from_nanos(
            u64::try_from(nanoseconds)
                .map_err(|_| ConsulError::Invalid("ExpirationTTL must not be negative".to_owned()))?,
        )),
        (_, Some(text)) => {
            let end = humantime::parse_rfc3339_weak(&text)
                .map_err(|error| ConsulError::Invalid(format!("ExpirationTime {text:?}: {error}")))?;
            let end = end.duration_since(UNIX_EPOCH).unwrap_or_default();
            Some(end.saturating_sub(clock::unix_time()))
        }
        _ => None,
    };
    Ok(TokenDraft {
        accessor,
        secret: given("SecretID")?.map(Secret::new),
        description: fields.text("Description")?.unwrap_or_default(),
        policies: link_list(fields, "Policies")?,
        roles: link_list(fields, "Roles")?,
        grants: grants(fields)?,
        is_local: fields.switch("Local")?,
        ttl,
    })
}

async fn put_token(call: &Call, draft: TokenDraft, must_exist: bool) -> Result<Answer, ConsulError> {
    let token = call.consul.acls().put_token(draft, must_exist).await?;
    let picture = call.consul.acls().picture(true).await?;
    call.json(&shown_token(&picture, &token, true))
}

async fn create_token(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Write)?;
    let fields = Fields::parse(&call.body)?;
    let accessor = fields.text("AccessorID")?.filter(|id| !id.is_empty());
    put_token(&call, draft(&fields, accessor)?, false).await
}

async fn own_token(call: Call) -> Result<Answer, ConsulError> {
    let (picture, token) = call.consul.acls().token_of(call.token.as_deref()).await?;
    let shown = shown_token(&picture, &token, true);
    Ok(call.json(&shown)?.with_meta(call.meta(picture.changed)))
}

async fn token(call: Call) -> Result<Answer, ConsulError> {
    let accessor = call.named("token AccessorID")?;
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let with_secret = call.authorizer.allows(Resource::Acl, Access::Write);
    let token = picture.token(&accessor).ok_or(AclError::NotFound)?;
    let shown = shown_token(&picture, token, with_secret);
    Ok(call.json(&shown)?.with_meta(meta))
}

async fn change_token(call: Call) -> Result<Answer, ConsulError> {
    let rest = call.named("token AccessorID")?;
    may(&call, Access::Write)?;
    let fields = Fields::parse(&call.body)?;
    if let Some(accessor) = rest.strip_suffix("/clone") {
        let picture = call.consul.acls().picture(false).await?;
        let there = picture.token(accessor).ok_or(AclError::NotFound)?;
        let record = &there.record;
        let link = |id: &String| Link {
            id: id.clone(),
            name: String::new(),
        };
        let draft = TokenDraft {
            description: match fields.text("Description")? {
                Some(description) => description,
                None => record.description.clone(),
            },
            policies: record.grants.policies.iter().map(link).collect(),
            roles: record.roles.iter().map(link).collect(),
            grants: record.grants.clone(),
            is_local: record.is_local,
            ..TokenDraft::default()
        };
        return put_token(&call, draft, false).await;
    }
    let given = fields.text("AccessorID")?.filter(|id| !id.is_empty());
    if given.is_some_and(|given| given != rest) {
        return Err(ConsulError::Invalid(
            "Token Accessor ID in URL and payload do not match".to_owned(),
        ));
    }
    put_token(&call, draft(&fields, Some(rest))?, true).await
}

async fn delete_token(call: Call) -> Result<Answer, ConsulError> {
    let accessor = call.named("token AccessorID")?;
    may(&call, Access::Write)?;
    call.consul.acls().delete_token(&accessor).await?;
    call.json(&true)
}

async fn policies(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let shown = picture
        .policies
        .values()
        .map(|policy| shown_policy(policy, false));
    let shown: Vec<Value> = shown.collect();
    Ok(call.json(&shown)?.with_meta(meta))
}

fn absent(what: &str) -> ConsulError {
    ConsulError::Unknown(format!("Requested {what} does not exist: ACL not found"))
}

async fn policy_of_id(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("policy ID")?;
    may(&call, Access::Read)?;
    match uuid::Uuid::parse_str(&id) {
        Ok(_) => policy(call).await,
        Err(_) => Err(ConsulError::Failed(format!("policy ID {id:?} is no UUID"))),
    }
}

async fn policy(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("policy ID or name")?;
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let policy = picture.policy(&id).ok_or_else(|| absent("policy"))?;
    Ok(call.json(&shown_policy(policy, true))?.with_meta(meta))
}

/// The id that a body and a path agree about; empty for something new.
fn agreed_id(call: &Call, fields: &Fields) -> Result<String, ConsulError> {
    let given = fields.text("ID")?.unwrap_or_default();
    let of_path = call.rest_text();
    match (given.is_empty(), of_path.is_empty()) {
        (true, true) => Ok(String::new()),
        (false, true) => Err(ConsulError::Invalid(
            "Cannot specify the ID of something new".to_owned(),
        )),
        (false, false) if given != of_path => Err(ConsulError::Invalid(format!(
            "the ID in the body {given:?} is not that in the path {of_path:?}"
        ))),
        _ => Ok(of_path),
    }
}

async fn put_policy(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Write)?;
    let fields = Fields::parse(&call.body)?;
    let text = |name: &str| -> Result<String, ConsulError> { Ok(fields.text(name)?.unwrap_or_default()) };
    let policy = Policy {
        id: agreed_id(&call, &fields)?,
        name: text("Name")?,
        description: text("Description")?,
        rules: text("Rules")?,
        datacenters: fields.texts("Datacenters")?.unwrap_or_default(),
    };
    let policy = call.consul.acls().put_policy(policy).await?;
    call.json(&shown_policy(&policy, true))
}

async fn delete_policy(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("policy ID")?;
    may(&call, Access::Write)?;
    call.consul.acls().delete_policy(&id).await?;
    call.json(&true)
}

async fn roles(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let wanted = call.parameters.text("policy");
    let found = picture
        .roles
        .values()
        .filter(|role| wanted.is_none_or(|policy| role.record.grants.policies.iter().any(|id| id == policy)));
    let shown: Vec<Value> = found.map(|role| shown_role(&picture, role)).collect();
    Ok(call.json(&shown)?.with_meta(meta))
}

async fn role(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("role ID or name")?;
    may(&call, Access::Read)?;
    let (picture, meta) = read(&call).await?;
    let role = picture.role(&id).ok_or_else(|| absent("role"))?;
    Ok(call.json(&shown_role(&picture, role))?.with_meta(meta))
}

async fn put_role(call: Call) -> Result<Answer, ConsulError> {
    may(&call, Access::Write)?;
    let fields = Fields::parse(&call.body)?;
    let role = Role {
        id: agreed_id(&call, &fields)?,
        name: fields.text("Name")?.unwrap_or_default(),
        description: fields.text("Description")?.unwrap_or_default(),
        grants: grants(&fields)?,
    };
    let policies = link_list(&fields, "Policies")?;
    let role = call.consul.acls().put_role(role, &policies).await?;
    let picture = call.consul.acls().picture(true).await?;
    call.json(&shown_role(&picture, &role))
}

async fn delete_role(call: Call) -> Result<Answer, ConsulError> {
    let id = call.named("role ID")?;
    may(&call, Access::Write)?;
    call.consul.acls().delete_role(&id).await?;
    call.json(&true)
}
