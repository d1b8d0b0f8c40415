//! What is planned for a report of a check. Pure, as all of [`super::plan`].

use super::definition::CheckKind;
use super::error::RegistryError;
use super::keys::Owner;
use super::model::{CheckDefinition, CheckState};
use super::plan::{Seen, is_at, unknown_check};
use super::record::{decode, encode};
use crate::base::Namespace;
use crate::state::command::{Operation, Put, Txn};

/// What becomes of a report.
pub(super) struct Report {
    /// What is written; none: nothing.
    pub txn: Option<Txn>,
    /// Whether somebody waits for reports of this check.
    pub is_awaited: bool,
    /// Whether only the output is another one: it is written later.
    pub is_delayed: bool,
}

/// What becomes of the report that a check is like `state`.
///
/// # Errors
/// No such check, or one that nobody reports.
pub(super) fn report(
    owner: Owner<'_>,
    check: &str,
    state: &CheckState,
    seen: &Seen,
) -> Result<Report, RegistryError> {
    let (Some(definition), Some(stored)) = (seen.checks.get(check), seen.states.get(check)) else {
        return Err(unknown_check(owner, check));
    };
    let definition: CheckDefinition = decode(&definition.value)?;
    let is_awaited = match &definition.kind {
        CheckKind::Reported => false,
        CheckKind::TimeToLive(_) => true,
        CheckKind::Maintenance => {
            return Err(RegistryError::Maintenance {
                check: check.to_owned(),
            });
        }
        kind @ (CheckKind::Probe(_) | CheckKind::Alias(_)) => {
            return Err(RegistryError::NotReported {
                check: check.to_owned(),
                kind: kind.name(),
            });
        }
    };
    let known: CheckState = decode(&stored.value)?;
    let is_delayed = is_awaited && known.status == state.status && known.output != state.output;
    if known == *state || is_delayed {
        return Ok(Report {
            txn: None,
            is_awaited,
            is_delayed,
        });
    }
    let put = Put {
        namespace: Namespace::SERVICES,
        key: owner.state(check),
        value: encode(state)?,
        ignore_lease: true,
        ..Put::default()
    };
    let txn = Txn {
        compare: vec![is_at(owner.state(check), stored.modification_revision)],
        success: vec![Operation::Put(put)],
        failure: Vec::new(),
    };
    Ok(Report {
        txn: Some(txn),
        is_awaited,
        is_delayed,
    })
}
