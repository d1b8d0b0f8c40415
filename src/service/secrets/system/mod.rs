//! What is served below `sys/`: mounts, policies, leases, wrapping, keys.
//!
//! What needs no token and has no envelope (`sys/init`, `sys/unseal`, ...) is served by the front doors, with the methods of
//! [`super::Secrets`]. What is part of Vault's interface and not offered says so. Never holds a secret of another mount.

mod audit;
mod capabilities;
mod host;
mod keys;
mod metrics;
mod mounts;
mod node;
pub mod openapi;
mod passwords;
mod policies;
mod preflight;
mod quotas;
mod seals;
mod shapes;

use std::borrow::Cow;
use std::sync::Arc;

use super::engine::transit::tools;
use super::engine::{Data, Fault, lower_names};
use super::error::SecretsError;
use super::policy::Operation;
use super::request::Response;
use super::work::{After, Work};
use super::{leases, wrapping};

/// Parts of Vault's interface that are known and not offered.
const NOT_OFFERED: [&str; 16] = [
    "config",
    "control-group",
    "experiments",
    "in-flight-req",
    "license",
    "locked-users",
    "loggers",
    "managed-keys",
    "mfa",
    "monitor",
    "namespaces",
    "plugins",
    "pprof",
    "raw",
    "sync",
    "version-history",
];

/// Whether a path below `sys/` is served without a token.
#[must_use]
pub fn is_open(path: &str) -> bool {
    matches!(
        path,
        "wrapping/lookup" | "internal/ui/mounts" | "internal/specs/openapi"
    ) || path.starts_with("internal/ui/mounts/")
}

/// A path below `sys/` with the name of a policy in the spelling that it is stored in, as [`super::engine::Engine::canonical`]
/// says it of engines.
#[must_use]
pub fn canonical(path: &str) -> Cow<'_, str> {
    if path.starts_with("policy/") {
        lower_names(path, 1..)
    } else if path.starts_with("policies/acl/") {
        lower_names(path, 2..)
    } else {
        Cow::Borrowed(path)
    }
}

/// Serves a path below `sys/`.
///
/// # Errors
/// What the client is told.
pub fn handle(work: &mut Work, path: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, List, Read, Update};
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let operation = work.operation();
    let writes = matches!(operation, Create | Update);
    match first {
        "mounts" | "auth" => mounts::handle(work, first == "auth", rest),
        "remount" if writes && rest.is_empty() => mounts::remount(work),
        "remount" if operation == Read => mounts::remounted(work, rest),
        "policy" => policies::handle(work, rest, "rules"),
        "policies" => match rest.split_once('/').unwrap_or((rest, "")) {
            ("acl", name) => policies::handle(work, name, "policy"),
            ("password", name) => passwords::handle(work, name),
            (kind, _) => Err(Fault::Unimplemented(format!("the kind of policies {kind:?}")).into()),
        },
        "capabilities" | "capabilities-self" | "capabilities-accessor" if writes => {
            capabilities::handle(work, first)
        }
        "leases" => match rest.split_once('/').unwrap_or((rest, "")) {
            ("lookup", prefix) if operation == List => leases::list(work, prefix),
            ("lookup", id) if writes => leases::lookup(work, id),
            ("renew", id) if writes => leases::renew(work, id),
            ("revoke", id) if writes => leases::revoke(work, id),
            ("revoke-prefix", prefix) if writes => leases::revoke_below(work, prefix, false),
            ("revoke-force", prefix) if writes => leases::revoke_below(work, prefix, true),
            ("tidy", "") if writes => {
                work.then(After::Tidy);
                Ok(Response {
                    goes_on: true,
                    warnings: vec!["Tidy operation successfully started.".to_owned()],
                    ..Response::default()
                })
            }
            _ => Err(Fault::Unsupported.into()),
        },
        "renew" if writes => leases::renew(work, rest),
        "revoke" if writes => leases::revoke(work, rest),
        "revoke-prefix" if writes => leases::revoke_below(work, rest, false),
        "revoke-force" if writes => leases::revoke_below(work, rest, true),
        "tools" if writes => {
            let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
            let answer = match segments.as_slice() {
                ["random", how @ ..] => {
                    let request = Arc::clone(work.request());
                    work.with_randomness(|_, randomness| tools::random(&request.body, how, randomness))?
                }
                ["hash"] => tools::hash(work.body(), None)?,
                ["hash", algorithm] => tools::hash(work.body(), Some(algorithm))?,
                _ => return Err(Fault::Unsupported.into()),
            };
            Ok(Response {
                data: answer.data,
                ..Response::default()
            })
        }
        "wrapping" if writes || operation == Read => wrapping::handle(work, rest),
        "internal" => match (rest.split_once('/').unwrap_or((rest, "")), operation) {
            (("counters", what), Read) => node::counters(work, what),
            (("specs", "openapi"), Read) => Ok(openapi::handle()?),
            _ => preflight::handle(work, rest),
        },
        "quotas" => quotas::handle(work, rest),
        "ha-status" if operation == Read => node::ha_status(work),
        "host-info" if operation == Read && rest.is_empty() => host::handle(work),
        "metrics" if operation == Read => node::metrics(work),
        "storage" => match (rest, operation) {
            ("raft/configuration", Read) => node::raft_configuration(work),
            ("raft/snapshot", Read) => node::snapshot(work),
            ("raft/snapshot" | "raft/snapshot-force", Create | Update) => Err(Fault::Unimplemented(
                "restoring a snapshot into a running cluster (`stead snapshot restore` makes the members of a new one from \
                 it)"
                    .to_owned(),
            )
            .into()),
            _ => Err(Fault::Unimplemented(format!("sys/{path}")).into()),
        },
        "step-down" if writes && rest.is_empty() => {
            work.then(After::StepDown);
            Ok(Response::default())
        }
        "audit" => audit::handle(work, rest),
        "audit-hash" if writes => audit::hash(work, rest),
        "key-status" if operation == Read => keys::status(work),
        "rotate" => keys::rotate(work, rest),
        "seals" if rest.is_empty() => seals::handle(work),
        // Shares are never kept, so nobody finds them here.
        "rekey" if rest == "backup" && operation == Read => {
            Err(Fault::Invalid("no backed-up keys found".to_owned()).into())
        }
        "seal" if writes && rest.is_empty() => {
            work.then(After::Seal);
            Ok(Response::default())
        }
        "replication" if rest.ends_with("status") => {
            let disabled = serde_json::json!({"mode": "disabled"});
            let data = Data::new()
                .with("dr", &disabled)?
                .with("performance", &disabled)?;
            Ok(Response::data(data))
        }
        other if NOT_OFFERED.contains(&other) => Err(Fault::Unimplemented(format!("sys/{path}")).into()),
        _ => Err(Fault::NoPath(format!(
            "no handler for route \"sys/{path}\". route entry not found."
        ))
        .into()),
    }
}
