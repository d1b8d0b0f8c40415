//! Roles: what a token has to say, and who somebody with it is.
//!
//! Never lets a token in that nothing is asked of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::bounds::{self, Bounds, Comparison};
use super::times::{Leeway, Leeways};
use super::unoffered;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::fields;
use crate::service::secrets::login::settings::Settings;
use crate::service::secrets::parameters::Body;

/// The names that settings had in this method before.
const OLD: [&str; 6] = ["policies", "ttl", "max_ttl", "period", "num_uses", "bound_cidrs"];

/// A role.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// For whom a token has to be.
    bound_audiences: Vec<String>,
    /// Whom it has to name; empty: anybody.
    bound_subject: String,
    /// What else it has to say.
    bound_claims: Bounds,
    /// How that is compared.
    comparison: Comparison,
    /// Claims, by what they are called in the metadata of a token.
    claim_mappings: BTreeMap<String, String>,
    /// The claim that says who somebody is.
    user_claim: String,
    /// Whether that is a pointer.
    is_user_pointer: bool,
    /// The claim with their groups, which come into the metadata; empty: none.
    groups_claim: String,
    /// How much clocks may differ.
    pub leeways: Leeways,
    /// Told back and nothing more.
    redirect_uris: Vec<String>,
    /// What the tokens are like.
    pub settings: Settings,
}

impl Role {
    /// Takes what a request says.
    pub fn update(&mut self, body: &Body) -> Result<(), Fault> {
        let kind = fields::given(body, "role_type")?;
        match kind.as_deref() {
            None | Some("jwt") => {}
            Some("oidc") => return Err(unoffered()),
            Some(_) => {
                return Err(Fault::Invalid("invalid 'role_type'; use jwt".to_owned()));
            }
        }
        self.settings.update(body, &OLD)?;
        let list = |name: &str, into: &mut Vec<String>| {
            if let Some(value) = body.get(name) {
                *into = fields::list(name, value)?;
            }
            Ok::<_, Fault>(())
        };
        list("bound_audiences", &mut self.bound_audiences)?;
        list("allowed_redirect_uris", &mut self.redirect_uris)?;
        let text = |name: &str, into: &mut String| {
            if let Some(value) = body.get(name) {
                *into = fields::text(name, value)?;
            }
            Ok::<_, Fault>(())
        };
        text("bound_subject", &mut self.bound_subject)?;
        text("user_claim", &mut self.user_claim)?;
        text("groups_claim", &mut self.groups_claim)?;
        let leeway = |name: &str, into: &mut Leeway| {
            if let Some(value) = body.get(name) {
                *into = Leeway::of(name, value)?;
            }
            Ok::<_, Fault>(())
        };
        leeway("clock_skew_leeway", &mut self.leeways.clock_skew)?;
        leeway("expiration_leeway", &mut self.leeways.expiration)?;
        leeway("not_before_leeway", &mut self.leeways.not_before)?;
        if let Some(value) = body.get("user_claim_json_pointer") {
            self.is_user_pointer = fields::switch("user_claim_json_pointer", value)?;
        }
        if let Some(value) = body.get("claim_mappings") {
            self.claim_mappings = fields::pairs("claim_mappings", value)?;
        }
        let before = self.comparison;
        match fields::given(body, "bound_claims_type")?.as_deref() {
            None => {}
            Some("string") => self.comparison = Comparison::String,
            Some("glob") => self.comparison = Comparison::Glob,
            Some(_) => {
                return Err(Fault::Invalid(
                    "invalid 'bound_claims_type'; use string or glob".to_owned(),
                ));
            }
        }
        if let Some(value) = body.get("bound_claims") {
            self.bound_claims = bounds::of(value, self.comparison)?;
        } else if before != self.comparison {
            let value = serde_json::to_value(&self.bound_claims)
                .map_err(|error| Fault::Internal(error.to_string()))?;
            self.bound_claims = bounds::of(&value, self.comparison)?;
        }
        self.consistent()
    }

