//! `stead service`: what it shows, and what it says when it fails.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);

async fn stead(cluster: &Cluster, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = command(cluster, arguments)?.output();
    let output = timeout(MAXIMUM_WAIT, output).await??;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes);
    Ok((output.status.code(), text(output.stdout)?, text(output.stderr)?))
}

fn command(cluster: &Cluster, arguments: &[&str]) -> Result<Command> {
    let Program::Stead(path) = Program::stead()? else {
        return Err("there is no binary".into());
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env("STEAD_ENDPOINTS", cluster.addresses().join(","))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

#[tokio::test]
async fn the_command_line_registers_shows_and_follows_services() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut watching = command(&cluster, &["service", "watch", "web", "-o", "json"])?.spawn()?;
    let mut lines = BufReader::new(watching.stdout.take().ok_or("no output")?).lines();
    let web = [
        "service",
        "register",
        "--name",
        "web",
        "--node",
        "n",
        "--address",
        "10.0.0.1",
    ];
    let more = [
        "--id", "w1", "--port", "80", "--tag", "v2", "--meta", "zone=a", "-o", "json",
    ];
    let (code, out, error) = stead(&cluster, &[&web[..], &more[..]].concat()).await?;
    assert_eq!(code, Some(0), "{error}");
    let registered: Value = serde_json::from_str(&out)?;
    assert_eq!(
        (&registered["id"], &registered["lease"]),
        (&"w1".into(), &Value::Null)
    );
    let told: Value = serde_json::from_str(
        &timeout(MAXIMUM_WAIT, lines.next_line())
            .await??
            .ok_or("no line")?,
    )?;
    assert_eq!(
        (&told["type"], &told["instance"]["epoch"]),
        (&"put".into(), &registered["epoch"])
    );

    let (_, out, _) = stead(&cluster, &["service", "list"]).await?;
    assert_eq!(out, "web\t1/1 passing\tv2\n");
    let (_, out, _) = stead(
        &cluster,
        &["service", "list", "web", "--tag", "v2", "--meta", "zone=a"],
    )
    .await?;
    assert_eq!(out, "web\tn/w1\t10.0.0.1:80\tpassing\tv2\n");
    let (_, out, _) = stead(&cluster, &["service", "list", "web", "--tag", "v3"]).await?;
    assert_eq!(out, "");
    let (code, out, _) = stead(&cluster, &["service", "health", "web"]).await?;
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "web\tn/w1\t10.0.0.1:80\tpassing\tv2\n")
    );
    let (code, _, error) = stead(&cluster, &["service", "health", "api"]).await?;
    assert_eq!(code, Some(5));
    assert!(error.contains("no instance of api passes"), "{error}");

    // One that is to die, and is kept alive by its lease alone.
    let (_, out, _) = stead(
        &cluster,
        &[&web[..], &["--id", "w2", "--ttl", "1000", "-o", "json"]].concat(),
    )
    .await?;
    let mortal: Value = serde_json::from_str(&out)?;
    assert_eq!(mortal["ttl"], 1_000);
    let lease = mortal["lease"].as_str().ok_or("no lease")?;
    let (code, ..) = stead(&cluster, &["lease", "keep-alive", lease, "--once"]).await?;
    assert_eq!(code, Some(0));
    let (_, out, _) = stead(&cluster, &["lease", "list"]).await?;
    assert_eq!(out, "found 0 leases\n");

    // What is wrong is said, with what to do.
    let (code, _, error) = stead(&cluster, &["service", "register", "--name", "web", "--node", "n"]).await?;
    assert_eq!(
        (code, error.trim()),
        (
            Some(3),
            "error: stead: the address: give one, or register the node with one first; it is missing",
        )
    );
    let older = ["--id", "w1", "--epoch", "1"];
    let (code, _, error) = stead(&cluster, &[&web[..], &older[..]].concat()).await?;
    assert_eq!(code, Some(4));
    assert!(error.contains("was replaced by one with epoch"), "{error}");
    let (code, _, error) = stead(&cluster, &["service", "deregister", "w9", "--node", "n"]).await?;
    assert_eq!(
        (code, error.trim()),
        (
            Some(4),
            "error: stead: no instance \"w9\" is registered on node \"n\"",
        )
    );
    let (code, out, _) = stead(&cluster, &["service", "deregister", "w1", "--node", "n"]).await?;
    assert_eq!((code, out.as_str()), (Some(0), "w1 deregistered from n\n"));
    let gone = loop {
        let line = timeout(MAXIMUM_WAIT, lines.next_line())
            .await??
            .ok_or("no line")?;
        let told: Value = serde_json::from_str(&line)?;
        if told["type"] == "gone" {
            break told;
        }
    };
    assert_eq!(gone["instance"]["id"], "w1");
    Ok(())
}

