//! The parameters of tokens that every login method and every role of tokens has: `token_ttl`, `token_policies` and so on.
//!
//! Never knows which method it is for, and never holds a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fields;
use crate::service::secrets::engine::{Data, Fault, Login, Peer, TokenKind};
use crate::service::secrets::parameters::Body;

/// What tokens are to be like.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// How long they last; zero: as the mount says.
    pub ttl: Duration,
    /// How long they may last with renewals; zero: as the mount says.
    pub max_ttl: Duration,
    /// How long they may last whatever else is said; zero: no such limit.
    pub explicit_max_ttl: Duration,
    /// How long they last after each renewal, for ever; zero: they are not periodic.
    pub period: Duration,
    /// Their policies, sorted, in lower case.
    pub policies: Vec<String>,
    /// Whether `default` is left out.
    pub no_default_policy: bool,
    /// How often they may be used; zero: as often as anybody likes.
    pub uses: u64,
    /// From where they may be made and used; empty: from anywhere.
    pub bound_cidrs: Vec<IpNet>,
    /// Whether they are stored.
    pub kind: KindSetting,
    /// The fields that were set by their name of before, without `token_`, and are shown by it too.
    old: BTreeSet<String>,
}

/// Whether tokens are stored, as a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KindSetting {
    /// As the mount says.
    #[default]
    Default,
    /// They are.
    Service,
    /// They are not.
    Batch,
    /// They are, unless a request says otherwise.
    DefaultService,
    /// They are not, unless a request says otherwise.
    DefaultBatch,
}

impl KindSetting {
    const NAMES: [(&'static str, Self); 6] = [
        ("default", Self::Default),
        ("", Self::Default),
        ("service", Self::Service),
        ("batch", Self::Batch),
        ("default-service", Self::DefaultService),
        ("default-batch", Self::DefaultBatch),
    ];

    /// As requests and answers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("default", |(name, _)| name)
    }

    /// What it means where a request says nothing.
    #[must_use]
    pub fn kind(self) -> Option<TokenKind> {
        match self {
            Self::Default => None,
            Self::Service | Self::DefaultService => Some(TokenKind::Service),
            Self::Batch | Self::DefaultBatch => Some(TokenKind::Batch),
        }
    }
}

/// The fields, in the order of their names.
pub const FIELDS: [&str; 9] = [
    "token_bound_cidrs",
    "token_explicit_max_ttl",
    "token_max_ttl",
    "token_no_default_policy",
    "token_num_uses",
    "token_period",
    "token_policies",
    "token_ttl",
    "token_type",
];

impl Settings {
    /// Takes what a request says, and leaves what it does not. A method that had names for some of the fields before they
    /// were the same everywhere gives those as `old`, without `token_`: `policies`, `ttl`. The present name goes first.
    ///
    /// # Errors
    /// A value is not what its field needs, or they contradict each other.
    pub fn update(&mut self, body: &Body, old: &[&str]) -> Result<(), Fault> {
        let given = |field: &str| body.get(field).filter(|value| !value.is_null());
        for field in FIELDS {
            if let Some(value) = given(field) {
                self.set(field, value)?;
                self.old.remove(short(field));
            } else if old.contains(&short(field))
                && let Some(value) = given(short(field))
            {
                self.set(field, value)?;
                self.old.insert(short(field).to_owned());
            }
        }
        self.check()
    }

    /// Sets one field of [`FIELDS`], without a look at the others.
    ///
    /// # Errors
    /// The value is not what it needs, or there is no such field.
    pub fn set(&mut self, field: &str, value: &Value) -> Result<(), Fault> {
        match field {
            "token_ttl" => self.ttl = fields::span(field, value)?,
            "token_max_ttl" => self.max_ttl = fields::span(field, value)?,
            "token_explicit_max_ttl" => self.explicit_max_ttl = fields::span(field, value)?,
            "token_period" => self.period = fields::span(field, value)?,
            "token_policies" => self.policies = policies(&fields::list(field, value)?),
            "token_no_default_policy" => self.no_default_policy = fields::switch(field, value)?,
            "token_num_uses" => self.uses = fields::count(field, value)?,
            "token_bound_cidrs" => self.bound_cidrs = fields::cidrs(field, value)?,
            "token_type" => self.kind = kind(&fields::text(field, value)?)?,
            _ => return Err(Fault::Internal(format!("there is no field {field}"))),
        }
        Ok(())
    }

