//! `stead secret`: the store from its initialization to a program that is given secrets, on three nodes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::support::{Cluster, Program, Result, TestResult};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// The command line of somebody with a folder, and perhaps a token, of their own.
pub(super) struct Somebody {
    endpoints: String,
    home: PathBuf,
    token: Option<String>,
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    out: String,
    pub(super) error: String,
}

impl Ended {
    fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out)
            .map_err(|error| format!("{error}: {} {}", self.out, self.error).into())
    }
}

impl Somebody {
    fn new(endpoints: &[String], home: &Path) -> Self {
        Self {
            endpoints: endpoints.join(","),
            home: home.to_owned(),
            token: None,
        }
    }

    fn with_token(&self, token: &str) -> Self {
        Self {
            endpoints: self.endpoints.clone(),
            home: self.home.clone(),
            token: Some(token.to_owned()),
        }
    }

    /// The same at one endpoint alone.
    pub(super) fn at(&self, endpoint: &str) -> Self {
        Self {
            endpoints: endpoint.to_owned(),
            home: self.home.clone(),
            token: self.token.clone(),
        }
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Result<Command> {
        let Program::Stead(path) = Program::stead()? else {
            return Err("there is no binary".into());
        };
        let mut command = Command::new(path);
        command
            .arg("secret")
            .args(arguments)
            .env("STEAD_ENDPOINTS", &self.endpoints)
            .env("HOME", &self.home)
            .env_remove("VAULT_TOKEN")
            .env_remove("STEAD_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(token) = &self.token {
            command.env("STEAD_TOKEN", token);
        }
        Ok(command)
    }

    pub(super) async fn says(&self, input: &str, arguments: &[&str]) -> Result<Ended> {
        let mut child = self.command(arguments)?.spawn()?;
        let mut stdin = child.stdin.take().ok_or("no input")?;
        // A command that reads nothing may have ended.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = timeout(MAXIMUM_WAIT, child.wait_with_output()).await??;
        Ok(Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            error: String::from_utf8(output.stderr)?,
        })
    }

    async fn does(&self, arguments: &[&str]) -> Result<Ended> {
        self.says("", arguments).await
    }

    /// What a command that must succeed says.
    pub(super) async fn told(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.does(arguments).await?;
        if ended.code != Some(0) {
            return Err(format!(
                "{arguments:?} ended with {:?}: {}{}",
                ended.code, ended.out, ended.error
            )
            .into());
        }
        Ok(ended.out)
    }
}

/// A cluster of three that was initialized and unsealed, and whoever has the root token.
pub(super) async fn unsealed(home: &Path) -> Result<(Cluster, Somebody, Vec<String>)> {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let nobody = Somebody::new(&cluster.addresses(), home);
    let made = nobody
        .does(&["init", "--shares", "3", "--threshold", "2", "-o", "json"])
        .await?;
    assert_eq!(made.code, Some(0), "{}", made.error);
    let made = made.json()?;
    let shares: Vec<String> = serde_json::from_value(made["shares"].clone())?;
    assert_eq!(shares.len(), 3);
    for share in shares.iter().take(2) {
        let given = nobody.says(share, &["unseal", "-"]).await?;
        assert_eq!(given.code, Some(0), "{}", given.error);
        assert!(!given.error.contains("warning"), "{}", given.error);
    }
    let root = made["root_token"].as_str().ok_or("no token")?;
    Ok((cluster, nobody.with_token(root), shares))
}

async fn line_of(source: impl AsyncRead + Unpin) -> Result<String> {
    let mut text = String::new();
    timeout(
        MAXIMUM_WAIT,
        BufReader::with_capacity(1, source).read_line(&mut text),
    )
    .await??;
    Ok(text.trim_end().to_owned())
}

/// The next line that a program writes.
pub(super) async fn line(child: &mut Child) -> Result<String> {
    line_of(child.stdout.as_mut().ok_or("taken")?).await
}

/// The next line that it, or what runs it, says of itself.
pub(super) async fn note(child: &mut Child) -> Result<String> {
    line_of(child.stderr.as_mut().ok_or("taken")?).await
}

