//! Revocation: what is taken back, and the lists that say so.
//!
//! ```text
//! revoked/<serial>                    that a certificate is revoked
//! revocations/<authority>             how often the list of an authority has changed, and how long it is
//! revocations/<authority>/<portion>   some of what the list says
//! crl/<issuer>                        the list, as an issuer has signed it
//! ```
//!
//! An authority is all issuers with one name and one key: what one of them has revoked is as much revoked by the others. A
//! revocation changes one portion and signs nothing: a list is signed anew when it is next fetched.
//!
//! Never forgets what was revoked before it has expired.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::Version;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::der::asn1::Uint;
use x509_cert::ext::pkix::CrlNumber;
use x509_cert::serial_number::SerialNumber;

use super::certificate::{self, der};
use super::issuers::{self, Issuer};
use super::settings::CrlSettings;
use super::validity;
use super::{Work, extensions, fields, pem};
use crate::base::limits::MAXIMUM_PKI_REVOCATIONS;
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};

/// That a certificate is revoked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revoked {
    /// When it was, in seconds since 1970.
    pub at: u64,
    /// Until when it is valid.
    pub end: u64,
    /// The id of its issuer, the first of them if there are several; empty: it is not here.
    pub issuer: String,
}

/// How many portions the entries of an authority are spread over: so many that the longest list has a few hundred in each.
const PORTIONS: u8 = 64;

/// What is known of the list of an authority besides its entries.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    /// How often it has changed.
    changes: u64,
    /// How many entries each portion has, expired ones among them.
    counts: BTreeMap<String, usize>,
}

/// Some of what the list of an authority says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Portion {
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// As storage has it.
    serial: String,
    /// When it was revoked, in seconds since 1970.
    at: u64,
    /// Until when the certificate is valid.
    end: u64,
}

/// A signed list.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct List {
    number: u64,
    /// After how many changes of what it says it was signed.
    changes: u64,
    /// When it was signed, in seconds since 1970.
    start: u64,
    /// Until when it is good.
    end: u64,
    /// Its bytes, in base 64.
    bytes: String,
}

/// Where the entries are of the authority that an issuer is of.
fn authority_path(issuer: &Certificate) -> Result<String, Fault> {
    let said = &issuer.tbs_certificate;
    let mut hash = Sha256::new();
    hash.update(der(&said.subject)?);
    hash.update(der(&said.subject_public_key_info)?);
    Ok(format!("revocations/{:x}", hash.finalize()))
}

/// The portion that the entry of a certificate is in.
fn portion_of(serial: &str) -> String {
    let first = Sha256::digest(serial).first().copied().unwrap_or_default();
    format!("{:02x}", first % PORTIONS)
}

fn portion_path(authority: &str, portion: &str) -> String {
    format!("{authority}/{portion}")
}

fn list_path(issuer: &str) -> String {
    format!("crl/{issuer}")
}

/// Whether a certificate is revoked, by its serial number as storage has it.
///
/// # Errors
/// It cannot be read.
pub fn find(storage: &mut dyn Storage, serial: &str) -> Result<Option<Revoked>, Fault> {
    storage::read(storage, &format!("revoked/{serial}"))
}

/// Marks a certificate as revoked, and enters it for those who issued it as far as they are here. The lists are not signed
/// anew.
///
/// # Errors
/// A list is full.
fn mark(storage: &mut dyn Storage, certificate: &Certificate, now: Duration) -> Result<Revoked, Fault> {
    let serial = certificate::stored_serial(&certificate::serial_text(certificate))?;
    let (mut signer, mut authorities) = (None, BTreeSet::new());
    for other in issuers::issuers(storage)? {
        let own = other.certificate()?;
        if own != *certificate && certificate::is_signed_by(certificate, &own) {
            authorities.insert(authority_path(&own)?);
            signer.get_or_insert(other.id);
        }
    }
    let revoked = match find(storage, &serial)? {
        Some(revoked) => revoked,
        None => {
            let revoked = Revoked {
                at: now.as_secs(),
                end: certificate::end(certificate).as_secs(),
                issuer: signer.unwrap_or_default(),
            };
            storage::write(storage, &format!("revoked/{serial}"), &revoked, None)?;
            revoked
        }
    };
    for authority in &authorities {
        let entry = Entry {
            serial: serial.clone(),
            at: revoked.at,
            end: revoked.end,
        };
        enter(storage, authority, entry, now)?;
    }
    Ok(revoked)
}

