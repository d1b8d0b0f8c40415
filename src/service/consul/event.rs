//! Events: messages to whoever lists them. The last [`MAXIMUM_CONSUL_EVENTS`] are kept, the same on every member.
//!
//! In Consul they travel by gossip, best effort; here each is one write, and its number is its logical time.
//!
//! Clients compute the index of an event from its id: the exclusive or of the halves. They look for what is new in a list by
//! it, so that the index of a list is that of its last event and no revision, and ids are made to fit: each index is above
//! that of the event before, and small enough for a number of JSON.

use bytes::Bytes;
use uuid::Uuid;

use super::keys::Room;
use super::kv::{Snapshot, read_all};
use super::record::{StoredEvent, decode, encode};
use super::{Consul, ConsulError, Watched};
use crate::base::limits::MAXIMUM_CONSUL_EVENTS;
use crate::base::{LeaseId, Revision, clock};

/// The first bits of the second half of an id, and of the first so that they cancel out: its variant (RFC 9562).
const VARIANT_BITS: u64 = 0b11 << 62;
const VARIANT: u64 = 0b10 << 62;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id; the second half is set when it is fired.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Whatever it carries.
    pub payload: Bytes,
    /// Which nodes it is meant for; empty: all.
    pub node_filter: String,
    /// Which services it is meant for; empty: all.
    pub service_filter: String,
    /// Which tags of the services it is meant for; empty: all.
    pub tag_filter: String,
    /// Its number.
    pub time: u64,
}

impl Event {
    /// Its index, as clients compute it.
    #[must_use]
    pub fn index(&self) -> u64 {
        index_of(self.id)
    }
}

fn index_of(id: Uuid) -> u64 {
    let (first, second) = id.as_u64_pair();
    first ^ second
}

/// An id that has this index and the rest of the given one's first half.
fn with_index(id: Uuid, index: u64) -> Uuid {
    let (first, _) = id.as_u64_pair();
    let first = (first & !VARIANT_BITS) | VARIANT;
    Uuid::from_u64_pair(first, first ^ index)
}

/// All events, for whoever waits for one.
#[must_use]
pub fn watched_events() -> Watched {
    Watched::Keys(vec![Room::Event.prefix(b"")])
}

impl Consul {
    /// Fires an event; its number and its index are set.
    ///
    /// # Errors
    /// No space, or no answer in time.
    pub async fn fire(&self, mut event: Event) -> Result<Event, ConsulError> {
        let now = u64::try_from(clock::unix_time().as_millis()).unwrap_or(u64::MAX);
        let fired = self.change(|plan| {
            // The last number, which has no name.
            let counter = Room::Event.key(b"");
            let last = plan.get(&counter)?;
            let last: u64 = last
                .map(|found| decode(&found.value))
                .transpose()?
                .unwrap_or_default();
            let before = plan.get(&Room::Event.key(&last.to_be_bytes()))?;
            let before: Option<StoredEvent> = before.map(|found| decode(&found.value)).transpose()?;
            let before = before.map_or(0, |event| index_of(Uuid::from_bytes(event.id)));
            let id = with_index(event.id, now.max(before.saturating_add(1)));
            let number = last.saturating_add(1);
            let record = encode(&StoredEvent {
                id: id.into_bytes(),
                name: event.name.clone(),
                payload: event.payload.clone(),
                node_filter: event.node_filter.clone(),
                service_filter: event.service_filter.clone(),
                tag_filter: event.tag_filter.clone(),
            })?;
            plan.put(counter, encode(&number)?, LeaseId::NONE)?;
            plan.put(Room::Event.key(&number.to_be_bytes()), record, LeaseId::NONE)?;
            if let Some(old) = number.checked_sub(MAXIMUM_CONSUL_EVENTS) {
                plan.remove(Room::Event.key(&old.to_be_bytes()));
            }
            Ok((number, id))
        });
        ((event.time, event.id), _) = fired.await?;
        Ok(event)
    }

    /// The last events that may be shown, the oldest first.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn events(
        &self,
        is_stale: bool,
        is_shown: impl Fn(&Event) -> bool,
    ) -> Result<Snapshot<Vec<Event>>, ConsulError> {
        let view = self.view(is_stale).await?;
        let mut events = Vec::new();
        for found in read_all(&view, Room::Event.prefix(b""), false)? {
            let name = Room::Event.name(&found.key).unwrap_or_default();
            let Ok(number) = <[u8; 8]>::try_from(name.as_ref()) else {
                continue;
            };
            let stored: StoredEvent = decode(&found.value)?;
            let event = Event {
                id: Uuid::from_bytes(stored.id),
                name: stored.name,
                payload: stored.payload,
                node_filter: stored.node_filter,
                service_filter: stored.service_filter,
                tag_filter: stored.tag_filter,
                time: u64::from_be_bytes(number),
            };
            if is_shown(&event) {
                events.push(event);
            }
        }
        let index = events.last().map_or(0, Event::index);
        Ok(Snapshot {
            content: events,
            index: Revision(i64::try_from(index).unwrap_or(i64::MAX)).max(Revision(1)),
            revision: view.revision(),
        })
    }
}
