//! Streams that are not read, snapshots, and lost news: bounded memory, no gap, no repeat.

use super::*;
use crate::base::limits::MAXIMUM_HISTORY_PAGE_CHANGES;

/// Limits that a handful of events runs into.
fn small() -> Limits {
    Limits {
        stream_responses: 4,
        page_revisions: 3,
        ..Limits::default()
    }
}

fn revisions(client: &mut Client, node: &Node) -> Vec<i64> {
    let mut revisions = Vec::new();
    loop {
        node.catch_up();
        let Some(response) = client.read() else {
            return revisions;
        };
        if let WatchBody::Events { events, .. } = response.body {
            revisions.extend(events.iter().map(|record| record.event().id.revision.0));
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_a_bounded_queue_and_misses_nothing() {
    let mut node = Node::with_limits(small());
    let mut slow = node.open();
    slow.create(watch("a", "", 0));
    let mut fast = node.open();
    fast.create(watch("a", "", 0));
    fast.read();
    for number in 0..100 {
        node.run(vec![put("a", "value")]);
        node.catch_up();
        assert_eq!(fast.drain(), [format!("0 @ {}: a=value", number + 2)]);
    }
    assert_eq!(
        node.metrics.watch_pending_events.get(),
        3,
        "created and three events fill the queue"
    );
    assert_eq!(node.metrics.slow_watchers.get(), 1);
    assert_eq!(revisions(&mut slow, &node), (2..=101).collect::<Vec<_>>());
    assert_eq!(node.metrics.slow_watchers.get(), 0);
    assert_eq!(node.metrics.watch_pending_events.get(), 0);
    node.run(vec![put("a", "live again")]);
    assert_eq!(slow.drain(), ["0 @ 102: a=live again"]);
}

#[tokio::test]
async fn bytes_bound_a_queue_and_an_empty_one_takes_a_response_of_any_size() {
    let limits = Limits {
        stream_bytes: 10_000,
        page_bytes: 1,
        ..Limits::default()
    };
    let mut node = Node::with_limits(limits);
    let mut client = node.open();
    client.create(watch("a", "", 0));
    client.read();
    let large = "x".repeat(100_000);
    for _ in 0..5 {
        node.run(vec![put("a", &large)]);
    }
    assert_eq!(node.metrics.watch_pending_events.get(), 1);
    assert_eq!(revisions(&mut client, &node), [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn above_the_limit_of_the_node_each_stream_still_gets_one_response_at_a_time() {
    let limits = Limits {
        node_bytes: 0,
        ..Limits::default()
    };
    let mut node = Node::with_limits(limits);
    let mut clients: Vec<Client> = (0..3).map(|_| node.open()).collect();
    for client in &mut clients {
        client.create(watch("a", "", 0));
        client.read();
    }
    node.put_many("a", 10);
    node.catch_up();
    assert_eq!(node.metrics.watch_pending_events.get(), 3);
    for client in &mut clients {
        assert_eq!(revisions(client, &node), (2..=11).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_slow_watch_whose_next_revision_is_compacted_is_ended() {
    let mut node = Node::with_limits(small());
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.put_many("a", 10);
    node.run(vec![compact(8)]);
    node.remove_compacted();
    node.catch_up();
    let mut seen = Vec::new();
    while let Some(response) = client.read() {
        seen.push(describe(&response));
        node.catch_up();
    }
    assert_eq!(
        seen,
        [
            "0 @ 1: created",
            "0 @ 2: a=a 0",
            "0 @ 3: a=a 1",
            "0 @ 4: a=a 2",
            "0 @ 0: compacted 8"
        ]
    );
    assert_eq!(node.metrics.slow_watchers.get(), 0);
}

#[tokio::test]
async fn requests_wait_while_too_many_replies_are_unread() {
    let node = Node::with_limits(Limits {
        stream_replies: 2,
        ..Limits::default()
    });
    let mut client = node.open();
    client.create(watch("a", "", 0));
    client.create(watch("a", "", 0));
    assert!(client.handle.create(watch("a", "", 0)).now_or_never().is_none());
    assert_eq!(node.metrics.watchers.get(), 2);
    client.read();
    client.create(watch("a", "", 0));
    drop(client.receiver);
    for _ in 0..3 {
        client.handle.create(watch("a", "", 0)).await;
    }
    client.handle.closed().await;
    assert_eq!(node.metrics.watchers.get(), 0);
}

#[tokio::test]
async fn a_snapshot_brings_every_watch_what_it_had_not_seen() {
    let mut node = Node::new();
    node.put_many("a", 2);
    let mut client = node.open();
    client.create(watch("a", "", 0));
    client.create(watch("a", "", 6));
    client.create(watch("a", "", 99));
    node.put_many("a", 1);
    for _ in 0..3 {
        node.apply(vec![put("a", "unseen")]);
    }
    node.announce_as_snapshot();
    client.handle.request_progress();
    node.catch_up();
    node.run(vec![put("a", "live")]);
    assert_eq!(
        client.drain()[3..],
        [
            "0 @ 4: a=a 0",
            "0 @ 7: a=unseen, a=unseen, a=unseen",
            "1 @ 7: a=unseen, a=unseen",
            "0 @ 8: a=live",
            "1 @ 8: a=live",
        ]
    );
}

#[tokio::test]
async fn a_snapshot_that_has_forgotten_what_a_watch_needs_ends_it() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    for _ in 0..3 {
        node.apply(vec![put("a", "unseen")]);
    }
    node.apply(vec![compact(4)]);
    node.announce_as_snapshot();
    node.catch_up();
    assert_eq!(client.drain(), ["0 @ 1: created", "0 @ 0: compacted 4"]);
}

#[tokio::test]
async fn lost_news_are_read_from_history() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.apply(vec![put("a", "lost")]);
    node.unannounced.clear();
    node.run(vec![put("a", "known")]);
    node.catch_up();
    assert_eq!(client.drain(), ["0 @ 1: created", "0 @ 3: a=lost, a=known"]);
}

#[tokio::test]
async fn news_that_the_first_state_already_shows_are_not_told_again() {
    let mut node = Node::new();
    let effects = node.apply(vec![put("a", "1")]);
    node.announce();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    let view = node.machine.reader().view();
    node.shared
        .absorb(&view, &effects)
        .expect("the engine in memory works");
    assert_eq!(client.drain(), ["0 @ 2: created"]);
}

#[tokio::test]
async fn a_long_history_does_not_keep_other_watches_waiting() {
    let mut node = Node::with_limits(small());
    node.put_many("a", 300);
    let mut old = node.open();
    old.create(watch("a", "", 2));
    let mut recent = node.open();
    recent.create(watch("a", "", 300));
    node.pass();
    node.pass();
    assert_eq!(recent.drain(), ["0 @ 301: created", "0 @ 301: a=a 298, a=a 299"]);
    assert_eq!(revisions(&mut old, &node), (2..=301).collect::<Vec<_>>());
}

#[tokio::test]
async fn watches_with_near_cursors_share_one_read_of_history() {
    let mut node = Node::new();
    node.put_many("a", 20);
    let mut clients: Vec<Client> = (0..50).map(|_| node.open()).collect();
    for client in &mut clients {
        client.create(watch("a", "b", 2));
    }
    node.pass();
    assert!(!node.shared.hub.lock().has_ready());
    for client in &mut clients {
        assert_eq!(revisions(client, &node), (2..=21).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_watch_on_a_quiet_key_yields_while_it_reads_a_long_history() {
    let mut node = Node::new();
    node.run(vec![put("a", "first")]);
    node.run(vec![put("b", "value"); MAXIMUM_HISTORY_PAGE_CHANGES + 1]);
    node.run(vec![put("a", "last")]);
    let mut client = node.open();
    client.create(watch("a", "", 2));
    node.pass();
    assert!(node.shared.hub.lock().has_ready());
    node.pass();
    assert!(!node.shared.hub.lock().has_ready());
    let seen = client.drain();
    assert_eq!(seen.len(), 3, "created, and a response from each page: {seen:?}");
    assert!(seen[1].ends_with("a=first") && seen[2].ends_with("a=last"));
}
