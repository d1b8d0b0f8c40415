//! `sys/audit` and `sys/audit-hash`.
//!
//! Never tells what was recorded.

use serde_json::{Map, Value, json};

use crate::service::secrets::auditing::{self, Device, Devices};
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::{After, Work};

/// Serves what is below `sys/audit`.
pub fn handle(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    use Operation::{Create, Delete, Read, Update};
    let name = rest.trim_end_matches('/');
    let devices = auditing::read(work.draft())?;
    match (work.operation(), name) {
        (Read, "") => {
            let mut data = Data::new();
            for (name, device) in devices.iter() {
                let path = format!("{name}/");
                let shown = json!({
                    "type": device.kind,
                    "description": device.description,
                    "options": device.options,
                    "local": false,
                    "path": path,
                });
                data.set(path, &shown)?;
            }
            Ok(Response::data(data))
        }
        (Create | Update, name) if !name.is_empty() => {
            if devices.contains_key(name) {
                return Err(Fault::Invalid(format!(
                    "path already in use: there is an audit device {name:?}"
                ))
                .into());
            }
            let options = match work.body().get("options") {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(options)) => options.clone(),
                Some(_) => return Err(Fault::Invalid("'options' is no object".to_owned()).into()),
            };
            let device = Device {
                kind: work.text("type")?.unwrap_or_default(),
                description: work.text("description")?.unwrap_or_default(),
                options,
            };
            let mut changed = Devices::clone(&devices);
            changed.insert(name.to_owned(), device.clone());
            auditing::write(work.draft(), &changed)?;
            work.then(After::EnableAudit(name.to_owned(), device));
            Ok(Response::default())
        }
        (Delete, name) if !name.is_empty() => {
            let mut changed = Devices::clone(&devices);
            if changed.remove(name).is_some() {
                auditing::write(work.draft(), &changed)?;
            }
            Ok(Response::default())
        }
        _ => Err(Fault::Unsupported.into()),
    }
}

/// Serves `sys/audit-hash/<name>`: how a device shows a value.
pub fn hash(work: &mut Work, rest: &str) -> Result<Response, SecretsError> {
    let name = rest.trim_end_matches('/').to_owned();
    let devices = auditing::read(work.draft())?;
    if !devices.contains_key(&name) {
        return Err(Fault::Invalid(format!(
            "unknown audit backend: there is no audit device {name:?}"
        ))
        .into());
    }
    let input = work.text("input")?.unwrap_or_default();
    if input.is_empty() {
        return Err(Fault::Invalid("the \"input\" parameter is empty".to_owned()).into());
    }
    let hash = work.draft().unsealed().audit_hasher(&name).hash(input.as_bytes());
    Ok(Response::data(Data::new().with("hash", &hash.to_string())?))
}
