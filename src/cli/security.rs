//! How a client protects its connections: etcdctl's flags.

use std::env;
use std::path::PathBuf;

use clap::Args;

use super::exit::CliError;
use crate::base::tls::{CertificateFiles, Part, Side, TlsSettings, TlsVersion};
use crate::client::ClientError;
use crate::client::security::Security;
use crate::config::parse_switch;

/// etcdctl's flags for TLS. Each can also be given in the environment, in etcdctl's name for it, too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Client options")]
pub(super) struct SecurityArguments {
    /// Authorities that sign servers' certificates, in PEM (also from ETCDCTL_CACERT) [default: the system's]
    #[arg(long, global = true, env = "STEAD_CACERT", hide_env_values = true)]
    cacert: Option<PathBuf>,
    /// Certificate to show, in PEM (also from ETCDCTL_CERT)
    #[arg(long, global = true, env = "STEAD_CERT", hide_env_values = true)]
    cert: Option<PathBuf>,
    /// Its key (also from ETCDCTL_KEY)
    // Commands have an argument of the name `key`.
    #[arg(
        id = "certificate_key",
        long = "key",
        value_name = "KEY",
        global = true,
        env = "STEAD_KEY",
        hide_env_values = true
    )]
    key: Option<PathBuf>,
    /// Whether endpoints without a scheme are spoken with in the clear (also from ETCDCTL_INSECURE_TRANSPORT) [default: true]
    #[arg(long, global = true, env = "STEAD_INSECURE_TRANSPORT", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    insecure_transport: Option<bool>,
    /// Accept any certificate of a server: for tests only (also from ETCDCTL_INSECURE_SKIP_TLS_VERIFY)
    #[arg(long, global = true, env = "STEAD_INSECURE_SKIP_TLS_VERIFY", hide_env_values = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = switch)]
    insecure_skip_tls_verify: Option<bool>,
    /// Oldest TLS spoken: TLS1.2 or TLS1.3
    #[arg(long, global = true, default_value = "TLS1.2", value_parser = version)]
    tls_min_version: TlsVersion,
    /// Newest TLS spoken
    #[arg(long, global = true, default_value = "TLS1.3", value_parser = version)]
    tls_max_version: TlsVersion,
}

/// etcdctl's flags for TLS with the destination of a mirror. No variables stand for them, as in etcdctl.
#[derive(Debug, Clone, Args)]
pub(super) struct DestinationArguments {
    /// Authorities that sign the destination's certificates, in PEM [default: the system's]
    #[arg(long)]
    dest_cacert: Option<PathBuf>,
    /// Certificate to show to the destination, in PEM
    #[arg(long)]
    dest_cert: Option<PathBuf>,
    /// Its key
    #[arg(long)]
    dest_key: Option<PathBuf>,
    /// Whether a destination without a scheme is spoken with in the clear
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", value_parser = switch)]
    dest_insecure_transport: bool,
}

fn switch(text: &str) -> Result<bool, String> {
    parse_switch(text).ok_or_else(|| "write true or false".to_owned())
}

fn version(text: &str) -> Result<TlsVersion, String> {
    TlsVersion::parse(text).ok_or_else(|| "write TLS1.2 or TLS1.3".to_owned())
}

/// A value that etcdctl's variable gives, if nothing else does.
fn from_etcdctl(name: &str) -> Option<String> {
    env::var(format!("ETCDCTL_{name}"))
        .ok()
        .filter(|value| !value.is_empty())
}

impl SecurityArguments {
    /// What they ask for.
    ///
    /// # Errors
    /// They contradict each other.
    pub(super) fn security(&self) -> Result<Security, CliError> {
        let path = |given: &Option<PathBuf>, name: &str| {
            let given = given.clone().filter(|path| !path.as_os_str().is_empty());
            given.or_else(|| from_etcdctl(name).map(PathBuf::from))
        };
        let truth = |given: Option<bool>, name: &str, default: bool| match given {
            Some(given) => Ok(given),
            None => match from_etcdctl(name) {
                Some(text) => switch(&text)
                    .map_err(|mend| CliError::invalid(format!("ETCDCTL_{name} is {text:?}: {mend}"))),
                None => Ok(default),
            },
        };
        let mut settings = TlsSettings::new(Side::Client);
        settings.authorities = path(&self.cacert, "CACERT");
        settings.dialling_identity = pair("--", path(&self.cert, "CERT"), path(&self.key, "KEY"))?;
        settings.trusts_any_server = truth(self.insecure_skip_tls_verify, "INSECURE_SKIP_TLS_VERIFY", false)?;
        settings.minimum_version = self.tls_min_version;
        settings.maximum_version = self.tls_max_version;
        if settings.minimum_version > settings.maximum_version {
            return Err(CliError::invalid(
                "--tls-min-version is newer than --tls-max-version; lower the first or raise the second",
            ));
        }
        let is_insecure = truth(self.insecure_transport, "INSECURE_TRANSPORT", true)?;
        Ok(Security::new(settings, is_insecure))
    }
}

