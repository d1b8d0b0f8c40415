//! What is served below `auth/token/`.
//!
//! Never makes a token that may do more than who asks, unless that one has `sudo` or a role allows it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::make::{New, auth, make};
use super::roles::{self, Role};
use super::{ACCESSORS, CHILDREN, Entry, Identity, TOKENS, by_accessor, find, of_id, renew, revoke};
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Data, Fault, TokenKind};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::parameters::{integer, list, span, switch};
use crate::service::secrets::policy::{self, Operation};
use crate::service::secrets::request::Response;
use crate::service::secrets::work::{After, Work};

/// Longest name of a token, in bytes.
const MAXIMUM_DISPLAY_NAME_BYTES: usize = 256;

/// Serves a path below `auth/token/`.
///
/// # Errors
/// What the client is told.
pub fn handle(work: &mut Work, path: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, Delete, List, Read, Update};
    let path = path.trim_end_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    match (work.operation(), first, rest) {
        (Create | Update, "create", "") => create(work, None, false),
        (Create | Update, "create-orphan", "") => create(work, None, true),
        (Create | Update, "create", role) => {
            let role = roles::read(work.draft(), role)?
                .ok_or_else(|| Fault::Invalid(format!("unknown role {role}")))?;
            create(work, Some(role), false)
        }
        (Read | Create | Update, "lookup-self", "") => {
            let identity = work.identity()?.clone();
            let token = work.own_token();
            shown(work, &identity, token)
        }
        (Create | Update, "lookup", "") => {
            let token = token_field(work)?;
            let identity = find(work.draft(), token.expose())?.ok_or(SecretsError::BadToken)?;
            shown(work, &identity, token)
        }
        (Read, "lookup", token) if !token.is_empty() => {
            let token = Secret::new(token.to_owned());
            let identity = find(work.draft(), token.expose())?.ok_or(SecretsError::BadToken)?;
            shown(work, &identity, token)
        }
        (Create | Update, "lookup-accessor", _) => {
            let identity = accessor(work, rest)?;
            shown(work, &identity, Secret::default())
        }
        (Create | Update, "renew-self", "") => {
            let identity = work.identity()?.clone();
            let token = work.own_token();
            renewed(work, &identity, token)
        }
        (Create | Update, "renew", _) => {
            let token = match rest {
                "" => token_field(work)?,
                token => Secret::new(token.to_owned()),
            };
            let identity = find(work.draft(), token.expose())?.ok_or(SecretsError::BadToken)?;
            renewed(work, &identity, token)
        }
        (Create | Update, "renew-accessor", _) => {
            let identity = accessor(work, rest)?;
            renewed(work, &identity, Secret::default())
        }
        (Create | Update, "revoke-self", "") => {
            let identity = work.identity()?.clone();
            end(work, &identity)
        }
        (Create | Update, "revoke", _) => {
            let token = match rest {
                "" => token_field(work)?,
                token => Secret::new(token.to_owned()),
            };
            match find(work.draft(), token.expose())? {
                Some(identity) => end(work, &identity),
                None => Ok(Response::default()),
            }
        }
        (Create | Update, "revoke-accessor", _) => {
            let identity = accessor(work, rest)?;
            end(work, &identity)
        }
        (Create | Update, "revoke-orphan", _) => {
            if !work.is_privileged() {
                return Err(SecretsError::Denied);
            }
            let token = match rest {
                "" => token_field(work)?,
                token => Secret::new(token.to_owned()),
            };
            match find(work.draft(), token.expose())? {
                Some(identity) => orphan_children(work, &identity),
                None => Err(Fault::Invalid("token to revoke not found".to_owned()).into()),
            }
        }
        (List, "accessors", "") => {
            let directory = work.draft().name(ACCESSORS)?;
            let all = work.draft().list(&directory)?;
            let mut living = Vec::with_capacity(all.len());
            for accessor in all {
                if by_accessor(work.draft(), &accessor)?.is_some() {
                    living.push(accessor);
                }
            }
            Ok(Response::data(Data::new().with("keys", &living)?))
        }
        (Create | Update, "tidy", "") => {
            work.then(After::Tidy);
            Ok(Response {
                goes_on: true,
                warnings: vec![
                    "Tidy operation successfully started. Any information from the operation will be printed to the \
                     server logs."
                        .to_owned(),
                ],
                ..Response::default()
            })
        }
        (operation, "roles", name) => roles::handle(work, operation, name),
        (Delete | Read | List | Create | Update, ..) => Err(Fault::Unsupported.into()),
        _ => Err(Fault::Unsupported.into()),
    }
}

