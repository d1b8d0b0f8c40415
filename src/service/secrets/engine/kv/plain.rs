//! Version 1 of the engine for secrets: one object for each path, and what is written replaces it.
//!
//! Nothing is leased. How long a client may take a secret for good is advice: what its field `ttl` or `lease` says, or else
//! what the mount says.
//!
//! Never removes a secret because its `ttl` is over.

use std::time::Duration;

use serde_json::Value;

use super::objects::Objects;
use crate::service::secrets::engine::{Answer, Call, Data, Engine, Fault, Mount, Storage};
use crate::service::secrets::parameters;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

const DIRECTORY: &str = "plain";

/// Secrets without versions.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyValue;

impl Engine for KeyValue {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        _randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let mut objects = Objects::new(DIRECTORY, storage);
        match call.operation {
            Operation::Read => {
                let data = objects.read(call.path)?;
                Ok(Answer {
                    advice: Some(advice(&data, call.mount)),
                    ..Answer::data(data)
                })
            }
            Operation::Create | Operation::Update => {
                objects.write(call.path, call.body)?;
                Ok(Answer::default())
            }
            Operation::Delete => {
                objects.delete(call.path)?;
                Ok(Answer::default())
            }
            Operation::List => objects.list(call.path),
            Operation::Patch | Operation::Renew | Operation::Revoke | Operation::Help => {
                Err(Fault::Unsupported)
            }
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        Objects::new(DIRECTORY, storage).exists(call.path)
    }
}

fn advice(data: &Data, mount: &Mount) -> Duration {
    let said = data.get("ttl").or_else(|| data.get("lease"));
    let said: Option<Value> = said.and_then(|text| serde_json::from_str(text).ok());
    said.and_then(|value| parameters::span(&value).ok())
        .unwrap_or_else(|| mount.tuning.default_lease())
}
