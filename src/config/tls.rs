//! The flags of TLS, for clients and for peers: checked by themselves, against each other, and against the files they
//! name, by etcd's rules.

use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::settings::{invalid, switch};
use super::sources::{Given, Values};
use super::url::HostUrl;
use crate::base::tls::{
    AllowedNames, CertificateFiles, CipherSuites, Identity, Part, SelfSigned, Side, Tls, TlsSettings,
    TlsVersion,
};

type Result<T> = std::result::Result<T, ConfigError>;

/// Longest life of a self-signed certificate.
const MAXIMUM_VALIDITY_YEARS: u32 = 100;

/// What etcd takes a year for.
const DAYS_PER_YEAR: u32 = 365;

/// Where self-signed certificates are kept, in the data folder.
const FIXTURES: &str = "fixtures";

/// The names of one side's flags.
struct Names {
    side: Side,
    certificate: &'static str,
    key: &'static str,
    dialling_certificate: &'static str,
    dialling_key: &'static str,
    requires_certificate: &'static str,
    authorities: &'static str,
    revocations: &'static str,
    common_names: &'static str,
    hosts: &'static str,
    self_signed: &'static str,
}

const CLIENT: Names = Names {
    side: Side::Client,
    certificate: "cert-file",
    key: "key-file",
    dialling_certificate: "client-cert-file",
    dialling_key: "client-key-file",
    requires_certificate: "client-cert-auth",
    authorities: "trusted-ca-file",
    revocations: "client-crl-file",
    common_names: "client-cert-allowed-cn",
    hosts: "client-cert-allowed-hostname",
    self_signed: "auto-tls",
};

const PEER: Names = Names {
    side: Side::Peer,
    certificate: "peer-cert-file",
    key: "peer-key-file",
    dialling_certificate: "peer-client-cert-file",
    dialling_key: "peer-client-key-file",
    requires_certificate: "peer-client-cert-auth",
    authorities: "peer-trusted-ca-file",
    revocations: "peer-crl-file",
    common_names: "peer-cert-allowed-cn",
    hosts: "peer-cert-allowed-hostname",
    self_signed: "peer-auto-tls",
};

/// What the rules need to know besides the flags.
pub(super) struct Addresses<'urls> {
    /// Where clients are listened to, metrics among them.
    pub(super) client: &'urls [HostUrl],
    /// Where peers are listened to.
    pub(super) peer: &'urls [HostUrl],
    /// Whether a member that is known is to be dialled with TLS.
    pub(super) a_member_is_protected: bool,
}

/// TLS for clients and for peers; none for a side on which nothing is protected. What has no effect is added to the
/// warnings.
///
/// # Errors
/// The first value that cannot be, with its mend.
pub(super) fn build(
    values: &mut Values,
    data_folder: &Path,
    addresses: &Addresses<'_>,
) -> Result<[Option<TlsSettings>; 2]> {
    let client = side(values, &CLIENT, data_folder, addresses.client, false)?;
    let peer = side(
        values,
        &PEER,
        data_folder,
        addresses.peer,
        addresses.a_member_is_protected,
    )?;
    if values.is_given(CLIENT.dialling_certificate) {
        values.warnings.push(
            "--client-cert-file has no effect: nothing in a node connects to its own client port".to_owned(),
        );
    }
    Ok([client, peer])
}

fn side(
    values: &mut Values,
    names: &Names,
    data_folder: &Path,
    listen: &[HostUrl],
    dials: bool,
) -> Result<Option<TlsSettings>> {
    let mut settings = TlsSettings::new(names.side);
    read_protocol(values, &mut settings, names.side)?;
    read_names(values, names, &mut settings)?;
    let files = pair(values, names.certificate, names.key)?;
    let dialling = pair(values, names.dialling_certificate, names.dialling_key)?;
    if names.side == Side::Peer {
        settings.dialling_identity = dialling;
        settings.checks_address = !switch(values, "peer-skip-client-san-verification")?;
    }
    let asks_for_certificates = switch(values, names.requires_certificate)?;
    settings.authorities = path(values, names.authorities);
    settings.revocations = path(values, names.revocations);
    // In etcd a file of authorities alone has the same effect; only the name counts for nothing then.
    settings.requires_certificate = asks_for_certificates || settings.authorities.is_some();
    settings.names_callers = asks_for_certificates && names.side == Side::Client;

    let listens = listen.iter().any(HostUrl::is_tls);
    let wants_self_signed = switch(values, names.self_signed)?;
    settings.identity = match files {
        Some(files) => {
            if wants_self_signed {
                warn(values, names.self_signed, "there is a certificate in a file");
            }
            Some(Identity::Files(files))
        }
        None if wants_self_signed && listens => {
            if names.side == Side::Peer && settings.requires_certificate {
                return Err(ConfigError::Conflict(format!(
                    "--{} makes certificates that no authority has signed: leave out --{} and --{}, or give \
                     certificates with --{}",
                    names.self_signed, names.requires_certificate, names.authorities, names.certificate
                )));
            }
            settings.trusts_any_server = true;
            Some(Identity::SelfSigned(SelfSigned {
                folder: data_folder.join(FIXTURES).join(names.side.to_string()),
                hosts: listen
                    .iter()
                    .map(HostUrl::host)
                    // The file of a Unix socket may have a name that no certificate can have.
                    .filter(|host| !host.is_empty() && host.is_ascii())
                    .map(str::to_owned)
                    .collect(),
                validity_days: validity_years(values)? * DAYS_PER_YEAR,
                side: names.side,
            }))
        }
        None => None,
    };
    for url in listen.iter().filter(|url| !url.is_tls()) {
        for flag in [names.certificate, names.requires_certificate, names.self_signed] {
            if values.asks_for(flag) {
                warn(
                    values,
                    flag,
                    &format!(
                        "{} is listened on without TLS; write https:// to protect it",
                        url.text()
                    ),
                );
            }
        }
    }
    if listens && settings.identity.is_none() {
        let url = listen.iter().find(|url| url.is_tls()).map_or("", HostUrl::text);
        return Err(ConfigError::Conflict(format!(
            "{url:?} is to be listened on with TLS, but there is no certificate: give --{} and --{}, or --{}",
            names.certificate, names.key, names.self_signed
        )));
    }
    if settings.requires_certificate && settings.authorities.is_none() && listens {
        warn(
            values,
            names.requires_certificate,
            &format!(
                "--{} is not given, so that certificates of all authorities that this machine trusts are accepted",
                names.authorities
            ),
        );
    }
    settings.dials = names.side == Side::Peer;
    // A member that is added later may be protected, though none is now.
    let is_used = listens || dials || (settings.dials && settings.authorities.is_some());
    if !is_used {
        return Ok(None);
    }
    Tls::check(&settings).map_err(|error| {
        let flag = match error.part {
            Part::Certificate => names.certificate,
            Part::Key => names.key,
            Part::DiallingCertificate => names.dialling_certificate,
            Part::DiallingKey => names.dialling_key,
            Part::Authorities => names.authorities,
            Part::Revocations => names.revocations,
        };
        invalid(&values.get(flag), error.reason)
    })?;
    Ok(Some(settings))
}

