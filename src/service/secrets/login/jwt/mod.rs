//! JSON Web Tokens: whoever has one of somebody who is trusted logs in as whom it names.
//!
//! ```text
//! config           where the keys are
//! role/<name>      what a token has to say, and what is given for it
//! ```
//!
//! Never asks anybody itself: keys that are elsewhere come by [`Fault::Fetch`]. Never offers the flow of a browser (OIDC).

mod bounds;
mod config;
mod role;
mod times;

use std::collections::BTreeMap;

use serde_json::Value;

use self::config::Config;
use self::role::Role;
use super::jws::Token;
use super::{fields, fits, is_write, kept, listed, no_path, role_of, segments};
use crate::base::limits::MAXIMUM_LOGIN_NAME_BYTES;
use crate::service::secrets::engine::storage::read;
use crate::service::secrets::engine::{Answer, Call, Engine, Fault, Login, Storage};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

const CONFIG_PATH: &str = "config";

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Jwt;

impl Engine for Jwt {
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
            ["role", name] => role(call, fits(name)?, storage),
            ["login"] if is_write(operation) => login(call, storage),
            ["oidc", "auth_url" | "callback" | "poll"] => Err(unoffered()),
            ["config" | "role" | "login"] => Err(Fault::Unsupported),
            _ => Err(no_path(call)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match segments(call).as_slice() {
            ["role", name] => Ok(Some(storage.get(&path(name))?.is_some())),
            _ => Ok(None),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        matches!(path, "login" | "oidc/auth_url" | "oidc/callback" | "oidc/poll")
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

fn unoffered() -> Fault {
    Fault::Unimplemented("the flow of a browser (role_type oidc)".to_owned())
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
    let invalid = |text: String| Fault::Invalid(text);
    let config: Config = read(storage, CONFIG_PATH)?
        .ok_or_else(|| invalid("could not load configuration; write to config first".to_owned()))?;
    let given = fields::given(call.body, "role")?;
    let name = given.unwrap_or_else(|| config.default_role.clone());
    if name.is_empty() {
        return Err(invalid("missing role".to_owned()));
    }
    let unknown = || Fault::Invalid(format!("role {name:?} could not be found"));
    if name.contains('/') || name.len() > MAXIMUM_LOGIN_NAME_BYTES {
        return Err(unknown());
    }
    let role: Role = read(storage, &path(&name))?.ok_or_else(unknown)?;
    let text = fields::given(call.body, "jwt")?.ok_or_else(|| invalid("missing token".to_owned()))?;
    if !role.settings.admits(call.peer) {
        return Err(Fault::Denied);
    }
    let failed = |reason: String| Fault::Invalid(format!("error validating token: {reason}"));
    let token = Token::parse(text.trim()).map_err(failed)?;
    if !config.allows(token.algorithm()) {
        return Err(failed(
            "its signing algorithm is not among jwt_supported_algs".to_owned(),
        ));
    }
    let trusted = config.keys(call)?;
    if !token.is_signed(&trusted.keys) {
        return Err(failed(
            "failed to verify signature: no known key successfully validated the token signature".to_owned(),
        ));
    }
    // From here on the claims are those of somebody who is trusted.
    let claims = token.claims();
    if let Some(issuer) = &trusted.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(failed("invalid issuer (iss) claim".to_owned()));
    }
    role.leeways.check(claims, call.now).map_err(failed)?;
    role.check(claims).map_err(failed)?;
    let user = role.user(claims).map_err(failed)?;
    let mut metadata: BTreeMap<String, String> = role.metadata(claims).map_err(failed)?;
    metadata.insert("role".to_owned(), name);
    Ok(Answer::login(role.settings.login(&user, &user, metadata)))
}

#[cfg(test)]
mod tests;
