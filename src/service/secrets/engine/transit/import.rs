//! Keys that were made elsewhere, wrapped for this mount: an AES key encrypted with the public wrapping key by RSA-OAEP, and
//! behind it the key itself wrapped with that by AES-KWP (RFC 5649).
//!
//! Never says which step of opening it failed: the answers of one that does can be used to decrypt.

use aes_kw::{KekAes128, KekAes192, KekAes256};
use rsa::RsaPrivateKey;
use rsa::traits::PublicKeyParts;
use zeroize::Zeroizing;

use super::fields::Fields;
use super::hash::Hash;
use super::kind::KeyType;
use super::manage;
use super::material::{KeyBytes, Material};
use super::public::PublicKey;
use super::record::{Key, Opened, VersionRecord};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};
use crate::service::secrets::randomness::{Generator, Randomness};

const WRAPPING_KEY: &str = "wrapping_key";

/// The type of the wrapping key.
const WRAPPING_TYPE: KeyType = KeyType::Rsa4096;

/// The public wrapping key, which is made when it is first asked for.
///
/// # Errors
/// There is no randomness to be had.
pub fn wrapping_key(storage: &mut dyn Storage, randomness: &mut dyn Randomness) -> Result<Answer, Fault> {
    let material = if let Some(material) = stored(storage)? {
        material
    } else {
        let made = Material::generate(WRAPPING_TYPE, 0, randomness)?;
        storage::write(storage, WRAPPING_KEY, &made.stored()?, None)?;
        made
    };
    Ok(Answer::data(Data::new().with("public_key", &material.public()?)?))
}

fn stored(storage: &mut dyn Storage) -> Result<Option<Material>, Fault> {
    let Some(bytes) = storage::read::<KeyBytes>(storage, WRAPPING_KEY)? else {
        return Ok(None);
    };
    let material = Material::from_stored(WRAPPING_TYPE, &bytes, "");
    let broken = || Fault::Internal("the stored wrapping key is broken".to_owned());
    material.ok_or_else(broken).map(Some)
}

/// Makes a key of one that was made elsewhere.
///
/// # Errors
/// There is one of that name, or what is given is no key of that type that was wrapped for this mount.
pub fn import(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let fields = Fields(call.body.fields());
    if Opened::load(storage, name)?.is_some() {
        return Err(Fault::Invalid(
            "the import path cannot be used with an existing key; use import-version to rotate an existing imported key"
                .to_owned(),
        ));
    }
    let mut key = manage::wanted(fields)?;
    key.imported = true;
    key.rotates_imported = fields.switch("allow_rotation")?.unwrap_or(false);
    if key.rotation_seconds > 0 && !key.rotates_imported {
        return Err(Fault::Invalid(
            "allow_rotation must be set to true if auto-rotation is enabled".to_owned(),
        ));
    }
    let material = given(fields, &key, storage, randomness)?;
    if key.kind == KeyType::Hmac {
        key.hmac_bytes = material.stored()?.0.len();
    }
    Opened::new(name, key).push(material, call.now, storage, randomness)?;
    Ok(Answer::default())
}

/// Adds a version that was made elsewhere to a key that was imported.
///
/// # Errors
/// There is no such key, or what is given is no key of its type that was wrapped for this mount.
pub fn import_version(
    call: &Call<'_>,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
    name: &str,
) -> Result<Answer, Fault> {
    let fields = Fields(call.body.fields());
    let missing = format!("no key found with name {name}; to import a new key, use the import/ endpoint");
    let mut opened = Opened::required(storage, name, &missing)?;
    if !opened.key.imported {
        return Err(Fault::Invalid(
            "the import_version endpoint can only be used with an imported key".to_owned(),
        ));
    }
    let material = given(fields, &opened.key, storage, randomness)?;
    if let Some(wanted) = fields.integer("version")? {
        return complete(&opened, storage, wanted, &material);
    }
    opened.push(material, call.now, storage, randomness)?;
    Ok(Answer::default())
}

/// Adds the secret to a version of which the public key alone was imported.
fn complete(
    opened: &Opened,
    storage: &mut dyn Storage,
    wanted: i64,
    material: &Material,
) -> Result<Answer, Fault> {
    let invalid = |text: &str| Err(Fault::Invalid(text.to_owned()));
    let kept = opened.key.oldest()..=opened.key.latest;
    let Some(number) = u32::try_from(wanted).ok().filter(|number| kept.contains(number)) else {
        return invalid("there is no such version; leave version out to add one");
    };
    let record = opened.record(storage, number)?;
    if !record.secret.0.is_empty() {
        return invalid("private key imported, key version cannot be updated");
    }
    if matches!(material, Material::Public(_)) {
        return invalid(
            "the public key of the version is there; give its private key, wrapped, as ciphertext",
        );
    }
    if material.public()? != record.public {
        return invalid("the private key is not that of the public key of the version");
    }
    let record = VersionRecord::new(&opened.key, material, record.made, record.hmac)?;
    opened.write_version(storage, number, &record)?;
    Ok(Answer::default())
}

