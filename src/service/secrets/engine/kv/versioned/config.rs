//! `config`: what holds for all secrets of a mount that do not say otherwise.
//!
//! Never changes what is stored already: it holds for the next write of each secret.

use serde::{Deserialize, Serialize};

use super::record::Metadata;
use super::settings::{self, Life};
use crate::base::duration;
use crate::base::limits::DEFAULT_SECRET_VERSIONS;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};

const PATH: &str = "config";
const NANOSECONDS_OF_A_SECOND: i64 = 1_000_000_000;

/// The settings of a mount.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    maximum_versions: u32,
    is_cas_required: bool,
    version_life_seconds: u64,
    /// Whether no version is deleted by its age, whatever secrets say.
    lives_for_ever: bool,
}

impl Config {
    /// That of the mount.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(storage::read(storage, PATH)?.unwrap_or_default())
    }

    /// Whether each write of any secret must say which version it replaces.
    #[must_use]
    pub fn is_cas_required(&self) -> bool {
        self.is_cas_required
    }

    /// How many versions of a secret are kept: the more of what the mount and the secret say.
    #[must_use]
    pub fn maximum_versions(&self, metadata: &Metadata) -> u32 {
        match self.maximum_versions.max(metadata.maximum_versions) {
            0 => DEFAULT_SECRET_VERSIONS,
            maximum => maximum,
        }
    }

    /// How many seconds a version of a secret lives: the less of what the mount and the secret say; none: for ever.
    #[must_use]
    pub fn version_life(&self, metadata: &Metadata) -> Option<u64> {
        let said = [self.version_life_seconds, metadata.version_life_seconds];
        let shortest = said.into_iter().filter(|seconds| *seconds > 0).min();
        shortest.filter(|_| !self.lives_for_ever)
    }
}

/// Answers with the settings.
///
/// # Errors
/// They cannot be read.
pub fn read(storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let config = Config::load(storage)?;
    let life = if config.lives_for_ever {
        duration::shown(-NANOSECONDS_OF_A_SECOND)
    } else {
        shown(config.version_life_seconds)
    };
    let data = Data::new()
        .with("max_versions", &config.maximum_versions)?
        .with("cas_required", &config.is_cas_required)?
        .with("delete_version_after", &life)?;
    Ok(Answer::data(data))
}

/// Changes the settings that a request names.
///
/// # Errors
/// One is not what it should be.
pub fn write(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let mut config = Config::load(storage)?;
    if let Some(maximum) = settings::maximum_versions(call.body)? {
        config.maximum_versions = maximum;
    }
    if let Some(is_required) = settings::is_cas_required(call.body)? {
        config.is_cas_required = is_required;
    }
    if let Some(life) = settings::life(call.body)? {
        config.lives_for_ever = life == Life::Endless;
        config.version_life_seconds = match life {
            Life::Endless => 0,
            Life::Seconds(seconds) => seconds,
        };
    }
    storage::write(storage, PATH, &config, None)?;
    Ok(Answer::default())
}

/// So many seconds, as Go shows them.
pub fn shown(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    duration::shown(seconds.saturating_mul(NANOSECONDS_OF_A_SECOND))
}
