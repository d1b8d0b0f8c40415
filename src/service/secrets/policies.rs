//! Policies as they are stored: their texts, by name. Those that every store has need no record until they are changed.
//!
//! Never decides: [`super::policy`] does.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::engine::Fault;
use super::policy::{self, Merged, Policy, PolicyError};
use super::store::Draft;
use crate::base::secret::Secret;

/// Where they are.
const DIRECTORY: &str = "policy";

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// The text of a policy; none: there is none of that name.
///
/// # Errors
/// It cannot be read.
pub fn text(draft: &mut Draft, name: &str) -> Result<Option<String>, Fault> {
    let path = draft.name(&path(name))?;
    match draft.get(&path)? {
        Some(record) => Ok(Some(String::from_utf8_lossy(record.expose()).into_owned())),
        None => Ok(policy::text(name).map(str::to_owned)),
    }
}

/// The names of all policies, sorted.
///
/// # Errors
/// They cannot be read.
pub fn names(draft: &mut Draft) -> Result<Vec<String>, Fault> {
    let directory = draft.name(DIRECTORY)?;
    let names = draft.list(&directory)?.into_iter();
    let mut names: Vec<String> = names.map(|segment| name_of(&segment)).collect();
    for built_in in [policy::DEFAULT, policy::ROOT] {
        if !names.iter().any(|name| name == built_in) {
            names.push(built_in.to_owned());
        }
    }
    names.retain(|name| name != policy::RESPONSE_WRAPPING);
    names.sort();
    Ok(names)
}

/// Writes a policy.
///
/// # Errors
/// Its name or text is wrong.
pub fn write(draft: &mut Draft, name: &str, text: &str) -> Result<(), Fault> {
    let name = policy::name(name)?;
    policy::check_writable(&name)?;
    Policy::parse(&name, text)?;
    draft.put_table(&path(&name), Secret::new(text.as_bytes().to_vec()))
}

/// Removes a policy, if there is one.
///
/// # Errors
/// It is part of the store.
pub fn delete(draft: &mut Draft, name: &str) -> Result<(), Fault> {
    let name = policy::name(name)?;
    policy::check_deletable(&name)?;
    draft.delete_table(&path(&name))
}

/// The policies of those names, merged; what is not there gives nothing.
///
/// # Errors
/// One cannot be read.
pub fn merged(draft: &mut Draft, names: &[String]) -> Result<Arc<Merged>, Fault> {
    let mut policies = Vec::with_capacity(names.len());
    for name in names {
        policies.extend(read(draft, name)?);
    }
    Ok(draft.unsealed().merged(names, policies)?)
}

/// Those that every store has, as far as they have a text.
static BUILT_IN: LazyLock<BTreeMap<&'static str, Result<Arc<Policy>, PolicyError>>> = LazyLock::new(|| {
    let parsed = |name: &'static str| {
        let text = policy::text(name).unwrap_or_default();
        (name, Policy::parse(name, text).map(Arc::new))
    };
    let mut built_in = BTreeMap::from([policy::DEFAULT, policy::RESPONSE_WRAPPING].map(parsed));
    built_in.insert(policy::ROOT, Ok(Arc::new(Policy::root())));
    built_in
});

fn read(draft: &mut Draft, name: &str) -> Result<Option<Arc<Policy>>, Fault> {
    if name != policy::ROOT {
        let parse = |text: &[u8]| Ok(Policy::parse(name, &String::from_utf8_lossy(text))?);
        if let Some(policy) = draft.table(&path(name), parse)? {
            return Ok(Some(policy));
        }
    }
    Ok(BUILT_IN.get(name).cloned().transpose()?)
}

fn path(name: &str) -> String {
    format!("{DIRECTORY}/{}", segment(name))
}

/// A name as one segment of a path: it may hold a slash, which would be a directory.
#[must_use]
pub fn segment(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2F")
}

/// The name that a segment is of.
#[must_use]
pub fn name_of(segment: &str) -> String {
    segment.replace("%2F", "/").replace("%25", "%")
}
