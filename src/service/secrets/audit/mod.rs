//! Audit: every request and every answer leaves a record before it goes on.
//!
//! | module | does |
//! |---|---|
//! | [`entry`] | what is recorded of a request and its answer |
//! | [`render`] | writes that as Vault's JSON; `hashing` hashes every text in parameters and data |
//! | [`chain`] | gives each record its place in a chain, so that removal shows |
//! | [`mod@verify`] | checks chains: names what was removed, changed, reordered or cut |
//! | [`sink`] | files, sockets, syslog and log |
//! | [`device`] | reads the settings of a device, and what a device may reach |
//! | [`broker`] | all devices of a node; `queue` and `writer` are the buffer and the thread of each |
//!
//! Each node writes what it answers itself, to devices that are the same on all nodes, in a chain of its own for each device.
//! Records are written without a sync unless the device has the option `fsync`: they survive the end of the process, but not
//! of the machine.
//!
//! # What is hashed
//!
//! Tokens, accessors and every text in parameters and data, at any depth, but not names of fields, numbers and truth values.
//! The key is made of the keyring's hash key and the name of the device, so that a device that is disabled and enabled again
//! shows the same values by the same hashes. Fields that the mount says to be plain are shown. What is shown besides by its
//! nature: paths, policies, display names, metadata, lease ids, warnings and errors, which must hold no secret.
//!
//! # What this layer never does
//!
//! It never decides what has to be recorded, never reads the wall clock, and never lets a request pass that no device has
//! recorded while one is enabled.

pub mod broker;
pub mod chain;
pub mod device;
pub mod entry;
mod hashing;
mod queue;
pub mod render;
pub mod sink;
#[cfg(test)]
mod tests;
pub mod verify;
mod writer;

pub use broker::{Broker, Health, RecordError, Status};
pub use device::{Allowed, Settings, Target};
pub use entry::{Auth, Entry, Fields, Header, Mounted, Reply, Request, Wrap};
pub use verify::{Fault, FaultKind, Report, Verifier, verify};