    /// Whether the fields go together.
    ///
    /// # Errors
    /// They do not.
    pub fn check(&self) -> Result<(), Fault> {
        let wrong = |text: &str| Err(Fault::Invalid(text.to_owned()));
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return wrong("'token_ttl' cannot be greater than 'token_max_ttl'");
        }
        if self.kind.kind() == Some(TokenKind::Batch) {
            if !self.period.is_zero() {
                return wrong("'token_type' cannot be 'batch' when set to generate periodic tokens");
            }
            if self.uses > 0 {
                return wrong(
                    "'token_type' cannot be 'batch' when set to generate tokens with limited use count",
                );
            }
        }
        Ok(())
    }

    /// The value of one field of [`FIELDS`], as answers show it.
    #[must_use]
    pub fn value(&self, field: &str) -> Value {
        match field {
            "token_ttl" => json!(self.ttl.as_secs()),
            "token_max_ttl" => json!(self.max_ttl.as_secs()),
            "token_explicit_max_ttl" => json!(self.explicit_max_ttl.as_secs()),
            "token_period" => json!(self.period.as_secs()),
            "token_policies" => json!(self.policies),
            "token_no_default_policy" => json!(self.no_default_policy),
            "token_num_uses" => json!(self.uses),
            "token_bound_cidrs" => json!(shown(&self.bound_cidrs)),
            "token_type" => json!(self.kind.name()),
            _ => Value::Null,
        }
    }

    /// Adds all fields to an answer.
    ///
    /// # Errors
    /// There is none: they are plain values.
    pub fn show(&self, data: &mut Data) -> Result<(), Fault> {
        for field in FIELDS {
            let value = self.value(field);
            if self.old.contains(short(field)) {
                data.set(short(field), &value)?;
            }
            data.set(field, &value)?;
        }
        Ok(())
    }

    /// Whether who comes from there may log in.
    #[must_use]
    pub fn admits(&self, peer: &Peer) -> bool {
        is_within(&self.bound_cidrs, peer)
    }

    /// The token that a login gives.
    #[must_use]
    pub fn login(&self, alias: &str, display_name: &str, metadata: BTreeMap<String, String>) -> Login {
        Login {
            display_name: display_name.to_owned(),
            alias: alias.to_owned(),
            policies: self.policies.clone(),
            no_default_policy: self.no_default_policy,
            metadata,
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            uses: self.uses,
            bound_cidrs: self.bound_cidrs.clone(),
            kind: self.kind.kind(),
            is_fixed: false,
        }
    }

    /// What of a login counts where its token is renewed.
    #[must_use]
    pub fn renewal(&self) -> Login {
        self.login("", "", BTreeMap::new())
    }
}

/// The name of a field without what all of them begin with.
fn short(field: &str) -> &str {
    field.strip_prefix("token_").unwrap_or(field)
}

fn kind(name: &str) -> Result<KindSetting, Fault> {
    let kind = KindSetting::NAMES.iter().find(|(known, _)| *known == name);
    kind.map(|(_, kind)| *kind)
        .ok_or_else(|| Fault::Invalid(format!("invalid 'token_type' value {name:?}")))
}

/// Names of policies as they are stored: in lower case, sorted, each once.
#[must_use]
pub fn policies(names: &[String]) -> Vec<String> {
    let names: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
    names.into_iter().collect()
}

/// Ranges as answers show them: one of one address as that address.
#[must_use]
pub fn shown(ranges: &[IpNet]) -> Vec<String> {
    let shown = |range: &IpNet| {
        if range.prefix_len() == range.max_prefix_len() {
            range.addr().to_string()
        } else {
            range.to_string()
        }
    };
    ranges.iter().map(shown).collect()
}

/// Whether somebody comes from one of these ranges, or there are none. Who comes by a Unix socket comes from nowhere.
#[must_use]
pub fn is_within(ranges: &[IpNet], peer: &Peer) -> bool {
    ranges.is_empty()
        || peer.address.is_some_and(|address| {
            let address = address.to_canonical();
            ranges.iter().any(|range| range.contains(&address))
        })
}
