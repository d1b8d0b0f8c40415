//! When members compare their data, and etcd's feature gates, two of which switch that.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::settings::{interval, invalid, some_unless_zero, switch};
use super::sources::Values;
use super::{CorruptionChecks, parse_switch};

const FLAG: &str = "feature-gates";

const INITIAL_CHECK: &str = "InitialCorruptCheck";
const COMPACTION_CHECK: &str = "CompactHashCheck";
/// Stands for all gates that are off in etcd until they are asked for; the two above are among them.
const ALL_ALPHA: &str = "AllAlpha";

const CHECKPOINT: &str = "a new leader starts each lease's time afresh";

/// etcd's gates, and why one makes no difference here; none: it does.
const GATES: [(&str, Option<&str>); 11] = [
    (INITIAL_CHECK, None),
    (COMPACTION_CHECK, None),
    (ALL_ALPHA, None),
    ("AllBeta", Some("no gate of that stage makes a difference")),
    (
        "StopGRPCServiceOnDefrag",
        Some("defragmentation holds nothing up"),
    ),
    (
        "TxnModeWriteWithSharedBuffer",
        Some("it tunes a database that Stead does not have"),
    ),
    ("LeaseCheckpoint", Some(CHECKPOINT)),
    ("LeaseCheckpointPersist", Some(CHECKPOINT)),
    (
        "SetMemberLocalAddr",
        Some("the system chooses the address that other members are dialled from"),
    ),
    (
        "FastLeaseKeepAlive",
        Some("keeping a lease alive never waits for the log"),
    ),
    (
        "PriorityRequest",
        Some("there is no queue in which a request could go first"),
    ),
];

/// Reads when members compare their data.
///
/// # Errors
/// A value that cannot be, an unknown gate, or a gate and a flag that contradict each other.
pub(super) fn checks(values: &mut Values) -> Result<CorruptionChecks, ConfigError> {
    let gates = gates(values)?;
    let asked = |gate: &'static str, flag: &'static str| -> Result<bool, ConfigError> {
        let by_flag = switch(values, flag)?;
        match gates.get(gate) {
            Some(by_gate) if values.is_given(flag) && *by_gate != by_flag => {
                Err(ConfigError::Conflict(format!(
                    "{} is {by_flag} and {} has {gate}={by_gate}: give one of them",
                    values.get(flag).origin,
                    values.get(FLAG).origin
                )))
            }
            Some(by_gate) => Ok(*by_gate),
            None if values.is_given(flag) => Ok(by_flag),
            None => Ok(gates.get(ALL_ALPHA).copied().unwrap_or(by_flag)),
        }
    };
    let initial = asked(INITIAL_CHECK, "initial-corrupt-check")?;
    let by_compaction = asked(COMPACTION_CHECK, "compact-hash-check-enabled")?;
    let compaction_interval = interval(values, "compact-hash-check-time")?;
    if compaction_interval.is_zero() {
        return Err(invalid(
            &values.get("compact-hash-check-time"),
            "write a time above 0, such as 1m; what switches the check is --feature-gates=CompactHashCheck=false",
        ));
    }
    Ok(CorruptionChecks {
        initial,
        interval: some_unless_zero(interval(values, "corrupt-check-time")?),
        compaction_interval: by_compaction.then_some(compaction_interval),
    })
}

/// The gates that were given; those that make no difference become warnings.
fn gates(values: &mut Values) -> Result<BTreeMap<&'static str, bool>, ConfigError> {
    let given = values.get(FLAG);
    let mut gates = BTreeMap::new();
    let parts = given.value.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        let Some((name, text)) = part.split_once('=') else {
            return Err(invalid(
                &given,
                format!("{part:?} has no value; write {part}=true or {part}=false"),
            ));
        };
        let Some((gate, reason)) = GATES.iter().find(|(gate, _)| *gate == name.trim()) else {
            let known = GATES.map(|(gate, _)| gate).join(", ");
            return Err(invalid(
                &given,
                format!("unrecognized feature gate {name:?}; there are {known}"),
            ));
        };
        let Some(is_on) = parse_switch(text.trim()) else {
            return Err(invalid(
                &given,
                format!("{gate} is {text:?}; write {gate}=true or {gate}=false"),
            ));
        };
        if let Some(reason) = reason {
            values
                .warnings
                .push(format!("{} {gate} has no effect: {reason}", given.origin));
        }
        gates.insert(*gate, is_on);
    }
    Ok(gates)
}