#[tokio::test]
async fn a_store_is_initialized_unsealed_and_sealed() -> TestResult {
    let home = tempfile::tempdir()?;
    let cluster = Cluster::builder(Program::stead()?).start().await?;
    let nobody = Somebody::new(&cluster.addresses(), home.path());
    let status = nobody.does(&["status"]).await?;
    assert_eq!(status.code, Some(2), "{}", status.error);
    assert!(status.out.contains("not initialized"), "{}", status.out);
    drop(cluster);

    let (cluster, root, shares) = unsealed(home.path()).await?;
    let status = root.does(&["status", "-o", "json"]).await?;
    assert_eq!(status.code, Some(0), "{}", status.error);
    let status = status.json()?;
    let nodes = status["nodes"].as_array().ok_or("no nodes")?;
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["sealed"] == false), "{status}");
    let again = root.does(&["init"]).await?;
    assert_eq!(again.code, Some(3), "{}", again.error);
    assert!(again.error.contains("already initialized"), "{}", again.error);

    // The node that is asked is sealed, and no other in its place once it is: the others answer for it, and it alone is to
    // be unsealed.
    root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"])
        .await?;
    root.told(&["put", "secret/a", "k=v"]).await?;
    let first = root.at(cluster.addresses().first().ok_or("no address")?);
    root.told(&["seal"]).await?;
    let again = root.told(&["seal"]).await?;
    assert!(again.contains("is sealed already"), "{again}");
    let status = root.does(&["status"]).await?;
    assert_eq!(status.code, Some(2), "{}", status.error);
    assert_eq!(status.out.matches("\tsealed").count(), 1, "{}", status.out);
    assert_eq!(root.told(&["get", "secret/a", "--field", "k"]).await?, "v\n");
    let sealed = first.does(&["get", "secret/a"]).await?;
    assert_eq!(sealed.code, Some(4));
    assert!(sealed.error.contains("sealed"), "{}", sealed.error);
    for share in shares.iter().skip(1) {
        let given = first.says(share, &["unseal", "-"]).await?;
        assert_eq!(given.code, Some(0), "{}", given.error);
    }
    assert_eq!(first.told(&["get", "secret/a", "--field", "k"]).await?, "v\n");
    Ok(())
}

#[tokio::test]
async fn secrets_have_versions_that_come_and_go() -> TestResult {
    let home = tempfile::tempdir()?;
    let (_cluster, root, _) = unsealed(home.path()).await?;
    root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"])
        .await?;

    let put = root
        .does(&["put", "secret/db/app", "password=hunter2", "user=app"])
        .await?;
    assert_eq!(put.code, Some(0), "{}", put.error);
    assert!(
        put.error.contains("warning: password, user on the command line"),
        "{}",
        put.error
    );
    let quiet = root
        .says("{\"big\": 12345678901234567890123}", &["put", "secret/big", "-"])
        .await?;
    assert_eq!((quiet.code, quiet.error.as_str()), (Some(0), ""), "{}", quiet.out);
    assert_eq!(
        root.told(&["get", "secret/db/app"]).await?,
        "password\thunter2\nuser\tapp\n"
    );
    assert_eq!(
        root.told(&["get", "secret/big", "--field", "big"]).await?,
        "12345678901234567890123\n"
    );
    assert_eq!(root.told(&["list", "secret/"]).await?, "big\ndb/\n");

    let patched = root
        .says("hunter3", &["patch", "secret/db/app", "password=-"])
        .await?;
    assert_eq!(patched.code, Some(0), "{}", patched.error);
    let shown: Value = serde_json::from_str(&root.told(&["get", "secret/db/app", "-o", "json"]).await?)?;
    assert_eq!(
        (
            &shown["data"]["password"],
            &shown["data"]["user"],
            &shown["metadata"]["version"]
        ),
        (&"hunter3".into(), &"app".into(), &2.into())
    );
    let old = root
        .told(&["get", "secret/db/app", "--at-version", "1", "--field", "password"])
        .await?;
    assert_eq!(old, "hunter2\n");
    let refused = root
        .does(&["put", "secret/db/app", "password=x", "--cas", "1"])
        .await?;
    assert_eq!(refused.code, Some(3), "{}", refused.error);
    assert!(
        refused.error.contains("did not match the current version"),
        "{}",
        refused.error
    );

    root.told(&["delete", "secret/db/app"]).await?;
    let deleted = root.does(&["get", "secret/db/app"]).await?;
    assert_eq!(
        (deleted.code, deleted.out.as_str()),
        (Some(4), ""),
        "{}",
        deleted.error
    );
    assert!(deleted.error.contains("is deleted"), "{}", deleted.error);
    root.told(&["undelete", "secret/db/app", "--versions", "2"])
        .await?;
    assert_eq!(
        root.told(&["get", "secret/db/app", "--field", "password"])
            .await?,
        "hunter3\n"
    );
    root.told(&["destroy", "secret/db/app", "--versions", "2"])
        .await?;
    root.told(&[
        "metadata",
        "put",
        "secret/db/app",
        "--max-versions",
        "5",
        "--custom",
        "owner=alice",
    ])
    .await?;
    let metadata: Value = serde_json::from_str(
        &root
            .told(&["metadata", "get", "secret/db/app", "-o", "json"])
            .await?,
    )?;
    let metadata = &metadata["data"];
    assert_eq!(
        (
            &metadata["versions"]["2"]["destroyed"],
            &metadata["max_versions"],
            &metadata["custom_metadata"]["owner"]
        ),
        (&true.into(), &5.into(), &"alice".into())
    );
    root.told(&["metadata", "delete", "secret/db/app"]).await?;
    let gone = root.does(&["get", "secret/db/app"]).await?;
    assert_eq!(gone.code, Some(4));
    Ok(())
}

