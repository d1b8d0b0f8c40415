//! What is said of an instance on the command line, by whoever registers it. Never asks a server anything.

use clap::Args;

use super::checks::CheckArguments;
use crate::cli::exit::CliError;
use crate::proto::registry::Instance;

/// What is said of an instance.
#[derive(Debug, Clone, Args)]
pub(super) struct RegistrationArguments {
    /// The service
    #[arg(long)]
    name: String,
    /// The id of the instance, unique on its node; without one, the name of the service
    #[arg(long, default_value = "")]
    id: String,
    /// The node it runs on; without one, the name of this machine
    #[arg(long)]
    node: Option<String>,
    /// Where it is: an IP address or a host name; without one, where its node is
    #[arg(long, default_value = "")]
    address: String,
    /// Its port
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A tag; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// A pair of metadata, key=value; may be given several times
    #[arg(long = "meta", value_parser = pair)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    checks: CheckArguments,
}

impl RegistrationArguments {
    /// The instance, with a time to live in seconds, or 0.
    ///
    /// # Errors
    /// This machine does not know its name, and no node is given.
    pub(super) fn instance(&self, ttl: i64) -> Result<Instance, CliError> {
        let id = if self.id.is_empty() { &self.name } else { &self.id };
        Ok(Instance {
            service: self.name.clone(),
            id: id.clone(),
            node: node_or_machine(self.node.as_deref())?,
            address: self.address.clone(),
            port: u32::from(self.port),
            tags: self.tags.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            ttl_seconds: ttl,
            checks: self.checks.checks(id),
            ..Instance::default()
        })
    }
}

/// A pair, key=value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("write key=value".to_owned()),
    }
}

/// The name of a node, or of this machine.
pub(super) fn node_or_machine(node: Option<&str>) -> Result<String, CliError> {
    match node {
        Some(node) => Ok(node.to_owned()),
        None => dns_lookup::get_hostname().map_err(|error| {
            CliError::failure(format!(
                "this machine does not know its name ({error}); give --node"
            ))
        }),
    }
}
