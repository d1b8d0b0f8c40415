//! Compiles the `.proto` files into Rust with prost and tonic. Byte fields become `bytes::Bytes`, so that a value is
//! never copied between the socket and the log. Uses the pure Rust compiler `protox`: no `protoc` on the machine.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 7] = [
    "etcd/auth.proto",
    "etcd/election.proto",
    "etcd/health.proto",
    "etcd/lock.proto",
    "etcd/mvcc.proto",
    "etcd/rpc.proto",
    "peer.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES, [&root])?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
