//! Why a client has no answer. Every text says what failed, which value, and what to do.

use thiserror::Error;
use tonic::Status;

use crate::base::tls::TlsError;

/// Why a client has no answer.
#[derive(Debug, Clone, Error)]
pub enum ClientError {
    /// An endpoint that cannot be.
    #[error(
        "the endpoint {endpoint:?} cannot be: {reason}; write host:port, with http:// or https:// before it"
    )]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// A file with a certificate or a key is of no use.
    #[error("{:?} is of no use: {}", .0.path, .0.reason)]
    Tls(TlsError),
    /// A token that cannot be sent.
    #[error("the token has characters that no token has")]
    BadToken,
    /// Nothing was sent, since no endpoint could be reached.
    #[error("cannot connect to {endpoints}: {reason}")]
    NotConnected {
        /// All that were tried.
        endpoints: String,
        /// What the last one said.
        reason: String,
    },
    /// It was sent, and nobody knows what became of it.
    #[error("no answer from {endpoint}: {reason}; if it was a change, it may have been made")]
    Unknown {
        /// Who did not answer.
        endpoint: String,
        /// What is known.
        reason: String,
    },
    /// The server said no.
    #[error("{}", .0.message())]
    Refused(Status),
}

impl From<TlsError> for ClientError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
