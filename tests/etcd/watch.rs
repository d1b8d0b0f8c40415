//! `watch create`, `watch cancel`, `watch progress`, `watch receive` and `watch events` on streams with names.
//!
//! The first three only send. What comes back is read by the other two, so that a script shows the exact order of the
//! answers, and shows that a request had none by what comes instead.

use std::collections::BTreeMap;
use std::time::Duration;

use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    WatchCancelRequest, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use stead::proto::mvccpb::Event;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::words::{Words, show_error, show_header, show_pair};
use crate::support::{Clients, Result};

/// How long a script waits for one answer before it says that there was none. Long enough for a lease to run out.
const MAXIMUM_WAIT: Duration = Duration::from_secs(15);

const MAXIMUM_QUEUED_MESSAGES: usize = 1_024;

/// One watch stream and what it has brought.
struct Stream {
    requests: mpsc::Sender<WatchRequest>,
    responses: mpsc::Receiver<Result<WatchResponse, Status>>,
}

/// The watch streams of one script. A stream opens at its first use and stays with the node it was opened on.
#[derive(Default)]
pub struct Streams {
    streams: BTreeMap<String, Stream>,
}

impl Streams {
    /// Runs one `watch` command: `watch <verb> ... [stream=name]`.
    pub async fn command(&mut self, clients: &Clients, mut words: Words) -> Result<Vec<String>> {
        let verb = words.next("what the watch shall do")?;
        let name = words.option("stream").unwrap_or_default();
        if verb == "close" {
            self.streams.remove(&name);
            words.finish()?;
            return Ok(Vec::new());
        }
        let stream = self.streams.entry(name).or_insert_with(|| open(clients.clone()));
        let request = match verb.as_str() {
            "create" => RequestUnion::CreateRequest(create_request(&mut words)?),
            "cancel" => RequestUnion::CancelRequest(WatchCancelRequest {
                watch_id: words.integer("a watch id")?,
            }),
            "progress" => RequestUnion::ProgressRequest(WatchProgressRequest {}),
            "receive" => {
                let responses = usize::try_from(words.integer("how many answers")?)?;
                words.finish()?;
                return receive(stream, responses).await;
            }
            "events" => {
                let events = usize::try_from(words.integer("how many events")?)?;
                words.finish()?;
                return receive_events(stream, events).await;
            }
            other => return Err(format!("watch {other} is no command").into()),
        };
        words.finish()?;
        stream
            .requests
            .send(WatchRequest {
                request_union: Some(request),
            })
            .await?;
        Ok(Vec::new())
    }
}

fn create_request(words: &mut Words) -> Result<WatchCreateRequest> {
    let (key, range_end) = words.range()?;
    let filters = match words.option("without").as_deref() {
        None => Vec::new(),
        Some("puts") => vec![0],
        Some("deletes") => vec![1],
        Some("puts,deletes") => vec![0, 1],
        Some(other) => return Err(format!("without={other}: puts or deletes").into()),
    };
    Ok(WatchCreateRequest {
        key,
        range_end,
        start_revision: words.number("start")?,
        progress_notify: words.flag("progress_notify"),
        filters,
        prev_kv: words.flag("prev_kv"),
        watch_id: words.number("id")?,
        fragment: words.flag("fragment"),
    })
}

/// Opens a stream. A server may send nothing, not even headers, before its first answer: the call waits in a task.
fn open(mut clients: Clients) -> Stream {
    let (requests, outgoing) = mpsc::channel(MAXIMUM_QUEUED_MESSAGES);
    let (incoming, responses) = mpsc::channel(MAXIMUM_QUEUED_MESSAGES);
    tokio::spawn(async move {
        let mut stream = match clients.watch.watch(ReceiverStream::new(outgoing)).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                // The script may have ended: then nobody wants to know.
                let _ = incoming.send(Err(status)).await;
                return;
            }
        };
        while let Some(response) = stream.message().await.transpose() {
            let ended = response.is_err();
            if incoming.send(response).await.is_err() || ended {
                return;
            }
        }
    });
    Stream { requests, responses }
}

