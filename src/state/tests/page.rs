//! Ranges read in pages.

use super::{Fixture, key, put};
use crate::base::Revision;
use crate::state::applied::Refusal;
use crate::state::command::{Command, Keys, Range};
use bytes::Bytes;

fn everything_from(start: Bytes, revision: Revision) -> Range {
    let keys = Keys {
        key: start,
        end: Bytes::from_static(b"\0"),
        ..key("a")
    };
    Range {
        keys,
        revision,
        ..Range::default()
    }
}

#[test]
fn pages_at_one_revision_give_the_range_at_that_revision_whatever_changes_meanwhile() {
    let mut fixture = Fixture::new();
    for name in ["a", "b", "c", "d", "e"] {
        fixture.apply(Command::Put(put(name, "old")));
    }
    let pinned = fixture.machine.reader().view().revision();
    let mut start = Bytes::from_static(b"a");
    let mut seen = Vec::new();
    loop {
        let view = fixture.machine.reader().view();
        let page = view.range_page(&everything_from(start, pinned), 2, usize::MAX);
        let page = page.expect("the engine works").expect("the revision is readable");
        assert!(page.key_values.len() <= 2);
        seen.extend(
            page.key_values
                .iter()
                .map(|kv| (kv.key.clone(), kv.value.clone())),
        );
        if !page.more {
            break;
        }
        let mut next = seen.last().map(|(key, _)| key.to_vec()).unwrap_or_default();
        next.push(0);
        start = Bytes::from(next);
        fixture.apply(Command::Put(put("d", "new")));
        fixture.apply(Command::Put(put("bb", "new")));
    }
    let expected = ["a", "b", "c", "d", "e"].map(|name| (Bytes::from(name), Bytes::from_static(b"old")));
    assert_eq!(seen, expected);
}

#[test]
fn a_page_ends_at_its_bytes_but_holds_at_least_one_key() {
    let mut fixture = Fixture::new();
    for name in ["a", "b", "c"] {
        fixture.apply(Command::Put(put(name, "123456789")));
    }
    let view = fixture.machine.reader().view();
    let keys = |bytes| {
        let page = view.range_page(&everything_from(Bytes::from_static(b"a"), Revision(0)), 10, bytes);
        let page = page.expect("the engine works").expect("the revision is readable");
        (page.key_values.len(), page.more)
    };
    assert_eq!(keys(1), (1, true));
    assert_eq!(keys(11), (2, true));
    assert_eq!(keys(21), (3, false));
}

#[test]
fn a_page_of_a_compacted_revision_is_refused() {
    let mut fixture = Fixture::new();
    fixture.apply(Command::Put(put("a", "1")));
    fixture.apply(Command::Put(put("a", "2")));
    fixture.apply(Command::Compact {
        revision: Revision(3),
    });
    let view = fixture.machine.reader().view();
    let page = view.range_page(&everything_from(Bytes::from_static(b"a"), Revision(2)), 10, 10);
    assert_eq!(page.expect("the engine works"), Err(Refusal::Compacted));
}
