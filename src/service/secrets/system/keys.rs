//! `sys/key-status` and `sys/rotate`.
//!
//! Never tells a key.

use std::time::Duration;

use crate::base::limits::ROTATION_DUE_ENCRYPTIONS;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::{After, Work};

/// Serves `sys/key-status`.
pub fn status(work: &mut Work) -> Result<Response, SecretsError> {
    let status = work.draft().unsealed().key_status()?;
    let data = Data::new()
        .with("term", &status.term)?
        .with(
            "install_time",
            &rfc3339(Duration::from_secs(status.installed_unix_seconds)),
        )?
        .with("encryptions", &status.encryptions)?;
    Ok(Response::data(data))
}

/// Serves `sys/rotate` and what is below.
pub fn rotate(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    match (work.operation(), rest) {
        (Operation::Create | Operation::Update, "" | "keyring") => {
            work.then(After::Rotate);
            Ok(Response::default())
        }
        (Operation::Read, "config") => {
            let data = Data::new()
                .with("enabled", &true)?
                .with("interval", &0)?
                .with("max_operations", &ROTATION_DUE_ENCRYPTIONS)?;
            Ok(Response::data(data))
        }
        (Operation::Create | Operation::Update, "config") => Err(Fault::Unimplemented(
            "other limits of the rotation of keys than those of the ciphers".to_owned(),
        )
        .into()),
        _ => Err(Fault::Unsupported.into()),
    }
}