fn token_field(work: &Work) -> Result<Secret<String>, Fault> {
    match work.body().get("token").and_then(Value::as_str) {
        Some(token) if !token.is_empty() => Ok(Secret::new(token.to_owned())),
        _ => Err(Fault::Invalid("missing token ID".to_owned())),
    }
}

fn accessor(work: &mut Work, in_path: &str) -> Result<Identity, Fault> {
    let given = match in_path {
        "" => work.text("accessor")?.unwrap_or_default(),
        accessor => accessor.to_owned(),
    };
    if given.is_empty() {
        return Err(Fault::Invalid("missing accessor".to_owned()));
    }
    by_accessor(work.draft(), &given)?.ok_or_else(|| Fault::Invalid("invalid accessor".to_owned()))
}

fn end(work: &mut Work, identity: &Identity) -> Result<Response, SecretsError> {
    if identity.entry.kind == TokenKind::Batch {
        return Err(Fault::Invalid("batch tokens cannot be revoked".to_owned()).into());
    }
    revoke(work.draft(), &identity.id)?;
    Ok(Response::default())
}

/// Ends a token without its children. Where they are more than one transaction takes, some are without a parent afterwards,
/// and the token stays until it is asked again.
fn orphan_children(work: &mut Work, identity: &Identity) -> Result<Response, SecretsError> {
    let draft = work.draft();
    let directory = draft.name(&format!("{CHILDREN}/{}", identity.id))?;
    let (links, mut more) = draft.all_below(&directory)?;
    for link in links {
        if !draft.has_room() {
            more = true;
            break;
        }
        let child = draft.unsealed().names().child(&directory, &link)?.name;
        draft.delete(&link)?;
        let Some(found) = of_id(draft, &child)? else {
            continue;
        };
        let mut entry = Entry::clone(&found.entry);
        entry.parent = None;
        let left = entry.ends.map(|ends| ends.saturating_sub(draft.now()));
        let name = draft.name(&format!("{TOKENS}/{child}"))?;
        draft.put(&name, encode(&entry)?, left);
    }
    if more {
        return Ok(Response {
            warnings: vec![
                "the token is not revoked yet: it has more children than can be made orphans at once; ask again"
                    .to_owned(),
            ],
            ..Response::default()
        });
    }
    end(work, identity)
}

fn renewed(work: &mut Work, identity: &Identity, token: Secret<String>) -> Result<Response, SecretsError> {
    let wanted = work.field("increment", span)?.unwrap_or_default();
    let (entry, warnings) = renew(work, identity, wanted)?;
    let now = work.draft().now();
    Ok(Response {
        auth: Some(auth(token, &entry, now)),
        warnings,
        ..Response::default()
    })
}

fn shown(work: &mut Work, identity: &Identity, token: Secret<String>) -> Result<Response, SecretsError> {
    let now = work.draft().now();
    let entry = &identity.entry;
    let metadata = (!entry.metadata.is_empty()).then_some(&entry.metadata);
    let mut data = Data::new()
        .with("id", token.expose())?
        .with("accessor", &entry.accessor)?
        .with("policies", &entry.policies)?
        .with("path", &entry.path)?
        .with("meta", &metadata)?
        .with("display_name", &entry.display_name)?
        .with("num_uses", &entry.uses.unwrap_or(0))?
        .with("orphan", &entry.parent.is_none())?
        .with("creation_time", &entry.created.as_secs())?
        .with("creation_ttl", &entry.creation_ttl.as_secs())?
        .with("expire_time", &entry.ends.map(rfc3339))?
        .with("ttl", &entry.seconds_left(now).unwrap_or(0))?
        .with("explicit_max_ttl", &entry.explicit_max_ttl.as_secs())?
        .with("entity_id", "")?
        .with("type", &entry.kind)?;
    if entry.ends.is_some() {
        data.set("issue_time", &rfc3339(entry.created))?;
        data.set("renewable", &entry.is_renewable)?;
    }
    if !entry.period.is_zero() {
        data.set("period", &entry.period.as_secs())?;
    }
    if !entry.role.is_empty() {
        data.set("role", &entry.role)?;
    }
    if !entry.bound_cidrs.is_empty() {
        data.set("bound_cidrs", &entry.bound_cidrs)?;
    }
    if let Some(renewed) = entry.renewed {
        data.set("last_renewal", &rfc3339(renewed))?;
        data.set("last_renewal_time", &renewed.as_secs())?;
    }
    Ok(Response::data(data))
}

