//! Which certificates are accepted: those of a trusted authority, that are not revoked, with an allowed name.
//!
//! Chains and signatures are checked by rustls. One thing is added, since etcd's users rely on it: a certificate that is
//! itself in the file of authorities is good, though it may be an authority's own.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};
use thiserror::Error as ThisError;

use super::certificate::{Details, RevokedCertificates};
use super::settings::AllowedNames;

/// Why a certificate of a trusted authority is refused all the same.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
enum Refused {
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate's common name {0:?} is not one of those that are allowed")]
    CommonName(String),
    #[error("the certificate is for none of the host names that are allowed")]
    Host,
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// What a certificate must fulfil beyond its chain.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) revoked: Arc<RevokedCertificates>,
    pub(super) allowed: AllowedNames,
}

impl Rules {
    pub(super) fn check(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        for certificate in std::iter::once(shown).chain(between) {
            let details = Details::of(certificate).map_err(Refused::Unreadable)?;
            if self.revoked.contains(&details.key) {
                return Err(Error::InvalidCertificate(CertificateError::Revoked));
            }
        }
        match &self.allowed {
            AllowedNames::All => Ok(()),
            AllowedNames::CommonNames(allowed) => {
                let details = Details::of(shown).map_err(Refused::Unreadable)?;
                let name = details.common_name.unwrap_or_default();
                if allowed.contains(&name) {
                    return Ok(());
                }
                Err(Refused::CommonName(name).into())
            }
            AllowedNames::Hosts(allowed) => {
                let certificate = ParsedCertificate::try_from(shown)?;
                let is_allowed = allowed.iter().any(|host| {
                    ServerName::try_from(host.as_str())
                        .is_ok_and(|name| verify_server_name(&certificate, &name).is_ok())
                });
                if is_allowed {
                    return Ok(());
                }
                Err(Refused::Host.into())
            }
        }
    }

    /// Whether a certificate is trusted by itself: it is in the file of authorities, may be used so and is valid now. If
    /// not, the outcome of the search for an authority stands.
    fn is_trusted_itself(
        &self,
        shown: &CertificateDer<'_>,
        may_be_used: impl Fn(&Details) -> bool,
        now: UnixTime,
    ) -> bool {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        self.authorities.iter().any(|authority| authority == shown)
            && Details::of(shown)
                .is_ok_and(|details| may_be_used(&details) && details.valid_seconds.contains(&now))
    }
}

/// Checks the certificates of those who connect.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) chains: Arc<dyn ClientCertVerifier>,
    pub(super) rules: Rules,
}

impl ClientCertVerifier for Callers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chains.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Err(error) = self.chains.verify_client_cert(end_entity, intermediates, now)
            && !self
                .rules
                .is_trusted_itself(end_entity, |details| details.is_for_clients, now)
        {
            return Err(error);
        }
        self.rules.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Checks the certificates of those who are dialled.
#[derive(Debug)]
pub(super) struct Dialled {
    /// None: any certificate will do.
    pub(super) chains: Option<Arc<WebPkiServerVerifier>>,
    pub(super) rules: Rules,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Dialled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified = chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if let Err(error) = verified {
            if !self
                .rules
                .is_trusted_itself(end_entity, |details| details.is_for_servers, now)
            {
                return Err(error);
            }
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        }
        self.rules.check(end_entity, intermediates)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