    fn consistent(&self) -> Result<(), Fault> {
        let invalid = |text: &str| Err(Fault::Invalid(text.to_owned()));
        if self.user_claim.is_empty() {
            return invalid("a user claim must be defined on the role: set user_claim");
        }
        let mut targets: Vec<&str> = self.claim_mappings.values().map(String::as_str).collect();
        targets.sort_unstable();
        if targets.binary_search(&"role").is_ok() {
            return invalid("metadata key \"role\" is reserved and may not be a mapping destination");
        }
        if targets.windows(2).any(|pair| pair.first() == pair.get(1)) {
            return invalid("claim_mappings: multiple keys are mapped to the same metadata key");
        }
        if self.bound_audiences.is_empty()
            && self.bound_subject.is_empty()
            && self.bound_claims.is_empty()
            && self.settings.bound_cidrs.is_empty()
        {
            if !self.redirect_uris.is_empty() {
                // What Vault takes for a role of a browser.
                return Err(unoffered());
            }
            return invalid(
                "must have at least one bound constraint when creating/updating a role: bound_audiences, \
                 bound_subject, bound_claims or token_bound_cidrs",
            );
        }
        Ok(())
    }

    /// All fields.
    pub fn show(&self) -> Result<Data, Fault> {
        let comparison = match self.comparison {
            Comparison::String => "string",
            Comparison::Glob => "glob",
        };
        let claims = (!self.bound_claims.is_empty()).then(|| {
            let shown = |(name, values): (&String, &Vec<Value>)| {
                let value = match values.as_slice() {
                    [value] => value.clone(),
                    values => Value::from(values.to_vec()),
                };
                (name.clone(), value)
            };
            self.bound_claims.iter().map(shown).collect::<Map<_, _>>()
        });
        let mut data = Data::new()
            .with("allowed_redirect_uris", &self.redirect_uris)?
            .with("bound_audiences", &self.bound_audiences)?
            .with("bound_claims", &claims)?
            .with("bound_claims_type", comparison)?
            .with("bound_subject", &self.bound_subject)?
            .with("claim_mappings", &self.claim_mappings)?
            .with("clock_skew_leeway", &self.leeways.clock_skew.seconds())?
            .with("expiration_leeway", &self.leeways.expiration.seconds())?
            .with("groups_claim", &self.groups_claim)?
            .with("not_before_leeway", &self.leeways.not_before.seconds())?
            .with("role_type", "jwt")?
            .with("user_claim", &self.user_claim)?
            .with("user_claim_json_pointer", &self.is_user_pointer)?;
        self.settings.show(&mut data)?;
        Ok(data)
    }

    /// Whether a token says what it has to.
    pub fn check(&self, claims: &Map<String, Value>) -> Result<(), String> {
        if !self.bound_subject.is_empty()
            && claims.get("sub").and_then(Value::as_str) != Some(&self.bound_subject)
        {
            return Err("invalid subject (sub) claim".to_owned());
        }
        bounds::check_audience(&self.bound_audiences, claims)?;
        bounds::check(&self.bound_claims, self.comparison, claims)
    }

    /// Who somebody is.
    pub fn user(&self, claims: &Map<String, Value>) -> Result<String, String> {
        let name = &self.user_claim;
        let claim = if self.is_user_pointer {
            bounds::find(claims, name)
        } else {
            claims.get(name)
        };
        let claim = claim.ok_or_else(|| format!("claim {name:?} not found in token"))?;
        match claim.as_str() {
            Some("") => Err(format!("claim {name:?} is empty")),
            Some(user) => Ok(user.to_owned()),
            None => Err(format!("claim {name:?} could not be converted to string")),
        }
    }

    /// What is said of who has the token.
    pub fn metadata(&self, claims: &Map<String, Value>) -> Result<BTreeMap<String, String>, String> {
        let mut metadata = BTreeMap::new();
        if !self.groups_claim.is_empty() {
            let name = &self.groups_claim;
            let claim =
                bounds::find(claims, name).ok_or_else(|| format!("{name:?} claim not found in token"))?;
            metadata.insert("groups".to_owned(), bounds::texts(Some(claim)).join(","));
        }
        for (name, target) in &self.claim_mappings {
            if let Some(claim) = bounds::find(claims, name) {
                let text = bounds::plain(claim)
                    .ok_or_else(|| format!("claim {name:?} could not be converted to string"))?;
                metadata.insert(target.clone(), text);
            }
        }
        Ok(metadata)
    }
}
