//! Whose data folder it is: the file `identity`, and a lock so that two processes never use one folder.
//!
//! The file is written before anything else and never for another member or cluster: from then on it alone says who this
//! node is, as in etcd, whatever the flags say. It says `opening` until log and state exist, then `complete`: a complete
//! folder that lacks one of them was copied in part, and is refused. A folder that says `removed` is refused for good.
//! Never deletes or repairs anything.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::interface::StartError;
use super::snapshot::replace_file;
use crate::base::{ClusterId, MemberId};

/// The folder of the log database, in the data folder.
pub const LOG_FOLDER: &str = "log";
const CURRENT_FILE: &str = "current";
/// The file that says whose the folder is.
pub const IDENTITY_FILE: &str = "identity";
const LOCK_FILE: &str = "lock";
/// Format of the data folder as a whole.
const FOLDER_FORMAT: u32 = 1;

/// A data folder that this process may use. The lock is held as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
    identity: Option<Identity>,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub member: MemberId,
    /// The name it had when the folder was made, for people who look at it.
    pub name: String,
    /// Whether it joined a cluster that was there, and so never forms one.
    pub has_joined: bool,
    phase: Phase,
}

/// How far the life of a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Complete,
    Removed,
}

impl Phase {
    const ALL: [(&str, Self); 3] = [
        ("opening", Self::Opening),
        ("complete", Self::Complete),
        ("removed", Self::Removed),
    ];
}

impl Identity {
    /// Who a node is that starts for the first time.
    #[must_use]
    pub fn new(cluster: ClusterId, member: MemberId, name: String, has_joined: bool) -> Self {
        Self {
            cluster,
            member,
            name,
            has_joined,
            phase: Phase::Opening,
        }
    }

    pub fn encode(&self) -> String {
        let phase = Phase::ALL.iter().find(|(_, phase)| *phase == self.phase);
        let phase = phase.map_or("", |(name, _)| name);
        let origin = if self.has_joined { "joined" } else { "formed" };
        format!(
            "format {FOLDER_FORMAT}\ncluster {}\nmember {}\nname {}\norigin {origin}\nphase {phase}\n",
            self.cluster, self.member, self.name
        )
    }

    pub fn decode(text: &str) -> Result<Self, String> {
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
        let found = field("phase")?;
        let phase = Phase::ALL.iter().find(|(name, _)| *name == found);
        let (_, phase) =
            phase.ok_or_else(|| format!("the file {IDENTITY_FILE} has the bad phase {found:?}"))?;
        Ok(Self {
            cluster: ClusterId(number("cluster")?),
            member: MemberId(number("member")?),
            name: field("name").unwrap_or_default().to_owned(),
            // Folders from before members could join have no such line.
            has_joined: field("origin").is_ok_and(|origin| origin == "joined"),
            phase: *phase,
        })
    }
}

impl DataFolder {
    /// Takes the folder: creates it, or checks that it is whole.
    ///
    /// # Errors
    /// It cannot be read or written, is in use, is of another format, lacks a part, or its member was removed.
    pub fn take(folder: &Path) -> Result<Self, StartError> {
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
        let identity = match fs::read_to_string(folder.join(IDENTITY_FILE)) {
            Ok(text) => {
                let found = Identity::decode(&text).map_err(refuse)?;
                if found.phase == Phase::Removed {
                    return Err(refuse(removed_reason(found.member)));
                }
                check_parts(folder, &found).map_err(refuse)?;
                Some(found)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if folder.join(LOG_FOLDER).exists() || folder.join(CURRENT_FILE).exists() {
                    return Err(refuse(format!(
                        "it holds data but no file {IDENTITY_FILE}: it was copied in part; restore all of it, or start \
                         with an empty folder as a new member"
                    )));
                }
                None
            }
            Err(error) => return Err(refuse(format!("cannot read the file {IDENTITY_FILE}: {error}"))),
        };
        Ok(Self {
            path: folder.to_path_buf(),
            _lock: lock,
            identity,
        })
    }

    /// Whose folder it is; none: nobody's yet.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// Makes the folder that of `identity`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn claim(&mut self, identity: Identity) -> Result<(), StartError> {
        replace_file(&self.path, IDENTITY_FILE, identity.encode().as_bytes())?;
        self.identity = Some(identity);
        Ok(())
    }

    /// The member was removed from its cluster: the folder is refused from now on. Says so.
    ///
    /// # Errors
    /// The disk failed.
    pub fn set_removed(&self) -> Result<String, StartError> {
        let Some(identity) = &self.identity else {
            return Ok(String::new());
        };
        let removed = Identity {
            phase: Phase::Removed,
            ..identity.clone()
        };
        replace_file(&self.path, IDENTITY_FILE, removed.encode().as_bytes())?;
        Ok(removed_reason(identity.member))
    }

    /// Log and state are there now: from here on a folder that lacks one of them is refused.
    ///
    /// # Errors
    /// The disk failed.
    pub fn set_complete(&mut self) -> Result<(), StartError> {
        match self.identity.clone() {
            Some(identity) if identity.phase == Phase::Opening => self.claim(Identity {
                phase: Phase::Complete,
                ..identity
            }),
            Some(_) | None => Ok(()),
        }
    }
}

fn removed_reason(member: MemberId) -> String {
    format!(
        "member {member} has been permanently removed from the cluster; to use this machine again, add a member and start it \
         with an empty folder and --initial-cluster-state=existing"
    )
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

fn check_parts(folder: &Path, found: &Identity) -> Result<(), String> {
    let missing = [LOG_FOLDER, CURRENT_FILE]
        .into_iter()
        .find(|part| !folder.join(part).exists());
    match missing {
        Some(part) if found.phase == Phase::Complete => Err(format!(
            "its {part:?} is missing: it was copied in part; restore all of it, or remove this member from the cluster \
             and add it as a new one with an empty folder"
        )),
        Some(_) | None => Ok(()),
    }
}
