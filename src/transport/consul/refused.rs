//! What Consul has and this does not: the service mesh, peering, other ways to log in, and what is about gossip.
//!
//! Answered with a sentence and never with success, nor as if it were not there: clients take that for an empty answer.

use crate::service::consul::{Consul, ConsulError};

/// What paths begin with, and what they are about.
const REFUSED: &[(&str, &str)] = &[
    ("/v1/acl/auth-method", "auth methods"),
    ("/v1/acl/binding-rule", "auth methods"),
    ("/v1/acl/login", "auth methods"),
    ("/v1/acl/logout", "auth methods"),
    ("/v1/acl/templated-polic", "templated policies"),
    ("/v1/agent/connect/", "the service mesh"),
    ("/v1/agent/host", "what a member's machine is like"),
    ("/v1/agent/monitor", "logs over HTTP"),
    ("/v1/agent/token/", "tokens of agents"),
    ("/v1/catalog/connect/", "the service mesh"),
    ("/v1/catalog/gateway-services/", "the service mesh"),
    ("/v1/config", "configuration entries"),
    ("/v1/connect/", "the service mesh"),
    ("/v1/coordinate/update", "network coordinates"),
    ("/v1/discovery-chain/", "the service mesh"),
    ("/v1/exported-services", "peering"),
    ("/v1/health/connect/", "the service mesh"),
    ("/v1/health/ingress/", "the service mesh"),
    ("/v1/imported-services", "peering"),
    ("/v1/internal/", "Consul's own interface"),
    ("/v1/operator/area", "federation"),
    ("/v1/operator/autopilot/", "autopilot"),
    ("/v1/operator/keyring", "keys of gossip, which there is none of"),
    ("/v1/operator/license", "licenses"),
    (
        "/v1/operator/raft/transfer-leader",
        "leaders over HTTP: see `stead move-leader`",
    ),
    ("/v1/operator/segment", "network segments"),
    ("/v1/operator/usage", "usage"),
    ("/v1/operator/utilization", "usage"),
    ("/v1/peering", "peering"),
];

/// What is true without ACLs, whatever is asked.
const OF_ACLS: [&str; 2] = ["/v1/acl/", "/v1/agent/token/"];

/// Why a path is refused; none if it is not known at all.
pub(super) fn refusal(consul: &Consul, path: &[u8]) -> Option<ConsulError> {
    let begins = |prefix: &str| path.starts_with(prefix.as_bytes());
    let (_, what) = REFUSED.iter().find(|(prefix, _)| begins(prefix))?;
    if OF_ACLS.iter().any(|prefix| begins(prefix)) && !consul.acls().is_enabled() {
        return Some(ConsulError::AclsOff);
    }
    Some(ConsulError::Invalid(format!(
        "Stead does not support this: {what}"
    )))
}
