//! What every layer may use: ids as newtypes, clock and randomness, and every limit with its unit.
//!
//! Never names another layer. Does no I/O of its own but for [`tls`], which reads certificates and makes handshakes.

pub mod clock;
pub mod duration;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gather;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod metrics;
pub mod secret;
pub mod tls;
pub mod wiping;

pub use ids::{ClusterId, LeaseId, MemberId, Namespace, Revision};
