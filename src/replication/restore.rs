//! Makes the data folder of a member of a new cluster whose store is not empty at first.
//!
//! Every member begins with the same state, and with the initial members as what the log said at [`FIRST_INDEX`]. The log
//! goes on behind that, so a member that was started with an empty folder instead cannot follow it from its own beginning:
//! it gets a snapshot of the others, and never differs from them. The folder is made under another name and takes its own
//! when it is whole. Never touches a folder that holds something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use super::identity::{DataFolder, Identity};
use super::interface::{PeerMember, StartError};
use super::snapshot::{create_first_state, sync_folder};
use super::start::open_state;
use super::types::{LeaderId, LogId, Membership, Node, encode_position, membership_to_wire};
use crate::base::{ClusterId, MemberId, clock};
use crate::state::AppliedPosition;
use crate::storage::{Engine, StorageError};

/// The index of the entry that the new members take for applied. A cluster that forms itself begins at 0: this must be
/// another one.
const FIRST_INDEX: u64 = 1;

/// Who wrote that entry: nobody, in the first term. A member that was started with an empty folder has an entry of term 0,
/// which is older, so those that were restored do not vote for it; any leader of this term is newer.
const FIRST_LEADER: LeaderId = LeaderId { term: 1, node_id: 0 };

/// A member of a new cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMember {
    /// Who it is.
    pub member: MemberId,
    /// The cluster it will belong to.
    pub cluster: ClusterId,
    /// The members the cluster begins with, itself among them.
    pub initial_members: Vec<PeerMember>,
}

/// A folder that is removed unless it was kept.
struct Unfinished {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // What fails here leaves a folder of a name that nobody uses; the error that counts is the first.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes the data folder of `member`: `fill` gets an empty engine for the state, and the position that the state must say
/// it is at.
///
/// # Errors
/// The folder holds something or cannot be written, or `fill` failed. Nothing is left behind then.
pub fn create_member<T, Error: From<StartError>>(
    data_folder: &Path,
    member: &NewMember,
    fill: impl FnOnce(Arc<dyn Engine>, AppliedPosition) -> Result<T, Error>,
) -> Result<T, Error> {
    let refuse = |reason: String| StartError::DataFolder {
        folder: data_folder.display().to_string(),
        reason,
    };
    let is_free = match fs::read_dir(data_folder) {
        Ok(mut items) => items.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(refuse(format!("cannot read it: {error}")).into()),
    };
    if !is_free {
        return Err(refuse("it is not empty; name a folder that is not there yet".to_owned()).into());
    }
    let name = data_folder
        .file_name()
        .ok_or_else(|| refuse("it has no name".to_owned()))?;
    let parent = match data_folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut part_name = name.to_owned();
    part_name.push(format!(".part-{:016x}", clock::random_u64()));
    let mut unfinished = Unfinished {
        path: parent.join(part_name),
        is_kept: false,
    };
    let filled = fill_folder(&unfinished.path, member, fill)?;
    let finish = || -> std::io::Result<()> {
        fs::rename(&unfinished.path, data_folder)?;
        fs::File::open(parent)?.sync_all()
    };
    finish().map_err(|error| refuse(format!("cannot create it: {error}")))?;
    unfinished.is_kept = true;
    Ok(filled)
}

fn fill_folder<T, Error: From<StartError>>(
    folder: &Path,
    member: &NewMember,
    fill: impl FnOnce(Arc<dyn Engine>, AppliedPosition) -> Result<T, Error>,
) -> Result<T, Error> {
    let own = member
        .initial_members
        .iter()
        .find(|known| known.id == member.member);
    let name = own.map_or_else(String::new, |known| known.name.clone());
    let mut claimed = DataFolder::take(folder)?;
    claimed.claim(Identity::new(member.cluster, member.member, name, false))?;
    let state = create_first_state(folder).map_err(StartError::from)?;
    let engine = open_state(&state).map_err(StartError::from)?;
    let filled = fill(engine, first_position(member)?)?;
    sync_folder(folder).map_err(StartError::from)?;
    Ok(filled)
}

fn first_position(member: &NewMember) -> Result<AppliedPosition, StartError> {
    let nodes: BTreeMap<u64, Node> = member
        .initial_members
        .iter()
        .map(|member| (member.id.0, member.into()))
        .collect();
    let voters: BTreeSet<u64> = nodes.keys().copied().collect();
    let membership = Membership::new(vec![voters], nodes).map_err(|error| {
        StartError::Storage(StorageError::Corrupt {
            what: "membership",
            reason: error.to_string(),
        })
    })?;
    let position = encode_position(&LogId::new(FIRST_LEADER, FIRST_INDEX));
    Ok(AppliedPosition {
        index: Some(FIRST_INDEX),
        position: Some(position.clone()),
        membership: Some((position, membership_to_wire(&membership).encode_to_vec().into())),
    })
}