/// Puts an entry on the list of an authority unless the list says it already. What has expired leaves the portion, and all
/// others too where the list is full.
///
/// # Errors
/// The list is full.
fn enter(storage: &mut dyn Storage, authority: &str, entry: Entry, now: Duration) -> Result<(), Fault> {
    let mut head: Head = storage::read(storage, authority)?.unwrap_or_default();
    let name = portion_of(&entry.serial);
    let path = portion_path(authority, &name);
    let mut portion: Portion = storage::read(storage, &path)?.unwrap_or_default();
    let is_there = portion.entries.iter().any(|other| other.serial == entry.serial);
    if is_there || entry.end <= now.as_secs() {
        return Ok(());
    }
    portion.entries.retain(|other| other.end > now.as_secs());
    head.counts.insert(name.clone(), portion.entries.len());
    if head.counts.values().sum::<usize>() >= MAXIMUM_PKI_REVOCATIONS {
        sweep(storage, authority, &mut head, now)?;
    }
    if head.counts.values().sum::<usize>() >= MAXIMUM_PKI_REVOCATIONS {
        return Err(Fault::Invalid(format!(
            "the revocation list of the issuer of {} has {MAXIMUM_PKI_REVOCATIONS} certificates that have not expired, \
             which is the most; issue from another",
            entry.serial.replace('-', ":")
        )));
    }
    portion.entries.push(entry);
    head.counts.insert(name, portion.entries.len());
    head.changes += 1;
    storage::write(storage, &path, &portion, None)?;
    storage::write(storage, authority, &head, None)
}

/// Takes what has expired from the portions of an authority, from as many as one transaction takes, but from one at least.
fn sweep(storage: &mut dyn Storage, authority: &str, head: &mut Head, now: Duration) -> Result<(), Fault> {
    for (name, count) in &mut head.counts {
        let path = portion_path(authority, name);
        let is_good = |entry: &Entry| entry.end > now.as_secs();
        let seen: Option<Portion> = storage::peek(storage, &path)?;
        if seen.is_none_or(|seen| seen.entries.iter().all(is_good)) {
            continue;
        }
        let mut portion: Portion = storage::read(storage, &path)?.unwrap_or_default();
        portion.entries.retain(is_good);
        *count = portion.entries.len();
        storage::write(storage, &path, &portion, None)?;
        if !storage.has_room() {
            break;
        }
    }
    Ok(())
}

/// The signed list of an issuer, which is signed anew where it says too little or will soon be too old. None: the issuer
/// cannot sign lists.
///
/// # Errors
/// It cannot be signed.
pub fn refresh(work: &mut Work<'_>, issuer: &Issuer) -> Result<Option<Vec<u8>>, Fault> {
    let now = work.call.now;
    let own = issuer.certificate()?;
    let authority = authority_path(&own)?;
    let head: Head = storage::read(work.storage, &authority)?.unwrap_or_default();
    let before: Option<List> = storage::read(work.storage, &list_path(&issuer.id))?;
    let broken = |_| Fault::Internal("a stored revocation list cannot be read".to_owned());
    if let Some(list) = &before {
        // So that who fetches it can keep it for a quarter of its time.
        let due = list.end.saturating_sub(list.end.saturating_sub(list.start) / 4);
        if list.changes == head.changes && now.as_secs() < due {
            return STANDARD.decode(&list.bytes).map(Some).map_err(broken);
        }
    }
    if !issuer.may("crl-signing") {
        return Ok(None);
    }
    let Some(key) = issuers::key_of(work.storage, issuer)? else {
        return Ok(None);
    };
    let settings = CrlSettings::read(work.storage)?;
    let list = List {
        number: before.map_or(1, |list| list.number + 1),
        changes: head.changes,
        start: now.as_secs(),
        end: now.as_secs().saturating_add(settings.expiry()?.as_secs()),
        bytes: String::new(),
    };
    let mut listed = Vec::new();
    if !settings.disable {
        for name in head.counts.keys() {
            let portion: Option<Portion> = storage::read(work.storage, &portion_path(&authority, name))?;
            listed.extend(portion.unwrap_or_default().entries);
        }
        // An issuer does not stand on its own list.
        let serial = certificate::stored_serial(&certificate::serial_text(&own))?;
        listed.retain(|entry| entry.serial != serial);
    }
    let tbs_cert_list = unsigned(&own, &list, &listed, key.algorithm(0)?)?;
    let message = der(&tbs_cert_list)?;
    let bytes = der(&CertificateList {
        signature_algorithm: tbs_cert_list.signature.clone(),
        signature: key.sign(&message, 0, work.randomness)?,
        tbs_cert_list,
    })?;
    let list = List {
        bytes: STANDARD.encode(&bytes),
        ..list
    };
    storage::write(work.storage, &list_path(&issuer.id), &list, None)?;
    Ok(Some(bytes))
}

