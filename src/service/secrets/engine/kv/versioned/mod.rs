//! Version 2 of the engine for secrets: the newest versions of each path are kept, can be deleted and brought back, or be
//! destroyed for good.
//!
//! ```text
//! config                  what holds for all secrets
//! metadata/<path>         one secret: settings, its versions with their times and places, and the id of its values
//! versions/<id>/<place>   the value of a version: a byte for the format, its number, and the JSON as it came
//! ```
//!
//! To read the newest version takes two records. The id is drawn when a secret is first written, so that one which is
//! removed and written again shares no record with what it was, and all of its values are one directory.
//!
//! | module | answers for |
//! |---|---|
//! | `data` | `data/<path>`: read, write, patch and delete the newest version |
//! | `metadata` | `metadata/<path>`: settings of a secret, its versions, lists, and its removal |
//! | `versions` | `delete/`, `undelete/` and `destroy/<path>`: chosen versions |
//! | `subkeys` | `subkeys/<path>`: the names in a value without what they are for |
//! | `config` | `config` |
//! | `record`, `view` | what is stored of a secret, and how it is shown |
//! | `merge`, `settings` | merge patches, and values of settings |
//!
//! Never keeps more versions than the secret or its mount allow, and never deletes because of a time: a version is deleted
//! from its time of deletion on.

mod config;
mod data;
mod merge;
mod metadata;
mod record;
mod settings;
mod subkeys;
#[cfg(test)]
mod tests;
mod versions;
mod view;

use record::Metadata;

use crate::service::secrets::engine::{Answer, Call, Engine, Fault, Storage};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// Secrets with versions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Versioned;

/// What a path is about, with the path of a secret or, to be listed, of a directory.
enum Place<'path> {
    Config,
    Data(&'path str),
    Metadata(&'path str),
    Delete(&'path str),
    Undelete(&'path str),
    Destroy(&'path str),
    Subkeys(&'path str),
    /// The first word of the above, without a secret.
    Root,
    Unknown,
}

impl<'path> Place<'path> {
    fn of(path: &'path str) -> Self {
        let (word, secret) = match path.split_once('/') {
            Some(parts) => parts,
            None if path == "config" => return Self::Config,
            None if matches!(path, "metadata" | "data" | "delete" | "undelete" | "destroy") => {
                return Self::Root;
            }
            None => return Self::Unknown,
        };
        match word {
            "data" => Self::Data(secret),
            "metadata" => Self::Metadata(secret),
            "delete" => Self::Delete(secret),
            "undelete" => Self::Undelete(secret),
            "destroy" => Self::Destroy(secret),
            "subkeys" => Self::Subkeys(secret),
            _ => Self::Unknown,
        }
    }
}

impl Engine for Versioned {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        use Operation::{Create, Delete, List, Patch, Read, Update};
        match (Place::of(call.path), call.operation) {
            (Place::Root, _) => Err(Fault::NoPath(
                "Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned(),
            )),
            (Place::Unknown, operation) => Err(unknown(operation)),
            (Place::Metadata(directory), List) => metadata::list(directory, storage),
            (Place::Data(path), Read) => data::read(path, call, storage),
            (Place::Data(path), Create | Update) => data::write(path, call, storage, randomness),
            (Place::Data(path), Patch) => data::patch(path, call, storage),
            (Place::Data(path), Delete) => data::delete(path, call, storage),
            (Place::Metadata(path), Read) => metadata::read(path, storage),
            (Place::Metadata(path), Create | Update) => metadata::write(path, call, storage, randomness),
            (Place::Metadata(path), Patch) => metadata::patch(path, call, storage),
            (Place::Metadata(path), Delete) => metadata::delete(path, storage),
            (Place::Delete(path), Create | Update) => versions::delete(path, call, storage),
            (Place::Undelete(path), Create | Update) => versions::undelete(path, call, storage),
            (Place::Destroy(path), Create | Update) => versions::destroy(path, call, storage),
            (Place::Subkeys(path), Read) => subkeys::read(path, call, storage),
            (Place::Config, Read) => config::read(storage),
            (Place::Config, Create | Update) => config::write(call, storage),
            _ => Err(Fault::Unsupported),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match Place::of(call.path) {
            Place::Data(path) | Place::Metadata(path) if !path.is_empty() => {
                Metadata::exists(storage, path).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The text is the one that people find in Vault's documentation.
fn unknown(operation: Operation) -> Fault {
    let command = match operation {
        Operation::Create | Operation::Update => "put",
        Operation::Patch => "patch",
        Operation::Read => "get",
        Operation::List => "list",
        Operation::Delete => "delete",
        Operation::Renew | Operation::Revoke | Operation::Help => return Fault::Unsupported,
    };
    Fault::NoPath(format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. If \
         using the Vault CLI, use 'vault kv {command}' for this operation."
    ))
}
