//! `sys/internal/specs/openapi`: what is served below `sys/` and `auth/token/`, as an OpenAPI document.
//!
//! It says nothing of what a store holds, so whoever asks gets it. Never lists a path that is not served.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::service::secrets::engine::Fault;
use crate::service::secrets::engine::answer::Raw;
use crate::service::secrets::request::Response;

/// What can be done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Delete it.
    Delete,
    /// List what is below.
    List,
}

/// A path below `/v1/`, with names in braces for what differs; what can be done with it; and what it is.
type Route = (&'static str, &'static [Method], &'static str);

const READ: &[Method] = &[Method::Read];
const WRITE: &[Method] = &[Method::Write];
const LIST: &[Method] = &[Method::List];
const READ_WRITE: &[Method] = &[Method::Read, Method::Write];
const READ_WRITE_DELETE: &[Method] = &[Method::Read, Method::Write, Method::Delete];
const WRITE_DELETE: &[Method] = &[Method::Write, Method::Delete];

/// What is answered without a token and without an envelope.
pub const PAGES: &[Route] = &[
    (
        "sys/generate-root/attempt",
        READ_WRITE_DELETE,
        "The making of a root token.",
    ),
    ("sys/generate-root/update", WRITE, "A share for it."),
    ("sys/health", READ, "Whether this member serves."),
    ("sys/init", READ_WRITE, "The initialization of the store."),
    ("sys/leader", READ, "Who leads."),
    ("sys/rekey/init", READ_WRITE_DELETE, "The change of the shares."),
    ("sys/rekey/update", WRITE, "A share for it."),
    (
        "sys/rekey/verify",
        READ_WRITE_DELETE,
        "The verification of the new shares.",
    ),
    ("sys/seal-status", READ, "Where the seal of this member stands."),
    ("sys/unseal", WRITE, "A share to unseal this member."),
];

/// What is answered to whoever has the right to it.
pub const ROUTES: &[Route] = &[
    ("auth/token/accessors", LIST, "The accessors of all tokens."),
    ("auth/token/create", WRITE, "A new token."),
    ("auth/token/create-orphan", WRITE, "A new token without a parent."),
    ("auth/token/create/{role}", WRITE, "A new token of a role."),
    ("auth/token/lookup", WRITE, "What a token is."),
    (
        "auth/token/lookup-accessor",
        WRITE,
        "What the token of an accessor is.",
    ),
    (
        "auth/token/lookup-self",
        READ_WRITE,
        "What the caller's token is.",
    ),
    ("auth/token/renew", WRITE, "A token renewed."),
    (
        "auth/token/renew-accessor",
        WRITE,
        "The token of an accessor renewed.",
    ),
    ("auth/token/renew-self", WRITE, "The caller's token renewed."),
    ("auth/token/revoke", WRITE, "A token and its children ended."),
    (
        "auth/token/revoke-accessor",
        WRITE,
        "The token of an accessor ended.",
    ),
    (
        "auth/token/revoke-orphan",
        WRITE,
        "A token ended, and not its children.",
    ),
    ("auth/token/revoke-self", WRITE, "The caller's token ended."),
    ("auth/token/roles", LIST, "The roles of tokens."),
    ("auth/token/roles/{role}", READ_WRITE_DELETE, "A role of tokens."),
    ("sys/audit", READ, "The audit devices."),
    (
        "sys/audit-hash/{path}",
        WRITE,
        "The hash of a text as a device writes it.",
    ),
    ("sys/audit/{path}", WRITE_DELETE, "An audit device."),
    ("sys/auth", READ, "The mounts of logins."),
    ("sys/auth/{path}", READ_WRITE_DELETE, "A mount of logins."),
    ("sys/auth/{path}/tune", READ_WRITE, "Its settings."),
    ("sys/capabilities", WRITE, "What a token may do with paths."),
    (
        "sys/capabilities-accessor",
        WRITE,
        "What the token of an accessor may do.",
    ),
    (
        "sys/capabilities-self",
        WRITE,
        "What the caller may do with paths.",
    ),
    ("sys/ha-status", READ, "The members."),
    ("sys/host-info", READ, "The machine of a member."),
    (
        "sys/internal/counters/entities",
        READ,
        "How many identities there are.",
    ),
    (
        "sys/internal/counters/tokens",
        READ,
        "How many tokens are stored.",
    ),
    ("sys/internal/specs/openapi", READ, "This document."),
    (
        "sys/internal/ui/mounts",
        READ,
        "The mounts that the caller may see.",
    ),
    (
        "sys/internal/ui/mounts/{path}",
        READ,
        "The mount that a path is of.",
    ),
    ("sys/key-status", READ, "The term of the keyring."),
    ("sys/leases/lookup", WRITE, "A lease."),
    ("sys/leases/lookup/{prefix}", LIST, "The leases below a path."),
    ("sys/leases/renew", WRITE, "A lease renewed."),
    ("sys/leases/revoke", WRITE, "A lease ended."),
    (
        "sys/leases/revoke-force/{prefix}",
        WRITE,
        "All leases below a path ended, whatever fails.",
    ),
    (
        "sys/leases/revoke-prefix/{prefix}",
        WRITE,
        "All leases below a path ended.",
    ),
    (
        "sys/leases/tidy",
        WRITE,
        "What ended leases left behind taken away.",
    ),
    ("sys/metrics", READ, "What this member measures."),
    ("sys/mounts", READ, "The mounts of secrets."),
    ("sys/mounts/{path}", READ_WRITE_DELETE, "A mount of secrets."),
    ("sys/mounts/{path}/tune", READ_WRITE, "Its settings."),
    ("sys/policies/acl", LIST, "The policies."),
    ("sys/policies/acl/{name}", READ_WRITE_DELETE, "A policy."),
    ("sys/policies/password", LIST, "The password policies."),
    (
        "sys/policies/password/{name}",
        READ_WRITE_DELETE,
        "A password policy.",
    ),
    (
        "sys/policies/password/{name}/generate",
        READ,
        "A password by a policy.",
    ),
    ("sys/policy", READ, "The policies."),
    ("sys/policy/{name}", READ_WRITE_DELETE, "A policy."),
    ("sys/quotas/config", READ_WRITE, "What holds for all quotas."),
    ("sys/quotas/rate-limit", LIST, "The quotas."),
    ("sys/quotas/rate-limit/{name}", READ_WRITE_DELETE, "A quota."),
    ("sys/remount", WRITE, "A mount moved."),
    ("sys/remount/status/{id}", READ, "What came of a move."),
    ("sys/replication/status", READ, "That there is no replication."),
    ("sys/rotate", WRITE, "A new term of the keyring."),
    (
        "sys/rotate/config",
        READ,
        "When the keyring gets a new term by itself.",
    ),
    ("sys/seal", WRITE, "This member sealed."),
    ("sys/step-down", WRITE, "Another member made the leader."),
    ("sys/storage/raft/configuration", READ, "The members."),
    (
        "sys/storage/raft/snapshot",
        READ,
        "A snapshot of the whole store.",
    ),
    ("sys/tools/hash", WRITE, "The hash of bytes."),
    ("sys/tools/random", WRITE, "Random bytes."),
    ("sys/wrapping/lookup", WRITE, "What a token wraps."),
    (
        "sys/wrapping/rewrap",
        WRITE,
        "What a token wraps, under another one.",
    ),
    ("sys/wrapping/unwrap", WRITE, "What a token wraps."),
    ("sys/wrapping/wrap", WRITE, "What is sent, wrapped."),
];

/// The document as it is sent: it depends on nothing but the program, so it is made once.
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| document().to_string().into_bytes());

