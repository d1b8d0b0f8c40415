//! For fuzzing: the configuration of a server, by all its sources.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::url::HostUrl;
use crate::base::duration;
use crate::base::fuzzing::{Scratch, choice, seed};

thread_local! {
    static FILE: RefCell<Scratch> = RefCell::default();
}

/// A configuration file, arguments, the environment, addresses and durations. What is in error says so.
pub fn config(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    let text = String::from_utf8_lossy(rest);
    let refused = |arguments: &[String], environment: &BTreeMap<String, String>| {
        if let Err(error) = super::parse(arguments, environment) {
            assert!(!error.to_string().is_empty());
        }
    };
    match kind {
        0 => FILE.with_borrow(|file| {
            let (_, path) = file.fill(rest);
            let arguments = ["--config-file".to_owned(), path.display().to_string()];
            refused(&arguments, &BTreeMap::new());
        }),
        1 => {
            let arguments: Vec<String> = text.lines().map(str::to_owned).collect();
            refused(&arguments, &BTreeMap::new());
        }
        2 => {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let environment = pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            refused(&[], &environment);
        }
        3 => {
            if let Ok(urls) = HostUrl::parse_list(&text) {
                let texts: Vec<&str> = urls.iter().map(HostUrl::text).collect();
                assert_eq!(HostUrl::parse_list(&texts.join(",")), Ok(urls.clone()));
                for url in urls {
                    let _ = (url.bind_address(), url.is_unspecified());
                }
            }
        }
        _ => {
            if let Some(duration) = duration::parse(&text) {
                let nanoseconds = format!("{}ns", duration.as_nanos());
                assert_eq!(duration::parse(&nanoseconds), Some(duration));
            }
        }
    }
}

/// One of each.
#[must_use]
pub fn config_seeds() -> Vec<Vec<u8>> {
    let file = "name: a\ndata-dir: /tmp/stead-fuzz-none\nlisten-client-urls: http://127.0.0.1:1,http://[::1]:2\n\
                initial-cluster: a=http://localhost:2380\nelection-timeout: 1000\nquota-backend-bytes: 0\n\
                auto-compaction-mode: periodic\nauto-compaction-retention: \"1h30m\"\ncors: [a, b]\n\
                client-transport-security:\n  cert-file: none\n  client-cert-auth: true\n\
                peer-transport-security:\n  auto-tls: off\n";
    vec![
        seed(0, file),
        seed(0, "a: &a [b, *a]\nb: *a\n"),
        seed(
            1,
            "--name=a\n-auth-token\njwt,sign-method=HS256,priv-key=none,ttl=5m\n--heartbeat-interval=100",
        ),
        seed(
            2,
            "ETCD_NAME=a\nSTEAD_PEER_DIAL_MAP=a:1=b:2\nSTEAD_INITIAL_CLUSTER=a=http://a:1,a=http://b:1",
        ),
        seed(3, "http://127.0.0.1:2379,https://[::1]:2379,http://localhost:1"),
        seed(4, "1h30m0.5s"),
        seed(4, ".5ms"),
    ]
}
