//! Where checks of services may go, and who may register them.

use super::error::ConfigError;
use super::settings::invalid;
use super::sources::Values;
use crate::service::checks::{CheckRegistration, Policy, ranges};

/// Reads the policy of checks.
///
/// # Errors
/// A value that cannot be.
pub(super) fn policy(values: &Values) -> Result<Policy, ConfigError> {
    let targets = values.get("check-targets");
    let ranges = ranges(&targets.value).map_err(|part| {
        invalid(
            &targets,
            format!("{part:?} is no range; write addresses and ranges such as 10.0.0.0/8,192.0.2.1,fd00::/8"),
        )
    })?;
    let registration = values.get("check-registration");
    let registration = match registration.value.as_str() {
        "nobody" => CheckRegistration::Nobody,
        "root" => CheckRegistration::Root,
        "all" => CheckRegistration::All,
        _ => return Err(invalid(&registration, "write nobody, root or all")),
    };
    Ok(Policy::new(ranges, registration))
}
