//! Certificates of anybody: who connects is asked for one and need not show it. That it has the key is proved; who signed
//! the certificate is for others to judge, and its dates and its version with it.
//!
//! Never trusts anybody, and never lets a handshake pass whose signature is not by the key of the certificate.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::asn1_rs::Sequence;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};

use super::verify::Rules;

/// Takes the certificates of all who connect, those excepted that are revoked.
#[derive(Debug)]
pub(super) struct Anybody {
    pub(super) rules: Rules,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.rules.check(end_entity, intermediates)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = key_of(certificate)?;
        let algorithm = algorithm_of(&key)?;
        let mapping = self.provider.signature_verification_algorithms.mapping;
        let fitting = mapping
            .iter()
            .filter(|(scheme, _)| *scheme == signature.scheme)
            .flat_map(|(_, algorithms)| algorithms.iter())
            .filter(|candidate| candidate.public_key_alg_id().as_ref() == algorithm);
        for candidate in fitting {
            let bits = &key.subject_public_key.data;
            if candidate
                .verify_signature(bits, message, signature.signature())
                .is_ok()
            {
                return Ok(HandshakeSignatureValid::assertion());
            }
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key_of(certificate)?.raw);
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The public key of a certificate of any version: certificates of old have version 1, which chains are not built of.
fn key_of<'der>(certificate: &'der CertificateDer<'_>) -> Result<SubjectPublicKeyInfo<'der>, Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    Ok(parsed.tbs_certificate.subject_pki)
}

/// What kind of key it is: the content of its `AlgorithmIdentifier`.
fn algorithm_of(key: &SubjectPublicKeyInfo<'_>) -> Result<Vec<u8>, Error> {
    let content = |der: &[u8]| {
        Sequence::from_der(der)
            .map(|(_, sequence)| sequence.content.into_owned())
            .map_err(|_| Error::from(CertificateError::BadEncoding))
    };
    content(&content(key.raw)?)
}
