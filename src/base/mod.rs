//! What every layer may use: ids as newtypes, clock and randomness, and every limit with its unit.
//!
//! Never names another layer, never does I/O of its own.

pub mod clock;
pub mod gather;
pub mod ids;
pub mod limits;
pub mod metrics;
pub mod secret;

pub use ids::{ClusterId, LeaseId, MemberId, Namespace, Revision};
