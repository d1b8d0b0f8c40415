//! Prepared queries: which instances somebody wants, kept under an id or a name; a template answers for all names with a
//! prefix.
//!
//! | key | record |
//! |---|---|
//! | `q/id/` id | [`PreparedQuery`] |
//! | `q/name/` name | whose it is |
//!
//! Every member keeps all of them in memory. Never asks another datacenter: there is one.

mod by_name;
mod template;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rand::seq::SliceRandom;
use regex::Regex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mirror::{Mirror, Picture, Records};
use super::{ConsulError, Watched};
use crate::base::limits::MAXIMUM_PREPARED_QUERIES;
use crate::base::secret::Secret;
use crate::base::{Namespace, Revision};
use crate::service::ServiceError;
use crate::service::auth::Caller;
use crate::service::core::Core;
use crate::service::registry::{Catalog, Entry, Status};
use crate::service::watch::WatchHub;
use crate::state::command::{Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation, Put, Txn};
use crate::state::format;
use template::Words;

/// The node that stands for the one that is asked.
const OWN_NODE: &str = "_agent";

const PREFIX: &str = "q/";
/// The first text after all that begin with [`PREFIX`].
const AFTER: &str = "q0";

/// Which instances are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Of this service.
    pub service: String,
    /// Only those that pass all checks; else those that warn as well.
    pub only_passing: bool,
    /// The node whose instances come first; `_agent`: the one that is asked.
    pub near: String,
    /// Tags that they have; behind an exclamation mark: that they have not.
    pub tags: Vec<String>,
    /// Metadata of the node.
    pub node_metadata: BTreeMap<String, String>,
    /// Metadata of the instance.
    pub service_metadata: BTreeMap<String, String>,
    /// Ids of checks that do not count.
    pub ignored_checks: Vec<String>,
    /// In how many of the nearest datacenters it would be looked for; kept to be shown, since there is one.
    pub failover_nearest: u64,
    /// In which datacenters it would be looked for; likewise.
    pub failover_datacenters: Vec<String>,
}

/// That a query answers for all names that begin with its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// What a name is matched with, for `${match(N)}`; may be empty.
    pub pattern: String,
    /// Whether a tag that is empty once it is filled in is left out.
    pub remove_empty_tags: bool,
}

/// A prepared query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedQuery {
    /// Its id.
    pub id: String,
    /// Its name, unique; may be empty.
    pub name: String,
    /// The token with whose rights it is executed; empty: that of whoever asks.
    pub token: Secret<String>,
    /// What is wanted.
    pub wanted: Wanted,
    /// The time to live of its answers in DNS, as it was written.
    pub dns_ttl: String,
    /// Whether it is a template.
    pub template: Option<Template>,
}

/// A query with when it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownQuery {
    /// The query.
    pub query: PreparedQuery,
    /// The revision at which it came.
    pub create_revision: Revision,
    /// The revision at which it changed last.
    pub modification_revision: Revision,
}

/// All queries.
#[derive(Default)]
pub struct QueryPicture {
    /// By id.
    pub queries: BTreeMap<String, Arc<KnownQuery>>,
    /// The revision at which one changed last, or went.
    pub changed: Revision,
    /// Those that are no templates, by name in small letters.
    names: HashMap<String, Arc<KnownQuery>>,
    /// Templates, by name in small letters.
    templates: HashMap<String, KnownTemplate>,
}

/// A template.
struct KnownTemplate {
    known: Arc<KnownQuery>,
    /// What names are matched with; made when the first is.
    pattern: OnceLock<Result<Option<Regex>, ConsulError>>,
}

/// All prepared queries, for whoever waits for them.
#[must_use]
pub fn watched() -> Watched {
    Watched::Keys(vec![QueryPicture::keys()])
}

impl Picture for QueryPicture {
    fn keys() -> Keys {
        Keys {
            namespace: Namespace::CONSUL,
            key: PREFIX.into(),
            end: AFTER.into(),
        }
    }

