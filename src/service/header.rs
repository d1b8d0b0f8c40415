//! What every answer says about who gave it and where the store stood.

use tokio::sync::watch;

use crate::base::{ClusterId, MemberId, Revision};
use crate::replication::Status;

/// The header of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member that answers.
    pub member: MemberId,
    /// The store's revision; 0 in answers that carry none.
    pub revision: Revision,
    /// The raft term as the member knows it.
    pub term: u64,
}

/// Makes headers. Cheap to clone and to call.
#[derive(Clone)]
pub struct Headers {
    cluster: ClusterId,
    member: MemberId,
    status: watch::Receiver<Status>,
}

impl Headers {
    /// Headers of this member, with the term that `status` shows.
    #[must_use]
    pub fn new(cluster: ClusterId, member: MemberId, status: watch::Receiver<Status>) -> Self {
        Self {
            cluster,
            member,
            status,
        }
    }

    /// The header of an answer at `revision`.
    #[must_use]
    pub fn at(&self, revision: Revision) -> Header {
        Header {
            cluster: self.cluster,
            member: self.member,
            revision,
            term: self.status.borrow().term,
        }
    }

    /// Whether this member is a learner.
    #[must_use]
    pub fn is_learner(&self) -> bool {
        self.status.borrow().is_learner
    }

    /// This member.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }
}

/// An answer with its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<T> {
    /// The header.
    pub header: Header,
    /// The answer.
    pub answer: T,
}
