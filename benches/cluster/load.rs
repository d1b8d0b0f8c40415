//! The load: threads with connections, connections with clients, clients that ask one thing after another.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::ValueEnum;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use stead::proto::secrets::SecretRequest;

use super::grpc::{Call, Connection, encode};
use super::secrets;
use super::support::Result;

/// What is sent before a round counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long after the end of a round the last answers may come.
const MAXIMUM_OVERTIME: Duration = Duration::from_secs(30);

const MAXIMUM_LATENCY_MICROSECONDS: u64 = 60_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Of a hundred requests of the mixed workload, so many are puts; the others are linearizable reads.
const PUTS_OF_HUNDRED: u32 = 20;

/// How long after one rotation of the data key the next comes, where there are any.
const ROTATION_INTERVAL: Duration = Duration::from_millis(500);

/// How long before tokens end together the first of them is made, and how much longer for each of them.
const TIME_TO_MAKE_TOKENS: Duration = Duration::from_secs(5);
const TIME_TO_MAKE_A_TOKEN: Duration = Duration::from_micros(600);

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Put a random key.
    Put,
    /// Read a random key, linearizable.
    Linearizable,
    /// Read a random key, serializable.
    Serializable,
    /// Puts and linearizable reads, 20 to 80.
    Mixed,
    /// Read a random secret of the engine that keeps versions, with a token whose policy is checked. Stead alone.
    SecretGet,
    /// Write one: a version more.
    SecretPut,
    /// Write a random secret of the engine that keeps none.
    SecretPutPlain,
    /// Read and write secrets, 80 to 20.
    SecretMixed,
    /// The same, while the data key is rotated over and over.
    SecretRotated,
    /// The same, from when many tokens end, and the leases that they hang on, all at once.
    SecretEnding,
}

impl Workload {
    /// Whether only Stead has it.
    pub fn is_of_secrets(self) -> bool {
        match self {
            Self::Put | Self::Linearizable | Self::Serializable | Self::Mixed => false,
            Self::SecretGet
            | Self::SecretPut
            | Self::SecretPutPlain
            | Self::SecretMixed
            | Self::SecretRotated
            | Self::SecretEnding => true,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Put => "put",
            Self::Linearizable => "linearizable",
            Self::Serializable => "serializable",
            Self::Mixed => "mixed",
            Self::SecretGet => "secret-get",
            Self::SecretPut => "secret-put",
            Self::SecretPutPlain => "secret-put-plain",
            Self::SecretMixed => "secret-mixed",
            Self::SecretRotated => "secret-rotated",
            Self::SecretEnding => "secret-ending",
        })
    }
}

/// A histogram of latencies in microseconds.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAXIMUM_LATENCY_MICROSECONDS, SIGNIFICANT_DIGITS)
        .expect("the bounds are in order")
}

/// Who asks whom for what.
pub struct Plan {
    pub endpoints: Vec<String>,
    pub clients: usize,
    pub connections: usize,
    pub threads: usize,
    pub key_bytes: usize,
    pub value_bytes: usize,
    pub keys: usize,
    /// For the secret store, if that is loaded too.
    pub token: Option<String>,
    /// How many tokens end at once, where any do.
    pub ending_tokens: usize,
}

/// What a round has shown.
pub struct Measurement {
    /// Of the requests that were answered with OK, in microseconds.
    pub latencies: Histogram<u64>,
    pub errors: u64,
    pub elapsed: Duration,
    /// Requests before the round counted.
    pub warm_up_requests: u64,
}

