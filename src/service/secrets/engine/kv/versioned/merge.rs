//! Merge patches of JSON (RFC 7396) on the text itself, so that what is not touched stays as it was written.
//!
//! Never reads a number or a text of a value.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::service::secrets::engine::Fault;

/// What `patch` makes of `target`. Both are JSON whose objects have each name once.
///
/// # Errors
/// One of them is no JSON.
pub fn merge(target: &str, patch: &str) -> Result<Zeroizing<String>, Fault> {
    // What is merged is never longer than both: it grows in place and leaves no copies.
    let mut merged = Zeroizing::new(String::with_capacity(target.len() + patch.len()));
    write(&mut merged, Some(target), patch)
        .map_err(|_| Fault::Internal("what is stored cannot be patched".to_owned()))?;
    Ok(merged)
}

fn write(merged: &mut String, target: Option<&str>, patch: &str) -> serde_json::Result<()> {
    let Some(mut changes) = object(patch)? else {
        merged.push_str(patch);
        return Ok(());
    };
    let fields = match target {
        Some(target) => object(target)?.unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let mut separator = "{";
    let mut begin = |merged: &mut String, name: &str| {
        merged.push_str(separator);
        separator = ",";
        merged.push_str(&serde_json::to_string(name)?);
        merged.push(':');
        Ok::<_, serde_json::Error>(())
    };
    for (name, value) in fields {
        match changes.remove(&name) {
            None => {
                begin(merged, &name)?;
                merged.push_str(value.get());
            }
            Some(change) if is_null(change) => {}
            Some(change) => {
                begin(merged, &name)?;
                write(merged, Some(value.get()), change.get())?;
            }
        }
    }
    for (name, change) in changes {
        if !is_null(change) {
            begin(merged, &name)?;
            write(merged, None, change.get())?;
        }
    }
    if separator == "{" {
        merged.push('{');
    }
    merged.push('}');
    Ok(())
}

fn object(json: &str) -> serde_json::Result<Option<BTreeMap<String, &RawValue>>> {
    if json.starts_with('{') {
        return serde_json::from_str(json).map(Some);
    }
    Ok(None)
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}
