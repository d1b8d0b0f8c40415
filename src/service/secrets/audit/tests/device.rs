//! Settings of devices: what is read, and what is refused.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::sink::socket::Address;
use super::super::{Allowed, Settings, Target};
use super::options;
use crate::base::limits::{MAXIMUM_AUDIT_NAME_BYTES, MAXIMUM_AUDIT_PREFIX_BYTES};
use crate::service::secrets::engine::Fault;

fn parse(kind: &str, settings: Value, directory: Option<&str>) -> Result<Settings, Fault> {
    Settings::parse(
        "file/",
        kind,
        &options(settings),
        &Allowed::within(directory.map(PathBuf::from)),
    )
}

fn file(steps: &str, mode: Option<u32>) -> Target {
    Target::File {
        directory: "/var/audit".into(),
        steps: steps.into(),
        mode,
    }
}

#[test]
fn settings_are_read_in_the_forms_of_clients() {
    let directory = Some("/var/audit");
    for (kind, settings, target) in [
        (
            "file",
            json!({"file_path": "/var/audit/a.log"}),
            file("a.log", None),
        ),
        (
            "file",
            json!({"path": "b/./a.log", "mode": "0640"}),
            file("b/a.log", Some(0o640)),
        ),
        (
            "file",
            json!({"file_path": "a", "mode": "0000", "format": "json"}),
            file("a", None),
        ),
        ("file", json!({"file_path": "stdout"}), Target::StandardOutput),
        ("file", json!({"file_path": "discard"}), Target::Discard),
        ("log", json!({}), Target::Log),
        (
            "syslog",
            json!({"facility": "local7", "tag": "stead"}),
            Target::Syslog {
                facility: 23,
                tag: "stead".to_owned(),
            },
        ),
    ] {
        assert_eq!(parse(kind, settings, directory).unwrap().target, target);
    }
    let allowed = Allowed::within(directory.map(PathBuf::from));
    let socket = |address, seconds| Target::Socket {
        address,
        networks: allowed.networks.clone(),
        timeout: Duration::from_secs(seconds),
    };
    for (settings, target) in [
        (
            json!({"address": "127.0.0.1:9090"}),
            socket(Address::Tcp("127.0.0.1:9090".to_owned()), 2),
        ),
        (
            json!({"address": "[::1]:9090", "socket_type": "udp", "write_timeout": "5s"}),
            socket(Address::Udp("[::1]:9090".to_owned()), 5),
        ),
        (
            json!({"address": "/var/audit/s", "socket_type": "unix"}),
            socket(
                Address::Unix {
                    directory: "/var/audit".into(),
                    steps: "s".into(),
                },
                2,
            ),
        ),
    ] {
        assert_eq!(parse("socket", settings, directory).unwrap().target, target);
    }
    let settings = parse(
        "log",
        json!({"log_raw": "true", "hmac_accessor": false, "elide_list_responses": 1, "prefix": "@cee: "}),
        None,
    )
    .unwrap();
    assert!(settings.is_raw && !settings.hashes_accessors && settings.elides_lists && !settings.is_synced);
    assert_eq!(
        (settings.name.as_str(), settings.prefix.as_str()),
        ("file", "@cee: ")
    );
    assert!(
        parse("file", json!({"path": "a", "fsync": "true"}), directory)
            .unwrap()
            .is_synced
    );
}

