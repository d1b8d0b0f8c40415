//! Why the secret store refused. No text holds a secret, a token or a key.

use thiserror::Error;

use super::barrier::{BarrierError, NameError};
use super::engine::{Data, Fault};
use super::parameters::ParameterError;
use super::path::PathError;
use super::quotas::Allowance;
use super::seal::SealError;
use crate::service::ServiceError;

/// Why a request to the secret store was refused.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// This node is sealed (503).
    #[error("Vault is sealed")]
    Sealed,
    /// This node was sealed before the answer left (503): what was asked for may be done.
    #[error("Vault was sealed before the answer left: what was asked for may be done")]
    SealedMeanwhile,
    /// Nothing was initialised (503; Vault's status pages say it in their own way).
    #[error("the secret store is not initialized; initialize it first: stead secret init")]
    NotInitialized,
    /// It was initialised before (400).
    #[error("Vault is already initialized")]
    AlreadyInitialized,
    /// No right to it, or no valid token (403).
    #[error("permission denied")]
    Denied,
    /// No right to anything in the mount of a path, as command lines are told (403).
    #[error("{0}")]
    Preflight(String),
    /// The token is none, or none any more (403).
    #[error("bad token")]
    BadToken,
    /// More requests than a quota allows (429).
    #[error("request path {path:?}: rate limit quota exceeded")]
    Limited {
        /// What was asked for.
        path: String,
        /// What is told of the quota; none: nothing is.
        told: Option<Allowance>,
    },
    /// What an engine said.
    #[error("{0}")]
    Fault(#[from] Fault),
    /// A seal, a share or an attempt is wrong (400).
    #[error("{0}")]
    Seal(#[from] SealError),
    /// Other requests were faster, again and again (503: try again).
    #[error("{0} requests changed the same thing at once; try again")]
    Contended(usize),
    /// No audit device took the record of the request (500).
    #[error("the request cannot be audited: {0}")]
    Unaudited(String),
    /// The cluster did not do it.
    #[error("{0}")]
    Service(#[from] ServiceError),
}

/// How the interface names an error, whatever the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: 400.
    Invalid,
    /// No right: 403.
    Denied,
    /// Nothing there: 404.
    Missing,
    /// More than a quota allows: 429.
    Limited,
    /// Not done with that path: 405.
    Unsupported,
    /// Not offered: 501.
    Unimplemented,
    /// This node or the store failed: 500.
    Internal,
    /// Somebody else failed: 502.
    Upstream,
    /// Sealed, no leader, or contended: 503.
    Unavailable,
}

impl ErrorKind {
    /// Its name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Missing => "missing",
            Self::Limited => "limited",
            Self::Unsupported => "unsupported",
            Self::Unimplemented => "unimplemented",
            Self::Internal => "internal",
            Self::Upstream => "upstream",
            Self::Unavailable => "unavailable",
        }
    }
}

impl SecretsError {
    /// Which kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Sealed | Self::SealedMeanwhile | Self::NotInitialized | Self::Contended(_) => {
                ErrorKind::Unavailable
            }
            Self::AlreadyInitialized | Self::Seal(_) => ErrorKind::Invalid,
            Self::Denied | Self::BadToken | Self::Preflight(_) => ErrorKind::Denied,
            Self::Limited { .. } => ErrorKind::Limited,
            Self::Fault(fault) => match fault {
                Fault::Invalid(_) | Fault::InvalidWith { .. } => ErrorKind::Invalid,
                Fault::Denied => ErrorKind::Denied,
                Fault::Missing | Fault::NoPath(_) => ErrorKind::Missing,
                Fault::Unsupported => ErrorKind::Unsupported,
                Fault::Unimplemented(_) => ErrorKind::Unimplemented,
                Fault::Upstream(_) | Fault::Fetch(_) => ErrorKind::Upstream,
                Fault::Internal(_) => ErrorKind::Internal,
            },
            Self::Unaudited(_) => ErrorKind::Internal,
            Self::Service(error) => of_service(error),
        }
    }

    /// What is said to the client; empty where nothing is: a read of nothing.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Fault(Fault::Missing) => Vec::new(),
            Self::Denied | Self::Fault(Fault::Denied) => {
                vec!["1 error occurred:\n\t* permission denied\n\n".to_owned()]
            }
            other => vec![other.to_string()],
        }
    }

    /// What is told of the quota that refused the request.
    #[must_use]
    pub fn allowance(&self) -> Option<&Allowance> {
        match self {
            Self::Limited { told, .. } => told.as_ref(),
            _ => None,
        }
    }

    /// What is said beside the error.
    #[must_use]
    pub fn data(&self) -> Option<&Data> {
        match self {
            Self::Fault(Fault::InvalidWith { data, .. }) => Some(data),
            _ => None,
        }
    }
}

fn of_service(error: &ServiceError) -> ErrorKind {
    match error {
        ServiceError::Internal(_) | ServiceError::Refused(_) => ErrorKind::Internal,
        _ => ErrorKind::Unavailable,
    }
}

impl From<BarrierError> for SecretsError {
    fn from(error: BarrierError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<NameError> for SecretsError {
    fn from(error: NameError) -> Self {
        Self::Fault(Fault::Internal(error.to_string()))
    }
}

impl From<BarrierError> for Fault {
    fn from(error: BarrierError) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<PathError> for SecretsError {
    fn from(error: PathError) -> Self {
        Self::Fault(Fault::Invalid(error.to_string()))
    }
}

impl From<ParameterError> for SecretsError {
    fn from(error: ParameterError) -> Self {
        Self::Fault(error.into())
    }
}
