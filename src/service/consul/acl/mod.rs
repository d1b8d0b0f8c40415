//! Who may do what on Consul's interface.
//!
//! Rights of its own, apart from the users and roles of the keys of `default`. Without them everybody may do everything.

use std::sync::Arc;

use super::ConsulError;

/// What somebody wants to touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'name> {
    /// A key.
    Key(&'name [u8]),
    /// All keys that begin so.
    KeyPrefix(&'name [u8]),
    /// A node.
    Node(&'name str),
    /// A service.
    Service(&'name str),
    /// The sessions of a node.
    Session(&'name str),
    /// The agent of a node.
    Agent(&'name str),
    /// A prepared query.
    Query(&'name str),
    /// Events of a name.
    Event(&'name str),
    /// What operators do.
    Operator,
    /// These rights.
    Acl,
    /// Keys of encryption.
    Keyring,
    /// The mesh of services.
    Mesh,
    /// Other clusters.
    Peering,
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// It is read.
    Read,
    /// All below it is listed.
    List,
    /// It is changed.
    Write,
}

/// What one token lets through.
#[derive(Debug, Clone, Default)]
pub struct Authorizer {}

impl Authorizer {
    /// Whether it lets this through.
    #[must_use]
    pub fn allows(&self, _resource: Resource<'_>, _access: Access) -> bool {
        true
    }
}

/// The rights.
#[derive(Debug, Clone, Default)]
pub struct Acls {}

impl Acls {
    /// Whether they count.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        false
    }

    /// What a token lets through.
    ///
    /// # Errors
    /// No such token.
    pub async fn resolve(&self, _token: Option<&str>) -> Result<Arc<Authorizer>, ConsulError> {
        Ok(Arc::new(Authorizer::default()))
    }
}