#[test]
fn what_is_wrong_is_refused_with_what_to_do() {
    let directory = Some("/var/audit");
    for (kind, settings, text) in [
        ("file", json!({}), "file_path is required"),
        ("file", json!({"file_path": ""}), "file_path is required"),
        ("file", json!({"file_path": 1}), "file_path is no text"),
        (
            "file",
            json!({"file_path": "/etc/passwd"}),
            "\"/etc/passwd\" is not in \"/var/audit\"",
        ),
        ("file", json!({"file_path": "/var/auditor/a"}), "is not in"),
        ("file", json!({"file_path": "/var/audit/../a"}), "is not in"),
        ("file", json!({"file_path": "../a"}), "is not in"),
        ("file", json!({"file_path": "a/../../b"}), "is not in"),
        ("file", json!({"file_path": "/var/audit"}), "is not in"),
        ("file", json!({"file_path": "."}), "is not in"),
        ("file", json!({"file_path": "a\u{0}b"}), "control character"),
        (
            "file",
            json!({"file_path": "a", "mode": "0999"}),
            "mode \"0999\" is no mode",
        ),
        ("file", json!({"file_path": "a", "mode": "7777"}), "is no mode"),
        (
            "file",
            json!({"file_path": "a", "mode": "0040"}),
            "6 for the owner",
        ),
        (
            "file",
            json!({"file_path": "a", "format": "xml"}),
            "unknown format type \"xml\"",
        ),
        (
            "file",
            json!({"file_path": "a", "colour": "red"}),
            "unknown option \"colour\"",
        ),
        (
            "file",
            json!({"file_path": "a", "address": "x"}),
            "unknown option \"address\"",
        ),
        (
            "file",
            json!({"file_path": "a", "log_raw": "maybe"}),
            "log_raw: \"maybe\" is no truth value",
        ),
        (
            "file",
            json!({"file_path": "a", "prefix": "a{"}),
            "prefix has a bracket",
        ),
        (
            "file",
            json!({"file_path": "a", "prefix": "a\nb"}),
            "control character",
        ),
        ("socket", json!({}), "address is required"),
        ("socket", json!({"address": "localhost"}), "is not host:port"),
        ("socket", json!({"address": ":9090"}), "is not host:port"),
        ("socket", json!({"address": "a:0"}), "is not host:port"),
        (
            "socket",
            json!({"address": "a:1", "socket_type": "sctp"}),
            "socket_type \"sctp\" is not known",
        ),
        (
            "socket",
            json!({"address": "/run/docker.sock", "socket_type": "unix"}),
            "is not in",
        ),
        (
            "socket",
            json!({"address": "a:1", "write_timeout": "0s"}),
            "write more than 0s",
        ),
        (
            "socket",
            json!({"address": "a:1", "write_timeout": "61s"}),
            "at most 60s",
        ),
        (
            "socket",
            json!({"address": "a:1", "write_timeout": "soon"}),
            "write_timeout: \"soon\" is no time",
        ),
        (
            "syslog",
            json!({"facility": "POST"}),
            "facility \"POST\" is not known",
        ),
        ("syslog", json!({"tag": "a b"}), "is no name of a program"),
        ("log", json!({"fsync": true}), "fsync is only for files"),
        ("kafka", json!({}), "unknown backend type: \"kafka\""),
    ] {
        match parse(kind, settings, directory) {
            Err(Fault::Invalid(found)) => assert!(found.contains(text), "{found}: {text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    for (kind, settings) in [
        ("file", json!({"file_path": "a", "format": "jsonx"})),
        ("file", json!({"file_path": "a", "filter": "x"})),
        ("http", json!({})),
    ] {
        assert!(matches!(
            parse(kind, settings, directory),
            Err(Fault::Unimplemented(_))
        ));
    }
    let allowed = Allowed::default();
    let named = |name: &str| Settings::parse(name, "log", &options(json!({})), &allowed);
    assert!(named(&"n".repeat(MAXIMUM_AUDIT_NAME_BYTES)).is_ok());
    for name in ["", "/", &"n".repeat(MAXIMUM_AUDIT_NAME_BYTES + 1)] {
        assert!(matches!(named(name), Err(Fault::Invalid(_))));
    }
    let prefixed = |length| parse("log", json!({"prefix": "p".repeat(length)}), None);
    assert!(
        prefixed(MAXIMUM_AUDIT_PREFIX_BYTES).is_ok() && prefixed(MAXIMUM_AUDIT_PREFIX_BYTES + 1).is_err()
    );
}

#[test]
fn without_a_directory_no_device_reaches_outside() {
    for (kind, settings) in [
        ("file", json!({"file_path": "/tmp/audit.log"})),
        ("file", json!({"file_path": "audit.log"})),
        ("socket", json!({"address": "127.0.0.1:9090"})),
        (
            "socket",
            json!({"address": "127.0.0.1:9090", "socket_type": "udp"}),
        ),
        ("socket", json!({"address": "/tmp/s", "socket_type": "unix"})),
    ] {
        match parse(kind, settings, None) {
            Err(Fault::Invalid(text)) => assert!(text.contains("without a directory"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    for (kind, settings) in [
        ("file", json!({"file_path": "stdout"})),
        ("file", json!({"file_path": "discard"})),
        ("log", json!({})),
        ("syslog", json!({})),
    ] {
        parse(kind, settings, None).unwrap();
    }
}
