//! What engines answer.
//!
//! Data keep the text of their numbers, and are wiped when they are dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::{Fault, storage};

/// An answer. That of a write that has nothing to say is the default.
#[derive(Debug, Default)]
pub struct Answer {
    /// What was asked for; none: there is nothing to say (204).
    pub data: Option<Data>,
    /// What the client is to be warned of.
    pub warnings: Vec<String>,
    /// A token that is to be made for the client.
    pub login: Option<Login>,
    /// What is leased with this answer.
    pub leased: Option<Leased>,
    /// How long the client may take the data for good, where nothing is leased.
    pub advice: Option<Duration>,
    /// Whether the data are those of something that is gone: they come with 404.
    pub is_gone: bool,
    /// The status that the answer has whatever else is said: that of a batch of which a part failed.
    pub status: Option<u16>,
    /// Bytes that are the whole answer, instead of data.
    pub raw: Option<Raw>,
    /// The request is refused after all, and what was changed for it stays: a wrong password was counted. Nothing else of
    /// the answer is told then.
    pub refused: Option<Fault>,
}

impl Answer {
    /// An answer of data.
    #[must_use]
    pub fn data(data: Data) -> Self {
        Self {
            data: Some(data),
            ..Self::default()
        }
    }

    /// A refusal that leaves what was changed.
    #[must_use]
    pub fn refused(fault: Fault) -> Self {
        Self {
            refused: Some(fault),
            ..Self::default()
        }
    }

    /// A token that is to be made.
    #[must_use]
    pub fn login(login: Login) -> Self {
        Self {
            login: Some(login),
            ..Self::default()
        }
    }

    /// The names that a list found, sorted; nothing there is [`Fault::Missing`].
    ///
    /// # Errors
    /// There is none.
    pub fn list(mut keys: Vec<String>) -> Result<Self, Fault> {
        if keys.is_empty() {
            return Err(Fault::Missing);
        }
        keys.sort();
        Ok(Self::data(Data::new().with("keys", &keys)?))
    }
}

/// The bytes of an answer that is not JSON.
#[derive(Debug)]
pub struct Raw {
    /// Their type: `application/pem-certificate-chain`, ...
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// Fields of JSON, by name.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Data(BTreeMap<String, Box<RawValue>>);

impl Data {
    /// No fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With another field, or another value for one.
    ///
    /// # Errors
    /// The value cannot be written as JSON, which none of a plain type is.
    pub fn with(mut self, name: impl Into<String>, value: &(impl Serialize + ?Sized)) -> Result<Self, Fault> {
        self.set(name, value)?;
        Ok(self)
    }

    /// Sets a field.
    ///
    /// # Errors
    /// As [`Data::with`].
    pub fn set(&mut self, name: impl Into<String>, value: &(impl Serialize + ?Sized)) -> Result<(), Fault> {
        let mut bytes = storage::json(value)?;
        let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| unwritten())?;
        let text = RawValue::from_string(text).map_err(|_| unwritten())?;
        self.0.insert(name.into(), text);
        Ok(())
    }

    /// Sets a field to a text that is JSON already, and stays as it is written.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn set_text(&mut self, name: impl Into<String>, json: &str) -> Result<(), Fault> {
        let text = RawValue::from_string(json.to_owned())
            .map_err(|_| Fault::Internal("what is stored is no JSON".to_owned()))?;
        self.0.insert(name.into(), text);
        Ok(())
    }

    /// The text of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.get())
    }

    /// The names of the fields and their texts.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, text)| (name.as_str(), text.as_ref()))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn unwritten() -> Fault {
    Fault::Internal("an answer cannot be written as JSON".to_owned())
}

impl fmt::Debug for Data {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{} redacted fields]", self.0.len())
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        for (_, text) in std::mem::take(&mut self.0) {
            let mut text: Box<str> = text.into();
            text.zeroize();
        }
    }
}

/// A token that a login gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Login {
    /// The name that audit shows, without that of the mount.
    pub display_name: String,
    /// Who logged in, as the mount knows it: a user's name, a role's id.
    pub alias: String,
    /// Its policies, `default` not among them unless it is meant to be.
    pub policies: Vec<String>,
    /// Whether `default` is left out.
    pub no_default_policy: bool,
    /// What is said of who has it.
    pub metadata: BTreeMap<String, String>,
    /// How long it lasts; zero: as the mount says.
    pub ttl: Duration,
    /// How long it may last with renewals; zero: as the mount says.
    pub max_ttl: Duration,
    /// How long it may last whatever else is said; zero: no such limit.
    pub explicit_max_ttl: Duration,
    /// How long it lasts after each renewal, for ever; zero: it is not periodic.
    pub period: Duration,
    /// How often it may be used; zero: as often as anybody likes.
    pub uses: u64,
    /// From where it may be used; empty: from anywhere.
    pub bound_cidrs: Vec<IpNet>,
    /// Whether it is stored; none: as the mount says, which is that it is.
    pub kind: Option<TokenKind>,
    /// Whether it cannot be renewed.
    pub is_fixed: bool,
}

/// Whether a token is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// It is: it can be renewed, revoked and counted.
    Service,
    /// It is not: it holds, encrypted, what it is good for.
    Batch,
}

/// What is leased with an answer.
#[derive(Debug, Clone)]
pub struct Leased {
    /// For how long; zero: as the mount says.
    pub ttl: Duration,
    /// How long it may be renewed for; zero: as the mount says.
    pub max_ttl: Duration,
    /// Whether it can be renewed.
    pub is_renewable: bool,
    /// What the engine needs to take it back.
    pub details: Vec<u8>,
}
