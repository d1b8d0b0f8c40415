//! Issuers and keys as people manage them: imported, named, deleted, and what has expired swept away.
//!
//! Never signs anything.

use std::collections::BTreeMap;
use std::time::Duration;

use super::answers::Form;
use super::fields::{self, Kind};
use super::issuers::{self, BEHAVIORS, Defaults, Issuer, USAGES};
use super::keys::{PrivateKey, Shape};
use super::settings::{PLACES, check_urls};
use super::{Work, certificate, pem, revocation};
use crate::service::secrets::engine::times::rfc3339;
use crate::service::secrets::engine::{Answer, Data, Fault, Storage, storage};
use crate::service::secrets::policy::Operation;

/// How long what has expired is kept where a sweep does not say: 72 hours.
const SAFETY_BUFFER_SECONDS: u64 = 72 * 3_600;

/// Imports certificates of authorities and keys out of a text in PEM.
///
/// # Errors
/// It holds none, or others; or a key where keys are not taken, or no key where one is needed.
pub fn import(work: &mut Work<'_>, text: &str, takes_keys: bool, needs_key: bool) -> Result<Answer, Fault> {
    let blocks = pem::decode(text, "the bundle")?;
    let (mut new_keys, mut old_keys) = (Vec::new(), Vec::new());
    let (mut new_issuers, mut old_issuers) = (Vec::new(), Vec::new());
    let mut mapping = BTreeMap::new();
    let is_key = |label: &str| label.ends_with("PRIVATE KEY");
    for (label, bytes) in blocks.iter().filter(|(label, _)| is_key(label)) {
        if !takes_keys {
            return Err(Fault::Invalid(
                "private keys found in the PEM bundle but not allowed by the path; use issuers/import/bundle"
                    .to_owned(),
            ));
        }
        let key = PrivateKey::from_block(label, bytes).ok_or_else(|| {
            Fault::Invalid(format!(
                "a block {label:?} holds no key that can be read; give RSA, P-256, P-384, P-521 or Ed25519, not encrypted"
            ))
        })?;
        // Of a size that is used here.
        Shape::parse(
            key.shape().kind(),
            i64::try_from(key.shape().bits()).unwrap_or(i64::MAX),
        )?;
        let (stored, is_new) = issuers::add_key(work.storage, &key, "", work.randomness)?;
        if is_new { &mut new_keys } else { &mut old_keys }.push(stored.id);
    }
    let mut certificates = 0;
    for (_, bytes) in blocks.iter().filter(|(label, _)| label == "CERTIFICATE") {
        certificates += 1;
        let parsed = certificate::parse(bytes)?;
        if needs_key && certificates == 1 {
            let wanted = &parsed.tbs_certificate.subject_public_key_info;
            let mut has_key = false;
            for key in issuers::keys(work.storage)? {
                has_key |= key.public()? == *wanted;
            }
            if !has_key {
                return Err(Fault::Invalid(
                    "the key of the given certificate is not here; generate an intermediate first and have that signed"
                        .to_owned(),
                ));
            }
        }
        let (issuer, is_new) = issuers::add(work.storage, &parsed, "", work.randomness)?;
        mapping.insert(issuer.id.clone(), issuer.key_id.clone());
        if is_new {
            &mut new_issuers
        } else {
            &mut old_issuers
        }
        .push(issuer.id);
    }
    if mapping.is_empty() && new_keys.is_empty() && old_keys.is_empty() {
        return Err(Fault::Invalid(
            "the bundle holds neither a certificate nor a key".to_owned(),
        ));
    }
    let data = Data::new()
        .with("imported_issuers", &some(new_issuers))?
        .with("imported_keys", &some(new_keys))?
        .with("existing_issuers", &some(old_issuers))?
        .with("existing_keys", &some(old_keys))?
        .with("mapping", &mapping)?;
    Ok(Answer::data(data))
}

fn some(ids: Vec<String>) -> Option<Vec<String>> {
    (!ids.is_empty()).then_some(ids)
}

/// The ids of all issuers, with what is said of each.
///
/// # Errors
/// There is none.
pub fn list_issuers(storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let default = Defaults::read(storage)?.issuer;
    let mut said = BTreeMap::new();
    for issuer in issuers::issuers(storage)? {
        let certificate = issuer.certificate()?;
        let one = serde_json::json!({
            "issuer_name": issuer.name,
            "is_default": issuer.id == default,
            "key_id": issuer.key_id,
            "serial_number": certificate::serial_text(&certificate),
        });
        said.insert(issuer.id, one);
    }
    listed(&said)
}

/// The ids of all keys, with what is said of each.
///
/// # Errors
/// There is none.
pub fn list_keys(storage: &mut dyn Storage) -> Result<Answer, Fault> {
    let default = Defaults::read(storage)?.key;
    let mut said = BTreeMap::new();
    for key in issuers::keys(storage)? {
        let one = serde_json::json!({ "key_name": key.name, "is_default": key.id == default });
        said.insert(key.id, one);
    }
    listed(&said)
}

