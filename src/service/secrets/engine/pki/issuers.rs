//! Issuers and keys as they are stored: several of each, one of them the default.
//!
//! Never signs anything.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::spki::SubjectPublicKeyInfoOwned;
use zeroize::Zeroizing;

use super::certificate::{self, der};
use super::extensions::Places;
use super::keys::PrivateKey;
use super::{extensions, pem};
use crate::base::limits::{MAXIMUM_PKI_ISSUERS, MAXIMUM_PKI_KEYS, MAXIMUM_SECRET_SEGMENT_BYTES};
use crate::base::secret::Secret;
use crate::service::secrets::engine::{Fault, Storage, storage};
use crate::service::secrets::randomness::Randomness;

/// What an issuer may be used for, as the interface calls it: to be read, to sign certificates, to sign revocation lists.
pub const USAGES: [&str; 3] = ["read-only", "issuing-certificates", "crl-signing"];

/// What is done with leaves that would outlast their issuer, as the interface calls it: they are refused, or cut.
pub const BEHAVIORS: [&str; 2] = ["err", "truncate"];

/// An issuer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Issuer {
    /// Its id.
    pub id: String,
    /// What people call it; empty: nothing.
    pub name: String,
    /// The id of its key; empty: it is not here.
    pub key_id: String,
    /// Its certificate, as PEM.
    pub certificate: String,
    /// The ids of the issuers up to the root, itself first; empty: found by signatures.
    pub manual_chain: Vec<String>,
    /// One of [`BEHAVIORS`].
    pub leaf_not_after_behavior: String,
    /// Some of [`USAGES`].
    pub usage: Vec<String>,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: Option<u64>,
    /// Where its certificate is; where all three are empty, the mount says it.
    pub issuing_certificates: Vec<String>,
    /// Where its revocation list is.
    pub crl_distribution_points: Vec<String>,
    /// Who answers for it.
    pub ocsp_servers: Vec<String>,
}

impl Issuer {
    /// Its certificate.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn certificate(&self) -> Result<Certificate, Fault> {
        let blocks = pem::decode(&self.certificate, "a stored certificate")?;
        let (_, bytes) = blocks.first().ok_or(Fault::Missing)?;
        certificate::parse(bytes)
    }

    /// Whether it may be used for one of [`USAGES`].
    #[must_use]
    pub fn may(&self, usage: &str) -> bool {
        self.usage.iter().any(|other| other == usage)
    }

    /// Where to ask about it, if it says so itself.
    #[must_use]
    pub fn places(&self) -> Option<Places> {
        let places = Places {
            issuers: self.issuing_certificates.clone(),
            lists: self.crl_distribution_points.clone(),
            responders: self.ocsp_servers.clone(),
        };
        let is_said = !places.issuers.is_empty() || !places.lists.is_empty() || !places.responders.is_empty();
        is_said.then_some(places)
    }
}

/// A stored key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredKey {
    /// Its id.
    pub id: String,
    /// What people call it; empty: nothing.
    pub name: String,
    /// The key in PKCS #8, in base 64.
    private: Secret<String>,
    /// Its public key, in base 64.
    public: String,
}

impl StoredKey {
    /// The key.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(&self) -> Result<PrivateKey, Fault> {
        let broken = || Fault::Internal("a stored key cannot be read".to_owned());
        let bytes = STANDARD.decode(self.private.expose()).map(Zeroizing::new);
        PrivateKey::from_pkcs8(&bytes.map_err(|_| broken())?).ok_or_else(broken)
    }

    /// Its public key.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn public(&self) -> Result<SubjectPublicKeyInfoOwned, Fault> {
        let broken = || Fault::Internal("a stored key cannot be read".to_owned());
        let bytes = STANDARD.decode(&self.public).map_err(|_| broken())?;
        SubjectPublicKeyInfoOwned::from_der(&bytes).map_err(|_| broken())
    }
}

/// Which issuer and which key are meant where nobody says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// The id of the issuer; empty: there is none.
    pub issuer: String,
    /// The id of the key; empty: there is none.
    pub key: String,
    /// Whether each new issuer becomes the default.
    pub follows_latest: bool,
}

const DEFAULTS: &str = "config/issuers";

impl Defaults {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(storage::read(storage, DEFAULTS)?.unwrap_or_default())
    }

    /// Writes them.
    ///
    /// # Errors
    /// Those of [`Storage::put`].
    pub fn write(&self, storage: &mut dyn Storage) -> Result<(), Fault> {
        storage::write(storage, DEFAULTS, self, None)
    }
}

