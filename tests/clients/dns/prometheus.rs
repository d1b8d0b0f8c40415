//! Debian's Prometheus, whose `dns_sd_configs` finds what to watch in SRV records.
//!
//! It asks the servers of `/etc/resolv.conf`, on port 53, and no others: it is given a file of its own in a mount namespace,
//! and the nodes answer on addresses of loopback that nobody else has. Both need root; where that cannot be, the test says
//! so and shows nothing.

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use rand::Rng as _;
use serde_json::Value;

use super::{Running, Served, instance, page, wait_for};
use crate::support::{TestResult, free_port};

/// Three addresses whose port 53 is free; none if it cannot be had.
fn addresses() -> Option<Vec<String>> {
    let (second, third): (u8, u8) = (
        rand::rng().random_range(1..=250),
        rand::rng().random_range(1..=250),
    );
    let addresses = (1..=3).map(|last| format!("127.{second}.{third}.{last}:53"));
    addresses
        .map(|address| UdpSocket::bind(&address).ok().map(|_| address))
        .collect()
}

fn can_unshare() -> bool {
    let tried = Command::new("unshare").args(["--mount", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn prometheus_finds_its_targets_through_the_death_of_a_node() -> TestResult {
    let Some(addresses) = addresses().filter(|_| can_unshare()) else {
        println!("nothing is shown here: port 53 of a loopback address, or a mount namespace, cannot be had");
        return Ok(());
    };
    let mut served = Served::at(addresses).await?;
    let folder = served.cluster.directory().to_owned();
    let servers: Vec<String> = served
        .addresses
        .iter()
        .map(|address| format!("nameserver {}\n", address.trim_end_matches(":53")))
        .collect();
    let (resolver, configuration) = (folder.join("resolv.conf"), folder.join("prometheus.yml"));
    fs::write(&resolver, servers.concat())?;
    fs::write(
        &configuration,
        "scrape_configs:\n- job_name: web\n  dns_sd_configs:\n  - names: [web.service.consul]\n    \
         refresh_interval: 1s\n",
    )?;
    let port = free_port()?;
    let script = format!(
        "mount --bind {} /etc/resolv.conf && exec prometheus --config.file={} --storage.tsdb.path={} \
         --web.listen-address=127.0.0.1:{port}",
        resolver.display(),
        configuration.display(),
        folder.join("prometheus").display()
    );
    let mut prometheus = Running::start(Command::new("unshare").args(["--mount", "sh", "-c", &script]))?;
    let address = format!("127.0.0.1:{port}");
    let seen = async || {
        let answer: Value = serde_json::from_str(&page(&address, "/api/v1/targets?state=active").await?)?;
        let targets = answer["data"]["activeTargets"].as_array().ok_or("no targets")?;
        let urls = targets
            .iter()
            .filter_map(|target| target["scrapeUrl"].as_str().map(str::to_owned));
        Ok(urls.collect::<BTreeSet<String>>())
    };
    let urls = |hosts: &[&str]| -> BTreeSet<String> {
        hosts
            .iter()
            .map(|host| format!("http://{host}/metrics"))
            .collect()
    };

    served.register(0, instance("w1", "127.0.0.1", 9)).await?;
    wait_for(urls(&["7f000001.addr.dc1.consul:9"]), &seen).await?;
    let (_, alive) = served.kill_leader().await?;
    served.register(alive, instance("w2", "127.0.0.2", 9)).await?;
    wait_for(
        urls(&["7f000001.addr.dc1.consul:9", "7f000002.addr.dc1.consul:9"]),
        &seen,
    )
    .await?;
    served.deregister(alive, "host1", "w1").await?;
    wait_for(urls(&["7f000002.addr.dc1.consul:9"]), &seen).await?;
    assert!(prometheus.is_running()?);
    Ok(())
}
