//! An instance that a name is answered with. Never decides whether it is one.

use std::net::IpAddr;
use std::sync::Arc;

use crate::service::registry::{Entry, Status};

/// An instance that may be used.
#[derive(Debug, Clone)]
pub struct Offer {
    pub(super) entry: Arc<Entry>,
    status: Status,
}

/// Where something is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// At an address.
    Ip(IpAddr),
    /// At a host of this name.
    Host(&'a str),
    /// Nobody said where.
    Nowhere,
}

impl<'a> Address<'a> {
    /// Reads an address as it was registered.
    #[must_use]
    pub fn read(text: &'a str) -> Self {
        match text.parse() {
            Ok(address) => Self::Ip(address),
            Err(_) if text.is_empty() => Self::Nowhere,
            Err(_) => Self::Host(text),
        }
    }
}

impl Offer {
    pub(super) fn of(entry: Arc<Entry>) -> Self {
        let status = entry.status();
        Self { entry, status }
    }

    pub(super) fn status(&self) -> Status {
        self.status
    }

    /// Where it is found.
    #[must_use]
    pub fn address(&self) -> Address<'_> {
        Address::read(self.entry.address())
    }

    /// Whether it has an address of its own, not that of its node.
    #[must_use]
    pub fn has_own_address(&self) -> bool {
        !self.entry.instance.registration.address.is_empty()
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.entry.instance.registration.node
    }

    /// Its port; 0: none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.entry.instance.registration.port
    }

    /// Its share among the others, by how it is.
    #[must_use]
    pub fn weight(&self) -> u16 {
        let weights = self.entry.instance.registration.weights;
        match self.status {
            Status::Passing => weights.passing,
            Status::Warning | Status::Critical => weights.warning,
        }
    }
}
