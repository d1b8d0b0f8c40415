//! Events: messages to whoever lists them. The last [`MAXIMUM_CONSUL_EVENTS`] are kept, the same on every member.
//!
//! In Consul they travel by gossip, best effort; here each is one write, and its number is its logical time.

use bytes::Bytes;
use uuid::Uuid;

use super::keys::Room;
use super::kv::{Snapshot, read_all};
use super::record::{StoredEvent, decode, encode};
use super::{Consul, ConsulError, Watched};
use crate::base::limits::MAXIMUM_CONSUL_EVENTS;
use crate::base::{LeaseId, Revision};

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its id.
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

/// All events, for whoever waits for one.
#[must_use]
pub fn watched_events() -> Watched {
    Watched::Keys(vec![Room::Event.prefix(b"")])
}

impl Consul {
    /// Fires an event; its number is set.
    ///
    /// # Errors
    /// No space, or no answer in time.
    pub async fn fire(&self, mut event: Event) -> Result<Event, ConsulError> {
        let record = encode(&StoredEvent {
            id: event.id.into_bytes(),
            name: event.name.clone(),
            payload: event.payload.clone(),
            node_filter: event.node_filter.clone(),
            service_filter: event.service_filter.clone(),
            tag_filter: event.tag_filter.clone(),
        })?;
        let fired = self.change(|plan| {
            // The last number, which has no name.
            let counter = Room::Event.key(b"");
            let last = plan.get(&counter)?;
            let last: u64 = last
                .map(|found| decode(&found.value))
                .transpose()?
                .unwrap_or_default();
            let number = last.saturating_add(1);
            plan.put(counter, encode(&number)?, LeaseId::NONE)?;
            plan.put(
                Room::Event.key(&number.to_be_bytes()),
                record.clone(),
                LeaseId::NONE,
            )?;
            if let Some(old) = number.checked_sub(MAXIMUM_CONSUL_EVENTS) {
                plan.remove(Room::Event.key(&old.to_be_bytes()));
            }
            Ok(number)
        });
        event.time = fired.await?.0;
        Ok(event)
    }

    /// The last events, the oldest first.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn events(&self, is_stale: bool) -> Result<Snapshot<Vec<Event>>, ConsulError> {
        let view = self.view(is_stale).await?;
        let mut newest = Revision(0);
        let mut events = Vec::new();
        for found in read_all(&view, Room::Event.prefix(b""), false)? {
            newest = newest.max(found.modification_revision);
            let name = Room::Event.name(&found.key).unwrap_or_default();
            let Ok(number) = <[u8; 8]>::try_from(name.as_ref()) else {
                continue;
            };
            let stored: StoredEvent = decode(&found.value)?;
            events.push(Event {
                id: Uuid::from_bytes(stored.id),
                name: stored.name,
                payload: stored.payload,
                node_filter: stored.node_filter,
                service_filter: stored.service_filter,
                tag_filter: stored.tag_filter,
                time: u64::from_be_bytes(number),
            });
        }
        Ok(Snapshot {
            content: events,
            // The counter is never removed, so that its revision is the newest of all.
            index: newest.max(Revision(1)),
            revision: view.revision(),
        })
    }
}
