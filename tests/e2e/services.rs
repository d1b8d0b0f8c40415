//! Services through real processes: one catalog on all members, which the loss of a leader neither delays nor repeats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stead::proto::registry::change::Change;
use stead::proto::registry::{
    Check, DeregisterRequest, Filter, GetRequest, HeartbeatRequest, Instance, ListRequest, RegisterRequest,
    RegisterResponse, Status, UpdateCheckRequest, WatchRequest,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
/// How long a whole test under faults may take.
const MAXIMUM_RUN: Duration = Duration::from_secs(600);
const PAUSE: Duration = Duration::from_millis(100);

fn instance(node: &str, id: &str, ttl_seconds: i64) -> Instance {
    Instance {
        service: "web".into(),
        id: id.into(),
        node: node.into(),
        address: "10.0.0.1".into(),
        port: 80,
        ttl_seconds,
        ..Instance::default()
    }
}

/// Registers, however often the leader changes meanwhile: a new registration is as good as the one before.
async fn register(clients: &mut Clients, instance: Instance) -> Result<RegisterResponse> {
    let request = RegisterRequest {
        instance: Some(instance),
        epoch: 0,
        renew: false,
    };
    let registering = async {
        loop {
            match clients.registry.register(request.clone()).await {
                Ok(registered) => return Ok(registered.into_inner()),
                Err(status) if may_pass(&status) => sleep(PAUSE).await,
                Err(status) => return Err(status.into()),
            }
        }
    };
    timeout(MAXIMUM_WAIT, registering).await?
}

fn may_pass(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Aborted | Code::Cancelled)
        || status.code() == Code::Unknown
}

/// Deregisters; whether it was there is not known if the answer was lost once.
async fn deregister(clients: &mut Clients, node: &str, id: &str) -> Result<()> {
    let request = DeregisterRequest {
        node: node.into(),
        id: id.into(),
        epoch: 0,
    };
    let deregistering = async {
        loop {
            match clients.registry.deregister(request.clone()).await {
                Ok(_) => return Ok(()),
                Err(status) if status.code() == Code::NotFound => return Ok(()),
                Err(status) if may_pass(&status) => sleep(PAUSE).await,
                Err(status) => return Err(status.into()),
            }
        }
    };
    timeout(MAXIMUM_WAIT, deregistering).await?
}

async fn listed(clients: &mut Clients) -> Result<(i64, Vec<String>)> {
    let listing = async {
        loop {
            match clients.registry.list(ListRequest::default()).await {
                Ok(answer) => break Ok::<_, tonic::Status>(answer.into_inner()),
                Err(status) if may_pass(&status) => sleep(PAUSE).await,
                Err(status) => break Err(status),
            }
        }
    };
    let answer = timeout(MAXIMUM_WAIT, listing).await??;
    let revision = answer.header.map(|header| header.revision).unwrap_or_default();
    let ids = answer
        .instances
        .into_iter()
        .map(|found| format!("{}/{}", found.node, found.id));
    Ok((revision, ids.collect()))
}

/// Follows all instances, on whichever member answers, and says at which revision it knows which.
struct Follower {
    known: BTreeMap<String, i64>,
    told: i64,
    repeated: Vec<String>,
}

impl Follower {
    fn take(&mut self, changes: Vec<stead::proto::registry::Change>, is_snapshot: bool, revision: i64) {
        for change in changes {
            if !is_snapshot && change.revision <= self.told {
                self.repeated
                    .push(format!("{} after {}", change.revision, self.told));
            }
            match change.change {
                Some(Change::Put(found)) => {
                    self.known
                        .insert(format!("{}/{}", found.node, found.id), found.epoch);
                }
                Some(Change::Removed(place)) => {
                    let name = format!("{}/{}", place.node, place.id);
                    if self.known.remove(&name).is_none() {
                        self.repeated.push(format!("{name} is gone twice"));
                    }
                }
                None => {}
            }
        }
        self.told = self.told.max(revision);
    }