impl DestinationArguments {
    /// What they ask for.
    ///
    /// # Errors
    /// They contradict each other.
    pub(super) fn security(&self) -> Result<Security, CliError> {
        let mut settings = TlsSettings::new(Side::Client);
        settings.authorities = self.dest_cacert.clone();
        settings.dialling_identity = pair("--dest-", self.dest_cert.clone(), self.dest_key.clone())?;
        Ok(Security::new(settings, self.dest_insecure_transport))
    }
}

/// A certificate and its key: both or none; `flags`: what the names of their flags begin with.
fn pair(
    flags: &str,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<CertificateFiles>, CliError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CliError::invalid(format!(
            "{flags}cert needs {flags}key, the key of the certificate"
        ))),
        (None, Some(_)) => Err(CliError::invalid(format!(
            "{flags}key needs {flags}cert, the certificate it belongs to"
        ))),
    }
}

/// The text of an error of the client, with the names of the flags that begin with `flags`.
pub(super) fn unprotected(flags: &str, error: ClientError) -> CliError {
    let ClientError::Tls(error) = error else {
        return error.into();
    };
    let flag = match error.part {
        Part::Certificate | Part::DiallingCertificate => "cert",
        Part::Key | Part::DiallingKey => "key",
        Part::Authorities | Part::Revocations => "cacert",
    };
    let path = error.path.display();
    CliError::invalid(format!("{flags}{flag} is {path:?}: {}", error.reason))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        security: SecurityArguments,
    }

    #[derive(Debug, clap::Parser)]
    struct DestinationLine {
        #[command(flatten)]
        security: DestinationArguments,
    }

    #[test]
    fn a_destination_has_flags_of_its_own() {
        let destination = |arguments: &[&str]| {
            let line = std::iter::once("stead").chain(arguments.iter().copied());
            DestinationLine::try_parse_from(line).unwrap().security.security()
        };
        assert!(!destination(&[]).unwrap().protects("a:1"));
        assert!(
            destination(&["--dest-insecure-transport=false"])
                .unwrap()
                .protects("a:1")
        );
        let error = destination(&["--dest-cert=a.pem"]).unwrap_err();
        assert!(error.message.contains("--dest-cert needs --dest-key"), "{error}");
        let nowhere = destination(&["--dest-cacert=/nowhere/ca.pem"]).unwrap();
        assert!(nowhere.protects("a:1"));
        let error = unprotected("--dest-", nowhere.load().unwrap_err());
        assert!(
            error.message.contains("--dest-cacert is \"/nowhere/ca.pem\""),
            "{error}"
        );
    }

    fn security(arguments: &[&str]) -> Result<Security, CliError> {
        let line = std::iter::once("stead").chain(arguments.iter().copied());
        Line::try_parse_from(line).unwrap().security.security()
    }

    #[test]
    fn the_scheme_of_an_endpoint_decides_and_without_one_the_flags() {
        let plain = security(&[]).unwrap();
        assert!(plain.protects("https://a:1"));
        assert!(plain.protects("unixs:///run/stead"));
        assert!(!plain.protects("a:1"));
        assert!(!plain.protects("unix:///run/stead"));
        for arguments in [
            &["--insecure-transport=false"][..],
            &["--insecure-skip-tls-verify"],
            &["--cacert", "ca.pem"],
            &["--cert=a.pem", "--key=a.key"],
        ] {
            let protected = security(arguments).unwrap();
            assert!(protected.protects("a:1"), "{arguments:?}");
            assert!(protected.protects("unix:///run/stead"), "{arguments:?}");
            assert!(!protected.protects("http://a:1"), "{arguments:?}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_its_mend() {
        for (arguments, part) in [
            (&["--cert=a.pem"][..], "--cert needs --key"),
            (&["--key=a.key"], "--key needs --cert"),
            (
                &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
                "lower the first",
            ),
        ] {
            let error = security(arguments).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
        let nowhere = security(&["--cacert=/nowhere/ca.pem"]).unwrap();
        let error = CliError::from(nowhere.load().unwrap_err());
        assert!(
            error.message.contains("--cacert is \"/nowhere/ca.pem\""),
            "{error}"
        );
    }
}
