//! `stead secret run` and `stead secret template` while things fail: what they have stays, and what changes still comes.

use std::fs;
use std::path::Path;

use tokio::time::{sleep, timeout};

use super::command::{Somebody, line, note, unsealed};
use super::{MAXIMUM_WAIT, PAUSE, THRESHOLD};
use crate::support::{Result, TestResult};

const SECRET: &str = "secret/db/app";

async fn mount_secrets(root: &Somebody) -> Result<()> {
    let mounted = root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"]);
    mounted.await.map(drop)
}

/// Waits until a file has a text.
async fn has_text(path: &Path, text: &str) -> Result<()> {
    let waiting = async {
        while !fs::read_to_string(path).is_ok_and(|found| found == text) {
            sleep(PAUSE).await;
        }
    };
    timeout(MAXIMUM_WAIT, waiting)
        .await
        .map_err(|_| format!("{} does not become {text:?}", path.display()).into())
}

#[tokio::test]
async fn a_program_and_a_file_follow_their_secrets_whichever_node_is_killed() -> TestResult {
    let home = tempfile::tempdir()?;
    let (mut cluster, root, shares) = unsealed(home.path()).await?;
    mount_secrets(&root).await?;
    root.told(&["put", SECRET, "password=first"]).await?;
    let variable = format!("P={SECRET}#password");
    let run = [
        "run",
        "--env",
        variable.as_str(),
        "--restart",
        "--",
        "sh",
        "-c",
        "echo $P; exec sleep 1000",
    ];
    let mut program = root.command(&run)?.spawn()?;
    assert_eq!(line(&mut program).await?, "first");
    let (template, target) = (home.path().join("a.tmpl"), home.path().join("a.conf"));
    fs::write(&template, format!("{{{{ secret \"{SECRET}\" \"password\" }}}}"))?;
    let (from, to) = (
        template.to_str().ok_or("no text")?,
        target.to_str().ok_or("no text")?,
    );
    let _following = root.command(&["template", "--in", from, "--out", to])?.spawn()?;
    has_text(&target, "first").await?;

    for (node, address) in cluster.addresses().iter().enumerate() {
        cluster.node(node).kill()?;
        // While there is no leader, nobody would know of a write whether it was made.
        cluster.leader().await?;
        let value = format!("without-{node}");
        root.told(&["put", SECRET, &format!("password={value}")]).await?;
        assert_eq!(line(&mut program).await?, value);
        has_text(&target, &value).await?;
        cluster.restart(node).await?;
        for share in shares.iter().take(THRESHOLD) {
            let given = root.at(address).says(share, &["unseal", "-"]).await?;
            assert_eq!(given.code, Some(0), "{}", given.error);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_program_goes_on_with_what_it_has_while_something_is_missing() -> TestResult {
    let home = tempfile::tempdir()?;
    let (_cluster, root, _) = unsealed(home.path()).await?;
    mount_secrets(&root).await?;
    root.told(&["put", SECRET, "password=one", "user=app"]).await?;
    let (variable, files) = (
        format!("P={SECRET}#password"),
        [format!("p={SECRET}#password"), format!("u={SECRET}#user")],
    );
    let run = [
        "run",
        "--env",
        variable.as_str(),
        "--file",
        files[0].as_str(),
        "--file",
        files[1].as_str(),
        "--restart",
        "--",
        "sh",
        "-c",
        "cd $STEAD_SECRETS_DIR; echo $P $(cat p) $(cat u) $PWD; exec sleep 1000",
    ];
    let mut program = root.command(&run)?.spawn()?;
    let first = line(&mut program).await?;
    let words: Vec<&str> = first.split(' ').collect();
    let ["one", "one", "app", folder] = words.as_slice() else {
        return Err(format!("not all is given: {first}").into());
    };
    let kept = || fs::read_to_string(Path::new(folder).join("p"));

    // What is put takes the place of all fields.
    root.told(&["put", SECRET, "password=two"]).await?;
    let missing = note(&mut program).await?;
    assert!(missing.contains("has no field \"user\""), "{missing}");
    assert_eq!(kept()?, "one");
    let no_variable = "{\"password\": \"t\\u0000wo\", \"user\": \"app\"}";
    let put = root.says(no_variable, &["put", SECRET, "-"]).await?;
    assert_eq!(put.code, Some(0), "{}", put.error);
    let unfit = note(&mut program).await?;
    assert!(unfit.contains("NUL"), "{unfit}");
    assert_eq!(kept()?, "one");

    root.told(&["put", SECRET, "password=three", "user=other"])
        .await?;
    assert_eq!(line(&mut program).await?, format!("three three other {folder}"));
    Ok(())
}
