//! `stead import`: decides how the keys of a file are written, grants their leases, and shows the progress.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tonic::Code;

use super::super::exit::{CliError, Exit};
use super::super::output::{Format, revision};
use super::super::signal;
use super::checkpoint::{Checkpoint, CheckpointFile, Mode};
use super::plan::{EMPTY_REVISION, Step, plan};
use super::survey::Survey;
use super::{exact, plain};
use crate::base::{ClusterId, clock};
use crate::client::{Client, ClientError, is_lost};
use crate::proto::etcdserverpb::{LeaseGrantRequest, RangeRequest, ResponseHeader};

/// A key that only an import uses, to make revisions that no key needs. It is gone when the import is done.
pub(super) const SCRATCH_KEY: &[u8] = b"\0stead-import";

/// Time between two pictures of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The arguments of `stead import`.
#[derive(Debug, Clone, Args)]
pub(in super::super) struct Import {
    /// The file, as `stead export` writes it
    file: PathBuf,
    /// Keep the revisions of the source or fail; the default is to keep them if the store is empty
    #[arg(long, conflicts_with = "plain")]
    exact: bool,
    /// Give the keys new revisions; faster
    #[arg(long)]
    plain: bool,
    /// Time to live of the leases that keys are attached to, in seconds
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(i64).range(1..))]
    lease_ttl: i64,
    /// Most keys in one transaction: the server's flag of the same name
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    max_txn_ops: u32,
    /// Where to remember how far it is [default: FILE.resume]
    #[arg(long)]
    resume_file: Option<PathBuf>,
}

/// How the keys are written.
enum Way {
    Exact(Vec<Step>),
    Plain { position: u64 },
}

impl Import {
    /// Writes all keys of the file into the store.
    ///
    /// # Errors
    /// The file cannot be, the store refuses or is not available for long, or the user stopped it.
    pub(in super::super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let started = clock::now();
        let survey = Survey::take(&self.file, SCRATCH_KEY)?;
        let header = header(client).await?;
        let resume_file = self.resume_file.clone().unwrap_or_else(|| {
            let mut name = self.file.clone().into_os_string();
            name.push(".resume");
            PathBuf::from(name)
        });
        let cluster = ClusterId(header.cluster_id).to_string();
        let checkpoint = CheckpointFile::new(resume_file, survey.sha256.clone(), cluster);
        let way = self.way(&survey, checkpoint.load()?, header.revision)?;
        self.grant_leases(client, &survey).await?;
        let work = async {
            match &way {
                Way::Exact(steps) => {
                    checkpoint.save(Mode::Exact, 0)?;
                    let progress = progress(steps.len().try_into().unwrap_or(u64::MAX), "revisions");
                    exact::run(client, &survey, steps, &progress).await
                }
                Way::Plain { position } => {
                    checkpoint.save(Mode::Plain, *position)?;
                    let progress = progress(survey.length_bytes, "bytes");
                    let operations = usize::try_from(self.max_txn_ops).unwrap_or(usize::MAX);
                    plain::run(client, &survey, &checkpoint, *position, operations, &progress).await
                }
            }
        };
        tokio::select! {
            outcome = work => outcome?,
            () = signal::stop()? => {
                return Err(CliError::new(
                    Exit::Interrupted,
                    "interrupted before the end; the same command goes on from here",
                ));
            }
        }
        checkpoint.remove()?;
        let exact = matches!(way, Way::Exact(_));
        let keys = survey.keys;
        let seconds = started.elapsed().as_secs_f64();
        let revisions = if exact {
            "the revisions of the source"
        } else {
            "new revisions"
        };
        format.note(
            &format!("imported {keys} keys with {revisions} in {seconds:.1} s"),
            || json!({"keys": keys, "exact_revisions": exact, "leases": survey.leases.len(), "seconds": seconds}),
        )
    }

    fn way(
        &self,
        survey: &Survey,
        checkpoint: Option<Checkpoint>,
        store_revision: i64,
    ) -> Result<Way, CliError> {
        let operations = usize::try_from(self.max_txn_ops).unwrap_or(usize::MAX);
        let resumes_exact = checkpoint.as_ref().is_some_and(|left| left.mode == Mode::Exact);
        if let Some(left) = checkpoint.filter(|left| left.mode == Mode::Plain) {
            if self.exact {
                return Err(CliError::invalid(
                    "--exact: an earlier run wrote keys with new revisions already; import into an empty store",
                ));
            }
            return Ok(Way::Plain {
                position: left.position_bytes,
            });
        }
        if self.plain {
            return Ok(Way::Plain { position: 0 });
        }
        let reason = if store_revision != EMPTY_REVISION && !resumes_exact {
            format!("the store is at revision {store_revision}, not empty and new")
        } else {
            match &survey.revisions {
                None => "the file has too many keys".to_owned(),
                Some(revisions) => match plan(revisions, operations) {
                    Ok(steps) => return Ok(Way::Exact(steps)),
                    Err(reason) => reason.to_string(),
                },
            }
        };
        if self.exact || resumes_exact {
            return Err(CliError::invalid(format!(
                "the revisions cannot be kept: {reason}"
            )));
        }
        writeln!(
            io::stderr(),
            "warning: the keys get new revisions, since {reason}"
        )?;
        Ok(Way::Plain { position: 0 })
    }

    async fn grant_leases(&self, client: &Client, survey: &Survey) -> Result<(), CliError> {
        for id in &survey.leases {
            let request = LeaseGrantRequest {
                ttl: self.lease_ttl,
                id: *id,
            };
            // A lease that is there already, from a call before or an earlier run, does as well.
            let granted = client
                .read(|node| async move { node.lease().lease_grant(request).await })
                .await;
            match granted {
                Ok(_) => {}
                Err(ClientError::Refused(status)) if status.code() == Code::FailedPrecondition => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !survey.leases.is_empty() {
            writeln!(
                io::stderr(),
                "{} leases granted for {} s: their keys end with them unless somebody keeps them alive (--lease-ttl)",
                survey.leases.len(),
                self.lease_ttl
            )?;
        }
        Ok(())
    }
}

fn progress(length: u64, unit: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{pos}}/{{len}} {unit} ({{per_sec}}, {{eta}} left)");
    let progress = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template(&template) {
        progress.set_style(style);
    }
    progress.enable_steady_tick(PROGRESS_INTERVAL);
    progress
}

/// The store's header, from a linearizable read.
async fn header(client: &Client) -> Result<ResponseHeader, ClientError> {
    let answer = client
        .read(|node| async move {
            let request = RangeRequest {
                key: SCRATCH_KEY.into(),
                count_only: true,
                ..RangeRequest::default()
            };
            node.kv().range(request).await
        })
        .await?;
    Ok(answer.header.unwrap_or_default())
}

/// The store's revision, from a linearizable read.
///
/// # Errors
/// The call failed.
pub(super) async fn current_revision(client: &Client) -> Result<i64, ClientError> {
    Ok(revision(Some(&header(client).await?)))
}

/// Whether a change that can safely be sent again should be.
pub(super) fn is_worth_another_attempt(error: &ClientError) -> bool {
    match error {
        ClientError::NotConnected { .. } | ClientError::Unknown { .. } => true,
        ClientError::Refused(status) => is_lost(status) || status.message().ends_with("too many requests"),
        ClientError::Endpoint { .. } | ClientError::Tls(_) | ClientError::BadToken => false,
    }
}
