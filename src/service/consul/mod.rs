//! What Consul's interface has beyond the registry.
//!
//! Never knows how it is asked for: that is `transport::consul`.

pub mod acl;
pub mod filter;
mod mirror;
