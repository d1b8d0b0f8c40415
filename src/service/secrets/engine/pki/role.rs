//! Roles: what may be issued by name, and for how long.
//!
//! Never issues anything.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::extensions;
use super::fields::{self, Kind};
use super::keys::Shape;
use super::validity;
use crate::base::limits::{MAXIMUM_PKI_NAME_BYTES, MAXIMUM_SECRET_SEGMENT_BYTES};
use crate::service::secrets::engine::{Answer, Call, Data, Fault, Storage, storage};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;

/// What may be issued. The names of the fields are those of the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, clippy::struct_excessive_bools)]
pub struct Role {
    pub allow_any_name: bool,
    pub allow_bare_domains: bool,
    pub allow_glob_domains: bool,
    pub allow_ip_sans: bool,
    pub allow_localhost: bool,
    pub allow_subdomains: bool,
    pub allow_token_displayname: bool,
    pub allow_wildcard_certificates: bool,
    pub allowed_domains: Vec<String>,
    pub allowed_domains_template: bool,
    pub allowed_other_sans: Vec<String>,
    pub allowed_serial_numbers: Vec<String>,
    pub allowed_uri_sans: Vec<String>,
    pub allowed_uri_sans_template: bool,
    pub allowed_user_ids: Vec<String>,
    pub basic_constraints_valid_for_non_ca: bool,
    pub client_flag: bool,
    pub cn_validations: Vec<String>,
    pub code_signing_flag: bool,
    pub country: Vec<String>,
    pub email_protection_flag: bool,
    pub enforce_hostnames: bool,
    pub ext_key_usage: Vec<String>,
    pub ext_key_usage_oids: Vec<String>,
    pub generate_lease: bool,
    pub issuer_ref: String,
    pub key_bits: i64,
    pub key_type: String,
    pub key_usage: Vec<String>,
    pub locality: Vec<String>,
    pub max_ttl: u64,
    pub no_store: bool,
    pub not_after: String,
    pub not_before_duration: u64,
    pub organization: Vec<String>,
    pub ou: Vec<String>,
    pub policy_identifiers: Vec<String>,
    pub postal_code: Vec<String>,
    pub province: Vec<String>,
    pub require_cn: bool,
    pub server_flag: bool,
    pub signature_bits: i64,
    pub street_address: Vec<String>,
    pub ttl: u64,
    pub use_csr_common_name: bool,
    pub use_csr_sans: bool,
    pub use_pss: bool,
}

/// How long before it is made a certificate is valid, where nobody says: clocks differ.
pub const NOT_BEFORE_SECONDS: u64 = 30;

impl Default for Role {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            allow_any_name: false,
            allow_bare_domains: false,
            allow_glob_domains: false,
            allow_ip_sans: true,
            allow_localhost: true,
            allow_subdomains: false,
            allow_token_displayname: false,
            allow_wildcard_certificates: true,
            allowed_domains: Vec::new(),
            allowed_domains_template: false,
            allowed_other_sans: Vec::new(),
            allowed_serial_numbers: Vec::new(),
            allowed_uri_sans: Vec::new(),
            allowed_uri_sans_template: false,
            allowed_user_ids: Vec::new(),
            basic_constraints_valid_for_non_ca: false,
            client_flag: true,
            cn_validations: texts(&["email", "hostname"]),
            code_signing_flag: false,
            country: Vec::new(),
            email_protection_flag: false,
            enforce_hostnames: true,
            ext_key_usage: Vec::new(),
            ext_key_usage_oids: Vec::new(),
            generate_lease: false,
            issuer_ref: "default".to_owned(),
            key_bits: 0,
            key_type: "rsa".to_owned(),
            key_usage: texts(&["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
            locality: Vec::new(),
            max_ttl: 0,
            no_store: false,
            not_after: String::new(),
            not_before_duration: NOT_BEFORE_SECONDS,
            organization: Vec::new(),
            ou: Vec::new(),
            policy_identifiers: Vec::new(),
            postal_code: Vec::new(),
            province: Vec::new(),
            require_cn: true,
            server_flag: true,
            signature_bits: 0,
            street_address: Vec::new(),
            ttl: 0,
            use_csr_common_name: true,
            use_csr_sans: true,
            use_pss: false,
        }
    }
}

