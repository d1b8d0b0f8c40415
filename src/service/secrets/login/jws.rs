//! JSON Web Tokens in their compact form (RFC 7515, 7519): taken apart, and their signatures checked.
//!
//! Never takes `none` or a signature by a shared secret, never takes a key for another algorithm than its own, and never
//! reads a clock.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::base::limits::{
    MAXIMUM_JWT_KEYS, MAXIMUM_LOGIN_JWT_BYTES, MAXIMUM_SECRET_BODY_DEPTH, MINIMUM_JWT_RSA_BITS,
};
use crate::service::document;
use crate::service::secrets::engine::{Call, Errand, Fault};

/// Which keys an algorithm takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The algorithms, by the names of RFC 7518 and 8037.
const ALGORITHMS: [(&str, Algorithm, Family); 9] = [
    ("RS256", Algorithm::RS256, Family::Rsa),
    ("RS384", Algorithm::RS384, Family::Rsa),
    ("RS512", Algorithm::RS512, Family::Rsa),
    ("PS256", Algorithm::PS256, Family::Rsa),
    ("PS384", Algorithm::PS384, Family::Rsa),
    ("PS512", Algorithm::PS512, Family::Rsa),
    ("ES256", Algorithm::ES256, Family::P256),
    ("ES384", Algorithm::ES384, Family::P384),
    ("EdDSA", Algorithm::EdDSA, Family::Ed25519),
];

/// Whether there is an algorithm of that name.
#[must_use]
pub fn is_algorithm(name: &str) -> bool {
    ALGORITHMS.iter().any(|(known, _, _)| *known == name)
}

/// A key that checks signatures.
pub struct VerifyingKey {
    id: Option<String>,
    /// The one algorithm that it is for, as its set says.
    only: Option<String>,
    family: Family,
    key: DecodingKey,
}

impl VerifyingKey {
    /// The public keys in a text of PEM: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`.
    ///
    /// # Errors
    /// One cannot be read, or is of a kind that signs nothing here, or there is none.
    pub fn from_pem(text: &str) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for block in Pem::iter_from_buffer(text.as_bytes()) {
            let block = block.map_err(|_| "it is no PEM".to_owned())?;
            let broken = |_| format!("its {} cannot be read", block.label);
            keys.push(match block.label.as_str() {
                "PUBLIC KEY" => {
                    let (_, info) = SubjectPublicKeyInfo::from_der(&block.contents).map_err(broken)?;
                    Self::from_info(&info)?
                }
                "RSA PUBLIC KEY" => Self::from_rsa(&block.contents)?,
                "CERTIFICATE" => {
                    let certificate = block.parse_x509().map_err(broken)?;
                    Self::from_info(certificate.public_key())?
                }
                label => return Err(format!("a {label} is no public key")),
            });
        }
        if keys.is_empty() {
            return Err("it holds no PEM".to_owned());
        }
        Ok(keys)
    }

    fn from_rsa(der: &[u8]) -> Result<Self, String> {
        match x509_parser::public_key::RSAPublicKey::from_der(der) {
            Ok((_, key)) if key.key_size() >= MINIMUM_JWT_RSA_BITS => {
                Ok(Self::new(Family::Rsa, DecodingKey::from_rsa_der(der)))
            }
            Ok(_) => Err(format!("its RSA key has less than {MINIMUM_JWT_RSA_BITS} bits")),
            Err(_) => Err("its RSA key cannot be read".to_owned()),
        }
    }

    fn from_info(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let bytes = info.subject_public_key.data.as_ref();
        match info.parsed() {
            Ok(PublicKey::RSA(_)) => Self::from_rsa(bytes),
            Ok(PublicKey::EC(_)) => {
                let curve = info
                    .algorithm
                    .parameters
                    .as_ref()
                    .and_then(|parameters| parameters.as_oid().ok());
                let family = match curve.map(|curve| curve.to_id_string()).as_deref() {
                    Some("1.2.840.10045.3.1.7") => Family::P256,
                    Some("1.3.132.0.34") => Family::P384,
                    _ => return Err("its key is on another curve than P-256 and P-384".to_owned()),
                };
                Ok(Self::new(family, DecodingKey::from_ec_der(bytes)))
            }
            _ if info.algorithm.algorithm.to_id_string() == "1.3.101.112" => {
                Ok(Self::new(Family::Ed25519, DecodingKey::from_ed_der(bytes)))
            }
            _ => Err("its key is none of RSA, P-256, P-384 and Ed25519".to_owned()),
        }
    }

    fn new(family: Family, key: DecodingKey) -> Self {
        Self {
            id: None,
            only: None,
            family,
            key,
        }
    }

    /// The keys of a set (RFC 7517). Those that check no signature here are passed by.
    ///
    /// # Errors
    /// It is no set.
    pub fn from_set(bytes: &[u8]) -> Result<Vec<Self>, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(bytes).map_err(|_| "it is no set of keys".to_owned())?;
        let keys = set.keys.into_iter().take(MAXIMUM_JWT_KEYS);
        Ok(keys.filter_map(Self::from_member).collect())
    }

    fn from_member(member: Value) -> Option<Self> {
        let only = member.get("alg").and_then(Value::as_str).map(str::to_owned);
        let jwk: Jwk = serde_json::from_value(member).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let family = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) => {
                let modulus = URL_SAFE_NO_PAD.decode(&key.n).ok()?;
                let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
                (bits >= MINIMUM_JWT_RSA_BITS).then_some(Family::Rsa)?
            }
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => Family::P256,
                EllipticCurve::P384 => Family::P384,
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Family::Ed25519,
            _ => return None,
        };
        Some(Self {
            id: jwk.common.key_id.clone(),
            only,
            family,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// A token that was taken apart. Nothing that it says is proved before [`Token::is_signed`] says so.
pub struct Token<'text> {
    algorithm: &'static (&'static str, Algorithm, Family),
    key_id: Option<String>,
    message: &'text str,
    signature: &'text str,
    claims: Map<String, Value>,
}

