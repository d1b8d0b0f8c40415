//! The rules of watches, one test each: create, cancel, progress, events.

use super::*;
use crate::service::watch::WatchHub;

#[tokio::test]
async fn creates_are_answered_in_order_before_any_event() {
    let mut node = Node::new();
    node.run(vec![put("a", "1")]);
    let mut client = node.open();
    client.create(watch("a", "", 1));
    client.create(watch("b", "", 0));
    node.run(vec![put("b", "2")]);
    node.catch_up();
    assert_eq!(
        client.drain(),
        ["0 @ 2: created", "1 @ 2: created", "1 @ 3: b=2", "0 @ 3: a=1"]
    );
}

#[tokio::test]
async fn an_empty_key_is_the_key_of_one_zero_byte() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("", "", 0));
    client.create(watch("", "\0", 0));
    node.run(vec![put("a", "1")]);
    node.run(vec![put("\0", "2")]);
    assert_eq!(client.drain()[2..], ["1 @ 2: a=1", "0 @ 3: \0=2", "1 @ 3: \0=2"]);
}

#[tokio::test]
async fn ids_count_up_from_zero_skip_those_in_use_and_are_not_given_again() {
    let node = Node::new();
    let mut client = node.open();
    client.create(WatchCreate {
        watch_id: 1,
        ..watch("a", "", 0)
    });
    client.create(watch("a", "", 0));
    client.cancel(0);
    client.create(watch("a", "", 0));
    client.create(WatchCreate {
        watch_id: -7,
        ..watch("a", "", 0)
    });
    assert_eq!(
        client.drain(),
        [
            "1 @ 1: created",
            "0 @ 1: created",
            "0 @ 1: canceled",
            "2 @ 1: created",
            "-7 @ 1: created"
        ]
    );
}

#[tokio::test]
async fn a_create_that_cannot_be_is_refused_and_the_stream_goes_on() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(WatchCreate {
        watch_id: 5,
        ..watch("a", "", 0)
    });
    client.create(WatchCreate {
        watch_id: 5,
        ..watch("b", "", 0)
    });
    client.create(watch("b", "a", 0));
    client.create(watch("b", "b", 0));
    client.create(watch("b", "", -1));
    node.run(vec![put("a", "1")]);
    assert_eq!(
        client.drain(),
        [
            "5 @ 1: created",
            "-1 @ 1: refused: mvcc: duplicate watch ID provided on the WatchStream",
            "-1 @ 1: refused: mvcc: watcher range is empty",
            "-1 @ 1: refused: mvcc: watcher range is empty",
            "-1 @ 1: refused: etcdserver: mvcc: required revision has been compacted",
            "5 @ 2: a=1",
        ]
    );
}

#[tokio::test]
async fn start_revision_zero_means_after_what_is_applied_even_if_the_hub_is_behind() {
    let mut node = Node::new();
    node.apply(vec![put("a", "1")]);
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.announce();
    node.run(vec![put("a", "2")]);
    assert_eq!(client.drain(), ["0 @ 2: created", "0 @ 3: a=2"]);
}

#[tokio::test]
async fn a_start_in_the_future_gets_only_what_comes_at_or_after_it() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 4));
    node.put_many("a", 4);
    assert_eq!(client.drain(), ["0 @ 1: created", "0 @ 4: a=a 2", "0 @ 5: a=a 3"]);
}

#[tokio::test]
async fn a_start_in_the_past_gets_history_and_then_what_comes() {
    let mut node = Node::new();
    node.put_many("a", 3);
    node.run(vec![delete("a", "")]);
    let mut client = node.open();
    client.create(watch("a", "", 3));
    node.catch_up();
    node.run(vec![put("a", "new")]);
    assert_eq!(
        client.drain(),
        ["0 @ 5: created", "0 @ 5: a=a 1, a=a 2, a deleted", "0 @ 6: a=new"]
    );
}

#[tokio::test]
async fn a_start_at_the_compacted_revision_is_served_with_that_revision() {
    let mut node = Node::new();
    node.put_many("a", 3);
    node.run(vec![compact(3)]);
    node.remove_compacted();
    let mut client = node.open();
    client.create(WatchCreate {
        with_previous: true,
        ..watch("a", "", 3)
    });
    node.catch_up();
    assert_eq!(client.drain(), ["0 @ 4: created", "0 @ 4: a=a 1, a=a 2 was a 1"]);
}

