//! A node: the layers wired together, started in order and stopped in the reverse one.

use thiserror::Error;

use crate::config::ServerConfig;

/// Why a node cannot start, or stopped by itself.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The layers below are not wired yet.
    #[error("node {0}: this build has no node")]
    Unavailable(String),
}

/// Runs a node until SIGTERM or SIGINT.
///
/// # Errors
/// It cannot start, or a failure stopped it.
pub async fn run(config: ServerConfig) -> Result<(), NodeError> {
    Err(NodeError::Unavailable(config.name))
}
