//! Chains: a golden record, and every kind of tampering is named.

use proptest::prelude::*;
use serde_json::json;

use super::super::chain::{Chain, Head, Linked, hasher};
use super::super::verify::{Fault, FaultKind, Report, Verifier, verify};
use super::{NOW, key};
use crate::base::limits::{MAXIMUM_AUDIT_FAULTS, MAXIMUM_AUDIT_PREFIX_BYTES, MAXIMUM_AUDIT_RECORD_BYTES};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

fn id(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chain(id: [u8; 16], device: &str) -> Chain {
    Chain::new(id, "n1", device, hasher(&key(), device))
}

fn put(lines: &mut Vec<String>, chain: &mut Chain, linked: Linked) {
    lines.push(String::from_utf8(linked.object.clone()).unwrap());
    chain.advance(linked);
}

fn records(lines: &mut Vec<String>, chain: &mut Chain, number: usize) {
    for _ in 0..number {
        let record = json!({"type": "request", "request": {"path": format!("a/{}", lines.len())}});
        let linked = chain.link(record.to_string().as_bytes()).unwrap();
        put(lines, chain, linked);
    }
}

/// A chain of a start, `number` records and, if `ends`, an end, which continues `found`.
fn written(id: [u8; 16], number: usize, found: Option<Head>, ends: bool) -> (Vec<String>, Head) {
    let mut lines = Vec::new();
    let mut chain = chain(id, "file");
    let start = chain.start(NOW, found.is_none(), found).unwrap();
    put(&mut lines, &mut chain, start);
    records(&mut lines, &mut chain, number);
    if ends {
        let end = chain.end(NOW).unwrap();
        put(&mut lines, &mut chain, end);
    }
    (lines, chain.head().unwrap())
}

/// Two chains in one file, of five and four records; the second goes on.
fn file() -> (Vec<String>, Head) {
    let (mut lines, head) = written(FIRST, 3, None, true);
    let (more, head) = written(SECOND, 3, Some(head), false);
    lines.extend(more);
    (lines, head)
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn checked(lines: &[String], has_key: bool) -> Report {
    let key = key();
    verify(text(lines).as_bytes(), has_key.then_some(&key)).unwrap()
}

fn faults(lines: &[String], has_key: bool) -> Vec<(u64, FaultKind)> {
    let faults = checked(lines, has_key).faults.into_iter();
    faults.map(|Fault { line, kind, .. }| (line, kind)).collect()
}

/// Computed with Python.
#[test]
fn a_record_and_its_hash_are_those_that_another_implementation_makes() {
    let mut chain = Chain::new([7; 16], "n1", "file", hasher(&key(), "file"));
    let linked = chain.link(br#"{"a":1}"#).unwrap();
    assert_eq!(
        String::from_utf8(linked.object.clone()).unwrap(),
        r#"{"a":1,"chain":{"id":"07070707070707070707070707070707","node":"n1","device":"file","sequence":0,"previous":null,"mac":"hmac-sha256:55ec6b86ed5ba932166793960b2fa147adc15d7a2769031e7c3d66d440131b70"}}"#
    );
    chain.advance(linked);
    let head = chain.head().unwrap();
    assert_eq!(
        (head.sequence, head.link.to_string().as_str()),
        (
            0,
            "sha256:97e08ffdaf3a07e1dff5596dc73a306a39ba09e78e86848d99708c0ae138a7df"
        )
    );
}

#[test]
fn what_was_written_is_intact_and_what_it_ends_with_is_told() {
    let (lines, head) = file();
    for has_key in [true, false] {
        let report = checked(&lines, has_key);
        assert!(report.is_intact(), "{report:?}");
        assert_eq!(report.records, 9);
        let [first, second] = report.chains.as_slice() else {
            panic!("{report:?}");
        };
        assert_eq!((first.head.sequence, first.is_ended), (4, true));
        assert_eq!((&second.head, second.is_ended), (&head, false));
        assert_eq!((second.node.as_str(), second.device.as_str()), ("n1", "file"));
    }
}

#[test]
fn each_kind_of_tampering_is_named_by_the_number_of_the_record() {
    type Change = fn(&mut Vec<String>);
    type Case = (&'static str, Change, Vec<(u64, FaultKind)>);
    let table: [Case; 10] = [
        (
            "one removed",
            |lines| drop(lines.remove(2)),
            vec![(3, FaultKind::Removed { first: 2, last: 2 })],
        ),
        (
            "two removed",
            |lines| drop(lines.drain(1..3)),
            vec![(2, FaultKind::Removed { first: 1, last: 2 })],
        ),
        (
            "the start removed",
            |lines| drop(lines.remove(0)),
            vec![(1, FaultKind::Headless { sequence: 1 })],
        ),
        (
            "the end removed",
            |lines| drop(lines.remove(4)),
            vec![(
                5,
                FaultKind::Severed {
                    continued: id(FIRST),
                    sequence: 4,
                },
            )],
        ),
        (
            "the first chain removed",
            |lines| drop(lines.drain(..5)),
            vec![
                (1, FaultKind::Headless { sequence: 0 }),
                (
                    1,
                    FaultKind::Severed {
                        continued: id(FIRST),
                        sequence: 4,
                    },
                ),
            ],
        ),
        // The later one is where it may be when it comes: only the earlier one is late.
        (
            "two swapped",
            |lines| lines.swap(1, 2),
            vec![(3, FaultKind::Reordered { sequence: 1 })],
        ),
        (
            "one repeated",
            |lines| lines.insert(3, lines[2].clone()),
            vec![(4, FaultKind::Repeated { sequence: 2 })],
        ),
        (
            "one changed",
            |lines| lines[2] = lines[2].replace("a/2", "a/9"),
            vec![
                (3, FaultKind::Changed { sequence: 2 }),
                (4, FaultKind::Unlinked { sequence: 2 }),
            ],
        ),
        (
            "the last changed",
            |lines| lines[8] = lines[8].replace("a/", "b/"),
            vec![(9, FaultKind::Changed { sequence: 3 })],
        ),
        (
            "one cut",
            |lines| lines[3].truncate(40),
            vec![
                (4, FaultKind::Unreadable),
                (5, FaultKind::Removed { first: 3, last: 3 }),
            ],
        ),
    ];
    for (name, change, golden) in table {
        let (mut lines, _) = file();
        change(&mut lines);
        let found = faults(&lines, true);
        assert_eq!(found, golden, "{name}");
    }
}

#[test]
fn without_the_key_a_change_shows_in_the_next_record() {
    let (mut lines, _) = file();
    lines[2] = lines[2].replace("a/2", "a/9");
    assert_eq!(faults(&lines, false), [(4, FaultKind::Unlinked { sequence: 2 })]);
    let forged = chain(FIRST, "file").start(NOW, true, None).unwrap();
    let other_key = Chain::new(
        FIRST,
        "n1",
        "file",
        hasher(
            &crate::service::secrets::memory::Key::copied_from(&[9; 32]),
            "file",
        ),
    )
    .start(NOW, true, None)
    .unwrap();
    let line = |linked: &Linked| vec![String::from_utf8(linked.object.clone()).unwrap()];
    assert!(faults(&line(&forged), true).is_empty());
    assert!(faults(&line(&other_key), false).is_empty());
    assert_eq!(
        faults(&line(&other_key), true),
        [(1, FaultKind::Changed { sequence: 0 })]
    );
}

#[test]
fn a_cut_at_the_very_end_shows_by_the_missing_end_and_by_the_head() {
    let (mut lines, head) = written(FIRST, 3, None, true);
    let report = checked(&lines, true);
    assert!(report.chains[0].is_ended && report.chains[0].head == head);
    lines.pop();
    let report = checked(&lines, true);
    assert!(report.is_intact() && !report.chains[0].is_ended && report.chains[0].head != head);
    // A line without its end is no record.
    let key = key();
    let text = text(&lines);
    let cut = verify(text.trim_end().as_bytes(), Some(&key)).unwrap();
    assert_eq!(cut.faults[0].kind, FaultKind::Unreadable);
}

#[test]
fn a_chain_goes_on_in_the_next_file() {
    let mut chain = chain(FIRST, "file");
    let (mut old, mut new) = (Vec::new(), Vec::new());
    let start = chain.start(NOW, true, None).unwrap();
    put(&mut old, &mut chain, start);
    records(&mut old, &mut chain, 2);
    let last_of_old = chain.head().unwrap();
    let start = chain.start(NOW, true, None).unwrap();
    put(&mut new, &mut chain, start);
    records(&mut new, &mut chain, 2);
    let key = key();
    let both = |old: &[String]| {
        let mut verifier = Verifier::new(Some(&key));
        verifier.read(text(old).as_bytes()).unwrap();
        verifier.read(text(&new).as_bytes()).unwrap();
        verifier.finish()
    };
    assert!(both(&old).is_intact());
    assert_eq!(
        both(&old[..2]).faults[0].kind,
        FaultKind::Removed { first: 2, last: 2 },
        "the end of the old file shows in the new one"
    );
    let alone = verify(text(&new).as_bytes(), Some(&key)).unwrap();
    assert!(alone.is_intact());
    let follows = alone.chains[0].follows.as_ref().unwrap();
    assert_eq!((&follows.0, alone.chains[0].first), (&last_of_old.link, 3));
    assert_eq!(
        verify(text(&new[1..]).as_bytes(), Some(&key)).unwrap().faults[0].kind,
        FaultKind::Headless { sequence: 4 }
    );
}

#[test]
fn chains_of_several_devices_may_share_a_stream() {
    let (one, _) = written(FIRST, 4, None, true);
    let mut other = chain(SECOND, "another");
    let mut lines = Vec::new();
    let start = other.start(NOW, true, None).unwrap();
    put(&mut lines, &mut other, start);
    records(&mut lines, &mut other, 4);
    let mixed: Vec<String> = one
        .into_iter()
        .zip(lines)
        .flat_map(|(a, b)| [a, format!("<86>stead: {b}")])
        .collect();
    assert!(checked(&mixed, true).is_intact(), "{:?}", checked(&mixed, true));
}

#[test]
fn garbage_is_named_and_not_held() {
    let long = MAXIMUM_AUDIT_RECORD_BYTES + MAXIMUM_AUDIT_PREFIX_BYTES + 8 * 1024;
    let (lines, _) = file();
    let text = format!("{}\n\n{}", "x".repeat(long), text(&lines));
    let key = key();
    let report = verify(text.as_bytes(), Some(&key)).unwrap();
    let faults: Vec<_> = report
        .faults
        .iter()
        .map(|fault| (fault.line, fault.kind.clone()))
        .collect();
    assert_eq!(faults, [(1, FaultKind::Unreadable), (2, FaultKind::Unreadable)]);
    assert_eq!(report.records, 9);
    let report = verify("\n".repeat(MAXIMUM_AUDIT_FAULTS + 7).as_bytes(), None).unwrap();
    assert_eq!(
        (report.faults.len(), report.further_faults),
        (MAXIMUM_AUDIT_FAULTS, 7)
    );
}

proptest! {
    #[test]
    fn a_line_that_is_removed_swapped_or_changed_shows(
        at in 0_usize..9, other in 0_usize..9, kind in 0..4, byte in any::<prop::sample::Index>(), bit in 0..8_u8,
    ) {
        let (mut lines, head) = file();
        let is_last_removed = kind == 0 && at == 8;
        match kind {
            0 => drop(lines.remove(at)),
            1 => {
                prop_assume!(at != other);
                lines.swap(at, other);
            }
            2 => {
                let mut bytes = lines[at].clone().into_bytes();
                let index = byte.index(bytes.len());
                bytes[index] ^= 1 << bit;
                lines[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ => {
                let length = byte.index(lines[at].len());
                lines[at].truncate(length);
            }
        }
        let report = checked(&lines, true);
        if is_last_removed {
            prop_assert!(report.chains.last().is_some_and(|chain| chain.head != head));
        } else {
            prop_assert!(!report.is_intact(), "{:?}", lines);
        }
        // Without the key the last record is bound by nothing.
        if kind < 2 && !is_last_removed || at < 8 {
            prop_assert!(!checked(&lines, false).is_intact(), "{:?}", lines);
        }
    }

    #[test]
    fn a_verifier_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(verify(bytes.as_slice(), None).unwrap().chains.is_empty());
    }
}
