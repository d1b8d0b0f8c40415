//! The one binary: a node, a local cluster, or a client, by its first argument; a node, if it is called `etcd`.

use std::process::ExitCode;

/// Returns memory to the system under the changing load of a node, where the system's own allocator keeps it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    stead::cli::main()
}
