//! Names and passwords. Passwords are hashed with bcrypt; a login as a user who is not there takes as long as one with a
//! wrong password, is answered the same and counted the same.
//!
//! ```text
//! user/<name>          a user
//! failures/<name>      when wrong passwords came for that user; gone by itself
//! salt                 32 random bytes: the key of the hashes below
//! unknown/<number>     when wrong passwords came for a name that is nobody's; gone by itself
//! ```
//!
//! Never stores a password, and never says whether a user exists.

mod lockout;
mod password;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::lockout::Failures;
use self::password::Hash;
use super::{Settings, fields, is_write, listed, name, named, no_path, segments};
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Answer, Call, Data, Engine, Fault, Login, Storage, lower_names};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// The names that settings had in this method before.
const OLD: [&str; 4] = ["policies", "ttl", "max_ttl", "bound_cidrs"];

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct UserPass;

/// A user.
#[derive(Debug, Serialize, Deserialize)]
struct User {
    hash: Hash,
    settings: Settings,
}

impl Engine for UserPass {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let operation = call.operation;
        match segments(call).as_slice() {
            ["login", given] if is_write(operation) => login(call, &name(given)?, storage, randomness),
            ["users"] if operation == Operation::List => listed(storage, "user"),
            ["users", given] => user(call, &name(given)?, storage, randomness),
            ["users", given, "password"] if is_write(operation) => change(&name(given)?, storage, |user| {
                user.hash = Hash::of(&needed(call)?, randomness)?;
                Ok(())
            }),
            ["users", given, "policies"] if is_write(operation) => change(&name(given)?, storage, |user| {
                user.settings.update(call.body, &["policies"])
            }),
            ["login", _] | ["users"] | ["users", _, "password" | "policies"] => Err(Fault::Unsupported),
            _ => Err(no_path(call)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match segments(call).as_slice() {
            ["users", given] => Ok(Some(storage.get(&path(&name(given)?))?.is_some())),
            _ => Ok(None),
        }
    }

    fn canonical<'path>(&self, path: &'path str) -> Cow<'path, str> {
        match path.split_once('/') {
            Some(("login" | "users", _)) => lower_names(path, 1..=1),
            _ => Cow::Borrowed(path),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        path.strip_prefix("login/")
            .is_some_and(|name| !name.is_empty() && !name.contains('/'))
    }

    fn renews_same_policies(&self) -> bool {
        true
    }

    fn renew_login(
        &self,
        _call: &Call<'_>,
        metadata: &BTreeMap<String, String>,
        storage: &mut dyn Storage,
    ) -> Result<Login, Fault> {
        let gone = || Fault::Invalid("user no longer exists, do not renew".to_owned());
        let user: User = read(storage, &path(named(metadata, "username")?))?.ok_or_else(gone)?;
        Ok(user.settings.renewal())
    }
}

fn path(name: &str) -> String {
    format!("user/{name}")
}

fn needed(call: &Call<'_>) -> Result<Secret<String>, Fault> {
    fields::needed(call.body, "password").map(Secret::new)
}

/// Changes a user who has to be there. Whoever may do that also ends a lock.
fn change(
    name: &str,
    storage: &mut dyn Storage,
    change: impl FnOnce(&mut User) -> Result<(), Fault>,
) -> Result<Answer, Fault> {
    let mut user: User =
        read(storage, &path(name))?.ok_or_else(|| Fault::Invalid("username does not exist".to_owned()))?;
    change(&mut user)?;
    write(storage, &path(name), &user, None)?;
    lockout::forget(name, storage)?;
    Ok(Answer::default())
}

fn user(
    call: &Call<'_>,
    name: &str,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    match call.operation {
        Operation::Read => {
            let user: User = read(storage, &path(name))?.ok_or(Fault::Missing)?;
            let mut data = Data::new();
            user.settings.show(&mut data)?;
            Ok(Answer::data(data))
        }
        Operation::Create | Operation::Update => {
            if fields::given(call.body, "password_hash")?.is_some() {
                return Err(Fault::Unimplemented(
                    "password_hash, a password that is hashed already,".to_owned(),
                ));
            }
            let before: Option<User> = read(storage, &path(name))?;
            let password = fields::given(call.body, "password")?.map(Secret::new);
            let hash = password
                .map(|password| Hash::of(&password, randomness))
                .transpose()?;
            let missing = || Fault::Invalid("missing password".to_owned());
            let mut user = match (before, hash) {
                (Some(before), None) => before,
                (Some(before), Some(hash)) => User { hash, ..before },
                (None, hash) => User {
                    hash: hash.ok_or_else(missing)?,
                    settings: Settings::default(),
                },
            };
            user.settings.update(call.body, &OLD)?;
            write(storage, &path(name), &user, None)?;
            lockout::forget(name, storage)?;
            Ok(Answer::default())
        }
        Operation::Delete => {
            storage.delete(&path(name))?;
            lockout::forget(name, storage)?;
            Ok(Answer::default())
        }
        _ => Err(Fault::Unsupported),
    }
}

fn login(
    call: &Call<'_>,
    name: &str,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    let password = needed(call)?;
    let user: Option<User> = read(storage, &path(name))?;
    let mut failures = match user {
        Some(_) => Failures::of_user(name, storage)?,
        None => Failures::of_nobody(name, storage)?,
    };
    if failures.is_locked(call.now) {
        return Err(Fault::Denied);
    }
    let is_right = Hash::is_of(user.as_ref().map(|user| &user.hash), &password);
    let Some(user) = user.filter(|_| is_right) else {
        failures.add(call.now);
        failures.keep(name, storage, randomness)?;
        return Ok(Answer::refused(Fault::Invalid(
            "invalid username or password".to_owned(),
        )));
    };
    if !user.settings.admits(call.peer) {
        return Err(Fault::Denied);
    }
    lockout::forget(name, storage)?;
    let metadata = BTreeMap::from([("username".to_owned(), name.to_owned())]);
    Ok(Answer::login(user.settings.login(name, name, metadata)))
}

#[cfg(test)]
mod tests;
