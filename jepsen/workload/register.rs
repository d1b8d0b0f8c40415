//! Registers with read, write and compare-and-set. Values are never written twice to one register, so that a
//! comparison of the modification revision says the same as a comparison of the value.
//!
//! A register is used for a limited number of operations and then replaced, because the time to check one grows
//! faster than its history.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::StdRng;
use stead::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use stead::proto::etcdserverpb::kv_client::KvClient;
use stead::proto::etcdserverpb::request_op::Request as OperationRequest;
use stead::proto::etcdserverpb::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest};
use stead::proto::mvccpb::KeyValue;

use super::{Answer, Client, Plan, Request, Workload};
use crate::checker::{Checker, linearizable, revisions};
use crate::client::{Connection, Failure};
use crate::edn::Edn;

/// How many registers are in use at a time.
const ACTIVE_REGISTERS: usize = 4;

/// How many operations a register is used for.
const MAXIMUM_OPERATIONS_PER_REGISTER: usize = 400;

/// The workload.
pub struct Registers;

impl Workload for Registers {
    fn name(&self) -> &'static str {
        "register"
    }

    fn summary(&self) -> &'static str {
        "independent registers: read, write, compare-and-set by value and by revision; linearizable each"
    }

    fn functions(&self) -> &'static [&'static str] {
        &["read", "write", "cas", "cas-revision"]
    }

    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>> {
        let registers = Arc::new(Mutex::new(Shared::new()));
        (0..plan.clients)
            .map(|index| {
                Box::new(RegisterClient {
                    shared: registers.clone(),
                    only_reads: index < plan.nodes,
                    serializable_reads: plan.serializable_reads,
                }) as Box<dyn Client>
            })
            .collect()
    }

    fn checkers(&self) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(linearizable::Linearizable),
            Box::new(revisions::Revisions),
        ]
    }
}

struct Register {
    key: i64,
    operations: usize,
    last_written: i64,
    /// A value that was seen lately, and its modification revision.
    seen: Option<(i64, i64)>,
}

impl Register {
    fn fresh(key: i64) -> Self {
        Self {
            key,
            operations: 0,
            last_written: 0,
            seen: None,
        }
    }
}

struct Shared {
    active: Vec<Register>,
    next_key: i64,
    /// The modification revisions to compare with, by (key, value), of the operations that are under way.
    expected_revisions: HashMap<(i64, i64), i64>,
}

impl Shared {
    fn new() -> Self {
        let next_key = super::as_integer(ACTIVE_REGISTERS);
        Self {
            active: (0..next_key).map(Register::fresh).collect(),
            next_key,
            expected_revisions: HashMap::new(),
        }
    }

    fn draw(&mut self, only_reads: bool, random: &mut StdRng) -> Request {
        let register = &mut self.active[random.random_range(0..ACTIVE_REGISTERS)];
        if register.operations == MAXIMUM_OPERATIONS_PER_REGISTER {
            *register = Register::fresh(self.next_key);
            self.next_key += 1;
        }
        register.operations += 1;
        let key = register.key;
        let choice = random.random_range(0..10);
        if only_reads || choice < 4 {
            return Request::read("read", keyed(key, Edn::Nil));
        }
        register.last_written += 1;
        let new = register.last_written;
        match register.seen {
            Some((old, revision)) if choice < 7 => {
                let function = if random.random() {
                    self.expected_revisions.insert((key, old), revision);
                    "cas-revision"
                } else {
                    "cas"
                };
                Request::write(function, keyed(key, [old, new].into_iter().collect()))
            }
            _ => Request::write("write", keyed(key, Edn::Integer(new))),
        }
    }

    fn saw(&mut self, key: i64, value: i64, revision: i64) {
        if let Some(register) = self.active.iter_mut().find(|register| register.key == key) {
            register.seen = Some((value, revision));
        }
    }
}

fn keyed(key: i64, value: Edn) -> Edn {
    Edn::Vector(vec![Edn::Integer(key), value])
}

struct RegisterClient {
    shared: Arc<Mutex<Shared>>,
    /// Whether this is one of the clients, one for each node, that only read: on a node that cannot write, the others
    /// soon wait for a write, and nobody would see how old its state is.
    only_reads: bool,
    serializable_reads: bool,
}

