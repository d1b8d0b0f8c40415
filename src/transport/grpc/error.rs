//! The one table from [`ServiceError`] to a gRPC status.
//!
//! The match is exhaustive, so that a new error cannot be forgotten. The codes are those of etcd's table; where etcd's
//! wire differs from its table by a slip ("too many requests" and "not enough started members" leave etcd with the code
//! Unknown), the table is followed:
//! clients that compare texts see no difference, and clients that look at the code get the one that was meant.

use tonic::{Code, Status};

use crate::service::ServiceError;
use crate::service::registry::RegistryError;
use crate::service::watch::WatchRefusal;
use crate::state::applied::Refusal;

/// The code of an error.
#[must_use]
pub fn code(error: &ServiceError) -> Code {
    use ServiceError as E;
    match error {
        E::Refused(refusal) => code_of_refusal(*refusal),
        E::EmptyKey
        | E::ValueProvided
        | E::LeaseProvided
        | E::TooManyOperations
        | E::DuplicateKey
        | E::BadClientVersion
        | E::InvalidSortOption
        | E::RequestTooLarge
        | E::BadMemberUrls
        | E::DowngradeVersionFormat
        | E::DowngradeTarget
        | E::UnknownChoice { .. }
        | E::AuthFailed
        | E::PermissionNotGiven => Code::InvalidArgument,
        E::LeaseTtlTooLarge => Code::OutOfRange,
        E::TooManyRequests => Code::ResourceExhausted,
        E::MemberNotFound => Code::NotFound,
        E::NotLeader
        | E::BadLeaderTransferee
        | E::MemberExists
        | E::PeerUrlExists
        | E::NotEnoughStartedMembers
        | E::MemberNotLearner
        | E::LearnerNotReady
        | E::TooManyLearners
        | E::NotSupportedForLearner
        | E::AuthNotEnabled => Code::FailedPrecondition,
        E::InvalidAuthToken => Code::Unauthenticated,
        E::NoLeader
        | E::LeaderChanged
        | E::Stopped
        | E::Timeout
        | E::TimeoutLeaderFailed
        | E::TimeoutConnectionLost
        | E::TimeoutApplied
        | E::Unhealthy => Code::Unavailable,
        E::WatchRefused(WatchRefusal::Forbidden(error)) => code(error),
        E::WatchRefused(_) => Code::ResourceExhausted,
        E::Registry(error) => registry_code(error),
        // etcd maps none of these, and sends them as Unknown.
        E::TimeoutTransfer
        | E::NotPrimaryLessor
        | E::PasswordNotWanted
        | E::TokenVerifyOnly
        | E::SessionExpired
        | E::NoElectionLeader
        | E::NotElectionLeader
        | E::MissingLeaderKey
        | E::UnknownMethod => Code::Unknown,
        E::StreamSort | E::StreamFilter | E::Unimplemented(_) => Code::Unimplemented,
        E::Internal(_) => Code::Internal,
    }
}

fn registry_code(error: &RegistryError) -> Code {
    use RegistryError as E;
    match error {
        E::Missing { .. }
        | E::Invalid { .. }
        | E::TooLong { .. }
        | E::TooMany { .. }
        | E::UnknownEpoch { .. } => Code::InvalidArgument,
        E::ForbiddenTarget { .. } | E::ChecksRefused { .. } => Code::PermissionDenied,
        E::Program { .. } => Code::Unimplemented,
        E::UnknownInstance { .. } | E::UnknownNode { .. } | E::UnknownCheck { .. } => Code::NotFound,
        E::Maintenance { .. } | E::NotReported { .. } | E::OlderEpoch { .. } | E::Gone { .. } => {
            Code::FailedPrecondition
        }
        E::Changed { .. } | E::Deregistered { .. } => Code::Aborted,
        E::Full | E::TooManyChanges | E::TooManyWatches => Code::ResourceExhausted,
        E::Compacted { .. } | E::Future { .. } => Code::OutOfRange,
        E::Unreadable(_) => Code::Internal,
    }
}

