//! Authorities: roots, intermediates, and what they sign for each other.
//!
//! Never makes one that outlasts its issuer, or that may stand where its issuer's path is too short.

use std::time::Duration;

use x509_cert::der::Decode;
use x509_cert::der::flagset::FlagSet;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{KeyUsage, KeyUsages};

use super::answers::Form;
use super::certificate::{self, Signer, Template};
use super::issue::{self, Authority};
use super::issuers::{self, StoredKey};
use super::keys::{PrivateKey, Shape};
use super::request::{self, Request};
use super::role::{NOT_BEFORE_SECONDS, Role};
use super::subject::{Names, Subject};
use super::{Work, extensions, fields, oids, pem, validity};
use crate::service::secrets::engine::{Answer, Data, Fault};
use crate::service::secrets::parameters::Body;

/// What of a request is not offered for authorities.
const UNOFFERED: [&str; 6] = [
    "excluded_dns_domains",
    "permitted_email_addresses",
    "excluded_email_addresses",
    "permitted_ip_ranges",
    "excluded_ip_ranges",
    "permitted_uri_domains",
];

fn check(body: &Body) -> Result<(), Fault> {
    for name in UNOFFERED {
        if !fields::list(body, name)?.is_empty() {
            return Err(Fault::Unimplemented(format!(
                "{name}: only permitted_dns_domains"
            )));
        }
    }
    if fields::switch(body, "use_pss")? {
        return Err(Fault::Unimplemented(
            "use_pss: signatures of RSA are those of PKCS #1 v1.5".to_owned(),
        ));
    }
    Ok(())
}

/// The subject and the other names that a call asks for.
fn asked(body: &Body) -> Result<(Subject, Names), Fault> {
    check(body)?;
    let common_name = fields::required(body, "common_name")
        .map_err(|_| Fault::Invalid("the common_name field is required".to_owned()))?
        .trim()
        .to_owned();
    let mut names = issue::requested(body)?;
    if !fields::switch(body, "exclude_cn_from_sans")? {
        names.add(&common_name);
    }
    let subject = Subject {
        common_name,
        serial_number: fields::text(body, "serial_number")?
            .unwrap_or_default()
            .to_owned(),
        organization: fields::list(body, "organization")?,
        ou: fields::list(body, "ou")?,
        country: fields::list(body, "country")?,
        locality: fields::list(body, "locality")?,
        province: fields::list(body, "province")?,
        street_address: fields::list(body, "street_address")?,
        postal_code: fields::list(body, "postal_code")?,
    };
    Ok((subject, names))
}

/// The key that a new authority gets: a new one, or one that is there.
fn key(work: &mut Work<'_>, kind: &str) -> Result<(StoredKey, PrivateKey), Fault> {
    let body = work.call.body;
    match kind {
        "internal" | "exported" => {
            let shape = Shape::parse(
                fields::text(body, "key_type")?.unwrap_or("rsa"),
                fields::integer(body, "key_bits")?.unwrap_or_default(),
            )?;
            let key = PrivateKey::generate(shape, work.randomness)?;
            let name = fields::text(body, "key_name")?.unwrap_or_default();
            let (stored, _) = issuers::add_key(work.storage, &key, name, work.randomness)?;
            Ok((stored, key))
        }
        "existing" => {
            let reference = fields::text(body, "key_ref")?.unwrap_or("default");
            let stored = issuers::find_key(work.storage, reference)?.ok_or_else(|| {
                Fault::Invalid(format!("unable to find PKI key for reference: {reference}"))
            })?;
            let key = stored.open()?;
            Ok((stored, key))
        }
        "kms" => Err(Fault::Unimplemented(
            "keys in a KMS: they are kept here, encrypted".to_owned(),
        )),
        other => Err(Fault::NoPath(format!(
            "{other:?} is no way to get a key; it can be internal, exported or existing"
        ))),
    }
}

fn path_length(body: &Body) -> Result<Option<u8>, Fault> {
    match fields::integer(body, "max_path_length")? {
        None | Some(-1) => Ok(None),
        Some(length) => u8::try_from(length)
            .map(Some)
            .map_err(|_| Fault::Invalid(format!("max_path_length {length} is not from -1 to 255"))),
    }
}

/// What a request for an authority says of its start and its signature, as a role has them.
fn limits(body: &Body) -> Result<Role, Fault> {
    Ok(Role {
        not_before_duration: fields::seconds(body, "not_before_duration")?.unwrap_or(NOT_BEFORE_SECONDS),
        signature_bits: fields::integer(body, "signature_bits")?.unwrap_or_default(),
        ..Role::default()
    })
}

