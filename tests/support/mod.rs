//! What every test from outside shares: clusters of real server processes on loopback, of Stead or of etcd, and raw
//! gRPC clients for them.
//!
//! It is included by path (`#[path = "support/mod.rs"] mod support;`) into the integration tests, the fault harness
//! and the benches. It treats a server as a black box: flags, sockets, signals and files, never Stead's own types,
//! apart from the generated wire types. It ends only the processes that it started, by their process id.

// Each target that includes this module uses a part of it.
#![allow(dead_code, unused_imports)]

mod clients;
mod cluster;
mod node;
pub mod pki;
mod ports;
mod program;
pub mod vault;

pub use clients::{Clients, Credentials};
pub use cluster::{Cluster, ClusterBuilder, Security};
pub use node::Node;
pub use ports::free_port;
pub use program::{Program, clients_directory};

/// The error of everything in the support code: a sentence that says what failed and what to do.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The result of everything in the support code.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a test function returns.
pub type TestResult = std::result::Result<(), Failure>;

/// An error as the test harness shall show it: the harness prints the `Debug` form, which for a boxed error would be
/// one line with all line breaks escaped.
pub struct Failure(Error);

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)
    }
}
