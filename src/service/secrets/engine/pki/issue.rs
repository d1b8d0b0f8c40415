//! Leaves: certificates by a role, for a new key or for that of a request.
//!
//! Never lets a leaf outlast its issuer, and never makes an authority.

use std::time::Duration;

use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::answers::Form;
use super::certificate::{self, Signer, Template, der};
use super::issuers::{self, Issuer};
use super::keys::{PrivateKey, Shape};
use super::request::Request;
use super::role::{self, Role};
use super::settings::Urls;
use super::subject::{self, Names, Subject};
use super::validity::{self, Bound};
use super::{Work, constraints, extensions, fields, oids};
use crate::base::secret::Secret;
use crate::service::secrets::engine::{Answer, Data, Fault, Leased};
use crate::service::secrets::parameters::Body;

/// An issuer that is ready to sign.
pub struct Authority {
    /// As it is stored.
    pub issuer: Issuer,
    /// Its certificate.
    pub certificate: Certificate,
    /// Its key.
    pub key: PrivateKey,
}

impl Authority {
    /// Fetches an issuer with its key, to sign certificates.
    ///
    /// # Errors
    /// There is none, its key is not here, or it must not sign.
    pub fn open(work: &mut Work<'_>, reference: &str) -> Result<Self, Fault> {
        let issuer = issuers::need(work.storage, reference)?;
        let refuse = |why: &str| Err(Fault::Invalid(format!("the issuer {} {why}", issuer.id)));
        if issuer.revoked_at.is_some() {
            return refuse("is revoked and cannot issue certificates");
        }
        if !issuer.may("issuing-certificates") {
            return refuse("must not issue certificates: its usage does not say issuing-certificates");
        }
        let Some(key) = issuers::key_of(work.storage, &issuer)? else {
            return refuse("cannot issue certificates: its key is not here");
        };
        Ok(Self {
            certificate: issuer.certificate()?,
            issuer,
            key,
        })
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self, bits: i64) -> Signer<'_> {
        Signer {
            key: &self.key,
            name: self.certificate.tbs_certificate.subject.clone(),
            bits,
        }
    }

    /// Until when it can sign; what would last longer is cut if the issuer or `is_cut` says so.
    #[must_use]
    pub fn bound(&self, is_cut: bool) -> Bound {
        Bound {
            end: certificate::end(&self.certificate),
            is_cut: is_cut || self.issuer.leaf_not_after_behavior == "truncate",
        }
    }

    /// The extensions that say who signed and where to ask.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn extensions(&self, work: &mut Work<'_>) -> Result<Vec<Extension>, Fault> {
        let mut list = vec![extensions::authority_key(&extensions::subject_key_id(
            &self.certificate.tbs_certificate,
        ))?];
        let places = match self.issuer.places() {
            Some(places) => places,
            None => Urls::read(work.storage)?.places(),
        };
        list.extend(extensions::places(&places)?);
        Ok(list)
    }
}

/// Stores a certificate by its serial number.
///
/// # Errors
/// Those of [`crate::service::secrets::engine::Storage::put`].
pub fn store(work: &mut Work<'_>, certificate: &Certificate) -> Result<(), Fault> {
    let serial = certificate::stored_serial(&certificate::serial_text(certificate))?;
    work.storage.put(
        &format!("certificate/{serial}"),
        Secret::new(der(certificate)?),
        None,
    )
}

/// What is asked of an issuer.
struct Order {
    subject: Name,
    names: Option<Extension>,
    public: SubjectPublicKeyInfoOwned,
    more: Vec<Extension>,
    usages: Option<Extension>,
}

/// Makes a key and a certificate for it.
///
/// # Errors
/// The role does not allow it, or there is no issuer.
pub fn issue(work: &mut Work<'_>, issuer: Option<&str>, role: &str) -> Result<Answer, Fault> {
    let role = named(work, role)?;
    let shape = role.shape()?;
    let body = work.call.body;
    let common_name = fields::text(body, "common_name")?
        .unwrap_or_default()
        .trim()
        .to_owned();
    let names = requested(body)?;
    let (subject, names) = allowed(work, &role, common_name, names)?;
    let authority = Authority::open(work, issuer.unwrap_or(&role.issuer_ref))?;
    let key = PrivateKey::generate(shape, work.randomness)?;
    let order = Order {
        names: extensions::names(&names, !subject.is_empty())?,
        subject,
        public: key.public()?,
        more: Vec::new(),
        usages: None,
    };
    finish(work, &role, &authority, order, Some(&key))
}

