//! The directory of one engine: what it stores, it stores below.
//!
//! Never leads out of it.

use std::time::Duration;

use super::Draft;
use crate::base::secret::Secret;
use crate::service::secrets::engine::{Fault, Storage};

/// See the module.
pub struct Room<'draft> {
    draft: &'draft mut Draft,
    directory: Vec<u8>,
}

impl<'draft> Room<'draft> {
    /// The directory of a path.
    ///
    /// # Errors
    /// The path is too long or too deep.
    pub fn new(draft: &'draft mut Draft, path: &str) -> Result<Self, Fault> {
        let directory = draft.name(path)?;
        Ok(Self { draft, directory })
    }

    fn name(&self, path: &str) -> Result<Vec<u8>, Fault> {
        self.draft.name_below(&self.directory, path)
    }

    fn directory(&self, directory: &str) -> Result<Vec<u8>, Fault> {
        match directory {
            "" => Ok(self.directory.clone()),
            directory => self.name(directory),
        }
    }
}

impl Storage for Room<'_> {
    fn get(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let name = self.name(path)?;
        self.draft.get(&name)
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
