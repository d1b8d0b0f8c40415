//! The one table of errors: which status a cause becomes. The text is the error's own, as plain text.

use http::StatusCode;

use crate::service::ServiceError;
use crate::service::consul::ConsulError;
use crate::service::registry::RegistryError;
use crate::state::applied::Refusal;

/// The status and the text of an error.
pub(super) fn answer(error: &ConsulError) -> (StatusCode, String) {
    let status = match error {
        ConsulError::Invalid(_) => StatusCode::BAD_REQUEST,
        ConsulError::AclsOff => StatusCode::UNAUTHORIZED,
        ConsulError::Denied(_) => StatusCode::FORBIDDEN,
        ConsulError::Unknown(_) => StatusCode::NOT_FOUND,
        ConsulError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ConsulError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        ConsulError::OtherDatacenter | ConsulError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ConsulError::Service(error) => return below(error),
    };
    (status, error.to_string())
}

/// What a service below said. Whatever comes of having no leader is told in the words that clients look for.
fn below(error: &ServiceError) -> (StatusCode, String) {
    let status = match error {
        ServiceError::Registry(error) => of_registry(error),
        ServiceError::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ServiceError::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
        ServiceError::Refused(Refusal::NoSpace) => StatusCode::INSUFFICIENT_STORAGE,
        ServiceError::Stopped => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let text = match error {
        ServiceError::NoLeader
        | ServiceError::NotLeader
        | ServiceError::LeaderChanged
        | ServiceError::Timeout
        | ServiceError::TimeoutLeaderFailed
        | ServiceError::TimeoutConnectionLost => format!("rpc error: No cluster leader ({error})"),
        _ => error.to_string(),
    };
    (status, text)
}

fn of_registry(error: &RegistryError) -> StatusCode {
    match error {
        RegistryError::Invalid { .. } | RegistryError::Missing { .. } => StatusCode::BAD_REQUEST,
        RegistryError::UnknownNode { .. } | RegistryError::UnknownInstance { .. } => StatusCode::NOT_FOUND,
        RegistryError::TooManyChanges | RegistryError::TooManyWatches => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_plain_text_with_the_status_of_its_cause() {
        let text = |error: ConsulError| answer(&error);
        assert_eq!(
            text(ConsulError::AclsOff),
            (StatusCode::UNAUTHORIZED, "ACL support disabled".into())
        );
        assert_eq!(
            text(ConsulError::OtherDatacenter),
            (StatusCode::INTERNAL_SERVER_ERROR, "No path to datacenter".into())
        );
        let (status, said) = text(ConsulError::Service(ServiceError::NoLeader));
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(said.contains("No cluster leader"), "{said}");
    }
}