fn all<Record: DeserializeOwned>(storage: &mut dyn Storage, directory: &str) -> Result<Vec<Record>, Fault> {
    let mut records = Vec::new();
    for id in storage.list(directory)? {
        records.extend(storage::read(storage, &format!("{directory}/{id}"))?);
    }
    Ok(records)
}

/// All issuers.
///
/// # Errors
/// One cannot be read.
pub fn issuers(storage: &mut dyn Storage) -> Result<Vec<Issuer>, Fault> {
    all(storage, "issuer")
}

/// All keys.
///
/// # Errors
/// One cannot be read.
pub fn keys(storage: &mut dyn Storage) -> Result<Vec<StoredKey>, Fault> {
    all(storage, "key")
}

/// The issuer that is meant: `default`, an id or a name.
///
/// # Errors
/// It cannot be read.
pub fn find(storage: &mut dyn Storage, reference: &str) -> Result<Option<Issuer>, Fault> {
    let default = Defaults::read(storage)?.issuer;
    let wanted = if reference == "default" {
        default.as_str()
    } else {
        reference
    };
    Ok(issuers(storage)?
        .into_iter()
        .find(|issuer| !wanted.is_empty() && (issuer.id == wanted || issuer.name == wanted)))
}

/// The issuer that is meant, for what cannot do without.
///
/// # Errors
/// There is none.
pub fn need(storage: &mut dyn Storage, reference: &str) -> Result<Issuer, Fault> {
    find(storage, reference)?.ok_or_else(|| {
        Fault::Invalid(match reference {
            "default" => {
                "could not fetch the CA certificate (was one set?): no default issuer currently configured"
                    .to_owned()
            }
            reference => format!("unable to find PKI issuer for reference: {reference}"),
        })
    })
}

/// The key that is meant: `default`, an id or a name.
///
/// # Errors
/// It cannot be read.
pub fn find_key(storage: &mut dyn Storage, reference: &str) -> Result<Option<StoredKey>, Fault> {
    let default = Defaults::read(storage)?.key;
    let wanted = if reference == "default" {
        default.as_str()
    } else {
        reference
    };
    Ok(keys(storage)?
        .into_iter()
        .find(|key| !wanted.is_empty() && (key.id == wanted || key.name == wanted)))
}

/// The key of an issuer; none if it is not here.
///
/// # Errors
/// It cannot be read.
pub fn key_of(storage: &mut dyn Storage, issuer: &Issuer) -> Result<Option<PrivateKey>, Fault> {
    if issuer.key_id.is_empty() {
        return Ok(None);
    }
    let stored: Option<StoredKey> = storage::read(storage, &format!("key/{}", issuer.key_id))?;
    stored.map(|key| key.open()).transpose()
}

/// Writes an issuer.
///
/// # Errors
/// Those of [`Storage::put`].
pub fn save(storage: &mut dyn Storage, issuer: &Issuer) -> Result<(), Fault> {
    storage::write(storage, &format!("issuer/{}", issuer.id), issuer, None)
}

/// Writes a key.
///
/// # Errors
/// Those of [`Storage::put`].
pub fn save_key(storage: &mut dyn Storage, key: &StoredKey) -> Result<(), Fault> {
    storage::write(storage, &format!("key/{}", key.id), key, None)
}

/// Adds a key, unless it is there already: the key as it is stored, and whether it is new.
///
/// # Errors
/// There are too many, or its name is taken.
pub fn add_key(
    storage: &mut dyn Storage,
    key: &PrivateKey,
    name: &str,
    randomness: &mut dyn Randomness,
) -> Result<(StoredKey, bool), Fault> {
    let public = STANDARD.encode(der(&key.public()?)?);
    let known = keys(storage)?;
    if let Some(same) = known.iter().find(|other| other.public == public) {
        return Ok((same.clone(), false));
    }
    if known.len() >= MAXIMUM_PKI_KEYS {
        return Err(Fault::Invalid(format!(
            "the mount has {MAXIMUM_PKI_KEYS} keys, which is the most; delete some"
        )));
    }
    check_name(name, known.iter().map(|key| key.name.as_str()), "key")?;
    let stored = StoredKey {
        id: id(randomness)?,
        name: name.to_owned(),
        private: Secret::new(STANDARD.encode(key.pkcs8()?.as_slice())),
        public,
    };
    save_key(storage, &stored)?;
    let mut defaults = Defaults::read(storage)?;
    if defaults.key.is_empty() {
        defaults.key.clone_from(&stored.id);
        defaults.write(storage)?;
    }
    for mut issuer in issuers(storage)?
        .into_iter()
        .filter(|issuer| issuer.key_id.is_empty())
    {
        if issuer.certificate()?.tbs_certificate.subject_public_key_info == key.public()? {
            issuer.key_id.clone_from(&stored.id);
            save(storage, &issuer)?;
        }
    }
    Ok((stored, true))
}

