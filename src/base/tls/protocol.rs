//! Versions and cipher suites, by the names that etcd's flags have for them.
//!
//! Weaker suites that Go knows are left out, never spoken: nothing is less safe without them.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite, SupportedProtocolVersion, version};

/// A version of TLS. Older ones are not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl TlsVersion {
    /// Reads etcd's name of a version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "TLS1.2" => Some(Self::Tls12),
            "TLS1.3" => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// The suites of TLS 1.2 that are spoken, under Go's names. Two have an older name as well.
const SUITES: [(&str, CipherSuite); 8] = [
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The suites of TLS 1.3, which are always there: a list cannot choose among them, in etcd neither.
const SUITES_OF_TLS13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// What Go knows besides, and is not spoken here: no forward secrecy, or block ciphers with known attacks.
const WEAK_SUITES: [&str; 16] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

/// A choice of the suites of TLS 1.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CipherSuites(Vec<CipherSuite>);

impl CipherSuites {
    /// Reads a comma-separated list of Go's names; beside it, the names that are known and left out, since they are weak.
    ///
    /// # Errors
    /// A name is unknown, or nothing is left; what to write instead.
    pub fn parse(text: &str) -> Result<(Self, Vec<String>), String> {
        let (mut chosen, mut left_out, mut has_tls13) = (Vec::new(), Vec::new(), false);
        for name in text.split(',').map(str::trim) {
            if let Some((_, suite)) = SUITES.iter().find(|(known, _)| *known == name) {
                chosen.push(*suite);
            } else if SUITES_OF_TLS13.contains(&name) {
                has_tls13 = true;
            } else if WEAK_SUITES.contains(&name) {
                left_out.push(name.to_owned());
            } else {
                return Err(format!("{name:?} is no cipher suite; write {}", known_names()));
            }
        }
        if chosen.is_empty() && !has_tls13 {
            return Err(format!(
                "all of these are too weak to be spoken; write some of {}",
                known_names()
            ));
        }
        Ok((Self(chosen), left_out))
    }
}

fn known_names() -> String {
    let names: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
    names.join(",")
}

/// The cryptography, with the suites that were chosen.
pub(super) fn provider(chosen: Option<&CipherSuites>) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    if let Some(CipherSuites(chosen)) = chosen {
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || chosen.contains(&suite.suite()));
    }
    Arc::new(provider)
}

/// The versions from `minimum` to `maximum`.
pub(super) fn versions(minimum: TlsVersion, maximum: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    [
        (TlsVersion::Tls12, &version::TLS12),
        (TlsVersion::Tls13, &version::TLS13),
    ]
    .into_iter()
    .filter(|(version, _)| (minimum..=maximum).contains(version))
    .map(|(_, supported)| supported)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_suites_leaves_out_weak_ones_and_refuses_unknown_ones() {
        let (chosen, left_out) =
            CipherSuites::parse("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_GCM_SHA256")
                .unwrap();
        assert_eq!(chosen.0, [CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]);
        assert_eq!(left_out, ["TLS_RSA_WITH_AES_128_GCM_SHA256"]);
        for text in ["TLS_NONSENSE", "", "TLS_RSA_WITH_RC4_128_SHA"] {
            let error = CipherSuites::parse(text).unwrap_err();
            assert!(error.contains("write "), "{error}");
        }
    }

    #[test]
    fn every_suite_in_the_table_is_spoken_and_only_the_chosen_ones_are_left() {
        let all = provider(None);
        for (name, suite) in SUITES {
            assert!(
                all.cipher_suites.iter().any(|known| known.suite() == suite),
                "{name}"
            );
        }
        let (chosen, _) = CipherSuites::parse("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384").unwrap();
        let left: Vec<CipherSuite> = provider(Some(&chosen))
            .cipher_suites
            .iter()
            .filter(|suite| suite.tls13().is_none())
            .map(|suite| suite.suite())
            .collect();
        assert_eq!(left, [CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]);
    }

    #[test]
    fn versions_are_those_between_the_two() {
        assert_eq!(versions(TlsVersion::Tls12, TlsVersion::Tls13).len(), 2);
        assert_eq!(versions(TlsVersion::Tls13, TlsVersion::Tls13), [&version::TLS13]);
        assert_eq!(versions(TlsVersion::Tls12, TlsVersion::Tls12), [&version::TLS12]);
        assert_eq!(TlsVersion::parse("TLS1.1"), None);
    }
}