fn warn(values: &mut Values, flag: &'static str, reason: &str) {
    let origin = values.get(flag).origin;
    values.warnings.push(format!("{origin}: {reason}"));
}

fn path(values: &Values, flag: &'static str) -> Option<PathBuf> {
    values
        .is_given(flag)
        .then(|| PathBuf::from(values.get(flag).value))
}

/// A certificate and its key: both or none.
fn pair(values: &Values, certificate: &'static str, key: &'static str) -> Result<Option<CertificateFiles>> {
    match (path(values, certificate), path(values, key)) {
        (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(invalid(
            &values.get(certificate),
            format!("its key is missing; give --{key} as well"),
        )),
        (None, Some(_)) => Err(invalid(
            &values.get(key),
            format!("its certificate is missing; give --{certificate} as well"),
        )),
    }
}

/// Whose certificates are accepted.
fn read_names(values: &Values, names: &Names, settings: &mut TlsSettings) -> Result<()> {
    let list = |flag: &'static str| -> Result<Vec<String>> {
        let given = values.get(flag);
        if given.value.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = given
            .value
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();
        if names.iter().any(String::is_empty) {
            return Err(invalid(&given, "a name in it is empty; write name,name"));
        }
        Ok(names)
    };
    let (common_names, hosts) = (list(names.common_names)?, list(names.hosts)?);
    settings.allowed = match (common_names.is_empty(), hosts.is_empty()) {
        (true, true) => AllowedNames::All,
        (false, true) => AllowedNames::CommonNames(common_names),
        (true, false) => AllowedNames::Hosts(hosts),
        (false, false) => {
            return Err(ConfigError::Conflict(format!(
                "--{} and --{} exclude each other: give one of them",
                names.common_names, names.hosts
            )));
        }
    };
    Ok(())
}

/// Versions and cipher suites, which both sides share.
fn read_protocol(values: &mut Values, settings: &mut TlsSettings, side: Side) -> Result<()> {
    let version = |given: &Given| {
        TlsVersion::parse(&given.value).ok_or_else(|| invalid(given, "write TLS1.2 or TLS1.3"))
    };
    let (minimum, maximum) = (values.get("tls-min-version"), values.get("tls-max-version"));
    if !minimum.value.is_empty() {
        settings.minimum_version = version(&minimum)?;
    }
    if !maximum.value.is_empty() {
        settings.maximum_version = version(&maximum)?;
    }
    if settings.minimum_version > settings.maximum_version {
        return Err(invalid(
            &maximum,
            format!(
                "--tls-min-version is {:?}, which is newer; raise the one or lower the other",
                minimum.value
            ),
        ));
    }
    let suites = values.get("cipher-suites");
    if suites.value.is_empty() {
        return Ok(());
    }
    if settings.minimum_version == TlsVersion::Tls13 {
        return Err(invalid(
            &suites,
            "TLS 1.3 has its own, which cannot be chosen; leave it out, or allow TLS1.2 with --tls-min-version",
        ));
    }
    let (chosen, left_out) = CipherSuites::parse(&suites.value).map_err(|mend| invalid(&suites, mend))?;
    settings.cipher_suites = Some(chosen);
    if !left_out.is_empty() && side == Side::Client {
        let reason = format!("{} are left out, since they are weak", left_out.join(", "));
        warn(values, "cipher-suites", &reason);
    }
    Ok(())
}

fn validity_years(values: &Values) -> Result<u32> {
    let given = values.get("self-signed-cert-validity");
    match given.value.parse() {
        Ok(years @ 1..=MAXIMUM_VALIDITY_YEARS) => Ok(years),
        _ => Err(invalid(
            &given,
            format!("write a number of years from 1 to {MAXIMUM_VALIDITY_YEARS}"),
        )),
    }
}

#[cfg(test)]
mod tests;