    fn draw(records: &Records, changed: Revision) -> Result<Self, String> {
        let mut known = Vec::new();
        for (key, stored) in records {
            if !key.starts_with(b"q/id/") {
                continue;
            }
            let query: PreparedQuery =
                format::decode("prepared query", &stored.value).map_err(|error| error.to_string())?;
            known.push(KnownQuery {
                create_revision: stored.create_revision,
                modification_revision: stored.modification_revision,
                query,
            });
        }
        Ok(Self::of(known, changed))
    }
}

impl QueryPicture {
    /// These queries, one of which changed last, or went, at `changed`.
    #[must_use]
    pub fn of(queries: impl IntoIterator<Item = KnownQuery>, changed: Revision) -> Self {
        let mut picture = Self {
            changed,
            ..Self::default()
        };
        for known in queries.into_iter().map(Arc::new) {
            let name = known.query.name.to_ascii_lowercase();
            if known.query.template.is_some() {
                let template = KnownTemplate {
                    known: Arc::clone(&known),
                    pattern: OnceLock::new(),
                };
                picture.templates.insert(name, template);
            } else if !name.is_empty() {
                picture.names.insert(name, Arc::clone(&known));
            }
            picture.queries.insert(known.query.id.clone(), known);
        }
        picture
    }

    /// What a name or an id stands for: the query with that id, the one with that name, or the template whose name is the
    /// longest with which it begins, filled in.
    ///
    /// # Errors
    /// There is none.
    pub fn find(&self, id_or_name: &str) -> Result<PreparedQuery, ConsulError> {
        let folded = id_or_name.to_ascii_lowercase();
        let found = self.queries.get(&folded).or_else(|| self.names.get(&folded));
        if let Some(found) = found {
            return Ok(found.query.clone());
        }
        let beginnings = (0..=folded.len()).rev().filter_map(|end| folded.get(..end));
        let longest = beginnings
            .take_while(|_| !self.templates.is_empty())
            .find_map(|beginning| {
                let found = self.templates.get(beginning)?;
                Some((found, found.known.query.template.as_ref()?))
            });
        let Some((found, template)) = longest else {
            return Err(ConsulError::Unknown("Query not found".to_owned()));
        };
        let query = &found.known.query;
        let pattern = found.pattern.get_or_init(|| template::pattern(template));
        let pattern = pattern.as_ref().map_err(Clone::clone)?;
        let mut filled = query.clone();
        let words = Words::of(query, pattern.as_ref(), id_or_name);
        let wanted = &mut filled.wanted;
        let values = wanted
            .node_metadata
            .values_mut()
            .chain(wanted.service_metadata.values_mut());
        let all = [&mut wanted.service, &mut wanted.near];
        for text in all.into_iter().chain(&mut wanted.tags).chain(values) {
            *text = words.fill(text)?;
        }
        if template.remove_empty_tags {
            wanted.tags.retain(|tag| !tag.is_empty());
        }
        Ok(filled)
    }
}

