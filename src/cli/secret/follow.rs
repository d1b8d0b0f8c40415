//! Secrets that a command reads, and reads again when they change.
//!
//! Never keeps an old value of a secret that was read anew, and never half of a change: either all were read or none.

use std::collections::BTreeMap;

use zeroize::{Zeroize as _, Zeroizing};

use super::ask::Session;
use super::place::Mounted;
use super::{keep, show};
use crate::cli::exit::{CliError, Exit};
use crate::client::SecretChanges;

/// Secrets by the paths that people know.
pub(super) struct Followed {
    mounts: BTreeMap<String, Mounted>,
    known: BTreeMap<String, Wiped>,
}

/// Fields that are wiped when they are dropped.
struct Wiped(show::Fields);

impl Drop for Wiped {
    fn drop(&mut self) {
        for (_, text) in std::mem::take(&mut self.0) {
            let mut text: Box<str> = text.into();
            text.zeroize();
        }
    }
}

impl Followed {
    /// Finds out where the secrets are; nothing is read yet.
    ///
    /// # Errors
    /// The token may not know of one.
    pub(super) async fn open(session: &Session, paths: &[String]) -> Result<Self, CliError> {
        let mut mounts = BTreeMap::new();
        for path in paths {
            if !mounts.contains_key(path) {
                mounts.insert(path.clone(), session.mounted(path).await?);
            }
        }
        Ok(Self {
            mounts,
            known: BTreeMap::new(),
        })
    }

    /// Follows them; none if there is nothing to follow.
    pub(super) fn changes(&self, session: &Session) -> Option<SecretChanges> {
        let paths = self
            .mounts
            .iter()
            .map(|(path, mounted)| mounted.path_of("data", path));
        let paths: Vec<String> = paths.collect();
        (!paths.is_empty()).then(|| session.secrets.watch(paths))
    }

    /// Reads all of them; whether one is another than before.
    ///
    /// # Errors
    /// One is not there, or the token may not read it; all stay as they were.
    pub(super) async fn read(&mut self, session: &Session) -> Result<bool, CliError> {
        let mut known = BTreeMap::new();
        for (path, mounted) in &self.mounts {
            let (read, _) = keep::read(session, mounted, path, 0)
                .await
                .map_err(|error| CliError::new(error.exit, format!("{path}: {}", error.message)))?;
            let fields = read.fields.ok_or_else(|| {
                CliError::new(Exit::Server, format!("the newest version of {path} is deleted"))
            })?;
            known.insert(path.clone(), Wiped(fields));
        }
        let texts = |known: &BTreeMap<String, Wiped>| {
            known
                .iter()
                .flat_map(|(path, fields)| {
                    let path = path.clone();
                    fields
                        .0
                        .iter()
                        .map(move |(name, value)| (path.clone(), name.clone(), value.get().to_owned()))
                })
                .collect::<Vec<_>>()
        };
        let is_other = known.len() != self.known.len() || texts(&known) != texts(&self.known);
        self.known = known;
        Ok(is_other)
    }

    /// A field of a secret, or all of them as JSON; none: it is not there.
    pub(super) fn value(&self, path: &str, field: Option<&str>) -> Option<Zeroizing<String>> {
        let fields = &self.known.get(path)?.0;
        match field {
            Some(field) => fields.get(field).map(|value| show::plain(value)),
            None => serde_json::to_string(fields).ok().map(Zeroizing::new),
        }
    }

    /// The same, or what is missing.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn wanted(&self, path: &str, field: Option<&str>) -> Result<Zeroizing<String>, CliError> {
        self.value(path, field).ok_or_else(|| {
            let field = field.unwrap_or_default();
            CliError::new(Exit::Server, format!("{path} has no field {field:?}"))
        })
    }
}
