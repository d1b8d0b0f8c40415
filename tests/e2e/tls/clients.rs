//! Clients that nobody here wrote, and Stead's own, over TLS with certificates of their own.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use stead::proto::etcdserverpb::{PutRequest, RangeRequest};
use tokio::process::Command;
use tokio::time::timeout;

use super::super::slow_follower::{made_by_others, state_in_use};
use super::MAXIMUM_WAIT;
use super::site::Site;
use crate::support::{Cluster, Program, Result, Security, TestResult, clients_directory};

/// How long a member is away: longer than the leader waits for an answer, so that the entries it needs are purged.
const ABSENCE: Duration = Duration::from_secs(8);

/// After so many absences the member must have taken a snapshot: the log may reach back far enough at first.
const MAXIMUM_ABSENCES: usize = 4;

/// Puts between two looks at what the others have done.
const PUTS_BETWEEN_LOOKS: usize = 100;

async fn run(command: &mut Command) -> Result<Output> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(timeout(MAXIMUM_WAIT, child.wait_with_output()).await??)
}

fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn etcdctl(site: &Site, cluster: &Cluster) -> Command {
    let mut command = Command::new("etcdctl");
    command
        .env("ETCDCTL_API", "3")
        .env("ETCDCTL_ENDPOINTS", cluster.endpoints().join(","))
        .env("ETCDCTL_CACERT", site.path("client-ca.pem"));
    command
}

fn with_alice(site: &Site, mut command: Command) -> Command {
    let pair = site.alice_pair();
    command
        .env("ETCDCTL_CERT", pair.certificate)
        .env("ETCDCTL_KEY", pair.key);
    command
}

async fn etcdctl_works(site: &Site, cluster: &Cluster) -> Result<()> {
    for arguments in [
        &["put", "etcdctl", "1"][..],
        &["endpoint", "health"],
        &["endpoint", "status"],
        &["member", "list"],
    ] {
        let output = run(with_alice(site, etcdctl(site, cluster)).args(arguments)).await?;
        assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    }
    let output = run(with_alice(site, etcdctl(site, cluster)).args(["get", "etcdctl"])).await?;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "etcdctl\n1\n");

    let output = run(etcdctl(site, cluster).args(["get", "etcdctl"])).await?;
    assert!(!output.status.success(), "without a certificate");
    Ok(())
}

async fn curl_works(site: &Site, cluster: &Cluster) -> Result<()> {
    let pair = site.alice_pair();
    let curl = |url: String| {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(site.path("client-ca.pem"))
            .arg("--cert")
            .arg(&pair.certificate)
            .arg("--key")
            .arg(&pair.key)
            .arg(url);
        command
    };
    let endpoint = cluster.nodes()[0].endpoint();
    for versions in ["--http1.1", "--http2"] {
        let output = run(curl(format!("{endpoint}/health")).arg(versions)).await?;
        assert!(
            printed(&output).contains("\"health\":\"true\""),
            "{}",
            printed(&output)
        );
    }
    let metrics = format!("https://127.0.0.1:{}/metrics", site.metrics_ports[0]);
    let output = run(&mut curl(metrics)).await?;
    assert!(
        printed(&output).contains("etcd_server_has_leader 1"),
        "{}",
        printed(&output)
    );

    // Who speaks in the clear is told so.
    let plain = endpoint.replace("https://", "http://");
    let output = run(Command::new("curl").args(["--silent", "--max-time", "30", &plain])).await?;
    assert!(
        printed(&output).contains("Client sent an HTTP request to an HTTPS server."),
        "{}",
        printed(&output)
    );
    Ok(())
}

/// Adds the flags that etcdctl and the programs of `tests/clients/` have for TLS.
fn with_flags(site: &Site, mut command: Command) -> Command {
    let pair = site.alice_pair();
    command
        .arg("--cacert")
        .arg(site.path("client-ca.pem"))
        .arg("--cert")
        .arg(pair.certificate)
        .arg("--key")
        .arg(pair.key);
    command
}

