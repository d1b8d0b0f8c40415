//! What can be refused by looking at a request alone: names, addresses, sizes. Every refusal says which value it is about.
//!
//! Never reads the state; never changes what it looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::error::RegistryError;
use super::model::{CheckDefinition, INSTANCE_MAINTENANCE_PREFIX, NODE_MAINTENANCE};
use super::model::{CheckState, NewCheck, Node, Registration, TaggedAddress};
use super::validate_check;
use crate::base::limits::{
    MAXIMUM_CHECK_OUTPUT_BYTES, MAXIMUM_CHECKS, MAXIMUM_INSTANCE_TAGS, MAXIMUM_LEASE_TTL_SECONDS,
    MAXIMUM_METADATA_KEY_BYTES, MAXIMUM_METADATA_PAIRS, MAXIMUM_METADATA_VALUE_BYTES,
    MAXIMUM_REGISTRY_NAME_BYTES, MAXIMUM_TAGGED_ADDRESSES,
};

/// Bytes of a host name, and of one of its labels (RFC 1123).
const MAXIMUM_HOST_BYTES: usize = 253;
const MAXIMUM_LABEL_BYTES: usize = 63;
/// Characters of a refused value that are shown.
const MAXIMUM_SHOWN_CHARACTERS: usize = 64;
/// Checks that an operator may add to those that are registered.
const MAINTENANCE_CHECKS: usize = 1;

pub(super) fn invalid(field: &'static str, value: &str, reason: &'static str) -> RegistryError {
    RegistryError::Invalid {
        field,
        value: value.chars().take(MAXIMUM_SHOWN_CHARACTERS).collect(),
        reason,
    }
}

pub(super) fn text(field: &'static str, value: &str, maximum: usize) -> Result<(), RegistryError> {
    if value.len() > maximum {
        return Err(RegistryError::TooLong {
            field,
            bytes: value.len(),
            maximum,
        });
    }
    Ok(())
}

pub(super) fn count(what: &'static str, number: usize, maximum: usize) -> Result<(), RegistryError> {
    if number > maximum {
        return Err(RegistryError::TooMany {
            what,
            number,
            maximum,
        });
    }
    Ok(())
}

/// Checks a name or an id.
///
/// # Errors
/// It is missing or too long, has control characters, or begins or ends with a blank.
pub(super) fn name(field: &'static str, value: &str) -> Result<(), RegistryError> {
    if value.is_empty() {
        return Err(RegistryError::Missing { field });
    }
    text(field, value, MAXIMUM_REGISTRY_NAME_BYTES)?;
    if value.chars().any(char::is_control) {
        return Err(invalid(field, value, "it has a control character"));
    }
    if value.trim() != value {
        return Err(invalid(field, value, "it begins or ends with a blank"));
    }
    Ok(())
}

/// Checks an address.
pub(super) fn address(field: &'static str, value: &str) -> Result<(), RegistryError> {
    text(field, value, MAXIMUM_HOST_BYTES)?;
    if let Ok(address) = value.parse::<IpAddr>() {
        return match address.is_unspecified() || address.is_multicast() {
            true => Err(invalid(
                field,
                value,
                "nobody can connect to it; give the address of one machine",
            )),
            false => Ok(()),
        };
    }
    let labels = value.strip_suffix('.').unwrap_or(value).split('.');
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAXIMUM_LABEL_BYTES
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    // Of digits alone it is an address with a typing mistake.
    let is_number = labels
        .clone()
        .all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number || !labels.clone().all(is_label) {
        return Err(invalid(
            field,
            value,
            "give an IP address or a host name, without a port",
        ));
    }
    Ok(())
}

