//! `sys/mounts`, `sys/auth` and `sys/remount`.
//!
//! Never takes away what is always there.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shapes;
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage;
use crate::service::secrets::engine::{Data, Fault, Mount, Tuning};
use crate::service::secrets::engines;
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::leases;
use crate::service::secrets::mounts::{AUTH, Mounts, UNMOUNTED, check_path, new_mount};
use crate::service::secrets::parameters::{ParameterError, list, span, switch};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::quotas::Quotas;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

/// Where it is written down which mounts were moved.
const REMOUNTED: &str = "remounted";

/// How long that can be asked for.
const REMOUNTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A mount that was moved.
#[derive(Serialize, Deserialize)]
struct Remounted {
    from: String,
    to: String,
}

/// Serves what is below `sys/mounts` or, for logins, `sys/auth`.
pub fn handle(work: &mut Work, is_auth: bool, rest: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, Delete, Read, Update};
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() {
        return match work.operation() {
            Read => all(work, is_auth),
            _ => Err(Fault::Unsupported.into()),
        };
    }
    let beginning = if is_auth { AUTH } else { "" };
    if !is_auth && rest.starts_with(AUTH) {
        return Err(Fault::Invalid("logins are mounted by sys/auth".to_owned()).into());
    }
    if let Some(name) = rest.strip_suffix("/tune") {
        let path = format!("{beginning}{name}/");
        return match work.operation() {
            Read => tuned(work, &path),
            Create | Update => tune(work, &path),
            _ => Err(Fault::Unsupported.into()),
        };
    }
    let path = format!("{beginning}{rest}/");
    match work.operation() {
        Read => {
            let mount = work.mounts().get(&path);
            let mount = mount.ok_or_else(|| match is_auth {
                true => Fault::Invalid(format!("No auth engine at {rest}/")),
                false => Fault::Invalid(format!("No secret engine mount at {rest}/")),
            })?;
            Ok(Response::data(fields(&shapes::mount(mount))?))
        }
        Create | Update => enable(work, &path, is_auth),
        Delete => disable(work, &path),
        _ => Err(Fault::Unsupported.into()),
    }
}

fn fields(object: &Value) -> Result<Data, Fault> {
    let mut data = Data::new();
    if let Value::Object(fields) = object {
        for (name, value) in fields {
            data.set(name, value)?;
        }
    }
    Ok(data)
}

fn all(work: &Work, is_auth: bool) -> Result<Response, SecretsError> {
    let mut data = Data::new();
    let mounts = work.mounts();
    if is_auth {
        for mount in mounts.logins() {
            data.set(mount.path.trim_start_matches(AUTH), &shapes::mount(mount))?;
        }
    } else {
        for mount in mounts.secrets() {
            data.set(&mount.path, &shapes::mount(mount))?;
        }
    }
    Ok(Response::data(data))
}

fn enable(work: &mut Work, path: &str, is_auth: bool) -> Result<Response, SecretsError> {
    check_path(path)?;
    let given = work.text("type")?.unwrap_or_default();
    let mut version = None;
    let kind = match given.as_str() {
        "kv-v1" | "generic" => {
            version = Some("1");
            "kv"
        }
        "kv-v2" => {
            version = Some("2");
            "kv"
        }
        "" => return Err(Fault::Invalid("backend type must be specified as a string".to_owned()).into()),
        other => other,
    };
    let is_known = if is_auth {
        engines::is_login(kind)
    } else {
        engines::is_secrets(kind)
    };
    if !is_known {
        return Err(Fault::Invalid(format!(
            "plugin not found in the catalog: {kind}: there is no such engine here"
        ))
        .into());
    }
    let mut mount = work.with_randomness(|_, randomness| new_mount(path, kind, randomness))?;
    mount.description = work.text("description")?.unwrap_or_default();
    mount.local = work.field("local", switch)?.unwrap_or(false);
    mount.seal_wrap = work.field("seal_wrap", switch)?.unwrap_or(false);
    read_options(work, &mut mount)?;
    if kind == "kv" {
        let version = match (version, mount.options.get("version").map(String::as_str)) {
            (Some(version), _) => version,
            (None, Some("2")) => "2",
            (None, None | Some("" | "1")) => "1",
            (None, Some(other)) => {
                return Err(
                    Fault::Invalid(format!("there is no version {other:?} of kv: it is 1 or 2")).into(),
                );
            }
        };
        mount.options.insert("version".to_owned(), version.to_owned());
    }
    if let Some(config) = work.body().get("config") {
        update(&mut mount.tuning, config)?;
    }
    let mut mounts = Mounts::clone(work.mounts());
    mounts.add(mount)?;
    mounts.write(work.draft())?;
    Ok(Response::default())
}

