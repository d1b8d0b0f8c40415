//! Why a request was refused by ACLs, or one about them. The texts that clients compare are Consul's.

use thiserror::Error;

use crate::service::ServiceError;
use crate::service::consul::ConsulError;

/// Why a request was refused by ACLs, or one about them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AclError {
    /// They are off.
    #[error("ACL support disabled")]
    Disabled,
    /// No such token.
    #[error("ACL not found")]
    NotFound,
    /// The token may not do it.
    #[error(
        "Permission denied: token with AccessorID '{accessor}' lacks permission '{permission}'{}",
        name.as_ref().map(|name| format!(" on {name:?}")).unwrap_or_default()
    )]
    Denied {
        /// The public id of the token.
        accessor: String,
        /// What it lacks.
        permission: String,
        /// On what.
        name: Option<String>,
    },
    /// There was a first token already.
    #[error("ACL bootstrap no longer allowed (reset index: {index})")]
    Bootstrapped {
        /// When.
        index: u64,
    },
    /// The rules of a policy cannot be read.
    #[error("Failed to parse ACL rules: {0}")]
    Rules(String),
    /// What is asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// No such policy, role or token.
    #[error("{what} {name:?} does not exist")]
    Unknown {
        /// A policy, a role or a token.
        what: &'static str,
        /// Its id or name.
        name: String,
    },
    /// Another request changed the same meanwhile.
    #[error("{what} {name:?} was changed by another request at the same time; look, and ask again")]
    Changed {
        /// A policy, a role or a token.
        what: &'static str,
        /// Its id or name.
        name: String,
    },
    /// The store did not do it.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<AclError> for ConsulError {
    fn from(error: AclError) -> Self {
        match error {
            AclError::Disabled => Self::AclsOff,
            AclError::NotFound | AclError::Denied { .. } | AclError::Bootstrapped { .. } => {
                Self::Denied(error.to_string())
            }
            AclError::Rules(_) | AclError::Invalid(_) => Self::Invalid(error.to_string()),
            AclError::Unknown { .. } => Self::Unknown(error.to_string()),
            AclError::Changed { .. } => Self::Failed(error.to_string()),
            AclError::Service(error) => Self::Service(error),
        }
    }
}