async fn next(stream: &mut Stream) -> Result<WatchResponse, Vec<String>> {
    match timeout(MAXIMUM_WAIT, stream.responses.recv()).await {
        Err(_) => Err(vec![format!("nothing within {} s", MAXIMUM_WAIT.as_secs())]),
        Ok(None) => Err(vec!["the stream has ended".to_owned()]),
        Ok(Some(Err(status))) => Err(show_error(&status)),
        Ok(Some(Ok(response))) => Ok(response),
    }
}

/// The next `count` answers, whatever they are.
async fn receive(stream: &mut Stream, count: usize) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for _ in 0..count {
        match next(stream).await {
            Ok(response) => lines.extend(show_response(&response)),
            Err(end) => {
                lines.extend(end);
                break;
            }
        }
    }
    Ok(lines)
}

/// Answers until `count` events have come, ordered by watch. How events of different revisions are packed into
/// answers is the server's choice and is not shown, except that one revision is never split.
async fn receive_events(stream: &mut Stream, count: usize) -> Result<Vec<String>> {
    let mut events: Vec<(i64, Event)> = Vec::new();
    let mut lines = Vec::new();
    let mut last = BTreeMap::new();
    let mut in_fragments = false;
    while events.len() < count {
        let response = match next(stream).await {
            Ok(response) => response,
            Err(end) => {
                lines.extend(end);
                break;
            }
        };
        let id = response.watch_id;
        if response.events.is_empty() {
            lines.extend(show_response(&response));
        }
        let first = response
            .events
            .first()
            .and_then(|event| event.kv.as_ref())
            .map(|pair| pair.mod_revision);
        if first.is_some() && last.get(&id) == first.as_ref() && !in_fragments {
            lines.push(format!(
                "watch {id}: revision {} came in two answers",
                first.unwrap_or_default()
            ));
        }
        in_fragments = response.fragment;
        let newest = response
            .events
            .last()
            .and_then(|event| event.kv.as_ref())
            .map(|pair| pair.mod_revision);
        last.extend(newest.map(|revision| (id, revision)));
        let header = response.header.map(|header| header.revision).unwrap_or_default();
        if newest.is_some_and(|newest| header < newest) {
            lines.push(format!(
                "watch {id}: the header says {header}, less than the events"
            ));
        }
        events.extend(response.events.into_iter().map(|event| (id, event)));
    }
    events.sort_by_key(|(id, _)| *id);
    lines.extend(
        events
            .iter()
            .map(|(id, event)| format!("watch {id}: {}", show_event(event))),
    );
    Ok(lines)
}

fn show_response(response: &WatchResponse) -> Vec<String> {
    let mut line = format!("watch {}", response.watch_id);
    if response.created {
        line += " created";
    }
    if response.canceled {
        line += " canceled";
    }
    if response.compact_revision != 0 {
        line += &format!(", compacted at {}", response.compact_revision);
    }
    if response.fragment {
        line += ", fragment";
    }
    line += &format!(", {}", show_header(response.header.as_ref()));
    if !response.cancel_reason.is_empty() {
        line += &format!(": {}", response.cancel_reason);
    }
    let events = response
        .events
        .iter()
        .map(|event| format!("  {}", show_event(event)));
    std::iter::once(line).chain(events).collect()
}

fn show_event(event: &Event) -> String {
    let kind = match event.r#type {
        0 => "put",
        1 => "delete",
        _ => "an unknown kind of event",
    };
    let pair = event
        .kv
        .as_ref()
        .map(show_pair)
        .unwrap_or_else(|| "no key".to_owned());
    let before = event
        .prev_kv
        .as_ref()
        .map(|pair| format!(", before: {}", show_pair(pair)));
    format!("{kind} {pair}{}", before.unwrap_or_default())
}
