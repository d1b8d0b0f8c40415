//! Certificates: who showed one over TLS that a role trusts, itself or by who signed it, logs in.
//!
//! ```text
//! config           settings of the mount
//! cert/<name>      a role: what is trusted, and what is given for it
//! crl/<name>       a list of certificates that are not trusted any more
//! ```
//!
//! Never looks at a key: the handshake proved that who showed the certificate has it.

mod chain;
mod facts;
mod revoked;
mod role;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::facts::Facts;
use self::revoked::List;
use self::role::Role;
use super::{fields, is_write, kept, listed, name, no_path, role_of, segments};
use crate::base::limits::MAXIMUM_CLIENT_CERTIFICATES;
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Answer, Call, Data, Engine, Fault, Login, Storage, lower_names};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

const CONFIG_PATH: &str = "config";
const CRL: &str = "crl";
const ROLE: &str = "cert";

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Certificates;

/// Settings of the mount.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    /// Whether renewals ask for no certificate.
    disable_binding: bool,
    /// Told back and nothing more.
    enable_identity_alias_metadata: bool,
}

impl Engine for Certificates {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        _randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let is_list = call.operation == Operation::List;
        match segments(call).as_slice() {
            ["config"] => config(call, storage),
            ["certs"] if is_list => listed(storage, ROLE),
            ["certs", given] => role(call, &name(given)?, storage),
            ["crls"] if is_list => listed(storage, CRL),
            ["crls", given] => crl(call, &name(given)?, storage),
            ["login"] if is_write(call.operation) => login(call, storage),
            ["certs" | "crls" | "login"] => Err(Fault::Unsupported),
            _ => Err(no_path(call)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match segments(call).as_slice() {
            ["certs", given] => Ok(Some(storage.get(&path(ROLE, &name(given)?))?.is_some())),
            ["crls", given] => Ok(Some(storage.get(&path(CRL, &name(given)?))?.is_some())),
            _ => Ok(None),
        }
    }

    fn canonical<'path>(&self, path: &'path str) -> Cow<'path, str> {
        match path.split_once('/') {
            Some(("certs" | "crls", _)) => lower_names(path, 1..=1),
            _ => Cow::Borrowed(path),
        }
    }

    fn is_open(&self, path: &str) -> bool {
        path == "login"
    }

    fn renews_same_policies(&self) -> bool {
        true
    }

    fn renew_login(
        &self,
        call: &Call<'_>,
        metadata: &BTreeMap<String, String>,
        storage: &mut dyn Storage,
    ) -> Result<Login, Fault> {
        let role: Role = role_of(metadata, "cert_name", |name| path(ROLE, name), storage)?;
        let lists = lists(storage)?;
        if lists.iter().any(|list| list.is_of(metadata)) {
            return Err(Fault::Invalid(
                "the certificate was revoked, not renewing".to_owned(),
            ));
        }
        let config: Config = read(storage, CONFIG_PATH)?.unwrap_or_default();
        if !config.disable_binding {
            let shown = Shown::of(call)?;
            if !shown.is_good_for(&role, call.now, &lists) {
                return Err(wrong());
            }
            if !shown.facts.are_of(metadata) {
                return Err(Fault::Invalid(
                    "client identity during renewal not matching client identity used during login"
                        .to_owned(),
                ));
            }
        }
        Ok(role.settings.renewal())
    }
}

fn path(directory: &str, name: &str) -> String {
    format!("{directory}/{name}")
}

fn config(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let mut config: Config = read(storage, CONFIG_PATH)?.unwrap_or_default();
    match call.operation {
        Operation::Read => Ok(Answer::data(
            Data::new()
                .with("disable_binding", &config.disable_binding)?
                .with(
                    "enable_identity_alias_metadata",
                    &config.enable_identity_alias_metadata,
                )?,
        )),
        Operation::Create | Operation::Update => {
            if let Some(value) = call.body.get("disable_binding") {
                config.disable_binding = fields::switch("disable_binding", value)?;
            }
            if let Some(value) = call.body.get("enable_identity_alias_metadata") {
                config.enable_identity_alias_metadata =
                    fields::switch("enable_identity_alias_metadata", value)?;
            }
            write(storage, CONFIG_PATH, &config, None)?;
            Ok(Answer::default())
        }
        _ => Err(Fault::Unsupported),
    }
}

fn role(call: &Call<'_>, name: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    kept(
        call,
        &path(ROLE, name),
        storage,
        Role::show,
        |before: Option<Role>| {
            let mut role = before.unwrap_or_default();
            role.update(name, call.body)?;
            Ok(role)
        },
    )
}

fn crl(call: &Call<'_>, name: &str, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    kept(call, &path(CRL, name), storage, List::show, |_| {
        List::of(call.body)
    })
}

/// All lists of certificates that are not trusted any more.
fn lists(storage: &mut dyn Storage) -> Result<Vec<List>, Fault> {
    let mut lists = Vec::new();
    for name in storage.list(CRL)? {
        lists.extend(read::<List>(storage, &path(CRL, &name))?);
    }
    Ok(lists)
}

/// No certificate that a role trusts.
fn wrong() -> Fault {
    Fault::Invalid("invalid certificate or no client certificate supplied".to_owned())
}

/// What a client shows over TLS.
struct Shown<'call> {
    own: &'call [u8],
    /// The certificates that came along.
    above: &'call [Vec<u8>],
    /// What its own says.
    facts: Facts,
}

impl<'call> Shown<'call> {
    /// What came with a request.
    ///
    /// # Errors
    /// There is no certificate, or none that can be read, or there are too many.
    fn of(call: &Call<'call>) -> Result<Self, Fault> {
        let shown = call.peer.certificates.as_slice();
        let Some((own, above)) = shown.split_first() else {
            return Err(Fault::Invalid("client certificate must be supplied".to_owned()));
        };
        if shown.len() > MAXIMUM_CLIENT_CERTIFICATES {
            return Err(Fault::Invalid(format!(
                "the client shows {} certificates; the most is {MAXIMUM_CLIENT_CERTIFICATES}",
                shown.len()
            )));
        }
        let facts = Facts::of(own).ok_or_else(wrong)?;
        Ok(Self { own, above, facts })
    }

    /// Whether a role trusts it, and it says what the role asks for.
    fn is_good_for(&self, role: &Role, now: Duration, lists: &[List]) -> bool {
        chain::is_trusted(&role.certificate, self.own, self.above, now, lists)
            && role.is_for(&self.facts)
            && !self.facts.common_name.is_empty()
    }
}

fn login(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let shown = Shown::of(call)?;
    let lists = lists(storage)?;
    let names = match fields::given(call.body, "name")? {
        Some(given) if given.contains('/') => return Err(wrong()),
        Some(given) => vec![name(&given)?],
        None => storage.list(ROLE)?,
    };
    let mut is_elsewhere = false;
    for name in names {
        let Some(role) = read::<Role>(storage, &path(ROLE, &name))? else {
            continue;
        };
        if !shown.is_good_for(&role, call.now, &lists) {
            continue;
        }
        if !role.settings.admits(call.peer) {
            is_elsewhere = true;
            continue;
        }
        let mut metadata: BTreeMap<String, String> = role.metadata(&shown.facts);
        metadata.insert("cert_name".to_owned(), name);
        let display_name = role.display_name.clone();
        return Ok(Answer::login(role.settings.login(
            &shown.facts.common_name,
            &display_name,
            metadata,
        )));
    }
    Err(if is_elsewhere { Fault::Denied } else { wrong() })
}

#[cfg(test)]
mod tests;
