//! A set: elements are added, each its own key, and read back. Elements are spread over shards (key prefixes) that
//! are filled one after the other, so that a read has a bounded size.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};

use super::{Answer, Client, Plan, Request, Workload};
use crate::checker::{Checker, revisions, set};
use crate::client::{Connection, Failure, MAXIMUM_ANSWER_BYTES};
use crate::edn::Edn;

/// How many elements a shard is filled with.
const ELEMENTS_PER_SHARD: i64 = 200;

/// Of how many operations one is a read.
const OPERATIONS_PER_READ: u32 = 10;

/// The workload.
pub struct Set;

impl Workload for Set {
    fn name(&self) -> &'static str {
        "set"
    }

    fn summary(&self) -> &'static str {
        "unique elements are added and read: none that was acknowledged is lost, none is there that nobody added"
    }

    fn functions(&self) -> &'static [&'static str] {
        &["add", "read"]
    }

    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>> {
        let next_element = Arc::new(AtomicI64::new(0));
        (0..plan.clients)
            .map(|_| {
                Box::new(SetClient {
                    next_element: next_element.clone(),
                    serializable_reads: plan.serializable_reads,
                }) as Box<dyn Client>
            })
            .collect()
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        vec![Box::new(set::SetChecker), Box::new(revisions::Revisions)]
    }
}

struct SetClient {
    next_element: Arc<AtomicI64>,
    serializable_reads: bool,
}

impl Client for SetClient {
    fn next(&mut self, random: &mut StdRng) -> Request {
        if random.random_ratio(1, OPERATIONS_PER_READ) {
            let newest = self.next_element.load(Ordering::SeqCst) / ELEMENTS_PER_SHARD;
            // The newest shard half of the time: a stale read is most likely to show there.
            let shard = if random.random() {
                newest
            } else {
                random.random_range(0..=newest)
            };
            Request::read("read", Edn::Vector(vec![Edn::Integer(shard), Edn::Nil]))
        } else {
            let element = self.next_element.fetch_add(1, Ordering::SeqCst);
            let shard = element / ELEMENTS_PER_SHARD;
            Request::write("add", [shard, element].into_iter().collect())
        }
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match request.value.as_vector() {
                Some([Edn::Integer(shard), Edn::Integer(element)]) => {
                    add(*shard, *element, request, connection).await
                }
                Some([Edn::Integer(shard), Edn::Nil]) => {
                    read(*shard, self.serializable_reads, connection).await
                }
                _ => Err(Failure::DidNotHappen("the request names no shard".to_owned())),
            }
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        let newest = self.next_element.load(Ordering::SeqCst) / ELEMENTS_PER_SHARD;
        (0..=newest)
            .map(|shard| Request::read("read", Edn::Vector(vec![Edn::Integer(shard), Edn::Nil])))
            .collect()
    }
}

async fn add(
    shard: i64,
    element: i64,
    request: &Request,
    connection: &mut Connection,
) -> Result<Answer, Failure> {
    let put = PutRequest {
        key: format!("{}{element}", prefix(shard)).into(),
        value: element.to_string().into(),
        ..Default::default()
    };
    let answer = connection
        .call(|channel| async move { KvClient::new(channel).put(put).await })
        .await?;
    Ok(Answer {
        value: request.value.clone(),
        revision: answer.header.map(|header| header.revision),
    })
}

/// Reads a shard: the elements, each with the revision that added it.
async fn read(shard: i64, serializable: bool, connection: &mut Connection) -> Result<Answer, Failure> {
    let prefix = prefix(shard);
    let range = RangeRequest {
        range_end: format!("{}0", prefix.trim_end_matches('/')).into(),
        key: prefix.into(),
        serializable,
        ..Default::default()
    };
    let answer = connection
        .call(|channel| async move {
            KvClient::new(channel)
                .max_decoding_message_size(MAXIMUM_ANSWER_BYTES)
                .range(range)
                .await
        })
        .await?;
    let elements: Option<Vec<Edn>> = answer
        .kvs
        .iter()
        .map(|pair| {
            let element: i64 = std::str::from_utf8(&pair.value).ok()?.parse().ok()?;
            Some([element, pair.mod_revision].into_iter().collect())
        })
        .collect();
    let elements = elements.ok_or_else(|| Failure::Unknown("a value is not a number".to_owned()))?;
    Ok(Answer {
        value: Edn::Vector(vec![Edn::Integer(shard), Edn::Vector(elements)]),
        revision: answer.header.map(|header| header.revision),
    })
}

/// The keys of a shard. The byte after `/` is `0`, which ends the range.
fn prefix(shard: i64) -> String {
    format!("set/{shard}/")
}
