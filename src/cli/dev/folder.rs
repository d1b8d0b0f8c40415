//! The folder of a local cluster. A marker in it says that it is one, and of which ports.
//!
//! Never empties or uses a folder without the marker, unless it is empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::CliError;

/// The name of the marker.
const MARKER: &str = "stead-dev.json";

/// The layout of the marker.
const FORMAT: u32 = 1;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Marker {
    format: u32,
    /// The client ports of its nodes: the ids of members are computed from their addresses.
    client_ports: Vec<u16>,
}

/// A folder that belongs to a local cluster.
#[derive(Debug)]
pub(super) struct DevFolder {
    path: PathBuf,
}

impl DevFolder {
    /// Opens the folder for a cluster on these ports; makes it if it is not there, empties it first if `fresh`.
    ///
    /// # Errors
    /// It belongs to something else or to a cluster on other ports, or cannot be written.
    pub(super) fn open(path: &Path, client_ports: &[u16], fresh: bool) -> Result<Self, CliError> {
        let failed = |error: io::Error| {
            CliError::failure(format!(
                "cannot use the folder {}: {error}; choose another with --data-dir",
                path.display()
            ))
        };
        fs::create_dir_all(path).map_err(failed)?;
        let marker_path = path.join(MARKER);
        let is_empty = fs::read_dir(path).map_err(failed)?.next().is_none();
        if !is_empty && !marker_path.is_file() {
            return Err(CliError::failure(format!(
                "the folder {} is not empty and was not made by `stead dev`: nothing in it is touched; choose another with \
                 --data-dir",
                path.display()
            )));
        }
        if fresh {
            fs::remove_dir_all(path).map_err(failed)?;
            fs::create_dir_all(path).map_err(failed)?;
        }
        let wanted = Marker {
            format: FORMAT,
            client_ports: client_ports.to_vec(),
        };
        if fresh || is_empty {
            let text = serde_json::to_vec(&wanted).map_err(|error| failed(error.into()))?;
            fs::write(&marker_path, text).map_err(failed)?;
        } else {
            let text = fs::read(&marker_path).map_err(failed)?;
            let found: Option<Marker> = serde_json::from_slice(&text).ok();
            if found.as_ref() != Some(&wanted) {
                let ports = found.map_or_else(
                    || "unknown ports".to_owned(),
                    |marker| {
                        format!(
                            "{} nodes on the ports {:?}",
                            marker.client_ports.len(),
                            marker.client_ports
                        )
                    },
                );
                return Err(CliError::failure(format!(
                    "the folder {} holds a cluster of {ports}, not of {} on {client_ports:?}: start it with the same --nodes \
                     and --base-port, or give it up with --fresh",
                    path.display(),
                    client_ports.len()
                )));
            }
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_cluster_until_it_is_given_up() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("stead-dev");
        DevFolder::open(&path, &[1, 2, 3], false).unwrap();
        fs::write(path.join("data"), "1").unwrap();
        DevFolder::open(&path, &[1, 2, 3], false).unwrap();
        assert!(path.join("data").exists());
        let error = DevFolder::open(&path, &[1], false).unwrap_err();
        assert!(
            error.message.contains("3 nodes on the ports [1, 2, 3]"),
            "{error}"
        );
        assert!(error.message.contains("--fresh"), "{error}");
        DevFolder::open(&path, &[1], true).unwrap();
        assert!(!path.join("data").exists());
        DevFolder::open(&path, &[1], false).unwrap();
    }

    #[test]
    fn a_folder_of_something_else_is_never_touched() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("letter"), "dear").unwrap();
        for fresh in [false, true] {
            let error = DevFolder::open(parent.path(), &[1], fresh).unwrap_err();
            assert!(error.message.contains("not made by `stead dev`"), "{error}");
        }
        assert_eq!(fs::read_to_string(parent.path().join("letter")).unwrap(), "dear");
    }
}
