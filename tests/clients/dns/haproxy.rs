//! haproxy, whose `server-template` fills its servers from SRV records.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Running, Served, instance, page, wait_for};
use crate::support::{Result, TestResult, free_port};

/// Pages that are asked for in a row: each server has its turn.
const LOOKS: usize = 12;

/// A server of pages that say its name.
async fn backend(name: &'static str) -> Result<(u16, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let task = tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 1_024];
            let _ = connection.read(&mut request).await;
            let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            // A client that has gone needs no answer.
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    Ok((port, task))
}

#[tokio::test]
async fn haproxy_follows_a_service_through_the_death_of_a_node() -> TestResult {
    let mut served = Served::start().await?;
    let (first, first_task) = backend("first").await?;
    let (second, second_task) = backend("second").await?;
    let port = free_port()?;
    let servers: Vec<String> = served
        .addresses
        .iter()
        .zip(1..)
        .map(|(address, number)| format!("    nameserver n{number} {address}\n"))
        .collect();
    let configuration = format!(
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 5s\n    timeout server 5s\n\
         resolvers stead\n{}    accepted_payload_size 4096\n    hold valid 200ms\n    hold obsolete 0s\n    \
         timeout resolve 200ms\n    timeout retry 200ms\n\
         listen web\n    bind 127.0.0.1:{port}\n    balance roundrobin\n    \
         server-template web 5 _web._tcp.service.consul resolvers stead init-addr none\n",
        servers.concat()
    );
    let path = served.cluster.directory().join("haproxy.cfg");
    fs::write(&path, configuration)?;
    let mut haproxy = Running::start(Command::new("haproxy").arg("-db").arg("-f").arg(&path))?;
    let address = format!("127.0.0.1:{port}");
    let seen = async || {
        let mut seen = BTreeSet::new();
        for _ in 0..LOOKS {
            seen.insert(page(&address, "/").await?);
        }
        Ok(seen)
    };
    let names =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };

    served.register(0, instance("first", "127.0.0.1", first)).await?;
    wait_for(names(&["first"]), &seen).await?;
    let (_, alive) = served.kill_leader().await?;
    served
        .register(alive, instance("second", "127.0.0.1", second))
        .await?;
    wait_for(names(&["first", "second"]), &seen).await?;
    served.deregister(alive, "host1", "first").await?;
    wait_for(names(&["second"]), &seen).await?;
    assert!(haproxy.is_running()?);
    first_task.abort();
    second_task.abort();
    Ok(())
}
