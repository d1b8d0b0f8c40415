//! What mounts look like in answers.
//!
//! Never tells where a mount stores.

use serde_json::{Value, json};

use crate::service::secrets::engine::{Mount, Tuning};

/// A mount, as lists of mounts tell it.
#[must_use]
pub fn mount(mount: &Mount) -> Value {
    json!({
        "accessor": mount.accessor,
        "config": tuning(mount),
        "deprecation_status": "supported",
        "description": mount.description,
        "external_entropy_access": false,
        "local": mount.local,
        "options": options(mount),
        "plugin_version": "",
        "running_plugin_version": concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.stead"),
        "running_sha256": "",
        "seal_wrap": mount.seal_wrap,
        "type": mount.kind,
        "uuid": mount.uuid,
    })
}

/// The options of a mount; `null`: it has none.
#[must_use]
pub fn options(mount: &Mount) -> Value {
    if mount.options.is_empty() {
        Value::Null
    } else {
        json!(mount.options)
    }
}

/// What is tuned about a mount.
#[must_use]
pub fn tuning(mount: &Mount) -> Value {
    let Tuning {
        default_lease_seconds,
        maximum_lease_seconds,
        force_no_cache,
        audit_plain_request_keys,
        audit_plain_response_keys,
        listing_visibility,
        passthrough_request_headers,
        allowed_response_headers,
        token_type,
    } = &mount.tuning;
    let mut told = json!({
        "default_lease_ttl": default_lease_seconds,
        "max_lease_ttl": maximum_lease_seconds,
        "force_no_cache": force_no_cache,
    });
    let mut add = |name: &str, value: Value| {
        if let Value::Object(fields) = &mut told {
            fields.insert(name.to_owned(), value);
        }
    };
    for (name, list) in [
        ("audit_non_hmac_request_keys", audit_plain_request_keys),
        ("audit_non_hmac_response_keys", audit_plain_response_keys),
        ("passthrough_request_headers", passthrough_request_headers),
        ("allowed_response_headers", allowed_response_headers),
    ] {
        if !list.is_empty() {
            add(name, json!(list));
        }
    }
    if !listing_visibility.is_empty() {
        add("listing_visibility", json!(listing_visibility));
    }
    if mount.path.starts_with("auth/") {
        let kind = if token_type.is_empty() {
            "default-service"
        } else {
            token_type
        };
        add("token_type", json!(kind));
    }
    told
}
