//! Roles: which accounts log in, and what is given for them.
//!
//! Never is for every account unless that was written down.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::review::Account;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::settings::Settings;
use crate::service::secrets::login::{fields, glob};
use crate::service::secrets::parameters::Body;

/// The names that settings had in this method before.
const OLD: [&str; 6] = ["policies", "ttl", "max_ttl", "period", "num_uses", "bound_cidrs"];

/// What an account is known by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum AliasSource {
    /// Its id, which another account of the same name does not have.
    #[default]
    Uid,
    /// Its namespace and name.
    Name,
}

/// A role.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    names: Vec<String>,
    namespaces: Vec<String>,
    /// For whom tokens have to be; empty: not looked at.
    pub audience: String,
    pub alias_source: AliasSource,
    pub settings: Settings,
}

impl Role {
    /// Takes what a request says.
    pub fn update(&mut self, body: &Body) -> Result<(), Fault> {
        let selector = "bound_service_account_namespace_selector";
        if body
            .get(selector)
            .is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
        {
            return Err(Fault::Unimplemented(selector.to_owned()));
        }
        self.settings.update(body, &OLD)?;
        let list = |name: &str, into: &mut Vec<String>| {
            if let Some(value) = body.get(name) {
                *into = fields::list(name, value)?;
            }
            if into.is_empty() {
                return Err(Fault::Invalid(format!("{name:?} can not be empty")));
            }
            Ok(())
        };
        list("bound_service_account_names", &mut self.names)?;
        list("bound_service_account_namespaces", &mut self.namespaces)?;
        if let Some(value) = body.get("audience") {
            self.audience = fields::text("audience", value)?;
        }
        match body.get("alias_name_source").and_then(Value::as_str) {
            Some("serviceaccount_uid" | "") => self.alias_source = AliasSource::Uid,
            Some("serviceaccount_name") => self.alias_source = AliasSource::Name,
            None if body.get("alias_name_source").is_none_or(Value::is_null) => {}
            _ => {
                return Err(Fault::Invalid(
                    "invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name"
                        .to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// All fields.
    pub fn show(&self) -> Result<Data, Fault> {
        let source = match self.alias_source {
            AliasSource::Uid => "serviceaccount_uid",
            AliasSource::Name => "serviceaccount_name",
        };
        let mut data = Data::new()
            .with("alias_name_source", source)?
            .with("audience", &self.audience)?
            .with("bound_service_account_names", &self.names)?
            .with("bound_service_account_namespace_selector", "")?
            .with("bound_service_account_namespaces", &self.namespaces)?;
        self.settings.show(&mut data)?;
        Ok(data)
    }

    /// Whether it is for an account.
    pub fn is_for(&self, account: &Account) -> bool {
        glob::is_any(&self.names, &account.name) && glob::is_any(&self.namespaces, &account.namespace)
    }
}