const FIELDS: [(&str, Kind); 46] = [
    ("allow_any_name", Kind::Switch),
    ("allow_bare_domains", Kind::Switch),
    ("allow_glob_domains", Kind::Switch),
    ("allow_ip_sans", Kind::Switch),
    ("allow_localhost", Kind::Switch),
    ("allow_subdomains", Kind::Switch),
    ("allow_token_displayname", Kind::Switch),
    ("allow_wildcard_certificates", Kind::Switch),
    ("allowed_domains", Kind::List),
    ("allowed_domains_template", Kind::Switch),
    ("allowed_other_sans", Kind::List),
    ("allowed_serial_numbers", Kind::List),
    ("allowed_uri_sans", Kind::List),
    ("allowed_uri_sans_template", Kind::Switch),
    ("allowed_user_ids", Kind::List),
    ("basic_constraints_valid_for_non_ca", Kind::Switch),
    ("client_flag", Kind::Switch),
    ("cn_validations", Kind::List),
    ("code_signing_flag", Kind::Switch),
    ("country", Kind::List),
    ("email_protection_flag", Kind::Switch),
    ("enforce_hostnames", Kind::Switch),
    ("ext_key_usage", Kind::List),
    ("ext_key_usage_oids", Kind::List),
    ("generate_lease", Kind::Switch),
    ("issuer_ref", Kind::Text),
    ("key_bits", Kind::Integer),
    ("key_type", Kind::Text),
    ("key_usage", Kind::List),
    ("locality", Kind::List),
    ("max_ttl", Kind::Seconds),
    ("no_store", Kind::Switch),
    ("not_after", Kind::Text),
    ("not_before_duration", Kind::Seconds),
    ("organization", Kind::List),
    ("ou", Kind::List),
    ("policy_identifiers", Kind::List),
    ("postal_code", Kind::List),
    ("province", Kind::List),
    ("require_cn", Kind::Switch),
    ("server_flag", Kind::Switch),
    ("signature_bits", Kind::Integer),
    ("street_address", Kind::List),
    ("ttl", Kind::Seconds),
    ("use_csr_common_name", Kind::Switch),
    ("use_csr_sans", Kind::Switch),
];

impl Role {
    /// A role with the fields of a request in it.
    ///
    /// # Errors
    /// A field is not what it should be, says what is not offered, or contradicts another.
    pub fn with(&self, body: &Body) -> Result<Self, Fault> {
        for (name, sentence) in [
            ("use_pss", "use_pss: signatures of RSA are those of PKCS #1 v1.5"),
            (
                "allowed_domains_template",
                "allowed_domains_template: domains are taken as they stand",
            ),
            (
                "allowed_uri_sans_template",
                "allowed_uri_sans_template: URIs are taken as they stand",
            ),
        ] {
            if fields::switch(body, name)? {
                return Err(Fault::Unimplemented(sentence.to_owned()));
            }
        }
        for name in ["allowed_other_sans", "allowed_user_ids"] {
            if !fields::list(body, name)?.is_empty() {
                return Err(Fault::Unimplemented(format!(
                    "{name}: certificates have no such names here"
                )));
            }
        }
        let mut role: Self = fields::merge(self, body, &FIELDS)?;
        role.check()?;
        // A lease would have nothing to revoke.
        role.generate_lease &= !role.no_store;
        if role.issuer_ref.is_empty() {
            "default".clone_into(&mut role.issuer_ref);
        }
        Ok(role)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.key_type != "any" {
            Shape::parse(&self.key_type, self.key_bits)?;
        }
        if !matches!(self.signature_bits, 0 | 256 | 384 | 512) {
            return Err(Fault::Invalid(format!(
                "unknown signature_bits {}; it can be 0, 256, 384 or 512",
                self.signature_bits
            )));
        }
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Fault::Invalid(
                "\"ttl\" value must be less than \"max_ttl\" value".to_owned(),
            ));
        }
        if !self.not_after.is_empty() {
            validity::parse(&self.not_after)?;
        }
        let known = ["email", "hostname", "disabled"];
        if let Some(other) = self
            .cn_validations
            .iter()
            .find(|kind| !known.contains(&kind.as_str()))
        {
            return Err(Fault::Invalid(format!(
                "unknown value {other:?} in cn_validations; it can be email, hostname or disabled"
            )));
        }
        if self.cn_validations.len() > 1 && self.cn_validations.iter().any(|kind| kind == "disabled") {
            return Err(Fault::Invalid(
                "cn_validations: disabled stands alone or not at all".to_owned(),
            ));
        }
        let lists = [
            &self.organization,
            &self.ou,
            &self.country,
            &self.locality,
            &self.province,
        ];
        let others = [
            &self.street_address,
            &self.postal_code,
            &self.allowed_domains,
            &self.allowed_uri_sans,
        ];
        let mut texts = lists.into_iter().chain(others).flatten();
        if let Some(text) = texts.find(|text| text.len() > MAXIMUM_PKI_NAME_BYTES) {
            return Err(Fault::Invalid(format!(
                "a name has {} bytes; the most is {MAXIMUM_PKI_NAME_BYTES}",
                text.len()
            )));
        }
        extensions::usages(&self.key_usage)?;
        extensions::uses(&self.ext_key_usage, &self.ext_key_usage_oids)?;
        extensions::policies(&self.policy_identifiers).map(drop)
    }

    /// Which key it has made.
    ///
    /// # Errors
    /// It makes none.
    pub fn shape(&self) -> Result<Shape, Fault> {
        if self.key_type == "any" {
            return Err(Fault::Invalid(
                "role key type \"any\" not allowed for issuing certificates, only signing".to_owned(),
            ));
        }
        Shape::parse(&self.key_type, self.key_bits)
    }

    /// Whether somebody may have a certificate for a key of this shape.
    ///
    /// # Errors
    /// The key is too small or of another type.
    pub fn allows(&self, shape: Shape) -> Result<(), Fault> {
        let least = match (shape, self.key_type.as_str()) {
            (Shape::Rsa(_), "any") => 2048,
            (_, "any") => 0,
            (shape, kind) if shape.kind() != kind => {
                return Err(Fault::Invalid(format!("role requires keys of type {kind}")));
            }
            (_, kind) => Shape::parse(kind, self.key_bits)?.bits(),
        };
        if shape.bits() < least {
            return Err(Fault::Invalid(format!(
                "role requires a minimum of a {least}-bit key, but CSR's key is {} bits",
                shape.bits()
            )));
        }
        Ok(())
    }

    /// How long what it issues may last at most, below what the mount allows.
    #[must_use]
    pub fn maximum(&self, call: &Call<'_>) -> Duration {
        match self.max_ttl {
            0 => call.mount.tuning.maximum_lease(),
            seconds => Duration::from_secs(seconds).min(call.mount.tuning.maximum_lease()),
        }
    }

    fn data(&self) -> Result<Data, Fault> {
        let mut data = Data::new();
        let Ok(serde_json::Value::Object(map)) = serde_json::to_value(self) else {
            return Err(Fault::Internal("a role cannot be written".to_owned()));
        };
        for (name, value) in map {
            data.set(name, &value)?;
        }
        // As clients compare it with what they meant, which is not nothing.
        if let ("rsa" | "ec", 0) = (self.key_type.as_str(), self.key_bits) {
            data.set("key_bits", &Shape::parse(&self.key_type, 0)?.bits())?;
        }
        Ok(data)
    }
}

