//! `sys/quotas`: how many requests clients may send.
//!
//! Never counts a request.

use std::time::Duration;

use serde_json::Value;

use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::parameters::{list, span, switch};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::quotas::{Config, Quota, Quotas};
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

/// The interval of a quota that says none, as in Vault.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);

/// Serves what is below `sys/quotas`.
pub fn handle(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, Delete, List, Read, Update};
    let (kind, name) = rest.split_once('/').unwrap_or((rest, ""));
    match (kind, work.operation(), name) {
        ("config", Read, "") => config(work),
        ("config", Create | Update, "") => configure(work),
        ("rate-limit", List, "") => Ok(Response::list(Quotas::read(work.draft())?.names())?),
        ("rate-limit", Read, name) if !name.is_empty() => read(work, name),
        ("rate-limit", Create | Update, name) if !name.is_empty() => write(work, name),
        ("rate-limit", Delete, name) if !name.is_empty() => {
            let mut quotas = Quotas::clone(&*Quotas::read(work.draft())?);
            if quotas.remove(name) {
                quotas.write(work.draft())?;
            }
            Ok(Response::default())
        }
        ("lease-count", _, _) => Err(Fault::Unimplemented(format!("sys/quotas/{rest}")).into()),
        _ => Err(Fault::Unsupported.into()),
    }
}

fn read(work: &mut Work, name: &str) -> Result<Response, SecretsError> {
    let quotas = Quotas::read(work.draft())?;
    let quota = quotas.get(name).ok_or(Fault::Missing)?;
    let data = Data::new()
        .with("name", name)?
        .with("type", "rate-limit")?
        .with("path", &quota.path)?
        .with("role", "")?
        .with("rate", &quota.rate)?
        .with("interval", &quota.interval.as_secs())?
        .with("block_interval", &quota.block.as_secs())?;
    Ok(Response::data(data))
}

fn write(work: &mut Work, name: &str) -> Result<Response, SecretsError> {
    if work.text("role")?.is_some_and(|role| !role.is_empty()) {
        return Err(Fault::Unimplemented("a quota of a role".to_owned()).into());
    }
    let mut quotas = Quotas::clone(&*Quotas::read(work.draft())?);
    let given = work.text("path")?;
    let path = match given {
        Some(given) => path(work, &given)?,
        None => quotas
            .get(name)
            .map(|quota| quota.path.clone())
            .unwrap_or_default(),
    };
    let before = quotas.get(name);
    let rate = match work.body().get("rate") {
        Some(rate) => number(rate)?,
        None => before.map_or(0.0, |quota| quota.rate),
    };
    let otherwise = before.map_or((DEFAULT_INTERVAL, Duration::ZERO), |quota| {
        (quota.interval, quota.block)
    });
    let quota = Quota {
        path,
        rate,
        interval: work.field("interval", span)?.unwrap_or(otherwise.0),
        block: work.field("block_interval", span)?.unwrap_or(otherwise.1),
    };
    quotas.put(name, quota)?;
    quotas.write(work.draft())?;
    Ok(Response::default())
}

/// A number, as itself or as text.
fn number(value: &Value) -> Result<f64, Fault> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    read.ok_or_else(|| Fault::Invalid(format!("'rate' is no number: {value}")))
}

/// The path of a quota in its one form; it is in a mount that there is.
fn path(work: &Work, given: &str) -> Result<String, Fault> {
    let given = given.trim_matches('/');
    if given.is_empty() {
        return Ok(String::new());
    }
    let (plain, is_beginning) = match given.strip_suffix('*') {
        Some(plain) => (plain, true),
        None => (given, false),
    };
    if plain.contains('*') {
        return Err(Fault::Invalid(format!(
            "invalid path {given:?}: '*' stands only at the end"
        )));
    }
    let mount = work.mounts().owner(plain);
    match mount {
        Some(mount) if is_beginning && plain.starts_with(&mount.path) => Ok(given.to_owned()),
        Some(mount) if !is_beginning && format!("{plain}/") == mount.path => Ok(mount.path.clone()),
        Some(_) if !is_beginning => Ok(plain.to_owned()),
        _ => Err(Fault::Invalid(format!(
            "invalid mount path {given:?}: nothing is mounted there"
        ))),
    }
}

fn config(work: &mut Work) -> Result<Response, SecretsError> {
    let quotas = Quotas::read(work.draft())?;
    let data = Data::new()
        .with("rate_limit_exempt_paths", &quotas.config.exempt_paths)?
        .with("enable_rate_limit_audit_logging", &quotas.config.audits_refused)?
        .with("enable_rate_limit_response_headers", &quotas.config.tells_clients)?;
    Ok(Response::data(data))
}

fn configure(work: &mut Work) -> Result<Response, SecretsError> {
    let mut quotas = Quotas::clone(&*Quotas::read(work.draft())?);
    let before = quotas.config.clone();
    let exempt = work.field("rate_limit_exempt_paths", list)?;
    let exempt = exempt.map(|paths| {
        paths
            .iter()
            .map(|path| path.trim_start_matches('/').to_owned())
            .collect()
    });
    let audits = work.field("enable_rate_limit_audit_logging", switch)?;
    let tells = work.field("enable_rate_limit_response_headers", switch)?;
    quotas.configure(Config {
        exempt_paths: exempt.unwrap_or(before.exempt_paths),
        audits_refused: audits.unwrap_or(before.audits_refused),
        tells_clients: tells.unwrap_or(before.tells_clients),
    })?;
    quotas.write(work.draft())?;
    Ok(Response::default())
}
