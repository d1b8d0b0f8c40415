//! `stead snapshot`: saving a store as a file, saying what a file holds, and making the data folders of a new cluster from
//! one. The file is etcd's: what `etcdctl snapshot save` made is restored as well, and etcd's tools take what is saved here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Streaming;

use super::exit::{CliError, Exit};
use super::output::{Format, size};
use super::transfer::part_of;
use crate::client::{Client, ClientError};
use crate::config::{self, Invocation, ServerConfig};
use crate::proto::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use crate::replication::NewMember;
use crate::service::snapshot::{self, SnapshotError, SnapshotFile, Summary};
use crate::storage::StorageError;

/// The arguments of `stead snapshot`.
#[derive(Debug, Clone, Args)]
pub(super) struct Snapshot {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum SnapshotCommand {
    /// Write all of a store into a file, as one endpoint has it
    #[command(
        after_help = "Examples:\n  stead snapshot save backup.db\n  stead snapshot save backup.db --endpoints 127.0.0.1:22379"
    )]
    Save {
        /// The file to write
        file: PathBuf,
    },
    /// Show what a snapshot file holds: hash, revision, number of items, size
    #[command(
        after_help = "Examples:\n  stead snapshot status backup.db\n  stead snapshot status backup.db -o json"
    )]
    Status {
        /// The file
        file: PathBuf,
        /// Take a file without a checksum: a copy of the database of an etcd that was stopped
        #[arg(long)]
        skip_hash_check: bool,
    },
    /// Make the data folder of a member of a new cluster from a snapshot of stead or etcd; once for each member
    #[command(
        visible_alias = "import",
        after_help = "Examples:
  stead snapshot restore backup.db --name n1 --data-dir n1 \\
    --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380 \\
    --initial-advertise-peer-urls http://10.0.0.1:2380
  stead snapshot restore backup.db --bump-revision 1000000000 --mark-compacted
  stead snapshot import /var/lib/etcd/member/snap/db --skip-hash-check"
    )]
    Restore(Restore),
}

#[derive(Debug, Clone, Args)]
struct Restore {
    /// The file
    file: PathBuf,
    /// Name of this member, as in --initial-cluster
    #[arg(long, default_value = "default")]
    name: String,
    /// Folder to create; ${name}.etcd if not given
    #[arg(long)]
    data_dir: Option<String>,
    /// All members of the new cluster: name=http://host:port,...; this member alone if not given
    #[arg(long)]
    initial_cluster: Option<String>,
    /// Makes the ids of clusters with equal addresses differ
    #[arg(long, default_value = "etcd-cluster")]
    initial_cluster_token: String,
    /// Where other members find this member
    #[arg(long, default_value = "http://localhost:2380")]
    initial_advertise_peer_urls: String,
    /// Raise the revision by this much, so that nobody takes one of the new cluster for one of the old; needs --mark-compacted
    #[arg(long)]
    bump_revision: Option<u64>,
    /// Forget the history before the raised revision, so that whoever watched the old cluster starts anew
    #[arg(long)]
    mark_compacted: bool,
    /// Take a file without a checksum: a copy of the database of an etcd that was stopped
    #[arg(long)]
    skip_hash_check: bool,
    /// Folder of etcd's log: log and state share --data-dir here
    #[arg(long, hide = true)]
    wal_dir: Option<String>,
    /// Most memory of etcd's database: none is needed here
    #[arg(long, hide = true)]
    initial_memory_map_size: Option<u64>,
}

impl Snapshot {
    /// Does what is asked for. Only `save` asks a server.
    ///
    /// # Errors
    /// The call failed, the file cannot be used, or the folder cannot be made.
    pub(super) async fn run(
        &self,
        client: impl FnOnce() -> Result<Client, CliError>,
        format: Format,
    ) -> Result<(), CliError> {
        match &self.command {
            SnapshotCommand::Save { file } => save(&client()?, file, format).await,
            SnapshotCommand::Status {
                file,
                skip_hash_check,
            } => status(file, *skip_hash_check, format),
            SnapshotCommand::Restore(restore) => restore.run(format),
        }
    }
}

/// Writes the snapshot under another name first: a file under its own name is whole.
async fn save(client: &Client, path: &Path, format: Format) -> Result<(), CliError> {
    let pieces = client
        .read(|node| async move { node.maintenance().snapshot(SnapshotRequest {}).await })
        .await?;
    let part = part_of(path);
    let saved = save_part(pieces, &part, path).await;
    let summary = match saved {
        Ok(summary) => summary,
        Err(error) => {
            // What is left of a snapshot that failed is of no use; the error that counts is the first.
            let _ = fs::remove_file(&part);
            return Err(error);
        }
    };
    let file = path.display();
    let text = if format.is_etcdctl() {
        format!("Snapshot saved at {file}")
    } else {
        format!("saved revision {} to {file}", summary.revision)
    };
    format.note(
        &text,
        || json!({"file": file.to_string(), "revision": summary.revision}),
    )
}

