//! Watches: writers change a few keys, one or several in a transaction; watchers on every node follow all of it from
//! the first revision on, over as many streams as it takes, each resumed where the one before it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::request_op::Request as OperationRequest;
use stead::proto::etcdserverpb::response_op::Response as OperationResponse;
use stead::proto::etcdserverpb::watch_client::WatchClient;
use stead::proto::etcdserverpb::watch_request::RequestUnion;
use stead::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest,
    WatchProgressRequest, WatchRequest, WatchResponse,
};
use stead::proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Answer, Client, Plan, Request, Workload};
use crate::checker::{Checker, revisions, watch};
use crate::client::{Connection, Failure, MAXIMUM_ANSWER_BYTES, OPERATION_TIMEOUT};
use crate::edn::Edn;

/// The keys that are written. The byte after `/` is `0`, which ends the range.
const PREFIX: &str = "watch/";
const RANGE_END: &str = "watch0";
const KEYS: i64 = 8;

/// The most changes in one transaction.
const MAXIMUM_CHANGES_PER_WRITE: usize = 4;

/// How long one stream is used, in milliseconds, if it does not end by itself.
const STREAM_MILLISECONDS: std::ops::RangeInclusive<i64> = 200..=4_000;

/// How often a stream is asked how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(300);

/// How long the last stream may take to bring everything up to the final revision.
const MAXIMUM_CATCH_UP: Duration = Duration::from_secs(20);

/// The first revision that a fresh store can have made.
pub const FIRST_REVISION: i64 = 2;

/// How many requests of one stream wait to be sent.
const REQUEST_QUEUE: usize = 4;

/// The workload.
pub struct Watch;

impl Workload for Watch {
    fn name(&self) -> &'static str {
        "watch"
    }

    fn summary(&self) -> &'static str {
        "watchers on all nodes see every change once and in order, also when they resume, and all see the same"
    }

    fn functions(&self) -> &'static [&'static str] {
        &["write", "watch", "watch-rest", "read-all"]
    }

    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>> {
        let next_value = Arc::new(AtomicI64::new(1));
        let watchers = (plan.clients / 2).max(1);
        (0..plan.clients)
            .map(|index| {
                if index < watchers {
                    Box::new(Watcher::new(super::as_integer(index), index >= plan.nodes)) as Box<dyn Client>
                } else {
                    Box::new(Writer {
                        next_value: next_value.clone(),
                    })
                }
            })
            .collect()
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        vec![Box::new(watch::WatchChecker), Box::new(revisions::Revisions)]
    }
}

/// Changes keys.
struct Writer {
    next_value: Arc<AtomicI64>,
}

impl Client for Writer {
    fn next(&mut self, random: &mut StdRng) -> Request {
        let count = if random.random() {
            1
        } else {
            random.random_range(1..=MAXIMUM_CHANGES_PER_WRITE)
        };
        let first: i64 = random.random_range(0..KEYS);
        let changes = (first..)
            .take(count)
            .map(|key| {
                let key = Edn::Integer(key % KEYS);
                let value = if random.random_ratio(1, 4) {
                    Edn::Nil
                } else {
                    Edn::Integer(self.next_value.fetch_add(1, Ordering::SeqCst))
                };
                Edn::Vector(vec![key, value])
            })
            .collect();
        Request::write("write", Edn::Vector(changes))
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            if request.function == "read-all" {
                return read_all(connection).await;
            }
            let changes = request.value.as_vector().unwrap_or_default();
            let transaction = TxnRequest {
                success: changes.iter().filter_map(change).collect(),
                ..Default::default()
            };
            let answer = connection
                .call(|channel| async move { KvClient::new(channel).txn(transaction).await })
                .await?;
            // A transaction that only deletes what is not there makes no revision.
            let changed = answer.responses.iter().any(|response| match &response.response {
                Some(OperationResponse::ResponseDeleteRange(deleted)) => deleted.deleted > 0,
                Some(OperationResponse::ResponsePut(_)) => true,
                _ => false,
            });
            Ok(Answer {
                value: if changed { request.value.clone() } else { Edn::Nil },
                revision: answer.header.map(|header| header.revision),
            })
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        vec![Request::read("read-all", Edn::Nil)]
    }
}

/// A change, `[key value]`, where nil deletes.
fn change(change: &Edn) -> Option<RequestOp> {
    let [Edn::Integer(key), value] = change.as_vector()? else {
        return None;
    };
    let key = format!("{PREFIX}{key}").into();
    let request = match value {
        Edn::Integer(value) => OperationRequest::RequestPut(PutRequest {
            key,
            value: value.to_string().into(),
            ..Default::default()
        }),
        _ => OperationRequest::RequestDeleteRange(DeleteRangeRequest {
            key,
            ..Default::default()
        }),
    };
    Some(RequestOp {
        request: Some(request),
    })
}

/// Reads every key: `[[key value revision] ...]`.
async fn read_all(connection: &mut Connection) -> Result<Answer, Failure> {
    let range = RangeRequest {
        key: PREFIX.into(),
        range_end: RANGE_END.into(),
        ..Default::default()
    };
    let answer = connection
        .call(|channel| async move { KvClient::new(channel).range(range).await })
        .await?;
    let pairs = answer.kvs.iter().map(|pair| {
        Edn::Vector(vec![
            key_number(&pair.key),
            number(&pair.value),
            Edn::Integer(pair.mod_revision),
        ])
    });
    Ok(Answer {
        value: pairs.collect(),
        revision: answer.header.map(|header| header.revision),
    })
}