/// Signs the key of a request, under the names that the role takes from it or from the call.
///
/// # Errors
/// The role does not allow it, or the request is none.
pub fn sign(work: &mut Work<'_>, issuer: Option<&str>, role: &str) -> Result<Answer, Fault> {
    let role = named(work, role)?;
    let body = work.call.body;
    let request = Request::parse(fields::required(body, "csr")?)?;
    role.allows(Shape::of(&request.info.public_key)?)?;
    let common_name = match role.use_csr_common_name {
        true => subject::attribute(&request.info.subject, oids::COMMON_NAME).unwrap_or_default(),
        false => fields::text(body, "common_name")?
            .unwrap_or_default()
            .trim()
            .to_owned(),
    };
    let names = match role.use_csr_sans {
        true => request.names()?,
        false => requested(body)?,
    };
    let (subject, names) = allowed(work, &role, common_name, names)?;
    let authority = Authority::open(work, issuer.unwrap_or(&role.issuer_ref))?;
    let order = Order {
        names: extensions::names(&names, !subject.is_empty())?,
        subject,
        public: request.info.public_key,
        more: Vec::new(),
        usages: None,
    };
    finish(work, &role, &authority, order, None)
}

/// Signs a request as it stands. A role, if one is named, says how long the certificate lasts and who issues it.
///
/// # Errors
/// The request is none, or there is no issuer.
pub fn sign_verbatim(work: &mut Work<'_>, issuer: Option<&str>, name: Option<&str>) -> Result<Answer, Fault> {
    let body = work.call.body;
    let named = name.map(|name| named(work, name)).transpose()?;
    let limits = named.unwrap_or_default();
    // Of the role counts only what says for how long, by whom, and what is done with the certificate.
    let free = Role {
        ttl: limits.ttl,
        max_ttl: limits.max_ttl,
        not_after: limits.not_after,
        not_before_duration: limits.not_before_duration,
        issuer_ref: limits.issuer_ref,
        generate_lease: limits.generate_lease,
        no_store: limits.no_store,
        basic_constraints_valid_for_non_ca: limits.basic_constraints_valid_for_non_ca,
        client_flag: false,
        server_flag: false,
        ext_key_usage: fields::list(body, "ext_key_usage")?,
        ext_key_usage_oids: fields::list(body, "ext_key_usage_oids")?,
        signature_bits: fields::integer(body, "signature_bits")?.unwrap_or(limits.signature_bits),
        ..Role::default()
    };
    let free = match body.get("key_usage") {
        Some(_) => Role {
            key_usage: fields::list(body, "key_usage")?,
            ..free
        },
        None => free,
    };
    let request = Request::parse(fields::required(body, "csr")?)?;
    Role {
        key_type: "any".to_owned(),
        ..Role::default()
    }
    .allows(Shape::of(&request.info.public_key)?)?;
    request.names()?.general()?;
    let authority = Authority::open(work, issuer.unwrap_or(&free.issuer_ref))?;
    let wanted = |oid| {
        request
            .extensions
            .iter()
            .find(|extension| extension.extn_id == oid)
            .cloned()
    };
    let order = Order {
        names: wanted(oids::SUBJECT_ALTERNATIVE_NAME),
        usages: wanted(oids::KEY_USAGE),
        more: copied(&request.extensions),
        subject: request.info.subject.clone(),
        public: request.info.public_key.clone(),
    };
    finish(work, &free, &authority, order, None)
}

/// The extensions of a request that a certificate takes as they stand: not those that its issuer decides about.
#[must_use]
pub fn copied(requested: &[Extension]) -> Vec<Extension> {
    let taken = [oids::EXTENDED_KEY_USAGE, oids::CERTIFICATE_POLICIES];
    let is_taken = |extension: &&Extension| taken.contains(&extension.extn_id);
    requested.iter().filter(is_taken).cloned().collect()
}

fn named(work: &mut Work<'_>, name: &str) -> Result<Role, Fault> {
    role::find(work.storage, name)?.ok_or_else(|| Fault::Invalid(format!("unknown role: {name}")))
}

/// The other names that a call asks for.
///
/// # Errors
/// One is none, or of a kind that is not offered.
pub fn requested(body: &Body) -> Result<Names, Fault> {
    for name in ["other_sans", "user_ids"] {
        if !fields::list(body, name)?.is_empty() {
            return Err(Fault::Unimplemented(format!(
                "{name}: certificates have no such names here"
            )));
        }
    }
    let addresses = fields::list(body, "ip_sans")?;
    Names::parse(
        fields::list(body, "alt_names")?,
        &addresses,
        fields::list(body, "uri_sans")?,
    )
}