/// What is imported: a wrapped key, or a public key alone.
fn given(
    fields: Fields<'_>,
    key: &Key,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Material, Fault> {
    let Some(pem) = fields.word("public_key")? else {
        return unwrapped(fields, key.kind, storage, randomness);
    };
    let invalid = |text: String| Err(Fault::Invalid(text));
    if fields.word("ciphertext")?.is_some() {
        return invalid("only one of the following fields, ciphertext and public_key, can be set".to_owned());
    }
    let name = key.kind.name();
    if !key.kind.signs() {
        return invalid(format!(
            "a key of type {name} has no public key; give it wrapped, as ciphertext"
        ));
    }
    if key.derived {
        return invalid(
            "nothing can be derived of a public key; give the key wrapped, as ciphertext".to_owned(),
        );
    }
    match PublicKey::from_pem(key.kind, pem) {
        Some(public) => Ok(Material::Public(public)),
        None => invalid(format!("public_key is no key of type {name}; give it as PEM")),
    }
}

fn unwrapped(
    fields: Fields<'_>,
    kind: KeyType,
    storage: &mut dyn Storage,
    randomness: &mut dyn Randomness,
) -> Result<Material, Fault> {
    let hash = hash_function(fields)?;
    let wrapped = fields.bytes("ciphertext")?.filter(|wrapped| !wrapped.is_empty());
    let wrapped = wrapped.ok_or_else(|| {
        Fault::Invalid("missing ciphertext; give the key wrapped for this mount, in base64".to_owned())
    })?;
    let Some(Material::Rsa(wrapping)) = stored(storage)? else {
        return Err(Fault::Invalid(
            "there is no wrapping key yet; read wrapping_key, and wrap the key with it".to_owned(),
        ));
    };
    let mut generator = Generator::new(randomness);
    let bytes = open(&wrapping, hash, &wrapped, &mut generator);
    generator.finish()?;
    let bytes = bytes.ok_or_else(|| {
        Fault::Invalid(
            "the ciphertext cannot be opened; wrap the key with the wrapping key of this mount, with the hash function \
             that hash_function names"
                .to_owned(),
        )
    })?;
    Material::from_import(kind, &KeyBytes(bytes)).ok_or_else(|| {
        Fault::Invalid(format!(
            "what was wrapped is no key of type {}; an asymmetric key has to be in PKCS #8, as DER",
            kind.name()
        ))
    })
}

fn open(
    wrapping: &RsaPrivateKey,
    hash: Hash,
    wrapped: &[u8],
    generator: &mut Generator<'_>,
) -> Option<Zeroizing<Vec<u8>>> {
    let (first, second) = wrapped.split_at_checked(wrapping.size())?;
    let ephemeral = Zeroizing::new(wrapping.decrypt_blinded(generator, hash.oaep(), first).ok()?);
    unwrap_key(&ephemeral, second)
}

/// What was wrapped with a key of AES, by AES-KWP; none: it was not.
#[must_use]
pub fn unwrap_key(key: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let unwrapped = match key.len() {
        16 => KekAes128::try_from(key).ok()?.unwrap_with_padding_vec(wrapped),
        24 => KekAes192::try_from(key).ok()?.unwrap_with_padding_vec(wrapped),
        _ => KekAes256::try_from(key).ok()?.unwrap_with_padding_vec(wrapped),
    };
    unwrapped.ok().map(Zeroizing::new)
}

fn hash_function(fields: Fields<'_>) -> Result<Hash, Fault> {
    let Some(name) = fields.word("hash_function")? else {
        return Ok(Hash::Sha256);
    };
    Ok(match name.to_ascii_uppercase().as_str() {
        "SHA1" => Hash::Sha1,
        "SHA224" => Hash::Sha224,
        "SHA256" => Hash::Sha256,
        "SHA384" => Hash::Sha384,
        "SHA512" => Hash::Sha512,
        _ => {
            return Err(Fault::Invalid(format!(
                "unsupported hash function {name:?}; write SHA1, SHA224, SHA256, SHA384 or SHA512"
            )));
        }
    })
}
