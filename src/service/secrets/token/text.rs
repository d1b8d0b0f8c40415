//! What tokens look like: a prefix that says of which kind they are, and 24 characters of 62, each as likely as any other.
//!
//! Never short of 142 bits of randomness.

use zeroize::Zeroizing;

use crate::base::secret::Secret;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// What tokens that are stored begin with.
pub const SERVICE: &str = "hvs.";
/// What tokens that are not stored begin with.
pub const BATCH: &str = "hvb.";
/// Characters behind the prefix, and of accessors.
pub const RANDOM_CHARACTERS: usize = 24;
/// Characters of a token that is stored.
pub const TOKEN_CHARACTERS: usize = SERVICE.len() + RANDOM_CHARACTERS;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token that is stored.
///
/// # Errors
/// There is no randomness.
pub fn token(randomness: &mut dyn Randomness) -> Result<Secret<String>, Fault> {
    let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARACTERS));
    text.push_str(SERVICE);
    append(&mut text, RANDOM_CHARACTERS, randomness)?;
    Ok(Secret::new(std::mem::take(&mut *text)))
}

/// Characters at random, for accessors and ids of leases.
///
/// # Errors
/// There is no randomness.
pub fn random(characters: usize, randomness: &mut dyn Randomness) -> Result<String, Fault> {
    let mut text = String::with_capacity(characters);
    append(&mut text, characters, randomness)?;
    Ok(text)
}

fn append(text: &mut String, characters: usize, randomness: &mut dyn Randomness) -> Result<(), Fault> {
    for _ in 0..characters {
        // 62 is below 256, and what is drawn is one of the 62.
        let at = usize::from(randomness.below(62)?);
        text.push(char::from(ALPHABET.get(at).copied().unwrap_or(b'0')));
    }
    Ok(())
}