fn create(work: &mut Work, role: Option<Role>, is_orphan: bool) -> Result<Response, SecretsError> {
    let parent = work.identity()?.clone();
    if parent.entry.kind == TokenKind::Batch {
        return Err(Fault::Invalid("batch tokens cannot create more tokens".to_owned()).into());
    }
    if parent.entry.uses.is_some() {
        return Err(Fault::Invalid("restricted use token cannot generate child tokens".to_owned()).into());
    }
    let needs = |what: &str| Fault::Invalid(format!("root or sudo privileges required to {what}"));
    let is_privileged = work.is_privileged();
    let chosen = work.text("id")?.filter(|id| !id.is_empty());
    if let Some(id) = &chosen {
        if !is_privileged {
            return Err(needs("specify token id").into());
        }
        if role.is_some() {
            return Err(Fault::Invalid("parameter 'id' cannot be used with a role".to_owned()).into());
        }
        if id.starts_with("s.") || id.starts_with("hv") || id.contains('.') || id.contains('/') {
            return Err(Fault::Invalid(
                "custom token ID cannot hold '.' or '/', or look like another's".to_owned(),
            )
            .into());
        }
    }
    let wants_no_parent = work.field("no_parent", switch)?.unwrap_or(false);
    if wants_no_parent && !is_privileged && role.is_none() && !is_orphan {
        return Err(needs("create orphan token").into());
    }
    let mut period = work.field("period", span)?.unwrap_or_default();
    if !period.is_zero() && !is_privileged {
        return Err(needs("create periodic token").into());
    }
    let is_orphan = match &role {
        Some(role) => role.is_orphan,
        None => is_orphan || wants_no_parent,
    };
    let policies = policies(work, &parent, role.as_ref(), is_privileged)?;
    let mut explicit_max_ttl = work.field("explicit_max_ttl", span)?.unwrap_or_default();
    let mut kind = kind(work)?;
    let mut is_renewable = work.field("renewable", switch)?.unwrap_or(true);
    // Also those of an orphan: whoever is bound to addresses stays so, unless a role says otherwise.
    let mut bound_cidrs = parent.entry.bound_cidrs.clone();
    let mut uses = uses(work)?;
    let mut path = "auth/token/create".to_owned();
    if let Some(role) = &role {
        path = format!("auth/token/create/{}", role.name);
        if !role.path_suffix.is_empty() {
            path = format!("{path}/{}", role.path_suffix);
        }
        period = least(period, role.period);
        explicit_max_ttl = least(explicit_max_ttl, role.explicit_max_ttl);
        is_renewable &= role.is_renewable;
        bound_cidrs.clone_from(&role.bound_cidrs);
        if role.uses > 0 {
            uses = if uses == 0 { role.uses } else { uses.min(role.uses) };
        }
        kind = role.kind.or(kind);
    } else if is_orphan {
        path = "auth/token/create-orphan".to_owned();
    }
    let kind = kind.unwrap_or(TokenKind::Service);
    if kind == TokenKind::Batch
        && (chosen.is_some() || !period.is_zero() || uses > 0 || !explicit_max_ttl.is_zero())
    {
        return Err(Fault::Invalid(
            "batch tokens cannot have an id, a period, an explicit maximum or a number of uses".to_owned(),
        )
        .into());
    }
    let ttl = match work.field("ttl", span)? {
        Some(ttl) => ttl,
        None => work.field("lease", span)?.unwrap_or_default(),
    };
    let is_root = policies.iter().any(|name| name == policy::ROOT);
    if is_root && !parent.entry.is_root() {
        return Err(Fault::Invalid(
            "root tokens may not be created without parent token being root".to_owned(),
        )
        .into());
    }
    if is_root && kind == TokenKind::Batch {
        return Err(Fault::Invalid("batch tokens cannot be root tokens".to_owned()).into());
    }
    if is_root && ttl.is_zero() && parent.entry.ends.is_some() {
        return Err(
            Fault::Invalid("expiring root tokens cannot create non-expiring root tokens".to_owned()).into(),
        );
    }
    let new = New {
        id: chosen.map(Secret::new),
        parent: (!is_orphan).then(|| parent.id.clone()),
        policies,
        path,
        metadata: metadata(work)?,
        display_name: display_name(work)?,
        uses,
        ttl,
        max_ttl: Duration::ZERO,
        explicit_max_ttl,
        period,
        is_renewable,
        role: role.map(|role| role.name).unwrap_or_default(),
        bound_cidrs,
        kind,
        wraps: String::new(),
    };
    let tuning = work.tuning_of("auth/token/");
    let made = work.with_randomness(|draft, randomness| make(draft, new, &tuning, randomness))?;
    Ok(Response {
        auth: Some(made.auth),
        warnings: made.warnings,
        ..Response::default()
    })
}

