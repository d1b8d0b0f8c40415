//! What clients do to a cluster. A workload is one file here and one line in [`all`].
//!
//! A workload hands out clients; [`drive`] runs each of them as a process of the history: it records the invocation
//! before anything is sent and the completion after the answer is there, and gives a client a new process number
//! after an unknown outcome.

mod append;
mod lease;
mod register;
mod set;
mod watch;

pub use watch::FIRST_REVISION;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::checker::Checker;
use crate::client::{Connection, Failure};
use crate::edn::Edn;
use crate::history::{Kind, Operation, Process, Recorder};

/// How often an operation of the final phase is tried, and how long is waited in between: a healed cluster has to
/// answer, and what does not answer then is reported as unchecked.
const MAXIMUM_FINAL_ATTEMPTS: usize = 40;
const FINAL_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// One operation to do.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name in the history.
    pub function: &'static str,
    /// Its argument.
    pub value: Edn,
    /// Whether it changes nothing: then an unknown outcome is no different from a failure.
    pub read_only: bool,
    /// How long to wait before it; a wait drawn by the rate of the run if absent.
    pub after: Option<Duration>,
}

impl Request {
    /// An operation that only reads.
    pub fn read(function: &'static str, value: Edn) -> Self {
        Self {
            function,
            value,
            read_only: true,
            after: None,
        }
    }

    /// An operation that may change the store.
    pub fn write(function: &'static str, value: Edn) -> Self {
        Self {
            function,
            value,
            read_only: false,
            after: None,
        }
    }

    /// The same operation, done `pause` from now.
    pub fn after(mut self, pause: Duration) -> Self {
        self.after = Some(pause);
        self
    }
}

/// The result of an operation that happened.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The result.
    pub value: Edn,
    /// The revision of the store that the answer named, if the operation was linearizable.
    pub revision: Option<i64>,
}

/// One client: draws operations and does them.
pub trait Client: Send {
    /// The next operation.
    fn next(&mut self, random: &mut StdRng) -> Request;

    /// Does an operation.
    fn apply<'a>(
        &'a mut self,
        request: &'a Request,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, Result<Answer, Failure>>;

    /// What to do after the last fault was healed. Each is tried until it succeeds.
    fn final_requests(&mut self) -> Vec<Request>;
}

/// What a workload may know of the run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many nodes.
    pub nodes: usize,
    /// How many clients.
    pub clients: usize,
    /// Whether reads are to be asked for without a barrier, to see that the checkers find it.
    pub serializable_reads: bool,
}

/// A kind of use of the store together with what must hold of it.
pub trait Workload: Send + Sync {
    /// The name on the command line.
    fn name(&self) -> &'static str;

    /// One line for `list`.
    fn summary(&self) -> &'static str;

    /// The functions of which at least one must have succeeded, else the run shows nothing.
    fn functions(&self) -> &'static [&'static str];

    /// Exactly `plan.clients` clients of a fresh cluster.
    fn clients(&self, plan: Plan) -> Vec<Box<dyn Client>>;

    /// What decides whether a history is right.
    fn checkers(&self) -> Vec<Box<dyn Checker>>;
}

/// Every workload, in the order of `list`.
pub fn all() -> Vec<Box<dyn Workload>> {
    vec![
        Box::new(register::Registers),
        Box::new(set::Set),
        Box::new(append::Append),
        Box::new(watch::Watch),
        Box::new(lease::Lease),
    ]
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Driver {
    /// Where operations are taken down.
    pub recorder: Arc<Recorder>,
    /// How many clients there are: a client's next process number is this much higher.
    pub clients: usize,
    /// The mean time between two operations of one client.
    pub interval: Duration,
    /// Ends the main phase.
    pub stop: CancellationToken,
    /// Begins the final phase: every fault is healed.
    pub healed: CancellationToken,
}

impl Driver {
    /// Runs one client through the main phase and the final phase. Every second client stays with its node whatever
    /// happens; the others go to the next node after an error.
    pub async fn drive(
        self,
        index: usize,
        mut client: Box<dyn Client>,
        connection: Connection,
        mut random: StdRng,
    ) {
        let mut session = Session {
            recorder: self.recorder,
            process: as_integer(index),
            process_step: as_integer(self.clients),
            hops: index % 2 == 1,
            connection,
        };
        loop {
            let request = client.next(&mut random);
            let pause = request
                .after
                .unwrap_or_else(|| self.interval.mul_f64(2.0 * random.random::<f64>()));
            if tokio::time::timeout(pause, self.stop.cancelled()).await.is_ok() {
                break;
            }
            session.run(client.as_mut(), &request).await;
        }
        self.healed.cancelled().await;
        session.connection.disconnect();
        for request in client.final_requests() {
            tokio::time::sleep(request.after.unwrap_or_default()).await;
            for _ in 0..MAXIMUM_FINAL_ATTEMPTS {
                if session.run(client.as_mut(), &request).await == Kind::Ok {
                    break;
                }
                tokio::time::sleep(FINAL_RETRY_PAUSE).await;
            }
        }
    }
}

struct Session {
    recorder: Arc<Recorder>,
    process: i64,
    process_step: i64,
    hops: bool,
    connection: Connection,
}

impl Session {
    async fn run(&mut self, client: &mut dyn Client, request: &Request) -> Kind {
        let operation = Operation {
            kind: Kind::Invoke,
            function: request.function.to_owned(),
            process: Process::Client(self.process),
            time: 0,
            value: request.value.clone(),
            revision: None,
            node: Some(as_integer(self.connection.node())),
            error: None,
        };
        self.recorder.record(operation.clone());
        let (kind, value, revision, error) = match client.apply(request, &mut self.connection).await {
            Ok(answer) => (Kind::Ok, answer.value, answer.revision, None),
            Err(Failure::Unknown(error)) if !request.read_only => {
                (Kind::Info, request.value.clone(), None, Some(error))
            }
            Err(Failure::Unknown(error) | Failure::DidNotHappen(error)) => {
                (Kind::Fail, request.value.clone(), None, Some(error))
            }
        };
        self.recorder.record(Operation {
            kind,
            value,
            revision,
            error,
            ..operation
        });
        if kind == Kind::Info {
            self.process += self.process_step;
        }
        if kind != Kind::Ok && self.hops {
            self.connection.hop();
        }
        kind
    }
}

/// A count or an index as the histories hold it.
pub fn as_integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
