//! The library for Rust programs: registrations, live sets and balanced channels while members die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stead::client::{Filter, Instance, LiveSet, Rule, Services, Settings, Standing, Weights};
use stead::proto::etcdserverpb::LeaseRevokeRequest;
use stead::proto::health::health_client::HealthClient;
use stead::proto::health::health_server::{Health, HealthServer};
use stead::proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use stead::proto::registry::{DeregisterRequest, GetRequest};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

fn services(cluster: &Cluster, first: usize) -> Result<Services> {
    let mut endpoints = cluster.endpoints();
    endpoints.rotate_left(first);
    Ok(Services::of(Settings::new(&endpoints.join(",")).open()?))
}

fn instance(id: &str, ttl_seconds: i64) -> Instance {
    Instance {
        service: "web".into(),
        id: id.into(),
        node: "n".into(),
        address: "127.0.0.1".into(),
        port: 80,
        ttl_seconds,
        ..Instance::default()
    }
}

fn web() -> Filter {
    Filter {
        service: "web".into(),
        ..Filter::default()
    }
}

async fn get(clients: &mut Clients, id: &str) -> Result<Option<Instance>> {
    let getting = async {
        loop {
            let request = GetRequest {
                node: "n".into(),
                id: id.into(),
                stale: false,
            };
            match clients.registry.get(request).await {
                Ok(found) => return found.into_inner().instance,
                Err(status) if status.code() == Code::NotFound => return None,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    Ok(timeout(MAXIMUM_WAIT, getting).await?)
}

async fn deregister(clients: &mut Clients, id: &str) -> Result<()> {
    let deregistering = async {
        loop {
            let request = DeregisterRequest {
                node: "n".into(),
                id: id.into(),
                epoch: 0,
            };
            match clients.registry.deregister(request).await {
                Ok(_) => return,
                Err(status) if status.code() == Code::NotFound => return,
                Err(_) => sleep(PAUSE).await,
            }
        }
    };
    Ok(timeout(MAXIMUM_WAIT, deregistering).await?)
}

async fn until(live: &mut LiveSet, ids: &[&str]) -> Result<()> {
    let waiting = async {
        while live
            .current()
            .iter()
            .map(|found| found.id.as_str())
            .ne(ids.iter().copied())
        {
            live.changed().await?;
        }
        Ok(())
    };
    timeout(MAXIMUM_WAIT, waiting).await?
}

#[tokio::test]
async fn a_registration_that_lapsed_is_made_anew_and_one_that_was_deregistered_ends() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let services = services(&cluster, 0)?;
    let mut clients = cluster.clients(0)?;
    let mut registration = services.register(instance("w", 2)).await?;
    let first = get(&mut clients, "w").await?.ok_or("it is not there")?;
    // As if its time were over.
    clients
        .lease
        .lease_revoke(LeaseRevokeRequest { id: first.lease })
        .await?;
    let again = async {
        loop {
            if let Standing::Registered { epoch } = registration.changed().await {
                return epoch;
            }
        }
    };
    let epoch = timeout(MAXIMUM_WAIT, again).await?;
    let second = get(&mut clients, "w").await?.ok_or("it did not come back")?;
    assert!(epoch > first.epoch);
    assert_eq!(second.epoch, epoch);

    deregister(&mut clients, "w").await?;
    let ended = async {
        loop {
            if let Standing::Ended(error) = registration.changed().await {
                return error.to_string();
            }
        }
    };
    let error = timeout(MAXIMUM_WAIT, ended).await?;
    assert!(error.contains("was deregistered"), "{error}");
    registration.deregister().await?;

    // Of two of one name the later one stays, and the first does not take it back.
    let mut first = services.register(instance("w", 2)).await?;
    let second = services.register(instance("w", 2)).await?;
    let ended = async { while !matches!(first.changed().await, Standing::Ended(_)) {} };
    timeout(MAXIMUM_WAIT, ended).await?;
    first.deregister().await?;
    assert!(get(&mut clients, "w").await?.is_some());
    // Whoever drops it deregisters it.
    drop(second);
    let gone = async {
        while get(&mut clients, "w").await?.is_some() {
            sleep(PAUSE).await;
        }
        Ok::<_, crate::support::Error>(())
    };
    timeout(MAXIMUM_WAIT, gone).await??;
    Ok(())
}

/// Says that it is well, and counts how often.
#[derive(Clone, Default)]
struct Counted(Arc<AtomicUsize>);

#[tonic::async_trait]
impl Health for Counted {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> std::result::Result<Response<HealthCheckResponse>, Status> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(HealthCheckResponse::default()))
    }

    async fn list(
        &self,
        _: Request<HealthListRequest>,
    ) -> std::result::Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    type WatchStream = futures::stream::BoxStream<'static, std::result::Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> std::result::Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

type Servers = BTreeMap<&'static str, (Counted, JoinHandle<()>)>;

/// How often one of them was called.
fn calls(servers: &Servers, id: &str) -> usize {
    servers[id].0.0.load(Ordering::Relaxed)
}

/// A program that serves, on a port of its own.
async fn serve() -> Result<(u16, Counted, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let counted = Counted::default();
    let service = HealthServer::new(counted.clone());
    let task = tokio::spawn(async move {
        let server = tonic::transport::Server::builder().add_service(service);
        let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
    });
    Ok((port, counted, task))
}

#[tokio::test]
async fn calls_go_to_what_is_registered_and_well_also_after_the_watchers_node_is_killed() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let used = (cluster.leader().await? + 1) % 3;
    let services_there = services(&cluster, (used + 1) % 3)?;
    let mut servers = Servers::new();
    let mut registrations = BTreeMap::new();
    for (id, weight, status) in [("a", 3, 1), ("b", 1, 1), ("ill", 9, 3)] {
        let (port, counted, task) = serve().await?;
        let mut instance = instance(id, 10);
        instance.port = u32::from(port);
        instance.weights = Some(Weights {
            passing: weight,
            warning: 1,
        });
        instance.checks = vec![stead::client::Check {
            id: "c".into(),
            status,
            ..Default::default()
        }];
        servers.insert(id, (counted, task));
        registrations.insert(id, services_there.register(instance).await?);
    }
    let channel = services(&cluster, used)?.balance("web", Rule::RoundRobin).await?;
    let mut client = HealthClient::new(channel);
    for _ in 0..40 {
        client.check(HealthCheckRequest::default()).await?;
    }
    let counts = ["a", "b", "ill"].map(|id| calls(&servers, id));
    assert_eq!(counts, [30, 10, 0], "by weight, and none to what is ill");

    // The node from which it learns what there is.
    cluster.node(used).kill()?;
    let (port, counted, task) = serve().await?;
    let mut late = instance("late", 10);
    late.port = u32::from(port);
    servers.insert("late", (counted, task));
    registrations.insert("late", services_there.register(late).await?);
    registrations.remove("a").ok_or("taken")?.deregister().await?;
    let moved = async {
        while calls(&servers, "late") == 0 {
            client.check(HealthCheckRequest::default()).await?;
            sleep(PAUSE).await;
        }
        Ok::<_, Status>(())
    };
    timeout(MAXIMUM_WAIT, moved).await??;
    let waiting = async {
        loop {
            let before = calls(&servers, "a");
            for _ in 0..10 {
                client.check(HealthCheckRequest::default()).await?;
            }
            if calls(&servers, "a") == before {
                return Ok::<_, Status>(());
            }
            sleep(PAUSE).await;
        }
    };
    timeout(MAXIMUM_WAIT, waiting).await??;

    // A program that is gone without a word fails a call at most now and then.
    servers.remove("late").ok_or("taken")?.1.abort();
    let reached = async {
        let mut row = 0;
        while row < 20 {
            let answered = client.check(HealthCheckRequest::default()).await.is_ok();
            row = if answered { row + 1 } else { 0 };
        }
    };
    timeout(MAXIMUM_WAIT, reached).await?;
    for registration in registrations.into_values() {
        registration.deregister().await?;
    }
    let refused = async {
        loop {
            match client.check(HealthCheckRequest::default()).await {
                Err(status) if status.message().contains("no instance is to be used") => return status,
                _ => sleep(PAUSE).await,
            }
        }
    };
    assert_eq!(timeout(MAXIMUM_WAIT, refused).await?.code(), Code::Unavailable);
    for (_, task) in servers.into_values() {
        task.abort();
    }
    Ok(())
}