impl Measurement {
    fn empty() -> Self {
        Self {
            latencies: new_histogram(),
            errors: 0,
            elapsed: Duration::ZERO,
            warm_up_requests: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.latencies
            .add(&other.latencies)
            .expect("all histograms have the same bounds");
        self.errors += other.errors;
        self.warm_up_requests += other.warm_up_requests;
    }
}

/// Every message that the load sends, encoded once.
struct Messages {
    puts: Vec<Bytes>,
    linearizable: Vec<Bytes>,
    serializable: Vec<Bytes>,
    /// Empty, as the next two: the secret store is not loaded.
    secret_gets: Vec<Bytes>,
    secret_puts: Vec<Bytes>,
    plain_secret_puts: Vec<Bytes>,
    rotation: Bytes,
}

impl Messages {
    fn of(plan: &Plan) -> Self {
        let value = Bytes::from(vec![b'v'; plan.value_bytes]);
        let keys: Vec<Bytes> = (0..plan.keys)
            .map(|number| {
                let mut key = format!("load/{number:012}").into_bytes();
                key.resize(plan.key_bytes, b'k');
                key.into()
            })
            .collect();
        let put = |key: &Bytes| {
            encode(&PutRequest {
                key: key.clone(),
                value: value.clone(),
                ..Default::default()
            })
        };
        let read = |key: &Bytes, serializable| {
            encode(&RangeRequest {
                key: key.clone(),
                serializable,
                ..Default::default()
            })
        };
        let text = String::from_utf8_lossy(&value).into_owned();
        let versioned = serde_json::json!({"data": {"value": &text}}).to_string();
        let plain = serde_json::json!({"value": &text}).to_string();
        let secret = |mount: &str, number: usize, data: &str| {
            encode(&SecretRequest {
                path: format!("{mount}/{number:012}"),
                data: data.to_owned().into(),
                ..SecretRequest::default()
            })
        };
        let secrets = 0..if plan.token.is_some() { plan.keys } else { 0 };
        let below = format!("{}/data", secrets::VERSIONED);
        Self {
            secret_gets: secrets.clone().map(|number| secret(&below, number, "")).collect(),
            secret_puts: secrets
                .clone()
                .map(|number| secret(&below, number, &versioned))
                .collect(),
            plain_secret_puts: secrets
                .map(|number| secret(secrets::PLAIN, number, &plain))
                .collect(),
            rotation: encode(&SecretRequest {
                path: "sys/rotate".to_owned(),
                ..SecretRequest::default()
            }),
            puts: keys.iter().map(put).collect(),
            linearizable: keys.iter().map(|key| read(key, false)).collect(),
            serializable: keys.iter().map(|key| read(key, true)).collect(),
        }
    }

    /// One request of those that write everything once, by its number; none: that was the last.
    fn fill(&self, number: usize) -> Option<(Call, Bytes)> {
        let messages = [
            (Call::Put, &self.puts),
            (Call::WriteSecret, &self.secret_puts),
            (Call::WriteSecret, &self.plain_secret_puts),
        ];
        let mut number = number;
        for (call, messages) in messages {
            match messages.get(number) {
                Some(message) => return Some((call, message.clone())),
                None => number -= messages.len(),
            }
        }
        None
    }

    /// A random request of a workload.
    fn draw(&self, workload: Workload, random: &mut SmallRng) -> (Call, Bytes) {
        let (call, messages) = match workload {
            Workload::Put => (Call::Put, &self.puts),
            Workload::Linearizable => (Call::Range, &self.linearizable),
            Workload::Serializable => (Call::Range, &self.serializable),
            Workload::Mixed if random.random_ratio(PUTS_OF_HUNDRED, 100) => (Call::Put, &self.puts),
            Workload::Mixed => (Call::Range, &self.linearizable),
            Workload::SecretPut => (Call::WriteSecret, &self.secret_puts),
            Workload::SecretPutPlain => (Call::WriteSecret, &self.plain_secret_puts),
            Workload::SecretGet => (Call::ReadSecret, &self.secret_gets),
            Workload::SecretMixed | Workload::SecretRotated | Workload::SecretEnding => {
                match random.random_ratio(PUTS_OF_HUNDRED, 100) {
                    true => (Call::WriteSecret, &self.secret_puts),
                    false => (Call::ReadSecret, &self.secret_gets),
                }
            }
        };
        (call, messages[random.random_range(0..messages.len())].clone())
    }
}

/// A load that is ready to run against one cluster.
pub struct Load {
    plan: Plan,
    messages: Arc<Messages>,
}

impl Load {
    pub fn prepare(plan: Plan) -> Result<Self> {
        if plan.threads == 0
            || plan.keys == 0
            || plan.connections < plan.threads
            || plan.clients < plan.connections
        {
            return Err(
                "at least one key and one thread, a connection for each thread, a client for each \
                        connection"
                    .into(),
            );
        }
        let messages = Arc::new(Messages::of(&plan));
        Ok(Self { plan, messages })
    }

    /// Whether the cluster that is loaded has what a workload is about.
    pub fn has(&self, workload: Workload) -> bool {
        self.plan.token.is_some() || !workload.is_of_secrets()
    }

    /// Writes every key and every secret once.
    pub fn fill(&self) -> Result<()> {
        self.send_each(|number| Ok(self.messages.fill(number)))
    }

    /// Makes the tokens that end at once; when they do.
    fn make_ending_tokens(&self) -> Result<Instant> {
        let total = self.plan.ending_tokens;
        let end = Instant::now() + TIME_TO_MAKE_TOKENS + TIME_TO_MAKE_A_TOKEN * u32::try_from(total)?;
        self.send_each(|number| {
            if number >= total {
                return Ok(None);
            }
            let left = end.saturating_duration_since(Instant::now());
            let message = secrets::token_that_ends_in(left).ok_or("no token was made in time")?;
            Ok(Some((Call::WriteSecret, message)))
        })?;
        Ok(end)
    }

