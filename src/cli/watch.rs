//! `stead watch`: shows changes as they happen, and goes on where it was when an endpoint is lost.
//!
//! Never shows a revision twice and never leaves one out: every reconnection asks for the revision after the last one
//! that was shown.

use std::io::{self, Write};

use bytes::Bytes;
use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::client::{Client, is_lost, text_of};
use super::exit::{CliError, Exit};
use super::kv::Selection;
use super::output::{Format, PairView, bytes_entry, write_json, write_line, write_pair};
use super::signal;
use crate::base::clock;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use crate::proto::mvccpb::Event;
use crate::proto::mvccpb::event::EventType;

/// The arguments of `stead watch`.
#[derive(Debug, Clone, Args)]
pub(super) struct Watch {
    #[command(flatten)]
    selection: Selection,
    /// The first revision to show; 0: from now on
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    rev: i64,
    /// Show what was there before each change
    #[arg(long)]
    prev_kv: bool,
    /// Show from time to time up to which revision everything was seen
    #[arg(long)]
    progress_notify: bool,
    /// Leave out puts
    #[arg(long)]
    no_put: bool,
    /// Leave out removals
    #[arg(long)]
    no_delete: bool,
}

/// Why a stream of changes ended.
enum End {
    /// The endpoint is lost.
    Lost(Status),
    /// There is no going on.
    Failed(CliError),
}

impl Watch {
    /// Shows changes until it is told to stop.
    ///
    /// # Errors
    /// The server refused the watch, or the history that was asked for is gone.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        tokio::select! {
            outcome = self.follow(client, format) => outcome,
            () = signal::stop()? => Ok(()),
        }
    }

    async fn follow(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let (key, range_end) = self.selection.range();
        let mut next = self.rev;
        let mut lost_since = None;
        loop {
            let node = client.current();
            let began_at = next;
            let status = match self
                .stream(client, &node, (&key, &range_end), &mut next, format)
                .await
            {
                Ok(()) => Status::unavailable("the server ended the stream"),
                Err(End::Lost(status)) => status,
                Err(End::Failed(error)) => return Err(error),
            };
            if next != began_at {
                lost_since = None;
            }
            let first_loss = lost_since.is_none();
            let since = *lost_since.get_or_insert_with(clock::now);
            // Before the first answer there is nothing to go on with: then it is a wrong address, most likely.
            if next == 0 && since.elapsed() >= client.command_timeout() {
                return Err(client.not_connected(&status).into());
            }
            let reason = text_of(&status);
            let endpoint = &node.endpoint;
            if next == 0 {
                writeln!(
                    io::stderr(),
                    "{endpoint} cannot be reached ({reason}); trying the next"
                )?;
            } else if next != began_at || first_loss {
                writeln!(
                    io::stderr(),
                    "{endpoint} is lost ({reason}); going on from revision {next} elsewhere"
                )?;
            }
            client.move_on(&node).await;
        }
    }

    /// One stream on one endpoint; `next` follows what was shown.
    async fn stream(
        &self,
        client: &Client,
        node: &super::client::Node,
        (key, range_end): (&Bytes, &Bytes),
        next: &mut i64,
        format: Format,
    ) -> Result<(), End> {
        let mut filters = Vec::new();
        if self.no_put {
            filters.push(FilterType::Noput.into());
        }
        if self.no_delete {
            filters.push(FilterType::Nodelete.into());
        }
        let create = WatchCreateRequest {
            key: key.clone(),
            range_end: range_end.clone(),
            start_revision: *next,
            progress_notify: self.progress_notify,
            filters,
            prev_kv: self.prev_kv,
            ..WatchCreateRequest::default()
        };
        // The sender lives as long as the stream: dropping it would end the watch.
        let (sender, receiver) = mpsc::channel(1);
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        if sender.try_send(request).is_err() {
            return Err(End::Lost(Status::unavailable("the request could not be queued")));
        }
        let open = timeout(client.command_timeout(), async {
            // Every stream begins with a token of its own: the last one may be void by now.
            client.log_in(node, true).await?;
            node.watch().watch(ReceiverStream::new(receiver)).await
        });
        let mut responses = match open.await {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(ended(status)),
            Err(_) => return Err(End::Lost(Status::unavailable("no answer in time"))),
        };
        while let Some(response) = responses.message().await.map_err(ended)? {
            self.show(&response, next, format).map_err(End::Failed)?;
        }
        Ok(())
    }

    fn show(&self, response: &WatchResponse, next: &mut i64, format: Format) -> Result<(), CliError> {
        let revision = super::output::revision(response.header.as_ref());
        if response.canceled {
            let message = if response.compact_revision > 0 {
                format!(
                    "the history from revision {next} on is gone up to revision {0}: \
                     read the keys anew (stead get), then watch from {0} or later",
                    response.compact_revision
                )
            } else {
                response.cancel_reason.clone()
            };
            return Err(CliError::new(Exit::Server, message));
        }
        let mut out = io::stdout().lock();
        if response.created {
            if *next == 0 {
                *next = revision.saturating_add(1);
            }
            return Ok(());
        }
        if response.events.is_empty() {
            *next = (*next).max(revision.saturating_add(1));
            if self.progress_notify {
                match format {
                    Format::Json => {
                        write_json(
                            out,
                            &serde_json::json!({"type": "progress", "revision": revision}),
                        )?;
                    }
                    Format::Human => writeln!(out, "progress notify: {revision}")?,
                }
            }
            return Ok(());
        }
        for event in &response.events {
            match format {
                Format::Json => write_json(&mut out, &EventView(event))?,
                Format::Human => write_event(&mut out, event)?,
            }
            if let Some(pair) = &event.kv {
                *next = pair.mod_revision.saturating_add(1);
            }
        }
        Ok(out.flush()?)
    }
}

fn ended(status: Status) -> End {
    if is_lost(&status) {
        End::Lost(status)
    } else {
        End::Failed(CliError::new(Exit::Server, status.message()))
    }
}

fn write_event(mut out: impl Write, event: &Event) -> io::Result<()> {
    let is_put = event.r#type() == EventType::Put;
    write_line(&mut out, if is_put { b"PUT" } else { b"DELETE" })?;
    if let Some(previous) = &event.prev_kv {
        write_pair(&mut out, previous)?;
    }
    match &event.kv {
        Some(pair) if is_put => write_pair(&mut out, pair),
        Some(pair) => write_line(&mut out, &pair.key),
        None => Ok(()),
    }
}

/// One change.
struct EventView<'event>(&'event Event);

impl Serialize for EventView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        let is_put = event.r#type() == EventType::Put;
        map.serialize_entry("type", if is_put { "put" } else { "delete" })?;
        if let Some(pair) = &event.kv {
            map.serialize_entry("revision", &pair.mod_revision)?;
            if is_put {
                map.serialize_entry("kv", &PairView(pair))?;
            } else {
                bytes_entry(&mut map, "key", &pair.key)?;
            }
        }
        if let Some(previous) = &event.prev_kv {
            map.serialize_entry("previous", &PairView(previous))?;
        }
        map.end()
    }
}
