//! `sys/policy` and `sys/policies/acl`.
//!
//! Never changes what a token may do that is being served: the next request sees it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::policies;
use crate::service::secrets::policy::{self, Operation};
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

/// Serves a policy, whose text is in `field` of answers; without a name, the list of them.
pub fn handle(work: &mut Work, name: &str, field: &str) -> Result<Response, SecretsError> {
    let name = name.trim_end_matches('/');
    match (work.operation(), name) {
        (Operation::List | Operation::Read, "") => {
            let names = policies::names(work.draft())?;
            let mut data = Data::new().with("keys", &names)?;
            if field == "rules" {
                data.set("policies", &names)?;
            }
            Ok(Response::data(data))
        }
        (Operation::Read, name) => {
            let name = policy::name(name).map_err(Fault::from)?;
            let text = policies::text(work.draft(), &name)?.ok_or(Fault::Missing)?;
            Ok(Response::data(
                Data::new().with("name", &name)?.with(field, &text)?,
            ))
        }
        (Operation::Create | Operation::Update, name) if !name.is_empty() => {
            let given = match work.text("policy")?.filter(|text| !text.is_empty()) {
                Some(text) => text,
                None => work.text("rules")?.unwrap_or_default(),
            };
            if given.is_empty() {
                return Err(Fault::Invalid("'policy' parameter not supplied or empty".to_owned()).into());
            }
            policies::write(work.draft(), name, &plain(given))?;
            Ok(Response::default())
        }
        (Operation::Delete, name) if !name.is_empty() => {
            policies::delete(work.draft(), name)?;
            Ok(Response::default())
        }
        _ => Err(Fault::Unsupported.into()),
    }
}

/// The text of a policy, which may be given in base64.
pub fn plain(given: String) -> String {
    let decoded = STANDARD.decode(given.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or(given)
}
