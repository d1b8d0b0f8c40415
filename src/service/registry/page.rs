//! Pages of the catalog: instances, services and nodes, each from one place on.
//!
//! A page holds at most what was asked for, and no more once it takes [`MAXIMUM_REGISTRY_PAGE_BYTES`]; the first is always
//! in it, so that whoever goes on comes to the end. Never remembers who reads: the next page says after what it begins.

use std::ops::Bound;
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;

use super::catalog::Catalog;
use super::entries::{NodeEntry, Place, ServiceEntry, Summary};
use super::keys::folded;
use super::model::{Entry, Filter};
use crate::base::limits::{MAXIMUM_REGISTRY_PAGE_BYTES, MAXIMUM_REGISTRY_PAGE_INSTANCES};

/// Some of what has a name, in order, with the name to go on after, if there are more.
type NamedPage<Item> = (Vec<Item>, Option<Arc<str>>);

/// The room of one page.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    fn new(limit: usize) -> Self {
        Self {
            entries: limit.clamp(1, MAXIMUM_REGISTRY_PAGE_INSTANCES),
            bytes: MAXIMUM_REGISTRY_PAGE_BYTES,
        }
    }

    /// Takes room for one more; whether there was any.
    fn take(&mut self, bytes: usize) -> bool {
        let has_room = self.entries > 0 && self.bytes > 0;
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        has_room
    }
}

impl Catalog {
    /// The entries that a filter lets through, in the order of their places, after `after`: at most `limit`. With where to
    /// go on, if there are more.
    #[must_use]
    pub fn page(
        &self,
        filter: &Filter,
        after: Option<&Place>,
        limit: usize,
    ) -> (Vec<Arc<Entry>>, Option<Place>) {
        let limit = limit.clamp(1, MAXIMUM_REGISTRY_PAGE_INSTANCES);
        let mut found: Vec<Arc<Entry>> = Vec::new();
        let is_after = |entry: &Entry| after.is_none_or(|after| Place::of(entry) > *after);
        if let (None, Some(node)) = (&filter.service, &filter.node) {
            let of_node = self.node(node).into_iter().flat_map(|node| node.instances());
            found.extend(
                of_node
                    .filter(|entry| filter.admits(entry) && is_after(entry))
                    .cloned(),
            );
            found.sort_by_cached_key(|entry| Place::of(entry));
        } else {
            let first: Arc<str> = match (&filter.service, after) {
                (Some(service), _) => folded(service).into(),
                (None, Some(after)) => Arc::clone(&after.service),
                (None, None) => "".into(),
            };
            for (name, service) in self.services.range(Arc::clone(&first)..) {
                if found.len() > limit || (filter.service.is_some() && *name != first) {
                    break;
                }
                let start = match after {
                    Some(after) if after.service == *name => (Arc::clone(&after.node), Arc::clone(&after.id)),
                    _ => ("".into(), "".into()),
                };
                let entries = service.entries.range(start..).map(|(_, entry)| entry);
                let wanted = entries.filter(|entry| filter.admits(entry) && is_after(entry));
                found.extend(wanted.take(limit.saturating_add(1) - found.len()).cloned());
            }
        }
        let mut room = Room::new(limit);
        let fitting = found
            .iter()
            .take_while(|entry| room.take(entry.size_bytes()))
            .count();
        let more = found.len() > fitting;
        found.truncate(fitting);
        let next = found.last().filter(|_| more).map(|entry| Place::of(entry));
        (found, next)
    }

    /// The services after the name `after`, with their summaries: at most `limit`. With the name to go on after, if there
    /// are more.
    #[must_use]
    pub fn services_page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> NamedPage<(Arc<ServiceEntry>, Summary)> {
        named_page(&self.services, after, limit, |service| {
            let summary = service.summary();
            let tags = summary.tags.iter().map(String::len).sum::<usize>();
            let bytes = service.key.len().saturating_add(tags);
            ((Arc::clone(service), summary), bytes)
        })
    }

    /// The nodes after the name `after`: at most `limit`. With the name to go on after, if there are more.
    #[must_use]
    pub fn nodes_page(&self, after: Option<&str>, limit: usize) -> NamedPage<Arc<NodeEntry>> {
        named_page(&self.nodes, after, limit, |node| {
            (Arc::clone(node), node.state.size_bytes())
        })
    }
}

/// What follows a name, whatever its case, in an order by name; `show` says what of each, and how many bytes it takes.
fn named_page<Item, Shown>(
    all: &RedBlackTreeMapSync<Arc<str>, Item>,
    after: Option<&str>,
    limit: usize,
    show: impl Fn(&Item) -> (Shown, usize),
) -> NamedPage<Shown> {
    let start = after.map_or(Bound::Unbounded, |name| {
        Bound::Excluded(Arc::<str>::from(folded(name)))
    });
    let (mut page, mut last, mut room) = (Vec::new(), None, Room::new(limit));
    for (name, item) in all.range((start, Bound::Unbounded)) {
        let (shown, bytes) = show(item);
        if !room.take(bytes) {
            return (page, last);
        }
        page.push(shown);
        last = Some(Arc::clone(name));
    }
    (page, None)
}