fn metadata(pairs: &BTreeMap<String, String>) -> Result<(), RegistryError> {
    count("pairs of metadata", pairs.len(), MAXIMUM_METADATA_PAIRS)?;
    for (key, value) in pairs {
        if key.is_empty() {
            return Err(RegistryError::Missing {
                field: "a key of the metadata",
            });
        }
        text("a key of the metadata", key, MAXIMUM_METADATA_KEY_BYTES)?;
        text("a value of the metadata", value, MAXIMUM_METADATA_VALUE_BYTES)?;
    }
    Ok(())
}

fn tagged_addresses(addresses: &BTreeMap<String, TaggedAddress>) -> Result<(), RegistryError> {
    count("tagged addresses", addresses.len(), MAXIMUM_TAGGED_ADDRESSES)?;
    for (tag, tagged) in addresses {
        name("the name of a tagged address", tag)?;
        address("a tagged address", &tagged.address)?;
    }
    Ok(())
}

/// Checks a registration.
///
/// # Errors
/// What of it cannot be.
pub(super) fn registration(registration: &Registration) -> Result<(), RegistryError> {
    name("the name of the service", &registration.service)?;
    name("the id of the instance", &registration.id)?;
    name("the name of the node", &registration.node)?;
    if !registration.address.is_empty() {
        address("the address", &registration.address)?;
    }
    count("tags", registration.tags.len(), MAXIMUM_INSTANCE_TAGS)?;
    for tag in &registration.tags {
        name("a tag", tag)?;
    }
    metadata(&registration.metadata)?;
    tagged_addresses(&registration.tagged_addresses)?;
    let ttl = registration.ttl_seconds;
    if !(0..=MAXIMUM_LEASE_TTL_SECONDS).contains(&ttl) {
        let reason = "give seconds up to 9000000000, or 0 for an instance that stays";
        return Err(invalid("the time to live", &ttl.to_string(), reason));
    }
    Ok(())
}

/// Checks a node.
///
/// # Errors
/// What of it cannot be.
pub(super) fn node(node: &Node) -> Result<(), RegistryError> {
    name("the name of the node", &node.name)?;
    if node.address.is_empty() {
        return Err(RegistryError::Missing {
            field: "the address of the node",
        });
    }
    address("the address of the node", &node.address)?;
    text("the id of the node", &node.id, MAXIMUM_REGISTRY_NAME_BYTES)?;
    metadata(&node.metadata)?;
    tagged_addresses(&node.tagged_addresses)
}

/// Checks the checks of one owner.
///
/// # Errors
/// What of them cannot be.
pub(super) fn checks(checks: &[NewCheck]) -> Result<(), RegistryError> {
    count("checks", checks.len(), MAXIMUM_CHECKS - MAINTENANCE_CHECKS)?;
    let mut ids = BTreeSet::new();
    for NewCheck {
        definition:
            CheckDefinition {
                id,
                name: shown,
                notes,
                kind,
            },
        state,
    } in checks
    {
        name("the id of a check", id)?;
        if id == NODE_MAINTENANCE || id.starts_with(INSTANCE_MAINTENANCE_PREFIX) {
            let reason = "a maintenance is made with SetMaintenance";
            return Err(invalid("the id of a check", id, reason));
        }
        if !ids.insert(id) {
            return Err(invalid("the id of a check", id, "it is given twice"));
        }
        text("the name of a check", shown, MAXIMUM_REGISTRY_NAME_BYTES)?;
        text("the notes of a check", notes, MAXIMUM_CHECK_OUTPUT_BYTES)?;
        validate_check::kind(kind)?;
        check_state(state)?;
    }
    Ok(())
}

/// Checks what a check says.
///
/// # Errors
/// The output is too long.
pub(super) fn check_state(state: &CheckState) -> Result<(), RegistryError> {
    text("the output of a check", &state.output, MAXIMUM_CHECK_OUTPUT_BYTES)
}

/// Checks the reason of a maintenance.
///
/// # Errors
/// It is too long.
pub(super) fn reason(reason: &str) -> Result<(), RegistryError> {
    text("the reason", reason, MAXIMUM_CHECK_OUTPUT_BYTES)
}
