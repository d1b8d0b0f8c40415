//! What all lists of the catalog share: reading it, waiting for it, choosing from it, and what the answer says of that.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, header};
use serde::Serialize;
use serde_json::Value;

use super::answer::{Answer, Meta};
use super::blocking::{Seen, blocking};
use super::call::Call;
use super::parameters::Consistency;
use crate::base::Revision;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::filter::{Filter, Shape};
use crate::service::consul::{ConsulError, Watched};
use crate::service::registry::{Catalog, Entry, NodeEntry};

/// What is chosen from the catalog by the parameters that its lists share.
pub(super) struct Choice {
    filter: Option<Filter>,
    node_metadata: Vec<(String, String)>,
    near: Option<String>,
    is_cached: bool,
    /// Whether something was left out that the token may not see.
    is_filtered: bool,
}

impl Choice {
    /// Reads it; `cached` lets the member answer from what it has.
    ///
    /// # Errors
    /// The filter is not one about objects of this shape.
    pub fn parse(call: &mut Call, shape: Shape) -> Result<Self, ConsulError> {
        let is_cached = call.parameters.has("cached") && call.options.consistency == Consistency::Default;
        if is_cached {
            call.options.consistency = Consistency::Stale;
        }
        let metadata = call
            .parameters
            .all("node-meta")
            .into_iter()
            .map(|pair| match pair.split_once(':') {
                Some((key, value)) => (key.to_owned(), value.to_owned()),
                None => (pair.to_owned(), String::new()),
            });
        Ok(Self {
            filter: filter(call, shape)?,
            node_metadata: metadata.collect(),
            near: call
                .parameters
                .text("near")
                .and_then(|near| call.consul.near(near))
                .map(str::to_owned),
            is_cached,
            is_filtered: false,
        })
    }

    /// Whether the node has the metadata that was asked for.
    pub fn admits_node(&self, node: &NodeEntry) -> bool {
        self.node_metadata.is_empty()
            || node.state.known.as_ref().is_some_and(|known| {
                let has = |(key, value): &(String, String)| known.node.metadata.get(key) == Some(value);
                self.node_metadata.iter().all(has)
            })
    }

    /// Whether the filter lets an object through.
    pub fn admits(&self, object: &Value) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.admits(object))
    }

    /// Whether the token may see all of these; what it may not is noted for the answer.
    pub fn may_see<'name>(
        &mut self,
        call: &Call,
        resources: impl IntoIterator<Item = Resource<'name>>,
    ) -> bool {
        let mut resources = resources.into_iter();
        let may = resources.all(|resource| call.authorizer.allows(resource, Access::Read));
        self.is_filtered |= !may;
        may
    }

    /// The instances of a service that `is_wanted` lets through and the token may see, each with its node: those on nodes
    /// with the metadata that was asked for, in the order that was asked for.
    pub fn instances<'catalog>(
        &mut self,
        call: &Call,
        catalog: &'catalog Catalog,
        service: &str,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<(&'catalog NodeEntry, &'catalog Entry)> {
        let mut found = Vec::new();
        for entry in catalog
            .service(service)
            .into_iter()
            .flat_map(|service| service.entries())
        {
            let Some(node) = catalog.node(&entry.instance.registration.node) else {
                continue;
            };
            // Asked last: what nobody wants to see is not hidden from anybody.
            if is_wanted(entry) && self.admits_node(node) && self.may_see(call, Resource::of_instance(entry))
            {
                found.push((node.as_ref(), entry.as_ref()));
            }
        }
        self.sort(&mut found, |(node, _)| node.name());
        found
    }

    /// Those on the node that is to be near first; nothing else is known of distances.
    pub fn sort<T>(&self, items: &mut [T], node_of: impl Fn(&T) -> &str) {
        if let Some(near) = &self.near {
            items.sort_by_key(|item| !node_of(item).eq_ignore_ascii_case(near));
        }
    }

    /// The answer.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn answer(&self, call: &Call, shown: &impl Serialize, meta: Meta) -> Result<Answer, ConsulError> {
        let answer = call.json(shown)?.with_meta(meta).marked(self.is_filtered);
        Ok(match self.is_cached {
            // What a member has is never older than its watch.
            true => answer
                .with_header(
                    HeaderName::from_static("x-cache"),
                    HeaderValue::from_static("HIT"),
                )
                .with_header(header::AGE, HeaderValue::from_static("0")),
            false => answer,
        })
    }
}

/// The filter of a request.
///
/// # Errors
/// It is not one about objects of this shape.
pub(super) fn filter(call: &Call, shape: Shape) -> Result<Option<Filter>, ConsulError> {
    let text = call.parameters.text("filter");
    let parsed = text.map(|text| Filter::parse(text, shape)).transpose();
    parsed.map_err(|error| {
        ConsulError::Invalid(format!("Failed to create boolean expression evaluator: {error}"))
    })
}

/// What tells whether an instance has all the tags that a request names, whatever their case.
pub(super) fn has_tags(call: &Call) -> impl Fn(&Entry) -> bool {
    let mut wanted = call.parameters.all("tag");
    wanted.retain(|tag| !tag.is_empty());
    move |entry| {
        let tags = &entry.instance.registration.tags;
        wanted
            .iter()
            .all(|wanted| tags.iter().any(|tag| tag.eq_ignore_ascii_case(wanted)))
    }
}

/// The catalog, once what of it has this index has changed if the request waits for that.
///
/// # Errors
/// No quorum in time, or the node is stopping.
pub(super) async fn read(
    call: &Call,
    index_of: impl Fn(&Catalog) -> Revision + Send + Sync + 'static,
) -> Result<(Arc<Catalog>, Meta), ConsulError> {
    let index_of: Arc<dyn Fn(&Catalog) -> Revision + Send + Sync> = Arc::new(index_of);
    let watched = Watched::Catalog(Arc::clone(&index_of));
    let read = |is_stale| {
        let index_of = Arc::clone(&index_of);
        let consul = call.consul.clone();
        async move {
            let catalog = consul.catalog(is_stale).await?;
            Ok(Seen {
                index: index_of(&catalog),
                revision: catalog.revision(),
                answer: catalog,
            })
        }
    };
    blocking(call, watched, read).await
}
