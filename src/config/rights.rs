//! `--consul-acl` and its like: whether tokens guard Consul's interface.

use super::error::ConfigError;
use super::settings::{invalid, switch};
use super::sources::{Given, Values};
use crate::base::secret::Secret;
use crate::service::consul::acl::AclSettings;

/// The rights on Consul's interface.
pub(super) fn consul_acls(values: &Values) -> Result<AclSettings, ConfigError> {
    let policy = values.get("consul-acl-default-policy");
    let first = values.get("consul-acl-initial-management-token");
    let is_on = switch(values, "consul-acl")?;
    if !first.value.is_empty() && (!is_on || uuid::Uuid::parse_str(&first.value).is_err()) {
        // Never the value: it is a secret.
        let hidden = Given {
            value: "(not shown)".to_owned(),
            ..first
        };
        return Err(invalid(&hidden, "write a UUID, together with --consul-acl"));
    }
    Ok(AclSettings {
        is_on,
        allows_by_default: match policy.value.as_str() {
            "allow" => true,
            "deny" => false,
            _ => return Err(invalid(&policy, "write allow or deny")),
        },
        initial_management: (!first.value.is_empty()).then(|| Secret::new(first.value)),
    })
}
