//! The official Go client of Vault, github.com/hashicorp/vault/api: the program in `tests/clients/vault_go/`, built by
//! `setup.sh`, against three members, one of which is killed meanwhile.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::super::{MAXIMUM_RUN, succeeds};
use crate::support::vault::{NODES, three_nodes};
use crate::support::{Cluster, Program, Result, TestResult, clients_directory};

/// Runs the claims of one name, and kills the leader, whose interface is named first, and starts it again when the program
/// asks for it. Returns what it asked for.
async fn holds(claims: &str, cluster: &mut Cluster, addresses: &[String]) -> Result<Vec<String>> {
    let victim = cluster.leader().await?;
    let errors = cluster.directory().join("client.log");
    let mut child = Command::new(clients_directory().join("vault-go-client"))
        .arg(claims)
        .args((victim..victim + NODES).map(|node| &addresses[node % NODES]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run the client ({error}): run tests/clients/setup.sh"))?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut asked = Vec::new();
    let outcome = async {
        while let Some(line) = lines.next_line().await? {
            match line.as_str() {
                "kill" => cluster.node(victim).kill()?,
                "start" => cluster.restart(victim).await?,
                other => return Err(format!("{other:?} is not known").into()),
            }
            asked.push(line);
            input.write_all(b"done\n").await?;
        }
        match child.wait().await? {
            status if status.success() => Ok(()),
            status => Err(format!("the client ended with {status}").into()),
        }
    };
    let outcome: Result<()> = timeout(MAXIMUM_RUN, outcome)
        .await
        .unwrap_or_else(|_| Err(format!("the client did not end within {MAXIMUM_RUN:?}").into()));
    outcome.map_err(|error| format!("{error}\n{}", fs::read_to_string(&errors).unwrap_or_default()))?;
    Ok(asked)
}

#[tokio::test]
async fn the_go_client_of_vault_keeps_its_token_and_its_secrets_when_the_leader_is_killed() -> TestResult {
    let (builder, addresses) = three_nodes()?;
    let mut cluster = builder.start().await?;
    assert_eq!(holds("tokens", &mut cluster, &addresses).await?, ["kill"]);
    Ok(())
}

/// What `stead secret audit verify` says of a file in which nothing is missing.
async fn verified(file: &Path) -> Result<Value> {
    let Program::Stead(path) = Program::stead()? else {
        return Err("there is no binary".into());
    };
    let mut command = Command::new(path);
    command
        .args(["secret", "audit", "verify", "-o", "json"])
        .arg(file);
    Ok(serde_json::from_str(&succeeds(&mut command).await?)?)
}

#[tokio::test]
async fn the_go_client_of_vault_has_every_engine_on_every_member_and_all_is_written_down() -> TestResult {
    let folder = tempfile::tempdir()?;
    let (mut builder, addresses) = three_nodes()?;
    let directories: Vec<_> = (0..NODES)
        .map(|node| folder.path().join(node.to_string()))
        .collect();
    for (node, directory) in directories.iter().enumerate() {
        fs::create_dir(directory)?;
        builder = builder.argument_of(node, format!("--audit-directory={}", directory.display()));
    }
    let mut cluster = builder.start().await?;
    let victim = cluster.leader().await?;
    assert_eq!(
        holds("engines", &mut cluster, &addresses).await?,
        ["kill", "start"]
    );
    for (node, directory) in directories.iter().enumerate() {
        let file = directory.join("audit.log");
        let report = verified(&file).await?;
        let chains = report["chains"].as_array().ok_or("no chains")?;
        // One for each time that the member was started.
        assert_eq!(chains.len(), if node == victim { 2 } else { 1 }, "{report}");
        assert!(chains.iter().all(|chain| chain["first"] == 0), "{report}");
        assert!(report["records"].as_u64() > Some(100), "{report}");

        // A record is removed: that shows.
        let text = fs::read_to_string(&file)?;
        let mut lines: Vec<&str> = text.lines().collect();
        lines.remove(lines.len() / 2);
        fs::write(&file, lines.join("\n") + "\n")?;
        assert!(verified(&file).await.is_err(), "a record was removed");
    }
    Ok(())
}