/// Adds an issuer, unless it is there already: the issuer as it is stored, and whether it is new.
///
/// # Errors
/// The certificate is not that of an authority, there are too many, or its name is taken.
pub fn add(
    storage: &mut dyn Storage,
    certificate: &Certificate,
    name: &str,
    randomness: &mut dyn Randomness,
) -> Result<(Issuer, bool), Fault> {
    if extensions::authority(&certificate.tbs_certificate).is_none() {
        return Err(Fault::Invalid(format!(
            "refusing to import non-CA certificate with serial number {}",
            certificate::serial_text(certificate)
        )));
    }
    let text = pem::encode("CERTIFICATE", &der(certificate)?)?;
    let known = issuers(storage)?;
    if let Some(same) = known.iter().find(|other| other.certificate == text) {
        return Ok((same.clone(), false));
    }
    if known.len() >= MAXIMUM_PKI_ISSUERS {
        return Err(Fault::Invalid(format!(
            "the mount has {MAXIMUM_PKI_ISSUERS} issuers, which is the most; delete some"
        )));
    }
    check_name(name, known.iter().map(|issuer| issuer.name.as_str()), "issuer")?;
    let mut key_id = String::new();
    for key in keys(storage)? {
        if key.public()? == certificate.tbs_certificate.subject_public_key_info {
            key_id = key.id;
        }
    }
    let issuer = Issuer {
        id: id(randomness)?,
        name: name.to_owned(),
        key_id,
        certificate: text,
        leaf_not_after_behavior: "err".to_owned(),
        usage: USAGES.iter().map(|usage| (*usage).to_owned()).collect(),
        ..Issuer::default()
    };
    save(storage, &issuer)?;
    let mut defaults = Defaults::read(storage)?;
    if !issuer.key_id.is_empty() && (defaults.issuer.is_empty() || defaults.follows_latest) {
        defaults.issuer.clone_from(&issuer.id);
        defaults.write(storage)?;
    }
    Ok((issuer, true))
}

/// Checks a name for an issuer or a key against those that there are.
///
/// # Errors
/// It is taken, or is none.
pub fn check_name<'name>(
    name: &str,
    mut taken: impl Iterator<Item = &'name str>,
    what: &str,
) -> Result<(), Fault> {
    if name.is_empty() {
        return Ok(());
    }
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name == "default" || name.len() > MAXIMUM_SECRET_SEGMENT_BYTES || !name.bytes().all(is_known) {
        return Err(Fault::Invalid(format!(
            "{name:?} is no name for an {what}: it can have letters, digits, '-', '_' and '.', and is not 'default'"
        )));
    }
    match taken.any(|other| other == name) {
        true => Err(Fault::Invalid(format!("{what} name already in use: {name}"))),
        false => Ok(()),
    }
}

fn id(randomness: &mut dyn Randomness) -> Result<String, Fault> {
    let mut bytes = [0; 16];
    randomness.fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// The certificates from an issuer up to its root, as far as they are here, as PEM; its own first.
///
/// # Errors
/// One cannot be read.
pub fn chain(storage: &mut dyn Storage, issuer: &Issuer) -> Result<Vec<String>, Fault> {
    let known = issuers(storage)?;
    if !issuer.manual_chain.is_empty() {
        let of = |id: &String| {
            known
                .iter()
                .find(|other| other.id == *id)
                .map(|other| other.certificate.clone())
        };
        return Ok(issuer.manual_chain.iter().filter_map(of).collect());
    }
    let mut parsed = Vec::new();
    for other in &known {
        parsed.push((other, other.certificate()?));
    }
    let mut chain = vec![issuer.certificate.clone()];
    let mut seen = BTreeSet::from([issuer.id.as_str()]);
    let mut current = issuer.certificate()?;
    while current.tbs_certificate.issuer != current.tbs_certificate.subject {
        let parent = parsed.iter().find(|(other, certificate)| {
            !seen.contains(other.id.as_str()) && certificate::is_signed_by(&current, certificate)
        });
        let Some((other, certificate)) = parent else {
            break;
        };
        seen.insert(other.id.as_str());
        chain.push(other.certificate.clone());
        current = certificate.clone();
    }
    Ok(chain)
}