fn read_options(work: &Work, mount: &mut Mount) -> Result<(), Fault> {
    match work.body().get("options") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(options)) => {
            for (name, value) in options {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err(Fault::Invalid(format!("option {name:?} is no text"))),
                };
                mount.options.insert(name.clone(), text);
            }
            Ok(())
        }
        Some(_) => Err(Fault::Invalid("'options' is no object".to_owned())),
    }
}

fn disable(work: &mut Work, path: &str) -> Result<Response, SecretsError> {
    let mut mounts = Mounts::clone(work.mounts());
    if let Some(mount) = mounts.remove(path)? {
        // What it gave ends with it.
        leases::revoke_below(work, path, true)?;
        Quotas::follow(work.draft(), path, None)?;
        mounts.write(work.draft())?;
        // What it stored may be more than one transaction removes.
        let name = work.draft().name(&format!("{UNMOUNTED}/{}", mount.uuid))?;
        work.draft().put(&name, Secret::new(Vec::new()), None);
    }
    Ok(Response::default())
}

/// `sys/remount`.
pub fn remount(work: &mut Work) -> Result<Response, SecretsError> {
    let end = |path: String| format!("{}/", path.trim_matches('/'));
    let from = end(work.text("from")?.unwrap_or_default());
    let to = end(work.text("to")?.unwrap_or_default());
    let mut mounts = Mounts::clone(work.mounts());
    mounts.rename(&from, &to)?;
    // What it gave is known by where it was.
    leases::revoke_below(work, &from, false)?;
    Quotas::follow(work.draft(), &from, Some(&to))?;
    mounts.write(work.draft())?;
    let mut random = [0; 16];
    work.with_randomness(|_, randomness| Ok(randomness.fill(&mut random)?))?;
    let id = uuid::Builder::from_random_bytes(random).into_uuid().to_string();
    let name = work.draft().name(&format!("{REMOUNTED}/{id}"))?;
    let record = storage::encode(&Remounted { from, to })?;
    work.draft().put(&name, record, Some(REMOUNTED_FOR));
    Ok(Response::data(Data::new().with("migration_id", &id)?))
}

/// `sys/remount/status/<id>`: a move is done when it is answered, and is told of for a day.
pub fn remounted(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    let id = rest
        .strip_prefix("status/")
        .filter(|id| !id.is_empty())
        .ok_or(Fault::Unsupported)?;
    let name = work.draft().name(&format!("{REMOUNTED}/{id}"))?;
    let record = work.draft().get(&name)?.ok_or(Fault::Missing)?;
    let Remounted { from, to } = storage::decode(record.expose())?;
    let info = json!({"source_mount": from, "target_mount": to, "status": "success"});
    let data = Data::new()
        .with("migration_id", id)?
        .with("migration_info", &info)?;
    Ok(Response::data(data))
}

fn no_mount(path: &str) -> Fault {
    Fault::Invalid(format!(
        "cannot fetch sysview for path {path:?}: there is no mount"
    ))
}

