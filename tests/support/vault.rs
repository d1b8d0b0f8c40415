//! Vault's HTTP interface on a cluster of three.

use super::{Cluster, ClusterBuilder, Program, Result, free_port};

/// How many members the cluster has.
pub const NODES: usize = 3;

/// A cluster that is being described, whose members have the interface, and the address, `127.0.0.1:port`, of each.
pub fn three_nodes() -> Result<(ClusterBuilder, Vec<String>)> {
    let mut builder = Cluster::builder(Program::stead()?).nodes(NODES);
    let mut addresses = Vec::with_capacity(NODES);
    for node in 0..NODES {
        let address = format!("127.0.0.1:{}", free_port()?);
        builder = builder.argument_of(node, format!("--listen-vault-urls=http://{address}"));
        addresses.push(address);
    }
    Ok((builder, addresses))
}