#[tokio::test]
async fn a_start_before_the_compacted_revision_is_created_then_ended_and_keeps_its_id() {
    let mut node = Node::new();
    node.put_many("a", 3);
    node.run(vec![compact(3)]);
    let mut client = node.open();
    client.create(WatchCreate {
        watch_id: 9,
        ..watch("a", "", 2)
    });
    node.catch_up();
    node.run(vec![put("a", "later")]);
    client.handle.request_progress();
    client.create(WatchCreate {
        watch_id: 9,
        ..watch("a", "", 0)
    });
    client.cancel(9);
    client.create(WatchCreate {
        watch_id: 9,
        ..watch("a", "", 0)
    });
    client.handle.request_progress();
    assert_eq!(
        client.drain(),
        [
            "9 @ 4: created",
            "9 @ 0: compacted 3",
            "-1 @ 5: refused: mvcc: duplicate watch ID provided on the WatchStream",
            "9 @ 5: canceled",
            "9 @ 5: created",
            "-1 @ 5: progress",
        ]
    );
}

#[tokio::test]
async fn compaction_does_not_disturb_a_watch_that_keeps_up() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.put_many("a", 2);
    node.run(vec![compact(3), put("a", "3")]);
    assert_eq!(
        client.drain()[1..],
        ["0 @ 2: a=a 0", "0 @ 3: a=a 1", "0 @ 4: a=3"]
    );
}

#[tokio::test]
async fn nothing_follows_a_cancel_and_an_unknown_id_gets_no_reply() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.run(vec![put("a", "1")]);
    client.cancel(7);
    client.cancel(0);
    client.cancel(0);
    node.run(vec![put("a", "2")]);
    assert_eq!(
        client.drain(),
        ["0 @ 1: created", "0 @ 2: a=1", "0 @ 2: canceled"]
    );
    assert_eq!(node.metrics.watchers.get(), 0);
}

#[tokio::test]
async fn a_stream_lives_on_without_its_handle_and_ends_with_its_receiver() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    let Client { handle, mut receiver } = client;
    drop(handle);
    node.run(vec![put("a", "1")]);
    assert!(matches!(
        receiver.next().await,
        Some(WatchResponse {
            body: WatchBody::Created,
            ..
        })
    ));
    assert!(matches!(
        receiver.next().await,
        Some(WatchResponse {
            body: WatchBody::Events { .. },
            ..
        })
    ));
    assert_eq!(
        (node.metrics.watchers.get(), node.metrics.watch_streams.get()),
        (1, 1)
    );
    drop(receiver);
    assert_eq!(
        (node.metrics.watchers.get(), node.metrics.watch_streams.get()),
        (0, 0)
    );
}

#[tokio::test]
async fn progress_on_request_needs_a_watch_and_none_behind_or_ahead() {
    let mut node = Node::new();
    node.put_many("a", 2);
    let mut client = node.open();
    client.handle.request_progress();
    assert_eq!(client.drain(), [""; 0], "no watch");
    client.create(watch("a", "", 0));
    client.handle.request_progress();
    assert_eq!(client.drain(), ["0 @ 3: created", "-1 @ 3: progress"]);
    client.create(watch("a", "", 2));
    client.handle.request_progress();
    assert_eq!(client.drain(), ["1 @ 3: created"], "one is behind");
    node.catch_up();
    client.handle.request_progress();
    assert_eq!(client.drain(), ["1 @ 3: a=a 0, a=a 1", "-1 @ 3: progress"]);
    client.create(watch("a", "", 4));
    client.handle.request_progress();
    assert_eq!(client.drain(), ["2 @ 3: created"], "one is ahead");
    node.run(vec![put("b", "1")]);
    client.handle.request_progress();
    assert_eq!(client.drain(), ["-1 @ 4: progress"]);
}

#[tokio::test]
async fn progress_on_request_waits_for_what_the_hub_has_not_announced_yet() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    node.apply(vec![put("a", "1")]);
    client.handle.request_progress();
    assert_eq!(client.drain(), ["0 @ 1: created"]);
    node.announce();
    assert_eq!(client.drain(), ["0 @ 2: a=1", "-1 @ 2: progress"]);
    node.run(vec![put("a", "2")]);
    assert_eq!(client.drain(), ["0 @ 3: a=2"], "one reply for one request");
}

