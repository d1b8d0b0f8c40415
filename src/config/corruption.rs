//! When members compare their data.

use super::CorruptionChecks;
use super::error::ConfigError;
use super::settings::{interval, invalid, some_unless_zero, switch};
use super::sources::Values;

/// Reads when members compare their data.
///
/// # Errors
/// A value that cannot be.
pub(super) fn checks(values: &Values) -> Result<CorruptionChecks, ConfigError> {
    let compaction_interval = interval(values, "compact-hash-check-time")?;
    if compaction_interval.is_zero() {
        return Err(invalid(
            &values.get("compact-hash-check-time"),
            "write a time above 0, such as 1m",
        ));
    }
    let by_compaction = switch(values, "compact-hash-check-enabled")?;
    Ok(CorruptionChecks {
        initial: switch(values, "initial-corrupt-check")?,
        interval: some_unless_zero(interval(values, "corrupt-check-time")?),
        compaction_interval: by_compaction.then_some(compaction_interval),
    })
}
