//! Other shares instead of the present ones: `sys/rekey/*`.

use http::StatusCode;
use serde::Serialize;

use super::answer::Answer;
use super::error::Refusal;
use super::shares::{Written, nonce, numbers, says, share};
use crate::service::secrets::Secrets;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::seal::Share;
use crate::service::secrets::status::{AttemptStatus, Rekeyed};
use uuid::Uuid;

/// How far it is.
///
/// # Errors
/// Sealed.
pub(super) async fn progress(secrets: &Secrets) -> Result<Answer, Refusal> {
    Answer::json(StatusCode::OK, &shown(&secrets.rekeying().await?))
}

/// Begins.
///
/// # Errors
/// Sealed, one is under way, or something that cannot be or is not offered.
pub(super) async fn begin(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    if says(body, "require_verification")? {
        return Err(Refusal::unimplemented(
            "verification of new shares (require_verification) is",
        ));
    }
    let settings = numbers(body)?;
    if says(body, "backup")? {
        return Err(Refusal::invalid(
            "cannot request a backup of the new keys without providing PGP keys for encryption",
        ));
    }
    Answer::json(StatusCode::OK, &shown(&secrets.begin_rekeying(settings).await?))
}

/// Gives up.
///
/// # Errors
/// Sealed.
pub(super) async fn cancel(secrets: &Secrets) -> Result<Answer, Refusal> {
    secrets.cancel_rekeying().await?;
    Ok(Answer::nothing())
}

/// Takes a share.
///
/// # Errors
/// It is none, the attempt is another, or the shares are wrong.
pub(super) async fn offer(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    let share = share(body, "'key' must be specified in request body as JSON")?;
    match secrets.offer_to_rekeying(share, nonce(body)?).await? {
        Rekeyed::Waiting(status) => Answer::json(StatusCode::OK, &shown(&status)),
        Rekeyed::Done { nonce, shares } => Answer::json(StatusCode::OK, &done(nonce, &shares)),
    }
}

#[derive(Serialize)]
pub(super) struct Shown {
    nonce: String,
    started: bool,
    t: u8,
    n: u8,
    progress: usize,
    required: u8,
    pgp_fingerprints: Option<()>,
    backup: bool,
    verification_required: bool,
}

/// How far it is, as it is written.
pub(super) fn shown(status: &AttemptStatus) -> Shown {
    let new = status.new_shares;
    Shown {
        nonce: status.nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
        started: status.is_started,
        t: new.map_or(0, |new| new.threshold),
        n: new.map_or(0, |new| new.shares),
        progress: status.given,
        required: status.needed,
        pgp_fingerprints: None,
        backup: false,
        verification_required: false,
    }
}

#[derive(Serialize)]
pub(super) struct Done {
    nonce: String,
    complete: bool,
    #[serde(flatten)]
    shares: Written,
    pgp_fingerprints: Option<()>,
    backup: bool,
    verification_required: bool,
}

/// The new shares, as they are written.
pub(super) fn done(nonce: Uuid, shares: &[Share]) -> Done {
    Done {
        nonce: nonce.to_string(),
        complete: true,
        shares: Written::of(shares),
        pgp_fingerprints: None,
        backup: false,
        verification_required: false,
    }
}