fn code_of_refusal(refusal: Refusal) -> Code {
    use Refusal as R;
    match refusal {
        R::Compacted | R::FutureRevision => Code::OutOfRange,
        R::NoSpace | R::AuthFull => Code::ResourceExhausted,
        R::Corrupt => Code::DataLoss,
        R::LeaseNotFound => Code::NotFound,
        R::PermissionDenied => Code::PermissionDenied,
        R::KeyNotFound | R::UserEmpty | R::RoleEmpty | R::InvalidAuthManagement | R::AuthOldRevision => {
            Code::InvalidArgument
        }
        R::LeaseExists
        | R::RootUserMissing
        | R::RootRoleMissing
        | R::UserExists
        | R::UserNotFound
        | R::RoleExists
        | R::RoleNotFound
        | R::RoleNotGranted
        | R::PermissionNotGranted => Code::FailedPrecondition,
    }
}

/// The status of an error. (Not a `From`: `Status` has a blanket one that would hide the table.)
#[must_use]
pub fn status(error: &ServiceError) -> Status {
    Status::new(code(error), error.to_string())
}

/// The status of an error in a call of locks or elections: whatever it is, etcd sends its text with the code Unknown.
#[must_use]
pub fn status_without_code(error: &ServiceError) -> Status {
    Status::unknown(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Revision;

    /// Every error a request can meet, with the code and text that clients of etcd know.
    #[test]
    fn every_error_has_the_code_and_text_that_clients_know() {
        use Code as C;
        use Refusal as R;
        use ServiceError as E;
        let table = [
            (E::EmptyKey, C::InvalidArgument, "etcdserver: key is not provided"),
            (
                E::Refused(R::KeyNotFound),
                C::InvalidArgument,
                "etcdserver: key not found",
            ),
            (
                E::ValueProvided,
                C::InvalidArgument,
                "etcdserver: value is provided",
            ),
            (
                E::LeaseProvided,
                C::InvalidArgument,
                "etcdserver: lease is provided",
            ),
            (
                E::TooManyOperations,
                C::InvalidArgument,
                "etcdserver: too many operations in txn request",
            ),
            (
                E::DuplicateKey,
                C::InvalidArgument,
                "etcdserver: duplicate key given in txn request",
            ),
            (
                E::BadClientVersion,
                C::InvalidArgument,
                "etcdserver: invalid client api version",
            ),
            (
                E::InvalidSortOption,
                C::InvalidArgument,
                "etcdserver: invalid sort option",
            ),
            (
                E::Refused(R::Compacted),
                C::OutOfRange,
                "etcdserver: mvcc: required revision has been compacted",
            ),
            (
                E::Refused(R::FutureRevision),
                C::OutOfRange,
                "etcdserver: mvcc: required revision is a future revision",
            ),
            (
                E::Refused(R::NoSpace),
                C::ResourceExhausted,
                "etcdserver: mvcc: database space exceeded",
            ),
            (
                E::Refused(R::LeaseNotFound),
                C::NotFound,
                "etcdserver: requested lease not found",
            ),
            (
                E::Refused(R::LeaseExists),
                C::FailedPrecondition,
                "etcdserver: lease already exists",
            ),
            (
                E::LeaseTtlTooLarge,
                C::OutOfRange,
                "etcdserver: too large lease TTL",
            ),
            (
                E::RequestTooLarge,
                C::InvalidArgument,
                "etcdserver: request is too large",
            ),
            (
                E::TooManyRequests,
                C::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            (E::NoLeader, C::Unavailable, "etcdserver: no leader"),
            (E::NotLeader, C::FailedPrecondition, "etcdserver: not leader"),
            (E::LeaderChanged, C::Unavailable, "etcdserver: leader changed"),
            (E::Stopped, C::Unavailable, "etcdserver: server stopped"),
            (E::Timeout, C::Unavailable, "etcdserver: request timed out"),
            (
                E::TimeoutLeaderFailed,
                C::Unavailable,
                "etcdserver: request timed out, possibly due to previous leader failure",
            ),
            (
                E::TimeoutConnectionLost,
                C::Unavailable,
                "etcdserver: request timed out, possibly due to connection lost",
            ),
            (
                E::TimeoutApplied,
                C::Unavailable,
                "etcdserver: request timed out, waiting for the applied index took too long",
            ),
            (
                E::TimeoutTransfer,
                C::Unknown,
                "etcdserver: request timed out, leader transfer took too long",
            ),
            (E::Refused(R::Corrupt), C::DataLoss, "etcdserver: corrupt cluster"),
            (
                E::BadLeaderTransferee,
                C::FailedPrecondition,
                "etcdserver: bad leader transferee",
            ),
            (
                E::MemberExists,
                C::FailedPrecondition,
                "etcdserver: member ID already exist",
            ),
            (
                E::PeerUrlExists,
                C::FailedPrecondition,
                "etcdserver: Peer URLs already exists",
            ),
            (
                E::NotEnoughStartedMembers,
                C::FailedPrecondition,
                "etcdserver: re-configuration failed due to not enough started members",
            ),
            (
                E::BadMemberUrls,
                C::InvalidArgument,
                "etcdserver: given member URLs are invalid",
            ),
            (E::MemberNotFound, C::NotFound, "etcdserver: member not found"),
            (
                E::MemberNotLearner,
                C::FailedPrecondition,
                "etcdserver: can only promote a learner member",
            ),
            (
                E::LearnerNotReady,
                C::FailedPrecondition,
                "etcdserver: can only promote a learner member which is in sync with leader",
            ),
            (
                E::TooManyLearners,
                C::FailedPrecondition,
                "etcdserver: too many learner members in cluster",
            ),
            (E::Unhealthy, C::Unavailable, "etcdserver: unhealthy cluster"),
            (
                E::NotSupportedForLearner,
                C::FailedPrecondition,
                "etcdserver: rpc not supported for learner",
            ),
            (
                E::DowngradeVersionFormat,
                C::InvalidArgument,
                "etcdserver: wrong downgrade target version format",
            ),
            (
                E::DowngradeTarget,
                C::InvalidArgument,
                "etcdserver: invalid downgrade target version",
            ),
            (E::UnknownMethod, C::Unknown, "etcdserver: unknown method"),
            (E::NotPrimaryLessor, C::Unknown, "not a primary lessor"),
            (E::SessionExpired, C::Unknown, "mutex: session is expired"),
            (E::NoElectionLeader, C::Unknown, "election: no leader"),
            (E::NotElectionLeader, C::Unknown, "election: not leader"),
            (
                E::MissingLeaderKey,
                C::Unknown,
                "\"leader\" field must be provided",
            ),
            (
                E::WatchRefused(WatchRefusal::TooManyWatches),
                C::ResourceExhausted,
                "stead: this member already has 1000000 watches; use another member or cancel some",
            ),
            (
                E::UnknownChoice {
                    field: "action",
                    number: 7,
                },
                C::InvalidArgument,
                "etcdserver: action has no meaning for the number 7",
            ),
            (
                E::StreamSort,
                C::Unimplemented,
                "RangeStream does not support custom sort orders",
            ),
            (
                E::StreamFilter,
                C::Unimplemented,
                "RangeStream does not support revision filters",
            ),
            (
                E::Unimplemented("Not served here."),
                C::Unimplemented,
                "Not served here.",
            ),
            (E::Internal("disk".into()), C::Internal, "stead: disk"),
            (
                E::Registry(RegistryError::Missing { field: "the port" }),
                C::InvalidArgument,
                "stead: the port is missing",
            ),
            (
                E::Registry(RegistryError::UnknownInstance {
                    node: "n".into(),
                    id: "i".into(),
                }),
                C::NotFound,
                "stead: no instance \"i\" is registered on node \"n\"",
            ),
            (
                E::Registry(RegistryError::OlderEpoch {
                    node: "n".into(),
                    id: "i".into(),
                    given: Revision(5),
                    current: Revision(7),
                }),
                C::FailedPrecondition,
                "stead: the registration of \"i\" on node \"n\" with epoch 5 was replaced by one with epoch 7",
            ),
            (
                E::Registry(RegistryError::Changed {
                    node: "n".into(),
                    id: "i".into(),
                }),
                C::Aborted,
                "stead: \"i\" on node \"n\" was changed by another request at the same time; look, and ask again",
            ),
            (
                E::Registry(RegistryError::Full),
                C::ResourceExhausted,
                "stead: there are 200000 instances already; deregister some first",
            ),
            (
                E::Registry(RegistryError::TooManyChanges),
                C::ResourceExhausted,
                "stead: this member works on 4096 changes of services already; ask again later, or another member",
            ),
            (
                E::Registry(RegistryError::Compacted {
                    after: Revision(5),
                    compacted: Revision(7),
                }),
                C::OutOfRange,
                "stead: the changes after revision 5 are compacted up to 7; watch anew, without a revision",
            ),
            (
                E::Refused(R::RootUserMissing),
                C::FailedPrecondition,
                "etcdserver: root user does not exist",
            ),
            (
                E::Refused(R::RootRoleMissing),
                C::FailedPrecondition,
                "etcdserver: root user does not have root role",
            ),
            (
                E::Refused(R::UserExists),
                C::FailedPrecondition,
                "etcdserver: user name already exists",
            ),
            (
                E::Refused(R::UserEmpty),
                C::InvalidArgument,
                "etcdserver: user name is empty",
            ),
            (
                E::Refused(R::UserNotFound),
                C::FailedPrecondition,
                "etcdserver: user name not found",
            ),
            (
                E::Refused(R::RoleExists),
                C::FailedPrecondition,
                "etcdserver: role name already exists",
            ),
            (
                E::Refused(R::RoleNotFound),
                C::FailedPrecondition,
                "etcdserver: role name not found",
            ),
            (
                E::Refused(R::RoleEmpty),
                C::InvalidArgument,
                "etcdserver: role name is empty",
            ),
            (
                E::AuthFailed,
                C::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            (
                E::PasswordNotWanted,
                C::Unknown,
                "auth: authentication failed, password was given for no password user",
            ),
            (
                E::PermissionNotGiven,
                C::InvalidArgument,
                "etcdserver: permission not given",
            ),
            (
                E::Refused(R::PermissionDenied),
                C::PermissionDenied,
                "etcdserver: permission denied",
            ),
            (
                E::Refused(R::RoleNotGranted),
                C::FailedPrecondition,
                "etcdserver: role is not granted to the user",
            ),
            (
                E::Refused(R::PermissionNotGranted),
                C::FailedPrecondition,
                "etcdserver: permission is not granted to the role",
            ),
            (
                E::AuthNotEnabled,
                C::FailedPrecondition,
                "etcdserver: authentication is not enabled",
            ),
            (
                E::InvalidAuthToken,
                C::Unauthenticated,
                "etcdserver: invalid auth token",
            ),
            (
                E::Refused(R::InvalidAuthManagement),
                C::InvalidArgument,
                "etcdserver: invalid auth management",
            ),
            (
                E::Refused(R::AuthOldRevision),
                C::InvalidArgument,
                "etcdserver: revision of auth store is old",
            ),
            (
                E::TokenVerifyOnly,
                C::Unknown,
                "auth: token signing attempted with verify-only key",
            ),
            (
                E::Refused(R::AuthFull),
                C::ResourceExhausted,
                "stead: users and roles take more than 67108864 bytes; remove some first",
            ),
        ];
        for (error, code, text) in table {
            let status = status(&error);
            assert_eq!((status.code(), status.message()), (code, text), "{error:?}");
        }
    }
}