/// The role of a name.
///
/// # Errors
/// It cannot be read.
pub fn find(storage: &mut dyn Storage, name: &str) -> Result<Option<Role>, Fault> {
    storage::read(storage, &format!("role/{name}"))
}

/// Answers a request for `roles/` and what is below it.
///
/// # Errors
/// What the client is told.
pub fn handle(call: &Call<'_>, storage: &mut dyn Storage, name: &str) -> Result<Answer, Fault> {
    if name.is_empty() {
        return match call.operation {
            Operation::List => Answer::list(storage.list("role")?),
            _ => Err(Fault::Unsupported),
        };
    }
    if name.contains('/') || name.len() > MAXIMUM_SECRET_SEGMENT_BYTES {
        return Err(Fault::NoPath(format!("{name:?} is no name of a role")));
    }
    let path = format!("role/{name}");
    match call.operation {
        Operation::Read => Ok(Answer::data(find(storage, name)?.ok_or(Fault::Missing)?.data()?)),
        Operation::Create | Operation::Update => save(call, storage, &path, &Role::default()),
        Operation::Patch => {
            let role = find(storage, name)?.ok_or(Fault::Missing)?;
            save(call, storage, &path, &role)
        }
        Operation::Delete => {
            storage.delete(&path)?;
            Ok(Answer::default())
        }
        _ => Err(Fault::Unsupported),
    }
}

fn save(call: &Call<'_>, storage: &mut dyn Storage, path: &str, before: &Role) -> Result<Answer, Fault> {
    let role = before.with(call.body)?;
    storage::write(storage, path, &role, None)?;
    let mut answer = Answer::data(role.data()?);
    if fields::switch(call.body, "no_store")? && fields::switch(call.body, "generate_lease")? {
        answer
            .warnings
            .push("generate_lease is off: what is not stored cannot be revoked by its lease".to_owned());
    }
    Ok(answer)
}
