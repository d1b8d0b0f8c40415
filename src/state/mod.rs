//! The replicated state machine: MVCC keys, leases, users and roles, published members and alarms.
//!
//! [`Machine::apply`] is a function of (state, entries): on every node the same entries give the same bytes, the same
//! answers and the same news. [`ReadView`] is the state at one applied index, for everything that reads.
//!
//! Never reads a clock, draws a random number, touches a socket or file, iterates a hash map, or awaits. The wall below
//! makes the compiler say so (the names are in `clippy.toml`).
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod access;
pub mod applied;
mod apply;
pub mod auth;
mod bounded;
pub mod command;
pub mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod machine;
mod mvcc;
mod recent;
pub mod restore;
mod schema;
#[cfg(test)]
mod tests;
mod view;

pub use applied::EventKind;
pub use format::encode_proposal;
pub use machine::{AppliedPosition, CompactionProgress, Compactor, LogEntry, Machine, Payload, position};
pub use mvcc::history::EventPage;
pub use mvcc::range::RangePage;
pub use mvcc::records::Record;
pub use view::{KeyValueHash, PublishedMember, ReadView, Reader};
