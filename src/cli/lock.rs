//! `stead lock`: holds a lock while a command runs, or until it is told to stop.
//!
//! The command is told by two environment variables, as by etcdctl, what it holds: `ETCD_LOCK_KEY`, the key that stands
//! for the lock, and `ETCD_LOCK_REV`, a revision that is larger than that of every holder before. Never lets the command
//! go on as if it held the lock when that is lost.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::process::Child;

use super::exit::{CliError, Exit};
use super::kv::{read_key, write_range};
use super::output::{Format, bytes_entry, revision};
use super::program::{self, passed_on, terminate};
use super::session::Session;
use super::signal::{Stop, StopSignals};
use crate::base::LeaseId;
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::client::Client;
use crate::proto::v3lockpb::{LockRequest, LockResponse};

/// The arguments of `stead lock`.
#[derive(Debug, Clone, Args)]
pub(super) struct Lock {
    /// The name of the lock
    name: OsString,
    /// Seconds after which the lock is free if this process dies
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=MAXIMUM_LEASE_TTL_SECONDS))]
    ttl: i64,
    /// What to run while the lock is held, with its arguments; nothing: hold it until ctrl-C
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl Lock {
    /// Waits for the lock, and holds it.
    ///
    /// # Errors
    /// A call failed, the lock is lost, or the command did not end with success.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let mut signals = StopSignals::listen()?;
        let mut session = Session::open(client, self.ttl).await?;
        let request = LockRequest {
            name: self.name.clone().into_vec().into(),
            lease: session.lease,
        };
        let held = tokio::select! {
            held = session.wait_for(|node| {
                let request = request.clone();
                async move { node.lock().lock(request).await }
            }) => held,
            _ = signals.next() => Err(CliError::new(Exit::Interrupted, "interrupted before the lock was held")),
        };
        let outcome = match &held {
            Ok(held) => self.hold(client, held, &mut session, &mut signals, format).await,
            Err(_) => Ok(()),
        };
        let closed = session.close().await;
        held?;
        outcome?;
        closed
    }

    async fn hold(
        &self,
        client: &Client,
        held: &LockResponse,
        session: &mut Session<'_>,
        signals: &mut StopSignals,
        format: Format,
    ) -> Result<(), CliError> {
        if let Some((program, arguments)) = self.command.split_first() {
            let environment = [
                ("ETCD_LOCK_KEY", OsString::from_vec(held.key.to_vec())),
                ("ETCD_LOCK_REV", revision(held.header.as_ref()).to_string().into()),
            ];
            let child = program::start(program, arguments, environment)?;
            return follow(child, session, signals).await;
        }
        let answer = read_key(client, held.key.clone()).await?;
        format.show(
            &answer,
            |out| write_range(out, &answer),
            || HeldView(held, session.lease),
        )?;
        tokio::select! {
            _ = signals.next() => Ok(()),
            error = session.lost() => Err(error),
        }
    }
}

/// Waits for a command to end. SIGTERM is passed on to it; SIGINT comes from a terminal, which sends it to both.
async fn follow(
    mut child: Child,
    session: &mut Session<'_>,
    signals: &mut StopSignals,
) -> Result<(), CliError> {
    let mut lost = None;
    loop {
        tokio::select! {
            ended = child.wait() => {
                return match (lost, ended?) {
                    (Some(error), _) => Err(error),
                    (None, status) => passed_on(status),
                };
            }
            stop = signals.next() => {
                if stop == Stop::Terminate {
                    terminate(&child);
                }
            }
            error = session.lost(), if lost.is_none() => {
                writeln!(io::stderr(), "{error}; ending the command, which does not hold the lock any more")?;
                terminate(&child);
                lost = Some(error);
            }
        }
    }
}

/// A lock that is held.
struct HeldView<'answer>(&'answer LockResponse, i64);

impl Serialize for HeldView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("revision", &revision(self.0.header.as_ref()))?;
        bytes_entry(&mut map, "key", &self.0.key)?;
        map.serialize_entry("lease", &LeaseId(self.1).to_string())?;
        map.end()
    }
}
