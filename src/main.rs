//! The one binary: a node, a local cluster, or a client, by its first argument; a node, if it is called `etcd`.

use std::process::ExitCode;

use stead::base::wiping::Wiping;
use tikv_jemallocator::Jemalloc;

/// Returns memory to the system under the changing load of a node, where the system's own allocator keeps it; and wiped, as
/// it may have held secrets.
#[global_allocator]
static ALLOCATOR: Wiping<Jemalloc> = Wiping(Jemalloc);

fn main() -> ExitCode {
    stead::cli::main()
}
