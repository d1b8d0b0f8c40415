//! `sys/internal/ui/mounts`: which mounts a token can do something in, and which one a path is of. Command lines ask this
//! before they read or write.
//!
//! Never tells who has no right to anything in a mount that it is there, unless it is to be listed for everybody.

use serde_json::{Map, Value, json};

use super::shapes;
use crate::service::secrets::engine::{Data, Fault, Mount};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::mounts::AUTH;
use crate::service::secrets::policies;
use crate::service::secrets::policy::Merged;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

/// Serves a path below `sys/internal/`.
pub fn handle(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    match rest.strip_prefix("ui/mounts") {
        Some("") => all(work),
        Some(path) if path.starts_with('/') => one(work, path.trim_start_matches('/')),
        _ => Err(Fault::Unimplemented(format!("sys/internal/{rest}")).into()),
    }
}

fn all(work: &mut Work) -> Result<Response, SecretsError> {
    let merged = match work.identity() {
        Ok(identity) => {
            let names = identity.entry.policies.clone();
            Some(policies::merged(work.draft(), &names)?)
        }
        Err(_) => None,
    };
    let sees = |mount: &Mount| {
        mount.tuning.listing_visibility == "unauth"
            || merged
                .as_ref()
                .is_some_and(|merged| merged.has_rights_below(&mount.path))
    };
    let told = |mounts: Vec<(&str, &Mount)>| -> Map<String, Value> {
        let shown = mounts.into_iter().filter(|(_, mount)| sees(mount));
        shown
            .map(|(path, mount)| (path.to_owned(), shape(mount)))
            .collect()
    };
    let mounts = work.mounts();
    let secrets = told(
        mounts
            .secrets()
            .map(|mount| (mount.path.as_str(), mount))
            .collect(),
    );
    let logins = mounts
        .logins()
        .map(|mount| (mount.path.trim_start_matches(AUTH), mount));
    let logins = told(logins.collect());
    Ok(Response::data(
        Data::new().with("secret", &secrets)?.with("auth", &logins)?,
    ))
}

fn one(work: &mut Work, path: &str) -> Result<Response, SecretsError> {
    let names = work.identity()?.entry.policies.clone();
    let merged = policies::merged(work.draft(), &names)?;
    let denied = || {
        SecretsError::Preflight(format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path \"{}/\"",
            path.trim_end_matches('/')
        ))
    };
    let mount = work
        .mounts()
        .owner(path)
        .filter(|mount| sees(&merged, mount))
        .ok_or_else(denied)?;
    let mut data = Data::new().with("path", &mount.path)?;
    if let Value::Object(fields) = shape(mount) {
        for (name, value) in fields {
            data.set(name, &value)?;
        }
    }
    Ok(Response::data(data))
}

fn sees(merged: &Merged, mount: &Mount) -> bool {
    merged.has_rights_below(&mount.path)
}

fn shape(mount: &Mount) -> Value {
    json!({
        "accessor": mount.accessor,
        "config": shapes::tuning(mount),
        "description": mount.description,
        "external_entropy_access": false,
        "local": mount.local,
        "options": shapes::options(mount),
        "seal_wrap": mount.seal_wrap,
        "type": mount.kind,
        "uuid": mount.uuid,
    })
}
