//! A flood of registrations, good and bad, from many connections at once: each is answered, and nothing else suffers.
//!
//! A timing decides nothing here: whatever a member cannot take in at a time is refused with words, and asked again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stead::base::limits::MAXIMUM_REGISTRY_PAGE_INSTANCES;
use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use stead::proto::registry::{
    Check, Instance, ListNodesRequest, ListRequest, ListServicesRequest, Probe, RegisterRequest,
    SocketTarget, check, probe,
};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::support::{Clients, Cluster, Error, Program, Result, TestResult};

const MAXIMUM_RUN: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(50);
/// Connections, one after the other to each member.
const CONNECTIONS: usize = 24;
/// Registrations that are sent at once on each.
const REGISTRATIONS: usize = 250;
/// One of so many is bad.
const BAD: usize = 5;
/// Other requests that must be answered, too.
const OTHERS: usize = 20;

fn good(id: String) -> Instance {
    Instance {
        service: format!("service-{id}"),
        id,
        node: "n".into(),
        address: "10.0.0.1".into(),
        port: 80,
        ..Instance::default()
    }
}

/// A registration that cannot be, and what is said of it.
fn bad(number: usize) -> (Instance, Code, &'static str) {
    let mut instance = good(format!("bad-{number}"));
    let probe = |address: &str| Check {
        id: "c".into(),
        kind: Some(check::Kind::Probe(Probe {
            interval_milliseconds: 1_000,
            target: Some(probe::Target::Tcp(SocketTarget {
                address: address.into(),
                tls: None,
            })),
            ..Probe::default()
        })),
        ..Check::default()
    };
    let (code, text) = match number % 10 {
        0 => {
            instance.service.clear();
            (Code::InvalidArgument, "stead: the name of the service is missing")
        }
        1 => {
            instance.node = "n".repeat(256);
            (
                Code::InvalidArgument,
                "stead: the name of the node has 256 bytes; the most is 255",
            )
        }
        2 => {
            instance.address = "0.0.0.0".into();
            (
                Code::InvalidArgument,
                "stead: the address \"0.0.0.0\" is invalid: nobody can connect to it; give the address of one machine",
            )
        }
        3 => {
            instance.port = 70_000;
            (
                Code::InvalidArgument,
                "stead: the port \"70000\" is invalid: the most is 65535",
            )
        }
        4 => {
            instance.tags = vec!["t".into(); 65];
            (Code::InvalidArgument, "stead: there are 65 tags; the most is 64")
        }
        5 => {
            instance.metadata = [("k".to_owned(), "v".repeat(1_000_000))].into();
            (
                Code::InvalidArgument,
                "stead: a value of the metadata has 1000000 bytes; the most is 512",
            )
        }
        6 => {
            instance.ttl_seconds = -1;
            (
                Code::InvalidArgument,
                "stead: the time to live \"-1\" is invalid: give seconds up to 9000000000, or 0 for an instance that stays",
            )
        }
        7 => {
            instance.checks = vec![probe("169.254.169.254:80")];
            (
                Code::PermissionDenied,
                "stead: a check of \"169.254.169.254:80\" is refused: 169.254.169.254 is in none of the ranges that checks \
                 may connect to (--check-targets)",
            )
        }
        8 => {
            instance.checks = (0..32)
                .map(|id| Check {
                    id: id.to_string(),
                    ..Check::default()
                })
                .collect();
            (
                Code::InvalidArgument,
                "stead: there are 32 checks; the most is 31",
            )
        }
        _ => {
            instance.checks = vec![Check {
                id: "c".into(),
                status: 9,
                ..Check::default()
            }];
            (
                Code::InvalidArgument,
                "stead: the status \"9\" is invalid: give 1 (passing), 2 (warning) or 3 (critical)",
            )
        }
    };
    (instance, code, text)
}

/// Sends a registration until it is decided; how often the member had too much to do.
async fn register(
    mut clients: Clients,
    instance: Instance,
) -> Result<(std::result::Result<(), Status>, usize)> {
    let request = RegisterRequest {
        instance: Some(instance),
        ..RegisterRequest::default()
    };
    let mut busy = 0;
    loop {
        match clients.registry.register(request.clone()).await {
            Ok(_) => return Ok((Ok(()), busy)),
            Err(status) if status.code() == Code::ResourceExhausted => {
                let said = status.message();
                assert!(
                    said.contains("ask again later") || said.contains("too many requests"),
                    "{said}"
                );
                busy += 1;
            }
            // No leader for a moment, or an answer that was lost: what was meant is registered over itself.
            Err(status) if matches!(status.code(), Code::Unavailable | Code::Aborted) => {}
            Err(status) => return Ok((Err(status), busy)),
        }
        sleep(PAUSE).await;
    }
}

