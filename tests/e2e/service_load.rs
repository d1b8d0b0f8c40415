//! Many instances, many heartbeats, many watchers: nothing is lost, and what it costs is printed.
//!
//! A timing decides nothing here. `STEAD_SERVICE_INSTANCES`, `STEAD_SERVICE_WATCHERS` and `STEAD_SERVICE_SECONDS` say how
//! much is done; what is printed then can be held against what a cluster should bear.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stead::proto::registry::change::Change;
use stead::proto::registry::{
    HeartbeatRequest, Instance, ListServicesRequest, RegisterRequest, UpdateCheckRequest, WatchRequest,
};
use tokio::sync::{Barrier, mpsc};
use tokio::time::{interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Response};

use crate::support::{Clients, Cluster, Error, Program, Result, TestResult};

const MAXIMUM_RUN: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(100);
const TTL_SECONDS: u64 = 10;
/// Registrations under way at one time.
const WRITERS: usize = 64;
/// Leases in one message of heartbeats.
const LEASES: usize = 1_000;
/// Clock ticks a second, as Linux counts the time of processes.
const TICKS: f64 = 100.0;

fn number(name: &str, default: usize) -> Result<usize> {
    match std::env::var(name) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(default),
    }
}

/// Processor time that a process has used, in seconds.
fn processor_seconds(process: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = text.rsplit_once(')').ok_or("no name")?.1;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(ticks as f64 / TICKS)
}

/// Asks until there is an answer: on a machine that does other things, too, leaders change.
async fn patiently<T, F>(ask: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<Response<T>, tonic::Status>>,
{
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) if status.code() == Code::Unavailable => sleep(PAUSE).await,
                Err(status) => return Err(status.into()),
            }
        }
    };
    timeout(MAXIMUM_RUN, asking).await?
}

fn instance(number: usize) -> Instance {
    Instance {
        service: format!("service-{}", number % 100),
        id: format!("instance-{number}"),
        node: format!("node-{}", number / 50),
        address: "10.0.0.1".into(),
        port: 80,
        tags: vec!["v1".into(), "primary".into()],
        ttl_seconds: i64::try_from(TTL_SECONDS).unwrap_or(0),
        checks: vec![stead::proto::registry::Check {
            id: "alive".into(),
            ..Default::default()
        }],
        ..Instance::default()
    }
}

