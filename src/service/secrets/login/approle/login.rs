//! Logins with a role id and a secret id. The use of a secret id is counted together with the login or not at all.
//!
//! Never says which of the two is wrong.

use std::collections::BTreeMap;

use super::role::Role;
use super::role_path;
use super::secret_id::{SecretId, forget, role_id_path, secret_path};
use crate::service::secrets::engine::storage::{read, write};
use crate::service::secrets::engine::{Answer, Call, Fault, Storage};
use crate::service::secrets::login::fields;
use crate::service::secrets::login::salt::Salt;
use crate::service::secrets::login::settings::is_within;

fn wrong() -> Fault {
    Fault::Invalid("invalid role or secret ID".to_owned())
}

/// Somebody logs in.
pub(super) fn login(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let role_id = fields::needed(call.body, "role_id")?;
    let secret = fields::given(call.body, "secret_id")?;
    // Without a salt there is no role either.
    let salt = Salt::existing(storage)?.ok_or_else(wrong)?;
    let owner: Option<String> = read(storage, &role_id_path(&salt, &role_id))?;
    let role: Option<Role> = match &owner {
        Some(name) => read(storage, &role_path(name))?,
        None => None,
    };
    let needs_secret = role.as_ref().is_none_or(|role| role.needs_secret);
    if needs_secret && secret.is_none() {
        return Err(Fault::Invalid("missing secret_id".to_owned()));
    }
    let (Some(name), Some(role)) = (owner, role) else {
        return Err(wrong());
    };
    let address = || {
        let address = call.peer.address;
        address.map_or_else(
            || "unknown".to_owned(),
            |address| address.to_canonical().to_string(),
        )
    };
    let (mut metadata, mut token_cidrs) = (BTreeMap::new(), None);
    if role.needs_secret {
        let path = secret_path(&salt, &name, secret.as_deref().unwrap_or_default());
        let mut found: SecretId = read(storage, &path)?.ok_or_else(wrong)?;
        if found.is_over(call.now) {
            return Err(wrong());
        }
        if !is_within(&found.cidrs, call.peer) {
            return Err(Fault::Invalid(format!(
                "source address {:?} unauthorized through CIDR restrictions on the secret ID",
                address()
            )));
        }
        metadata.clone_from(&found.metadata);
        token_cidrs = Some(found.token_cidrs.clone()).filter(|cidrs| !cidrs.is_empty());
        match found.uses {
            0 => {}
            1 => forget(&name, &path, &found, storage)?,
            uses => {
                found.uses = uses - 1;
                found.updated = call.now;
                write(storage, &path, &found, found.left(call.now))?;
            }
        }
    }
    if !is_within(&role.bound_cidrs, call.peer) {
        return Err(Fault::Invalid(format!(
            "source address {:?} unauthorized by CIDR restrictions on the role",
            address()
        )));
    }
    metadata.insert("role_name".to_owned(), name);
    let mut settings = role.settings;
    if let Some(cidrs) = token_cidrs {
        // Those of the secret id are inside of those of the role, as far as that has any.
        settings.bound_cidrs = cidrs;
    }
    if !settings.admits(call.peer) {
        return Err(Fault::Denied);
    }
    Ok(Answer::login(settings.login(&role.id, "", metadata)))
}
