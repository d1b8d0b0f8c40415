//! An instance, as requests say it.

use std::collections::BTreeMap;

use super::fields::Fields;
use crate::service::consul::ConsulError;
use crate::service::registry::{Registration, TaggedAddress, Weights};

fn short(name: &str, number: u64) -> Result<u16, ConsulError> {
    u16::try_from(number)
        .map_err(|_| ConsulError::Invalid(format!("{name} is {number}; the most is {}", u16::MAX)))
}

/// A registration on `node`; `name_field` is the field with the name of the service.
///
/// # Errors
/// What of it cannot be, or is of the mesh.
pub(super) fn parse(fields: &Fields, name_field: &str, node: &str) -> Result<Registration, ConsulError> {
    let text = |name: &str| -> Result<String, ConsulError> { Ok(fields.text(name)?.unwrap_or_default()) };
    let service = text(name_field)?;
    if service.is_empty() {
        return Err(ConsulError::Invalid("Missing service name".to_owned()));
    }
    refuse_mesh(fields)?;
    let id = Some(text("ID")?).filter(|id| !id.is_empty());
    let weights = match fields.object("Weights")? {
        None => Weights::default(),
        Some(weights) => {
            let weight = |name: &str| short(name, weights.number(name)?.unwrap_or(1));
            Weights {
                passing: weight("Passing")?,
                warning: weight("Warning")?,
            }
        }
    };
    let mut tagged_addresses = BTreeMap::new();
    for (tag, tagged) in fields.object_map("TaggedAddresses")?.unwrap_or_default() {
        let tagged = TaggedAddress {
            address: tagged.text("Address")?.unwrap_or_default(),
            port: short(
                "the port of a tagged address",
                tagged.number("Port")?.unwrap_or_default(),
            )?,
        };
        tagged_addresses.insert(tag, tagged);
    }
    Ok(Registration {
        id: id.unwrap_or_else(|| service.clone()),
        service,
        node: node.to_owned(),
        address: text("Address")?,
        port: short("Port", fields.number("Port")?.unwrap_or_default())?,
        tags: fields.texts("Tags")?.unwrap_or_default(),
        metadata: fields.text_map("Meta")?.unwrap_or_default(),
        weights,
        tagged_addresses,
        ttl_seconds: 0,
        enable_tag_override: fields.switch("EnableTagOverride")?,
    })
}

/// Refuses what belongs to the mesh of services, which is not there, and sockets, which nobody finds from elsewhere.
fn refuse_mesh(fields: &Fields) -> Result<(), ConsulError> {
    let refused = |what: &str| {
        let text =
            format!("Invalid service registration: {what} is not supported; register services with a port");
        Err(ConsulError::Invalid(text))
    };
    let kind = fields.text("Kind")?.unwrap_or_default();
    if !kind.is_empty() && kind != "typical" {
        return refused(&format!("Kind {kind:?}"));
    }
    if fields.text("SocketPath")?.is_some_and(|path| !path.is_empty()) {
        return refused("SocketPath");
    }
    if let Some(connect) = fields.object("Connect")?
        && (connect.switch("Native")? || connect.object("SidecarService")?.is_some())
    {
        return refused("Connect");
    }
    if let Some(proxy) = fields.object("Proxy")?
        && proxy
            .text("DestinationServiceName")?
            .is_some_and(|name| !name.is_empty())
    {
        return refused("Proxy");
    }
    for name in ["Namespace", "Partition"] {
        let given = fields.text(name)?.unwrap_or_default();
        if !given.is_empty() && given != "default" {
            return refused(&format!("{name} {given:?}"));
        }
    }
    Ok(())
}
