//! Transit: encryption, signatures and HMAC with keys that never leave the store, for data that is kept elsewhere.
//!
//! | room | does |
//! |---|---|
//! | [`kind`], [`material`], [`public`], [`record`] | the types of keys, the secret of a version, public keys, keys with their versions as they are stored |
//! | [`cipher`], [`signature`], [`hash`] | what is done with one version of a key |
//! | [`versioned`], [`fields`], [`batch`] | the form of ciphertexts, what requests say, many requests in one |
//! | [`manage`], [`encrypt`], [`sign`], [`tools`] | the paths of keys, of encryption, of signatures and HMAC, of what needs no key |
//! | [`import`], [`export`], [`settings`] | the paths on which keys come and go, and the settings of the mount |
//!
//! A key has versions: rotation adds one, and what older ones made can be opened until they are forbidden or trimmed. A key
//! that is to be rotated by itself is rotated by the first request that uses it when that is due.
//!
//! Nonces of AES-GCM are random: a version that encrypts 2^32 times must be rotated before (NIST SP 800-38D, 8.3), and
//! nobody counts that here. Decryption and signing with RSA are blinded, but the library's arithmetic is not of constant
//! time (RUSTSEC-2023-0071).
//!
//! Never takes a nonce from a client, never lets out a secret that its key does not allow, and never stores a plaintext.

pub mod batch;
pub mod cipher;
pub mod encrypt;
pub mod export;
pub mod fields;
pub mod hash;
pub mod import;
pub mod kind;
pub mod manage;
pub mod material;
pub mod public;
pub mod record;
pub mod settings;
pub mod sign;
pub mod signature;
#[cfg(test)]
mod tests;
pub mod tools;
pub mod versioned;

use super::{Answer, Call, Engine, Fault, Storage};
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::Randomness;
use record::Opened;

/// The engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transit;

impl Engine for Transit {
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault> {
        let segments: Vec<&str> = call.path.split('/').collect();
        match call.operation {
            Operation::Create | Operation::Update => write(call, &segments, storage, randomness),
            Operation::Read => read(call, &segments, storage, randomness),
            Operation::List => match segments.as_slice() {
                ["keys", ""] => manage::list(storage),
                _ => Err(elsewhere(&segments)),
            },
            Operation::Delete => match segments.as_slice() {
                ["keys", name] => manage::delete(storage, name),
                _ => Err(elsewhere(&segments)),
            },
            _ => Err(elsewhere(&segments)),
        }
    }

    fn exists(&self, call: &Call<'_>, storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        match call.path.split_once('/') {
            Some(("encrypt", name)) if !name.contains('/') => {
                Ok(Some(Opened::load(storage, name)?.is_some()))
            }
            _ => Ok(None),
        }
    }
}

fn write(
    call: &Call<'_>,
    segments: &[&str],
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    match *segments {
        ["keys", name] => manage::create(call, storage, randomness, name),
        ["keys", name, "config"] => manage::configure(call, storage, name),
        ["keys", name, "rotate"] => manage::rotate(call, storage, randomness, name),
        ["keys", name, "trim"] => manage::trim(call, storage, name),
        ["keys", name, "import"] => import::import(call, storage, randomness, name),
        ["keys", name, "import_version"] => import::import_version(call, storage, randomness, name),
        ["encrypt", name] => encrypt::encrypt(call, storage, randomness, name),
        ["decrypt", name] => encrypt::decrypt(call, storage, randomness, name),
        ["rewrap", name] => encrypt::rewrap(call, storage, randomness, name),
        ["datakey", form, name] => encrypt::data_key(call, storage, randomness, form, name),
        ["sign", name] => sign::sign(call, storage, randomness, name, None),
        ["sign", name, algorithm] => sign::sign(call, storage, randomness, name, Some(algorithm)),
        ["verify", name] => sign::verify(call, storage, randomness, name, None),
        ["verify", name, algorithm] => sign::verify(call, storage, randomness, name, Some(algorithm)),
        ["hmac", name] => sign::hmac(call, storage, randomness, name, None),
        ["hmac", name, algorithm] => sign::hmac(call, storage, randomness, name, Some(algorithm)),
        ["hash"] => tools::hash(call.body, None),
        ["hash", algorithm] => tools::hash(call.body, Some(algorithm)),
        ["random", ref rest @ ..] if rest.len() <= 2 => tools::random(call.body, rest, randomness),
        ["restore"] => export::restore(call, storage, None),
        ["restore", name] => export::restore(call, storage, Some(name)),
        ["cache-config"] => settings::cache(call, storage),
        ["config", "keys"] => settings::keys(call, storage),
        _ => Err(elsewhere(segments)),
    }
}

fn read(
    call: &Call<'_>,
    segments: &[&str],
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Answer, Fault> {
    match *segments {
        ["keys", name] => manage::read(call, storage, name),
        ["export", part, name] => export::export(storage, part, name, None),
        ["export", part, name, version] => export::export(storage, part, name, Some(version)),
        ["backup", name] => export::backup(storage, name),
        ["wrapping_key"] => import::wrapping_key(storage, randomness),
        ["cache-config"] => settings::cache(call, storage),
        ["config", "keys"] => settings::keys(call, storage),
        _ => Err(elsewhere(segments)),
    }
}

/// What is done with a key, on a path below it.
const ACTIONS: [&str; 5] = ["config", "rotate", "trim", "import", "import_version"];

/// The paths that there are, by their first segment and how many follow it.
const PATHS: [(&str, usize); 26] = [
    ("keys", 0),
    ("keys", 1),
    ("keys", 2),
    ("encrypt", 1),
    ("decrypt", 1),
    ("rewrap", 1),
    ("datakey", 2),
    ("sign", 1),
    ("sign", 2),
    ("verify", 1),
    ("verify", 2),
    ("hmac", 1),
    ("hmac", 2),
    ("hash", 0),
    ("hash", 1),
    ("random", 0),
    ("random", 1),
    ("random", 2),
    ("export", 2),
    ("export", 3),
    ("backup", 1),
    ("restore", 0),
    ("restore", 1),
    ("wrapping_key", 0),
    ("cache-config", 0),
    ("config", 1),
];

/// Why there is nothing to do: the path is not offered, is for something else, or is none.
fn elsewhere(segments: &[&str]) -> Fault {
    match *segments {
        ["byok-export", ..] => {
            Fault::Unimplemented("an export of a key that is wrapped with another".to_owned())
        }
        ["keys", _, "csr" | "set-certificate"] => Fault::Unimplemented("a certificate of a key".to_owned()),
        ["keys", _, "soft-delete" | "soft-delete-restore"] => {
            Fault::Unimplemented("a deletion that can be taken back".to_owned())
        }
        ["cmac", ..] => Fault::Unimplemented("CMAC".to_owned()),
        ["keys", _, action] if !ACTIONS.contains(&action) => no_path(),
        ["config", about] if about != "keys" => no_path(),
        [first, ref rest @ ..] if PATHS.contains(&(first, rest.len())) => Fault::Unsupported,
        _ => no_path(),
    }
}

fn no_path() -> Fault {
    Fault::NoPath("unsupported path".to_owned())
}
