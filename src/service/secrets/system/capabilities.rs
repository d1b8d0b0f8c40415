//! `sys/capabilities*`: what a token may do with paths.
//!
//! Never says whether a path leads anywhere.

use std::collections::BTreeMap;

use crate::base::limits::MAXIMUM_CAPABILITY_PATHS;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::parameters::list;
use crate::service::secrets::policies;
use crate::service::secrets::request::Response;
use crate::service::secrets::token::{self, Identity};
use crate::service::secrets::work::Work;

/// Serves `sys/capabilities`, `-self` and `-accessor`.
pub fn handle(work: &mut Work, which: &str) -> Result<Response, SecretsError> {
    let mut paths = work.field("paths", list)?.unwrap_or_default();
    if paths.is_empty() {
        paths = work.field("path", list)?.unwrap_or_default();
    }
    if paths.is_empty() {
        return Err(Fault::Invalid("paths must be supplied".to_owned()).into());
    }
    if paths.len() > MAXIMUM_CAPABILITY_PATHS {
        let given = paths.len();
        return Err(Fault::Invalid(format!(
            "there are {given} paths; {MAXIMUM_CAPABILITY_PATHS} at once are the most: ask for a part of them"
        ))
        .into());
    }
    let identity = match which {
        "capabilities" => {
            let token = work.text("token")?.unwrap_or_default();
            if token.is_empty() {
                return Err(Fault::Invalid("missing token".to_owned()).into());
            }
            token::find(work.draft(), &token)?.ok_or_else(|| Fault::Invalid("invalid token".to_owned()))?
        }
        "capabilities-accessor" => {
            let accessor = work.text("accessor")?.unwrap_or_default();
            token::by_accessor(work.draft(), &accessor)?
                .ok_or_else(|| Fault::Invalid("invalid accessor".to_owned()))?
        }
        _ => Identity::clone(work.identity()?),
    };
    let merged = policies::merged(work.draft(), &identity.entry.policies)?;
    let found: BTreeMap<&String, Vec<&'static str>> = paths
        .iter()
        .map(|path| {
            let canonical = work.canonical(path.trim_start_matches('/'));
            (path, merged.capabilities_spelled(path, canonical.as_deref()))
        })
        .collect();
    let mut data = Data::new();
    if let [only] = paths.as_slice()
        && let Some(capabilities) = found.get(only)
    {
        data.set("capabilities", capabilities)?;
    }
    for (path, capabilities) in found {
        data.set(path, &capabilities)?;
    }
    Ok(Response::data(data))
}
