//! CoreDNS, whose plugin `etcd` reads SkyDNS records from the keys: they need nothing of DNS here.

use std::fs;
use std::process::Command;

use stead::proto::etcdserverpb::PutRequest;

use super::{Running, Served, wait_for};
use crate::clients::succeeds;
use crate::support::{Result, TestResult, clients_directory, free_port};

async fn dig(port: u16, arguments: &[&str]) -> Result<Vec<String>> {
    let port = port.to_string();
    let mut command = tokio::process::Command::new("dig");
    command
        .args(["@127.0.0.1", "-p", &port, "+short", "+tries=1", "+time=5"])
        .args(arguments);
    let printed = succeeds(&mut command).await?;
    let mut lines: Vec<String> = printed.lines().map(str::to_owned).collect();
    lines.sort();
    Ok(lines)
}

#[tokio::test]
async fn coredns_serves_skydns_records_through_the_death_of_a_node() -> TestResult {
    let mut served = Served::start().await?;
    let port = free_port()?;
    let folder = served.cluster.directory().join("coredns");
    fs::create_dir(&folder)?;
    let configuration = format!(
        "skydns.test:{port} {{\n    bind 127.0.0.1\n    errors\n    etcd {{\n        path /skydns\n        \
         endpoint {}\n    }}\n}}\n",
        served.cluster.endpoints().join(" ")
    );
    fs::write(folder.join("Corefile"), configuration)?;
    let program = clients_directory().join("coredns");
    let mut coredns = Running::start(Command::new(program).current_dir(&folder))?;
    let put = async |served: &Served, through: usize, key: &str, value: &str| {
        let request = PutRequest {
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ..PutRequest::default()
        };
        wait_for(true, async || {
            let mut clients = served.cluster.clients(through)?;
            Ok(clients.kv.put(request.clone()).await.is_ok())
        })
        .await
    };

    put(
        &served,
        0,
        "/skydns/test/skydns/web/a",
        r#"{"host":"10.0.0.1","port":8080,"priority":5}"#,
    )
    .await?;
    let one = vec!["10.0.0.1".to_owned()];
    wait_for(one, async || dig(port, &["web.skydns.test", "A"]).await).await?;
    let places = dig(port, &["web.skydns.test", "SRV"]).await?;
    assert_eq!(places, ["5 100 8080 a.web.skydns.test."]);

    let (_, alive) = served.kill_leader().await?;
    put(
        &served,
        alive,
        "/skydns/test/skydns/web/b",
        r#"{"host":"10.0.0.2"}"#,
    )
    .await?;
    let both = vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
    wait_for(both, async || dig(port, &["web.skydns.test", "A"]).await).await?;
    put(&served, alive, "/skydns/test/skydns/note", r#"{"text":"second"}"#).await?;
    let text = vec!["\"second\"".to_owned()];
    wait_for(text, async || dig(port, &["note.skydns.test", "TXT"]).await).await?;
    assert!(coredns.is_running()?);
    Ok(())
}
