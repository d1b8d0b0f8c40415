//! Settings of the mount: whether encryption makes keys, and the cache that clients of Vault configure.
//!
//! Never caches a key: every request reads what it uses.

use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};
use crate::service::secrets::policy::Operation;

const PATH: &str = "settings";

/// Keys that Vault's cache holds at least, unless it holds all.
const MINIMUM_CACHE_SIZE: i64 = 10;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Settings {
    cache_size: i64,
    disable_upsert: bool,
}

fn load(storage: &mut dyn Storage) -> Result<Settings, Fault> {
    Ok(storage::read(storage, PATH)?.unwrap_or_default())
}

/// Whether encryption with a key that is not there fails even for who may make one.
///
/// # Errors
/// The store cannot be read.
pub fn disables_upsert(storage: &mut dyn Storage) -> Result<bool, Fault> {
    Ok(load(storage)?.disable_upsert)
}

/// Reads or writes the size of the cache, which is told back and nothing more.
///
/// # Errors
/// It is none.
pub fn cache(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let mut settings = load(storage)?;
    if call.operation != Operation::Read {
        let size = Fields(call.body.fields()).integer("size")?.unwrap_or(0);
        if size != 0 && size < MINIMUM_CACHE_SIZE {
            return Err(Fault::Invalid(format!(
                "size must be 0 or a value greater or equal to {MINIMUM_CACHE_SIZE}"
            )));
        }
        settings.cache_size = size;
        storage::write(storage, PATH, &settings, None)?;
    }
    Ok(Answer::data(Data::new().with("size", &settings.cache_size)?))
}

/// Reads or writes whether encryption makes keys.
///
/// # Errors
/// It is no truth value.
pub fn keys(call: &Call<'_>, storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let mut settings = load(storage)?;
    if call.operation != Operation::Read {
        if let Some(is_disabled) = Fields(call.body.fields()).switch("disable_upsert")? {
            settings.disable_upsert = is_disabled;
        }
        storage::write(storage, PATH, &settings, None)?;
    }
    Ok(Answer::data(
        Data::new().with("disable_upsert", &settings.disable_upsert)?,
    ))
}
