//! The binary under the name `etcdctl` beside the etcdctl of Debian, 3.4: the same commands to the same server, and the
//! same bytes on the standard output, the same exit code and the same error.
//!
//! Only where later versions of etcdctl (3.7 is what Stead follows) write something else is a command not in the list:
//! tables, the text of `endpoint status` and `hashkv`, and transactions in JSON. Those are in the unit tests.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{Cluster, Program, Result, TestResult};

/// Formats in which etcdctl 3.4 shows every answer about keys.
const FORMATS: [&str; 4] = ["simple", "json", "fields", "protobuf"];

/// Commands that change nothing, so that both see the same, byte for byte.
const READS: [&[&str]; 24] = [
    &["get", "a"],
    &["get", "none"],
    &["get", "", "--prefix"],
    &["get", "a", "c"],
    &["get", "b", "--from-key"],
    &["get", "", "--prefix", "--keys-only"],
    &["get", "", "--prefix", "--limit", "2"],
    &["get", "", "--prefix", "--sort-by=VALUE", "--order=DESCEND"],
    &["get", "", "--prefix", "--sort-by=modify", "--order=ascend"],
    &["get", "a", "--rev", "2"],
    &["get", "a", "--consistency=s"],
    &["get", "a", "--hex"],
    &["get", "", "--prefix=true", "--keys-only=false"],
    &["get", "a", "--rev=99999"],
    &["get", "a", "--rev=1"],
    &["get", ""],
    &["put", "none", "--ignore-value"],
    &["put", "a", "b", "--lease=1234"],
    &["compaction", "99999"],
    &["lease", "list"],
    &["lease", "timetolive", "1234"],
    &["lease", "timetolive", "1234", "--keys"],
    &["member", "list"],
    &["watch", "a", "--rev=1"],
];

/// What etcdctl 3.7 writes in another way than 3.4: without the revision that is 0, ids of `--hex` in hexadecimal, and the
/// reason of a cancelled watch.
const CHANGED: [(&str, &str); 4] = [
    ("member list", "fields"),
    ("get a --hex", "fields"),
    ("watch a --rev=1", "json"),
    ("watch a --rev=1", "fields"),
];

/// Commands that etcdctl shows in one way only.
const SIMPLE: [&[&str]; 10] = [
    &["get", "a", "--print-value-only"],
    &["get", "", "--prefix", "--print-value-only"],
    &["lease", "revoke", "xyz"],
    &["get"],
    &["get", "a", "--prefix", "--from-key"],
    &["put", "a", "b", "--ignore-value"],
    &["get", "a", "--order=sideways"],
    &["get", "a", "-w", "nonsense"],
    &["put", "a", "b", "-w", "table", "--lease=1234"],
    &["txn", "too", "much"],
];

/// Commands that change something: what is written, then the same from both under keys of their own.
const WRITES: [&[&str]; 5] = [
    &["put", "w/KEY", "1"],
    &["put", "w/KEY", "2", "--prev-kv"],
    &["del", "w/KEY", "--prev-kv"],
    &["del", "w/KEY"],
    &["put", "w/KEY", "--", "-dash"],
];

struct Tools<'cluster> {
    own: &'cluster Path,
    endpoint: String,
}

impl Tools<'_> {
    fn run(&self, program: &Path, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(program)
            .args(arguments)
            .env("ETCDCTL_API", "3")
            .env("ETCDCTL_ENDPOINTS", &self.endpoint)
            .env_remove("STEAD_ENDPOINTS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that reads no input may have closed it.
            let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
        }
        Ok(child.wait_with_output()?)
    }

    /// What both say: the output and the code, and the error of a server.
    fn both(&self, arguments: &[&str], other: &[&str], input: &str) -> Result<[String; 2]> {
        let said = |output: &Output| {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let refusals: Vec<&str> = errors
                .lines()
                .filter(|line| line.starts_with("Error: etcdserver: "))
                .collect();
            format!(
                "{}\nexit {:?}\n{}",
                output.stdout.escape_ascii(),
                output.status.code(),
                refusals.join("\n")
            )
        };
        let theirs = self.run(Path::new("etcdctl"), other, input)?;
        let own = self.run(self.own, arguments, input)?;
        Ok([said(&theirs), said(&own)])
    }

    fn compare(&self, arguments: &[&str], input: &str, differences: &mut Vec<String>) -> Result<()> {
        let [theirs, own] = self.both(arguments, arguments, input)?;
        if theirs != own {
            differences.push(format!(
                "{arguments:?}\n etcdctl 3.4\n  {theirs}\n stead\n  {own}"
            ));
        }
        Ok(())
    }
}

