//! Checks that the cluster does itself, through real processes: each is done by one member, by another one when that dies,
//! and only changes are written, once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stead::proto::registry::change::Change;
use stead::proto::registry::check::Kind;
use stead::proto::registry::probe::Target;
use stead::proto::registry::{
    Check, GetRequest, HttpTarget, Instance, Probe, RegisterRequest, Status, TimeToLive, UpdateCheckRequest,
    WatchRequest, WatchResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Streaming};

use super::http::get;
use crate::support::{Clients, Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const INSTANCES: usize = 8;

/// A web server whose pages are all well or all ill, and who asked for which.
struct Site {
    is_well: AtomicBool,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Site {
    async fn open(servers: &mut JoinSet<()>) -> Result<(Arc<Self>, String)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let site = Arc::new(Self {
            is_well: AtomicBool::new(true),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&site);
        servers.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4_096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                *serving.asked.lock().entry(path).or_default() += 1;
                let head = match serving.is_well.load(Ordering::SeqCst) {
                    true => "200 OK",
                    false => "500 Ill",
                };
                let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
                // A member that was killed does not read it.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Ok((site, address))
    }

    /// Waits until every page was asked for once more than now.
    async fn all_asked(&self) -> TestResult {
        let before = self.asked.lock().clone();
        let all = async {
            while self
                .asked
                .lock()
                .iter()
                .any(|(path, times)| *times <= before.get(path).copied().unwrap_or_default())
            {
                sleep(PAUSE).await;
            }
        };
        Ok(timeout(MAXIMUM_WAIT, all).await?)
    }
}

fn web(id: &str, kind: Kind) -> Instance {
    Instance {
        service: "web".into(),
        id: id.into(),
        node: "n".into(),
        address: "10.0.0.1".into(),
        checks: vec![Check {
            id: "c".into(),
            kind: Some(kind),
            ..Check::default()
        }],
        ..Instance::default()
    }
}

async fn register(clients: &mut Clients, instance: Instance) -> TestResult {
    let request = RegisterRequest {
        instance: Some(instance),
        ..RegisterRequest::default()
    };
    clients.registry.register(request).await?;
    Ok(())
}

/// What a watch told of the status of instances, in order.
struct Watched {
    stream: Streaming<WatchResponse>,
    told: BTreeMap<String, Vec<Status>>,
}

impl Watched {
    async fn open(clients: &mut Clients) -> Result<Self> {
        let stream = clients
            .registry
            .watch(WatchRequest::default())
            .await?
            .into_inner();
        Ok(Self {
            stream,
            told: BTreeMap::new(),
        })
    }

    /// Reads until `is_enough`, or for a moment if that never comes.
    async fn until(&mut self, is_enough: impl Fn(&BTreeMap<String, Vec<Status>>) -> bool) -> TestResult {
        let reading = async {
            while !is_enough(&self.told) {
                let answer = self.stream.message().await?.ok_or("the watch ended")?;
                for change in answer.changes {
                    if let Some(Change::Put(found)) = change.change {
                        self.told
                            .entry(found.id.clone())
                            .or_default()
                            .push(found.status());
                    }
                }
            }
            TestResult::Ok(())
        };
        timeout(MAXIMUM_WAIT, reading).await?
    }

    /// All that was told since the last time.
    async fn quiet(&mut self) -> BTreeMap<String, Vec<Status>> {
        /// Whatever is to come has come by then.
        const MOMENT: Duration = Duration::from_secs(3);
        let reading = async {
            while let Ok(Some(answer)) = self.stream.message().await {
                for change in answer.changes {
                    if let Some(Change::Put(found)) = change.change {
                        self.told
                            .entry(found.id.clone())
                            .or_default()
                            .push(found.status());
                    }
                }
            }
        };
        // It goes on for as long as nothing fails.
        let _ = timeout(MOMENT, reading).await;
        std::mem::take(&mut self.told)
    }
}

/// How many checks a member does.
async fn owned(cluster: &Cluster, member: usize) -> Result<usize> {
    let (_, body) = get(&cluster.nodes()[member].client_address(), "/metrics").await?;
    let line = body
        .lines()
        .find_map(|line| line.strip_prefix("stead_checks_owned "));
    Ok(line.ok_or("no such metric")?.trim().parse()?)
}

#[tokio::test]
async fn checks_of_a_member_that_dies_are_done_by_the_others_and_changes_are_written_once() -> TestResult {
    let mut servers = JoinSet::new();
    let (site, address) = Site::open(&mut servers).await?;
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let mut clients = cluster.clients(leader)?;
    let ids: Vec<String> = (0..INSTANCES).map(|number| format!("w{number}")).collect();
    for id in &ids {
        let target = Target::Http(HttpTarget {
            url: format!("http://{address}/{id}"),
            ..HttpTarget::default()
        });
        let probe = Probe {
            target: Some(target),
            interval_milliseconds: 1_000,
            ..Probe::default()
        };
        register(&mut clients, web(id, Kind::Probe(probe))).await?;
    }
    let mut watched = Watched::open(&mut clients).await?;
    let all = |status: Status| {
        move |told: &BTreeMap<String, Vec<Status>>| {
            told.len() == INSTANCES && told.values().all(|told| told.last() == Some(&status))
        }
    };
    watched.until(all(Status::Passing)).await?;
    watched.quiet().await;

    // Each belongs to one member, once all know who lives.
    let (mut shares, begun) = (Vec::new(), Instant::now());
    while shares.iter().sum::<usize>() != INSTANCES || shares.contains(&INSTANCES) {
        assert!(begun.elapsed() < MAXIMUM_WAIT, "{shares:?}");
        sleep(PAUSE).await;
        shares.clear();
        for member in 0..3 {
            shares.push(owned(&cluster, member).await?);
        }
    }
    let victim = (0..3)
        .filter(|member| *member != leader)
        .max_by_key(|member| shares[*member])
        .ok_or("no member")?;
    println!("checks by member: {shares:?}; member {victim} is killed");
    assert!(shares[victim] > 0, "{shares:?}");
    cluster.node(victim).kill()?;
    site.all_asked().await?;
    let survivors: Vec<usize> = (0..3).filter(|member| *member != victim).collect();
    let begun = Instant::now();
    loop {
        let mut sum = 0;
        for member in &survivors {
            sum += owned(&cluster, *member).await?;
        }
        if sum == INSTANCES {
            break;
        }
        assert!(begun.elapsed() < MAXIMUM_WAIT, "{sum} checks are done");
        sleep(PAUSE).await;
    }
    assert_eq!(
        watched.quiet().await,
        BTreeMap::new(),
        "moving a check changed it"
    );

    for (is_well, status) in [(false, Status::Critical), (true, Status::Passing)] {
        site.is_well.store(is_well, Ordering::SeqCst);
        watched.until(all(status)).await?;
        let told = watched.quiet().await;
        let once: BTreeMap<String, Vec<Status>> = ids.iter().map(|id| (id.clone(), vec![status])).collect();
        assert_eq!(told, once);
    }
    // Who comes back gets its share, and nothing changes by that.
    cluster.restart(victim).await?;
    let begun = Instant::now();
    while owned(&cluster, victim).await? != shares[victim] {
        assert!(begun.elapsed() < MAXIMUM_WAIT, "the member got no checks back");
        sleep(PAUSE).await;
    }
    site.all_asked().await?;
    assert_eq!(watched.quiet().await, BTreeMap::new());
    Ok(())
}

async fn report(clients: &mut Clients) -> TestResult {
    let request = UpdateCheckRequest {
        node: "n".into(),
        id: "w".into(),
        check: "c".into(),
        status: Status::Passing.into(),
        output: String::new(),
    };
    let reporting = async {
        loop {
            match clients.registry.update_check(request.clone()).await {
                Ok(_) => return TestResult::Ok(()),
                Err(status) if [Code::Unavailable, Code::Unknown].contains(&status.code()) => {
                    sleep(PAUSE).await
                }
                Err(status) => return Err(status.into()),
            }
        }
    };
    timeout(MAXIMUM_WAIT, reporting).await?
}

#[tokio::test]
async fn a_check_with_a_time_to_live_outlives_the_leader_and_ends_when_nothing_is_reported() -> TestResult {
    const TTL: Duration = Duration::from_secs(12);
    let mut cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let leader = cluster.leader().await?;
    let follower = (leader + 1) % 3;
    let mut clients = cluster.clients(follower)?;
    let ttl = Kind::Ttl(TimeToLive {
        milliseconds: u64::try_from(TTL.as_millis())?,
        deregister_after_milliseconds: 0,
    });
    register(&mut clients, web("w", ttl)).await?;
    let mut watched = Watched::open(&mut clients).await?;
    report(&mut clients).await?;
    watched
        .until(|told| told.get("w").and_then(|told| told.last()) == Some(&Status::Passing))
        .await?;
    watched.quiet().await;
    // The last report before the leader dies goes to that leader alone.
    sleep(TTL / 2).await;
    let mut last = Instant::now();
    report(&mut cluster.clients(leader)?).await?;
    cluster.node(leader).kill()?;
    let mut heard = Vec::new();
    while heard.is_empty() {
        assert!(last.elapsed() < MAXIMUM_WAIT, "it never ends");
        heard = watched.quiet().await.remove("w").unwrap_or_default();
    }
    assert_eq!(heard, [Status::Critical]);
    let took = last.elapsed();
    println!("critical {took:?} after the last report");
    assert!(took >= TTL, "too early: {took:?}");
    // At most its time once more, and the time to look.
    assert!(took < 2 * TTL + Duration::from_secs(8), "too late: {took:?}");

    // Reports keep it alive through the next change of the leader.
    report(&mut clients).await?;
    cluster.restart(leader).await?;
    let leader = cluster.leader().await?;
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    let mut other = cluster.clients(others[0])?;
    watched = Watched::open(&mut other).await?;
    watched.quiet().await;
    cluster.node(leader).kill()?;
    let begun = Instant::now();
    while begun.elapsed() < 2 * TTL {
        last = Instant::now();
        report(&mut other).await?;
        assert_eq!(watched.quiet().await, BTreeMap::new());
        assert!(last.elapsed() < TTL, "this machine is too slow for this test");
    }
    let request = GetRequest {
        node: "n".into(),
        id: "w".into(),
        stale: false,
    };
    let found = other.registry.get(request).await?.into_inner().instance;
    assert_eq!(found.map(|found| found.status()), Some(Status::Passing));
    Ok(())
}