impl<'text> Token<'text> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is none, or its algorithm is not among those that are taken here. The text holds nothing of it.
    pub fn parse(text: &'text str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            crit: Option<Value>,
        }
        if text.len() > MAXIMUM_LOGIN_JWT_BYTES {
            return Err(format!("it has more than {MAXIMUM_LOGIN_JWT_BYTES} bytes"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err("compact JWS format must have three parts".to_owned());
        };
        let part = |name: &str, text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let value = text.and_then(|text| document::json(&text, MAXIMUM_SECRET_BODY_DEPTH).ok());
            value.ok_or_else(|| format!("its {name} cannot be read"))
        };
        let header: Header = serde_json::from_value(part("header", header)?)
            .map_err(|_| "its header says no algorithm".to_owned())?;
        if header.crit.is_some() {
            return Err("its header demands extensions that are not known here".to_owned());
        }
        let algorithm = ALGORITHMS
            .iter()
            .find(|(name, _, _)| *name == header.alg)
            .ok_or("its signing algorithm is not supported")?;
        let Value::Object(claims) = part("payload", claims)? else {
            return Err("its payload is no object".to_owned());
        };
        // The message ends before the last dot.
        let message = text.rsplit_once('.').map_or("", |(message, _)| message);
        Ok(Self {
            algorithm,
            key_id: header.kid,
            message,
            signature,
            claims,
        })
    }

    /// The name of its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.0
    }

    /// Whether one of the keys made its signature.
    #[must_use]
    pub fn is_signed(&self, keys: &[VerifyingKey]) -> bool {
        let (name, algorithm, family) = self.algorithm;
        let fits = |key: &&VerifyingKey| {
            let is_named = match (&self.key_id, &key.id) {
                (Some(wanted), Some(id)) => wanted == id,
                _ => true,
            };
            is_named && key.family == *family && key.only.as_deref().is_none_or(|only| only == *name)
        };
        keys.iter().filter(fits).any(|key| {
            jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), &key.key, *algorithm)
                .unwrap_or(false)
        })
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

/// What an errand brought.
///
/// # Errors
/// It was not run yet, or failed.
pub fn fetched<'call>(call: &Call<'call>, errand: Errand) -> Result<&'call [u8], Fault> {
    match call.fetched.get(&errand) {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(reason)) => Err(Fault::Upstream(format!("cannot ask {}: {reason}", errand.url))),
        None => Err(Fault::Fetch(errand)),
    }
}

/// A URL that can be asked.
///
/// # Errors
/// It is none.
pub fn checked_url(field: &str, url: &str) -> Result<String, Fault> {
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || host.is_none_or(|host| host.is_empty() || host.starts_with('/') || host.contains('@')) {
        return Err(Fault::Invalid(format!(
            "{field} is no URL; write one that begins with https:// or http:// and has no user in it"
        )));
    }
    Ok(url.to_owned())
}

/// A text of PEM that holds certificates and nothing else; empty: none.
///
/// # Errors
/// It holds something else, or none.
pub fn checked_authorities(field: &str, text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let mut blocks = Pem::iter_from_buffer(text.as_bytes()).peekable();
    let is_some = blocks.peek().is_some();
    let is_good = |block: Result<Pem, _>| {
        let block: Option<Pem> = block.ok();
        block.is_some_and(|block| block.label == "CERTIFICATE" && block.parse_x509().is_ok())
    };
    if is_some && blocks.all(is_good) {
        return Ok(());
    }
    Err(Fault::Invalid(format!(
        "{field} holds no certificates; write them as PEM"
    )))
}