/// The text without the revision of the store, which each of two writes raises.
fn without_revisions(text: &str) -> String {
    text.split_inclusive(|character: char| !character.is_ascii_digit())
        .map(
            |part| match part.trim_end_matches(|character: char| !character.is_ascii_digit()) {
                digits if digits.len() < 3 && !digits.is_empty() => part.replacen(digits, "N", 1),
                _ => part.to_owned(),
            },
        )
        .collect()
}

async fn same_output(program: Program) -> Result<()> {
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let cluster = Cluster::builder(program).nodes(1).start().await?;
    let own = cluster.directory().join("etcdctl");
    std::os::unix::fs::symlink(stead, &own)?;
    let tools = Tools {
        own: &own,
        endpoint: cluster.endpoints().join(","),
    };
    for (key, value) in [
        ("a", "1"),
        ("a", "zwei \"2\"\n\u{1}\u{e9}"),
        ("b", ""),
        ("c", "3"),
        ("d", "0"),
    ] {
        tools.run(Path::new("etcdctl"), &["put", "--", key, value], "")?;
    }
    tools.run(Path::new("etcdctl"), &["compaction", "2"], "")?;
    let mut differences = Vec::new();
    for arguments in READS {
        for format in FORMATS {
            if CHANGED.contains(&(arguments.join(" ").as_str(), format)) {
                continue;
            }
            let arguments = [arguments, &["-w", format]].concat();
            tools.compare(&arguments, "", &mut differences)?;
        }
    }
    for arguments in SIMPLE {
        tools.compare(arguments, "", &mut differences)?;
    }
    let reads = "value(\"b\") = \"\"\nver(\"a\") > \"1\"\n\nget a\nget none\n\nget c\n\n";
    let fails = "mod(\"a\") < \"1\"\n\nget a\n\nget c\n\n";
    for input in [reads, fails, "\n\n\n"] {
        for format in ["simple", "fields", "protobuf"] {
            tools.compare(&["txn", "-w", format], input, &mut differences)?;
        }
    }
    for arguments in WRITES {
        for format in FORMATS {
            let with = |key: &str| -> Vec<String> {
                ["-w", format]
                    .iter()
                    .chain(arguments)
                    .map(|word| word.replace("KEY", key))
                    .collect()
            };
            let (theirs, own) = (with("t"), with("s"));
            let theirs: Vec<&str> = theirs.iter().map(String::as_str).collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let [theirs, own] = tools.both(&own, &theirs, "")?;
            // The keys differ in one letter, revisions in their number; bytes of a message have both.
            let plain = |text: &str| {
                let text = text.replace("w/t", "w/KEY").replace("w/s", "w/KEY");
                without_revisions(&text.replace("dy90", "KEY").replace("dy9z", "KEY"))
            };
            let equal = if format == "protobuf" {
                theirs.lines().nth(1) == own.lines().nth(1)
            } else {
                plain(&theirs) == plain(&own)
            };
            if !equal {
                differences.push(format!(
                    "{arguments:?} {format}\n etcdctl 3.4\n  {theirs}\n stead\n  {own}"
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

/// What is said about a member whose id nobody chooses: in parts, since the members are in the order of their ids.
fn without_id(text: &str, id: &str) -> Result<Vec<String>> {
    let number = u64::from_str_radix(id, 16)?.to_string();
    let text = text.replace(id, "ID").replace(&number, "ID");
    let mut parts: Vec<String> = text
        .split([',', '"', '\n', ' ', '{', '}', '[', ']'])
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    parts.sort();
    Ok(parts)
}

/// A learner is added, moved, not promoted, since it never runs, and removed. Each has `hosts` of its own: an id is made of
/// them and of the second, and one that is removed is never used again.
fn change_members(tools: &Tools<'_>, program: &Path, format: &str, hosts: [u16; 2]) -> Result<Vec<String>> {
    let says = |arguments: &[&str]| -> Result<String> {
        // An etcd drops a change of the members that comes before it is done with the last one, which another write is not.
        tools.run(Path::new("etcdctl"), &["put", "between", "changes"], "")?;
        let output = tools.run(program, &[arguments, &["-w", format]].concat(), "")?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let refusals = errors
            .lines()
            .filter(|line| line.starts_with("Error: etcdserver: "));
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let refusals: Vec<&str> = refusals.collect();
        Ok(format!(
            "{printed} {:?} {}",
            output.status.code(),
            refusals.join("\n")
        ))
    };
    let peers = hosts.map(|host| format!("--peer-urls=http://n{host}.invalid:1"));
    let mut said = says(&["member", "add", "new", "--learner", &peers[0]])?;
    // Later versions of etcdctl say more than 3.4.
    said = said.replace(" added as learner to ", " added to ");
    let list = tools.run(Path::new("etcdctl"), &["member", "list"], "")?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let member = list.lines().find(|line| line.contains("unstarted"));
    let id = member
        .and_then(|line| line.split(',').next())
        .ok_or_else(|| format!("no learner in {list:?} after {said:?}"))?;
    let leader = list.lines().find(|line| line.contains(", started"));
    let leader = leader
        .and_then(|line| line.split(',').next())
        .ok_or("no leader")?;
    for arguments in [
        &["member", "list"][..],
        &["member", "update", id, &peers[1]],
        &["member", "promote", id],
        &["move-leader", leader],
        &["member", "remove", id],
        &["member", "remove", id],
        &["member", "remove", "nonsense"],
        &["member", "add"],
        &["move-leader"],
    ] {
        said += &says(arguments)?;
    }
    for host in hosts {
        said = said.replace(&format!("http://n{host}.invalid:1"), "URL");
    }
    without_id(&said, id)
}

async fn same_changes(program: Program) -> Result<()> {
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let cluster = Cluster::builder(program).nodes(1).start().await?;
    let own = cluster.directory().join("etcdctl");
    std::os::unix::fs::symlink(stead, &own)?;
    let tools = Tools {
        own: &own,
        endpoint: cluster.endpoints().join(","),
    };
    for (format, host) in [("simple", 1), ("json", 5)] {
        let theirs = change_members(&tools, Path::new("etcdctl"), format, [host, host + 1])?;
        let own = change_members(&tools, tools.own, format, [host + 2, host + 3])?;
        assert_eq!(theirs, own, "{format}");
    }
    Ok(())
}

#[tokio::test]
async fn changes_of_members_are_told_as_etcdctl_tells_them_of_stead() -> TestResult {
    Ok(same_changes(Program::stead()?).await?)
}

#[tokio::test]
async fn changes_of_members_are_told_as_etcdctl_tells_them_of_etcd() -> TestResult {
    Ok(same_changes(Program::etcd()?).await?)
}

#[tokio::test]
async fn the_client_in_etcdctls_place_prints_what_etcdctl_prints_of_stead() -> TestResult {
    Ok(same_output(Program::stead()?).await?)
}

#[tokio::test]
async fn the_client_in_etcdctls_place_prints_what_etcdctl_prints_of_etcd() -> TestResult {
    Ok(same_output(Program::etcd()?).await?)
}

/// The name and password that both tools log in with, what they are called with, and what they read. Each tool has a
/// server of its own, so that both find the same.
const RIGHTS: [(&str, &[&str], &str); 62] = [
    ("", &["user", "add", "alice:pw"], ""),
    ("", &["user", "add", "alice:pw"], ""),
    ("", &["user", "add", ":pw"], ""),
    ("", &["user", "add", "bob", "--interactive=false"], "pw\n"),
    ("", &["user", "add", "eve", "--new-user-password", "a:b"], ""),
    ("", &["user", "add", "robot", "--no-password"], ""),
    ("", &["user", "add", "twice"], "pw\npw\n"),
    ("", &["user", "add", "none"], ""),
    ("", &["user", "add"], ""),
    ("", &["user", "passwd", "bob", "--interactive=false"], "other\n"),
    (
        "",
        &["user", "passwd", "nobody", "--interactive=false"],
        "other\n",
    ),
    ("", &["user", "delete", "eve"], ""),
    ("", &["user", "delete", "eve"], ""),
    ("", &["user", "list"], ""),
    ("", &["user", "list", "-w", "json"], ""),
    ("", &["user", "list", "-w", "fields"], ""),
    ("", &["user", "get", "nobody"], ""),
    ("", &["role", "add", "r"], ""),
    ("", &["role", "add", "r"], ""),
    ("", &["role", "add", "s", "-w", "json"], ""),
    ("", &["role", "list"], ""),
    ("", &["role", "list", "-w", "json"], ""),
    ("", &["role", "list", "-w", "fields"], ""),
    ("", &["role", "grant-permission", "r", "read", "k"], ""),
    (
        "",
        &["role", "grant-permission", "r", "WRITE", "p", "--prefix"],
        "",
    ),
    ("", &["role", "grant-permission", "r", "readwrite", "a", "b"], ""),
    (
        "",
        &["role", "grant-permission", "r", "readwrite", "z", "--from-key"],
        "",
    ),
    (
        "",
        &["role", "grant-permission", "r", "read", "", "--from-key"],
        "",
    ),
    ("", &["role", "grant-permission", "r", "frob", "k"], ""),
    ("", &["role", "grant-permission", "r", "read"], ""),
    (
        "",
        &["role", "grant-permission", "r", "read", "k", "l", "--prefix"],
        "",
    ),
    ("", &["role", "grant-permission", "nobody", "read", "k"], ""),
    ("", &["role", "get", "r"], ""),
    ("", &["role", "get", "r", "-w", "json"], ""),
    ("", &["role", "get", "r", "-w", "fields"], ""),
    ("", &["role", "revoke-permission", "r", "", "--from-key"], ""),
    ("", &["role", "revoke-permission", "r", "z", "--from-key"], ""),
    ("", &["role", "revoke-permission", "r", "a", "b"], ""),
    ("", &["role", "revoke-permission", "r", "a", "b"], ""),
    ("", &["user", "grant-role", "alice", "r"], ""),
    ("", &["user", "grant-role", "alice", "nobody"], ""),
    ("", &["user", "get", "alice"], ""),
    ("", &["user", "get", "alice", "-w", "json"], ""),
    ("", &["user", "get", "alice", "-w", "table"], ""),
    ("", &["user", "get", "alice", "--detail"], ""),
    ("", &["auth", "enable"], ""),
    ("", &["user", "add", "root:rootpw"], ""),
    ("", &["auth", "enable"], ""),
    ("", &["get", "k"], ""),
    ("root:rootpw", &["user", "get", "root"], ""),
    ("alice:pw", &["get", "k"], ""),
    ("alice:pw", &["put", "k", "1"], ""),
    ("alice:pw", &["put", "p1", "1"], ""),
    ("alice:wrong", &["get", "k"], ""),
    ("nobody:pw", &["get", "k"], ""),
    ("", &["get", "k", "--user", "alice", "--password", "pw"], ""),
    ("", &["get", "k", "--user", "alice:pw"], ""),
    ("alice:pw", &["user", "list"], ""),
    ("root:rootpw", &["user", "revoke-role", "alice", "r"], ""),
    ("alice:pw", &["get", "k"], ""),
    ("root:rootpw", &["role", "delete", "r"], ""),
    ("root:rootpw", &["auth", "disable", "-w", "json"], ""),
];

/// What an etcdctl says to all of [`RIGHTS`]. Numbers are those of the server.
fn manage_rights(tools: &Tools<'_>, program: &Path) -> Result<Vec<String>> {
    RIGHTS
        .iter()
        .map(|(user, arguments, input)| {
            let login: &[&str] = if user.is_empty() { &[] } else { &["--user", user] };
            let output = tools.run(program, &[arguments, login].concat(), input)?;
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let refusals: Vec<&str> = errors
                .lines()
                .filter(|line| line.starts_with("Error: etcdserver: "))
                .collect();
            // etcdctl asks on the standard output even where nobody types.
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let printed: Vec<&str> = printed
                .lines()
                .filter(|line| !line.starts_with("Password of ") && !line.starts_with("Type password of "))
                .collect();
            let printed: String = printed
                .join("\n")
                .split(|character: char| character.is_ascii_digit())
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("N");
            let code = output.status.code();
            Ok(format!(
                "{user} {arguments:?}\n{printed}\nexit {code:?} {}",
                refusals.join("\n")
            ))
        })
        .collect()
}

async fn same_rights(program: fn() -> Result<Program>) -> Result<()> {
    let Program::Stead(stead) = Program::stead()? else {
        return Err("the program is not stead".into());
    };
    let theirs = Cluster::builder(program()?).nodes(1).start().await?;
    let ours = Cluster::builder(program()?).nodes(1).start().await?;
    let own = ours.directory().join("etcdctl");
    std::os::unix::fs::symlink(stead, &own)?;
    let of = |cluster: &Cluster, program: &Path| {
        let tools = Tools {
            own: &own,
            endpoint: cluster.endpoints().join(","),
        };
        manage_rights(&tools, program)
    };
    let (theirs, own) = (of(&theirs, Path::new("etcdctl"))?, of(&ours, &own)?);
    let differences: Vec<String> = theirs
        .iter()
        .zip(&own)
        .filter(|(theirs, own)| theirs != own)
        .map(|(theirs, own)| format!("{theirs}\n stead\n{own}"))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    Ok(())
}

#[tokio::test]
async fn users_and_roles_are_managed_as_with_etcdctl_on_stead() -> TestResult {
    Ok(same_rights(Program::stead).await?)
}

#[tokio::test]
async fn users_and_roles_are_managed_as_with_etcdctl_on_etcd() -> TestResult {
    Ok(same_rights(Program::etcd).await?)
}
