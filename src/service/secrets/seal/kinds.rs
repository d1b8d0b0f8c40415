//! The seals whose key is on this machine while it is used: put together from shares, read from a file, or taken from the
//! environment. All wrap the root key by AES-256-GCM, as [`cipher`] does every record.
//!
//! A key file and a variable are as safe as what keeps them: whoever has both it and the store has the secrets. The variable
//! stays readable to the user who runs the process; a key file is refused where group or others may use it.
//!
//! Never keeps a key anywhere; never falls back from one seal to another.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::error::SealError;
use super::wrap::{SealKey, SealKind};
use crate::base::limits::MAXIMUM_KEY_FILE_BYTES;
use crate::service::secrets::barrier::BarrierError;
use crate::service::secrets::barrier::cipher::{self, Place};
use crate::service::secrets::memory::{KEY_BYTES, Key};
use crate::service::secrets::randomness::Randomness;

/// The term in the head of what a seal wraps: the seals are no terms of a keyring.
const SEAL_TERM: u32 = 0;

/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A seal with a key of 32 bytes.
pub struct LocalSeal {
    id: String,
    kind: SealKind,
    key: Key,
}

impl LocalSeal {
    /// The seal whose key people hold in shares, once it was put together or before it is split.
    #[must_use]
    pub fn shares(id: impl Into<String>, key: Key) -> Self {
        Self {
            id: id.into(),
            kind: SealKind::Shares,
            key,
        }
    }

    /// The seal whose key is in a file: 32 bytes, or their text in hexadecimal or base64.
    ///
    /// # Errors
    /// The file cannot be read, is no file, may be used by others, or holds no key.
    pub fn key_file(id: impl Into<String>, path: &Path) -> Result<Self, SealError> {
        let failed = |source| SealError::KeyFile {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        // Of the open file, which is what is read, whatever its name leads to by now.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() || metadata.len() > MAXIMUM_KEY_FILE_BYTES {
            return Err(SealError::KeyFileKind {
                path: path.to_owned(),
            });
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealError::KeyFileIsOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let room = usize::try_from(MAXIMUM_KEY_FILE_BYTES).unwrap_or_default();
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.take(MAXIMUM_KEY_FILE_BYTES)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let source_name = format!("key file {}", path.display());
        let key = match bytes.as_slice().try_into() {
            Ok(raw) => checked(Key::copied_from(raw), &source_name)?,
            Err(_) => key_of_text(&bytes, &source_name)?,
        };
        Ok(Self {
            id: id.into(),
            kind: SealKind::KeyFile,
            key,
        })
    }

    /// The seal whose key is in an environment variable, in hexadecimal or base64, as `read` finds it: [`std::env::var_os`].
    ///
    /// # Errors
    /// The variable is not set or holds no key.
    pub fn environment(
        id: impl Into<String>,
        variable: &str,
        read: impl FnOnce(&str) -> Option<OsString>,
    ) -> Result<Self, SealError> {
        let source_name = format!("environment variable {variable}");
        let Some(value) = read(variable) else {
            return Err(SealError::Key {
                source_name,
                reason: "it is not set",
            });
        };
        let value = Zeroizing::new(value.into_encoded_bytes());
        Ok(Self {
            id: id.into(),
            kind: SealKind::Environment,
            key: key_of_text(&value, &source_name)?,
        })
    }

    /// What the wrapped key is bound to.
    fn place_of(&self) -> Vec<u8> {
        ["stead seal", self.kind.name(), self.id.as_str()]
            .join("\0")
            .into_bytes()
    }
}

impl SealKey for LocalSeal {
    fn id(&self) -> &str {
        &self.id
    }

    fn kind(&self) -> SealKind {
        self.kind
    }

    fn wrap(&self, root: &Key, randomness: &mut dyn Randomness) -> Result<Vec<u8>, SealError> {
        let place = self.place_of();
        let place = Place {
            storage_key: &place,
            version: 0,
        };
        cipher::encrypt(&self.key, SEAL_TERM, place, root.expose(), randomness).map_err(|error| match error {
            BarrierError::Randomness(error) => SealError::Randomness(error),
            _ => self.cannot(),
        })
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Key, SealError> {
        let place = self.place_of();
        let place = Place {
            storage_key: &place,
            version: 0,
        };
        let plaintext = cipher::decrypt(&self.key, place, wrapped).map_err(|_| self.cannot())?;
        let root: &[u8; KEY_BYTES] = plaintext
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| self.cannot())?;
        Ok(Key::copied_from(root))
    }
}

impl LocalSeal {
    fn cannot(&self) -> SealError {
        SealError::CannotUnwrap {
            id: self.id.clone(),
            kind: self.kind,
        }
    }
}

/// The key in `text`: 64 hexadecimal digits, or base64 of 32 bytes. Space around it is passed over.
fn key_of_text(text: &[u8], source_name: &str) -> Result<Key, SealError> {
    let text = text.trim_ascii();
    let key = if text.len() == 2 * KEY_BYTES {
        Key::filled(|bytes| {
            for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                *byte = digits
                    .iter()
                    .try_fold(0, |value, digit| {
                        Some(value << 4 | char::from(*digit).to_digit(16)?)
                    })
                    .and_then(|value| u8::try_from(value).ok())
                    .ok_or("it has 64 characters that are not all hexadecimal digits")?;
            }
            Ok(())
        })
    } else {
        Key::filled(|bytes| match BASE64.decode_slice(text, bytes) {
            Ok(KEY_BYTES) => Ok(()),
            Ok(_) => Err("it is base64 of fewer than 32 bytes"),
            Err(_) => Err("it is neither hexadecimal nor base64 of 32 bytes"),
        })
    };
    match key {
        Ok(key) => checked(key, source_name),
        Err(reason) => Err(SealError::Key {
            source_name: source_name.to_owned(),
            reason,
        }),
    }
}

/// Refuses what was plainly not drawn at random.
fn checked(key: Key, source_name: &str) -> Result<Key, SealError> {
    let bytes = key.expose();
    if bytes.windows(2).all(|pair| pair.first() == pair.last()) {
        return Err(SealError::Key {
            source_name: source_name.to_owned(),
            reason: "all its bytes are equal",
        });
    }
    Ok(key)
}