impl Wanted {
    fn admits(&self, entry: &Entry) -> bool {
        let said = &entry.instance.registration;
        let checks = entry.checks.iter().chain(&entry.node.checks);
        let counted = checks.filter(|check| !self.ignored_checks.contains(&check.definition.id));
        let worst = counted.map(|check| check.state.status).max();
        let is_well = match worst.unwrap_or(Status::Passing) {
            Status::Passing => true,
            Status::Warning => !self.only_passing,
            Status::Critical => false,
        };
        let has = |wanted: &str| said.tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted));
        let node_metadata = entry.node.known.as_ref().map(|known| &known.node.metadata);
        is_well
            && self.tags.iter().all(|tag| match tag.strip_prefix('!') {
                Some(unwanted) => !has(unwanted),
                None => has(tag),
            })
            && self
                .node_metadata
                .iter()
                .all(|(key, value)| node_metadata.is_some_and(|there| there.get(key) == Some(value)))
            && self
                .service_metadata
                .iter()
                .all(|(key, value)| said.metadata.get(key) == Some(value))
    }

    /// The instances that are wanted, in an order of chance but for those on the node `near`, which come first.
    #[must_use]
    pub fn choose(&self, catalog: &Catalog, near: Option<&str>) -> Vec<Arc<Entry>> {
        let entries = catalog
            .service(&self.service)
            .into_iter()
            .flat_map(|service| service.entries());
        let mut chosen: Vec<Arc<Entry>> = entries.filter(|entry| self.admits(entry)).cloned().collect();
        chosen.shuffle(&mut rand::rng());
        if let Some(near) = near {
            chosen.sort_by_key(|entry| !entry.instance.registration.node.eq_ignore_ascii_case(near));
        }
        chosen
    }
}

/// The node that is meant where somebody wants what is near `near`, asked on the node `own_node`; none if it is empty.
pub(super) fn node_near<'a>(near: &'a str, own_node: &'a str) -> Option<&'a str> {
    match near {
        OWN_NODE => Some(own_node),
        near => Some(near).filter(|near| !near.is_empty()),
    }
}

/// Prepared queries. A handle: clones share one.
#[derive(Clone)]
pub struct Queries {
    core: Arc<Core>,
    mirror: Arc<Mirror<QueryPicture>>,
}

