//! The cubbyhole: a place of its own for each token, which nobody else can name.
//!
//! All that a token keeps is below the directory that is called by [`super::Caller::id`]: whoever revokes the token removes
//! that directory, and whoever wraps an answer for a token writes it there at `response`, an object as any other.
//!
//! Never serves a batch token, which is not stored and so has no place.

use super::kv::objects::Objects;
use super::{Answer, Call, Engine, Fault, Storage};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;

/// What tokens keep for themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cubbyhole;

impl Engine for Cubbyhole {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        _randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let mut objects = Objects::new(directory(call)?, storage);
        match call.operation {
            Operation::Read => objects.read(call.path).map(Answer::data),
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
        Objects::new(directory(call)?, storage).exists(call.path)
    }
}

fn directory<'call>(call: &Call<'call>) -> Result<&'call str, Fault> {
    match call.caller {
        Some(caller) if caller.is_batch => Err(Fault::Invalid(
            "cubbyhole operations are only supported by \"service\" type tokens".to_owned(),
        )),
        Some(caller) if !caller.id.is_empty() => Ok(&caller.id),
        _ => Err(Fault::Denied),
    }
}

#[cfg(test)]
mod tests;