fn key_number(key: &[u8]) -> Edn {
    key.strip_prefix(PREFIX.as_bytes()).map_or(Edn::Nil, number)
}

/// The number that is written in `text`; the text itself if somebody wrote something else.
fn number(text: &[u8]) -> Edn {
    let text = String::from_utf8_lossy(text);
    text.parse().map_or_else(|_| Edn::text(text), Edn::Integer)
}

/// Follows all changes.
struct Watcher {
    number: i64,
    /// Whether each stream is opened on another node than the one before.
    roams: bool,
    /// From which revision on events are still to come.
    next_revision: i64,
    /// What was received and has not been handed to the history yet.
    received: Vec<Edn>,
}

impl Watcher {
    fn new(number: i64, roams: bool) -> Self {
        Self {
            number,
            roams,
            next_revision: FIRST_REVISION,
            received: Vec::new(),
        }
    }

    fn request(&self, function: &'static str, milliseconds: Option<i64>) -> Request {
        let value = Edn::map([
            ("watcher", Edn::Integer(self.number)),
            ("milliseconds", milliseconds.into()),
        ]);
        Request::read(function, value).after(Duration::ZERO)
    }

    /// Receives until `limit` is over or `last_revision` has come; returns why it ended.
    async fn follow(
        &mut self,
        connection: &mut Connection,
        limit: Duration,
        last_revision: i64,
    ) -> Result<String, Failure> {
        let channel = connection.channel().await?;
        let (requests, queue) = mpsc::channel(REQUEST_QUEUE);
        let create = WatchCreateRequest {
            key: PREFIX.into(),
            range_end: RANGE_END.into(),
            start_revision: self.next_revision,
            ..Default::default()
        };
        let send = async |union| {
            requests
                .send(WatchRequest {
                    request_union: Some(union),
                })
                .await
                .is_ok()
        };
        send(RequestUnion::CreateRequest(create)).await;
        let mut client = WatchClient::new(channel).max_decoding_message_size(MAXIMUM_ANSWER_BYTES);
        let opened = tokio::time::timeout(OPERATION_TIMEOUT, client.watch(ReceiverStream::new(queue))).await;
        let mut stream = match opened {
            Ok(Ok(response)) => response.into_inner(),
            Ok(Err(status)) => return Err(Failure::Unknown(status.to_string())),
            Err(_) => return Err(Failure::Unknown("no stream in time".to_owned())),
        };
        let end = tokio::time::sleep(limit);
        tokio::pin!(end);
        let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
        while self.next_revision <= last_revision {
            tokio::select! {
                () = &mut end => return Ok("the client had enough".to_owned()),
                _ = progress.tick() => {
                    if !send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await {
                        return Ok("the stream takes no requests".to_owned());
                    }
                }
                response = stream.next() => match response {
                    Some(Ok(response)) if response.canceled => return Ok(response.cancel_reason),
                    Some(Ok(response)) => self.take(&response),
                    Some(Err(status)) => return Ok(status.to_string()),
                    None => return Ok("the server closed the stream".to_owned()),
                },
            }
        }
        Ok("everything has come".to_owned())
    }

    fn take(&mut self, response: &WatchResponse) {
        for event in &response.events {
            let Some(pair) = &event.kv else { continue };
            let value = match event.r#type() {
                EventType::Put => number(&pair.value),
                EventType::Delete => Edn::Nil,
            };
            self.received.push(Edn::Vector(vec![
                Edn::Integer(pair.mod_revision),
                key_number(&pair.key),
                value,
            ]));
            self.next_revision = self.next_revision.max(pair.mod_revision + 1);
        }
        // Only the answer to a request for progress has this number: all up to its revision has been sent.
        if response.watch_id == -1 && response.events.is_empty() {
            let revision = response.header.as_ref().map_or(0, |header| header.revision);
            self.received.push(Edn::Vector(vec![
                Edn::Integer(revision),
                Edn::keyword("progress"),
            ]));
            self.next_revision = self.next_revision.max(revision + 1);
        }
    }
}

impl Client for Watcher {
    fn next(&mut self, random: &mut StdRng) -> Request {
        self.request("watch", Some(random.random_range(STREAM_MILLISECONDS)))
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let from = self.next_revision;
            let milliseconds = request.value.integer_at("milliseconds");
            let ended = match milliseconds.and_then(|milliseconds| u64::try_from(milliseconds).ok()) {
                Some(milliseconds) => {
                    if self.roams {
                        connection.hop();
                    }
                    let ended = self
                        .follow(connection, Duration::from_millis(milliseconds), i64::MAX)
                        .await;
                    if ended.is_err() {
                        connection.disconnect();
                    }
                    ended?
                }
                None => {
                    let last = read_all(connection).await?.revision.unwrap_or_default();
                    let ended = self.follow(connection, MAXIMUM_CATCH_UP, last).await?;
                    if self.next_revision <= last {
                        connection.disconnect();
                        return Err(Failure::Unknown(format!(
                            "the watch did not come to revision {last} but to {}: {ended}",
                            self.next_revision - 1
                        )));
                    }
                    ended
                }
            };
            let value = Edn::map([
                ("watcher", Edn::Integer(self.number)),
                ("from", Edn::Integer(from)),
                ("events", Edn::Vector(std::mem::take(&mut self.received))),
                ("ended", Edn::text(ended)),
            ]);
            Ok(Answer {
                value,
                revision: None,
            })
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        vec![self.request("watch-rest", None)]
    }
}