/// Makes a root, which is called `usual` where the request does not name it.
///
/// # Errors
/// The request is wrong, or a name is taken.
pub fn generate_root(work: &mut Work<'_>, kind: &str, usual: &str) -> Result<Answer, Fault> {
    let call = work.call;
    let form = Form::of(call.body)?;
    let limits = limits(call.body)?;
    let (subject, names) = asked(call.body)?;
    let mut warnings = Vec::new();
    let end = validity::end(call, None, None, &mut warnings)?;
    let length = path_length(call.body)?;
    if length == Some(0) {
        warnings.push(
            "Max path length of the generated certificate is zero. This certificate cannot be used to issue \
             intermediate CA certificates."
                .to_owned(),
        );
    }
    let (stored, key) = key(work, kind)?;
    let subject = subject.name()?;
    let public = key.public()?;
    let key_id = extensions::key_id(&public);
    let mut list = vec![
        extensions::subject_key(&key_id)?,
        extensions::authority_key(&key_id)?,
        extensions::basic(true, length)?,
    ];
    list.extend(extensions::key_usage(
        KeyUsages::KeyCertSign | KeyUsages::CRLSign,
    )?);
    list.extend(extensions::names(&names, true)?);
    list.extend(extensions::permitted(&fields::list(
        call.body,
        "permitted_dns_domains",
    )?)?);
    let signer = Signer {
        key: &key,
        name: subject.clone(),
        bits: limits.signature_bits,
    };
    let template = Template {
        subject,
        public,
        start: call
            .now
            .saturating_sub(Duration::from_secs(limits.not_before_duration)),
        end,
        extensions: list,
    };
    let certificate = template.sign(&signer, work.randomness)?;
    issue::store(work, &certificate)?;
    let name = fields::text(call.body, "issuer_name")?.unwrap_or(usual);
    let (issuer, _) = issuers::add(work.storage, &certificate, name, work.randomness)?;
    let mut data = Data::new()
        .with("issuer_id", &issuer.id)?
        .with("issuer_name", &issuer.name)?
        .with("key_id", &stored.id)?
        .with("key_name", &stored.name)?;
    let shown = (kind == "exported").then_some(&key);
    form.certificate(&mut data, &certificate, &[issuer.certificate], shown)?;
    Ok(Answer {
        data: Some(data),
        warnings,
        ..Answer::default()
    })
}

/// Makes the request for an intermediate, and the key that it is for.
///
/// # Errors
/// The request is wrong, or a name is taken.
pub fn generate_intermediate(work: &mut Work<'_>, kind: &str) -> Result<Answer, Fault> {
    let body = work.call.body;
    let form = Form::of(body)?;
    let (subject, names) = asked(body)?;
    let mut list = Vec::new();
    list.extend(extensions::names(&names, true)?);
    if fields::switch(body, "add_basic_constraints")? {
        list.push(extensions::basic(true, None)?);
    }
    let (stored, key) = key(work, kind)?;
    let text = request::build(subject.name()?, list, &key, work.randomness)?;
    let mut data = Data::new()
        .with("key_id", &stored.id)?
        .with("key_name", &stored.name)?;
    let shown = (kind == "exported").then_some(&key);
    form.request(&mut data, &text, shown)?;
    if let Some(key) = shown {
        form.key(&mut data, key)?;
    }
    Ok(Answer::data(data))
}

/// Signs an intermediate.
///
/// # Errors
/// The request is wrong, or the issuer cannot have authorities below it.
pub fn sign_intermediate(work: &mut Work<'_>, issuer: &str) -> Result<Answer, Fault> {
    let call = work.call;
    let form = Form::of(call.body)?;
    let limits = limits(call.body)?;
    let request = Request::parse(fields::required(call.body, "csr")?)?;
    Shape::of(&request.info.public_key)?;
    let is_copy = fields::switch(call.body, "use_csr_values")?;
    let authority = Authority::open(work, issuer)?;
    let length = below(&authority, path_length(call.body)?)?;
    let mut usages: FlagSet<KeyUsages> = KeyUsages::KeyCertSign | KeyUsages::CRLSign;
    let mut more = Vec::new();
    let (subject, names) = if is_copy {
        check(call.body)?;
        usages |= requested_usages(&request.extensions);
        more = issue::copied(&request.extensions);
        (request.info.subject.clone(), request.names()?)
    } else {
        let (subject, names) = asked(call.body)?;
        (subject.name()?, names)
    };
    let mut warnings = Vec::new();
    let is_strict = fields::switch(call.body, "enforce_leaf_not_after_behavior")?;
    let end = validity::end(call, None, Some(authority.bound(!is_strict)), &mut warnings)?;
    let mut list = vec![extensions::subject_key(&extensions::key_id(
        &request.info.public_key,
    ))?];
    list.extend(authority.extensions(work)?);
    list.push(extensions::basic(true, length)?);
    list.extend(extensions::key_usage(usages)?);
    list.extend(extensions::names(&names, !subject.is_empty())?);
    list.extend(extensions::permitted(&fields::list(
        call.body,
        "permitted_dns_domains",
    )?)?);
    list.extend(more);
    let template = Template {
        subject,
        public: request.info.public_key.clone(),
        start: call
            .now
            .saturating_sub(Duration::from_secs(limits.not_before_duration)),
        end,
        extensions: list,
    };
    let certificate = template.sign(&authority.signer(limits.signature_bits), work.randomness)?;
    issue::store(work, &certificate)?;
    let chain = issuers::chain(work.storage, &authority.issuer)?;
    let mut data = Data::new();
    form.certificate(&mut data, &certificate, &chain, None)?;
    Ok(Answer {
        data: Some(data),
        warnings,
        ..Answer::default()
    })
}