async fn save_part(
    mut pieces: Streaming<SnapshotResponse>,
    part: &Path,
    path: &Path,
) -> Result<Summary, CliError> {
    let failed = |error: io::Error| {
        CliError::failure(format!(
            "cannot write {}: {error}; check the path",
            part.display()
        ))
    };
    let mut out = BufWriter::new(File::create(part).map_err(failed)?);
    while let Some(piece) = pieces.message().await.map_err(ClientError::Refused)? {
        out.write_all(&piece.blob).map_err(failed)?;
    }
    let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    let summary = SnapshotFile::open(part, false)
        .and_then(|file| file.summary())
        .map_err(|error| {
            CliError::new(
                Exit::Server,
                format!("what the server sent is no whole snapshot: {error}"),
            )
        })?;
    fs::rename(part, path).map_err(failed)?;
    Ok(summary)
}

fn unusable(path: &Path, error: &SnapshotError) -> CliError {
    let exit = match error {
        SnapshotError::Storage(StorageError::Corrupt { .. })
        | SnapshotError::NoChecksum
        | SnapshotError::WrongChecksum
        | SnapshotError::Foreign(_)
        | SnapshotError::Damaged(_)
        | SnapshotError::Bump(..) => Exit::InvalidInput,
        SnapshotError::Storage(_) | SnapshotError::State(_) | SnapshotError::Folder(_) => Exit::Failure,
    };
    CliError::new(exit, format!("cannot use {}: {error}", path.display()))
}

fn status(path: &Path, skip_hash_check: bool, format: Format) -> Result<(), CliError> {
    let summary = SnapshotFile::open(path, skip_hash_check)
        .and_then(|file| file.summary())
        .map_err(|error| unusable(path, &error))?;
    format.show(
        &summary,
        |out| {
            let Summary {
                hash,
                revision,
                total_keys,
                total_bytes,
            } = &summary;
            if out.is_simple {
                return writeln!(out, "{hash:x}, {revision}, {total_keys}, {}", size(*total_bytes));
            }
            writeln!(
                out,
                "{hash:x}, {revision}, {total_keys}, {} kB",
                total_bytes / 1_000
            )
        },
        || {
            json!({
                "hash": summary.hash,
                "revision": summary.revision,
                "total_keys": summary.total_keys,
                "total_bytes": summary.total_bytes,
            })
        },
    )
}

impl Restore {
    fn run(&self, format: Format) -> Result<(), CliError> {
        let bump_revision = self.bump_revision.filter(|amount| *amount > 0);
        if bump_revision.is_some() != self.mark_compacted {
            return Err(CliError::new(
                Exit::BadArguments,
                "--bump-revision and --mark-compacted belong together: give both or none",
            ));
        }
        if let Some(folder) = self.wal_dir.as_ref().filter(|folder| !folder.is_empty()) {
            return Err(CliError::invalid(format!(
                "--wal-dir is {folder:?}: log and state share --data-dir; leave it out"
            )));
        }
        let config = self.config()?;
        let member = NewMember {
            member: config.member,
            cluster: config.cluster,
            initial_members: config.initial_members,
        };
        let restored = SnapshotFile::open(&self.file, self.skip_hash_check)
            .and_then(|file| snapshot::restore(&file, &config.data_folder, &member, bump_revision))
            .map_err(|error| unusable(&self.file, &error))?;
        let folder = config.data_folder.display();
        let text = format!(
            "restored revision {} to {folder}: {} versions of keys, {} leases",
            restored.revision, restored.versions, restored.leases
        );
        format.note(&text, || {
            json!({
                "data_dir": folder.to_string(),
                "member": member.member.to_string(),
                "cluster": member.cluster.to_string(),
                "revision": restored.revision,
                "compact_revision": restored.compacted,
                "versions": restored.versions,
                "leases": restored.leases,
            })
        })
    }

    /// What the server of these flags would be: the same ids, names and folder.
    fn config(&self) -> Result<ServerConfig, CliError> {
        let mut flags = vec![
            format!("--name={}", self.name),
            format!("--initial-cluster-token={}", self.initial_cluster_token),
            format!(
                "--initial-advertise-peer-urls={}",
                self.initial_advertise_peer_urls
            ),
        ];
        let optional = [
            ("data-dir", &self.data_dir),
            ("initial-cluster", &self.initial_cluster),
        ];
        for (flag, value) in optional {
            flags.extend(value.as_ref().map(|value| format!("--{flag}={value}")));
        }
        match config::parse(&flags, &BTreeMap::new()) {
            Ok(Invocation::Run(config)) => Ok(*config),
            Ok(Invocation::Help | Invocation::Version) => Err(CliError::new(Exit::BadArguments, "")),
            Err(error) => Err(CliError::invalid(error.to_string())),
        }
    }
}
