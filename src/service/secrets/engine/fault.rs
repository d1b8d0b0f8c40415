//! Why an engine refused. The texts go to clients: they never hold a secret, and say nothing of what the client may not
//! know.

use std::{fmt, io};

use thiserror::Error;

use super::Data;
use crate::service::secrets::parameters::ParameterError;

/// Why a request was refused.
#[derive(Debug, Error)]
pub enum Fault {
    /// The request is wrong (400).
    #[error("{0}")]
    Invalid(String),
    /// The request is wrong (400), and the answer says more than why: the results of a batch.
    #[error("{text}")]
    InvalidWith {
        /// What is wrong.
        text: String,
        /// What else is said.
        data: Data,
    },
    /// No right to it, or no such thing as far as the caller may know (403).
    #[error("permission denied")]
    Denied,
    /// Nothing is there (404, without a text).
    #[error("nothing is there")]
    Missing,
    /// No such path (404, with a text that the client is warned by).
    #[error("{0}")]
    NoPath(String),
    /// The engine has the path, and does not do that with it (405).
    #[error("unsupported operation")]
    Unsupported,
    /// What was asked for is part of Vault's interface and not offered here (501).
    #[error("{0} is not supported")]
    Unimplemented(String),
    /// Somebody else, who was asked for this request, failed (502).
    #[error("{0}")]
    Upstream(String),
    /// What is stored cannot be read, or no answer came in time (500).
    #[error("{0}")]
    Internal(String),
    /// Something has to be fetched before the request can be answered: it is asked again with it in
    /// [`super::Call::fetched`].
    #[error("{0:?} was not fetched")]
    Fetch(Errand),
}

/// What is to be fetched over HTTP for an engine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Errand {
    /// From where: `https://` or `http://`.
    pub url: String,
    /// The certificates of whom to trust, as PEM; empty: those of the system.
    pub authorities: String,
    /// What is sent with POST, as JSON; none: GET.
    pub body: Option<String>,
    /// The bearer token that is sent; empty: none.
    pub bearer: String,
}

/// Says where it goes, and nothing of what is sent.
impl fmt::Debug for Errand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[errand to {}]", self.url)
    }
}

impl From<ParameterError> for Fault {
    fn from(error: ParameterError) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Internal(format!("the system gives no random bytes: {error}"))
    }
}
