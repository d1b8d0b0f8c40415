//! What is answered without a token and without an envelope, by its path.

use super::answer::Answer;
use super::error::Refusal;
use super::request::{Asked, Method};
use super::{Door, generate_root, health, init, leader, rekey, seal};
use crate::service::secrets::parameters::Body;

/// A page that needs no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Init,
    SealStatus,
    Unseal,
    Health,
    Leader,
    Rekey,
    RekeyUpdate,
    RekeyVerify,
    RekeyRecovery,
    GenerateRoot,
    GenerateRootUpdate,
}

/// The page of a path; none: it is answered to who has a token, or by who is mounted there.
pub(super) fn find(path: &str) -> Option<Page> {
    Some(match path {
        "sys/init" => Page::Init,
        "sys/seal-status" => Page::SealStatus,
        "sys/unseal" => Page::Unseal,
        "sys/health" => Page::Health,
        "sys/leader" => Page::Leader,
        "sys/rekey/init" => Page::Rekey,
        "sys/rekey/update" => Page::RekeyUpdate,
        "sys/rekey/verify" => Page::RekeyVerify,
        "sys/rekey-recovery-key/init" | "sys/rekey-recovery-key/update" | "sys/rekey-recovery-key/verify" => {
            Page::RekeyRecovery
        }
        "sys/generate-root/attempt" => Page::GenerateRoot,
        "sys/generate-root/update" => Page::GenerateRootUpdate,
        _ => return None,
    })
}

/// Answers a request for a page.
///
/// # Errors
/// The page has no such method, or what it does is refused.
pub(super) async fn answer(door: &Door, page: Page, asked: &Asked, body: &Body) -> Result<Answer, Refusal> {
    let secrets = &door.secrets;
    match (page, asked.method) {
        (Page::Init, Method::Read) => init::status(secrets).await,
        (Page::Init, Method::Write) => init::initialize(secrets, body).await,
        (Page::SealStatus, Method::Read) => seal::status(door).await,
        (Page::Unseal, Method::Write) => seal::unseal(door, body).await,
        (Page::Health, Method::Read | Method::Head) => health::answer(door, body).await,
        (Page::Leader, Method::Read) => leader::answer(door).await,
        (Page::Rekey, Method::Read) => rekey::progress(secrets).await,
        (Page::Rekey, Method::Write) => rekey::begin(secrets, body).await,
        (Page::Rekey, Method::Delete) => rekey::cancel(secrets).await,
        (Page::RekeyUpdate, Method::Write) => rekey::offer(secrets, body).await,
        (Page::RekeyVerify, Method::Read) => rekey::verification(secrets).await,
        (Page::RekeyVerify, Method::Write) => rekey::verify(secrets, body).await,
        (Page::RekeyVerify, Method::Delete) => rekey::restart_verification(secrets).await,
        (Page::RekeyRecovery, Method::Read | Method::Write | Method::Delete) => {
            Err(Refusal::unimplemented("recovery keys are"))
        }
        (Page::GenerateRoot, Method::Read) => generate_root::progress(secrets).await,
        (Page::GenerateRoot, Method::Write) => generate_root::begin(secrets, body).await,
        (Page::GenerateRoot, Method::Delete) => generate_root::cancel(secrets).await,
        (Page::GenerateRootUpdate, Method::Write) => generate_root::offer(secrets, body).await,
        _ => Err(Refusal::method()),
    }
}
