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
