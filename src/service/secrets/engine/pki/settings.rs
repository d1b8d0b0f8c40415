//! Settings of a mount: where its issuers are found, how long revocation lists are good, which issuer is the default.
//!
//! Never changes an issuer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::extensions::Places;
use super::fields::{self, Kind};
use super::issuers::{self, Defaults};
use super::{Work, revocation};
use crate::service::secrets::engine::{Answer, Data, Fault, Storage, storage};
use crate::service::secrets::parameters;
use crate::service::secrets::policy::Operation;

/// Where the issuers of a mount are found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Urls {
    issuing_certificates: Vec<String>,
    crl_distribution_points: Vec<String>,
    ocsp_servers: Vec<String>,
}

/// The fields that say where an issuer is found.
pub const PLACES: [(&str, Kind); 3] = [
    ("issuing_certificates", Kind::List),
    ("crl_distribution_points", Kind::List),
    ("ocsp_servers", Kind::List),
];

impl Urls {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(storage::read(storage, "config/urls")?.unwrap_or_default())
    }

    /// As certificates have them.
    #[must_use]
    pub fn places(&self) -> Places {
        Places {
            issuers: self.issuing_certificates.clone(),
            lists: self.crl_distribution_points.clone(),
            responders: self.ocsp_servers.clone(),
        }
    }

    fn data(&self) -> Result<Data, Fault> {
        Data::new()
            .with("issuing_certificates", &self.issuing_certificates)?
            .with("crl_distribution_points", &self.crl_distribution_points)?
            .with("ocsp_servers", &self.ocsp_servers)?
            .with("enable_templating", &false)
    }
}

/// Checks places that certificates are to name.
///
/// # Errors
/// One is no URL.
pub fn check_urls(urls: &[String]) -> Result<(), Fault> {
    let is_url = |url: &String| {
        let has_scheme = ["http://", "https://", "ldap://", "ldaps://"]
            .iter()
            .any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
        has_scheme && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match urls.iter().find(|url| !is_url(url)) {
        Some(url) => Err(Fault::Invalid(format!("invalid URL found: {url}"))),
        None => Ok(()),
    }
}

/// How revocation lists are made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct CrlSettings {
    expiry: String,
    /// Whether they are empty.
    pub disable: bool,
}

impl Default for CrlSettings {
    fn default() -> Self {
        Self {
            expiry: "72h".to_owned(),
            disable: false,
        }
    }
}

impl CrlSettings {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(storage: &mut dyn Storage) -> Result<Self, Fault> {
        Ok(storage::read(storage, "config/crl")?.unwrap_or_default())
    }

    /// How long a list is good.
    ///
    /// # Errors
    /// It is no time.
    pub fn expiry(&self) -> Result<Duration, Fault> {
        Ok(parameters::span(&self.expiry.as_str().into())?)
    }

    fn data(&self) -> Result<Data, Fault> {
        Data::new()
            .with("expiry", &self.expiry)?
            .with("disable", &self.disable)?
            .with("auto_rebuild", &false)?
            .with("auto_rebuild_grace_period", "12h")?
            .with("enable_delta", &false)?
            .with("delta_rebuild_interval", "15m")?
            .with("ocsp_disable", &true)?
            .with("ocsp_expiry", "12h")
    }
}

/// Answers for `config/urls`.
///
/// # Errors
/// What the client is told.
pub fn urls(work: &mut Work<'_>) -> Result<Answer, Fault> {
    let mut urls = Urls::read(work.storage)?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update => {
            if fields::switch(work.call.body, "enable_templating")? {
                return Err(Fault::Unimplemented(
                    "enable_templating: URLs are taken as they stand".to_owned(),
                ));
            }
            urls = fields::merge(&urls, work.call.body, &PLACES)?;
            for list in [
                &urls.issuing_certificates,
                &urls.crl_distribution_points,
                &urls.ocsp_servers,
            ] {
                check_urls(list)?;
            }
            storage::write(work.storage, "config/urls", &urls, None)?;
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(Answer::data(urls.data()?))
}

/// Answers for `config/crl`.
///
/// # Errors
/// What the client is told.
pub fn crl(work: &mut Work<'_>) -> Result<Answer, Fault> {
    let mut settings = CrlSettings::read(work.storage)?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update => {
            for (name, why) in [
                ("auto_rebuild", "a list says what was revoked at once"),
                ("enable_delta", "lists are always whole"),
                ("cross_cluster_revocation", "a mount has one cluster"),
                ("unified_crl", "a mount has one cluster"),
                ("unified_crl_on_existing_paths", "a mount has one cluster"),
            ] {
                if fields::switch(work.call.body, name)? {
                    return Err(Fault::Unimplemented(format!("{name} ({why})")));
                }
            }
            let known = [("expiry", Kind::Seconds), ("disable", Kind::Switch)];
            // Kept in the form in which it was written.
            let expiry = work.call.body.get("expiry").map(|value| match value.as_str() {
                Some(text) => text.trim().to_owned(),
                None => format!("{value}s"),
            });
            let [span, switch] = known;
            fields::merge(&serde_json::json!({}), work.call.body, &[span])?;
            settings = fields::merge(&settings, work.call.body, &[switch])?;
            if let Some(expiry) = expiry {
                settings.expiry = expiry;
            }
            if settings.expiry()?.is_zero() {
                return Err(Fault::Invalid(
                    "expiry must be more than nothing; write a time as 72h".to_owned(),
                ));
            }
            storage::write(work.storage, "config/crl", &settings, None)?;
            revocation::rotate(work)?;
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(Answer::data(settings.data()?))
}

/// Answers for `config/issuers`. A write without a reference means `usual`, if there is such a name.
///
/// # Errors
/// What the client is told.
pub fn default_issuer(work: &mut Work<'_>, usual: Option<&str>) -> Result<Answer, Fault> {
    let mut defaults = Defaults::read(work.storage)?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update => {
            if let Some(reference) = fields::text(work.call.body, "default")?.or(usual) {
                defaults.issuer = issuers::need(work.storage, reference)?.id;
            }
            if work.call.body.get("default_follows_latest_issuer").is_some() {
                defaults.follows_latest = fields::switch(work.call.body, "default_follows_latest_issuer")?;
            }
            defaults.write(work.storage)?;
        }
        _ => return Err(Fault::Unsupported),
    }
    let data = Data::new()
        .with("default", &defaults.issuer)?
        .with("default_follows_latest_issuer", &defaults.follows_latest)?;
    Ok(Answer::data(data))
}

/// Answers for `config/keys`.
///
/// # Errors
/// What the client is told.
pub fn default_key(work: &mut Work<'_>) -> Result<Answer, Fault> {
    let mut defaults = Defaults::read(work.storage)?;
    match work.call.operation {
        Operation::Read => {}
        Operation::Create | Operation::Update => {
            let reference = fields::required(work.call.body, "default")?;
            let key = issuers::find_key(work.storage, reference)?.ok_or_else(|| {
                Fault::Invalid(format!("unable to find PKI key for reference: {reference}"))
            })?;
            defaults.key = key.id;
            defaults.write(work.storage)?;
        }
        _ => return Err(Fault::Unsupported),
    }
    Ok(Answer::data(Data::new().with("default", &defaults.key)?))
}
