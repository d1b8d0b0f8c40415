//! `stead watch`: shows changes as they happen, and runs a command for each if it is given one.
//!
//! What goes on when an endpoint is lost is in [`super::follow`].

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::Stdio;

use clap::{Args, Parser, Subcommand};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde::ser::{Serialize, SerializeMap, Serializer};
use tokio::process::Command;
use tokio::sync::{broadcast, mpsc};

use super::exit::{CliError, Exit};
use super::follow::{Sink, follow};
use super::kv::range;
use super::output::{Format, PairView, Plain, bytes_entry, quoted, write_json, write_line};
use super::{signal, txn_syntax};
use crate::client::Client;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchResponse};
use crate::proto::mvccpb::Event;
use crate::proto::mvccpb::event::EventType;

/// Lines of the input that may wait for a stream.
const MAXIMUM_PENDING_REQUESTS: usize = 16;

/// What etcd calls a revision whose history is gone.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// The arguments of `stead watch`.
#[derive(Debug, Clone, Args)]
pub(super) struct Watch {
    /// The key, or the first key of a range
    #[arg(
        required_unless_present = "interactive",
        env = "ETCDCTL_WATCH_KEY",
        hide_env = true
    )]
    key: Option<OsString>,
    /// The first key that is past the range
    #[arg(env = "ETCDCTL_WATCH_RANGE_END", hide_env = true)]
    range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with_all = ["range_end", "from_key"])]
    prefix: bool,
    /// All keys from KEY on
    #[arg(long, conflicts_with = "range_end")]
    from_key: bool,
    /// Read from standard input what to watch: lines such as `watch KEY --prefix`, and `progress`
    #[arg(long, short, conflicts_with_all = ["prefix", "rev", "command"])]
    interactive: bool,
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
    /// What to run for each change, with its arguments
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// A line of the input.
#[derive(Debug, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_help_subcommand = true
)]
struct Line {
    #[command(subcommand)]
    command: LineCommand,
}

#[derive(Debug, Subcommand)]
enum LineCommand {
    /// One more watch.
    Watch(Watch),
    /// Up to which revision has everything been seen?
    Progress,
}

impl Watch {
    /// Shows changes until it is told to stop.
    ///
    /// # Errors
    /// The server refused the watch, or the history that was asked for is gone.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let progress = broadcast::Sender::new(MAXIMUM_PENDING_REQUESTS);
        let watching = async {
            if self.interactive {
                interact(client, format, &progress).await
            } else {
                self.follow(client, format, &progress).await
            }
        };
        tokio::select! {
            outcome = watching => outcome,
            () = signal::stop()? => Ok(()),
        }
    }

    async fn follow(
        &self,
        client: &Client,
        format: Format,
        progress: &broadcast::Sender<()>,
    ) -> Result<(), CliError> {
        let key = self.key.clone().unwrap_or_default();
        let (key, range_end) = range(key, self.range_end.clone(), self.prefix, self.from_key);
        let mut filters = Vec::new();
        if self.no_put {
            filters.push(FilterType::Noput.into());
        }
        if self.no_delete {
            filters.push(FilterType::Nodelete.into());
        }
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision: self.rev,
            progress_notify: self.progress_notify,
            filters,
            prev_kv: self.prev_kv,
            ..WatchCreateRequest::default()
        };
        let mut screen = Screen { watch: self, format };
        follow(client, &create, progress, &mut screen).await
    }

    /// Runs the command of the user for one change.
    async fn execute(&self, event: &Event) -> Result<(), CliError> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Ok(());
        };
        let pair = event.kv.clone().unwrap_or_default();
        let is_put = event.r#type() == EventType::Put;
        let status = Command::new(program)
            .args(arguments)
            .env("ETCD_WATCH_REVISION", pair.mod_revision.to_string())
            .env(
                "ETCD_WATCH_EVENT_TYPE",
                if is_put { "\"PUT\"" } else { "\"DELETE\"" },
            )
            .env("ETCD_WATCH_KEY", quoted(&pair.key))
            .env("ETCD_WATCH_VALUE", quoted(&pair.value))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| {
                CliError::failure(format!("cannot run {}: {error}", program.to_string_lossy()))
            })?;
        match status.code() {
            Some(0) => Ok(()),
            // A command that a signal ended has no code.
            code => Err(CliError::failure(format!(
                "{} ended with {}",
                program.to_string_lossy(),
                code.map_or_else(|| status.to_string(), |code| format!("code {code}"))
            ))),
        }
    }
}