    /// Has the clients send the requests of 0, 1, 2 and so on, each once; none: that was the last.
    fn send_each(&self, request: impl Fn(usize) -> Result<Option<(Call, Bytes)>> + Sync) -> Result<()> {
        let next = AtomicUsize::new(0);
        self.on_every_thread(|connection, _| {
            let (next, request) = (&next, &request);
            let mut connection = connection.clone();
            async move {
                while let Some((call, message)) = request(next.fetch_add(1, Ordering::Relaxed))? {
                    connection.call(call, message).await?;
                }
                Ok(Measurement::empty())
            }
        })?;
        Ok(())
    }

    /// Runs a workload for `duration` after the warm-up.
    pub fn run(&self, workload: Workload, duration: Duration) -> Result<Measurement> {
        let begin = match workload {
            Workload::SecretEnding => self.make_ending_tokens()?,
            _ => Instant::now() + WARM_UP,
        };
        let end = begin + duration;
        let mut sum = self.on_every_thread(|connection, client| {
            let messages = self.messages.clone();
            let mut connection = connection.clone();
            async move {
                if workload == Workload::SecretRotated && client == 0 {
                    rotate(&mut connection, &messages, end).await?;
                    return Ok(Measurement::empty());
                }
                let client = ask(&mut connection, &messages, workload, client, begin, end);
                let limit = tokio::time::Instant::from_std(end + MAXIMUM_OVERTIME);
                tokio::time::timeout_at(limit, client).await.map_err(|_| {
                    format!("a request of {workload} was not answered within {MAXIMUM_OVERTIME:?}").into()
                })
            }
        })?;
        sum.elapsed = duration;
        Ok(sum)
    }

    /// Runs `client` once for each client, on its thread and its connection, and adds up what they return.
    fn on_every_thread<Client, Run>(&self, client: Client) -> Result<Measurement>
    where
        Client: Fn(&Connection, usize) -> Run + Sync,
        Run: Future<Output = Result<Measurement>>,
    {
        let plan = &self.plan;
        let of_thread = |total: usize, thread: usize| (thread..total).step_by(plan.threads);
        let results = thread::scope(|scope| {
            let threads: Vec<_> = (0..plan.threads)
                .map(|thread| {
                    let client = &client;
                    scope.spawn(move || -> Result<Measurement> {
                        let runtime = tokio::runtime::Builder::new_current_thread()
                            .enable_all()
                            .build()?;
                        runtime.block_on(async {
                            let mut connections = Vec::new();
                            for connection in of_thread(plan.connections, thread) {
                                let endpoint = &plan.endpoints[connection % plan.endpoints.len()];
                                connections.push(Connection::open(endpoint, plan.token.as_deref()).await?);
                            }
                            let clients = of_thread(plan.clients, thread)
                                .zip(connections.iter().cycle())
                                .map(|(number, connection)| client(connection, number));
                            let mut sum = Measurement::empty();
                            for measurement in try_join_all(clients).await? {
                                sum.add(&measurement);
                            }
                            Ok(sum)
                        })
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("a load thread does not panic"))
                .collect::<Vec<_>>()
        });
        let mut sum = Measurement::empty();
        for result in results {
            sum.add(&result?);
        }
        Ok(sum)
    }
}

/// Rotates the data key until `end`.
async fn rotate(connection: &mut Connection, messages: &Messages, end: Instant) -> Result<()> {
    while Instant::now() < end {
        connection
            .call(Call::WriteSecret, messages.rotation.clone())
            .await?;
        tokio::time::sleep(ROTATION_INTERVAL).await;
    }
    Ok(())
}

/// One client: asks until `end`, and measures what it asks from `begin` on.
async fn ask(
    connection: &mut Connection,
    messages: &Messages,
    workload: Workload,
    client: usize,
    begin: Instant,
    end: Instant,
) -> Measurement {
    let mut random = SmallRng::seed_from_u64(client as u64);
    let mut measurement = Measurement::empty();
    loop {
        let start = Instant::now();
        if start >= end {
            return measurement;
        }
        let (call, message) = messages.draw(workload, &mut random);
        let answer = connection.call(call, message).await;
        let now = Instant::now();
        if start < begin {
            measurement.warm_up_requests += 1;
        } else if now < end {
            match answer {
                Ok(()) => {
                    let latency = u64::try_from((now - start).as_micros()).unwrap_or(u64::MAX);
                    measurement.latencies.saturating_record(latency);
                }
                Err(_) => measurement.errors += 1,
            }
        }
    }
}