fn allowed(
    work: &Work<'_>,
    role: &Role,
    common_name: String,
    mut names: Names,
) -> Result<(Name, Names), Fault> {
    let body = work.call.body;
    if common_name.is_empty() && role.require_cn {
        return Err(Fault::Invalid(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to true, \
             unless \"require_cn\" is set to false"
                .to_owned(),
        ));
    }
    let serial_number = fields::text(body, "serial_number")?
        .unwrap_or_default()
        .to_owned();
    let is_allowed = |serial: &str| {
        role.allowed_serial_numbers
            .iter()
            .any(|pattern| constraints::glob(pattern, serial))
    };
    if !serial_number.is_empty() && !is_allowed(&serial_number) {
        return Err(Fault::Invalid(format!(
            "serial_number {serial_number} not allowed by this role"
        )));
    }
    // Before they are checked: a role that takes every common name does not take it as every other name.
    if !common_name.is_empty() && !fields::switch(body, "exclude_cn_from_sans")? {
        names.add(&common_name);
    }
    let display_name = work.call.caller.map(|caller| caller.display_name.as_str());
    constraints::check(role, &common_name, &names, display_name.unwrap_or_default())?;
    if common_name.is_empty() && names.is_empty() {
        return Err(Fault::Invalid(
            "the certificate would name nobody; give a common_name or alt_names".to_owned(),
        ));
    }
    let subject = Subject {
        common_name,
        serial_number,
        organization: role.organization.clone(),
        ou: role.ou.clone(),
        country: role.country.clone(),
        locality: role.locality.clone(),
        province: role.province.clone(),
        street_address: role.street_address.clone(),
        postal_code: role.postal_code.clone(),
    };
    Ok((subject.name()?, names))
}

fn finish(
    work: &mut Work<'_>,
    role: &Role,
    authority: &Authority,
    order: Order,
    key: Option<&PrivateKey>,
) -> Result<Answer, Fault> {
    let call = work.call;
    let form = Form::of(call.body)?;
    let mut warnings = Vec::new();
    let end = validity::end(call, Some(role), Some(authority.bound(false)), &mut warnings)?;
    let mut list = vec![extensions::subject_key(&extensions::key_id(&order.public))?];
    list.extend(authority.extensions(work)?);
    if role.basic_constraints_valid_for_non_ca {
        list.push(extensions::basic(false, None)?);
    }
    let usages = match order.usages {
        Some(usages) => Some(usages),
        None => extensions::key_usage(extensions::usages(&role.key_usage)?)?,
    };
    list.extend(usages);
    let uses = extensions::extended_key_usage(uses(role)?)?;
    let policies = extensions::policies(&role.policy_identifiers)?;
    for extension in order
        .more
        .into_iter()
        .chain(uses)
        .chain(policies)
        .chain(order.names)
    {
        if !list
            .iter()
            .any(|other: &Extension| other.extn_id == extension.extn_id)
        {
            list.push(extension);
        }
    }
    let start = call
        .now
        .saturating_sub(Duration::from_secs(role.not_before_duration));
    let template = Template {
        subject: order.subject,
        public: order.public,
        start,
        end,
        extensions: list,
    };
    let certificate = template.sign(&authority.signer(role.signature_bits), work.randomness)?;
    if !role.no_store {
        store(work, &certificate)?;
    }
    let mut chain = issuers::chain(work.storage, &authority.issuer)?;
    if fields::switch(call.body, "remove_roots_from_chain")? {
        chain = without_roots(chain)?;
    }
    let mut data = Data::new();
    form.certificate(&mut data, &certificate, &chain, key)?;
    data.set("issuing_ca", &issuing(call.body, &authority.issuer)?)?;
    let leased = role.generate_lease.then(|| Leased {
        ttl: Duration::from_secs((end.as_secs()).saturating_sub(call.now.as_secs())),
        max_ttl: Duration::ZERO,
        is_renewable: false,
        details: certificate::serial_text(&certificate).into_bytes(),
    });
    Ok(Answer {
        data: Some(data),
        warnings,
        leased,
        ..Answer::default()
    })
}

fn issuing(body: &Body, issuer: &Issuer) -> Result<String, Fault> {
    match fields::text(body, "format")? {
        Some("der") => {
            let bytes = der(&issuer.certificate()?)?;
            Ok(base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD,
                bytes,
            ))
        }
        _ => Ok(issuer.certificate.clone()),
    }
}

fn without_roots(chain: Vec<String>) -> Result<Vec<String>, Fault> {
    let mut kept = Vec::new();
    for text in chain {
        let issuer = Issuer {
            certificate: text,
            ..Issuer::default()
        };
        let certificate = issuer.certificate()?.tbs_certificate;
        if certificate.issuer != certificate.subject {
            kept.push(issuer.certificate);
        }
    }
    Ok(kept)
}

fn uses(role: &Role) -> Result<Vec<x509_cert::der::asn1::ObjectIdentifier>, Fault> {
    let mut uses = Vec::new();
    for (is_on, oid) in [
        (role.server_flag, oids::SERVER),
        (role.client_flag, oids::CLIENT),
        (role.code_signing_flag, oids::CODE),
        (role.email_protection_flag, oids::EMAIL),
    ] {
        if is_on {
            uses.push(oid);
        }
    }
    for oid in extensions::uses(&role.ext_key_usage, &role.ext_key_usage_oids)? {
        if !uses.contains(&oid) {
            uses.push(oid);
        }
    }
    Ok(uses)
}
