//! What engines have fetched over HTTP: keys of who signs tokens, and reviews of tokens.
//!
//! The layers below this one name no protocol, so whoever builds a node says how it is done. Never follows to another place
//! than the one that was named.

use std::future::Future;
use std::pin::Pin;

use super::engine::Errand;

/// Fetches for engines.
pub trait Fetcher: Send + Sync {
    /// The body of the answer, or why there is none. An errand with neither a body nor credentials may bring what another one
    /// like it brought within [`crate::base::limits::MAXIMUM_FETCH_AGE_SECONDS`].
    fn fetch<'a>(
        &'a self,
        errand: &'a Errand,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;
}