#[tokio::test]
async fn tokens_have_the_rights_of_their_policies_and_logins_keep_them() -> TestResult {
    let home = tempfile::tempdir()?;
    let (_cluster, root, _) = unsealed(home.path()).await?;
    root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"])
        .await?;
    root.told(&["put", "secret/app/a", "k=v"]).await?;
    root.told(&["put", "secret/other", "k=v"]).await?;
    let rules = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    let put = root.says(rules, &["policy", "put", "app", "-"]).await?;
    assert_eq!(put.code, Some(0), "{}", put.error);
    assert_eq!(root.told(&["policy", "get", "app"]).await?.trim_end(), rules);
    assert!(root.told(&["policy", "list"]).await?.contains("app\n"));

    let made: Value = serde_json::from_str(
        &root
            .told(&["token", "create", "--policy", "app", "--ttl", "1h", "-o", "json"])
            .await?,
    )?;
    let app = root.with_token(made["auth"]["token"].as_str().ok_or("no token")?);
    assert_eq!(app.told(&["get", "secret/app/a", "--field", "k"]).await?, "v\n");
    let denied = app.does(&["get", "secret/other"]).await?;
    assert_eq!(denied.code, Some(4));
    assert!(denied.error.contains("permission denied"), "{}", denied.error);
    let may = app.told(&["token", "capabilities", "secret/data/app/a"]).await?;
    assert!(may.contains("read"), "{may}");
    let accessor = made["auth"]["accessor"].as_str().ok_or("no accessor")?;
    root.told(&["token", "revoke", "--accessor", accessor]).await?;
    assert_eq!(app.does(&["get", "secret/app/a"]).await?.code, Some(4));

    // A login keeps its token for the commands to come, and does not show it.
    root.told(&["auth", "enable", "userpass"]).await?;
    let user = "{\"password\": \"hunter2\", \"token_policies\": \"app\"}";
    let written = root
        .says(user, &["write", "auth/userpass/users/alice", "-"])
        .await?;
    assert_eq!(written.code, Some(0), "{}", written.error);
    let mut alice = root.with_token("");
    alice.token = None;
    let login = alice.says("hunter2\n", &["login", "userpass", "alice"]).await?;
    assert_eq!(login.code, Some(0), "{}", login.error);
    assert!(
        login.out.contains("app") && !login.out.contains("hvs."),
        "{}",
        login.out
    );
    assert_eq!(alice.told(&["get", "secret/app/a", "--field", "k"]).await?, "v\n");
    let wrong = alice.says("hunter3\n", &["login", "userpass", "alice"]).await?;
    assert_eq!(wrong.code, Some(3), "{}", wrong.error);

    let wrapped = root
        .says("{\"k\": \"wrapped\"}", &["wrap", "-", "-o", "json"])
        .await?
        .json()?;
    let token = wrapped["wrapped"]["token"].as_str().ok_or("no token")?;
    let unwrapped = alice.says(token, &["unwrap", "--field", "k"]).await?;
    assert_eq!(
        (unwrapped.code, unwrapped.out.as_str()),
        (Some(0), "wrapped\n"),
        "{}",
        unwrapped.error
    );
    assert_ne!(
        alice.says(token, &["unwrap"]).await?.code,
        Some(0),
        "it is unwrapped once"
    );
    Ok(())
}