fn listed(said: &BTreeMap<String, serde_json::Value>) -> Result<Answer, Fault> {
    let mut answer = Answer::list(said.keys().cloned().collect())?;
    if let Some(data) = &mut answer.data {
        data.set("key_info", said)?;
    }
    Ok(answer)
}

/// Answers for `issuer/:ref` itself.
///
/// # Errors
/// What the client is told.
pub fn issuer(work: &mut Work<'_>, reference: &str) -> Result<Answer, Fault> {
    // Clients expect a failure of the server here where there is none.
    let mut issuer = issuers::find(work.storage, reference)?
        .ok_or_else(|| Fault::Internal(format!("unable to find PKI issuer for reference: {reference}")))?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update | Operation::Patch => {
            change(work, &mut issuer)?;
            issuers::save(work.storage, &issuer)?;
        }
        Operation::Delete => {
            work.storage.delete(&format!("issuer/{}", issuer.id))?;
            revocation::forget(work.storage, &issuer)?;
            let mut answer = Answer::default();
            let mut defaults = Defaults::read(work.storage)?;
            if defaults.issuer == issuer.id {
                defaults.issuer = String::new();
                defaults.write(work.storage)?;
                answer.warnings.push(format!(
                    "Deleted issuer {} was the default issuer; set another by config/issuers before issuing.",
                    issuer.id
                ));
            }
            return Ok(answer);
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(Answer::data(described(work.storage, &issuer)?))
}

fn change(work: &mut Work<'_>, issuer: &mut Issuer) -> Result<(), Fault> {
    let body = work.call.body;
    if let Some(name) = fields::text(body, "issuer_name")? {
        let others = issuers::issuers(work.storage)?;
        let others = others.iter().filter(|other| other.id != issuer.id);
        issuers::check_name(name, others.map(|other| other.name.as_str()), "issuer")?;
    }
    let mut changed: Issuer = fields::merge(issuer, body, &PLACES)?;
    for list in [
        &changed.issuing_certificates,
        &changed.crl_distribution_points,
        &changed.ocsp_servers,
    ] {
        check_urls(list)?;
    }
    if body.get("issuer_name").is_some() {
        fields::text(body, "issuer_name")?
            .unwrap_or_default()
            .clone_into(&mut changed.name);
    }
    let behavior = [("leaf_not_after_behavior", Kind::Text)];
    changed = fields::merge(&changed, body, &behavior)?;
    if changed.leaf_not_after_behavior == "permit" {
        return Err(Fault::Unimplemented(
            "leaf_not_after_behavior permit: leaves that outlast their issuer are valid for nobody; err and truncate"
                .to_owned(),
        ));
    }
    if !BEHAVIORS.contains(&changed.leaf_not_after_behavior.as_str()) {
        return Err(Fault::Invalid(format!(
            "unknown leaf_not_after_behavior {:?}; it can be err or truncate",
            changed.leaf_not_after_behavior
        )));
    }
    if body.get("usage").is_some() {
        let usage = fields::list(body, "usage")?;
        if let Some(other) = usage
            .iter()
            .find(|usage| !USAGES.contains(&usage.as_str()) && *usage != "ocsp-signing")
        {
            return Err(Fault::Invalid(format!(
                "unknown usage {other:?}; it can be {}",
                USAGES.join(", ")
            )));
        }
        changed.usage = usage;
    }
    let mut manual_chain = Vec::new();
    for reference in fields::list(body, "manual_chain")? {
        let id = match reference.as_str() {
            "self" => issuer.id.clone(),
            reference => issuers::need(work.storage, reference)?.id,
        };
        manual_chain.push(id);
    }
    if body.get("manual_chain").is_some() {
        if manual_chain.first().is_some_and(|first| *first != issuer.id) {
            return Err(Fault::Invalid(
                "manual_chain must begin with the issuer itself; write self".to_owned(),
            ));
        }
        changed.manual_chain = manual_chain;
    }
    *issuer = changed;
    Ok(())
}

/// What is said of an issuer.
///
/// # Errors
/// It cannot be read.
pub fn described(storage: &mut dyn Storage, issuer: &Issuer) -> Result<Data, Fault> {
    let mut data = Data::new()
        .with("issuer_id", &issuer.id)?
        .with("issuer_name", &issuer.name)?
        .with("key_id", &issuer.key_id)?
        .with("certificate", &issuer.certificate)?
        .with("ca_chain", &issuers::chain(storage, issuer)?)?
        .with("manual_chain", &some(issuer.manual_chain.clone()))?
        .with("leaf_not_after_behavior", &issuer.leaf_not_after_behavior)?
        .with("usage", &issuer.usage.join(","))?
        .with("issuing_certificates", &issuer.issuing_certificates)?
        .with("crl_distribution_points", &issuer.crl_distribution_points)?
        .with("ocsp_servers", &issuer.ocsp_servers)?
        .with("enable_aia_url_templating", &false)?
        .with("revoked", &issuer.revoked_at.is_some())?;
    if let Some(at) = issuer.revoked_at {
        data.set("revocation_time", &at)?;
        data.set("revocation_time_rfc3339", &rfc3339(Duration::from_secs(at)))?;
    }
    Ok(data)
}

/// Answers for `key/:ref`.
///
/// # Errors
/// What the client is told.
pub fn key(work: &mut Work<'_>, reference: &str) -> Result<Answer, Fault> {
    let mut key = issuers::find_key(work.storage, reference)?
        .ok_or_else(|| Fault::Internal(format!("unable to find PKI key for reference: {reference}")))?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update => {
            let name = fields::text(work.call.body, "key_name")?.unwrap_or_default();
            let others = issuers::keys(work.storage)?;
            let others = others.iter().filter(|other| other.id != key.id);
            issuers::check_name(name, others.map(|other| other.name.as_str()), "key")?;
            name.clone_into(&mut key.name);
            issuers::save_key(work.storage, &key)?;
        }
        Operation::Delete => {
            if issuers::issuers(work.storage)?
                .iter()
                .any(|issuer| issuer.key_id == key.id)
            {
                return Err(Fault::Invalid(format!(
                    "the key {} is that of an issuer; delete the issuer first",
                    key.id
                )));
            }
            work.storage.delete(&format!("key/{}", key.id))?;
            let mut defaults = Defaults::read(work.storage)?;
            if defaults.key == key.id {
                defaults.key = String::new();
                defaults.write(work.storage)?;
            }
            return Ok(Answer::default());
        }
        _ => return Err(Fault::Unsupported),
    }
    let shape = key.open()?.shape();
    let data = Data::new()
        .with("key_id", &key.id)?
        .with("key_name", &key.name)?
        .with("key_type", shape.kind())?;
    Ok(Answer::data(data))
}

