//! Login methods: engines that are mounted at `auth/<path>/`, find out who somebody is and say which token is to be made.
//!
//! | module | who somebody is |
//! |---|---|
//! | [`approle`] | a program that knows a role id, and mostly a secret id that was handed to it |
//! | [`userpass`] | somebody with a name and a password |
//! | [`cert`] | who showed a certificate over TLS |
//! | [`jwt`] | who has a JSON Web Token of somebody who is trusted |
//! | [`kubernetes`] | a service account, as the cluster's own interface says |
//!
//! [`settings`] are the parameters of the tokens, the same for all; [`fields`], [`glob`], [`jws`] and `salt` are what they share.
//!
//! Never makes a token, and never tells why a login was refused where that would say who exists.

pub mod approle;
pub mod cert;
pub mod fields;
pub mod glob;
pub mod jws;
pub mod jwt;
pub mod kubernetes;
mod salt;
pub mod settings;
pub mod userpass;

pub use approle::AppRole;
pub use cert::Certificates;
pub use jwt::Jwt;
pub use kubernetes::Kubernetes;
pub use settings::Settings;
pub use userpass::UserPass;

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::storage::{read, write};
use super::engine::{Answer, Call, Data, Fault, Storage};
use super::policy::Operation;
use crate::base::limits::MAXIMUM_LOGIN_NAME_BYTES;

/// The segments of the path of a request; a list's without the empty one at its end.
fn segments<'call>(call: &Call<'call>) -> Vec<&'call str> {
    call.path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect()
}

/// Whether something is written.
fn is_write(operation: Operation) -> bool {
    matches!(operation, Operation::Create | Operation::Update)
}

/// A name in the form in which it is stored.
///
/// # Errors
/// It is too long.
fn name(given: &str) -> Result<String, Fault> {
    fits(given).map(str::to_lowercase)
}

/// A name that is not too long.
///
/// # Errors
/// It is.
fn fits(given: &str) -> Result<&str, Fault> {
    if given.len() > MAXIMUM_LOGIN_NAME_BYTES {
        return Err(Fault::Invalid(format!(
            "the name has {} bytes; the most is {MAXIMUM_LOGIN_NAME_BYTES}",
            given.len()
        )));
    }
    Ok(given)
}

/// No such path.
fn no_path(call: &Call<'_>) -> Fault {
    Fault::NoPath(format!("unsupported path: {}", call.path))
}

/// Serves a record that is read and written as a whole: a role, or a configuration. `change` makes what is written of what was
/// there.
fn kept<Record: Serialize + DeserializeOwned>(
    call: &Call<'_>,
    path: &str,
    storage: &mut dyn Storage,
    show: impl FnOnce(&Record) -> Result<Data, Fault>,
    change: impl FnOnce(Option<Record>) -> Result<Record, Fault>,
) -> Result<Answer, Fault> {
    match call.operation {
        Operation::Read => {
            let record: Record = read(storage, path)?.ok_or(Fault::Missing)?;
            Ok(Answer::data(show(&record)?))
        }
        Operation::Create | Operation::Update => {
            let before = read(storage, path)?;
            write(storage, path, &change(before)?, None)?;
            Ok(Answer::default())
        }
        Operation::Delete => {
            storage.delete(path)?;
            Ok(Answer::default())
        }
        _ => Err(Fault::Unsupported),
    }
}

/// The name of whom or what a token was given for, in its metadata.
///
/// # Errors
/// There is none.
fn named<'token>(metadata: &'token BTreeMap<String, String>, field: &str) -> Result<&'token str, Fault> {
    let name = metadata.get(field).filter(|name| !name.is_empty());
    name.map(String::as_str)
        .ok_or_else(|| Fault::Invalid(format!("failed to fetch {field} during renewal")))
}

/// The role that a token was given for, by its name in the metadata; `path` says where a role is.
///
/// # Errors
/// It is there no more.
fn role_of<Role: DeserializeOwned>(
    metadata: &BTreeMap<String, String>,
    field: &str,
    path: impl FnOnce(&str) -> String,
    storage: &mut dyn Storage,
) -> Result<Role, Fault> {
    let name = named(metadata, field)?;
    read(storage, &path(name))?
        .ok_or_else(|| Fault::Invalid(format!("role {name:?} does not exist during renewal")))
}

/// The names in a directory.
fn listed(storage: &mut dyn Storage, directory: &str) -> Result<Answer, Fault> {
    Answer::list(storage.list(directory)?)
}

#[cfg(test)]
mod tests;