#[tokio::test]
async fn a_program_has_its_secrets_and_is_told_when_they_change() -> TestResult {
    let home = tempfile::tempdir()?;
    let (_cluster, root, _) = unsealed(home.path()).await?;
    root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"])
        .await?;
    root.told(&["put", "secret/db/app", "password=one"]).await?;

    // Told by a signal: the file is another, the variable stays. The exit code is passed on, and the file is gone.
    let says = "echo $$ $P $(cat $STEAD_SECRETS_DIR/p) $STEAD_SECRETS_DIR $STEAD_TOKEN; \
                trap 'echo told $P $(cat $STEAD_SECRETS_DIR/p); exit 7' HUP; while :; do sleep 0.1; done";
    let given = [
        "run",
        "--env",
        "P=secret/db/app#password",
        "--file",
        "p=secret/db/app#password",
    ];
    let mut told = root
        .command(&[&given[..], &["--signal", "HUP", "--", "sh", "-c", says]].concat())?
        .spawn()?;
    let first = line(&mut told).await?;
    let words: Vec<&str> = first.split(' ').collect();
    let [_, "one", "one", folder] = words.as_slice() else {
        return Err(format!("the token is passed on, or nothing is: {first}").into());
    };
    assert!(Path::new(folder).is_dir());
    // What is written elsewhere tells nobody.
    root.told(&["put", "secret/db/other", "password=none"]).await?;
    root.told(&["put", "secret/db/app", "password=two"]).await?;
    assert_eq!(line(&mut told).await?, "told one two");
    assert_eq!(timeout(MAXIMUM_WAIT, told.wait()).await??.code(), Some(7));
    assert!(!Path::new(folder).exists());

    // Run again: the variable is another.
    let says = "echo $P; exec sleep 1000";
    let given = [
        "run",
        "--env",
        "P=secret/db/app#password",
        "--restart",
        "--",
        "sh",
        "-c",
        says,
    ];
    let mut again = root.command(&given)?.spawn()?;
    assert_eq!(line(&mut again).await?, "two");
    root.told(&["put", "secret/db/app", "password=three"]).await?;
    assert_eq!(line(&mut again).await?, "three");

    let missing = root
        .does(&["run", "--env", "P=secret/db/app#none", "--", "true"])
        .await?;
    assert_eq!(missing.code, Some(4));
    assert!(missing.error.contains("no field \"none\""), "{}", missing.error);
    Ok(())
}

#[tokio::test]
async fn a_file_is_written_from_a_template_and_follows_its_secrets() -> TestResult {
    let home = tempfile::tempdir()?;
    let (_cluster, root, _) = unsealed(home.path()).await?;
    root.told(&["mount", "enable", "kv", "--at", "secret", "--option", "version=2"])
        .await?;
    root.told(&["put", "secret/db/app", "password=it's"]).await?;
    let (template, target) = (home.path().join("a.tmpl"), home.path().join("a.conf"));
    std::fs::write(
        &template,
        "p={{ secret \"secret/db/app\" \"password\" | shell }}\n",
    )?;
    let (from, to) = (
        template.to_str().ok_or("no text")?,
        target.to_str().ok_or("no text")?,
    );
    let files = ["template", "--in", from, "--out", to];
    root.told(&[&files[..], &["--once"]].concat()).await?;
    assert_eq!(std::fs::read_to_string(&target)?, "p='it'\\''s'\n");

    let mut following = root
        .command(&[&files[..], &["--exec", "echo written $STEAD_TOKEN $VAULT_TOKEN"]].concat())?
        .env("VAULT_TOKEN", "another")
        .spawn()?;
    let waiting = async {
        // Until it follows, a change may be read as what was there before.
        for number in 0.. {
            let password = format!("password={number}");
            root.told(&["put", "secret/db/app", &password]).await?;
            for _ in 0..30 {
                if std::fs::read_to_string(&target)? == format!("p='{number}'\n") {
                    return Ok(());
                }
                sleep(PAUSE).await;
            }
        }
        Err::<(), crate::support::Error>("never".into())
    };
    timeout(MAXIMUM_WAIT, waiting).await??;
    assert_eq!(line(&mut following).await?, "written", "the tokens are passed on");
    Ok(())
}
