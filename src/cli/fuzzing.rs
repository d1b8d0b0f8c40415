//! For fuzzing: what people write for the commands to read, the files that move keys, and how a server greets.

use super::kv::{parse_lease, prefix_end};
use super::transfer::record;
use super::txn_syntax;
use crate::base::fuzzing::{choice, seed};
use crate::client::handshake::greet;

/// Transactions as text, lines of an export, ids of leases, greetings and prefixes.
pub fn cli(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => {
            let text = String::from_utf8_lossy(rest);
            let lines = text.lines().map(|line| Ok(line.to_owned()));
            let _ = txn_syntax::parse(lines, |_| {});
        }
        1 => {
            if let Ok(found) = record::parse(rest) {
                let mut line = Vec::new();
                record::write(&mut line, &found).expect("it is memory");
                assert_eq!(record::parse(&line), Ok(found));
            }
            let mut line = Vec::new();
            let mut source = rest;
            while let Ok(true) = record::read_line(&mut source, &mut line) {}
        }
        2 => {
            if let Ok(id) = parse_lease(&String::from_utf8_lossy(rest)) {
                assert_eq!(parse_lease(&format!("{id:x}")), Ok(id));
            }
        }
        3 => {
            // A server says this and is gone.
            let server = tokio::io::join(rest, tokio::io::sink());
            let _ = futures::executor::block_on(greet(server));
        }
        _ => {
            let end = prefix_end(rest);
            assert!(end == b"\0" || end.as_slice() > rest && !end.starts_with(rest));
        }
    }
}

/// One of each.
#[must_use]
pub fn cli_seeds() -> Vec<Vec<u8>> {
    let txn = "mod(\"key1\") > \"0\"\nval('key 2') != \"\\x00\\u00fc\\377\"\nlease(a) = 1f\n\n\
               put key1 \"over \\\"wrote\\\"\\n\" --lease=7\nget a b --limit=3 --order=descend\n\ndel key2 --prefix\n";
    let record = "{\"key\": \"YQ==\", \"value\": \"Yg==\", \"create_revision\": 2, \"mod_revision\": 2, \"version\": 1, \
                  \"lease\": 0}\n";
    vec![
        seed(0, txn),
        seed(1, record),
        seed(2, "0x694d77aa9e38260f"),
        seed(3, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\0\x04\x01\0\0\0\0"),
        seed(4, b"a\xff"),
    ]
}
