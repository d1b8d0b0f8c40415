//! What is mounted where: one record with all mounts, of secrets and of logins.
//!
//! Some mounts are always there and cannot be moved or taken away. No mount lies below another. Never knows what an engine
//! does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::engine::storage::{decode, encode};
use super::engine::{Fault, Mount, Tuning};
use super::randomness::Randomness;
use super::store::Draft;
use crate::base::limits::MAXIMUM_SECRET_MOUNTS;

/// Where the table is.
const TABLE: &str = "core/mounts";

/// Digits of its id by which the directory of a mount is called: as many as fill one block of a sealed name.
const DIRECTORY_DIGITS: usize = 15;

/// Where it is written down that the storage of a mount that was taken away is to be removed.
pub const UNMOUNTED: &str = "unmounted";

/// The beginning of the paths of logins.
pub const AUTH: &str = "auth/";

/// All mounts, by path: those of logins begin with `auth/`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Mounts(BTreeMap<String, Mount>);

/// Mounts that are always there: path, kind and description.
const FIXED: [(&str, &str, &str); 4] = [
    ("auth/token/", "token", "token based credentials"),
    ("cubbyhole/", "cubbyhole", "per-token private secret storage"),
    ("identity/", "identity", "identity store"),
    (
        "sys/",
        "system",
        "system endpoints used for control, policy and debugging",
    ),
];

impl Mounts {
    /// What a new store has.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(randomness: &mut dyn Randomness) -> Result<Self, Fault> {
        let mut mounts = Self::default();
        for (path, kind, description) in FIXED {
            let mount = new_mount(path, kind, randomness)?;
            let mount = Mount {
                description: description.to_owned(),
                ..mount
            };
            mounts.0.insert(path.to_owned(), mount);
        }
        Ok(mounts)
    }

    /// Those of a draft.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(draft: &mut Draft) -> Result<Arc<Self>, Fault> {
        let mounts = draft.table(TABLE, decode)?;
        mounts.ok_or_else(|| Fault::Internal("the table of mounts is missing".to_owned()))
    }

    /// Writes them.
    ///
    /// # Errors
    /// They cannot be encoded.
    pub fn write(&self, draft: &mut Draft) -> Result<(), Fault> {
        draft.put_table(TABLE, encode(self)?)
    }

    /// The mount that a path is of.
    #[must_use]
    pub fn owner(&self, path: &str) -> Option<&Mount> {
        // Mounts do not lie in each other: none is between the one that holds a path and the path.
        let before = self
            .0
            .range::<str, _>((Bound::Unbounded, Bound::Included(path)))
            .next_back();
        let holds = before.filter(|(mounted, _)| path.starts_with(mounted.as_str()));
        match holds {
            Some((_, mount)) => Some(mount),
            None => self.0.get(&format!("{path}/")),
        }
    }

    /// The mount of that very path, with a slash at its end.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Mount> {
        self.0.get(path)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Mount> {
        self.0.get_mut(path)
    }

    /// All mounts, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.values()
    }

    /// Those of logins.
    pub fn logins(&self) -> impl Iterator<Item = &Mount> {
        self.iter().filter(|mount| mount.path.starts_with(AUTH))
    }

    /// Those of secrets.
    pub fn secrets(&self) -> impl Iterator<Item = &Mount> {
        self.iter().filter(|mount| !mount.path.starts_with(AUTH))
    }

    /// Adds a mount.
    ///
    /// # Errors
    /// Another is there, above or below; or there are too many.
    pub fn add(&mut self, mount: Mount) -> Result<(), Fault> {
        self.check_free(&mount.path)?;
        if self.0.len() >= MAXIMUM_SECRET_MOUNTS {
            return Err(Fault::Invalid(format!(
                "there are {MAXIMUM_SECRET_MOUNTS} mounts, the most; disable one first"
            )));
        }
        self.0.insert(mount.path.clone(), mount);
        Ok(())
    }

    fn check_free(&self, path: &str) -> Result<(), Fault> {
        let taken = self
            .0
            .keys()
            .find(|mounted| mounted.starts_with(path) || path.starts_with(mounted.as_str()));
        match taken {
            Some(taken) => Err(Fault::Invalid(format!("path is already in use at {taken}"))),
            None => Ok(()),
        }
    }

    /// Takes a mount away; none: there was none.
    ///
    /// # Errors
    /// It is always there.
    pub fn remove(&mut self, path: &str) -> Result<Option<Mount>, Fault> {
        check_movable(path)?;
        Ok(self.0.remove(path))
    }

    /// Moves a mount.
    ///
    /// # Errors
    /// There is none, it is always there, or another is where it is to be.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        check_movable(from)?;
        check_path(to)?;
        if from.starts_with(AUTH) != to.starts_with(AUTH) {
            return Err(Fault::Invalid(format!(
                "cannot move {from} to {to}: secrets stay secrets and logins stay below auth/"
            )));
        }
        let Some(mut mount) = self.0.remove(from) else {
            return Err(Fault::Invalid(format!("no matching mount at {from:?}")));
        };
        if let Err(taken) = self.check_free(to) {
            self.0.insert(from.to_owned(), mount);
            return Err(taken);
        }
        mount.path = to.to_owned();
        self.0.insert(to.to_owned(), mount);
        Ok(())
    }
}

/// A mount with new ids.
///
/// # Errors
/// There is no randomness.
pub fn new_mount(path: &str, kind: &str, randomness: &mut dyn Randomness) -> Result<Mount, Fault> {
    let mut random = [0; 16];
    randomness.fill(&mut random)?;
    let uuid = uuid::Builder::from_random_bytes(random).into_uuid();
    let mut suffix = [0; 4];
    randomness.fill(&mut suffix)?;
    let method = if path.starts_with(AUTH) { "auth_" } else { "" };
    Ok(Mount {
        path: path.to_owned(),
        kind: kind.to_owned(),
        description: String::new(),
        uuid: uuid.to_string(),
        accessor: format!("{method}{kind}_{:08x}", u32::from_be_bytes(suffix)),
        options: BTreeMap::new(),
        local: false,
        seal_wrap: kind == "system" || kind == "identity",
        tuning: Tuning::default(),
    })
}

/// The directory in which a mount stores, beside those of the store itself, which are called by words. Its name is in that
/// of every record below it, and therefore short: the last digits of the id, from the last on. They are 60 random bits.
#[must_use]
pub fn directory(uuid: &str) -> String {
    let digits = uuid.chars().rev().filter(|digit| *digit != '-');
    digits.take(DIRECTORY_DIGITS).collect()
}

fn check_movable(path: &str) -> Result<(), Fault> {
    if FIXED.iter().any(|(fixed, _, _)| *fixed == path) {
        return Err(Fault::Invalid(format!(
            "cannot unmount or move {path:?}: it is always there"
        )));
    }
    Ok(())
}

/// Whether something may be mounted at a path, which ends with a slash.
///
/// # Errors
/// Why not.
pub fn check_path(path: &str) -> Result<(), Fault> {
    let wrong = |why: &str| Err(Fault::Invalid(format!("cannot mount at {path:?}: {why}")));
    match path {
        "" | "/" | "auth/" => wrong("a mount needs a name"),
        _ if path.contains("//") || path.starts_with('/') => wrong("it has an empty segment"),
        _ if path.contains(['*', '+']) => wrong("it has a wildcard of policies"),
        _ => Ok(()),
    }
}
