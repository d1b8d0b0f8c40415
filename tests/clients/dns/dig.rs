//! `dig`, of BIND.

use tokio::process::Command;

use super::{Served, instance, wait_for};
use crate::clients::succeeds;
use crate::support::{Result, TestResult};
use stead::proto::registry::Node;

/// Asks for all that was acknowledged before.
const NEWEST: &str = "+ednsopt=65001";

/// What dig prints, line by line, blanks squeezed, in the order of the alphabet.
async fn dig(address: &str, arguments: &str) -> Result<Vec<String>> {
    let (host, port) = address.rsplit_once(':').ok_or("no port")?;
    let mut command = Command::new("dig");
    command
        .args([
            &format!("@{host}"),
            "-p",
            port,
            "+tries=1",
            "+time=10",
            "+nocmd",
            "+nostats",
            "+noquestion",
        ])
        .args(arguments.split(' '));
    let printed = succeeds(&mut command).await?;
    let mut lines: Vec<String> = printed
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    Ok(lines)
}

async fn short(address: &str, arguments: &str) -> Result<Vec<String>> {
    dig(address, &format!("+short {arguments}")).await
}

/// What of the head dig shows.
fn head(lines: &[String]) -> String {
    let found = lines
        .iter()
        .filter(|line| line.contains("status:") || line.starts_with(";; flags:"));
    let words: Vec<&str> = found
        .flat_map(|line| line.split(';'))
        .flat_map(|part| part.split(','))
        .map(str::trim)
        .filter(|part| part.starts_with("status:") || part.starts_with("flags:"))
        .collect();
    words.join(" ")
}

#[tokio::test]
async fn dig_sees_services_and_nodes_on_every_node() -> TestResult {
    let served = Served::start().await?;
    let node = Node {
        name: "host1".into(),
        address: "10.0.0.1".into(),
        metadata: [("owner".to_owned(), "a team".to_owned())].into(),
        ..Node::default()
    };
    served.register_node(0, node).await?;
    let mut on_node = instance("w1", "", 8080);
    on_node.tags = vec!["v1".into()];
    served.register(0, on_node).await?;
    let mut apart = instance("w2", "2001:db8::7", 8081);
    apart.tags = vec!["v2".into()];
    served.register(0, apart).await?;
    for address in &served.addresses {
        // Acknowledged is acknowledged, whichever member is asked, for those who want it so.
        let seen = short(address, &format!("{NEWEST} web.service.consul SRV")).await?;
        let far = "1 1 8081 20010db8000000000000000000000007.addr.dc1.consul.";
        assert_eq!(seen, ["1 1 8080 host1.node.dc1.consul.", far]);
        for (arguments, wanted) in [
            ("web.service.consul A", &["10.0.0.1"][..]),
            ("web.service.consul AAAA", &["2001:db8::7"]),
            ("+tcp web.service.consul AAAA", &["2001:db8::7"]),
            ("+noedns v1.web.service.dc1.consul A", &["10.0.0.1"]),
            ("_web._v2.service.consul SRV", &[far]),
            (
                "_web._tcp.service.consul SRV +noall +additional +norecurse",
                &[
                    "20010db8000000000000000000000007.addr.dc1.consul. 0 IN AAAA 2001:db8::7",
                    "host1.node.dc1.consul. 0 IN A 10.0.0.1",
                ],
            ),
            ("host1.node.consul TXT", &["\"owner=a team\""]),
            ("host1.node.consul ANY", &["\"owner=a team\"", "10.0.0.1"]),
            ("-x 10.0.0.1", &["host1.node.dc1.consul."]),
            ("-x 2001:db8::7", &["web.service.dc1.consul."]),
            ("0a000001.addr.consul A", &["10.0.0.1"]),
            ("consul NS", &["ns.consul."]),
            ("ns.consul A", &["127.0.0.1"]),
        ] {
            let seen = match arguments.contains("+noall") {
                true => dig(address, arguments).await?,
                false => short(address, arguments).await?,
            };
            let seen: Vec<&String> = seen.iter().filter(|line| !line.starts_with(';')).collect();
            assert_eq!(seen, wanted, "{arguments}");
        }
        for (arguments, wanted) in [
            ("web.service.consul A", "status: NOERROR flags: qr aa rd"),
            ("web.service.consul MX", "status: NOERROR flags: qr aa rd"),
            ("none.service.consul A", "status: NXDOMAIN flags: qr aa rd"),
            ("www.example.com A", "status: REFUSED flags: qr rd"),
            (
                "+edns=9 +noednsnegotiation consul SOA",
                "status: BADVERS flags: qr rd",
            ),
            ("+opcode=UPDATE consul SOA", "status: NOTIMP flags: qr rd"),
        ] {
            let seen = head(&dig(address, arguments).await?);
            assert_eq!(seen, wanted, "{arguments}");
        }
        let authority = dig(address, "none.service.consul A +noall +authority").await?;
        let [authority] = authority.as_slice() else {
            return Err(format!("no authority: {authority:?}").into());
        };
        assert!(authority.starts_with("consul. 0 IN SOA ns.consul. hostmaster.consul."));
        assert!(authority.ends_with(" 3600 600 86400 0"), "{authority}");
    }
    Ok(())
}

#[tokio::test]
async fn dig_misses_nothing_when_the_leader_is_killed() -> TestResult {
    let mut served = Served::start().await?;
    served.register(0, instance("w1", "10.0.0.1", 80)).await?;
    let (dead, alive) = served.kill_leader().await?;
    // A member goes on answering with what it knows, also while nobody leads.
    let address = served.addresses[alive].clone();
    wait_for(vec!["10.0.0.1".to_owned()], async || {
        short(&address, "web.service.consul A").await
    })
    .await?;
    served.register(alive, instance("w2", "10.0.0.2", 80)).await?;
    let both = vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()];
    for (member, address) in served.addresses.iter().enumerate() {
        if member != dead {
            let seen = short(address, &format!("{NEWEST} web.service.consul A")).await?;
            assert_eq!(seen, both, "on member {member}");
        }
    }
    served.cluster.restart(dead).await?;
    let address = served.addresses[dead].clone();
    assert_eq!(
        short(&address, &format!("{NEWEST} web.service.consul A")).await?,
        both
    );
    served.deregister(alive, "host1", "w1").await?;
    for address in &served.addresses {
        let seen = short(address, &format!("{NEWEST} web.service.consul A")).await?;
        assert_eq!(seen, both[1..]);
        wait_for(both[1..].to_vec(), async || {
            short(address, "web.service.consul A").await
        })
        .await?;
    }
    // Without a quorum what is known is told, and what is asked for newest is not.
    served.cluster.node(0).kill()?;
    served.cluster.node(1).kill()?;
    let address = &served.addresses[2];
    assert_eq!(short(address, "web.service.consul A").await?, both[1..]);
    let newest = dig(address, &format!("{NEWEST} +time=30 web.service.consul A")).await?;
    assert!(newest.iter().any(|line| line.contains("SERVFAIL")), "{newest:?}");
    Ok(())
}
