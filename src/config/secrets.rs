//! `--secrets-seal`: what unseals the secret store of a node by itself.
//!
//! Never reads a key: that is done when the node wants to be unsealed.

use std::path::PathBuf;

use super::error::ConfigError;
use super::settings::invalid;
use super::sources::Values;
use crate::service::secrets::SealSource;

/// The seals of this node.
pub(super) fn seals(values: &Values) -> Result<Vec<SealSource>, ConfigError> {
    let given = values.get("secrets-seal");
    let mut seals: Vec<SealSource> = Vec::new();
    for text in given
        .value
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let seal = seal(text).ok_or_else(|| {
            invalid(&given, "write file:PATH or env:NAME, or ID=file:PATH and ID=env:NAME where there are several of a kind")
        })?;
        if seals.iter().any(|other| other.id() == seal.id()) {
            return Err(invalid(
                &given,
                "give each seal an id of its own: one=file:PATH,other=file:PATH",
            ));
        }
        seals.push(seal);
    }
    Ok(seals)
}

fn seal(text: &str) -> Option<SealSource> {
    let (named, rest) = match text.split_once('=') {
        Some((id, rest)) if !id.contains(':') => (Some(id), rest),
        _ => (None, text),
    };
    let (kind, place) = rest.split_once(':')?;
    let id = named.unwrap_or(kind).to_owned();
    if place.is_empty() || id.is_empty() || id == crate::service::secrets::custody::SHARES_ID {
        return None;
    }
    match kind {
        "file" => Some(SealSource::File {
            id,
            path: PathBuf::from(place),
        }),
        "env" => Some(SealSource::Environment {
            id,
            variable: place.to_owned(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_a_file_or_a_variable_with_an_id_of_its_own() {
        let file = |id: &str, path: &str| SealSource::File {
            id: id.into(),
            path: path.into(),
        };
        let variable = |id: &str, variable: &str| SealSource::Environment {
            id: id.into(),
            variable: variable.into(),
        };
        for (text, expected) in [
            ("file:/etc/key", Some(file("file", "/etc/key"))),
            ("env:KEY", Some(variable("env", "KEY"))),
            ("rack=file:/etc/a=b", Some(file("rack", "/etc/a=b"))),
            ("file:/etc/a=b", Some(file("file", "/etc/a=b"))),
            ("file:", None),
            ("=file:/etc/key", None),
            ("shares=file:/etc/key", None),
            ("tpm:0", None),
            ("/etc/key", None),
        ] {
            assert_eq!(seal(text), expected, "{text}");
        }
    }
}