/// How often an instance is registered and deregistered. For a long run:
/// `STEAD_SERVICE_CYCLES=100000 cargo test --test cluster never_comes_back -- --test-threads 1 --nocapture`.
const CYCLES: usize = 300;
const WORKERS: usize = 8;

/// Registrations that are kept alive and renew themselves, each deregistered by somebody else, while leaders die.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_itself_alive_never_comes_back_when_others_deregister_it() -> TestResult {
    let cycles: usize = match std::env::var("STEAD_SERVICE_CYCLES") {
        Ok(cycles) => cycles.parse()?,
        Err(_) => CYCLES,
    };
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let done = Arc::new(AtomicUsize::new(0));
    let mut live = services(&cluster, 0)?.watch(web()).await?;
    let mut workers = Vec::new();
    for worker in 0..WORKERS {
        let (done, services) = (Arc::clone(&done), services(&cluster, worker % 3)?);
        let mut clients = Vec::new();
        for endpoint in cluster.endpoints() {
            clients.push(Clients::of(&endpoint)?);
        }
        workers.push(tokio::spawn(async move {
            let mut cycle = 0;
            let mut lapsed = 0;
            while done.fetch_add(1, Ordering::Relaxed) < cycles {
                cycle += 1;
                let id = format!("{worker}-{}", cycle % 3);
                let registering = async {
                    loop {
                        match services.register(instance(&id, 3)).await {
                            Ok(registration) => return registration,
                            Err(_) => sleep(PAUSE).await,
                        }
                    }
                };
                let registration = timeout(MAXIMUM_WAIT, registering).await?;
                let (one, other) = (cycle % 3, (cycle + 1) % 3);
                let lease = match get(&mut clients[one], &id).await? {
                    Some(found) => found.lease,
                    None => return Err(format!("{id} is not there").into()),
                };
                if cycle % 2 == 0 {
                    // Its time is over, and it is about to come back on its own.
                    let request = LeaseRevokeRequest { id: lease };
                    let _ = timeout(MAXIMUM_WAIT, clients[other].lease.lease_revoke(request)).await?;
                    if cycle % 4 == 0 {
                        sleep(Duration::from_millis(1_100)).await;
                        lapsed += 1;
                    }
                }
                deregister(&mut clients[other], &id).await?;
                if let Some(found) = get(&mut clients[one], &id).await? {
                    return Err(format!("{id} came back: {found:?}").into());
                }
                if cycle % 5 == 0 {
                    sleep(Duration::from_millis(1_200)).await;
                    if let Some(found) = get(&mut clients[one], &id).await? {
                        return Err(format!("{id} came back later: {found:?}").into());
                    }
                }
                drop(registration);
            }
            Ok::<usize, crate::support::Error>(lapsed)
        }));
    }
    let deaths = cluster.lose_leaders(4, &done, cycles).await?;
    let mut lapsed = 0;
    for worker in workers {
        lapsed += worker.await??;
    }
    println!("{cycles} cycles, {deaths} deaths of a leader, {lapsed} registrations that lapsed before");
    assert!(deaths >= 2, "{deaths} leaders died");
    sleep(Duration::from_secs(5)).await;
    until(&mut live, &[]).await?;
    let there: BTreeSet<String> = live.current().iter().map(|found| found.id.clone()).collect();
    assert_eq!(there, BTreeSet::new());
    Ok(())
}