    /// Follows on one member until `until` is told, or the member is lost.
    async fn follow(&mut self, clients: &mut Clients, until: impl Fn(&Self) -> bool) -> Result<bool> {
        let request = WatchRequest {
            filter: None,
            after_revision: self.told,
        };
        let Ok(answer) = clients.registry.watch(request).await else {
            return Ok(false);
        };
        let mut responses = answer.into_inner();
        while !until(self) {
            match timeout(MAXIMUM_WAIT, responses.message()).await? {
                Ok(Some(response)) => self.take(response.changes, response.is_snapshot, response.revision),
                Ok(None) | Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// Sends heartbeats for leases through whichever member answers, until told to stop; the leases that were gone.
async fn heartbeats(endpoints: Vec<String>, leases: Vec<i64>, stop: Arc<AtomicBool>) -> Result<Vec<i64>> {
    let mut gone = Vec::new();
    for endpoint in endpoints.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let mut clients = Clients::of(endpoint)?;
        let (sender, receiver) = mpsc::channel(1);
        let Ok(Ok(answer)) = timeout(Duration::from_secs(1), async {
            sender
                .send(HeartbeatRequest {
                    leases: leases.clone(),
                })
                .await
                .ok();
            clients.registry.heartbeat(ReceiverStream::new(receiver)).await
        })
        .await
        else {
            continue;
        };
        let mut answers = answer.into_inner();
        while let Ok(Ok(Some(answer))) = timeout(Duration::from_secs(2), answers.message()).await {
            gone.extend(answer.gone);
            if stop.load(Ordering::Relaxed) {
                break;
            }
            sleep(PAUSE).await;
            if sender
                .send(HeartbeatRequest {
                    leases: leases.clone(),
                })
                .await
                .is_err()
            {
                break;
            }
        }
    }
    Ok(gone)
}

#[tokio::test]
async fn services_outlive_the_leader_and_those_that_died_are_gone_on_every_member() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let others: Vec<usize> = (0..3).filter(|node| *node != leader).collect();
    let mut clients = cluster.clients(others[0])?;
    register(&mut clients, instance("n", "stays", 0)).await?;
    let lives = register(&mut clients, instance("n", "lives", 3)).await?;
    let mut follower = Follower {
        known: BTreeMap::new(),
        told: 0,
        repeated: Vec::new(),
    };
    assert!(
        follower
            .follow(&mut clients, |follower| follower.told > 0)
            .await?
    );
    let before = follower.told;
    assert_eq!(follower.known.len(), 2);

    let stop = Arc::new(AtomicBool::new(false));
    let endpoints = others
        .iter()
        .map(|node| cluster.endpoints()[*node].clone())
        .collect();
    let beating = tokio::spawn(heartbeats(endpoints, vec![lives.lease], Arc::clone(&stop)));
    register(&mut clients, instance("n", "dies", 3)).await?;
    cluster.node(leader).kill()?;
    let is_over = |follower: &Follower| follower.told > before && !follower.known.contains_key("n/dies");
    // The first change is that it comes.
    assert!(
        follower
            .follow(&mut clients, |follower| follower.known.contains_key("n/dies"))
            .await?
    );
    let waited = Instant::now();
    assert!(follower.follow(&mut clients, is_over).await?);
    println!("gone {:?} after the leader was killed", waited.elapsed());
    register(&mut clients, instance("n", "later", 0)).await?;

    cluster.restart(leader).await?;
    cluster.wait_until_ready().await?;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(beating.await??, Vec::<i64>::new(), "what lives is never gone");
    deregister(&mut clients, "n", "lives").await?;
    let mut expected = None;
    for member in 0..3 {
        let mut clients = cluster.clients(member)?;
        let (revision, ids) = listed(&mut clients).await?;
        assert_eq!(ids, ["n/later", "n/stays"], "on member {member}");
        // Whoever goes on from before the loss, on any member, also one that was not there, knows the same.
        let mut again = Follower {
            known: BTreeMap::from([("n/lives".into(), 0), ("n/stays".into(), 0)]),
            told: before,
            repeated: Vec::new(),
        };
        let is_told =
            |follower: &Follower| follower.known.len() == 2 && follower.told >= revision.min(follower.told);
        let knows = |follower: &Follower| {
            is_told(follower)
                && follower
                    .known
                    .keys()
                    .map(String::as_str)
                    .eq(["n/later", "n/stays"])
        };
        assert!(again.follow(&mut clients, knows).await?);
        assert_eq!(again.repeated, Vec::<String>::new());
        expected.get_or_insert(again.known.keys().cloned().collect::<Vec<_>>());
    }
    let expected = expected.unwrap_or_default();
    let known = |follower: &Follower| follower.known.keys().eq(expected.iter());
    assert!(follower.follow(&mut clients, known).await?);
    assert_eq!(follower.repeated, Vec::<String>::new());
    Ok(())
}

/// How often an instance is registered and deregistered. For a long run:
/// `STEAD_SERVICE_CYCLES=100000 cargo test --test cluster never_comes_back -- --test-threads 1 --nocapture`.
const CYCLES: usize = 2_000;
const WORKERS: usize = 8;

#[tokio::test]
async fn what_is_deregistered_never_comes_back_while_leaders_die() -> TestResult {
    let cycles: usize = match std::env::var("STEAD_SERVICE_CYCLES") {
        Ok(cycles) => cycles.parse()?,
        Err(_) => CYCLES,
    };
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let done = Arc::new(AtomicUsize::new(0));
    let endpoints = cluster.endpoints();
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let (done, endpoints) = (Arc::clone(&done), endpoints.clone());
        workers.push(tokio::spawn(async move {
            let clients: Result<Vec<Clients>> =
                endpoints.iter().map(|endpoint| Clients::of(endpoint)).collect();
            let mut clients = clients?;
            let mut cycle = 0;
            let mut uncertain = 0;
            while done.fetch_add(1, Ordering::Relaxed) < cycles {
                cycle += 1;
                let id = format!("i{}", cycle % 3);
                let node = format!("w{worker}");
                let member = cycle % clients.len();
                let request = RegisterRequest {
                    instance: Some(instance(&node, &id, if cycle % 2 == 0 { 0 } else { 30 })),
                    epoch: 0,
                    renew: false,
                };
                // A client that does not wait for long: what it asked for may be under way when it goes on.
                let asked = clients[member].registry.register(request);
                let patience = Duration::from_millis(200);
                if !matches!(timeout(patience, asked).await, Ok(Ok(_))) {
                    uncertain += 1;
                }
                let until = Instant::now() + MAXIMUM_RUN;
                let mut member = (member + 1) % clients.len();
                while Instant::now() < until {
                    let request = DeregisterRequest {
                        node: node.clone(),
                        id: id.clone(),
                        epoch: 0,
                    };
                    let asked = clients[member].registry.deregister(request);
                    match timeout(Duration::from_secs(8), asked).await {
                        Ok(Ok(_)) => break,
                        Ok(Err(status)) if status.code() == Code::NotFound => break,
                        _ => member = (member + 1) % clients.len(),
                    }
                }
                if uncertain % 4 == 1 {
                    sleep(Duration::from_millis(5)).await;
                }
                let request = GetRequest {
                    node: node.clone(),
                    id: id.clone(),
                    stale: false,
                };
                let other = (member + 1) % clients.len();
                let found = clients[other].registry.get(request).await;
                if let Ok(found) = found {
                    return Err(format!("{node}/{id} came back: {:?}", found.into_inner()).into());
                }
            }
            Ok::<usize, crate::support::Error>(uncertain)
        }));
    }
    let deaths = cluster.lose_leaders(8, &done, cycles).await?;
    let mut uncertain = 0;
    for worker in workers {
        uncertain += timeout(MAXIMUM_RUN, worker).await???;
    }
    println!("{cycles} cycles, {deaths} deaths of a leader, {uncertain} registrations without an answer");
    assert!(deaths >= 3, "{deaths} leaders died");
    // Whatever was still under way has had its time.
    sleep(Duration::from_secs(10)).await;
    for member in 0..3 {
        let (_, ids) = listed(&mut cluster.clients(member)?).await?;
        assert_eq!(ids, Vec::<String>::new(), "on member {member}");
    }
    Ok(())
}

#[tokio::test]
async fn a_check_that_is_reported_is_seen_by_whoever_watches_for_health() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut clients = cluster.clients(0)?;
    let checked = Instance {
        checks: vec![Check {
            id: "c".into(),
            ..Check::default()
        }],
        ..instance("n", "w", 0)
    };
    register(&mut clients, checked).await?;
    let filter = Filter {
        worst_status: Status::Passing.into(),
        ..Filter::default()
    };
    let request = WatchRequest {
        filter: Some(filter),
        after_revision: 0,
    };
    let mut told = clients.registry.watch(request).await?.into_inner();
    let first = timeout(MAXIMUM_WAIT, told.message())
        .await??
        .ok_or("no snapshot")?;
    assert_eq!(first.changes.len(), 0, "nothing is well until somebody says so");
    for (status, is_there) in [(Status::Passing, true), (Status::Critical, false)] {
        let report = UpdateCheckRequest {
            node: "n".into(),
            id: "w".into(),
            check: "c".into(),
            status: status.into(),
            output: "said".into(),
        };
        clients.registry.update_check(report).await?;
        let next = timeout(MAXIMUM_WAIT, told.message()).await??.ok_or("no change")?;
        assert!(next.revision > first.revision);
        let change = next.changes.into_iter().next().and_then(|change| change.change);
        assert_eq!(matches!(change, Some(Change::Put(_))), is_there, "{change:?}");
    }
    Ok(())
}
