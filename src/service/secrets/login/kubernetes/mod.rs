//! Service accounts of Kubernetes, by the tokens that their pods have. The cluster's own interface says whose a token is.
//!
//! ```text
//! config           where that interface is
//! role/<name>      which accounts, and what is given for them
//! ```
//!
//! Never believes a token by itself, and never reads files of a pod: what to trust is written to `config`.

mod config;
mod review;
mod role;

use std::borrow::Cow;
use std::collections::BTreeMap;

use self::config::Config;
use self::role::{AliasSource, Role};
use super::jws::{Token, fetched};
use super::{fields, is_write, kept, listed, name, no_path, role_of, segments};
use crate::service::secrets::engine::storage::read;
use crate::service::secrets::engine::{Answer, Call, Engine, Fault, Login, Storage, lower_names};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

const CONFIG_PATH: &str = "config";

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kubernetes;

impl Engine for Kubernetes {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        _randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let operation = call.operation;
        match segments(call).as_slice() {
            ["config"] if operation != Operation::Delete => config(call, storage),
            ["role"] if operation == Operation::List => listed(storage, "role"),
            ["role", given] => role(call, &name(given)?, storage),
            ["login"] if is_write(operation) => login(call, storage),
            ["config" | "role" | "login"] => Err(Fault::Unsupported),
            _ => Err(no_path(call)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match segments(call).as_slice() {
            ["role", given] => Ok(Some(storage.get(&path(&name(given)?))?.is_some())),
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
        let role: Role = role_of(metadata, "role", path, storage)?;
        Ok(role.settings.renewal())
    }
}

fn path(name: &str) -> String {
    format!("role/{name}")
}

fn config(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    kept(call, CONFIG_PATH, storage, Config::show, |_| {
        Config::of(call.body)
    })
}

fn role(call: &Call<'_>, name: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    kept(call, &path(name), storage, Role::show, |before: Option<Role>| {
        let mut role = before.unwrap_or_default();
        role.update(call.body)?;
        Ok(role)
    })
}

fn login(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let role_name = name(&fields::needed(call.body, "role")?)?;
    let text = fields::needed(call.body, "jwt")?;
    let text = text.trim();
    let unknown = || Fault::Invalid(format!("invalid role name {role_name:?}"));
    if role_name.contains('/') {
        return Err(unknown());
    }
    let role: Role = read(storage, &path(&role_name))?.ok_or_else(unknown)?;
    if !role.settings.admits(call.peer) {
        return Err(Fault::Denied);
    }
    let config: Config = read(storage, CONFIG_PATH)?.ok_or_else(|| {
        Fault::Invalid("could not load backend configuration; write to config first".to_owned())
    })?;
    // Nobody is asked about what is no token, or too old, or signed by somebody else.
    let token =
        Token::parse(text).map_err(|reason| Fault::Invalid(format!("error parsing jwt: {reason}")))?;
    config.check(&token, call.now)?;
    let bytes = fetched(call, review::errand(&config, text, &role.audience))?;
    let account = review::account(bytes, &role.audience, &token)?;
    if !role.is_for(&account) {
        return Err(Fault::Denied);
    }
    let alias = match role.alias_source {
        AliasSource::Uid => account.uid.clone(),
        AliasSource::Name => format!("{}/{}", account.namespace, account.name),
    };
    let display_name = format!("{}-{}", account.namespace, account.name);
    let metadata = BTreeMap::from(
        [
            ("role", role_name),
            ("service_account_name", account.name),
            ("service_account_namespace", account.namespace),
            ("service_account_secret_name", account.secret_name),
            ("service_account_uid", account.uid),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Ok(Answer::login(role.settings.login(
        &alias,
        &display_name,
        metadata,
    )))
}

#[cfg(test)]
mod tests;
