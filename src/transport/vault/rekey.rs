//! Other shares instead of the present ones: `sys/rekey/*`.

use http::StatusCode;
use serde::Serialize;

use super::answer::Answer;
use super::error::Refusal;
use super::shares::{Written, nonce, numbers, says, share};
use crate::service::secrets::Secrets;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::seal::Share;
use crate::service::secrets::status::{AttemptStatus, RekeySettings, Rekeyed, Verified};
use uuid::Uuid;

/// What is said where there is no share.
const MISSING: &str = "'key' must be specified in request body as JSON";

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
    let settings = RekeySettings {
        new: numbers(body)?,
        requires_verification: says(body, "require_verification")?,
    };
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
    let share = share(body, MISSING)?;
    match secrets.offer_to_rekeying(share, nonce(body)?).await? {
        Rekeyed::Waiting(status) => Answer::json(StatusCode::OK, &shown(&status)),
        Rekeyed::Done {
            nonce,
            shares,
            verification,
        } => Answer::json(StatusCode::OK, &done(nonce, &shares, verification)),
    }
}

/// How far the verification of the new shares is.
///
/// # Errors
/// Sealed, or nothing is under way.
pub(super) async fn verification(secrets: &Secrets) -> Result<Answer, Refusal> {
    Answer::json(StatusCode::OK, &verifying(&secrets.verifying().await?))
}

/// Begins the verification anew.
///
/// # Errors
/// Sealed, or there are no new shares.
pub(super) async fn restart_verification(secrets: &Secrets) -> Result<Answer, Refusal> {
    Answer::json(StatusCode::OK, &verifying(&secrets.restart_verifying().await?))
}

/// Takes one of the new shares.
///
/// # Errors
/// It is none, the verification is another, or the shares are wrong.
pub(super) async fn verify(secrets: &Secrets, body: &Body) -> Result<Answer, Refusal> {
    let share = share(body, MISSING)?;
    match secrets.verify(share, nonce(body)?).await? {
        Verified::Waiting(status) => Answer::json(StatusCode::OK, &verifying(&status)),
        Verified::Done { nonce } => Answer::json(StatusCode::OK, &verified(nonce)),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<String>,
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
        verification_required: status.requires_verification,
        verification_nonce: status.verification.as_ref().map(Uuid::to_string),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    verification_nonce: Option<String>,
}

/// The new shares, as they are written.
pub(super) fn done(nonce: Uuid, shares: &[Share], verification: Option<Uuid>) -> Done {
    Done {
        nonce: nonce.to_string(),
        complete: true,
        shares: Written::of(shares),
        pgp_fingerprints: None,
        backup: false,
        verification_required: verification.is_some(),
        verification_nonce: verification.as_ref().map(Uuid::to_string),
    }
}

#[derive(Serialize)]
pub(super) struct Verifying {
    nonce: String,
    started: bool,
    t: u8,
    n: u8,
    progress: usize,
}

/// How far a verification is, as it is written.
pub(super) fn verifying(status: &AttemptStatus) -> Verifying {
    Verifying {
        nonce: status.nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
        started: status.is_started,
        t: status.needed,
        n: status.new_shares.map_or(0, |new| new.shares),
        progress: status.given,
    }
}

#[derive(Serialize)]
struct AllVerified {
    nonce: String,
    complete: bool,
}

fn verified(nonce: Uuid) -> AllVerified {
    AllVerified {
        nonce: nonce.to_string(),
        complete: true,
    }
}
