//! Lists that transactions append to and read, several at once. A transaction reads its lists and then writes them,
//! on the condition that their modification revisions are still those that were read.
//!
//! A history of appends shows more than one of registers: the final lists name the order of all transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::index::sample;
use stead::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::request_op::Request as OperationRequest;
use stead::proto::etcdserverpb::response_op::Response as OperationResponse;
use stead::proto::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse};

use super::{Answer, Client, Plan, Request, Workload};
use crate::checker::{Checker, append, revisions};
use crate::client::{Connection, Failure};
use crate::edn::Edn;

/// How many lists are in use at a time.
const ACTIVE_LISTS: usize = 5;

/// How many appends are begun before the lists are replaced by fresh ones: lists travel whole.
const APPENDS_PER_GENERATION: i64 = 300;

/// The most lists that one transaction touches.
const MAXIMUM_LISTS_PER_TRANSACTION: usize = 3;

/// The workload.
pub struct Append;

impl Workload for Append {
    fn name(&self) -> &'static str {
        "append"
    }

    fn summary(&self) -> &'static str {
        "transactions append to several lists and read them: strictly serializable, by the order of revisions"
    }

    fn functions(&self) -> &'static [&'static str] {
        &["append", "read"]
    }

    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>> {
        let next_element = Arc::new(AtomicI64::new(0));
        (0..plan.clients)
            .map(|_| {
                Box::new(Appender {
                    next_element: next_element.clone(),
                    serializable_reads: plan.serializable_reads,
                }) as Box<dyn Client>
            })
            .collect()
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        vec![Box::new(append::AppendChecker), Box::new(revisions::Revisions)]
    }
}

struct Appender {
    next_element: Arc<AtomicI64>,
    serializable_reads: bool,
}

/// The lists of the generation to which `element` belongs.
fn lists_of(element: i64) -> impl Iterator<Item = i64> {
    let count = super::as_integer(ACTIVE_LISTS);
    let first = element / APPENDS_PER_GENERATION * count;
    first..first + count
}

impl Client for Appender {
    fn next(&mut self, random: &mut StdRng) -> Request {
        let read_only = random.random_ratio(1, 3);
        let element = match read_only {
            true => self.next_element.load(Ordering::SeqCst),
            false => self.next_element.fetch_add(1, Ordering::SeqCst),
        };
        let count = random.random_range(1..=MAXIMUM_LISTS_PER_TRANSACTION);
        let mut chosen = sample(random, ACTIVE_LISTS, count).into_vec();
        chosen.sort_unstable();
        let lists: Edn = lists_of(element)
            .enumerate()
            .filter_map(|(position, list)| chosen.contains(&position).then_some(list))
            .collect();
        if read_only {
            Request::read("read", lists)
        } else {
            Request::write("append", Edn::Vector(vec![Edn::Integer(element), lists]))
        }
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            match request.value.as_vector() {
                Some([Edn::Integer(element), Edn::Vector(lists)]) if !request.read_only => {
                    append_to(*element, lists, connection).await
                }
                Some(lists) => {
                    let (revision, found) = read(lists, self.serializable_reads, connection).await?;
                    let value = found
                        .into_iter()
                        .map(|(list, found)| found.to_edn(list))
                        .collect();
                    Ok(Answer {
                        value,
                        revision: Some(revision),
                    })
                }
                None => Err(Failure::DidNotHappen("the request names no list".to_owned())),
            }
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        (0..=self.next_element.load(Ordering::SeqCst))
            .step_by(usize::try_from(APPENDS_PER_GENERATION).unwrap_or(1))
            .map(|element| Request::read("read", lists_of(element).collect()))
            .collect()
    }
}

/// A list as it was read.
#[derive(Default)]
struct Found {
    elements: Vec<i64>,
    modification_revision: i64,
}

impl Found {
    /// `[list revision [elements]]`
    fn to_edn(&self, list: i64) -> Edn {
        Edn::Vector(vec![
            Edn::Integer(list),
            Edn::Integer(self.modification_revision),
            self.elements.iter().copied().collect(),
        ])
    }
}

/// Reads lists in one transaction.
async fn read(
    lists: &[Edn],
    serializable: bool,
    connection: &mut Connection,
) -> Result<(i64, BTreeMap<i64, Found>), Failure> {
    let ranges = lists.iter().filter_map(Edn::as_integer).map(|list| RequestOp {
        request: Some(OperationRequest::RequestRange(RangeRequest {
            key: name(list).into(),
            serializable,
            ..Default::default()
        })),
    });
    let transaction = TxnRequest {
        success: ranges.collect(),
        ..Default::default()
    };
    let answer: TxnResponse = connection
        .call(|channel| async move { KvClient::new(channel).txn(transaction).await })
        .await?;
    let mut found = BTreeMap::new();
    for (list, response) in lists.iter().filter_map(Edn::as_integer).zip(&answer.responses) {
        let Some(OperationResponse::ResponseRange(range)) = &response.response else {
            continue;
        };
        let entry: &mut Found = found.entry(list).or_default();
        if let Some(pair) = range.kvs.first() {
            entry.modification_revision = pair.mod_revision;
            entry.elements = String::from_utf8_lossy(&pair.value)
                .split(' ')
                .map(|element| element.parse().unwrap_or(i64::MIN))
                .collect();
        }
    }
    Ok((answer.header.map_or(0, |header| header.revision), found))
}

/// Reads the lists, then writes each with `element` at its end if none has changed: `[element lists]`, in which each
/// list is shown as it was read.
async fn append_to(element: i64, lists: &[Edn], connection: &mut Connection) -> Result<Answer, Failure> {
    // The transaction that writes decides: the read before it may be as stale as it likes, and its failure is certain.
    let (_, found) = read(lists, true, connection)
        .await
        .map_err(|(Failure::Unknown(error) | Failure::DidNotHappen(error))| Failure::DidNotHappen(error))?;
    let compares = found.iter().map(|(list, found)| Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: name(*list).into(),
        target_union: Some(TargetUnion::ModRevision(found.modification_revision)),
        ..Default::default()
    });
    let puts = found.iter().map(|(list, found)| {
        let elements: Vec<String> = found
            .elements
            .iter()
            .chain([&element])
            .map(i64::to_string)
            .collect();
        RequestOp {
            request: Some(OperationRequest::RequestPut(PutRequest {
                key: name(*list).into(),
                value: elements.join(" ").into(),
                ..Default::default()
            })),
        }
    });
    let transaction = TxnRequest {
        compare: compares.collect(),
        success: puts.collect(),
        failure: Vec::new(),
    };
    let answer = connection
        .call(|channel| async move { KvClient::new(channel).txn(transaction).await })
        .await?;
    if !answer.succeeded {
        return Err(Failure::DidNotHappen("a list had changed".to_owned()));
    }
    let shown = found.iter().map(|(list, found)| found.to_edn(*list)).collect();
    Ok(Answer {
        value: Edn::Vector(vec![Edn::Integer(element), shown]),
        revision: answer.header.map(|header| header.revision),
    })
}

fn name(list: i64) -> String {
    format!("append/{list}")
}
