//! Stead: one binary that gives three to five machines one consistent, replicated store for keys, services and secrets.
//!
//! The layers, from the lowest to the highest. A module names only those above it in this list; `tests/tidy.rs` checks it.
//!
//! | layer | does | never does |
//! |---|---|---|
//! | [`base`] | clock, randomness, ids as newtypes, every limit with its unit, TLS | names another layer |
//! | [`storage`] | the only seam to disk: RocksDB behind a small trait, and an in-memory twin | knows what a revision is |
//! | [`state`] | the replicated state machine: a pure function of (state, entry) | reads a clock, draws a random number, touches a socket |
//! | [`replication`] | openraft: log, network, snapshots, membership; offers propose, read barrier, members, status | leaks an openraft type upward |
//! | [`service`] | one pipeline for every request: validate, admit, propose or read, reply | knows a wire format |
//! | [`transport`] | front doors: gRPC and HTTP. Translation only | decides anything |
//! | [`client`] | a client of the cluster, for the command line and for programs | names a layer but `base` |
//! | [`node`], [`config`], [`cli`] | wiring, shutdown order, flags, output | hold logic |
//!
//! One thing differs from the first design: besides every version of a key, the state holds the header of its newest one
//! (`heads` in `state::schema`). It makes the look-up of every write a point read behind a bloom filter, and lets counts and
//! lists of keys pass by the values; it costs one more small record for each write.

/// The generated wire types, one module for each protobuf package.
#[allow(missing_docs, clippy::all, rustdoc::all)]
pub mod proto {
    /// The descriptors of what clients speak, as a `google.protobuf.FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

    pub mod etcdserverpb {
        tonic::include_proto!("etcdserverpb");
    }
    pub mod mvccpb {
        tonic::include_proto!("mvccpb");
    }
    pub mod authpb {
        tonic::include_proto!("authpb");
    }
    pub mod v3lockpb {
        tonic::include_proto!("v3lockpb");
    }
    pub mod v3electionpb {
        tonic::include_proto!("v3electionpb");
    }
    pub mod registry {
        tonic::include_proto!("stead.registry.v1");
    }
    pub mod secrets {
        tonic::include_proto!("stead.secrets.v1");
    }
    pub mod health {
        tonic::include_proto!("grpc.health.v1");
    }
    pub mod peer {
        tonic::include_proto!("stead.peer.v1");
    }
}

pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod node;
pub mod replication;
pub mod service;
pub mod state;
pub mod storage;
pub mod transport;
