//! A root token for people with enough shares: `sys/generate-root/*`.

use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::error::Refusal;
use super::shares::{nonce, refuse_pgp, share};
use crate::base::secret::Secret;
use crate::service::secrets::Secrets;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::randomness::{Randomness, SystemRandomness};
use crate::service::secrets::status::{AttemptStatus, RootMade};

/// What a one-time password is made of, if the server makes it.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How far it is.
///
/// # Errors
/// Sealed.
pub(super) async fn progress(secrets: &Secrets) -> Result<Answer, Refusal> {
    Answer::json(StatusCode::OK, &shown(&secrets.making_root().await?, ""))
}

/// Begins, with the password of the request or, if it has none, one that is told.
///
/// # Errors
/// Sealed, one is under way, or the password has another length than a token.
pub(super) async fn begin(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    refuse_pgp(body, "pgp_key")?;
    let given = match body.get("otp") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(_) => return Err(Refusal::invalid("'otp' must be a text")),
    };
    if !given.is_empty() {
        let status = secrets.begin_making_root(Secret::new(given.to_owned())).await?;
        return Answer::json(StatusCode::OK, &shown(&status, ""));
    }
    let length = secrets.making_root().await?.password_length;
    let password = password(length, &mut SystemRandomness).map_err(|error| {
        let text = format!("the system gives no random bytes: {error}");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    let status = secrets
        .begin_making_root(Secret::new(password.as_str().to_owned()))
        .await?;
    Answer::json(StatusCode::OK, &shown(&status, &password))
}

/// Gives up.
///
/// # Errors
/// Sealed.
pub(super) async fn cancel(secrets: &Secrets) -> Result<Answer, Refusal> {
    secrets.cancel_making_root().await?;
    Ok(Answer::nothing())
}

/// Takes a share.
///
/// # Errors
/// It is none, the attempt is another, or the shares are wrong.
pub(super) async fn offer(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    let share = share(body, "'key' must be specified in request body as JSON")?;
    let nonce = nonce(body)?;
    let before = secrets.making_root().await?;
    match secrets.offer_to_making_root(share, nonce).await? {
        RootMade::Waiting(status) => Answer::json(StatusCode::OK, &shown(&status, "")),
        RootMade::Done { nonce, encoded } => {
            Answer::json(StatusCode::OK, &done(nonce, before.needed, encoded.expose()))
        }
    }
}

/// A password of as many letters, each as likely as every other.
pub(super) fn password(length: usize, randomness: &mut dyn Randomness) -> std::io::Result<Zeroizing<String>> {
    let mut password = Zeroizing::new(String::with_capacity(length));
    let letters = u8::try_from(LETTERS.len()).unwrap_or(u8::MAX);
    for _ in 0..length {
        let place = usize::from(randomness.below(letters)?);
        password.extend(LETTERS.get(place).copied().map(char::from));
    }
    Ok(password)
}

#[derive(Serialize)]
pub(super) struct Shown<'text> {
    nonce: String,
    started: bool,
    progress: usize,
    required: u8,
    complete: bool,
    encoded_token: &'text str,
    encoded_root_token: &'text str,
    pgp_fingerprint: &'static str,
    otp: &'text str,
    otp_length: usize,
}

/// How far it is, as it is written; with the password where it was made here.
pub(super) fn shown<'text>(status: &AttemptStatus, password: &'text str) -> Shown<'text> {
    Shown {
        nonce: status.nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
        started: status.is_started,
        progress: status.given,
        required: status.needed,
        complete: false,
        encoded_token: "",
        encoded_root_token: "",
        pgp_fingerprint: "",
        otp: password,
        otp_length: status.password_length,
    }
}

/// The token, as it is written for who knows the password.
pub(super) fn done(nonce: Uuid, needed: u8, encoded: &str) -> Shown<'_> {
    Shown {
        nonce: nonce.to_string(),
        started: true,
        progress: usize::from(needed),
        required: needed,
        complete: true,
        encoded_token: encoded,
        encoded_root_token: encoded,
        pgp_fingerprint: "",
        otp: "",
        otp_length: 0,
    }
}