fn policies(
    work: &mut Work,
    parent: &Identity,
    role: Option<&Role>,
    is_privileged: bool,
) -> Result<Vec<String>, Fault> {
    let wanted = work.field("policies", list)?.unwrap_or_default();
    let no_default = work.field("no_default_policy", switch)?.unwrap_or(false)
        || role.is_some_and(|role| role.no_default_policy);
    let mut names = wanted
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| policy::name(name))
        .collect::<Result<Vec<_>, _>>()?;
    let mut inherited = parent.entry.policies.clone();
    if no_default {
        inherited.retain(|name| name != policy::DEFAULT);
    }
    let adds_default = match role {
        Some(role) if role.has_any_list() => {
            let adds_default = !no_default && !role.disallows(policy::DEFAULT);
            role.choose(&mut names, inherited, adds_default)?;
            adds_default
        }
        _ => {
            if names.is_empty() {
                names = inherited;
            } else if !is_privileged && !names.iter().all(|name| parent.entry.policies.contains(name)) {
                return Err(Fault::Invalid(
                    "child policies must be subset of parent".to_owned(),
                ));
            }
            let parent_has_it = parent.entry.policies.iter().any(|name| name == policy::DEFAULT);
            !no_default && (is_privileged || parent_has_it || parent.entry.is_root())
        }
    };
    Ok(complete(names, adds_default))
}

/// The policies of a token: sorted, each once, with `default` if that is added; root's stands alone.
#[must_use]
pub fn complete(mut names: Vec<String>, adds_default: bool) -> Vec<String> {
    if names.iter().any(|name| name == policy::ROOT) {
        return vec![policy::ROOT.to_owned()];
    }
    if adds_default {
        names.push(policy::DEFAULT.to_owned());
    }
    names.sort();
    names.dedup();
    names
}

fn least(one: Duration, other: Duration) -> Duration {
    match (one.is_zero(), other.is_zero()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}

fn kind(work: &Work) -> Result<Option<TokenKind>, Fault> {
    match work.text("type")?.as_deref() {
        None | Some("") => Ok(None),
        Some("service") => Ok(Some(TokenKind::Service)),
        Some("batch") => Ok(Some(TokenKind::Batch)),
        Some(other) => Err(Fault::Invalid(format!(
            "invalid 'token_type' value {other:?}: it is \"service\" or \"batch\""
        ))),
    }
}

fn uses(work: &Work) -> Result<u64, Fault> {
    let uses = work.field("num_uses", integer)?.unwrap_or(0);
    u64::try_from(uses).map_err(|_| Fault::Invalid("number of uses cannot be negative".to_owned()))
}

fn metadata(work: &Work) -> Result<BTreeMap<String, String>, Fault> {
    let mut metadata = BTreeMap::new();
    match work.body().get("meta") {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) => {
            for (name, value) in fields {
                let Value::String(value) = value else {
                    return Err(Fault::Invalid(format!(
                        "the value of {name:?} in 'meta' is no text"
                    )));
                };
                metadata.insert(name.clone(), value.clone());
            }
        }
        Some(_) => return Err(Fault::Invalid("'meta' is no object of texts".to_owned())),
    }
    Ok(metadata)
}

fn display_name(work: &Work) -> Result<String, Fault> {
    let given = work.text("display_name")?.unwrap_or_default();
    if given.len() > MAXIMUM_DISPLAY_NAME_BYTES {
        return Err(Fault::Invalid(format!(
            "the display name has {} bytes; the most is {MAXIMUM_DISPLAY_NAME_BYTES}",
            given.len()
        )));
    }
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || character == '_' {
            character
        } else {
            '-'
        }
    };
    let plain: String = given.trim().chars().map(plain).collect();
    let plain = plain.trim_matches('-');
    Ok(match plain {
        "" => "token".to_owned(),
        plain => format!("token-{plain}"),
    })
}
