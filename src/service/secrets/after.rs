//! What a node does for a request once what it changes is written.
//!
//! Never decides whether: [`super::work`] did.

use super::auditing::Device;

/// What the node does once the draft of a request is written.
#[derive(Debug, Clone, PartialEq)]
pub enum After {
    /// Have an audit device write, before it is written down that there is one.
    EnableAudit(String, Device),
    /// Seal this node.
    Seal,
    /// Begin a snapshot of the whole store, which is the answer.
    Snapshot,
    /// Let another member lead, if this one does.
    StepDown,
    /// Add a term to the keyring.
    Rotate,
    /// Take away what tokens and leases left behind.
    Tidy,
}
