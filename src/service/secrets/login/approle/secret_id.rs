//! Secret ids: made, listed, looked up, destroyed.
//!
//! Never stored: a secret id is known by its hash under a random key of the mount.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::role::{Role, is_inside, joined};
use super::{existing, is_nothing, uuid};
use crate::base::limits::MAXIMUM_ROLE_ID_BYTES;
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage::{peek, read, write};
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage};
use crate::service::secrets::login::salt::Salt;
use crate::service::secrets::login::settings::shown;
use crate::service::secrets::login::{fields, is_write, listed, no_path};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// What Vault writes for a time that never comes.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Where the name of the role with that id is.
pub(super) fn role_id_path(salt: &Salt, id: &str) -> String {
    format!("role-id/{}", salt.text(&["role-id", id]))
}

/// Where a secret id of a role is.
pub(super) fn secret_path(salt: &Salt, role: &str, secret: &str) -> String {
    format!("{}/{}", directory(role), salt.text(&["secret-id", role, secret]))
}

/// What is known of a secret id.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SecretId {
    /// What it is named by without being told.
    pub accessor: String,
    /// How often it may still be used; zero: as often as anybody likes.
    pub uses: u64,
    /// How long it lasts from its making on; zero: for ever.
    pub ttl: Duration,
    /// When it was made, since 1970.
    pub created: Duration,
    /// When it was last changed.
    pub updated: Duration,
    /// From when on it is void; none: never.
    pub ends: Option<Duration>,
    /// What tokens say of who has them.
    pub metadata: BTreeMap<String, String>,
    /// From where it may be used; empty: from anywhere.
    pub cidrs: Vec<IpNet>,
    /// From where its tokens may be used; empty: as the role says.
    pub token_cidrs: Vec<IpNet>,
}

impl SecretId {
    /// Whether its time is over.
    pub fn is_over(&self, now: Duration) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// How much of its time is left; none: it has no end.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_sub(now))
    }

    fn show(&self) -> Result<Data, Fault> {
        Data::new()
            .with("cidr_list", &strings(&self.cidrs))?
            .with("creation_time", &rfc3339(self.created))?
            .with(
                "expiration_time",
                &self.ends.map_or_else(|| NEVER.to_owned(), rfc3339),
            )?
            .with("last_updated_time", &rfc3339(self.updated))?
            .with("metadata", &self.metadata)?
            .with("secret_id_accessor", &self.accessor)?
            .with("secret_id_num_uses", &self.uses)?
            .with("secret_id_ttl", &self.ttl.as_secs())?
            .with("token_bound_cidrs", &shown(&self.token_cidrs))
    }
}

fn strings(ranges: &[IpNet]) -> Vec<String> {
    ranges.iter().map(ToString::to_string).collect()
}

/// Where the secret ids of a role are.
fn directory(role: &str) -> String {
    format!("secret-id/{role}")
}

/// Where the accessors of the secret ids of a role are.
fn accessors(role: &str) -> String {
    format!("accessor/{role}")
}

fn accessor_path(role: &str, accessor: &str) -> String {
    format!("{}/{accessor}", accessors(role))
}

/// An id that is not too long.
pub(super) fn check_length(field: &str, id: &str) -> Result<(), Fault> {
    if id.len() > MAXIMUM_ROLE_ID_BYTES {
        return Err(Fault::Invalid(format!(
            "{field} has {} bytes; the most is {MAXIMUM_ROLE_ID_BYTES}",
            id.len()
        )));
    }
    Ok(())
}

/// Removes a secret id and its accessor.
pub(super) fn forget(
    role: &str,
    path: &str,
    secret: &SecretId,
    storage: &mut dyn Storage,
) -> Result<(), Fault> {
    storage.delete(&accessor_path(role, &secret.accessor))?;
    storage.delete(path)
}

/// Removes the secret ids of a role and their accessors, as many as one transaction takes; false: there are more.
pub(super) fn forget_all(role: &str, storage: &mut dyn Storage) -> Result<bool, Fault> {
    for directory in [directory(role), accessors(role)] {
        for name in storage.list(&directory)? {
            if !storage.has_room() {
                return Ok(false);
            }
            storage.delete(&format!("{directory}/{name}"))?;
        }
    }
    Ok(true)
}

/// Whether what comes behind the name of a role is about its secret ids.
pub(super) fn has_path(rest: &[&str]) -> bool {
    matches!(
        rest,
        ["secret-id" | "secret-id-accessor" | "custom-secret-id", ..]
    )
}

/// What is asked about the secret ids of a role.
pub(super) fn handle(
    call: &Call<'_>,
    name: &str,
    rest: &[&str],
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    let role = existing(name, storage)?;
    let is_removal = is_write(call.operation) || call.operation == Operation::Delete;
    match rest {
        ["secret-id"] if call.operation == Operation::List => listed(storage, &accessors(name)),
        ["secret-id"] if is_write(call.operation) => {
            let secret = Secret::new(uuid(randomness)?);
            make(call, name, &role, &secret, storage, randomness)
        }
        ["custom-secret-id"] if is_write(call.operation) => {
            let secret = Secret::new(fields::needed(call.body, "secret_id")?);
            check_length("secret_id", secret.expose())?;
            make(call, name, &role, &secret, storage, randomness)
        }
        ["secret-id", "lookup"] if is_write(call.operation) => {
            let (_, found) = by_secret(call, name, storage, randomness)?;
            // As in Vault: what is not there is no error.
            let data = found.map(|secret| secret.show()).transpose()?;
            Ok(Answer {
                data,
                ..Answer::default()
            })
        }
        ["secret-id", "destroy"] if is_removal => {
            let (path, found) = by_secret(call, name, storage, randomness)?;
            if let Some(secret) = found {
                forget(name, &path, &secret, storage)?;
            }
            Ok(Answer::default())
        }
        ["secret-id-accessor", "lookup"] if is_write(call.operation) => {
            let (_, secret) = by_accessor(call, name, storage)?;
            Ok(Answer::data(secret.show()?))
        }
        ["secret-id-accessor", "destroy"] if is_removal => {
            let (path, secret) = by_accessor(call, name, storage)?;
            forget(name, &path, &secret, storage)?;
            Ok(Answer::default())
        }
        ["secret-id" | "custom-secret-id"] | ["secret-id" | "secret-id-accessor", "lookup" | "destroy"] => {
            Err(Fault::Unsupported)
        }
        _ => Err(no_path(call)),
    }
}

