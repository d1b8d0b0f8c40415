//! Why a request of Consul's interface was not done: a case for each cause that clients can tell apart.
//!
//! The texts are what clients compare parts of. Which status a case becomes is decided at the front door.

use thiserror::Error;

use crate::service::ServiceError;
use crate::service::registry::RegistryError;
use crate::state::applied::{Fatal, Refusal};

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsulError {
    /// The request cannot be: which part of it, and why.
    #[error("{0}")]
    Invalid(String),
    /// About rights, while they do not count.
    #[error("ACL support disabled")]
    AclsOff,
    /// The caller may not do it.
    #[error("{0}")]
    Denied(String),
    /// What it is about is not there.
    #[error("{0}")]
    Unknown(String),
    /// It is larger than it may be.
    #[error("{0}")]
    TooLarge(String),
    /// There are as many as there may be.
    #[error("{0}")]
    TooMany(String),
    /// Another datacenter.
    #[error("No path to datacenter")]
    OtherDatacenter,
    /// The request can be, but not now, or not with what is there.
    #[error("{0}")]
    Failed(String),
    /// A service below failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<Refusal> for ConsulError {
    fn from(refusal: Refusal) -> Self {
        Self::Service(refusal.into())
    }
}

impl From<Fatal> for ConsulError {
    fn from(fatal: Fatal) -> Self {
        Self::Service(fatal.into())
    }
}

impl From<RegistryError> for ConsulError {
    fn from(error: RegistryError) -> Self {
        Self::Service(error.into())
    }
}
