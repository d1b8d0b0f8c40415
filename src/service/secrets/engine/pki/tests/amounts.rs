//! However many certificates there are: what a request reads and writes fits into one transaction.

use std::time::Duration;

use super::super::certificate::hexadecimal;
use super::revocation::{issue, listed, listed_by, ready};
use super::*;
use crate::base::limits::{
    DEFAULT_MAXIMUM_REQUEST_BYTES, MAXIMUM_PKI_REVOCATIONS, MAXIMUM_SECRET_PORTION_RECORDS,
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A time that no test comes to, in seconds since 1970.
const LATE: u64 = 9_999_999_999;

fn revoke(bench: &mut Bench<Pki>, leaf: &Value) {
    write(bench, "revoke", &json!({"serial_number": leaf["serial_number"]}));
}

/// Has the list of the only issuer say so many others, in all portions, in place of what it says. The first is valid until
/// `first_end`, all others for long.
fn fill(bench: &mut Bench<Pki>, count: usize, first_end: u64) {
    let records = &mut bench.storage.records;
    let is_head = |path: &&String| path.starts_with("revocations/") && path.matches('/').count() == 1;
    let authority = records.keys().find(is_head).unwrap().clone();
    let mut portions: Vec<Vec<Value>> = vec![Vec::new(); 64];
    for number in 0..count {
        let mut serial = [0x40_u8; 20];
        serial[16..].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        let serial = hexadecimal(&serial).replace(':', "-");
        let end = if number == 0 { first_end } else { LATE };
        portions[number % 64].push(json!({"serial": serial, "at": 1_700_000_000, "end": end}));
    }
    let mut counts = serde_json::Map::new();
    for (number, entries) in portions.iter().enumerate() {
        let name = format!("{number:02x}");
        let portion = json!({"entries": entries}).to_string();
        records.insert(format!("{authority}/{name}"), (portion.into_bytes(), None));
        counts.insert(name, json!(entries.len()));
    }
    let head = json!({"changes": 1_000, "counts": counts}).to_string();
    records.insert(authority, (head.into_bytes(), None));
}

fn fits(bench: &Bench<Pki>) {
    let bytes = bench.storage.bytes();
    assert!(
        bytes < usize::try_from(DEFAULT_MAXIMUM_REQUEST_BYTES).unwrap(),
        "{bytes}"
    );
}

#[test]
fn the_longest_list_grows_by_a_portion_and_is_signed_when_it_is_fetched() {
    let mut bench = ready();
    let leaves: Vec<Value> = (0..3).map(|_| issue(&mut bench)).collect();
    revoke(&mut bench, &leaves[0]);
    fill(&mut bench, MAXIMUM_PKI_REVOCATIONS - 1, LATE);
    revoke(&mut bench, &leaves[1]);
    let bytes = bench.storage.bytes();
    assert!(bytes < 64 * 1024, "{bytes}");

    raw(&mut bench, "crl");
    assert!(bench.storage.bytes() > 512 * 1024, "it is signed only now");
    fits(&bench);
    let serials = listed(&mut bench).1;
    assert_eq!(serials.len(), MAXIMUM_PKI_REVOCATIONS);
    assert!(serials.contains(&text(&leaves[1]["serial_number"])));

    let body = json!({"serial_number": leaves[2]["serial_number"]});
    let refusal = refused(&mut bench, "revoke", &body);
    assert!(refusal.contains("which is the most"), "{refusal}");
    revoke(&mut bench, &leaves[1]);
}

#[test]
fn what_has_expired_makes_room_on_a_full_list() {
    let mut bench = ready();
    let leaf = issue(&mut bench);
    revoke(&mut bench, &leaf);
    let end = bench.now.as_secs() + 60;
    fill(&mut bench, MAXIMUM_PKI_REVOCATIONS, end);
    bench.now += Duration::from_secs(60);
    let leaf = issue(&mut bench);
    revoke(&mut bench, &leaf);
    fits(&bench);
    let serials = listed(&mut bench).1;
    assert_eq!(serials.len(), MAXIMUM_PKI_REVOCATIONS);
    assert!(serials.contains(&text(&leaf["serial_number"])));
}

#[test]
fn what_an_issuer_has_revoked_goes_with_the_last_of_its_name_and_key() {
    let mut bench = ready();
    let leaf = issue(&mut bench);
    let renewed = json!({"common_name": "Root", "issuer_name": "renewed", "ttl": "700h"});
    write(&mut bench, "root/generate/existing", &renewed);
    revoke(&mut bench, &leaf);
    let entered = |bench: &Bench<Pki>| {
        let paths = bench.storage.records.keys();
        paths.filter(|path| path.starts_with("revocations/")).count()
    };
    assert_eq!(
        entered(&bench),
        2,
        "once for both: a portion, and how many there are"
    );
    bench.ask(Operation::Delete, "issuer/default", "").unwrap();
    assert_eq!(listed_by(&mut bench, "renewed"), [text(&leaf["serial_number"])]);
    bench.ask(Operation::Delete, "issuer/renewed", "").unwrap();
    assert_eq!(entered(&bench), 0);
}

/// Stores a certificate under so many other serial numbers, which begin with `first`; revoked, if they are until `end`.
fn copy(bench: &mut Bench<Pki>, leaf: &Value, first: &str, count: usize, end: Option<u64>) {
    let records = &mut bench.storage.records;
    let certificate = der(&text(&leaf["certificate"]));
    for number in 0..count {
        let serial = format!("{first}-{:02x}-{:02x}", number / 256, number % 256);
        records.insert(format!("certificate/{serial}"), (certificate.clone(), None));
        if let Some(end) = end {
            let revoked = json!({"at": 1_700_000_000, "end": end, "issuer": ""}).to_string();
            records.insert(format!("revoked/{serial}"), (revoked.into_bytes(), None));
        }
    }
}

/// Sweeps away what has expired an hour ago; the warnings.
fn sweep(bench: &mut Bench<Pki>) -> Vec<String> {
    let body = json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1h"});
    let answer = bench.ask(Operation::Update, "tidy", &body.to_string());
    answer.unwrap().warnings
}

#[test]
fn a_sweep_looks_at_all_and_remembers_only_what_it_removes() {
    let mut bench = ready();
    issue(&mut bench);
    bench.now += 3 * HOUR;
    let leaf = issue(&mut bench);
    let end = bench.now.as_secs();
    copy(&mut bench, &leaf, "01", 1_500, None);
    copy(&mut bench, &leaf, "02", 1_500, Some(end));
    assert_eq!(
        sweep(&mut bench),
        ["1 certificates that have expired were removed."]
    );
    let touched = &bench.storage.touched;
    assert!(touched.len() < 10, "{touched:?}");
}

#[test]
fn what_is_too_much_for_one_sweep_is_removed_by_asking_again() {
    let mut bench = ready();
    let leaf = issue(&mut bench);
    let end = bench.now.as_secs();
    copy(&mut bench, &leaf, "01", 1_500, None);
    copy(&mut bench, &leaf, "02", 700, Some(end));
    bench.now += 3 * HOUR;
    let mut asked = 1;
    while let Some(more) = sweep(&mut bench).get(1) {
        assert!(more.ends_with("ask again"), "{more}");
        assert!(bench.storage.touched.len() <= MAXIMUM_SECRET_PORTION_RECORDS + 2);
        asked += 1;
    }
    assert!((3..=6).contains(&asked), "{asked}");
    let left = bench.data(Operation::List, "certs/", "").unwrap();
    assert_eq!(left["keys"].as_array().unwrap().len(), 1, "that of the root");
}
