//! Random stores and random watches, in every interleaving of apply, announcement, catch-up and reading: each watch sees
//! exactly the model's events, in order, one response for a revision, and no progress claims what is not sent.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::applied::KeyValue;

const STREAMS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<Change>),
    Announce,
    AnnounceAsSnapshot,
    Pass,
    RemoveCompacted,
    Create { stream: usize, request: Request },
    Cancel { stream: usize, which: usize },
    Read { stream: usize, responses: usize },
    RequestProgress { stream: usize },
    NotifyProgress { stream: usize },
}

#[derive(Debug, Clone)]
enum Change {
    Put(u8, u8),
    Delete(u8, u8),
    Txn(Vec<Change>),
    /// Compacts at this many revisions before the current one.
    Compact(i64),
}

#[derive(Debug, Clone)]
struct Request {
    key: u8,
    end: u8,
    /// The distance of the start from the current revision; none: start 0.
    start: Option<i64>,
    without_puts: bool,
    without_deletes: bool,
    with_previous: bool,
}

fn change() -> impl Strategy<Value = Change> {
    let simple = prop_oneof![
        4 => (0u8..6, any::<u8>()).prop_map(|(key, value)| Change::Put(key, value)),
        2 => (0u8..6, 0u8..7).prop_map(|(key, end)| Change::Delete(key, end)),
    ];
    prop_oneof![
        6 => simple.clone(),
        2 => proptest::collection::vec(simple, 0..4).prop_map(Change::Txn),
        1 => (0i64..12).prop_map(Change::Compact),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let request = (
        0u8..6,
        0u8..8,
        proptest::option::weighted(0.7, -12i64..4),
        proptest::bool::weighted(0.15),
        proptest::bool::weighted(0.15),
        any::<bool>(),
    )
        .prop_map(
            |(key, end, start, without_puts, without_deletes, with_previous)| Request {
                key,
                end,
                start,
                without_puts,
                without_deletes,
                with_previous,
            },
        );
    let stream = || 0..STREAMS;
    prop_oneof![
        8 => proptest::collection::vec(change(), 1..4).prop_map(Step::Apply),
        8 => Just(Step::Announce),
        1 => Just(Step::AnnounceAsSnapshot),
        5 => Just(Step::Pass),
        1 => Just(Step::RemoveCompacted),
        4 => (stream(), request).prop_map(|(stream, request)| Step::Create { stream, request }),
        1 => (stream(), any::<usize>()).prop_map(|(stream, which)| Step::Cancel { stream, which }),
        4 => (stream(), 1usize..6).prop_map(|(stream, responses)| Step::Read { stream, responses }),
        2 => stream().prop_map(|stream| Step::RequestProgress { stream }),
        1 => stream().prop_map(|stream| Step::NotifyProgress { stream }),
    ]
}

fn key(number: u8) -> String {
    char::from(b'a' + number).to_string()
}

/// The keys from `key` up to `end`; one key if `end` is not after it, all from it on if `end` is 7.
fn range(number: u8, end: u8) -> (String, String) {
    let end = match end {
        7 => "\0".to_owned(),
        end if end > number => key(end),
        _ => String::new(),
    };
    (key(number), end)
}

fn operation(change: Change) -> Option<Operation> {
    match change {
        Change::Put(number, value) => Some(Operation::Put(put_of(&key(number), &value.to_string()))),
        Change::Delete(number, end) => {
            let (key, end) = range(number, end);
            Some(Operation::DeleteRange(delete_of(&key, &end)))
        }
        Change::Txn(_) | Change::Compact(_) => None,
    }
}

fn command(change: Change, revision: Revision) -> Command {
    match change {
        Change::Put(number, value) => put(&key(number), &value.to_string()),
        Change::Delete(number, end) => {
            let (key, end) = range(number, end);
            delete(&key, &end)
        }
        Change::Txn(changes) => txn(changes.into_iter().filter_map(operation).collect()),
        Change::Compact(distance) => compact((revision.0 - distance).max(1)),
    }
}

/// A change with what it replaced.
struct Told {
    event: Event,
    previous: Option<KeyValue>,
}

/// Everything that ever happened.
#[derive(Default)]
struct Model {
    told: Vec<Told>,
    live: BTreeMap<Bytes, KeyValue>,
    compacted: Revision,
}

impl Model {
    fn learn(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Changed { events, .. } => events.iter().for_each(|event| self.learn_event(event)),
                Effect::Compacted { revision } => self.compacted = *revision,
                _ => {}
            }
        }
    }

    fn learn_event(&mut self, event: &Event) {
        let pair = event.key_value.clone();
        let previous = match event.kind {
            EventKind::Put => self.live.insert(pair.key.clone(), pair),
            EventKind::Delete => self.live.remove(&pair.key),
        };
        self.told.push(Told {
            event: event.clone(),
            previous,
        });
    }
}

