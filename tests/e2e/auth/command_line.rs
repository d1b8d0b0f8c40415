//! Users, roles and logins by `stead`.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::MAXIMUM_WAIT;
use crate::support::{Cluster, Program, Result, TestResult};

/// Runs `stead` and returns what it printed.
async fn stead(cluster: &Cluster, user: Option<&str>, arguments: &[&str], input: &str) -> Result<String> {
    let Program::Stead(path) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env("STEAD_ENDPOINTS", cluster.endpoints().join(","))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(user) = user {
        command.env("ETCDCTL_USER", user);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = timeout(MAXIMUM_WAIT, child.wait_with_output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(match output.status.code() {
        Some(0) => text,
        code => format!("{text}{error}exit {code:?}\n"),
    })
}

#[tokio::test]
async fn the_command_line_manages_users_and_logs_in_by_itself() -> TestResult {
    let cluster = Cluster::builder(Program::stead()?).nodes(3).start().await?;
    let root = Some("root:pw");
    let alice = Some("alice:secret");
    let steps: &[(Option<&str>, &[&str], &str, &str)] = &[
        (None, &["user", "add", "root:pw"], "", "User root created\n"),
        (
            None,
            &["user", "grant-role", "root", "root"],
            "",
            "Role root is granted to user root\n",
        ),
        (
            None,
            &["user", "add", "alice"],
            "secret\n",
            "User alice created\n",
        ),
        (
            None,
            &["user", "add", "robot", "--no-password"],
            "",
            "User robot created\n",
        ),
        (None, &["role", "add", "own"], "", "Role own created\n"),
        (
            None,
            &["role", "grant-permission", "own", "readwrite", "a", "--prefix"],
            "",
            "Role own updated\n",
        ),
        (
            None,
            &["role", "grant-permission", "own", "read", "x"],
            "",
            "Role own updated\n",
        ),
        (
            None,
            &["user", "grant-role", "alice", "own"],
            "",
            "Role own is granted to user alice\n",
        ),
        (None, &["auth", "enable"], "", "Authentication Enabled\n"),
        (
            None,
            &["auth", "status", "-o", "json"],
            "",
            "{\"revision\":1,\"enabled\":true,\"auth_revision\":9}\n",
        ),
        (
            None,
            &["put", "a", "1"],
            "",
            "error: etcdserver: user name is empty\nexit Some(3)\n",
        ),
        (alice, &["put", "a", "1"], "", "OK\n"),
        (alice, &["get", "a"], "", "a\n1\n"),
        (None, &["get", "a", "--user", "alice:secret"], "", "a\n1\n"),
        (
            None,
            &["get", "a", "--user", "alice", "--password", "secret"],
            "",
            "a\n1\n",
        ),
        (None, &["get", "a", "--user", "alice"], "secret\n", "a\n1\n"),
        (
            alice,
            &["put", "x", "1"],
            "",
            "error: etcdserver: permission denied\nexit Some(4)\n",
        ),
        (
            Some("alice:wrong"),
            &["get", "a"],
            "",
            "error: etcdserver: authentication failed, invalid user ID or password\nexit Some(3)\n",
        ),
        (alice, &["endpoint", "health", "--cluster"], "", ""),
        (alice, &["user", "get", "alice"], "", "User: alice\nRoles: own\n"),
        (
            root,
            &["user", "get", "alice", "--detail", "-o", "json"],
            "",
            "{\"details\":[{\"permissions\":[{\"key\":\"a\",\"kind\":\"readwrite\",\"range_end\":\"b\"},\
             {\"key\":\"x\",\"kind\":\"read\",\"range_end\":\"\"}],\"role\":\"own\"}],\"revision\":2,\
             \"roles\":[\"own\"],\"user\":\"alice\"}\n",
        ),
        (
            root,
            &["role", "get", "own"],
            "",
            "Role own\nKV Read:\n\t[a, b) (prefix a)\n\tx\nKV Write:\n\t[a, b) (prefix a)\n",
        ),
        (root, &["user", "list"], "", "alice\nrobot\nroot\n"),
        (
            root,
            &["role", "list", "-o", "json"],
            "",
            "{\"revision\":2,\"roles\":[\"own\"]}\n",
        ),
        (
            root,
            &["user", "passwd", "alice"],
            "other\n",
            "Password updated\n",
        ),
        (Some("alice:other"), &["get", "a"], "", "a\n1\n"),
        (
            root,
            &["role", "revoke-permission", "own", "a", "--prefix"],
            "",
            "Permission of range [a, b) is revoked from role own\n",
        ),
        (
            root,
            &["user", "revoke-role", "alice", "own"],
            "",
            "Role own is revoked from user alice\n",
        ),
        (root, &["role", "delete", "own"], "", "Role own deleted\n"),
        (root, &["user", "delete", "robot"], "", "User robot deleted\n"),
        (root, &["endpoint", "status", "--cluster"], "", ""),
        (root, &["auth", "disable"], "", "Authentication Disabled\n"),
        // A server that needs nobody's name takes those who give one.
        (root, &["get", "a"], "", "a\n1\n"),
        (None, &["put", "a", "2"], "", "OK\n"),
    ];
    for (user, arguments, input, expected) in steps {
        let printed = stead(&cluster, *user, arguments, input).await?;
        if expected.is_empty() {
            assert!(!printed.contains("exit"), "{arguments:?}: {printed}");
        } else {
            let normal = |text: &str| match serde_json::from_str::<serde_json::Value>(text) {
                Ok(value) => value.to_string(),
                Err(_) => text.to_owned(),
            };
            assert_eq!(normal(&printed), normal(expected), "{arguments:?}");
        }
    }
    Ok(())
}
