//! How secrets are shown: versions, their times and what clients say of them.
//!
//! Never shows a value.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::{Metadata, Value, Version};
use super::settings;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage};
use crate::service::secrets::parameters;

/// What is said of a version.
#[derive(Serialize)]
pub struct View<'metadata> {
    created_time: String,
    custom_metadata: Option<&'metadata BTreeMap<String, String>>,
    deletion_time: String,
    destroyed: bool,
    version: u64,
}

/// What a list of versions says of one.
#[derive(Serialize)]
pub struct Entry {
    created_time: String,
    deletion_time: String,
    destroyed: bool,
}

impl Entry {
    /// That of a version.
    #[must_use]
    pub fn new(version: &Version) -> Self {
        Self {
            created_time: rfc3339(version.created),
            deletion_time: deletion_time(version),
            destroyed: version.is_destroyed,
        }
    }
}

impl<'metadata> View<'metadata> {
    /// That of a version of a secret.
    #[must_use]
    pub fn new(metadata: &'metadata Metadata, number: u64, version: &Version) -> Self {
        Self {
            created_time: rfc3339(version.created),
            custom_metadata: custom(metadata),
            deletion_time: deletion_time(version),
            destroyed: version.is_destroyed,
            version: number,
        }
    }

    /// As the fields of an answer.
    ///
    /// # Errors
    /// There are none.
    pub fn fields(&self) -> Result<Data, Fault> {
        Data::new()
            .with("created_time", &self.created_time)?
            .with("custom_metadata", &self.custom_metadata)?
            .with("deletion_time", &self.deletion_time)?
            .with("destroyed", &self.destroyed)?
            .with("version", &self.version)
    }
}

/// What clients say of a secret; none where they say nothing.
#[must_use]
pub fn custom(metadata: &Metadata) -> Option<&BTreeMap<String, String>> {
    Some(&metadata.custom).filter(|pairs| !pairs.is_empty())
}

fn deletion_time(version: &Version) -> String {
    version.deletion.map(rfc3339).unwrap_or_default()
}

/// Answers with a version, the newest or the one that is asked for: its metadata, and under `name` what is made of its
/// value, or `null` if that is gone.
///
/// # Errors
/// [`Fault::Missing`] where there is no such version.
pub fn answer(
    path: &str,
    call: &Call<'_>,
    storage: &mut dyn Storage,
    name: &str,
    put: impl FnOnce(&mut Data, &Value) -> Result<(), Fault>,
) -> Result<Answer, Fault> {
    let asked = call.body.get("version").map(parameters::integer).transpose();
    let asked = asked.map_err(|error| settings::wrong("version", &error))?;
    let metadata = Metadata::read(storage, path)?.ok_or(Fault::Missing)?;
    let number = match asked.map(u64::try_from) {
        Some(Ok(number)) if number > 0 => number,
        _ => metadata.current,
    };
    let version = metadata.version(number).ok_or(Fault::Missing)?;
    let mut data = Data::new().with("metadata", &View::new(&metadata, number, version))?;
    let is_gone = version.is_gone(call.now);
    if is_gone {
        data.set(name, &())?;
    } else {
        put(&mut data, &metadata.value(storage, number)?)?;
    }
    Ok(Answer {
        is_gone,
        ..Answer::data(data)
    })
}

/// Answers with the metadata of a version that a request wanted to change, and that is gone.
///
/// # Errors
/// There are none.
pub fn gone(metadata: &Metadata, number: u64, version: &Version) -> Result<Answer, Fault> {
    Ok(Answer {
        is_gone: true,
        ..Answer::data(View::new(metadata, number, version).fields()?)
    })
}
