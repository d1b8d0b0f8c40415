//! Errors as Vault's clients read them: `{"errors": ["text"]}`, and the one table of what becomes of which.
//!
//! Holds no secret: texts are the service's, which hold none, or are written here.

use axum::body::Body;
use http::{Response, StatusCode};
use serde::Serialize;

use super::answer::Answer;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::parameters::ParameterError;
use crate::service::secrets::path::PathError;
use crate::service::secrets::{ErrorKind, SecretsError};

/// What a router says of a path that nothing is mounted for. Other paths that are none come as a warning.
const NO_HANDLER: &str = "no handler for route";

/// Why a request was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    errors: Vec<String>,
    warnings: Vec<String>,
    /// In a box, so that an answer that is none is small.
    error: Option<Box<SecretsError>>,
}

/// An error as it is written.
#[derive(Serialize)]
struct Written<'error> {
    errors: &'error [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'error [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'error Data>,
}

impl Refusal {
    /// With a text.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            errors: vec![text.into()],
            ..Self::silent(status)
        }
    }

    /// Without a text.
    pub fn silent(status: StatusCode) -> Self {
        Self {
            status,
            errors: Vec::new(),
            warnings: Vec::new(),
            error: None,
        }
    }

    /// A request that is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// What Vault has and this does not.
    pub fn unimplemented(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("{what} not supported"))
    }

    /// A method that a path does not have.
    pub fn method() -> Self {
        Self::silent(StatusCode::METHOD_NOT_ALLOWED)
    }

    /// As a response.
    pub fn into_response(self) -> Response<Body> {
        let written = Written {
            errors: &self.errors,
            warnings: &self.warnings,
            data: self.error.as_ref().and_then(|error| error.data()),
        };
        match Answer::json(self.status, &written) {
            Ok(answer) => {
                let allowance = self.error.as_ref().and_then(|error| error.allowance());
                answer.with_allowance(allowance.copied()).into_response()
            }
            Err(_) => Answer::nothing().with_status(self.status).into_response(),
        }
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Missing => StatusCode::NOT_FOUND,
        ErrorKind::Limited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl From<SecretsError> for Refusal {
    fn from(error: SecretsError) -> Self {
        let texts = error.texts();
        let is_warning =
            matches!(&error, SecretsError::Fault(Fault::NoPath(text)) if !text.starts_with(NO_HANDLER));
        let (errors, warnings) = match is_warning {
            true => (Vec::new(), texts),
            false => (texts, Vec::new()),
        };
        Self {
            status: status(error.kind()),
            errors,
            warnings,
            error: Some(Box::new(error)),
        }
    }
}

impl From<ParameterError> for Refusal {
    fn from(error: ParameterError) -> Self {
        let status = match error {
            ParameterError::Large(_) => StatusCode::PAYLOAD_TOO_LARGE,
            ParameterError::Value { .. } | ParameterError::Json(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self::invalid(error.to_string())
    }
}