#[tokio::test]
async fn the_command_line_registers_checks_reports_them_and_sets_maintenance() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(1).start().await?;
    let web = [
        "service",
        "register",
        "--name",
        "web",
        "--node",
        "n",
        "--address",
        "10.0.0.1",
    ];
    let checks = [
        "--check-ttl",
        "10m",
        "--check-tcp",
        "127.0.0.1:1",
        "--check-interval",
        "1h",
    ];
    let (code, _, error) = stead(&cluster, &[&web[..], &checks[..]].concat()).await?;
    assert_eq!(code, Some(0), "{error}");
    let shown = async || -> Result<Value> {
        let (_, out, _) = stead(&cluster, &["service", "health", "web", "-o", "json"]).await?;
        let shown: Value = serde_json::from_str(&out)?;
        Ok(shown["instances"][0].clone())
    };
    let found = shown().await?;
    let definitions: Vec<&Value> = found["checks"]
        .as_array()
        .ok_or("no checks")?
        .iter()
        .map(|check| &check["definition"])
        .collect();
    assert_eq!(
        (&definitions[0]["kind"], &definitions[0]["target"]),
        (&"tcp".into(), &"127.0.0.1:1".into())
    );
    assert_eq!(
        (&definitions[1]["kind"], &definitions[1]["milliseconds"]),
        (&"ttl".into(), &600_000.into())
    );

    let report = [
        "service",
        "check",
        "web",
        "service:web:2",
        "warning",
        "--note",
        "slow",
        "--node",
        "n",
    ];
    let (code, out, error) = stead(&cluster, &report).await?;
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "service:web:2 of web on n is warning\n"),
        "{error}"
    );
    let found = shown().await?;
    assert_eq!(
        (&found["checks"][1]["status"], &found["checks"][1]["output"]),
        (&"warning".into(), &"slow".into())
    );
    let (code, _, error) = stead(
        &cluster,
        &[
            "service",
            "check",
            "web",
            "service:web:1",
            "passing",
            "--node",
            "n",
        ],
    )
    .await?;
    assert_eq!(code, Some(4));
    assert!(error.contains("the cluster does itself"), "{error}");

    let maintenance = ["service", "maintenance", "web", "--node", "n"];
    let enable = [&maintenance[..], &["--enable", "--reason", "new disk"]].concat();
    let (code, out, _) = stead(&cluster, &enable).await?;
    assert_eq!((code, out.as_str()), (Some(0), "web on n is out of service\n"));
    let (_, out, _) = stead(&cluster, &["service", "health", "web"]).await?;
    assert!(
        out.contains("_service_maintenance:web\tcritical\tnew disk"),
        "{out}"
    );
    let (code, out, _) = stead(&cluster, &[&maintenance[..], &["--disable"]].concat()).await?;
    assert_eq!((code, out.as_str()), (Some(0), "web on n is back in service\n"));
    let (code, out, _) = stead(
        &cluster,
        &["service", "maintenance", "--node", "n", "--enable", "-o", "json"],
    )
    .await?;
    let told: Value = serde_json::from_str(&out)?;
    assert_eq!(
        (code, &told["maintenance"], &told["id"]),
        (Some(0), &true.into(), &Value::Null)
    );

    let secrets = [&web[..], &["--check-http", "http://169.254.169.254/latest"]].concat();
    let (code, _, error) = stead(&cluster, &secrets).await?;
    assert_ne!(code, Some(0));
    assert!(
        error.contains("169.254.169.254 is in none of the ranges"),
        "{error}"
    );
    let (code, _, error) = stead(&cluster, &[&web[..], &["--check-ttl", "soon"]].concat()).await?;
    assert_eq!(code, Some(128));
    assert!(error.contains("write a time such as 500ms"), "{error}");
    Ok(())
}