/// Registers all and keeps each alive from then on, until told to stop; how many leases were ever gone.
async fn keep(
    endpoint: String,
    mine: Vec<usize>,
    registered: Arc<Barrier>,
    stop: Arc<AtomicBool>,
) -> Result<usize> {
    let leases = Arc::new(leases_of_all::Shared::default());
    let beating = {
        let (leases, stop, endpoint) = (Arc::clone(&leases), Arc::clone(&stop), endpoint.clone());
        tokio::spawn(async move {
            let mut clients = Clients::of(&endpoint)?;
            let (sender, receiver) = mpsc::channel(1);
            sender.send(HeartbeatRequest::default()).await?;
            let mut answers = clients
                .registry
                .heartbeat(ReceiverStream::new(receiver))
                .await?
                .into_inner();
            answers.message().await?;
            let mut gone = 0;
            let mut rounds = interval(Duration::from_secs(TTL_SECONDS) / 3);
            while !stop.load(Ordering::Relaxed) {
                rounds.tick().await;
                for part in leases.all().chunks(LEASES) {
                    sender
                        .send(HeartbeatRequest {
                            leases: part.to_vec(),
                        })
                        .await?;
                    gone += answers.message().await?.ok_or("the stream ended")?.gone.len();
                }
            }
            Ok::<usize, Error>(gone)
        })
    };
    let clients = Clients::of(&endpoint)?;
    let writers = mine.chunks(mine.len().div_ceil(WRITERS).max(1)).map(|part| {
        let (clients, part, leases) = (clients.registry.clone(), part.to_vec(), Arc::clone(&leases));
        tokio::spawn(async move {
            for number in part {
                let request = RegisterRequest {
                    instance: Some(instance(number)),
                    ..RegisterRequest::default()
                };
                let answer = patiently(|| {
                    let (mut clients, request) = (clients.clone(), request.clone());
                    async move { clients.register(request).await }
                });
                leases.push(answer.await?.lease);
            }
            Ok::<(), Error>(())
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await??;
    }
    registered.wait().await;
    beating.await?
}

/// A list that several tasks append to.
mod leases_of_all {
    use std::sync::Mutex;

    #[derive(Default)]
    pub struct Shared(Mutex<Vec<i64>>);

    impl Shared {
        pub fn push(&self, lease: i64) {
            self.0.lock().expect("nobody panics with it").push(lease);
        }

        pub fn all(&self) -> Vec<i64> {
            self.0.lock().expect("nobody panics with it").clone()
        }
    }
}

/// Reads everything after a revision, or from a snapshot on if that is 0; the time that each change took from its report,
/// in microseconds. Nothing may be reported before all that watch have come to `ready`: what is reported earlier is in the
/// snapshot of some.
async fn watch(
    endpoint: String,
    after_revision: i64,
    sent: Arc<Vec<AtomicU64>>,
    ready: Arc<Barrier>,
    began: Instant,
    changes: usize,
) -> Result<Vec<u64>> {
    let mut clients = Clients::of(&endpoint)?;
    let mut told = clients
        .registry
        .watch(WatchRequest {
            after_revision,
            ..WatchRequest::default()
        })
        .await?
        .into_inner();
    let (mut waits, mut last, mut seen) = (Vec::with_capacity(changes), 0, BTreeSet::new());
    // The last message of the snapshot has a revision; what goes on after one has none.
    while after_revision == 0 && told.message().await?.ok_or("the watch ended")?.revision == 0 {}
    ready.wait().await;
    while waits.len() < changes {
        let response = told.message().await?.ok_or("the watch ended")?;
        let now = u64::try_from(began.elapsed().as_micros())?;
        for change in response.changes {
            assert!(change.revision >= last, "in order");
            last = change.revision;
            let Some(Change::Put(found)) = change.change else {
                return Err(format!("gone: {:?}", change.change).into());
            };
            if let Some(number) = found
                .checks
                .first()
                .and_then(|check| check.output.parse::<usize>().ok())
            {
                assert!(seen.insert(number), "{number} is told twice");
                waits.push(now.saturating_sub(sent[number].load(Ordering::Acquire)));
            }
        }
    }
    Ok(waits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_instances_live_and_every_watcher_is_told_every_change() -> TestResult {
    let instances = number("STEAD_SERVICE_INSTANCES", 600)?;
    let watchers = number("STEAD_SERVICE_WATCHERS", 10)?;
    let seconds = number("STEAD_SERVICE_SECONDS", 4)?;
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let endpoints = cluster.endpoints();
    let stop = Arc::new(AtomicBool::new(false));
    let registered = Arc::new(Barrier::new(endpoints.len() + 1));
    let began = Instant::now();
    let keepers: Vec<_> = endpoints
        .iter()
        .enumerate()
        .map(|(index, endpoint)| {
            let mine = (index..instances).step_by(endpoints.len()).collect();
            tokio::spawn(keep(
                endpoint.clone(),
                mine,
                Arc::clone(&registered),
                Arc::clone(&stop),
            ))
        })
        .collect();
    timeout(MAXIMUM_RUN, registered.wait()).await?;
    let rate = instances as f64 / began.elapsed().as_secs_f64();
    println!("{instances} instances registered, {rate:.0} a second");

    let processes: Vec<u32> = (0..3)
        .filter_map(|node| cluster.node(node).process_id())
        .collect();
    let used = || {
        processes
            .iter()
            .map(|process| processor_seconds(*process))
            .sum::<Result<f64>>()
    };
    let (before, from) = (used()?, Instant::now());
    sleep(Duration::from_secs(u64::try_from(seconds)?)).await;
    let cores = (used()? - before) / from.elapsed().as_secs_f64();
    println!("their heartbeats take {cores:.2} cores on all members together");

    let changes = (seconds * 1_000).min(instances * 1_000);
    let sent: Arc<Vec<AtomicU64>> = Arc::new((0..changes).map(|_| AtomicU64::new(0)).collect());
    let began = Instant::now();
    let ready = Arc::new(Barrier::new(watchers + 1));
    let client = cluster.clients(1)?.registry;
    let at = patiently(|| {
        let mut client = client.clone();
        async move { client.list_services(ListServicesRequest::default()).await }
    });
    let at = at.await?.header.ok_or("no header")?.revision;
    let watching: Vec<_> = (0..watchers)
        .map(|index| {
            let endpoint = endpoints[index % endpoints.len()].clone();
            let (sent, ready) = (Arc::clone(&sent), Arc::clone(&ready));
            // One of ten is told of all that is there first.
            let after = if index % 10 == 0 { 0 } else { at };
            tokio::spawn(watch(endpoint, after, sent, ready, began, changes))
        })
        .collect();
    timeout(MAXIMUM_RUN, ready.wait()).await?;
    let (before, from) = (used()?, Instant::now());
    let mut reports = Vec::new();
    let mut ticks = interval(Duration::from_millis(10));
    let clients = Clients::of(&endpoints[0])?;
    for number in 0..changes {
        if number % 10 == 0 {
            ticks.tick().await;
        }
        let report = UpdateCheckRequest {
            node: format!("node-{}", number % instances / 50),
            id: format!("instance-{}", number % instances),
            check: "alive".into(),
            status: 1,
            output: number.to_string(),
        };
        let client = clients.registry.clone();
        let sent = Arc::clone(&sent);
        reports.push(tokio::spawn(async move {
            let now = u64::try_from(began.elapsed().as_micros()).unwrap_or(0);
            sent[number].store(now, Ordering::Release);
            patiently(|| {
                let (mut client, report) = (client.clone(), report.clone());
                async move { client.update_check(report).await }
            })
            .await
        }));
    }
    for report in reports {
        report.await??;
    }
    let rate = changes as f64 / from.elapsed().as_secs_f64();
    let mut waits = Vec::new();
    for watcher in watching {
        waits.extend(timeout(MAXIMUM_RUN, watcher).await???);
    }
    let cores = (used()? - before) / from.elapsed().as_secs_f64();
    assert_eq!(waits.len(), changes * watchers);
    waits.sort_unstable();
    let percentile = |part: usize| waits[(waits.len() - 1) * part / 100] as f64 / 1_000.0;
    println!(
        "{rate:.0} changes a second reach {watchers} watchers in {:.1} ms (half), {:.1} ms (99 of 100), {:.1} ms (all), with {cores:.2} cores",
        percentile(50),
        percentile(99),
        percentile(100)
    );

    let answer = patiently(|| {
        let mut client = client.clone();
        async move { client.list_services(ListServicesRequest::default()).await }
    });
    let alive: u32 = answer
        .await?
        .services
        .iter()
        .map(|service| service.instances)
        .sum();
    assert_eq!(usize::try_from(alive)?, instances, "nobody has died");
    stop.store(true, Ordering::Relaxed);
    for keeper in keepers {
        assert_eq!(timeout(MAXIMUM_RUN, keeper).await???, 0, "no lease was gone");
    }
    Ok(())
}
