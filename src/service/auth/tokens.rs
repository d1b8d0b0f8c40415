//! Tokens: what a user shows instead of a password.
//!
//! Two kinds, as in etcd: simple ones that this cluster signs and understands alone, and JSON Web Tokens. Never knows
//! what a user may do.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use super::jwt::JwtTokens;
use super::simple::SimpleTokens;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::state::auth::{Auth, Identity};

/// How tokens are made (`--auth-token`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSettings {
    /// By this cluster, for itself.
    Simple {
        /// Time without use after which a token is void.
        ttl: Duration,
    },
    /// JSON Web Tokens.
    Jwt(JwtSettings),
}

/// How JSON Web Tokens are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// The file of the public key; none for a shared secret.
    pub public_key: Option<PathBuf>,
    /// The file of the private key, or of the shared secret; none: tokens are only checked here.
    pub private_key: Option<PathBuf>,
    /// How they are signed.
    pub method: JwtMethod,
    /// How long one is valid.
    pub ttl: Duration,
}

/// How a JSON Web Token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of RFC 7518 and RFC 8037")]
pub enum JwtMethod {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl JwtMethod {
    /// All of them, with their names.
    pub const NAMES: [(&'static str, Self); 12] = [
        ("HS256", Self::Hs256),
        ("HS384", Self::Hs384),
        ("HS512", Self::Hs512),
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    /// Whether the two sides share a secret.
    #[must_use]
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

/// A key of JSON Web Tokens cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("--auth-token: {file}: {reason}")]
pub struct KeyError {
    /// The file.
    pub file: String,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

/// Makes and checks tokens.
pub struct Tokens(Kind);

enum Kind {
    Simple(SimpleTokens),
    Jwt(Box<JwtTokens>),
}

impl Tokens {
    /// Tokens as the settings say.
    ///
    /// # Errors
    /// A key cannot be read or used.
    pub fn open(settings: TokenSettings) -> Result<Self, KeyError> {
        Ok(Self(match settings {
            TokenSettings::Simple { ttl } => Kind::Simple(SimpleTokens::new(ttl)),
            TokenSettings::Jwt(settings) => Kind::Jwt(Box::new(JwtTokens::open(settings)?)),
        }))
    }

    /// A token for a user, who has shown the password.
    ///
    /// # Errors
    /// No such user any more, or no key to sign with.
    pub fn issue(&self, auth: &Auth, name: &str) -> Result<Secret<String>, ServiceError> {
        match &self.0 {
            Kind::Simple(tokens) => tokens.issue(auth, name),
            Kind::Jwt(tokens) => tokens.issue(auth, name),
        }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// It is not valid.
    pub fn verify(&self, auth: &Auth, token: &Secret<String>) -> Result<Identity, ServiceError> {
        let identity = match &self.0 {
            Kind::Simple(tokens) => tokens.verify(auth, token.expose()),
            Kind::Jwt(tokens) => tokens.verify(token.expose()),
        };
        identity.ok_or(ServiceError::InvalidAuthToken)
    }

    /// Reads key files again when they change, for as long as it is awaited.
    pub(in crate::service) async fn follow_files(&self) {
        match &self.0 {
            Kind::Simple(_) => std::future::pending().await,
            Kind::Jwt(tokens) => tokens.follow_files().await,
        }
    }
}