async fn go_client_works(site: &Site, cluster: &Cluster) -> Result<()> {
    let client = Command::new(clients_directory().join("go-client"));
    let output = run(with_flags(site, client).arg(cluster.endpoints().join(","))).await?;
    assert!(output.status.success(), "{}", printed(&output));
    Ok(())
}

async fn python_client_works(site: &Site, cluster: &Cluster) -> Result<()> {
    let mut python = Command::new(clients_directory().join("venv/bin/python"));
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python_client.py"));
    let output = run(with_flags(site, python).args(cluster.addresses())).await?;
    assert!(output.status.success(), "{}", printed(&output));
    Ok(())
}

async fn rust_client_works(site: &Site, cluster: &Cluster) -> Result<()> {
    let options = etcd_client::ConnectOptions::new().with_tls(site.credentials().settings());
    let mut client = etcd_client::Client::connect(cluster.endpoints(), Some(options)).await?;
    client.put("rust", "1", None).await?;
    let mut watch = client.watch("rust", None).await?;
    client.put("rust", "2", None).await?;
    // The first message says that the watch is there; on a node that lags, it may begin before the first put.
    let seen = async {
        loop {
            let message = watch.message().await?.ok_or("the watch has ended")?;
            let mut pairs = message.events().iter().filter_map(etcd_client::Event::kv);
            if pairs.any(|pair| pair.value() == b"2") {
                return Ok::<_, crate::support::Error>(());
            }
        }
    };
    timeout(MAXIMUM_WAIT, seen).await??;
    Ok(())
}

fn stead(program: &Program, cluster: &Cluster) -> Result<Command> {
    let Program::Stead(path) = program else {
        return Err("the client is Stead's".into());
    };
    let mut command = Command::new(path);
    command
        .env_clear()
        .env("STEAD_ENDPOINTS", cluster.addresses().join(","));
    Ok(command)
}

async fn own_client_works(site: &Site, cluster: &Cluster, program: &Program) -> Result<()> {
    let pair = site.alice_pair();
    let authorities = site.path("client-ca.pem");
    let output = run(with_flags(site, stead(program, cluster)?).args(["put", "stead", "1"])).await?;
    assert!(output.status.success(), "{}", printed(&output));
    let from_environment = |prefix: &str, arguments: &[&str]| -> Result<Command> {
        let mut command = stead(program, cluster)?;
        command
            .env(format!("{prefix}_CACERT"), &authorities)
            .env(format!("{prefix}_CERT"), &pair.certificate)
            .env(format!("{prefix}_KEY"), &pair.key)
            .args(arguments);
        Ok(command)
    };
    for prefix in ["STEAD", "ETCDCTL"] {
        let output = run(&mut from_environment(prefix, &["get", "stead"])?).await?;
        assert!(output.status.success(), "{prefix}: {}", printed(&output));
        let output = run(&mut from_environment(
            prefix,
            &["endpoint", "health", "--cluster"],
        )?)
        .await?;
        assert!(output.status.success(), "{prefix}: {}", printed(&output));
    }

    // Without the authority the server is not trusted, and the mend is said.
    let output = run(stead(program, cluster)?.args([
        "get",
        "stead",
        "--insecure-transport=false",
        "--dial-timeout=1s",
    ]))
    .await?;
    assert_eq!(output.status.code(), Some(2), "{}", printed(&output));
    assert!(printed(&output).contains("--cacert"), "{}", printed(&output));
    // Without a certificate the server does not answer, whomever the client trusts.
    let output = run(stead(program, cluster)?.args(["get", "stead", "--insecure-skip-tls-verify"])).await?;
    assert!(!output.status.success(), "{}", printed(&output));
    Ok(())
}

