//! Initialising: `sys/init`.

use http::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::answer::Answer;
use super::error::Refusal;
use super::shares::{Written, numbers};
use crate::service::secrets::Secrets;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::status::Initialized;

/// Whether the store was initialised.
///
/// # Errors
/// It cannot be told.
pub(super) async fn status(secrets: &Secrets) -> Result<Answer, Refusal> {
    let status = secrets.status().await?;
    Answer::json(StatusCode::OK, &json!({"initialized": status.is_initialized}))
}

/// Initialises it. What is said of recovery keys makes no difference: there are none, since one seal is always shares.
///
/// # Errors
/// It was before, or the numbers of shares cannot be.
pub(super) async fn initialize(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    let made = secrets.initialize(numbers(body)?).await?;
    Answer::json(StatusCode::OK, &shown(&made))
}

#[derive(Serialize)]
pub(super) struct Shown<'made> {
    #[serde(flatten)]
    shares: Written,
    root_token: &'made str,
}

/// What initialising gave, as it is written.
pub(super) fn shown(made: &Initialized) -> Shown<'_> {
    Shown {
        shares: Written::of(&made.shares),
        root_token: made.root_token.expose(),
    }
}
