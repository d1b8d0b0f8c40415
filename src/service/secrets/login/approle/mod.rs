//! `AppRole`: programs that log in with the id of their role and, mostly, a secret id that was made for it.
//!
//! ```text
//! salt                             32 random bytes: the key of the hashes below
//! role/<name>                      a role
//! role-id/<hash>                   the name of the role with that id
//! secret-id/<role>/<hash>          a secret id: what is known of it, and not itself
//! accessor/<role>/<accessor>       the hash of the secret id with that accessor
//! ```
//!
//! Never stores a secret id: it is found by its keyed hash. Never says whether it was the role or the secret id that is wrong.

mod login;
mod role;
mod secret_id;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use uuid::{Builder, Uuid};

use self::role::{FIELD_PATHS, Role};
use self::secret_id::role_id_path;
use super::salt::Salt;
use super::{is_write, listed, name, no_path, role_of, segments};
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Answer, Call, Data, Engine, Fault, Login, Storage, lower_names};
use crate::service::secrets::login::fields;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppRole;

impl Engine for AppRole {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let operation = call.operation;
        match segments(call).as_slice() {
            ["login"] if is_write(operation) => login::login(call, storage),
            ["login"] => Err(Fault::Unsupported),
            ["tidy", "secret-id"] if is_write(operation) => secret_id::tidy(call, storage),
            ["role"] if operation == Operation::List => listed(storage, "role"),
            ["role", given] => role(call, &name(given)?, storage, randomness),
            ["role", given, "role-id"] => role_id(call, &name(given)?, storage, randomness),
            ["role", given, rest @ ..] if secret_id::has_path(rest) => {
                secret_id::handle(call, &name(given)?, rest, storage, randomness)
            }
            ["role", given, field] => one_field(call, &name(given)?, field, storage),
            _ => Err(no_path(call)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match segments(call).as_slice() {
            ["role", given] => Ok(Some(storage.get(&role_path(&name(given)?))?.is_some())),
            _ => Ok(None),
        }
    }

    fn canonical<'path>(&self, path: &'path str) -> Cow<'path, str> {
        match path.split_once('/') {
            Some(("role", _)) => lower_names(path, 1..=1),
            _ => Cow::Borrowed(path),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        path == "login"
    }

    fn renew_login(
        &self,
        _call: &Call<'_>,
        metadata: &BTreeMap<String, String>,
        storage: &mut dyn Storage,
    ) -> Result<Login, Fault> {
        let role: Role = role_of(metadata, "role_name", role_path, storage)?;
        Ok(role.settings.renewal())
    }
}

fn role_path(name: &str) -> String {
    format!("role/{name}")
}

/// A role that has to be there.
fn existing(name: &str, storage: &mut dyn Storage) -> Result<Role, Fault> {
    read(storage, &role_path(name))?.ok_or_else(|| Fault::Invalid(format!("role {name:?} does not exist")))
}

fn role(
    call: &Call<'_>,
    name: &str,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    let before: Option<Role> = read(storage, &role_path(name))?;
    match call.operation {
        Operation::Read => {
            let role = before.ok_or(Fault::Missing)?;
            Ok(Answer::data(role.show()?))
        }
        Operation::Create | Operation::Update => {
            let is_new = before.is_none();
            // Those of a role of that name that was removed must not open the new one.
            if is_new && !secret_id::forget_all(name, storage)? {
                return Ok(Answer::refused(Fault::Invalid(format!(
                    "there was a role {name:?} that has more secret ids left than are removed at once: ask again"
                ))));
            }
            let mut role = before.unwrap_or_default();
            role.update(call.body, is_new)?;
            let wanted = fields::given(call.body, "role_id")?;
            if let Some(id) = wanted.or(if is_new { Some(uuid(randomness)?) } else { None }) {
                rename(name, &mut role, id, storage, randomness)?;
            }
            write(storage, &role_path(name), &role, None)?;
            Ok(Answer::default())
        }
        Operation::Delete => {
            // The role first: from then on nobody logs in with what is left of its secret ids.
            if let Some(role) = before {
                let salt = Salt::of(storage, randomness)?;
                storage.delete(&role_id_path(&salt, &role.id))?;
                storage.delete(&role_path(name))?;
            }
            let mut answer = Answer::default();
            if !secret_id::forget_all(name, storage)? {
                answer.warnings.push(
                    "there are more secret ids of the role than are removed at once: ask again".to_owned(),
                );
            }
            Ok(answer)
        }
        _ => Err(Fault::Unsupported),
    }
}

/// Gives a role another id.
fn rename(
    name: &str,
    role: &mut Role,
    id: String,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<(), Fault> {
    secret_id::check_length("role_id", &id)?;
    let salt = Salt::of(storage, randomness)?;
    let path = role_id_path(&salt, &id);
    if read::<String>(storage, &path)?.is_some_and(|owner| owner != name) {
        return Err(Fault::Invalid(
            "role_id already in use; choose another".to_owned(),
        ));
    }
    if !role.id.is_empty() {
        storage.delete(&role_id_path(&salt, &role.id))?;
    }
    write(storage, &path, &name, None)?;
    role.id = id;
    Ok(())
}

fn role_id(
    call: &Call<'_>,
    name: &str,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    match call.operation {
        Operation::Read => {
            let role: Role = read(storage, &role_path(name))?.ok_or(Fault::Missing)?;
            Ok(Answer::data(Data::new().with("role_id", &role.id)?))
        }
        Operation::Create | Operation::Update => {
            let mut role = existing(name, storage)?;
            rename(
                name,
                &mut role,
                fields::needed(call.body, "role_id")?,
                storage,
                randomness,
            )?;
            write(storage, &role_path(name), &role, None)?;
            Ok(Answer::default())
        }
        _ => Err(Fault::Unsupported),
    }
}

/// The path of one field: read, set, or reset.
fn one_field(call: &Call<'_>, name: &str, path: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let found = FIELD_PATHS.iter().find(|(known, _)| *known == path);
    let Some((_, names)) = found else {
        return Err(no_path(call));
    };
    let [field, ..] = *names else {
        return Err(no_path(call));
    };
    if call.operation == Operation::Read {
        let role: Role = read(storage, &role_path(name))?.ok_or(Fault::Missing)?;
        return Ok(Answer::data(Data::new().with(*field, &role.value(field))?));
    }
    if *field == "local_secret_ids" {
        return Err(Fault::Unsupported);
    }
    let mut role = existing(name, storage)?;
    let value = match call.operation {
        Operation::Create | Operation::Update => {
            let given = names.iter().find_map(|name| call.body.get(name));
            given
                .cloned()
                .ok_or_else(|| Fault::Invalid(format!("missing {field}")))?
        }
        Operation::Delete => Role::default().value(field),
        _ => return Err(Fault::Unsupported),
    };
    role.set(field, &value)?;
    role.check()?;
    write(storage, &role_path(name), &role, None)?;
    Ok(Answer::default())
}

/// A random id.
fn uuid(randomness: &mut dyn Randomness) -> Result<String, Fault> {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes)?;
    let id: Uuid = Builder::from_random_bytes(bytes).into_uuid();
    Ok(id.to_string())
}

/// Whether a value is one that says nothing.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

#[cfg(test)]
mod tests;
