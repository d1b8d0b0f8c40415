//! Names in DNS where tokens count: each member answers with the rights of the token that it was given.

use std::time::Instant;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::*;
use crate::e2e::http;
use crate::support::TestResult;

/// The first token, and the one of the second member.
const ROOT: &str = "11111111-2222-3333-4444-555555555555";
const OF_DNS: &str = "66666666-7777-8888-9999-aaaaaaaaaaaa";
/// The public id of the token of whoever shows none.
const ANONYMOUS: &str = "00000000-0000-0000-0000-000000000002";
/// The option with which a question asks for all that was acknowledged before.
const NEWEST_OPTION: u16 = 65_001;

/// What a name is answered with: the code, and the addresses with their times.
async fn addresses(dns: &str, name: &str) -> Result<(ResponseCode, Vec<(String, u32)>)> {
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    let mut edns = Edns::new();
    edns.options_mut()
        .insert(EdnsOption::Unknown(NEWEST_OPTION, Vec::new()));
    question.set_edns(edns);
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(dns).await?;
    socket.send(&question.to_vec()?).await?;
    let mut buffer = vec![0; 4_096];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await??;
    let answer = Message::from_vec(&buffer[..length])?;
    let mut found: Vec<(String, u32)> = answer
        .answers
        .iter()
        .map(|record| (record.data.to_string(), record.ttl))
        .collect();
    found.sort();
    Ok((answer.metadata.response_code, found))
}

/// Looks until a name is answered so: a member learns of a change of rights a moment after it was acknowledged.
async fn becomes(dns: &str, name: &str, wanted: (ResponseCode, &[(&str, u32)])) -> TestResult {
    let found = wanted
        .1
        .iter()
        .map(|(address, ttl)| ((*address).to_owned(), *ttl));
    let wanted = (wanted.0, found.collect());
    let started = Instant::now();
    loop {
        let seen = addresses(dns, name).await?;
        if seen == wanted {
            return Ok(());
        }
        if started.elapsed() > PATIENCE {
            return Err(format!("{name}: {seen:?}, not {wanted:?}").into());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Asks with the first token.
async fn change(address: &str, method: &str, path: &str, body: &str) -> TestResult {
    let headers = format!("X-Consul-Token: {ROOT}\r\n");
    let answer = ask(address, method, path, &headers, body).await?;
    match answer.status {
        200 => Ok(()),
        status => Err(format!("{method} {path}: {status} {}", answer.body).into()),
    }
}

#[tokio::test]
async fn names_are_answered_with_the_rights_of_the_token_of_dns() -> TestResult {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{OF_DNS}\n"))?;
    let mut builder = Cluster::builder(Program::stead()?)
        .nodes(3)
        .argument("--consul-acl")
        .argument("--consul-acl-default-policy=deny")
        .argument(format!("--consul-acl-initial-management-token={ROOT}"))
        .argument_of(1, format!("--dns-token-file={}", file.display()));
    let (mut consul, mut dns) = (Vec::new(), Vec::new());
    for node in 0..3 {
        consul.push(format!("127.0.0.1:{}", free_port()?));
        dns.push(format!("127.0.0.1:{}", free_port()?));
        builder = builder
            .argument_of(node, format!("--listen-consul-urls=http://{}", consul[node]))
            .argument_of(node, format!("--listen-dns={}", dns[node]));
    }
    let cluster = builder.start().await?;
    let address = &consul[0];
    let started = Instant::now();
    while change(address, "GET", "/v1/acl/token/self", "").await.is_err() {
        assert!(started.elapsed() < PATIENCE, "there is no first token");
        sleep(POLL_INTERVAL).await;
    }
    for (service, place) in [("web", "10.0.0.1"), ("db", "10.0.0.2")] {
        let body = format!(
            r#"{{"Node":"host1","Address":"10.0.0.9","Service":{{"Service":"{service}","Address":"{place}"}}}}"#
        );
        change(address, "PUT", "/v1/catalog/register", &body).await?;
    }

    // Nobody may see anything, and the other token is not there yet.
    let nothing = (ResponseCode::NXDomain, &[][..]);
    becomes(&dns[0], "web.service.consul.", nothing).await?;
    becomes(&dns[1], "web.service.consul.", (ResponseCode::Refused, &[])).await?;

    // Everybody may see one service, and the token of the second member the other one.
    for (policy, service) in [("web", "web"), ("db", "db")] {
        let rules =
            format!(r#"service \"{service}\" {{policy = \"read\"}}\nnode_prefix \"\" {{policy = \"read\"}}"#);
        let body = format!(r#"{{"Name":"{policy}","Rules":"{rules}"}}"#);
        change(address, "PUT", "/v1/acl/policy", &body).await?;
    }
    let policies = r#"{"Policies":[{"Name":"web"}]}"#;
    change(address, "PUT", &format!("/v1/acl/token/{ANONYMOUS}"), policies).await?;
    let token = format!(r#"{{"AccessorID":"{OF_DNS}","SecretID":"{OF_DNS}","Policies":[{{"Name":"db"}}]}}"#);
    change(address, "PUT", "/v1/acl/token", &token).await?;
    let (web, db) = ([("10.0.0.1", 0)], [("10.0.0.2", 0)]);
    for (member, name, wanted) in [
        (0, "web.service.consul.", (ResponseCode::NoError, &web[..])),
        (0, "db.service.consul.", nothing),
        (
            0,
            "host1.node.consul.",
            (ResponseCode::NoError, &[("10.0.0.9", 0)][..]),
        ),
        (1, "web.service.consul.", nothing),
        (1, "db.service.consul.", (ResponseCode::NoError, &db[..])),
        (2, "web.service.consul.", (ResponseCode::NoError, &web[..])),
    ] {
        becomes(&dns[member], name, wanted).await?;
    }

    // A prepared query sees what its own token does, on every member as soon as it is acknowledged.
    let query =
        format!(r#"{{"Name":"store","Token":"{OF_DNS}","Service":{{"Service":"db"}},"DNS":{{"TTL":"9s"}}}}"#);
    change(address, "POST", "/v1/query", &query).await?;
    for server in &dns {
        let (code, found) = addresses(server, "store.query.consul.").await?;
        assert_eq!(
            (code, found),
            (ResponseCode::NoError, vec![("10.0.0.2".to_owned(), 9)])
        );
    }

    // A token that goes takes its rights along.
    change(address, "DELETE", &format!("/v1/acl/token/{OF_DNS}"), "").await?;
    becomes(&dns[1], "db.service.consul.", (ResponseCode::Refused, &[])).await?;
    becomes(&dns[2], "store.query.consul.", nothing).await?;

    let (status, page) = http::get(&cluster.nodes()[1].client_address(), "/metrics").await?;
    assert_eq!(status, 200);
    for code in ["REFUSED", "NXDOMAIN", "NOERROR"] {
        let series = format!("stead_dns_questions_total{{code=\"{code}\",transport=\"udp\"}} ");
        assert!(page.contains(&series), "{series} is not in {page}");
    }
    assert!(page.contains("stead_dns_answer_duration_seconds_count{transport=\"udp\"}"));
    Ok(())
}
