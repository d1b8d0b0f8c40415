//! Passwords, drawn.
//!
//! Never draws from less than all characters, and never mends a password that does not meet the rules: it is thrown away.

use std::io;

use zeroize::Zeroizing;

use super::{PasswordPolicy, PasswordPolicyError};
use crate::base::secret::Secret;
use crate::service::secrets::engine::Fault;
use crate::service::secrets::randomness::Randomness;

/// Passwords that are drawn before it is given up.
const MAXIMUM_DRAWS: usize = 50_000;
/// Passwords among them that have to meet the rules before a policy is written: with fewer, one that is asked for later might
/// not be found.
const NEEDED_DRAWS: usize = 20;
/// Bytes of randomness that are asked of the system at once.
const DRAWN_BYTES: usize = 512;

impl PasswordPolicy {
    /// A password that meets the rules.
    ///
    /// # Errors
    /// None was found, or there is no randomness.
    pub fn generate(&self, randomness: &mut dyn Randomness) -> Result<Secret<String>, Fault> {
        let mut drawn = self.draw(1, randomness)?;
        drawn.pop().ok_or_else(|| {
            Fault::Internal(format!(
                "none of {MAXIMUM_DRAWS} passwords met the rules of the policy"
            ))
        })
    }

    /// Refuses a policy whose rules hardly any password meets.
    ///
    /// # Errors
    /// It is one, or there is no randomness.
    pub fn check(&self, randomness: &mut dyn Randomness) -> Result<(), Fault> {
        let drawn = self.draw(NEEDED_DRAWS, randomness)?.len();
        if drawn < NEEDED_DRAWS {
            return Err(PasswordPolicyError::new(format!(
                "of {MAXIMUM_DRAWS} passwords that were tried {drawn} met its rules: lower \"min-chars\" or raise \"length\""
            ))
            .into());
        }
        Ok(())
    }

    /// As many passwords that meet the rules; fewer, if they are not found.
    fn draw(&self, wanted: usize, randomness: &mut dyn Randomness) -> Result<Vec<Secret<String>>, Fault> {
        let mut randomness = Buffered::new(randomness);
        let mut found = Vec::with_capacity(wanted);
        let mut password = Zeroizing::new(Vec::with_capacity(self.length));
        for _ in 0..MAXIMUM_DRAWS {
            if found.len() == wanted {
                break;
            }
            password.clear();
            for _ in 0..self.length {
                password.push(self.character(&mut randomness)?);
            }
            if self.is_met(&password) {
                found.push(text(&password));
            }
        }
        Ok(found)
    }

    fn character(&self, randomness: &mut Buffered<'_>) -> Result<char, Fault> {
        let place = match u8::try_from(self.characters.len()) {
            Ok(bound) => randomness.below(bound)?,
            // There are 256, as many as bytes.
            Err(_) => randomness.byte()?,
        };
        let character = self.characters.get(usize::from(place)).copied();
        character.ok_or_else(|| Fault::Internal("a character was drawn that there is none of".to_owned()))
    }

    pub(super) fn is_met(&self, password: &[char]) -> bool {
        self.rules.iter().all(|rule| {
            let is_of_it = |character: &&char| rule.characters.binary_search(character).is_ok();
            password.iter().filter(is_of_it).count() >= rule.minimum
        })
    }
}

/// Characters as text, in bytes that are never moved.
fn text(characters: &[char]) -> Secret<String> {
    let bytes = characters.iter().map(|character| character.len_utf8()).sum();
    let mut text = Zeroizing::new(String::with_capacity(bytes));
    text.extend(characters);
    Secret::new(std::mem::take(&mut *text))
}

/// Asks the system for more bytes at once than are needed.
struct Buffered<'source> {
    source: &'source mut dyn Randomness,
    bytes: Zeroizing<[u8; DRAWN_BYTES]>,
    used: usize,
}

impl<'source> Buffered<'source> {
    fn new(source: &'source mut dyn Randomness) -> Self {
        Self {
            source,
            bytes: Zeroizing::new([0; DRAWN_BYTES]),
            used: DRAWN_BYTES,
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.used == DRAWN_BYTES {
            self.source.fill(&mut *self.bytes)?;
            self.used = 0;
        }
        let byte = self.bytes.get(self.used).copied();
        self.used += 1;
        byte.ok_or_else(|| io::Error::other("no byte is left"))
    }
}

impl Randomness for Buffered<'_> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        for byte in bytes {
            *byte = self.byte()?;
        }
        Ok(())
    }
}

impl From<PasswordPolicyError> for Fault {
    fn from(error: PasswordPolicyError) -> Self {
        Self::Invalid(error.to_string())
    }
}
