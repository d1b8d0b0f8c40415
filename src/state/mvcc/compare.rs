//! Conditions of transactions, as etcd compares.

use std::cmp::Ordering;

use bytes::Bytes;

use super::expected_version;
use super::range::Moment;
use crate::state::command::{Compare, CompareTarget, Comparison};
use crate::state::format::{self, Head};
use crate::state::schema;
use crate::storage::{Family, StorageError, View};

/// Whether all conditions hold; none at all hold.
///
/// # Errors
/// The disk failed, or a record is damaged.
pub fn all_hold(moment: &Moment<'_>, conditions: &[Compare]) -> Result<bool, StorageError> {
    for condition in conditions {
        if !holds(moment, condition)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether every key of the condition satisfies it. A key that is not there, and an empty range, compare as one key of
/// zeros; by value they never satisfy.
fn holds(moment: &Moment<'_>, condition: &Compare) -> Result<bool, StorageError> {
    let view = moment.view;
    let keys = &condition.keys;
    if schema::is_point(keys) {
        let head = moment.head(keys.namespace, &keys.key)?;
        return satisfies(view, condition, &keys.key, head);
    }
    let mut is_empty = true;
    let mut cursor = view.scan(Family::Heads, schema::head_range(keys))?;
    while let Some((encoded, record)) = cursor.item() {
        is_empty = false;
        let head = format::decode("head", &Bytes::copy_from_slice(record))?;
        let key = Bytes::copy_from_slice(schema::head_user_key(encoded));
        if !satisfies(view, condition, &key, Some(head))? {
            return Ok(false);
        }
        cursor.advance()?;
    }
    if is_empty {
        satisfies(view, condition, &keys.key, None)
    } else {
        Ok(true)
    }
}

fn satisfies(
    view: &dyn View,
    condition: &Compare,
    key: &Bytes,
    found: Option<Head>,
) -> Result<bool, StorageError> {
    let head = found.unwrap_or_default();
    let ordering = match &condition.target {
        CompareTarget::Version(version) => head.version.cmp(version),
        CompareTarget::Create(revision) => head.create_revision.cmp(revision),
        CompareTarget::Modification(revision) => head.modification_revision.cmp(revision),
        CompareTarget::Lease(lease) => head.lease.cmp(lease),
        CompareTarget::Value(value) => match found {
            Some(head) => {
                let stored = expected_version(view, condition.keys.namespace, key, head.id())?;
                stored.value.cmp(value)
            }
            None => return Ok(false),
        },
    };
    Ok(match condition.comparison {
        Comparison::Equal => ordering == Ordering::Equal,
        Comparison::Greater => ordering == Ordering::Greater,
        Comparison::Less => ordering == Ordering::Less,
        Comparison::NotEqual => ordering != Ordering::Equal,
        Comparison::Always => true,
    })
}