/// Makes a key that no issuer has yet.
///
/// # Errors
/// There is no such key, or its name is taken.
pub fn generate_key(work: &mut Work<'_>, kind: &str) -> Result<Answer, Fault> {
    let body = work.call.body;
    let shape = Shape::parse(
        fields::text(body, "key_type")?.unwrap_or("rsa"),
        fields::integer(body, "key_bits")?.unwrap_or_default(),
    )?;
    let key = PrivateKey::generate(shape, work.randomness)?;
    let name = fields::text(body, "key_name")?.unwrap_or_default();
    let (stored, _) = issuers::add_key(work.storage, &key, name, work.randomness)?;
    let mut data = Data::new()
        .with("key_id", &stored.id)?
        .with("key_name", &stored.name)?
        .with("key_type", shape.kind())?;
    if kind == "exported" {
        Form::of(body)?.key(&mut data, &key)?;
    }
    Ok(Answer::data(data))
}

/// Deletes all issuers and their keys. Certificates stay readable.
///
/// # Errors
/// They cannot be read.
pub fn delete_root(work: &mut Work<'_>) -> Result<Answer, Fault> {
    for directory in ["issuer", "key", "crl", "revocations"] {
        work.storage.delete_below(directory)?;
    }
    Defaults::default().write(work.storage)?;
    Ok(Answer::default())
}

/// Sweeps away certificates that have expired, those that were revoked too if asked for: as many as one transaction takes.
///
/// # Errors
/// They cannot be read.
pub fn tidy(work: &mut Work<'_>) -> Result<Answer, Fault> {
    let body = work.call.body;
    let buffer = match body.get("safety_buffer") {
        Some(_) => fields::seconds(body, "safety_buffer")?.unwrap_or_default(),
        None => SAFETY_BUFFER_SECONDS,
    };
    let before = work.call.now.as_secs().saturating_sub(buffer);
    let (mut swept, mut is_all) = (0_u64, true);
    if fields::switch(body, "tidy_revoked_certs")? {
        for serial in work.storage.list("revoked")? {
            let path = format!("revoked/{serial}");
            let revoked: Option<revocation::Revoked> = storage::peek(work.storage, &path)?;
            if revoked.is_none_or(|revoked| revoked.end >= before) {
                continue;
            }
            is_all = work.storage.has_room();
            if !is_all {
                break;
            }
            work.storage.delete(&path)?;
            work.storage.delete(&format!("certificate/{serial}"))?;
            swept += 1;
        }
    }
    if is_all && fields::switch(body, "tidy_cert_store")? {
        for serial in work.storage.list("certificate")? {
            let (path, revoked) = (format!("certificate/{serial}"), format!("revoked/{serial}"));
            let Some(record) = work.storage.peek(&path)? else {
                continue;
            };
            let is_over = certificate::end(&certificate::parse(record.expose())?).as_secs() < before;
            if !is_over || work.storage.peek(&revoked)?.is_some() {
                continue;
            }
            is_all = work.storage.has_room();
            if !is_all {
                break;
            }
            // Remembered now, so that nobody revokes it meanwhile.
            if !work.storage.has(&revoked)? {
                work.storage.delete(&path)?;
                swept += 1;
            }
        }
    }
    let mut warnings = vec![format!("{swept} certificates that have expired were removed.")];
    if !is_all {
        warnings.push(
            "there are more certificates that have expired than are removed at once: ask again".to_owned(),
        );
    }
    Ok(Answer {
        warnings,
        ..Answer::default()
    })
}