/// What one watch should see.
struct Watch {
    request: WatchCreate,
    /// The first revision it wants.
    from: Revision,
    /// The next event of the model it has not been sent.
    position: usize,
    /// The last revision it was sent events of.
    last: Revision,
    is_ended: bool,
}

impl Watch {
    fn wants(&self, event: &Event) -> bool {
        let key = event.key_value.key.as_ref();
        let keys = &self.request.keys;
        let holds = match keys.end.as_ref() {
            [] => key == keys.key.as_ref(),
            [0] => key >= keys.key.as_ref(),
            end => key >= keys.key.as_ref() && key < end,
        };
        let kind = match event.kind {
            EventKind::Put => !self.request.without_puts,
            EventKind::Delete => !self.request.without_deletes,
        };
        holds && kind && event.id.revision >= self.from
    }

    /// The next event that it should be sent, as its place in the model.
    fn next(&self, model: &Model) -> Option<usize> {
        (self.position..model.told.len()).find(|place| self.wants(&model.told[*place].event))
    }

    fn assert_sent_up_to(&self, revision: Revision, model: &Model) {
        if let Some(place) = self.next(model) {
            let next = model.told[place].event.id.revision;
            assert!(
                next > revision,
                "revision {revision} is claimed, but an event of {next} is not sent"
            );
        }
    }
}

/// One stream, as its client knows it.
struct Reader {
    client: Client,
    created: VecDeque<WatchCreate>,
    watches: BTreeMap<i64, Watch>,
}

impl Reader {
    fn check(&mut self, response: &WatchResponse, model: &Model) {
        match &response.body {
            WatchBody::Created => {
                let request = self.created.pop_front().expect("a create is answered once");
                let from = match request.start_revision {
                    Revision(0) => Revision(response.revision.0 + 1),
                    start => start,
                };
                let watch = Watch {
                    request,
                    from,
                    position: 0,
                    last: Revision(0),
                    is_ended: false,
                };
                assert!(self.watches.insert(response.watch_id, watch).is_none());
            }
            WatchBody::Refused(refusal) => panic!("refused: {refusal}"),
            WatchBody::Revoked(reason) => panic!("revoked: {reason}"),
            WatchBody::Canceled => {
                self.watches
                    .remove(&response.watch_id)
                    .expect("a watch is canceled once");
            }
            WatchBody::Compacted { compacted } => {
                let watch = self
                    .watches
                    .get_mut(&response.watch_id)
                    .expect("the watch exists");
                assert!(!watch.is_ended);
                assert!(*compacted <= model.compacted && watch.from < *compacted && watch.last < *compacted);
                watch.is_ended = true;
            }
            WatchBody::Progress if response.watch_id == WatchResponse::WHOLE_STREAM => {
                assert!(!self.watches.is_empty());
                for watch in self.watches.values() {
                    assert!(!watch.is_ended && watch.request.start_revision <= response.revision);
                    watch.assert_sent_up_to(response.revision, model);
                }
            }
            WatchBody::Progress => {
                let watch = &self.watches[&response.watch_id];
                assert!(!watch.is_ended);
                watch.assert_sent_up_to(response.revision, model);
            }
            WatchBody::Events { events, .. } => {
                let watch = self
                    .watches
                    .get_mut(&response.watch_id)
                    .expect("the watch exists");
                assert!(!watch.is_ended && !events.is_empty());
                let first = events[0].event().id.revision;
                assert!(first > watch.last, "revision {first} comes in two responses");
                for record in events {
                    let place = watch.next(model).expect("nothing is sent that did not happen");
                    let told = &model.told[place];
                    assert_eq!(record.event(), &told.event);
                    if watch.request.with_previous && record.previous() != told.previous.as_ref() {
                        let revision = told.event.id.revision;
                        assert!(record.previous().is_none() && revision <= model.compacted);
                    }
                    watch.position = place + 1;
                    watch.last = told.event.id.revision;
                }
                assert!(watch.last <= response.revision);
                watch.assert_sent_up_to(response.revision, model);
            }
        }
    }

