//! The secret store of a local cluster: initialized at its first start, unsealed at every start by a key in the folder.
//!
//! As safe as the folder: it is made to try things out. Never shows the keys more than once.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::base::clock;
use crate::cli::exit::CliError;
use crate::client::{Client, Secrets};
use crate::proto::secrets::{InitializeRequest, InitializeResponse, SealStatusRequest};

/// The name of the file with the key that unseals the nodes.
const KEY_FILE: &str = "secrets-seal.key";

/// The name of the file with the first token.
const TOKEN_FILE: &str = "root-token";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// The file with the key that unseals the nodes; made if it is not there, for its user alone.
///
/// # Errors
/// It cannot be written.
pub(super) fn key_file(folder: &Path) -> Result<PathBuf, CliError> {
    let path = folder.join(KEY_FILE);
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    let drawn = clock::fill_from_system(&mut *key);
    match drawn.and_then(|()| write_once(&path, &*key)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot_write(&path, &error)),
        _ => Ok(path),
    }
}

/// Writes a file that is not there yet, for its user alone.
fn write_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    CliError::failure(format!("cannot write {}: {error}", path.display()))
}

/// Initializes the store unless that was done, mounts a store of versions at `secret/`, shows the keys, and keeps the token in
/// the folder.
///
/// # Errors
/// The cluster refused it.
pub(super) async fn initialize(client: &Client, folder: &Path) -> Result<(), CliError> {
    let status = client
        .read(|node| async move { node.seal().status(SealStatusRequest {}).await })
        .await?;
    if status.is_initialized {
        return Ok(());
    }
    let request = InitializeRequest {
        shares: 1,
        threshold: 1,
    };
    let made = client
        .write(|node| async move { node.seal().initialize(request).await })
        .await?;
    // Shown first: whatever fails after it, the keys are not lost.
    show(&made)?;
    let path = folder.join(TOKEN_FILE);
    write_once(&path, made.root_token.as_bytes()).map_err(|error| cannot_write(&path, &error))?;
    let secrets = Secrets::of(client.clone(), Some(&made.root_token))?;
    let mount = r#"{"type": "kv", "options": {"version": "2"}, "description": "to try things out"}"#;
    secrets.write("sys/mounts/secret", mount).await?;
    Ok(())
}

fn show(made: &InitializeResponse) -> io::Result<()> {
    let share = made.shares.first().map(|share| STANDARD.encode(share));
    writeln!(
        io::stderr(),
        "The secret store is initialized; these are shown once:\n\n  \
         unseal share  {}\n  \
         root token    {}\n\n  \
         export STEAD_TOKEN={}\n",
        share.unwrap_or_default(),
        made.root_token,
        made.root_token
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_of_a_folder_is_made_once_and_for_its_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = key_file(folder.path()).unwrap();
        let key = fs::read(&path).unwrap();
        assert_eq!(key.len(), KEY_BYTES);
        assert_ne!(key, [0; KEY_BYTES]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(key_file(folder.path()).unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), key, "it is not another the next time");
    }
}
