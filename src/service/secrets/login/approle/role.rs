//! Roles: what their secret ids and tokens are like.
//!
//! Never holds a secret.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::fields;
use crate::service::secrets::login::settings::{self, Settings};
use crate::service::secrets::parameters::Body;

/// The names that settings had in this method before.
const OLD: [&str; 2] = ["policies", "period"];

/// The paths of single fields, with the names of the field in requests; the first is that of answers.
pub(super) const FIELD_PATHS: [(&str, &[&str]); 14] = [
    ("policies", &["token_policies", "policies"]),
    ("secret-id-num-uses", &["secret_id_num_uses"]),
    ("secret-id-ttl", &["secret_id_ttl"]),
    ("secret-id-bound-cidrs", &["secret_id_bound_cidrs"]),
    ("bound-cidr-list", &["secret_id_bound_cidrs", "bound_cidr_list"]),
    ("bind-secret-id", &["bind_secret_id"]),
    ("local-secret-ids", &["local_secret_ids"]),
    ("period", &["token_period", "period"]),
    ("token-ttl", &["token_ttl"]),
    ("token-max-ttl", &["token_max_ttl"]),
    ("token-num-uses", &["token_num_uses"]),
    ("token-bound-cidrs", &["token_bound_cidrs"]),
    ("token-type", &["token_type"]),
    ("token-no-default-policy", &["token_no_default_policy"]),
];

/// The fields of a role that are not settings of tokens.
const FIELDS: [&str; 4] = [
    "bind_secret_id",
    "secret_id_bound_cidrs",
    "secret_id_num_uses",
    "secret_id_ttl",
];

/// A role.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// What programs name it by.
    pub id: String,
    /// Whether they need a secret id besides.
    pub needs_secret: bool,
    /// From where they may log in; empty: from anywhere.
    pub bound_cidrs: Vec<IpNet>,
    /// How often a secret id may be used; zero: as often as anybody likes.
    pub secret_uses: u64,
    /// How long a secret id lasts; zero: for ever.
    pub secret_ttl: Duration,
    /// Told back and nothing more: there is one cluster.
    pub local_secrets: bool,
    /// What the tokens are like.
    pub settings: Settings,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            id: String::new(),
            needs_secret: true,
            bound_cidrs: Vec::new(),
            secret_uses: 0,
            secret_ttl: Duration::ZERO,
            local_secrets: false,
            settings: Settings::default(),
        }
    }
}

impl Role {
    /// Takes what a request says.
    pub fn update(&mut self, body: &Body, is_new: bool) -> Result<(), Fault> {
        self.settings.update(body, &OLD)?;
        let given = |field: &str| body.get(field).filter(|value| !value.is_null());
        for field in FIELDS {
            if let Some(value) = given(field) {
                self.set(field, value)?;
            }
        }
        if body.get("secret_id_bound_cidrs").is_none()
            && let Some(value) = body.get("bound_cidr_list")
        {
            self.set("secret_id_bound_cidrs", value)?;
        }
        if let Some(value) = given("local_secret_ids") {
            let is_local = fields::switch("local_secret_ids", value)?;
            if !is_new && is_local != self.local_secrets {
                return Err(Fault::Invalid(
                    "local_secret_ids can only be modified during role creation".to_owned(),
                ));
            }
            self.local_secrets = is_local;
        }
        self.check()
    }

    /// Sets one field.
    pub fn set(&mut self, field: &str, value: &Value) -> Result<(), Fault> {
        match field {
            "bind_secret_id" => self.needs_secret = fields::switch(field, value)?,
            "secret_id_bound_cidrs" => self.bound_cidrs = fields::cidrs(field, value)?,
            "secret_id_num_uses" => self.secret_uses = fields::count(field, value)?,
            "secret_id_ttl" => self.secret_ttl = fields::span(field, value)?,
            _ => self.settings.set(field, value)?,
        }
        Ok(())
    }

    /// Whether the fields go together.
    pub fn check(&self) -> Result<(), Fault> {
        if !self.needs_secret && self.bound_cidrs.is_empty() && self.settings.bound_cidrs.is_empty() {
            return Err(Fault::Invalid(
                "at least one constraint should be enabled on the role: bind_secret_id, \
                 secret_id_bound_cidrs or token_bound_cidrs"
                    .to_owned(),
            ));
        }
        self.settings.check()
    }

    /// One field, as answers show it.
    pub fn value(&self, field: &str) -> Value {
        match field {
            "bind_secret_id" => json!(self.needs_secret),
            "secret_id_bound_cidrs" => json!(
                self.bound_cidrs
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
            ),
            "secret_id_num_uses" => json!(self.secret_uses),
            "secret_id_ttl" => json!(self.secret_ttl.as_secs()),
            "local_secret_ids" => json!(self.local_secrets),
            _ => self.settings.value(field),
        }
    }

    /// All fields, without the id.
    pub fn show(&self) -> Result<Data, Fault> {
        let mut data = Data::new();
        for field in FIELDS.into_iter().chain(["local_secret_ids"]) {
            data.set(field, &self.value(field))?;
        }
        self.settings.show(&mut data)?;
        Ok(data)
    }
}

/// Whether every range is inside of one of `outer`.
pub(super) fn is_inside(ranges: &[IpNet], outer: &[IpNet]) -> bool {
    outer.is_empty()
        || ranges
            .iter()
            .all(|range| outer.iter().any(|outer| outer.contains(range)))
}

/// Ranges, as errors name them.
pub(super) fn joined(ranges: &[IpNet]) -> String {
    settings::shown(ranges).join(", ")
}
