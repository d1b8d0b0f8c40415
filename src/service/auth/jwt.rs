//! JSON Web Tokens with etcd's claims: `username`, `revision` (of users and roles, at the login) and `exp`.
//!
//! The key files are read again when they change; a file that cannot be used leaves the key that was there in place.
//! Never accepts a token of another signing method than the one that is set.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::tokens::{JwtMethod, JwtSettings, KeyError};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::ServiceError;
use crate::state::auth::{Auth, Identity};

/// Time between two looks at the key files.
const LOOK_SECONDS: u64 = 1;
/// Largest key file.
const MAXIMUM_KEY_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: u64,
}

/// Makes and checks JSON Web Tokens.
pub(super) struct JwtTokens {
    settings: JwtSettings,
    validation: Validation,
    keys: ArcSwap<Keys>,
    /// The files as they were when they were last looked at.
    seen: Mutex<Vec<Option<Stamp>>>,
}

struct Keys {
    verifying: DecodingKey,
    /// None: tokens are only checked here.
    signing: Option<EncodingKey>,
}

/// What changes with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl JwtTokens {
    /// Reads the keys.
    pub fn open(settings: JwtSettings) -> Result<Self, KeyError> {
        let mut validation = Validation::new(algorithm(settings.method));
        validation.leeway = 0;
        validation.validate_aud = false;
        // Looked at before they are read: what changes in between is seen as a change later.
        let seen = stamps(&settings);
        Ok(Self {
            keys: ArcSwap::from_pointee(read(&settings)?),
            seen: Mutex::new(seen),
            settings,
            validation,
        })
    }

    pub fn issue(&self, auth: &Auth, name: &str) -> Result<Secret<String>, ServiceError> {
        let keys = self.keys.load();
        let signing = keys.signing.as_ref().ok_or(ServiceError::TokenVerifyOnly)?;
        let claims = Claims {
            username: name.to_owned(),
            revision: auth.revision(),
            exp: clock::unix_time().saturating_add(self.settings.ttl).as_secs(),
        };
        let header = Header::new(algorithm(self.settings.method));
        jsonwebtoken::encode(&header, &claims, signing)
            .map(Secret::new)
            .map_err(|error| ServiceError::Internal(format!("cannot sign a token: {error}")))
    }

    pub fn verify(&self, token: &str) -> Option<Identity> {
        let keys = self.keys.load();
        let claims: Claims = jsonwebtoken::decode(token, &keys.verifying, &self.validation)
            .ok()?
            .claims;
        Some(Identity {
            user: claims.username,
            auth_revision: claims.revision,
            password_revision: None,
        })
    }

    /// Reads the keys again whenever a file changes.
    pub async fn follow_files(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(LOOK_SECONDS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            tokio::task::block_in_place(|| self.look());
        }
    }

    /// Reads the keys again if a file has changed since the last look.
    pub(super) fn look(&self) {
        let now = stamps(&self.settings);
        let mut seen = self.seen.lock();
        if *seen == now {
            return;
        }
        *seen = now;
        match read(&self.settings) {
            Ok(keys) => {
                self.keys.store(keys.into());
                tracing::info!("the keys of tokens have changed");
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of tokens have changed and cannot be used; the old ones stay")
            }
        }
    }
}

fn files(settings: &JwtSettings) -> impl Iterator<Item = &PathBuf> {
    settings.public_key.iter().chain(&settings.private_key)
}

fn stamps(settings: &JwtSettings) -> Vec<Option<Stamp>> {
    files(settings)
        .map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some(Stamp {
                modified: metadata.modified().ok()?,
                bytes: metadata.len(),
                inode: metadata.ino(),
            })
        })
        .collect()
}

fn read(settings: &JwtSettings) -> Result<Keys, KeyError> {
    let private = settings.private_key.as_deref().map(contents).transpose()?;
    if settings.method.is_symmetric() {
        let secret = private.ok_or_else(|| KeyError {
            file: "priv-key".to_owned(),
            reason: "it is missing; name the file of the shared secret".to_owned(),
        })?;
        return Ok(Keys {
            verifying: DecodingKey::from_secret(&secret),
            signing: Some(EncodingKey::from_secret(&secret)),
        });
    }
    let Some(public_path) = &settings.public_key else {
        return Err(KeyError {
            file: "pub-key".to_owned(),
            reason: "it is missing; name the file of the public key".to_owned(),
        });
    };
    let public = contents(public_path)?;
    let verifying = match settings.method {
        JwtMethod::Es256 | JwtMethod::Es384 => DecodingKey::from_ec_pem(&public),
        JwtMethod::EdDsa => DecodingKey::from_ed_pem(&public),
        _ => DecodingKey::from_rsa_pem(&public),
    }
    .map_err(|error| unusable(public_path, &error, "a public key in PEM format"))?;
    let signing = match (&private, &settings.private_key) {
        (Some(private), Some(path)) => {
            let key = match settings.method {
                JwtMethod::Es256 | JwtMethod::Es384 => EncodingKey::from_ec_pem(private),
                JwtMethod::EdDsa => EncodingKey::from_ed_pem(private),
                _ => EncodingKey::from_rsa_pem(private),
            };
            Some(key.map_err(|error| unusable(path, &error, "a private key in PEM format (PKCS #8)"))?)
        }
        _ => None,
    };
    Ok(Keys { verifying, signing })
}

fn contents(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let failed = |reason: String| KeyError {
        file: path.display().to_string(),
        reason,
    };
    let metadata = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if metadata.len() > MAXIMUM_KEY_BYTES || metadata.len() == 0 {
        return Err(failed(format!(
            "it has {} bytes; a key has 1 to {MAXIMUM_KEY_BYTES}",
            metadata.len()
        )));
    }
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| failed(error.to_string()))
}

fn unusable(path: &Path, error: &jsonwebtoken::errors::Error, wanted: &str) -> KeyError {
    KeyError {
        file: path.display().to_string(),
        reason: format!("{error}; it must hold {wanted} that fits sign-method"),
    }
}

fn algorithm(method: JwtMethod) -> Algorithm {
    match method {
        JwtMethod::Hs256 => Algorithm::HS256,
        JwtMethod::Hs384 => Algorithm::HS384,
        JwtMethod::Hs512 => Algorithm::HS512,
        JwtMethod::Rs256 => Algorithm::RS256,
        JwtMethod::Rs384 => Algorithm::RS384,
        JwtMethod::Rs512 => Algorithm::RS512,
        JwtMethod::Ps256 => Algorithm::PS256,
        JwtMethod::Ps384 => Algorithm::PS384,
        JwtMethod::Ps512 => Algorithm::PS512,
        JwtMethod::Es256 => Algorithm::ES256,
        JwtMethod::Es384 => Algorithm::ES384,
        JwtMethod::EdDsa => Algorithm::EdDSA,
    }
}