/// How long the path below a new authority may be, which is below another.
fn below(authority: &Authority, wanted: Option<u8>) -> Result<Option<u8>, Fault> {
    let constraints = extensions::authority(&authority.certificate.tbs_certificate);
    let Some(length) = constraints.and_then(|constraints| constraints.path_len_constraint) else {
        return Ok(wanted);
    };
    let Some(most) = length.checked_sub(1) else {
        return Err(Fault::Invalid(
            "signing certificate has a max path length of zero, and cannot issue further CA certificates"
                .to_owned(),
        ));
    };
    match wanted {
        Some(wanted) if wanted > most => Err(Fault::Invalid(format!(
            "max_path_length {wanted} is more than {most}, which is the most below an issuer with a path length of {length}"
        ))),
        wanted => Ok(Some(wanted.unwrap_or(most))),
    }
}

fn requested_usages(requested: &[Extension]) -> FlagSet<KeyUsages> {
    let found = requested
        .iter()
        .find(|extension| extension.extn_id == oids::KEY_USAGE);
    let read = found.and_then(|extension| KeyUsage::from_der(extension.extn_value.as_bytes()).ok());
    read.map(|KeyUsage(usages)| usages).unwrap_or_default()
}

/// Signs the certificate of a root that somebody else has: who trusts this issuer trusts that root then.
///
/// # Errors
/// It is no root, or the issuer cannot have authorities below it.
pub fn sign_self_issued(work: &mut Work<'_>, issuer: &str) -> Result<Answer, Fault> {
    let text = fields::required(work.call.body, "certificate")?;
    let blocks = pem::decode(text, "certificate")?;
    let [(_, bytes)] = blocks.as_slice() else {
        return Err(Fault::Invalid("certificate must be one block of PEM".to_owned()));
    };
    let other = certificate::parse(bytes)?;
    let said = &other.tbs_certificate;
    let Some(constraints) = extensions::authority(said) else {
        return Err(Fault::Invalid(
            "given certificate is not a CA certificate".to_owned(),
        ));
    };
    if !certificate::is_signed_by(&other, &other) {
        return Err(Fault::Invalid(
            "given certificate is not self-issued, or not signed by its own key".to_owned(),
        ));
    }
    Shape::of(&said.subject_public_key_info)?;
    let authority = Authority::open(work, issuer)?;
    let length = below(&authority, constraints.path_len_constraint)?;
    let key_id = extensions::subject_key_id(said);
    let mut list = vec![extensions::subject_key(&key_id)?];
    list.extend(authority.extensions(work)?);
    list.push(extensions::basic(true, length)?);
    let kept = [
        oids::KEY_USAGE,
        oids::EXTENDED_KEY_USAGE,
        oids::SUBJECT_ALTERNATIVE_NAME,
        oids::CERTIFICATE_POLICIES,
        oids::NAME_CONSTRAINTS,
    ];
    let said_extensions = said.extensions.iter().flatten();
    list.extend(
        said_extensions
            .filter(|extension| kept.contains(&extension.extn_id))
            .cloned(),
    );
    let template = Template {
        subject: said.subject.clone(),
        public: said.subject_public_key_info.clone(),
        start: said.validity.not_before.to_unix_duration(),
        end: certificate::end(&other).min(certificate::end(&authority.certificate)),
        extensions: list,
    };
    let signed = template.sign(&authority.signer(0), work.randomness)?;
    issue::store(work, &signed)?;
    let data = Data::new()
        .with(
            "certificate",
            &pem::encode("CERTIFICATE", &certificate::der(&signed)?)?,
        )?
        .with("issuing_ca", &authority.issuer.certificate)?;
    Ok(Answer::data(data))
}