/// Writes and reads elsewhere on a member for as long as the flood lasts, and so often at least.
async fn others(mut clients: Clients, key: String, flooding: Arc<AtomicUsize>) -> Result<usize> {
    let mut answered: usize = 0;
    while flooding.load(Ordering::Acquire) > 0 || answered < OTHERS {
        let put = PutRequest {
            key: key.clone().into(),
            value: answered.to_string().into(),
            ..PutRequest::default()
        };
        let range = RangeRequest {
            key: key.clone().into(),
            ..RangeRequest::default()
        };
        let services = ListServicesRequest::default();
        let asking = async {
            clients.kv.put(put).await?;
            let read = clients.kv.range(range).await?.into_inner();
            clients.registry.list_services(services).await?;
            Ok::<_, Status>(read.kvs)
        };
        match asking.await {
            Ok(read) => {
                assert_eq!(read[0].value, answered.to_string().into_bytes());
                answered += 1;
            }
            Err(status) if status.code() == Code::Unavailable => sleep(PAUSE).await,
            Err(status) => return Err(status.into()),
        }
    }
    Ok(answered)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_registrations_is_answered_one_by_one_and_harms_nothing_else() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let endpoints = cluster.endpoints();
    let flooding = Arc::new(AtomicUsize::new(CONNECTIONS * REGISTRATIONS));
    let mut besides = JoinSet::new();
    for (index, endpoint) in endpoints.iter().enumerate() {
        besides.spawn(others(
            Clients::of(endpoint)?,
            format!("k{index}"),
            Arc::clone(&flooding),
        ));
    }
    let mut flood = JoinSet::new();
    let mut expected = BTreeSet::new();
    for connection in 0..CONNECTIONS {
        let clients = Clients::of(&endpoints[connection % endpoints.len()])?;
        for number in 0..REGISTRATIONS {
            let (clients, flooding) = (clients.clone(), Arc::clone(&flooding));
            let refusal = (number % BAD == 0).then(|| bad(number / BAD));
            let id = format!("{connection}-{number}");
            if refusal.is_none() {
                expected.insert(id.clone());
            }
            flood.spawn(async move {
                let (instance, wanted) = match refusal {
                    Some((instance, code, text)) => (instance, Some((code, text))),
                    None => (good(id), None),
                };
                let (outcome, busy) = timeout(MAXIMUM_RUN, register(clients, instance)).await??;
                flooding.fetch_sub(1, Ordering::Release);
                let said = outcome
                    .as_ref()
                    .err()
                    .map(|status| (status.code(), status.message()));
                assert_eq!(said, wanted);
                Ok::<usize, Error>(busy)
            });
        }
    }
    let mut busy = 0;
    while let Some(ended) = flood.join_next().await {
        busy += ended??;
    }
    let mut answered = 0;
    while let Some(ended) = timeout(MAXIMUM_RUN, besides.join_next()).await? {
        answered += ended??;
    }
    println!(
        "{busy} registrations were refused for a while, {answered} other requests were answered meanwhile"
    );
    for endpoint in &endpoints {
        let mut clients = Clients::of(endpoint)?;
        let (mut found, mut request) = (BTreeSet::new(), ListRequest::default());
        loop {
            let page = clients.registry.list(request.clone()).await?.into_inner();
            found.extend(page.instances.into_iter().map(|instance| instance.id));
            match page.next {
                Some(next) => request.after = Some(next),
                None => break,
            }
        }
        assert!(found == expected, "{} of {}", found.len(), expected.len());
        let (mut services, mut request) = (BTreeSet::new(), ListServicesRequest::default());
        loop {
            let page = clients
                .registry
                .list_services(request.clone())
                .await?
                .into_inner();
            assert!(page.services.len() <= MAXIMUM_REGISTRY_PAGE_INSTANCES);
            services.extend(page.services.into_iter().map(|service| service.name));
            match page.next.is_empty() {
                true => break,
                false => request.after = page.next,
            }
        }
        assert!(
            services.len() == expected.len(),
            "{} of {}",
            services.len(),
            expected.len()
        );
        let node = ListNodesRequest {
            limit: 1,
            ..ListNodesRequest::default()
        };
        let nodes = clients.registry.list_nodes(node).await?.into_inner();
        assert_eq!((nodes.nodes.len(), nodes.next.as_str()), (1, ""));
        assert_eq!(usize::try_from(nodes.nodes[0].instances)?, expected.len());
    }
    // The command line reads all pages.
    let Program::Stead(program) = Program::stead()? else {
        return Err("there is no binary".into());
    };
    let listing = Command::new(program)
        .args(["service", "list"])
        .env("STEAD_ENDPOINTS", cluster.addresses().join(","))
        .output();
    let output = timeout(MAXIMUM_RUN, listing).await??;
    let lines = String::from_utf8(output.stdout)?.lines().count();
    assert_eq!(
        lines,
        expected.len(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
