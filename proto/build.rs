//! Compiles the `.proto` files into Rust with prost and tonic. Byte fields become `bytes::Bytes`, so that a value is
//! never copied between the socket and the log. Uses the pure Rust compiler `protox`: no `protoc` on the machine.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

/// What clients speak. Their descriptors go into the program: the JSON gateway translates by them, and tools ask for them.
const CLIENT_FILES: [&str; 8] = [
    "etcd/auth.proto",
    "etcd/election.proto",
    "etcd/health.proto",
    "etcd/lock.proto",
    "etcd/mvcc.proto",
    "etcd/rpc.proto",
    "registry/registry.proto",
    "secrets/secrets.proto",
];

/// What members speak among themselves.
const PEER_FILES: [&str; 1] = ["peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    // Where the package is now, and not where this program was compiled: a target folder may outlive a clone.
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let client = protox::compile(CLIENT_FILES, [&root])?;
    let target = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(target.join("descriptors.bin"), client.encode_to_vec())?;
    for descriptors in [client, protox::compile(PEER_FILES, [&root])?] {
        tonic_prost_build::configure()
            .bytes(".")
            .compile_fds(descriptors)?;
    }
    Ok(())
}
