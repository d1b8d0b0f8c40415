//! The directory of one engine: what it stores, it stores below.
//!
//! Never leads out of it.

use std::sync::Arc;
use std::time::Duration;

use super::Draft;
use crate::base::secret::Secret;
use crate::service::secrets::barrier::names;
use crate::service::secrets::engine::{Fault, Storage};

/// See the module.
pub struct Room<'draft> {
    draft: &'draft mut Draft,
    path: String,
    directory: Arc<[u8]>,
}

impl<'draft> Room<'draft> {
    /// The directory of a path.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn new(draft: &'draft mut Draft, path: &str) -> Result<Self, Fault> {
        let directory = draft.directory(path)?;
        let path = path.to_owned();
        Ok(Self {
            draft,
            path,
            directory,
        })
    }

    /// A sealed name. What a path begins with, if it goes on, is a word of the engine, of which there are few.
    fn name(&mut self, path: &str) -> Result<Vec<u8>, Fault> {
        let whole = format!("{}/{path}", self.path);
        if let Some(name) = self.draft.names.get(&whole) {
            return Ok(name.clone());
        }
        names::check_path(path).map_err(|error| Fault::Invalid(error.to_string()))?;
        let name = match path.split_once('/') {
            Some((word, rest)) => {
                let directory = self.draft.directory(&format!("{}/{word}", self.path))?;
                self.draft.name_below(&directory, rest)?
            }
            None => self.draft.name_below(&self.directory, path)?,
        };
        self.draft.names.insert(whole, name.clone());
        Ok(name)
    }

    fn directory(&mut self, directory: &str) -> Result<Vec<u8>, Fault> {
        match directory {
            "" => Ok(self.directory.to_vec()),
            directory => self.name(directory),
        }
    }
}

impl Storage for Room<'_> {
    fn get(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let name = self.name(path)?;
        self.draft.get(&name)
    }

    fn peek(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let name = self.name(path)?;
        self.draft.peek(&name)
    }

    fn has_room(&self) -> bool {
        self.draft.has_room()
    }

    fn has(&mut self, path: &str) -> Result<bool, Fault> {
        let name = self.name(path)?;
        self.draft.has(&name)
    }

    fn put(&mut self, path: &str, record: Secret<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Fault> {
        let name = self.name(path)?;
        self.draft.put(&name, record, ttl);
        Ok(())
    }

    fn delete(&mut self, path: &str) -> Result<(), Fault> {
        let name = self.name(path)?;
        self.draft.delete(&name)
    }

    fn list(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let directory = self.directory(directory)?;
        self.draft.list(&directory)
    }

    fn delete_below(&mut self, directory: &str) -> Result<(), Fault> {
        let directory = self.directory(directory)?;
        self.draft.delete_below(&directory)
    }
}
