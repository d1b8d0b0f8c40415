//! A stream of changes that outlives the endpoint it comes from.
//!
//! Never gives a revision twice and never leaves one out: every reconnection asks for the revision after the last one
//! that was taken.

use std::future::Future;
use std::io::{self, Write as _};

use tokio::sync::{broadcast, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::exit::{CliError, Exit};
use super::output::revision;
use crate::base::clock;
use crate::client::node::Node;
use crate::client::{Client, is_lost, text_of};
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse};

/// What becomes of changes.
pub(super) trait Sink {
    /// Takes the changes of a response.
    fn changes(&mut self, response: &WatchResponse) -> impl Future<Output = Result<(), CliError>>;

    /// Everything was seen up to this revision.
    fn progress(&mut self, revision: i64) -> impl Future<Output = Result<(), CliError>>;

    /// The error for the end of the watch; `next` is the first revision that was not seen.
    fn canceled(&mut self, response: &WatchResponse, next: i64) -> CliError;
}

/// Why a stream of changes ended.
enum End {
    /// The endpoint is lost.
    Lost(Status),
    /// There is no going on.
    Failed(CliError),
}

/// Gives the changes that `create` asks for to `sink`, for ever. What comes from `progress` asks how far they are.
///
/// # Errors
/// The server refused the watch, the history that was asked for is gone, or the sink failed.
pub(super) async fn follow(
    client: &Client,
    create: &WatchCreateRequest,
    progress: &broadcast::Sender<()>,
    sink: &mut impl Sink,
) -> Result<(), CliError> {
    let mut create = create.clone();
    let mut lost_since = None;
    loop {
        let node = client.current();
        let began_at = create.start_revision;
        let status = match stream(client, &node, &mut create, progress.subscribe(), sink).await {
            Ok(()) => Status::unavailable("the server ended the stream"),
            Err(End::Lost(status)) => status,
            Err(End::Failed(error)) => return Err(error),
        };
        let next = create.start_revision;
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

/// One stream on one endpoint; the first revision of `create` follows what was taken.
async fn stream(
    client: &Client,
    node: &Node,
    create: &mut WatchCreateRequest,
    mut progress: broadcast::Receiver<()>,
    sink: &mut impl Sink,
) -> Result<(), End> {
    // The sender lives as long as the stream: dropping it would end the watch.
    let (sender, receiver) = mpsc::channel(1);
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create.clone())),
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
    loop {
        tokio::select! {
            response = responses.message() => match response.map_err(ended)? {
                Some(response) => take(&response, &mut create.start_revision, sink).await.map_err(End::Failed)?,
                None => return Ok(()),
            },
            Ok(()) = progress.recv() => {
                let request = WatchRequest {
                    request_union: Some(RequestUnion::ProgressRequest(WatchProgressRequest {})),
                };
                // One that is lost with its stream was for a stream that is no more.
                let _ = sender.send(request).await;
            }
        }
    }
}

async fn take(response: &WatchResponse, next: &mut i64, sink: &mut impl Sink) -> Result<(), CliError> {
    let revision = revision(response.header.as_ref());
    if response.canceled {
        return Err(sink.canceled(response, *next));
    }
    if response.created {
        if *next == 0 {
            *next = revision.saturating_add(1);
        }
        return Ok(());
    }
    if response.events.is_empty() {
        *next = (*next).max(revision.saturating_add(1));
        return sink.progress(revision).await;
    }
    sink.changes(response).await?;
    let last = response.events.last().and_then(|event| event.kv.as_ref());
    if let Some(pair) = last {
        *next = pair.mod_revision.saturating_add(1);
    }
    Ok(())
}

fn ended(status: Status) -> End {
    if is_lost(&status) {
        End::Lost(status)
    } else {
        End::Failed(CliError::new(Exit::Server, status.message()))
    }
}
