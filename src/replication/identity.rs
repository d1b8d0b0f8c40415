//! Whose data folder it is: the file `identity`, and a lock so that two processes never use one folder.
//!
//! The file is written before anything else and never for another member or cluster. It says `opening` until log and
//! state exist, then `complete`: a complete folder that lacks one of them was copied in part, and is refused. Never
//! deletes or repairs anything.

use std::fs::{self, File};
use std::path::Path;

use super::interface::{PeerMember, Settings, StartError};
use super::restore::NewMember;
use super::snapshot::replace_file;
use crate::base::{ClusterId, MemberId};

/// The folder of the log database, in the data folder.
pub const LOG_FOLDER: &str = "log";
const CURRENT_FILE: &str = "current";
const IDENTITY_FILE: &str = "identity";
const LOCK_FILE: &str = "lock";
/// Format of the data folder as a whole.
const FOLDER_FORMAT: u32 = 1;

/// A data folder that this process may use. The lock is held as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    _lock: File,
    identity: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    format: u32,
    cluster: u64,
    member: u64,
    name: String,
    is_complete: bool,
}

impl Identity {
    /// Of a folder that does not hold everything yet.
    fn new(cluster: ClusterId, member: MemberId, members: &[PeerMember]) -> Self {
        Self {
            format: FOLDER_FORMAT,
            cluster: cluster.0,
            member: member.0,
            name: members
                .iter()
                .find(|known| known.id == member)
                .map_or_else(String::new, |known| known.name.clone()),
            is_complete: false,
        }
    }

    fn encode(&self) -> String {
        let phase = if self.is_complete { "complete" } else { "opening" };
        format!(
            "format {}\ncluster {:x}\nmember {:x}\nname {}\nphase {phase}\n",
            self.format, self.cluster, self.member, self.name
        )
    }

    fn decode(text: &str) -> Result<Self, String> {
        let field = |name: &str| -> Result<&str, String> {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .ok_or_else(|| format!("the file {IDENTITY_FILE} has no line {name:?}"))
        };
        let number = |name: &str| -> Result<u64, String> {
            u64::from_str_radix(field(name)?, 16)
                .map_err(|error| format!("the file {IDENTITY_FILE} has a bad {name}: {error}"))
        };
        let format: u32 = field("format")?
            .parse()
            .map_err(|error| format!("the file {IDENTITY_FILE} has a bad format: {error}"))?;
        if format != FOLDER_FORMAT {
            return Err(format!(
                "it has format {format}, this version of stead reads format {FOLDER_FORMAT}; run the version that wrote it"
            ));
        }
        Ok(Self {
            format,
            cluster: number("cluster")?,
            member: number("member")?,
            name: field("name").unwrap_or_default().to_owned(),
            is_complete: field("phase")? == "complete",
        })
    }
}

impl DataFolder {
    /// Takes the folder for this member: creates it, or checks that it is this member's and whole.
    ///
    /// # Errors
    /// It cannot be read or written, is in use, belongs to somebody else, is of another format, or lacks a part.
    pub fn take(settings: &Settings) -> Result<Self, StartError> {
        let folder = settings.data_folder.as_path();
        let refuse = |reason: String| StartError::DataFolder {
            folder: folder.display().to_string(),
            reason,
        };
        create_private_folder(folder).map_err(|error| {
            refuse(format!(
                "cannot create it: {error}; create it, or name another one"
            ))
        })?;
        let lock = take_lock(folder).map_err(refuse)?;
        let wanted = Identity::new(settings.cluster, settings.member, &settings.initial_members);
        let identity = match fs::read_to_string(folder.join(IDENTITY_FILE)) {
            Ok(text) => {
                let found = Identity::decode(&text).map_err(refuse)?;
                check_owner(&found, &wanted).map_err(refuse)?;
                check_parts(folder, &found).map_err(refuse)?;
                found
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if folder.join(LOG_FOLDER).exists() || folder.join(CURRENT_FILE).exists() {
                    return Err(refuse(format!(
                        "it holds data but no file {IDENTITY_FILE}: it was copied in part; restore all of it, or start \
                         with an empty folder as a new member"
                    )));
                }
                replace_file(folder, IDENTITY_FILE, wanted.encode().as_bytes())?;
                wanted
            }
            Err(error) => return Err(refuse(format!("cannot read the file {IDENTITY_FILE}: {error}"))),
        };
        Ok(Self {
            _lock: lock,
            identity,
        })
    }

    /// Log and state are there now: from here on a folder that lacks one of them is refused.
    ///
    /// # Errors
    /// The disk failed.
    pub fn set_complete(&mut self, folder: &Path) -> Result<(), StartError> {
        if !self.identity.is_complete {
            self.identity.is_complete = true;
            replace_file(folder, IDENTITY_FILE, self.identity.encode().as_bytes())?;
        }
        Ok(())
    }
}

/// Creates the folder of a member of a new cluster, to be filled.
///
/// # Errors
/// It is there already, or the disk failed.
pub fn create(folder: &Path, member: &NewMember) -> Result<(), StartError> {
    let refuse = |error: std::io::Error| StartError::DataFolder {
        folder: folder.display().to_string(),
        reason: format!("cannot create it: {error}; create its parent, or name another one"),
    };
    create_private_folder(folder).map_err(refuse)?;
    let identity = Identity::new(member.cluster, member.member, &member.initial_members);
    Ok(replace_file(folder, IDENTITY_FILE, identity.encode().as_bytes())?)
}

fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn take_lock(folder: &Path) -> Result<File, String> {
    let path = folder.join(LOCK_FILE);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| {
            format!(
                "cannot write {}: {error}; give this user write access to it",
                path.display()
            )
        })?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            Err("another process uses it; stop that one, or name another folder".to_owned())
        }
        Err(fs::TryLockError::Error(error)) => Err(format!("cannot lock {}: {error}", path.display())),
    }
}

fn check_owner(found: &Identity, wanted: &Identity) -> Result<(), String> {
    if found.cluster != wanted.cluster {
        return Err(format!(
            "it belongs to cluster {:x}, this node was started for cluster {:x}; check the initial cluster and its token, \
             or name another folder",
            found.cluster, wanted.cluster
        ));
    }
    if found.member != wanted.member {
        return Err(format!(
            "it belongs to member {:x} ({}), this node was started as member {:x} ({}); name that member's own folder",
            found.member, found.name, wanted.member, wanted.name
        ));
    }
    Ok(())
}

fn check_parts(folder: &Path, found: &Identity) -> Result<(), String> {
    let missing = [LOG_FOLDER, CURRENT_FILE]
        .into_iter()
        .find(|part| !folder.join(part).exists());
    match missing {
        Some(part) if found.is_complete => Err(format!(
            "its {part:?} is missing: it was copied in part; restore all of it, or remove this member from the cluster \
             and add it as a new one with an empty folder"
        )),
        Some(_) | None => Ok(()),
    }
}
