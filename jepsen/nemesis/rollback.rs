//! All nodes are killed and all disks go back to an earlier state, as after a loss of power when nothing was synced. No
//! store can keep its promises then: this is only for showing that the harness finds broken ones.

use std::fs;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use tempfile::TempDir;

use super::kill::KillAll;
use super::{Fault, Nemesis};
use crate::cluster::Cluster;
use crate::support::Result;

/// Takes a copy of all disks at its first fault and puts it back at the later ones.
pub struct Rollback {
    copies: Mutex<Option<TempDir>>,
}

impl Rollback {
    /// A nemesis that has no copy yet.
    pub fn new() -> Self {
        Self {
            copies: Mutex::new(None),
        }
    }

    fn copy_or_put_back(&self, directories: &[PathBuf]) -> std::io::Result<&'static str> {
        let mut copies = self.copies.lock();
        if let Some(copies) = copies.as_ref() {
            for (node, directory) in directories.iter().enumerate() {
                fs::remove_dir_all(directory)?;
                copy_directory(&copies.path().join(node.to_string()), directory)?;
            }
            return Ok("rollback");
        }
        let fresh = tempfile::tempdir()?;
        for (node, directory) in directories.iter().enumerate() {
            copy_directory(directory, &fresh.path().join(node.to_string()))?;
        }
        *copies = Some(fresh);
        Ok("copy")
    }
}

impl Nemesis for Rollback {
    fn name(&self) -> &'static str {
        "rollback"
    }

    fn summary(&self) -> &'static str {
        "all nodes are killed and their disks go back to an earlier state: no store survives this"
    }

    fn begin<'a>(
        &'a self,
        cluster: &'a Cluster,
        random: &'a mut StdRng,
    ) -> BoxFuture<'a, Result<Option<Fault>>> {
        Box::pin(async move {
            let Some(fault) = KillAll.begin(cluster, random).await? else {
                return Ok(None);
            };
            let name = self.copy_or_put_back(cluster.data_directories())?;
            Ok(Some(Fault { name, ..fault }))
        })
    }
}

fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_directory(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    // A server may insist on who can read its directory.
    fs::set_permissions(to, fs::metadata(from)?.permissions())
}
