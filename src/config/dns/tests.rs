//! The flags of DNS.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Invocation, ServerConfig, parse};

fn parse_with(arguments: &[&str]) -> Result<ServerConfig, String> {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    match parse(&arguments, &BTreeMap::new()) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn without_flags_there_is_no_dns_and_answers_are_good_for_nothing_but_now() {
    let config = parse_with(&[]).unwrap();
    assert!(config.listen_dns.is_empty());
    assert_eq!(
        (config.dns.domains.len(), config.dns.datacenter.as_str()),
        (1, "dc1")
    );
    assert_eq!(config.dns.node_ttl, Duration::ZERO);
    assert_eq!(config.dns.service_ttls.of("web"), Duration::ZERO);
    assert!(!config.dns.only_passing && !config.dns.newest && !config.dns.tells_truncation);
}

#[test]
fn the_name_of_a_service_wins_over_its_longest_beginning() {
    let config = parse_with(&["--dns-service-ttl=web=10s,api-*=5s,api-v2*=6s,*=1m"]).unwrap();
    let of = |service| config.dns.service_ttls.of(service).as_secs();
    assert_eq!((of("web"), of("WEB"), of("webs")), (10, 10, 60));
    assert_eq!((of("api-"), of("api-v1"), of("api-v2x"), of("ap")), (5, 5, 6, 60));
}

#[test]
fn addresses_are_with_a_port_and_those_of_recursors_may_be_without() {
    let arguments = [
        "--listen-dns=127.0.0.1:8600,[::]:8601",
        "--dns-recursors=10.0.0.2,[fe80::1]:5353",
    ];
    let config = parse_with(&arguments).unwrap();
    assert_eq!(config.listen_dns.len(), 2);
    assert_eq!(
        config.dns.addresses,
        ["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    let recursors: Vec<String> = config.dns.recursors.iter().map(ToString::to_string).collect();
    assert_eq!(recursors, ["10.0.0.2:53", "[fe80::1]:5353"]);
}

#[test]
fn what_cannot_be_is_named_with_the_way_out() {
    for (arguments, words) in [
        (&["--listen-dns=8600"][..], "\"8600\" is no address"),
        (&["--listen-dns=localhost:8600"], "127.0.0.1:8600"),
        (&["--consul-domain=a b"], "such as consul"),
        (&["--consul-alt-domain=.."], "such as consul"),
        (&["--consul-datacenter=DC1"], "small letters"),
        (&["--dns-node-ttl=1500ms"], "whole seconds"),
        (&["--dns-service-ttl=web"], "\"web\" has no time"),
        (&["--dns-service-ttl=web=1x"], "whole seconds"),
        (&["--dns-service-ttl=a*b=1s"], "a star that is not at its end"),
        (&["--dns-service-ttl=*=1s,*=2s"], "twice"),
        (&["--dns-recursors=resolver"], "no address of a server"),
        (&["--dns-recursors=0.0.0.0"], "no address of a server"),
        (
            &["--listen-dns=127.0.0.1:8600", "--dns-recursors=127.0.0.1:8600"],
            "this server itself",
        ),
        (&["--dns-recursor-timeout=0s"], "not 0"),
        (&["--dns-consistent=maybe"], "true or false"),
        (&["--dns-token-file=Cargo.toml"], "--consul-acl"),
        (&["--consul-acl", "--dns-token-file=/nowhere"], "cannot be read"),
        (&["--consul-acl", "--dns-token-file=Cargo.toml"], "nothing else"),
    ] {
        let error = parse_with(arguments).unwrap_err();
        assert!(error.contains(words), "{arguments:?}: {error}");
    }
}

#[test]
fn the_token_is_read_from_its_file_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        parse_with(&["--consul-acl", &format!("--dns-token-file={}", path.display())])
    };
    let config = read(" secret-id\n").unwrap();
    assert_eq!(config.dns.token.as_ref().unwrap().expose().as_str(), "secret-id");
    assert!(!format!("{config:?}").contains("secret-id"));
    for text in ["", "\n", "two words", "two\nlines", &"x".repeat(5_000)] {
        let error = read(text).unwrap_err();
        assert!(error.contains("secret id of one token"), "{error}");
        assert!(text.trim().is_empty() || !error.contains(text), "{error}");
    }
    assert!(parse_with(&["--consul-acl"]).unwrap().dns.token.is_none());
}
