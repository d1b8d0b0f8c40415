//! Prepared queries as names that are resolved. Never waits: what this member does not know yet is not there.

use std::sync::Arc;

use super::{QueryPicture, node_near};
use crate::service::consul::acl::Authorizer;
use crate::service::consul::{Consul, ConsulError, duration};
use crate::service::registry::Catalog;
use crate::service::resolve::{Found, PreparedQueries};

impl PreparedQueries for Consul {
    fn find(&self, catalog: &Catalog, query: &str) -> Option<Found> {
        let authorize = |token: &str| self.authorize_now(Some(token));
        let found = self
            .queries()
            .now()
            .resolve(catalog, query, &self.settings().node, authorize);
        found
            .inspect_err(|error| tracing::debug!(query, %error, "a prepared query finds nothing by its name"))
            .ok()
    }
}

impl QueryPicture {
    /// What the query with a name, or an id, finds, asked on the node `own_node`; `authorize` says what the token lets
    /// through that the query may have. The name is matched, and filled into templates, in small letters, since whoever
    /// resolves a name may write it in any.
    ///
    /// # Errors
    /// There is none, its template cannot be filled in, or its token lets nothing through.
    pub fn resolve(
        &self,
        catalog: &Catalog,
        name: &str,
        own_node: &str,
        authorize: impl FnOnce(&str) -> Result<Arc<Authorizer>, ConsulError>,
    ) -> Result<Found, ConsulError> {
        let query = self.find(&name.to_ascii_lowercase())?;
        let token = query.token.expose();
        let authorizer = match token.is_empty() {
            true => None,
            false => Some(authorize(token)?),
        };
        Ok(Found {
            entries: query
                .wanted
                .choose(catalog, node_near(&query.wanted.near, own_node)),
            service: query.wanted.service,
            ttl: duration::duration(&query.dns_ttl),
            authorizer,
        })
    }
}
