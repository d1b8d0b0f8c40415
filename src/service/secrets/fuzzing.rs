//! For fuzzing: what a request to the secret store says, its path and its body; and records of the store before
//! and after they are decrypted, shares, and files of audit.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::audit::verify;
use super::auditing::Devices;
use super::barrier::cipher::{self, Place};
use super::barrier::keyring::{Keyring, ROOT_TERM};
use super::barrier::names::{Names, ROOT_DIRECTORY};
use super::custody::{Numbers, SHARES_ID};
use super::engine::storage::{decode, encode};
use super::leases::Lease;
use super::memory::Key;
use super::mounts::Mounts;
use super::parameters::{self, Body};
use super::path;
use super::randomness::SystemRandomness;
use super::seal::attempt::{Outcome, Unsealing};
use super::seal::shamir::{SHARE_BYTES, split};
use super::seal::{LocalSeal, SealKey, Share, WrappedKeys};
use super::token::Entry;
use super::token::roles::Role;
use crate::base::fuzzing::{choice, seed};

/// A path, and behind the first line end a body.
pub fn secret_requests(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (encoded, rest) = bytes.split_at(end);
    let encoded = String::from_utf8_lossy(encoded);
    for is_list in [false, true] {
        if let Ok(path) = path::normalise(&encoded, is_list) {
            assert_eq!(path::normalise(&path.replace('%', "%25"), is_list), Ok(path));
        }
    }
    let Ok(body) = Body::parse(rest) else { return };
    for (name, value) in body.fields() {
        let text = body.text(name).expect("a field has a text");
        assert_eq!(serde_json::from_str(text).ok().as_ref(), Some(value));
        let _ = parameters::span(value);
        let _ = parameters::list(value);
        let _ = parameters::switch(value);
        let _ = parameters::integer(value);
    }
}

/// Requests to write and to list.
#[must_use]
pub fn secret_request_seeds() -> Vec<Vec<u8>> {
    vec![
        b"secret/data/a%2Fb//c/\n{\"data\": {\"n\": 1.0}, \"options\": {\"cas\": 0}}".to_vec(),
        b"sys/wrapping/wrap\n{\"ttl\": \"1h30m\", \"policies\": \"a,b\", \"renewable\": \"true\", \"uses\": 7}".to_vec(),
    ]
}

const PLACE: Place<'_> = Place {
    storage_key: b"\0keyring",
    version: 1,
};

fn key(byte: u8) -> Key {
    Key::copied_from(&[byte; 32])
}

/// What a first byte says, read of the rest.
pub fn secret_records(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => keyring(rest),
        1 => {
            // Nothing opens that was not sealed.
            let keyring = Keyring::new(1, &mut SystemRandomness).expect("there is randomness");
            assert!(keyring.decrypt(PLACE, rest).is_err());
            // The seeds are sealed with the first key.
            assert!(Keyring::open(&key(2), PLACE, rest).is_err());
            let names = Names::new(keyring.name_key());
            assert!(names.decode(rest).is_err());
            assert!(names.child(ROOT_DIRECTORY, rest).is_err());
        }
        2 => {
            if let Ok(keys) = WrappedKeys::decode(&Bytes::copy_from_slice(rest)) {
                let encoded = keys.encode().expect("what was read can be written");
                assert_eq!(WrappedKeys::decode(&encoded).ok(), Some(keys));
            }
        }
        3 => shares(rest),
        4 => {
            let variable = String::from_utf8_lossy(rest).into_owned();
            let _ = LocalSeal::environment("a", "A", |_| Some(variable.into()));
        }
        5 => {
            survives::<Mounts>(rest);
            survives::<Devices>(rest);
            survives::<Entry>(rest);
            survives::<Lease>(rest);
            survives::<Role>(rest);
            survives::<Numbers>(rest);
        }
        _ => {
            for key in [None, Some(key(1))] {
                let report = verify(rest, key.as_ref()).expect("what is in memory can be read");
                assert!(key.is_none() || report.records == 0 || !report.is_intact());
            }
        }
    }
}

/// What a keyring says that was sealed.
fn keyring(plain: &[u8]) {
    let root = key(1);
    let sealed = cipher::encrypt(&root, ROOT_TERM, PLACE, plain, &mut SystemRandomness);
    let Ok(sealed) = sealed else { return };
    let Ok(keyring) = Keyring::open(&root, PLACE, &sealed) else {
        return;
    };
    let status = keyring.status().expect("what was read has a term");
    let again = keyring.seal(&root, PLACE, &mut SystemRandomness);
    let again = Keyring::open(&root, PLACE, &again.expect("there is randomness"));
    let again = again.expect("what was written can be read");
    assert_eq!(again.status().ok(), Some(status));
}

/// A threshold, and shares that nobody made.
fn shares(bytes: &[u8]) {
    let (threshold, rest) = choice(bytes);
    let Ok(mut unsealing) = Unsealing::new(SHARES_ID, threshold) else {
        return;
    };
    let seal = LocalSeal::shares(SHARES_ID, key(1));
    let wrapped = WrappedKeys::wrap(&key(2), &[&seal as &dyn SealKey], &mut SystemRandomness);
    let wrapped = wrapped.expect("there is randomness");
    for share in rest.chunks(SHARE_BYTES) {
        let Ok(share) = Share::new(share) else { continue };
        let offered = unsealing.offer(share, None, &wrapped, &mut SystemRandomness);
        if let Ok(Outcome::Opened(root)) = offered {
            assert_eq!(root, key(2));
        }
    }
}

fn survives<Record: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(record) = decode::<Record>(bytes) {
        let encoded = encode(&record).expect("what was read can be written");
        decode::<Record>(encoded.expose()).expect("what was written can be read");
    }
}

/// One of each.
#[must_use]
pub fn secret_record_seeds() -> Vec<Vec<u8>> {
    let randomness = &mut SystemRandomness;
    let seal = LocalSeal::shares(SHARES_ID, key(1));
    let wrapped =
        WrappedKeys::wrap(&key(2), &[&seal as &dyn SealKey], randomness).expect("there is randomness");
    let made = split(&key(1), 3, 2, randomness).expect("there is randomness");
    let made: Vec<u8> = made.iter().flat_map(|share| share.expose().to_vec()).collect();
    let keyring = Keyring::new(1, randomness).expect("there is randomness");
    let sealed = keyring
        .seal(&key(1), PLACE, randomness)
        .expect("there is randomness");
    let plain = cipher::decrypt(&key(1), PLACE, &sealed).expect("it was sealed");
    let mounts = encode(&Mounts::new(randomness).expect("there is randomness")).expect("it is JSON");
    let record =
        "{\"chain\":{\"id\":\"n/a/1\",\"sequence\":1,\"hash\":\"00\"},\"time\":\"t\",\"type\":\"request\"}\n";
    vec![
        seed(0, plain.expose()),
        seed(1, sealed),
        seed(2, wrapped.encode().expect("it can be written")),
        seed(3, [&[2][..], &made].concat()),
        seed(
            4,
            "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        ),
        seed(5, mounts.expose()),
        seed(
            5,
            "{\"file\": {\"kind\": \"file\", \"description\": \"\", \"options\": {}}}",
        ),
        seed(6, record),
    ]
}
