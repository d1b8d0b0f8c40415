//! The hub with its threads.

use tokio::sync::mpsc;

use super::*;
use crate::service::watch::WatchHub;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_its_threads_a_hub_serves_history_and_news_without_gap_until_the_news_end() {
    const REVISIONS: i64 = 500;
    let mut node = Node::new();
    node.put_many("a", 100);
    let (sender, news) = mpsc::channel(4);
    let settings = WatchSettings {
        progress_interval: NEVER,
    };
    let hub =
        WatchHub::start(news, node.machine.reader(), node.metrics.clone(), settings).expect("threads start");
    let readers: Vec<_> = (0..20)
        .map(|number: i64| {
            let (mut handle, mut receiver) = hub.open_stream(None);
            tokio::spawn(async move {
                let start = 2 + number * 10;
                handle.create(watch("a", "b", start)).await;
                let mut expected = start;
                while let Some(response) = receiver.next().await {
                    if let WatchBody::Events { events, .. } = response.body {
                        for record in events {
                            assert_eq!(record.event().id.revision.0, expected);
                            expected += 1;
                        }
                    }
                    if expected > REVISIONS {
                        return receiver;
                    }
                }
                panic!("the stream ended at revision {expected}");
            })
        })
        .collect();
    for number in 102..=REVISIONS {
        node.apply(vec![put("a", &number.to_string())]);
        for news in node.unannounced.drain(..) {
            sender.send(Arc::new(news)).await.expect("the hub takes news");
        }
    }
    let mut receivers = Vec::new();
    for reader in readers {
        receivers.push(
            reader
                .await
                .expect("the reader saw every revision once, in order"),
        );
    }
    drop(sender);
    for receiver in &mut receivers {
        assert!(receiver.next().await.is_none(), "streams end when the news end");
    }
    let (_handle, mut late) = hub.open_stream(None);
    assert!(late.next().await.is_none());
}
