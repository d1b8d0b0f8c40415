//! Whose tokens are taken: by public keys that are given, a set of keys somewhere, or what an issuer says of itself.
//!
//! Never holds a secret.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::service::secrets::engine::{Call, Data, Errand, Fault};
use crate::service::secrets::login::fields;
use crate::service::secrets::login::jws::{
    VerifyingKey, checked_authorities, checked_url, fetched, is_algorithm,
};
use crate::service::secrets::parameters::Body;

/// What belongs to the flow of a browser, or is not offered yet.
const UNOFFERED: [&str; 3] = ["oidc_client_id", "oidc_client_secret", "jwks_pairs"];

/// The configuration of a mount. A write says all of it.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    /// Keys, each as PEM.
    public_keys: Vec<String>,
    /// Where a set of keys is.
    set_url: String,
    /// Whom to trust there, as PEM; empty: whom the system trusts.
    set_authorities: String,
    /// What an issuer is named, below which it says where its keys are.
    discovery_url: String,
    /// Whom to trust there and for the keys, as PEM.
    discovery_authorities: String,
    /// Who tokens have to be from; empty: not looked at, but where the issuer says itself who it is.
    bound_issuer: String,
    /// Algorithms that are taken; empty: all that there are here.
    algorithms: Vec<String>,
    /// The role of who names none.
    pub default_role: String,
    /// Told back and nothing more.
    namespace_in_state: bool,
}

/// Whose tokens are taken now.
pub(super) struct Trusted {
    /// The keys.
    pub keys: Vec<VerifyingKey>,
    /// Who tokens have to be from.
    pub issuer: Option<String>,
}

impl Config {
    /// What a request says.
    pub fn of(body: &Body) -> Result<Self, Fault> {
        let text = |name: &str| Ok::<_, Fault>(fields::given(body, name)?.unwrap_or_default());
        for field in UNOFFERED {
            let is_empty = |value: &Value| {
                value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty)
            };
            if body.get(field).is_some_and(|value| !is_empty(value)) {
                return Err(Fault::Unimplemented(field.to_owned()));
            }
        }
        let list = |name: &str| {
            body.get(name)
                .map_or(Ok(Vec::new()), |value| fields::list(name, value))
        };
        let keys = body.get("jwt_validation_pubkeys");
        let config = Self {
            public_keys: keys.map_or(Ok(Vec::new()), |keys| {
                fields::pems("jwt_validation_pubkeys", keys)
            })?,
            set_url: text("jwks_url")?,
            set_authorities: text("jwks_ca_pem")?,
            discovery_url: text("oidc_discovery_url")?,
            discovery_authorities: text("oidc_discovery_ca_pem")?,
            bound_issuer: text("bound_issuer")?,
            algorithms: list("jwt_supported_algs")?,
            default_role: text("default_role")?,
            namespace_in_state: body
                .get("namespace_in_state")
                .map_or(Ok(false), |value| fields::switch("namespace_in_state", value))?,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        let sources = [
            !self.public_keys.is_empty(),
            !self.set_url.is_empty(),
            !self.discovery_url.is_empty(),
        ];
        if sources.iter().filter(|is_set| **is_set).count() != 1 {
            return Err(Fault::Invalid(
                "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set"
                    .to_owned(),
            ));
        }
        for (field, url) in [
            ("jwks_url", &self.set_url),
            ("oidc_discovery_url", &self.discovery_url),
        ] {
            if !url.is_empty() {
                checked_url(field, url)?;
            }
        }
        checked_authorities("jwks_ca_pem", &self.set_authorities)?;
        checked_authorities("oidc_discovery_ca_pem", &self.discovery_authorities)?;
        self.own_keys()?;
        match self.algorithms.iter().find(|name| !is_algorithm(name)) {
            Some(name) => Err(Fault::Invalid(format!(
                "jwt_supported_algs: {name:?} is not supported; use RS256, RS384, RS512, PS256, PS384, PS512, \
                 ES256, ES384 or EdDSA"
            ))),
            None => Ok(()),
        }
    }

    /// All fields.
    pub fn show(&self) -> Result<Data, Fault> {
        Data::new()
            .with("bound_issuer", &self.bound_issuer)?
            .with("default_role", &self.default_role)?
            .with("jwks_ca_pem", &self.set_authorities)?
            .with("jwks_url", &self.set_url)?
            .with("jwt_supported_algs", &self.algorithms)?
            .with("jwt_validation_pubkeys", &self.public_keys)?
            .with("namespace_in_state", &self.namespace_in_state)?
            .with("oidc_client_id", "")?
            .with("oidc_discovery_ca_pem", &self.discovery_authorities)?
            .with("oidc_discovery_url", &self.discovery_url)?
            .with("oidc_response_mode", "")?
            .with("oidc_response_types", &Vec::<String>::new())?
            .with("provider_config", &serde_json::Map::new())
    }

    /// Whether tokens with that algorithm are taken.
    pub fn allows(&self, algorithm: &str) -> bool {
        self.algorithms.is_empty() || self.algorithms.iter().any(|name| name == algorithm)
    }

    fn own_keys(&self) -> Result<Vec<VerifyingKey>, Fault> {
        let mut keys = Vec::new();
        for text in &self.public_keys {
            let read = VerifyingKey::from_pem(text);
            keys.extend(
                read.map_err(|reason| Fault::Invalid(format!("error parsing public key: {reason}")))?,
            );
        }
        Ok(keys)
    }

    /// The keys, which may have to be fetched first.
    pub fn keys(&self, call: &Call<'_>) -> Result<Trusted, Fault> {
        let bound = Some(self.bound_issuer.clone()).filter(|issuer| !issuer.is_empty());
        if !self.public_keys.is_empty() {
            return Ok(Trusted {
                keys: self.own_keys()?,
                issuer: bound,
            });
        }
        let set = |url: String, authorities: &str| {
            let bytes = fetched(call, errand(url.clone(), authorities))?;
            VerifyingKey::from_set(bytes)
                .map_err(|reason| Fault::Upstream(format!("the keys at {url} cannot be used: {reason}")))
        };
        if !self.set_url.is_empty() {
            return Ok(Trusted {
                keys: set(self.set_url.clone(), &self.set_authorities)?,
                issuer: bound,
            });
        }
        let base = self.discovery_url.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let wrong = |reason: &str| Fault::Upstream(format!("what {url} says cannot be used: {reason}"));
        let bytes = fetched(call, errand(url.clone(), &self.discovery_authorities))?;
        let said: Discovery =
            serde_json::from_slice(bytes).map_err(|_| wrong("it names no issuer or no keys"))?;
        if said.issuer != self.discovery_url {
            return Err(wrong("it is of another issuer than oidc_discovery_url"));
        }
        let keys_url =
            checked_url("jwks_uri", &said.jwks_uri).map_err(|_| wrong("its jwks_uri is no URL"))?;
        if base.starts_with("https://") && !keys_url.starts_with("https://") {
            return Err(wrong("its jwks_uri is not https"));
        }
        Ok(Trusted {
            keys: set(keys_url, &self.discovery_authorities)?,
            issuer: bound.or(Some(said.issuer)),
        })
    }
}

/// What is used of what an issuer says of itself (`OpenID` Connect Discovery 1.0).
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

fn errand(url: String, authorities: &str) -> Errand {
    Errand {
        url,
        authorities: authorities.to_owned(),
        body: None,
        bearer: String::new(),
    }
}
