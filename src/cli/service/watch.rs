//! `stead service watch`: instances and their changes, going on elsewhere when an endpoint is lost.
//!
//! Never shows a change twice and never leaves one out. What was shown of a snapshot that broke off is shown again.

use std::io::{self, Write as _};

use serde_json::json;

use super::show::{instance_json, instance_line, place_json, place_line};
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Format;
use crate::cli::signal;
use crate::client::changes::{Changes, Event};
use crate::client::{Client, ClientError};
use crate::proto::registry::Filter;
use crate::proto::registry::change::Change;

/// Shows what a filter lets through, and after that every change, until it is told to stop.
///
/// # Errors
/// The server refused the watch, what was to come is compacted, or it cannot be written.
pub(super) async fn run(client: &Client, format: Format, filter: &Filter, rev: i64) -> Result<(), CliError> {
    tokio::select! {
        outcome = follow(client, format, filter, rev) => outcome,
        () = signal::stop()? => Ok(()),
    }
}

async fn follow(client: &Client, format: Format, filter: &Filter, rev: i64) -> Result<(), CliError> {
    let mut changes = Changes::after(client, filter.clone(), rev);
    loop {
        match changes.next().await.map_err(ended)? {
            Event::Told(batch) => {
                for change in &batch.changes {
                    show(change.revision, change.change.as_ref(), format)?;
                }
            }
            Event::Lost {
                endpoint,
                reason,
                told,
            } => writeln!(
                io::stderr(),
                "{endpoint} is lost ({reason}); going on after revision {told} elsewhere"
            )?,
        }
    }
}

fn show(revision: i64, change: Option<&Change>, format: Format) -> Result<(), CliError> {
    match change {
        Some(Change::Put(instance)) => format.note(
            &format!("put\t{}", instance_line(instance)),
            || json!({"type": "put", "revision": revision, "instance": instance_json(instance)}),
        ),
        Some(Change::Removed(place)) => format.note(
            &format!("gone\t{}", place_line(place)),
            || json!({"type": "gone", "revision": revision, "instance": place_json(place)}),
        ),
        None => Ok(()),
    }
}

fn ended(error: ClientError) -> CliError {
    match error {
        ClientError::Refused(status) => CliError::new(Exit::WatchEnded, status.message()),
        error => error.into(),
    }
}
