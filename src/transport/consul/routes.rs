//! Which path and method is answered by what. One table for each group of paths; [`TABLES`] lists them all.
//!
//! A path that ends in a slash stands for all below it: what follows is the handler's. The longest one that fits wins, and
//! one that fits exactly wins over all.

use futures::future::BoxFuture;
use http::Method;

use super::answer::Answer;
use super::call::Call;
use crate::base::limits::MAXIMUM_CONSUL_BODY_BYTES;
use crate::service::consul::ConsulError;

/// All tables.
const TABLES: &[&[Route]] = &[
    super::acl::ROUTES,
    super::agent::ROUTES,
    super::agent_checks::ROUTES,
    super::agent_services::ROUTES,
    super::catalog::ROUTES,
    super::event::ROUTES,
    super::health::ROUTES,
    super::kv::ROUTES,
    super::operator::ROUTES,
    super::query::ROUTES,
    super::session::ROUTES,
    super::snapshot::ROUTES,
    super::status::ROUTES,
    super::txn::ROUTES,
];

/// A request that is being answered.
pub(super) type Handling = BoxFuture<'static, Result<Answer, ConsulError>>;

/// What answers requests.
pub(super) type Handler = fn(Call) -> Handling;

/// A path with a method.
pub(super) struct Route {
    pub method: Method,
    path: &'static str,
    pub handler: Handler,
    /// Most bytes that the body may have.
    pub body_bytes: usize,
    /// Whether it is answered whatever the token: it is about nothing that rights guard, or guards itself.
    pub is_open: bool,
}

impl Route {
    const fn new(method: Method, path: &'static str, handler: Handler) -> Self {
        Self {
            method,
            path,
            handler,
            body_bytes: MAXIMUM_CONSUL_BODY_BYTES,
            is_open: false,
        }
    }

    /// Something to read.
    pub const fn get(path: &'static str, handler: Handler) -> Self {
        Self::new(Method::GET, path, handler)
    }

    /// Something to change.
    pub const fn put(path: &'static str, handler: Handler) -> Self {
        Self::new(Method::PUT, path, handler)
    }

    /// Something to make.
    pub const fn post(path: &'static str, handler: Handler) -> Self {
        Self::new(Method::POST, path, handler)
    }

    /// Something to remove.
    pub const fn delete(path: &'static str, handler: Handler) -> Self {
        Self::new(Method::DELETE, path, handler)
    }

    /// With another limit of the body.
    pub const fn with_body(mut self, body_bytes: usize) -> Self {
        self.body_bytes = body_bytes;
        self
    }

    /// Answered whatever the token.
    pub const fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

/// The routes of one path, with what of the path follows theirs.
pub(super) struct Found<'path> {
    pub routes: Vec<&'static Route>,
    pub rest: &'path [u8],
}

impl Found<'_> {
    /// The methods, as the header `Allow` lists them.
    pub fn allowed(&self) -> String {
        let methods = self.routes.iter().map(|route| route.method.as_str());
        std::iter::once("OPTIONS")
            .chain(methods)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The route of a method.
    pub fn of(&self, method: &Method) -> Option<&'static Route> {
        self.routes.iter().copied().find(|route| route.method == *method)
    }
}

/// Finds the routes of a decoded path; none if nobody answers it.
pub(super) fn find(path: &[u8]) -> Option<Found<'_>> {
    let fitting = |route: &&Route| match route.path.ends_with('/') {
        true => path.starts_with(route.path.as_bytes()),
        false => path == route.path.as_bytes(),
    };
    let all = || TABLES.iter().flat_map(|table| table.iter());
    let longest = all()
        .filter(fitting)
        .max_by_key(|route| (!route.path.ends_with('/'), route.path.len()))?
        .path;
    Some(Found {
        routes: all().filter(|route| route.path == longest).collect(),
        rest: path.get(longest.len()..).unwrap_or_default(),
    })
}