fn unsigned(
    issuer: &Certificate,
    list: &List,
    entries: &[Entry],
    signature: x509_cert::spki::AlgorithmIdentifierOwned,
) -> Result<TbsCertList, Fault> {
    let broken = || Fault::Internal("a revocation list cannot be written".to_owned());
    let mut revoked = Vec::new();
    // Whose time is over needs no list.
    for entry in entries.iter().filter(|entry| entry.end > list.start) {
        let byte = |text: &str| u8::from_str_radix(text, 16).map_err(|_| broken());
        let bytes = entry.serial.split('-').map(byte).collect::<Result<Vec<_>, _>>()?;
        revoked.push(RevokedCert {
            serial_number: SerialNumber::new(&bytes).map_err(|_| broken())?,
            revocation_date: validity::time(Duration::from_secs(entry.at))?,
            crl_entry_extensions: None,
        });
    }
    let number = Uint::new(&list.number.to_be_bytes()).map_err(|_| broken())?;
    Ok(TbsCertList {
        version: Version::V2,
        signature,
        issuer: issuer.tbs_certificate.subject.clone(),
        this_update: validity::time(Duration::from_secs(list.start))?,
        next_update: Some(validity::time(Duration::from_secs(list.end))?),
        revoked_certificates: (!revoked.is_empty()).then_some(revoked),
        crl_extensions: Some(vec![
            extensions::authority_key(&extensions::subject_key_id(&issuer.tbs_certificate))?,
            extensions::extension(&CrlNumber(number), false)?,
        ]),
    })
}

/// Has the lists of all issuers signed anew when they are next fetched.
///
/// # Errors
/// They cannot be read.
pub fn rotate(work: &mut Work<'_>) -> Result<(), Fault> {
    let mut authorities = BTreeSet::new();
    for issuer in issuers::issuers(work.storage)? {
        authorities.insert(authority_path(&issuer.certificate()?)?);
    }
    for authority in &authorities {
        let mut head: Head = storage::read(work.storage, authority)?.unwrap_or_default();
        head.changes += 1;
        storage::write(work.storage, authority, &head, None)?;
    }
    Ok(())
}

/// The certificate with a serial number.
///
/// # Errors
/// It cannot be read.
pub fn stored(storage: &mut dyn Storage, serial: &str) -> Result<Option<Certificate>, Fault> {
    let record = storage.get(&format!("certificate/{serial}"))?;
    record.map(|bytes| certificate::parse(bytes.expose())).transpose()
}