/// Serves the document.
///
/// # Errors
/// None: it is the same for all.
pub fn handle() -> Result<Response, Fault> {
    let raw = Raw {
        content_type: "application/json",
        bytes: DOCUMENT.to_vec(),
    };
    Ok(Response {
        raw: Some(raw),
        ..Response::default()
    })
}

fn document() -> Value {
    let mut paths = Map::new();
    for (route, is_open) in PAGES
        .iter()
        .map(|route| (route, true))
        .chain(ROUTES.iter().map(|route| (route, false)))
    {
        let (path, methods, _) = route;
        let mut item = Map::new();
        let parameters: Vec<Value> = names(path).map(of_path).collect();
        if !parameters.is_empty() {
            item.insert("parameters".to_owned(), Value::from(parameters));
        }
        if is_open {
            item.insert("x-vault-unauthenticated".to_owned(), Value::from(true));
        }
        for method in *methods {
            let (verb, operation) = operation(*method, route);
            item.insert(verb.to_owned(), operation);
        }
        paths.insert(format!("/{path}"), Value::Object(item));
    }
    json!({
        "openapi": "3.0.2",
        "info": {
            "title": "Stead: Vault's HTTP interface",
            "description": "What is served below /v1/sys/ and /v1/auth/token/. What mounted engines serve is not in it.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{"url": "/v1"}],
        "paths": paths,
    })
}

/// The names in a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn of_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

/// The method of HTTP, and what is said of it.
fn operation(method: Method, (path, _, summary): &Route) -> (&'static str, Value) {
    let (verb, word) = match method {
        Method::Read => ("get", "read"),
        Method::List => ("get", "list"),
        Method::Write => ("post", "write"),
        Method::Delete => ("delete", "delete"),
    };
    let name: Vec<&str> = path
        .split(['/', '-', '{', '}'])
        .filter(|part| !part.is_empty())
        .collect();
    let mut operation = json!({
        "operationId": format!("{word}-{}", name.join("-")),
        "summary": summary,
        "tags": [path.split('/').next().unwrap_or_default()],
        "responses": {"default": {"description": "An answer, or {\"errors\": [...]}."}},
    });
    let beside = match method {
        Method::List => (
            "parameters",
            json!([{"name": "list", "in": "query", "required": true, "schema": {"type": "string", "enum": ["true"]}}]),
        ),
        Method::Write => (
            "requestBody",
            json!({"content": {"application/json": {"schema": {"type": "object"}}}}),
        ),
        Method::Read | Method::Delete => return (verb, operation),
    };
    if let Value::Object(fields) = &mut operation {
        fields.insert(beside.0.to_owned(), beside.1);
    }
    (verb, operation)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_has_every_path_once_with_its_parameters() {
        let served = handle().unwrap().raw.unwrap();
        assert_eq!(served.bytes, *DOCUMENT);
        let document: Value = serde_json::from_slice(&served.bytes).unwrap();
        let paths = document["paths"].as_object().expect("paths");
        assert_eq!(paths.len(), PAGES.len() + ROUTES.len());
        let tune = &paths["/sys/mounts/{path}/tune"];
        assert_eq!(tune["parameters"][0]["name"], "path");
        assert!(tune["get"].is_object() && tune["post"]["requestBody"].is_object());
        assert_eq!(paths["/sys/policies/acl"]["get"]["parameters"][0]["name"], "list");
        assert_eq!(paths["/sys/health"]["x-vault-unauthenticated"], true);
        let ids = paths.values().flat_map(|path| {
            ["get", "post", "delete"].map(|verb| path[verb]["operationId"].as_str().map(str::to_owned))
        });
        let ids: Vec<String> = ids.flatten().collect();
        let different: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(ids.len(), different.len(), "{ids:?}");
    }
}
