//! Objects of JSON below a directory, one for each path: what version 1 of the engine for secrets and the cubbyhole are made
//! of. A path can be both a secret and a directory of others.
//!
//! Never knows whose they are.

use super::check_size;
use crate::service::secrets::engine::{Answer, Data, Fault, Storage, storage};
use crate::service::secrets::parameters::Body;

/// The objects below one directory.
pub struct Objects<'storage> {
    directory: &'storage str,
    storage: &'storage mut dyn Storage,
}

impl<'storage> Objects<'storage> {
    /// Those below `directory`.
    pub fn new(directory: &'storage str, storage: &'storage mut dyn Storage) -> Self {
        Self { directory, storage }
    }

    /// The object at a path.
    ///
    /// # Errors
    /// [`Fault::Missing`] where there is none.
    pub fn read(&mut self, path: &str) -> Result<Data, Fault> {
        if path.is_empty() {
            return Err(Fault::Missing);
        }
        let path = self.at(path);
        storage::read(self.storage, &path)?.ok_or(Fault::Missing)
    }

    /// Whether there is one; none where none can be.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn exists(&mut self, path: &str) -> Result<Option<bool>, Fault> {
        if path.is_empty() {
            return Ok(None);
        }
        let path = self.at(path);
        self.storage.has(&path).map(Some)
    }

    /// Puts all fields of a request at a path.
    ///
    /// # Errors
    /// There are none, or they are too large.
    pub fn write(&mut self, path: &str, body: &Body) -> Result<(), Fault> {
        check(path)?;
        if body.fields().is_empty() {
            return Err(Fault::Invalid("missing data fields".to_owned()));
        }
        let mut data = Data::new();
        for name in body.fields().keys() {
            data.set_text(name, body.text(name).unwrap_or("null"))?;
        }
        let record = storage::encode(&data)?;
        check_size(record.expose().len())?;
        let path = self.at(path);
        self.storage.put(&path, record, None)
    }

    /// Removes what is at a path, if there is anything.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn delete(&mut self, path: &str) -> Result<(), Fault> {
        check(path)?;
        let path = self.at(path);
        self.storage.delete(&path)
    }

    /// The names in a directory, whose path has a slash at its end or is empty.
    ///
    /// # Errors
    /// [`Fault::Missing`] where there are none.
    pub fn list(&mut self, path: &str) -> Result<Answer, Fault> {
        let names = match path.trim_end_matches('/') {
            "" => self.storage.list(self.directory)?,
            path => {
                let directory = self.at(path);
                self.storage.list(&directory)?
            }
        };
        Answer::list(names)
    }

    fn at(&self, path: &str) -> String {
        [self.directory, path].join("/")
    }
}

fn check(path: &str) -> Result<(), Fault> {
    if path.is_empty() {
        return Err(Fault::Invalid("missing path".to_owned()));
    }
    Ok(())
}