fn by_secret(
    call: &Call<'_>,
    role: &str,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<(String, Option<SecretId>), Fault> {
    let secret = Secret::new(fields::needed(call.body, "secret_id")?);
    let path = secret_path(&Salt::of(storage, randomness)?, role, secret.expose());
    let found: Option<SecretId> = read(storage, &path)?;
    Ok((path, found.filter(|found| !found.is_over(call.now))))
}

fn by_accessor(call: &Call<'_>, role: &str, storage: &mut dyn Storage) -> Result<(String, SecretId), Fault> {
    let accessor = fields::needed(call.body, "secret_id_accessor")?;
    if accessor.contains('/') {
        return Err(Fault::Missing);
    }
    let path: String = read(storage, &accessor_path(role, &accessor))?.ok_or(Fault::Missing)?;
    let secret: SecretId = read(storage, &path)?.ok_or(Fault::Missing)?;
    if secret.is_over(call.now) {
        return Err(Fault::Missing);
    }
    Ok((path, secret))
}

fn make(
    call: &Call<'_>,
    name: &str,
    role: &Role,
    secret: &Secret<String>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    let invalid = |text: String| Err(Fault::Invalid(text));
    if !role.needs_secret {
        return invalid("bind_secret_id is not set on the role".to_owned());
    }
    let given = |field: &str| call.body.get(field).filter(|value| !is_nothing(value));
    let (mut uses, mut ttl) = (role.secret_uses, role.secret_ttl);
    if let Some(value) = given("num_uses") {
        uses = fields::count("num_uses", value)?;
        if role.secret_uses > 0 && (uses == 0 || uses > role.secret_uses) {
            return invalid("num_uses cannot be higher than the role's secret_id_num_uses".to_owned());
        }
    }
    if let Some(value) = given("ttl") {
        ttl = fields::span("ttl", value)?;
        if !role.secret_ttl.is_zero() && (ttl.is_zero() || ttl > role.secret_ttl) {
            return invalid("ttl cannot be longer than the role's secret_id_ttl".to_owned());
        }
    }
    let ranges = |field: &str, outer: &[IpNet], whose: &str| -> Result<Vec<IpNet>, Fault> {
        let ranges = given(field).map_or(Ok(Vec::new()), |value| fields::cidrs(field, value))?;
        if is_inside(&ranges, outer) {
            return Ok(ranges);
        }
        Err(Fault::Invalid(format!(
            "{field}: {} is not a subset of {whose} of the role: {}",
            joined(&ranges),
            joined(outer)
        )))
    };
    let record = SecretId {
        accessor: uuid(randomness)?,
        uses,
        ttl,
        created: call.now,
        updated: call.now,
        ends: (!ttl.is_zero()).then(|| call.now.saturating_add(ttl)),
        metadata: given("metadata").map_or(Ok(BTreeMap::new()), |value| fields::pairs("metadata", value))?,
        cidrs: ranges("cidr_list", &role.bound_cidrs, "secret_id_bound_cidrs")?,
        token_cidrs: ranges(
            "token_bound_cidrs",
            &role.settings.bound_cidrs,
            "token_bound_cidrs",
        )?,
    };
    let path = secret_path(&Salt::of(storage, randomness)?, name, secret.expose());
    if let Some(before) = read::<SecretId>(storage, &path)?
        && !before.is_over(call.now)
    {
        return invalid("failed to store SecretID: SecretID is already registered".to_owned());
    }
    let ttl = record.left(call.now);
    write(storage, &path, &record, ttl)?;
    write(storage, &accessor_path(name, &record.accessor), &path, ttl)?;
    let data = Data::new()
        .with("secret_id", secret.expose())?
        .with("secret_id_accessor", &record.accessor)?
        .with("secret_id_ttl", &record.ttl.as_secs())?
        .with("secret_id_num_uses", &record.uses)?;
    Ok(Answer::data(data))
}

/// Removes secret ids whose time is over, and accessors without a secret id. The store does the same by itself; this is for
/// what it has not come to yet. Removes as many as one transaction takes.
pub(super) fn tidy(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let (mut removed, mut is_all): (usize, bool) = (0, true);
    'roles: for role in storage.list("accessor")? {
        let role = role.trim_end_matches('/');
        for accessor in storage.list(&accessors(role))? {
            let at = accessor_path(role, &accessor);
            let Some(path) = peek::<String>(storage, &at)? else {
                continue;
            };
            let found: Option<SecretId> = peek(storage, &path)?;
            if found.as_ref().is_none_or(|secret| secret.is_over(call.now)) {
                is_all = storage.has_room();
                if !is_all {
                    break 'roles;
                }
                storage.delete(&at)?;
                storage.delete(&path)?;
                removed += 1;
            }
        }
    }
    let mut warnings = vec![format!("Tidy operation done: {removed} secret IDs were removed")];
    if !is_all {
        warnings
            .push("there are more secret ids that are over than are removed at once: ask again".to_owned());
    }
    Ok(Answer {
        warnings,
        ..Answer::default()
    })
}
