//! Compiles the `.proto` files into Rust with prost and tonic. Byte fields become `bytes::Bytes`, so that a value is
//! never copied between the socket and the log. Uses the pure Rust compiler `protox`: no `protoc` on the machine.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message;

/// What clients speak. Their descriptors go into the program: the JSON gateway translates by them, and tools ask for them.
const CLIENT_FILES: [&str; 6] = [
    "etcd/auth.proto",
    "etcd/election.proto",
    "etcd/health.proto",
    "etcd/lock.proto",
    "etcd/mvcc.proto",
    "etcd/rpc.proto",
];

/// What members speak among themselves.
const PEER_FILES: [&str; 1] = ["peer.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
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
