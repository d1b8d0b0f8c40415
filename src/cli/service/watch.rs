//! `stead service watch`: instances and their changes, going on elsewhere when an endpoint is lost.
//!
//! Never shows a change twice and never leaves one out: whoever is asked next is asked for what came after the last
//! revision that was shown whole. What was shown of a snapshot that broke off is shown again.

use std::io::{self, Write as _};

use serde_json::json;
use tokio::time::timeout;
use tonic::Status;

use super::show::{instance_json, instance_line, place_json, place_line};
use crate::base::clock;
use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Format;
use crate::cli::signal;
use crate::client::node::Node;
use crate::client::{Client, is_lost, text_of};
use crate::proto::registry::change::Change;
use crate::proto::registry::{Filter, WatchRequest, WatchResponse};

/// Why a stream ended.
enum End {
    Lost(Status),
    Failed(CliError),
}

/// What was shown.
struct Shown {
    /// Everything up to here.
    told: i64,
    /// Of the revision after it, so many changes.
    part: usize,
}

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
    let mut shown = Shown { told: rev, part: 0 };
    let mut lost_since = None;
    loop {
        let node = client.current();
        let began_at = shown.told;
        let status = match stream(client, &node, format, filter, &mut shown).await {
            Ok(()) => Status::unavailable("the server ended the stream"),
            Err(End::Lost(status)) => status,
            Err(End::Failed(error)) => return Err(error),
        };
        if shown.told != began_at {
            lost_since = None;
        }
        let since = *lost_since.get_or_insert_with(clock::now);
        if shown.told == 0 && since.elapsed() >= client.command_timeout() {
            return Err(client.not_connected(&status).into());
        }
        let (endpoint, reason, told) = (&node.endpoint, text_of(&status), shown.told);
        writeln!(
            io::stderr(),
            "{endpoint} is lost ({reason}); going on after revision {told} elsewhere"
        )?;
        client.move_on(&node).await;
    }
}

async fn stream(
    client: &Client,
    node: &Node,
    format: Format,
    filter: &Filter,
    shown: &mut Shown,
) -> Result<(), End> {
    let request = WatchRequest {
        filter: Some(filter.clone()),
        after_revision: shown.told,
    };
    let open = timeout(client.command_timeout(), async {
        // Every stream begins with a token of its own: the last one may be void by now.
        client.log_in(node, true).await?;
        node.registry().watch(request).await
    });
    let mut responses = match open.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Err(ended(status)),
        Err(_) => return Err(End::Lost(Status::unavailable("no answer in time"))),
    };
    // What was shown of a revision before the stream broke off comes again.
    let mut again = std::mem::take(&mut shown.part);
    while let Some(response) = responses.message().await.map_err(ended)? {
        show(&response, format, shown, &mut again).map_err(End::Failed)?;
    }
    Ok(())
}

fn show(
    response: &WatchResponse,
    format: Format,
    shown: &mut Shown,
    again: &mut usize,
) -> Result<(), CliError> {
    for change in &response.changes {
        if !response.is_snapshot {
            shown.part += 1;
            if *again > 0 {
                *again -= 1;
                continue;
            }
        }
        let revision = change.revision;
        match &change.change {
            Some(Change::Put(instance)) => format.note(
                &format!("put\t{}", instance_line(instance)),
                || json!({"type": "put", "revision": revision, "instance": instance_json(instance)}),
            )?,
            Some(Change::Removed(place)) => format.note(
                &format!("gone\t{}", place_line(place)),
                || json!({"type": "gone", "revision": revision, "instance": place_json(place)}),
            )?,
            None => {}
        }
    }
    if response.revision > 0 {
        shown.told = response.revision;
        shown.part = 0;
        *again = 0;
    }
    Ok(())
}

fn ended(status: Status) -> End {
    if is_lost(&status) {
        End::Lost(status)
    } else {
        End::Failed(CliError::new(Exit::WatchEnded, status.message()))
    }
}