/// Revokes the certificate that a call names, by its serial number or itself; with `is_proven`, by whoever has its key.
///
/// # Errors
/// It is not of an issuer of this mount, or is one; or the list of its issuer is full.
pub fn revoke(work: &mut Work<'_>, is_proven: bool) -> Result<Answer, Fault> {
    let body = work.call.body;
    let (serial, given) = (
        fields::text(body, "serial_number")?,
        fields::text(body, "certificate")?,
    );
    let certificate = match (serial, given) {
        (Some(serial), None) => stored(work.storage, &certificate::stored_serial(serial)?)?
            .ok_or_else(|| Fault::Invalid(format!("certificate with serial {serial} not found")))?,
        (None, Some(text)) => known(work.storage, text)?,
        (None, None) => {
            return Err(Fault::Invalid(
                "The serial number or certificate to revoke must be provided.".to_owned(),
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Fault::Invalid(
                "Must provide either the certificate or the serial to revoke; not both.".to_owned(),
            ));
        }
    };
    if is_proven {
        prove(work, &certificate)?;
    }
    for issuer in issuers::issuers(work.storage)? {
        if issuer.certificate()? == certificate {
            return Err(Fault::Invalid(format!(
                "the certificate is that of the issuer {}; revoke it by issuer/{}/revoke",
                issuer.id, issuer.id
            )));
        }
    }
    if certificate::end(&certificate) <= work.call.now {
        return Ok(Answer {
            warnings: vec![format!(
                "certificate with serial {} already expired; refusing to add to CRL",
                certificate::serial_text(&certificate)
            )],
            ..Answer::default()
        });
    }
    let revoked = mark(work.storage, &certificate, work.call.now)?;
    let data = Data::new()
        .with("revocation_time", &revoked.at)?
        .with(
            "revocation_time_rfc3339",
            &rfc3339(Duration::from_secs(revoked.at)),
        )?
        .with("state", "revoked")?;
    Ok(Answer::data(data))
}

/// A certificate that a client shows, which need not be stored but must be of an issuer of this mount.
fn known(storage: &mut dyn Storage, text: &str) -> Result<Certificate, Fault> {
    let blocks = pem::decode(text, "certificate")?;
    let [(_, bytes)] = blocks.as_slice() else {
        return Err(Fault::Invalid("certificate must be one block of PEM".to_owned()));
    };
    let certificate = certificate::parse(bytes)?;
    for issuer in issuers::issuers(storage)? {
        if certificate::is_signed_by(&certificate, &issuer.certificate()?) {
            return Ok(certificate);
        }
    }
    Err(Fault::Invalid(
        "the certificate is not signed by an issuer of this mount".to_owned(),
    ))
}

fn prove(work: &Work<'_>, certificate: &Certificate) -> Result<(), Fault> {
    let blocks = pem::decode(fields::required(work.call.body, "private_key")?, "private_key")?;
    let mut keys = blocks
        .iter()
        .filter_map(|(label, bytes)| super::keys::PrivateKey::from_block(label, bytes));
    let key = keys
        .next()
        .ok_or_else(|| Fault::Invalid("private_key holds no key that can be read".to_owned()))?;
    match key.public()? == certificate.tbs_certificate.subject_public_key_info {
        true => Ok(()),
        false => Err(Fault::Invalid(
            "private_key is not the key of the certificate".to_owned(),
        )),
    }
}

/// Revokes the certificate that a lease was for.
///
/// # Errors
/// A list is full.
pub fn release(call: &Call<'_>, details: &[u8], storage: &mut dyn Storage) -> Result<(), Fault> {
    let Some(serial) = std::str::from_utf8(details)
        .ok()
        .and_then(|text| certificate::stored_serial(text).ok())
    else {
        return Ok(());
    };
    match stored(storage, &serial)? {
        Some(certificate) if certificate::end(&certificate) > call.now => {
            mark(storage, &certificate, call.now).map(drop)
        }
        _ => Ok(()),
    }
}

/// Revokes an issuer: it signs no certificates any more, and stands on the lists of those here that issued it.
///
/// # Errors
/// A list is full.
pub fn revoke_issuer(work: &mut Work<'_>, mut issuer: Issuer) -> Result<Issuer, Fault> {
    if issuer.revoked_at.is_none() {
        mark(work.storage, &issuer.certificate()?, work.call.now)?;
        issuer.revoked_at = Some(work.call.now.as_secs());
        issuers::save(work.storage, &issuer)?;
    }
    Ok(issuer)
}

/// Removes the list of an issuer that is there no more, and what it says if no other issuer says it too.
///
/// # Errors
/// It cannot be read.
pub fn forget(storage: &mut dyn Storage, issuer: &Issuer) -> Result<(), Fault> {
    storage.delete(&list_path(&issuer.id))?;
    let authority = authority_path(&issuer.certificate()?)?;
    for other in issuers::issuers(storage)? {
        if authority_path(&other.certificate()?)? == authority {
            return Ok(());
        }
    }
    storage.delete_below(&authority)?;
    storage.delete(&authority)
}