#[tokio::test]
async fn all_clients_work_with_a_cluster_that_wants_their_certificates() -> TestResult {
    let site = Site::new(3)?;
    let program = Program::stead()?;
    let cluster = site.cluster(program.clone()).start().await?;
    // A follower takes writes on to the leader.
    for node in 0..3 {
        let put = PutRequest {
            key: format!("node/{node}").into(),
            ..PutRequest::default()
        };
        cluster.clients(node)?.kv.put(put).await?;
    }
    etcdctl_works(&site, &cluster).await?;
    curl_works(&site, &cluster).await?;
    rust_client_works(&site, &cluster).await?;
    go_client_works(&site, &cluster).await?;
    python_client_works(&site, &cluster).await?;
    own_client_works(&site, &cluster, &program).await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_protects_itself_with_certificates_that_it_makes() -> TestResult {
    let program = Program::stead()?;
    let mut cluster = Cluster::builder(program.clone())
        .nodes(3)
        .security(Security::SelfSigned)
        .argument("--auto-tls")
        .argument("--peer-auto-tls")
        .start()
        .await?;
    for node in 0..3 {
        let folder = cluster.nodes()[node].data_directory().join("fixtures");
        for file in [
            "client/cert.pem",
            "client/key.pem",
            "peer/cert.pem",
            "peer/key.pem",
        ] {
            assert!(folder.join(file).is_file(), "{file}");
        }
    }
    let output =
        run(stead(&program, &cluster)?.args(["put", "a", "1", "--insecure-skip-tls-verify"])).await?;
    assert!(output.status.success(), "{}", printed(&output));
    let output = run(Command::new("etcdctl").env("ETCDCTL_API", "3").args([
        "--insecure-transport=false",
        "--insecure-skip-tls-verify",
        "--endpoints",
        &cluster.endpoints().join(","),
        "get",
        "a",
    ]))
    .await?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "a\n1\n",
        "{}",
        printed(&output)
    );

    // The certificates are kept.
    let path = cluster.nodes()[0].data_directory().join("fixtures/peer/cert.pem");
    let before = super::site::text(&path)?;
    cluster.restart(0).await?;
    assert_eq!(super::site::text(&path)?, before);
    Ok(())
}

#[tokio::test]
async fn a_member_that_fell_behind_gets_a_snapshot_over_tls() -> TestResult {
    let site = Site::new(3)?;
    let mut cluster = site
        .cluster(Program::stead()?)
        .argument("--snapshot-count=100")
        .start()
        .await?;
    let leader = cluster.leader().await?;
    let behind = (leader + 1) % 3;
    let mut clients = cluster.clients(leader)?;
    let (mut puts, mut takes_it) = (0, false);
    for _ in 0..MAXIMUM_ABSENCES {
        let state = state_in_use(&cluster, behind)?;
        let made = made_by_others(&cluster, behind)?;
        cluster.node(behind).kill()?;
        let since = Instant::now();
        while made_by_others(&cluster, behind)? == made || since.elapsed() < ABSENCE {
            if since.elapsed() > MAXIMUM_WAIT {
                return Err(format!("no snapshot was made within {MAXIMUM_WAIT:?}").into());
            }
            for _ in 0..PUTS_BETWEEN_LOOKS {
                let put = PutRequest {
                    key: format!("snapshot/{puts}").into(),
                    ..PutRequest::default()
                };
                timeout(MAXIMUM_WAIT, clients.kv.put(put)).await??;
                puts += 1;
            }
        }
        cluster.restart(behind).await?;
        takes_it = state_in_use(&cluster, behind)? != state;
        if takes_it {
            break;
        }
    }
    assert!(takes_it, "{}", cluster.nodes()[behind].log_tail());
    let count = RangeRequest {
        key: "snapshot/".into(),
        range_end: "snapshot0".into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let mut clients = cluster.clients(behind)?;
    let answer = timeout(MAXIMUM_WAIT, clients.kv.range(count))
        .await??
        .into_inner();
    assert_eq!(answer.count, puts);
    Ok(())
}
