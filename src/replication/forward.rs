//! The stream on which a follower hands proposals to the leader.
//!
//! The leader answers rejections only. When the stream breaks, what was never taken by it goes back into the queue; what
//! it took may have been appended, and is left to the local apply or the deadline.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use parking_lot::Mutex;
use prometheus::IntCounter;
use tokio::sync::{mpsc, watch};
use tonic::Streaming;

use super::bundle::Bundle;
use super::interface::Status;
use super::network::{Lane, Peers, count};
use super::types::{Node, Rejections};
use super::waiters::Waiters;
use crate::base::MemberId;
use crate::proto::peer;

/// Messages that wait for the connection.
const MAXIMUM_WAITING_MESSAGES: usize = 4;

/// What waits for the connection: taken by the stream, or taken back when it breaks.
type Outbox = Arc<Mutex<mpsc::Receiver<peer::ForwardRequest>>>;

/// What goes to the leader, counted.
struct OutboxStream {
    outbox: Outbox,
    sent_bytes: IntCounter,
}

impl Stream for OutboxStream {
    type Item = peer::ForwardRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.outbox.lock().poll_recv(context);
        if let Poll::Ready(Some(message)) = &polled {
            count(&self.sent_bytes, message);
        }
        polled
    }
}

/// An open stream to the leader.
pub struct Link {
    leader: MemberId,
    messages: mpsc::Sender<peer::ForwardRequest>,
    outbox: Outbox,
    rejections: Arc<dyn Rejections>,
}

impl Link {
    /// Opens a stream to `leader`: when this returns, the leader has taken it.
    ///
    /// # Errors
    /// The leader cannot be reached within `limit`. Nothing was sent.
    pub async fn open(
        peers: &Arc<Peers>,
        leader: MemberId,
        node: &Node,
        rejections: Arc<dyn Rejections>,
        limit: Duration,
    ) -> Result<Self, String> {
        let mut client = peers.client(leader.0, node, Lane::Data)?;
        let (messages, receiver) = mpsc::channel(MAXIMUM_WAITING_MESSAGES);
        let outbox = Arc::new(Mutex::new(receiver));
        let stream = OutboxStream {
            outbox: outbox.clone(),
            sent_bytes: peers.sent_bytes(leader.0),
        };
        let opened = tokio::time::timeout(limit, client.forward(stream)).await;
        let reason = match opened {
            Ok(Ok(response)) => {
                let answers = response.into_inner();
                tokio::spawn(read_answers(
                    answers,
                    outbox.clone(),
                    rejections.clone(),
                    peers.clone(),
                    leader,
                ));
                return Ok(Self {
                    leader,
                    messages,
                    outbox,
                    rejections,
                });
            }
            Ok(Err(status)) => status.to_string(),
            Err(_) => format!("the stream did not open within {} ms", limit.as_millis()),
        };
        peers.failed(leader.0, Lane::Data);
        Err(reason)
    }

    /// Whether it leads to `leader` and has not broken.
    #[must_use]
    pub fn is_open_to(&self, leader: MemberId) -> bool {
        self.leader == leader && !self.messages.is_closed()
    }

    /// Sends from the front of `backlog` until it is empty, the stream breaks or another member leads.
    pub async fn send(
        &self,
        backlog: &mut VecDeque<u64>,
        waiters: &Waiters,
        status: &mut watch::Receiver<Status>,
    ) {
        while !backlog.is_empty() {
            let leader = Some(self.leader);
            let permit = tokio::select! {
                permit = self.messages.reserve() => permit,
                _ = status.wait_for(|status| status.leader != leader) => return,
            };
            let Ok(permit) = permit else {
                return;
            };
            if let Some(bundle) = Bundle::take(backlog, waiters) {
                permit.send(peer::ForwardRequest {
                    sequences: bundle.sequences,
                    proposals: bundle.proposals,
                });
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        take_back(&self.outbox, &*self.rejections);
    }
}

/// Closes the outbox and gives back what the stream has not taken.
fn take_back(outbox: &Outbox, rejections: &dyn Rejections) {
    let mut outbox = outbox.lock();
    outbox.close();
    while let Ok(message) = outbox.try_recv() {
        for sequence in message.sequences {
            rejections.rejected(sequence);
        }
    }
}

async fn read_answers(
    mut answers: Streaming<peer::ForwardResponse>,
    outbox: Outbox,
    rejections: Arc<dyn Rejections>,
    peers: Arc<Peers>,
    leader: MemberId,
) {
    let received_bytes = peers.received_bytes(leader.0);
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                count(&received_bytes, &answer);
                for sequence in answer.rejected_sequences {
                    rejections.rejected(sequence);
                }
            }
            Ok(None) => break,
            Err(status) => {
                tracing::debug!(%leader, %status, "the stream of proposals broke");
                peers.failed(leader.0, Lane::Data);
                break;
            }
        }
    }
    take_back(&outbox, &*rejections);
}