impl Queries {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            mirror: Arc::new(Mirror::new()),
        }
    }

    pub(super) async fn run(&self, hub: &WatchHub) {
        self.mirror.run(&self.core.reader, hub).await;
    }

    /// All of them: as this member knows them if `stale`, else with everything that was acknowledged.
    ///
    /// # Errors
    /// No quorum in time.
    pub async fn all(&self, stale: bool) -> Result<Arc<QueryPicture>, ConsulError> {
        let wanted = match stale {
            true => Revision(0),
            false => self.core.view(false).await?.revision(),
        };
        self.reach(wanted).await
    }

    /// As [`Queries::all`], with a revision up to which it shows everything, for whoever waits for what comes after.
    ///
    /// # Errors
    /// As [`Queries::all`].
    pub async fn seen(&self, stale: bool) -> Result<(Arc<QueryPicture>, Revision), ConsulError> {
        let revision = self.core.view(stale).await?.revision();
        Ok((self.reach(revision).await?, revision))
    }

    /// All of them as this member knows them now, whoever asks; none before the first are read. It waits for nothing.
    #[must_use]
    pub fn now(&self) -> Arc<QueryPicture> {
        self.mirror.current()
    }

    /// Those that there are at a revision, or later.
    ///
    /// # Errors
    /// This member is not that far in time.
    pub async fn reach(&self, revision: Revision) -> Result<Arc<QueryPicture>, ConsulError> {
        Ok(self.core.in_time(self.mirror.reach(revision)).await?)
    }

    /// Makes a query, or changes the one that has its id.
    ///
    /// # Errors
    /// It cannot be, no such query, its name is taken, there are too many, or no answer in time.
    pub async fn put(&self, mut query: PreparedQuery) -> Result<String, ConsulError> {
        let invalid = |text: String| Err(ConsulError::Invalid(text));
        let picture = self.all(false).await?;
        if query.wanted.service.is_empty() {
            return invalid("Must provide a Service name to query".to_owned());
        }
        if let Some(template) = &query.template {
            let words = Words::of(&query, template::pattern(template)?.as_ref(), &query.name);
            let wanted = &query.wanted;
            for text in [&wanted.service, &wanted.near].into_iter().chain(&wanted.tags) {
                words.fill(text)?;
            }
        }
        if Uuid::parse_str(&query.name).is_ok() {
            return invalid(format!(
                "Name {:?} looks like an id; give another one",
                query.name
            ));
        }
        let there = match query.id.is_empty() {
            true => None,
            false => match picture.queries.get(&query.id) {
                Some(there) => Some(there),
                None => return Err(ConsulError::Unknown("Query not found".to_owned())),
            },
        };
        if there.is_none() {
            query.id = Uuid::new_v4().to_string();
            if picture.queries.len() >= MAXIMUM_PREPARED_QUERIES {
                return Err(ConsulError::TooMany(format!(
                    "there are {MAXIMUM_PREPARED_QUERIES} prepared queries; delete some first"
                )));
            }
        }
        let is_same_name = |other: &&Arc<KnownQuery>| {
            other.query.id != query.id
                && other.query.name.eq_ignore_ascii_case(&query.name)
                && other.query.template.is_some() == query.template.is_some()
        };
        if (!query.name.is_empty() || query.template.is_some())
            && picture.queries.values().any(|other| is_same_name(&other))
        {
            return invalid(format!("name {:?} aliases an existing query name", query.name));
        }
        let old_name = there.map(|there| name_key(&there.query));
        let new_name = name_key(&query);
        let modified = there.map_or(Revision(0), |there| there.modification_revision);
        let mut compare = vec![is_at(id_key(&query.id), modified)];
        let encoded = format::encode("prepared query", &query);
        let value = encoded.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let mut success = vec![put(id_key(&query.id), value)];
        if old_name != Some(new_name.clone()) {
            if let Some(name) = new_name {
                compare.push(is_at(name.clone(), Revision(0)));
                success.push(put(name, Bytes::copy_from_slice(query.id.as_bytes())));
            }
            success.extend(old_name.flatten().map(remove));
        }
        match self.commit(compare, success).await? {
            true => Ok(query.id),
            false => Err(ConsulError::Failed(format!(
                "the prepared query {:?} was changed by another request at the same time; look, and ask again",
                query.id
            ))),
        }
    }

    /// Takes a query away; one that is not there is not missed.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn delete(&self, id: &str) -> Result<(), ConsulError> {
        let picture = self.all(false).await?;
        let Some(there) = picture.queries.get(id) else {
            return Ok(());
        };
        let mut success = vec![remove(id_key(id))];
        success.extend(name_key(&there.query).map(remove));
        self.commit(Vec::new(), success).await.map(|_| ())
    }

    async fn commit(&self, compare: Vec<Compare>, success: Vec<Operation>) -> Result<bool, ConsulError> {
        let txn = Txn {
            compare,
            success,
            failure: Vec::new(),
        };
        let answer = self.core.transact(&Caller::node(), txn).await?;
        self.reach(answer.revision).await?;
        Ok(answer.succeeded)
    }
}

fn id_key(id: &str) -> Bytes {
    Bytes::from(format!("{PREFIX}id/{id}"))
}

/// The key of a name: those of templates are others.
fn name_key(query: &PreparedQuery) -> Option<Bytes> {
    let name = query.name.to_ascii_lowercase();
    match &query.template {
        Some(_) => Some(Bytes::from(format!("{PREFIX}template/{name}"))),
        None if name.is_empty() => None,
        None => Some(Bytes::from(format!("{PREFIX}name/{name}"))),
    }
}

fn single(key: Bytes) -> Keys {
    Keys {
        namespace: Namespace::CONSUL,
        key,
        end: Bytes::new(),
    }
}

fn is_at(key: Bytes, revision: Revision) -> Compare {
    Compare {
        keys: single(key),
        comparison: Comparison::Equal,
        target: CompareTarget::Modification(revision),
    }
}

fn put(key: Bytes, value: Bytes) -> Operation {
    Operation::Put(Put {
        namespace: Namespace::CONSUL,
        key,
        value,
        ..Put::default()
    })
}

fn remove(key: Bytes) -> Operation {
    Operation::DeleteRange(DeleteRange {
        keys: single(key),
        previous: false,
    })
}