    fn read(&mut self, model: &Model) -> bool {
        let Some(response) = self.client.read() else {
            return false;
        };
        self.check(&response, model);
        true
    }
}

fn run(steps: Vec<Step>) {
    let mut node = Node::with_limits(Limits {
        stream_responses: 5,
        page_revisions: 2,
        pass_watchers: 3,
        ..Limits::default()
    });
    let mut model = Model::default();
    let mut readers: Vec<Reader> = (0..STREAMS)
        .map(|_| Reader {
            client: node.open(),
            created: VecDeque::new(),
            watches: BTreeMap::new(),
        })
        .collect();
    for step in steps {
        match step {
            Step::Apply(changes) => {
                let revision = node.revision();
                let commands = changes
                    .into_iter()
                    .map(|change| command(change, revision))
                    .collect();
                model.learn(&node.apply(commands));
            }
            Step::Announce => node.announce_one(),
            Step::AnnounceAsSnapshot => node.announce_as_snapshot(),
            Step::Pass => node.pass(),
            Step::RemoveCompacted => node.remove_compacted(),
            Step::Create { stream, request } => {
                let (key, end) = range(request.key, request.end);
                let start = request
                    .start
                    .map_or(0, |distance| (node.revision().0 + distance).max(1));
                let create = WatchCreate {
                    without_puts: request.without_puts,
                    without_deletes: request.without_deletes,
                    with_previous: request.with_previous,
                    progress_notify: true,
                    ..watch(&key, &end, start)
                };
                readers[stream].client.create(create.clone());
                readers[stream].created.push_back(create);
            }
            Step::Cancel { stream, which } => {
                let reader = &mut readers[stream];
                let ids: Vec<i64> = reader.watches.keys().copied().collect();
                if !ids.is_empty() {
                    reader.client.cancel(ids[which % ids.len()]);
                }
            }
            Step::Read { stream, responses } => {
                for _ in 0..responses {
                    readers[stream].read(&model);
                }
            }
            Step::RequestProgress { stream } => readers[stream].client.handle.request_progress(),
            Step::NotifyProgress { stream } => readers[stream].client.notify_progress(),
        }
    }
    node.announce();
    for _ in 0..100_000 {
        node.catch_up();
        let mut any = false;
        for reader in &mut readers {
            any |= reader.read(&model);
        }
        if !any {
            break;
        }
    }
    for reader in &readers {
        assert!(reader.created.is_empty());
        for watch in reader.watches.values().filter(|watch| !watch.is_ended) {
            assert!(watch.next(&model).is_none(), "an event was never sent");
        }
    }
    assert_eq!(node.metrics.watch_pending_events.get(), 0);
    assert_eq!(node.metrics.slow_watchers.get(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_watch_sees_exactly_what_it_asked_for(steps in proptest::collection::vec(step(), 1..150)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        let _guard = runtime.enter();
        run(steps);
    }
}
