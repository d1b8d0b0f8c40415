//! The changes of a watched service, which outlive the endpoint they come from.
//!
//! ```text
//!  closed -> snapshot -> live      an endpoint that is lost: closed, and on after the last revision that was told whole
//! ```
//!
//! Never tells a change twice and never leaves one out: whoever is asked next is asked for what came after the last
//! revision that was told whole, and what was told of the next one is passed over. A snapshot that broke off begins anew.

use std::time::Instant;

use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::endpoints::{Client, is_lost, text_of};
use super::error::ClientError;
use super::node::Node;
use crate::base::clock;
use crate::proto::registry::{Change, Filter, WatchRequest, WatchResponse};

/// Something that happened to a watch.
#[derive(Debug)]
pub(crate) enum Event {
    /// Changes were told.
    Told(Batch),
    /// An endpoint is lost; the next one is asked.
    Lost {
        /// Which.
        endpoint: String,
        /// What is known of it.
        reason: String,
        /// The revision after which it goes on; 0: from the beginning.
        told: i64,
    },
}

/// Some changes, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Whether what is there is told anew, from here on.
    pub(crate) begins: bool,
    /// Everything up to here is told; 0: the next batch belongs to this one.
    pub(crate) revision: i64,
    /// The changes.
    pub(crate) changes: Vec<Change>,
}

/// How far a watch is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Everything up to here was told.
    pub(super) told: i64,
    /// Of the revision after it, so many changes.
    part: usize,
    /// So many changes come again.
    again: usize,
    /// Whether the next response begins a snapshot.
    begins: bool,
}

impl Progress {
    /// A stream is asked for.
    pub(super) fn open(&mut self) {
        self.again = std::mem::take(&mut self.part);
        self.begins = self.told == 0;
    }

    /// What of a response is new.
    pub(super) fn take(&mut self, response: WatchResponse) -> Batch {
        let mut changes = response.changes;
        if !response.is_snapshot {
            let known = self.again.min(changes.len());
            self.part = self.part.saturating_add(changes.len());
            self.again = self.again.saturating_sub(known);
            changes.drain(..known);
        }
        if response.revision > 0 {
            self.told = response.revision;
            self.part = 0;
            self.again = 0;
        }
        Batch {
            begins: std::mem::take(&mut self.begins),
            revision: response.revision,
            changes,
        }
    }
}

/// A watch on whichever endpoint answers.
pub(crate) struct Changes<'client> {
    client: &'client Client,
    filter: Filter,
    progress: Progress,
    stream: Option<(Node, Streaming<WatchResponse>)>,
    lost_since: Option<Instant>,
}

impl<'client> Changes<'client> {
    /// A watch that goes on after a revision; 0: that begins with what is there.
    pub(crate) fn after(client: &'client Client, filter: Filter, told: i64) -> Self {
        Self {
            client,
            filter,
            progress: Progress {
                told,
                ..Progress::default()
            },
            stream: None,
            lost_since: None,
        }
    }

    /// Begins anew with what is there.
    pub(crate) fn restart(&mut self) {
        self.progress = Progress::default();
        self.stream = None;
    }

    /// What happens next. Losing the future loses nothing.
    ///
    /// # Errors
    /// The server refused the watch, what was to come is compacted, or nobody ever answered.
    pub(crate) async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            let Some((node, responses)) = &mut self.stream else {
                let node = self.client.current();
                match self.open(&node).await {
                    Ok(responses) => self.stream = Some((node, responses)),
                    Err(status) => return self.lose(&node, status).await,
                }
                continue;
            };
            let status = match responses.message().await {
                Ok(Some(response)) => {
                    self.lost_since = None;
                    return Ok(Event::Told(self.progress.take(response)));
                }
                Ok(None) => Status::unavailable("the server ended the stream"),
                Err(status) => status,
            };
            let node = node.clone();
            return self.lose(&node, status).await;
        }
    }

    async fn open(&mut self, node: &Node) -> Result<Streaming<WatchResponse>, Status> {
        let request = WatchRequest {
            filter: Some(self.filter.clone()),
            after_revision: self.progress.told,
        };
        let opening = timeout(self.client.command_timeout(), async {
            // Every stream begins with a token of its own: the last one may be void by now.
            self.client.log_in(node, true).await?;
            node.registry().watch(request).await
        });
        let opened = opening.await;
        let response = opened.unwrap_or_else(|_| Err(Status::unavailable("no answer in time")))?;
        self.progress.open();
        Ok(response.into_inner())
    }

    async fn lose(&mut self, node: &Node, status: Status) -> Result<Event, ClientError> {
        self.stream = None;
        if !is_lost(&status) {
            return Err(ClientError::Refused(status));
        }
        let since = *self.lost_since.get_or_insert_with(clock::now);
        let told = self.progress.told;
        if told == 0 && since.elapsed() >= self.client.command_timeout() {
            return Err(self.client.not_connected(&status));
        }
        self.client.move_on(node).await;
        Ok(Event::Lost {
            endpoint: node.endpoint.clone(),
            reason: text_of(&status),
            told,
        })
    }
}

#[cfg(test)]
mod tests;
