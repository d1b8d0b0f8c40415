//! Why a request about services was not answered. Every text says what failed, which value, and what to do.

use std::net::IpAddr;

use thiserror::Error;

use crate::base::Revision;
use crate::base::limits::{MAXIMUM_INSTANCES, MAXIMUM_REGISTRY_CHANGES_AT_ONCE, MAXIMUM_REGISTRY_WATCHES};

impl RegistryError {
    /// An instance without an address on a node without one.
    pub(super) const WITHOUT_ADDRESS: Self = Self::Missing {
        field: "the address: give one, or register the node with one first; it",
    };
}

/// Why a request about services was not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegistryError {
    /// Something that must be given is not.
    #[error("stead: {field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A value that cannot be.
    #[error("stead: {field} {value:?} is invalid: {reason}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// The value, shortened.
        value: String,
        /// Why, and what it may be.
        reason: &'static str,
    },
    /// Text that is too long.
    #[error("stead: {field} has {bytes} bytes; the most is {maximum}")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        maximum: usize,
    },
    /// A list that is too long.
    #[error("stead: there are {number} {what}; the most is {maximum}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        number: usize,
        /// How many may be.
        maximum: usize,
    },
    /// No such instance.
    #[error("stead: no instance {id:?} is registered on node {node:?}")]
    UnknownInstance {
        /// The node.
        node: String,
        /// The id.
        id: String,
    },
    /// No such node.
    #[error("stead: there is no node {node:?}")]
    UnknownNode {
        /// Its name.
        node: String,
    },
    /// No such check.
    #[error("stead: there is no check {check:?} of {owner}")]
    UnknownCheck {
        /// Its id.
        check: String,
        /// Whose it would be.
        owner: String,
    },
    /// The status of a maintenance is not reported.
    #[error("stead: {check:?} is a maintenance, which is ended with SetMaintenance and not reported")]
    Maintenance {
        /// Its id.
        check: String,
    },
    /// The status of a check that is found out is not reported.
    #[error(
        "stead: {check:?} is a check of the kind {kind}, which the cluster does itself; nobody reports it"
    )]
    NotReported {
        /// Its id.
        check: String,
        /// How it comes about.
        kind: &'static str,
    },
    /// A check that runs a program.
    #[error(
        "stead: a check that runs {what} is not supported: no member runs what a client sends; let the program report a \
         check with a time to live"
    )]
    Program {
        /// What it would run.
        what: &'static str,
    },
    /// A check that would go where checks may not go.
    #[error(
        "stead: a check of {target:?} is refused: {address} is in none of the ranges that checks may connect to \
         (--check-targets)"
    )]
    ForbiddenTarget {
        /// As it was given.
        target: String,
        /// The address.
        address: IpAddr,
    },
    /// Checks that members do may not be registered.
    #[error(
        "stead: checks that the cluster does itself are refused by this member (--check-registration={setting}){advice}"
    )]
    ChecksRefused {
        /// The setting.
        setting: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A registration that was replaced.
    #[error(
        "stead: the registration of {id:?} on node {node:?} with epoch {given} was replaced by one with epoch {current}"
    )]
    OlderEpoch {
        /// The node.
        node: String,
        /// The id.
        id: String,
        /// The epoch of the request.
        given: Revision,
        /// The epoch of what is there.
        current: Revision,
    },
    /// An epoch that no registration has had yet.
    #[error("stead: {id:?} on node {node:?} has never had the epoch {given}; the current one is {current}")]
    UnknownEpoch {
        /// The node.
        node: String,
        /// The id.
        id: String,
        /// The epoch of the request.
        given: Revision,
        /// The epoch of what is there.
        current: Revision,
    },
    /// A registration that is gone.
    #[error(
        "stead: the registration of {id:?} on node {node:?} with epoch {given} is gone: it was deregistered, or its time \
         to live was over; register a new one, with epoch 0"
    )]
    Gone {
        /// The node.
        node: String,
        /// The id.
        id: String,
        /// The epoch of the request.
        given: Revision,
    },
    /// A registration that was to be renewed, and was deregistered.
    #[error(
        "stead: {id:?} on node {node:?} was deregistered after its registration with epoch {given}, or that cannot be told \
         any more; register a new one, with epoch 0, to have it back"
    )]
    Ended {
        /// The node.
        node: String,
        /// The id.
        id: String,
        /// The epoch of the request.
        given: Revision,
    },
    /// Somebody else changed the same at the same time.
    #[error(
        "stead: {id:?} on node {node:?} was changed by another request at the same time; look, and ask again"
    )]
    Changed {
        /// The node.
        node: String,
        /// The id; empty: the node itself.
        id: String,
    },
    /// It was deregistered while it was being registered.
    #[error(
        "stead: {id:?} on node {node:?} was deregistered while it was being registered; ask again to have it"
    )]
    Deregistered {
        /// The node.
        node: String,
        /// The id.
        id: String,
    },
    /// There are as many instances as there may be.
    #[error("stead: there are {MAXIMUM_INSTANCES} instances already; deregister some first")]
    Full,
    /// Too many changes are under way.
    #[error(
        "stead: this member works on {MAXIMUM_REGISTRY_CHANGES_AT_ONCE} changes of services already; ask again later, or \
         another member"
    )]
    TooManyChanges,
    /// Too many watches.
    #[error(
        "stead: this member has {MAXIMUM_REGISTRY_WATCHES} watches of services already; use another member or end some"
    )]
    TooManyWatches,
    /// What is to be told is compacted.
    #[error(
        "stead: the changes after revision {after} are compacted up to {compacted}; watch anew, without a revision"
    )]
    Compacted {
        /// Where the watch was to go on.
        after: Revision,
        /// The oldest revision after which one can.
        compacted: Revision,
    },
    /// A watch that is to go on after a revision that is yet to come.
    #[error("stead: revision {after} is yet to come; the store is at {current}")]
    Future {
        /// Where the watch was to go on.
        after: Revision,
        /// Where the store is.
        current: Revision,
    },
    /// A stored record that cannot be read.
    #[error("stead: the record of a service cannot be read: {0}")]
    Unreadable(String),
}