#[tokio::test]
async fn progress_notices_go_to_quiet_synced_watches_that_asked() {
    let mut node = Node::new();
    node.put_many("a", 1);
    let mut client = node.open();
    let notify = |request: WatchCreate| WatchCreate {
        progress_notify: true,
        ..request
    };
    client.create(notify(watch("a", "", 0)));
    client.create(notify(watch("b", "", 0)));
    client.create(watch("c", "", 0));
    client.create(notify(watch("a", "", 1)));
    client.create(notify(watch("a", "", 9)));
    node.run(vec![put("a", "1")]);
    assert_eq!(client.drain()[5..], ["0 @ 3: a=1"]);
    client.notify_progress();
    assert_eq!(client.drain(), ["1 @ 3: progress"]);
    client.notify_progress();
    assert_eq!(client.drain(), ["0 @ 3: progress", "1 @ 3: progress"]);
}

#[tokio::test]
async fn a_stream_that_is_read_notifies_progress_by_its_own_clock() {
    let machine = Machine::open(Arc::new(MemoryEngine::new())).expect("an empty engine opens");
    let metrics = Arc::new(Metrics::new().expect("metrics register"));
    let settings = WatchSettings {
        progress_interval: Duration::from_millis(1),
    };
    let (_news, receiver) = tokio::sync::mpsc::channel(1);
    let hub = WatchHub::start(receiver, machine.reader(), metrics, settings).expect("threads start");
    let (mut handle, mut receiver) = hub.open_stream(None);
    handle
        .create(WatchCreate {
            progress_notify: true,
            ..watch("a", "", 0)
        })
        .await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(describe(&receiver.next().await.expect("the hub runs")));
    }
    assert_eq!(seen, ["0 @ 1: created", "0 @ 1: progress", "0 @ 1: progress"]);
    hub.stop();
}

#[tokio::test]
async fn all_changes_of_a_revision_are_one_response() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "z", 0));
    node.run(vec![
        txn(vec![
            Operation::Put(put_of("a", "1")),
            Operation::Put(put_of("b", "2")),
        ]),
        put("c", "3"),
        delete("a", "z"),
    ]);
    assert_eq!(
        client.drain()[1..],
        [
            "0 @ 2: a=1, b=2",
            "0 @ 3: c=3",
            "0 @ 4: a deleted, b deleted, c deleted"
        ]
    );
}

#[tokio::test]
async fn filters_leave_out_kinds_and_what_is_left_empty_is_not_sent() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(WatchCreate {
        without_puts: true,
        ..watch("a", "", 0)
    });
    client.create(WatchCreate {
        without_deletes: true,
        ..watch("a", "", 0)
    });
    client.create(WatchCreate {
        without_puts: true,
        without_deletes: true,
        ..watch("a", "", 1)
    });
    client.create(WatchCreate {
        without_puts: true,
        ..watch("a", "", 1)
    });
    node.run(vec![put("a", "1")]);
    node.run(vec![delete("a", "")]);
    node.catch_up();
    assert_eq!(
        client.drain()[4..],
        ["1 @ 2: a=1", "0 @ 3: a deleted", "3 @ 3: a deleted"]
    );
}

#[tokio::test]
async fn the_previous_value_comes_to_those_who_asked_unless_there_was_none() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(WatchCreate {
        with_previous: true,
        ..watch("a", "", 0)
    });
    client.create(watch("a", "", 0));
    node.run(vec![put("a", "1"), put("a", "2"), delete("a", ""), put("a", "3")]);
    let expected = [
        "0 @ 2: a=1",
        "1 @ 2: a=1",
        "0 @ 3: a=2 was 1",
        "1 @ 3: a=2",
        "0 @ 4: a deleted was 2",
        "1 @ 4: a deleted",
        "0 @ 5: a=3",
        "1 @ 5: a=3",
    ];
    assert_eq!(client.drain()[2..], expected);
}

#[tokio::test]
async fn watches_of_one_namespace_see_nothing_of_another() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("\0", "\0", 0));
    let mut services = watch("\0", "\0", 0);
    services.keys.namespace = Namespace::SERVICES;
    client.create(services);
    let mut service = put_of("a", "service");
    service.namespace = Namespace::SERVICES;
    node.run(vec![put("a", "key"), Command::Put(service)]);
    assert_eq!(client.drain()[2..], ["0 @ 2: a=key", "1 @ 3: a=service"]);
}

#[tokio::test]
async fn one_change_is_one_record_for_all_its_watches() {
    let mut node = Node::new();
    let mut client = node.open();
    client.create(watch("a", "", 0));
    client.create(watch("a", "b", 0));
    node.run(vec![put("a", "1")]);
    let mut records = Vec::new();
    while let Some(response) = client.read() {
        if let WatchBody::Events { events, .. } = response.body {
            records.extend(events);
        }
    }
    assert_eq!(records.len(), 2);
    assert!(Arc::ptr_eq(&records[0], &records[1]));
}