/// Shows changes.
struct Screen<'watch> {
    watch: &'watch Watch,
    format: Format,
}

impl Sink for Screen<'_> {
    async fn changes(&mut self, response: &WatchResponse) -> Result<(), CliError> {
        if self.format.is_json() {
            let mut out = io::stdout().lock();
            for event in &response.events {
                write_json(&mut out, &EventView(event))?;
            }
        } else {
            let events = &response.events;
            let show = |out: &mut Plain<'_>| events.iter().try_for_each(|event| write_event(out, event));
            self.format.show(response, show, || ())?;
        }
        for event in &response.events {
            self.watch.execute(event).await?;
        }
        Ok(())
    }

    async fn progress(&mut self, revision: i64) -> Result<(), CliError> {
        self.format.note(
            &format!("progress notify: {revision}"),
            || serde_json::json!({"type": "progress", "revision": revision}),
        )
    }

    fn canceled(&mut self, response: &WatchResponse, next: i64) -> CliError {
        canceled(response, next, self.format).unwrap_or_else(|error| error)
    }
}

/// Watches what the lines of standard input say, until one of the watches ends or there are no more lines.
async fn interact(client: &Client, format: Format, progress: &broadcast::Sender<()>) -> Result<(), CliError> {
    let mut lines = input_lines();
    let mut watches = FuturesUnordered::new();
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            Some(outcome) = watches.next(), if !watches.is_empty() => return outcome,
        };
        let Some(line) = line else {
            return Err(CliError::invalid("error reading watch request line: EOF"));
        };
        let line = line?;
        let parsed = txn_syntax::words(&line)
            .and_then(|words| Line::try_parse_from(words).map_err(|error| error.kind().to_string()));
        match parsed {
            Ok(Line {
                command: LineCommand::Watch(watch),
            }) if !watch.interactive => {
                watches.push(async move { watch.follow(client, format, progress).await });
            }
            Ok(Line {
                command: LineCommand::Progress,
            }) => {
                // Without a watch there is nobody to ask.
                let _ = progress.send(());
            }
            Ok(_) => writeln!(io::stderr(), "Invalid command {line} (write watch KEY)")?,
            Err(reason) => writeln!(
                io::stderr(),
                "Invalid command {line} ({reason}; write watch KEY, or progress)"
            )?,
        }
    }
}

/// The lines of standard input. They are read by a thread of their own: nothing can end a read of a terminal but its end.
fn input_lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What the server says when it ends a watch.
fn canceled(response: &WatchResponse, next: i64, format: Format) -> Result<CliError, CliError> {
    let is_compacted = response.compact_revision > 0;
    if format.is_json() || format == Format::default() {
        let message = if is_compacted {
            format!(
                "the history from revision {next} on is gone up to revision {0}: \
                 read the keys anew (stead get), then watch from {0} or later",
                response.compact_revision
            )
        } else {
            response.cancel_reason.clone()
        };
        return Ok(CliError::new(Exit::WatchEnded, message));
    }
    let reason = if is_compacted {
        COMPACTED
    } else {
        &response.cancel_reason
    };
    writeln!(io::stderr(), "watch was canceled ({reason})")?;
    format.show(response, |_| Ok(()), || ())?;
    Ok(CliError::new(Exit::WatchEnded, "watch is canceled by the server"))
}

fn write_event(out: &mut Plain<'_>, event: &Event) -> io::Result<()> {
    let is_put = event.r#type() == EventType::Put;
    write_line(&mut *out, if is_put { b"PUT" } else { b"DELETE" })?;
    if let Some(previous) = &event.prev_kv {
        out.pair(previous)?;
    }
    match &event.kv {
        Some(pair) if is_put || out.is_simple => out.pair(pair),
        Some(pair) => out.bytes(&pair.key),
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