impl Client for RegisterClient {
    fn next(&mut self, random: &mut StdRng) -> Request {
        self.shared.lock().draw(self.only_reads, random)
    }

    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>> {
        Box::pin(async move {
            let Some([Edn::Integer(key), argument]) = request.value.as_vector() else {
                return Err(Failure::DidNotHappen("the request names no register".to_owned()));
            };
            match argument {
                Edn::Integer(value) => self.write(*key, *value, connection).await,
                Edn::Vector(values) => {
                    let [Edn::Integer(old), Edn::Integer(new)] = values.as_slice() else {
                        return Err(Failure::DidNotHappen(
                            "the request names no two values".to_owned(),
                        ));
                    };
                    let by_revision = request.function == "cas-revision";
                    self.compare_and_set(*key, (*old, *new), by_revision, connection)
                        .await
                }
                _ => self.read(*key, connection).await,
            }
        })
    }

    fn final_requests(&mut self) -> Vec<Request> {
        let shared = self.shared.lock();
        shared
            .active
            .iter()
            .map(|register| Request::read("read", keyed(register.key, Edn::Nil)))
            .collect()
    }
}

impl RegisterClient {
    async fn read(&self, key: i64, connection: &mut Connection) -> Result<Answer, Failure> {
        let request = RangeRequest {
            key: name(key).into(),
            serializable: self.serializable_reads,
            ..Default::default()
        };
        let answer = connection
            .call(|channel| async move { KvClient::new(channel).range(request).await })
            .await?;
        let value = answer.kvs.first().map(decode).transpose()?;
        if let (Some(value), Some(pair)) = (value, answer.kvs.first()) {
            self.shared.lock().saw(key, value, pair.mod_revision);
        }
        Ok(Answer {
            value: keyed(key, value.into()),
            revision: answer.header.map(|header| header.revision),
        })
    }

    async fn write(&self, key: i64, value: i64, connection: &mut Connection) -> Result<Answer, Failure> {
        let request = PutRequest {
            key: name(key).into(),
            value: value.to_string().into(),
            ..Default::default()
        };
        let answer = connection
            .call(|channel| async move { KvClient::new(channel).put(request).await })
            .await?;
        let revision = answer.header.map(|header| header.revision);
        if let Some(revision) = revision {
            self.shared.lock().saw(key, value, revision);
        }
        Ok(Answer {
            value: keyed(key, Edn::Integer(value)),
            revision,
        })
    }

    async fn compare_and_set(
        &self,
        key: i64,
        (old, new): (i64, i64),
        by_revision: bool,
        connection: &mut Connection,
    ) -> Result<Answer, Failure> {
        let expected = self.shared.lock().expected_revisions.get(&(key, old)).copied();
        let (target, union) = match expected {
            Some(revision) if by_revision => (CompareTarget::Mod, TargetUnion::ModRevision(revision)),
            _ => (CompareTarget::Value, TargetUnion::Value(old.to_string().into())),
        };
        let request = TxnRequest {
            compare: vec![Compare {
                result: CompareResult::Equal.into(),
                target: target.into(),
                key: name(key).into(),
                target_union: Some(union),
                ..Default::default()
            }],
            success: vec![RequestOp {
                request: Some(OperationRequest::RequestPut(PutRequest {
                    key: name(key).into(),
                    value: new.to_string().into(),
                    ..Default::default()
                })),
            }],
            failure: Vec::new(),
        };
        let answer = connection
            .call(|channel| async move { KvClient::new(channel).txn(request).await })
            .await?;
        let revision = answer.header.map(|header| header.revision);
        if let (true, Some(revision)) = (answer.succeeded, revision) {
            self.shared.lock().saw(key, new, revision);
        }
        Ok(Answer {
            value: Edn::Vector(vec![
                Edn::Integer(key),
                [old, new].into_iter().collect(),
                Edn::Boolean(answer.succeeded),
            ]),
            revision,
        })
    }
}

fn name(key: i64) -> String {
    format!("register/{key}")
}

fn decode(pair: &KeyValue) -> Result<i64, Failure> {
    std::str::from_utf8(&pair.value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Failure::Unknown(format!("{:?} is not a value that was written", pair.value)))
}
