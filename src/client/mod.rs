//! A client of the cluster.

pub(crate) mod endpoints;
mod error;
pub(crate) mod handshake;
pub(crate) mod login;
pub(crate) mod node;
pub(crate) mod security;

pub use endpoints::Client;
pub(crate) use endpoints::{is_lost, text_of};
pub use error::ClientError;