fn tuned(work: &Work, path: &str) -> Result<Response, SecretsError> {
    let mount = work.mounts().get(path).ok_or_else(|| no_mount(path))?;
    let mut data = fields(&shapes::tuning(mount))?;
    data.set("default_lease_ttl", &mount.tuning.default_lease().as_secs())?;
    data.set("max_lease_ttl", &mount.tuning.maximum_lease().as_secs())?;
    data.set("description", &mount.description)?;
    let options = shapes::options(mount);
    if !options.is_null() {
        data.set("options", &options)?;
    }
    Ok(Response::data(data))
}

fn tune(work: &mut Work, path: &str) -> Result<Response, SecretsError> {
    let mut mounts = Mounts::clone(work.mounts());
    let mount = mounts.get_mut(path).ok_or_else(|| no_mount(path))?;
    if let Some(description) = work.text("description")? {
        mount.description = description;
    }
    let before = mount.options.get("version").cloned();
    read_options(work, mount)?;
    if before.as_deref() == Some("2") && mount.options.get("version").map(String::as_str) != Some("2") {
        return Err(Fault::Invalid("cannot downgrade mount from version 2".to_owned()).into());
    }
    if mount.kind == "kv" && before.as_deref() != mount.options.get("version").map(String::as_str) {
        return Err(Fault::Unimplemented("the upgrade of a kv mount to another version".to_owned()).into());
    }
    update(&mut mount.tuning, &Value::Object(work.body().fields().clone()))?;
    mounts.write(work.draft())?;
    Ok(Response::default())
}

fn update(tuning: &mut Tuning, given: &Value) -> Result<(), Fault> {
    let seconds = |name: &str| -> Result<Option<u64>, Fault> {
        match given.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() || text == "system" => Ok(Some(0)),
            Some(value) => read(name, value, span).map(|span| Some(span.as_secs())),
        }
    };
    if let Some(seconds) = seconds("default_lease_ttl")? {
        tuning.default_lease_seconds = seconds;
    }
    if let Some(seconds) = seconds("max_lease_ttl")? {
        tuning.maximum_lease_seconds = seconds;
    }
    if tuning.default_lease_seconds > tuning.maximum_lease().as_secs() {
        return Err(Fault::Invalid(
            "given default lease TTL greater than the maximum lease TTL".to_owned(),
        ));
    }
    if let Some(value) = given.get("force_no_cache") {
        tuning.force_no_cache = read("force_no_cache", value, switch)?;
    }
    for (name, kept) in [
        (
            "audit_non_hmac_request_keys",
            &mut tuning.audit_plain_request_keys,
        ),
        (
            "audit_non_hmac_response_keys",
            &mut tuning.audit_plain_response_keys,
        ),
        (
            "passthrough_request_headers",
            &mut tuning.passthrough_request_headers,
        ),
        ("allowed_response_headers", &mut tuning.allowed_response_headers),
    ] {
        match given.get(name) {
            None | Some(Value::Null) => {}
            Some(value) => *kept = read(name, value, list)?,
        }
    }
    if let Some(Value::String(visibility)) = given.get("listing_visibility") {
        if !matches!(visibility.as_str(), "" | "unauth" | "hidden") {
            return Err(Fault::Invalid(format!(
                "invalid listing_visibility {visibility:?}: it is \"unauth\", \"hidden\" or nothing"
            )));
        }
        tuning.listing_visibility.clone_from(visibility);
    }
    if let Some(Value::String(kind)) = given.get("token_type") {
        if !matches!(
            kind.as_str(),
            "" | "default-service" | "default-batch" | "service" | "batch"
        ) {
            return Err(Fault::Invalid(format!(
                "invalid value for 'token_type': {kind:?}"
            )));
        }
        tuning.token_type.clone_from(kind);
    }
    Ok(())
}

fn read<T>(
    name: &str,
    value: &Value,
    reader: impl FnOnce(&Value) -> Result<T, ParameterError>,
) -> Result<T, Fault> {
    reader(value).map_err(|error| Fault::Invalid(format!("{name:?}: {error}")))
}
