//! `sys/policies/password`: password policies as they are stored, and passwords by them.
//!
//! Never stores a password.

use crate::base::limits::MAXIMUM_SECRET_POLICY_NAME_BYTES;
use crate::base::secret::Secret;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::passwords::PasswordPolicy;
use crate::service::secrets::policies::{name_of, segment};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::request::Response;
use crate::service::secrets::system::policies::plain;
use crate::service::secrets::work::Work;

/// Where they are.
const DIRECTORY: &str = "password-policy";

/// Serves a password policy, a password by it or, without a name, the list of them.
pub fn handle(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, Delete, List, Read, Update};
    let name = rest.trim_end_matches('/');
    match (work.operation(), name) {
        (List, "") => {
            let directory = work.draft().name(DIRECTORY)?;
            let names = work.draft().list(&directory)?;
            Ok(Response::list(
                names.iter().map(|segment| name_of(segment)).collect(),
            )?)
        }
        (Read, name) if name.ends_with("/generate") => generate(work, name.trim_end_matches("/generate")),
        (Read, name) if !name.is_empty() => {
            let text = text(work, name)?.ok_or(Fault::Missing)?;
            Ok(Response::data(Data::new().with("policy", &text)?))
        }
        (Create | Update, name) if !name.is_empty() && !name.ends_with("/generate") => write(work, name),
        (Delete, name) if !name.is_empty() => {
            let path = work.draft().name(&path(name)?)?;
            work.draft().delete(&path)?;
            Ok(Response::default())
        }
        _ => Err(Fault::Unsupported.into()),
    }
}

fn generate(work: &mut Work, name: &str) -> Result<Response, SecretsError> {
    let text = text(work, name)?.ok_or(Fault::Missing)?;
    let policy = PasswordPolicy::parse(&text).map_err(|error| {
        Fault::Internal(format!(
            "the stored password policy {name:?} cannot be read: {error}"
        ))
    })?;
    let password = work.with_randomness(|_, randomness| policy.generate(randomness))?;
    Ok(Response::data(Data::new().with("password", password.expose())?))
}

fn write(work: &mut Work, name: &str) -> Result<Response, SecretsError> {
    let given = work.text("policy")?.filter(|text| !text.is_empty());
    let given = given.ok_or_else(|| Fault::Invalid("'policy' parameter not supplied or empty".to_owned()))?;
    let text = plain(given);
    let policy = PasswordPolicy::parse(&text).map_err(Fault::from)?;
    let path = work.draft().name(&path(name)?)?;
    work.with_randomness(|_, randomness| policy.check(randomness))?;
    work.draft().put(&path, Secret::new(text.into_bytes()), None);
    Ok(Response::default())
}

fn text(work: &mut Work, name: &str) -> Result<Option<String>, Fault> {
    let path = work.draft().name(&path(name)?)?;
    let record = work.draft().get(&path)?;
    Ok(record.map(|record| String::from_utf8_lossy(record.expose()).into_owned()))
}

fn path(name: &str) -> Result<String, Fault> {
    if name.len() > MAXIMUM_SECRET_POLICY_NAME_BYTES {
        return Err(Fault::Invalid(format!(
            "the name of a password policy has {} bytes; the most is {MAXIMUM_SECRET_POLICY_NAME_BYTES}",
            name.len()
        )));
    }
    Ok(format!("{DIRECTORY}/{}", segment(name)))
}
