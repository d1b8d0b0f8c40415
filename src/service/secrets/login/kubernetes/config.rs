//! Where the interface of the cluster is, and what is known of its tokens without asking.
//!
//! Never tells the token back that it asks with.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::secret::Secret;
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::login::fields;
use crate::service::secrets::login::jws::{Token, VerifyingKey, checked_url};
use crate::service::secrets::parameters::Body;

/// The configuration of a mount. A write says all of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Config {
    /// Where the interface is.
    pub host: String,
    /// Whom to trust there, as PEM; empty: whom the system trusts.
    pub authorities: String,
    /// The token to ask with; empty: the one that is asked about.
    pub reviewer: Secret<String>,
    /// Keys of which one has signed every token, each as PEM; empty: that is not looked at here.
    public_keys: Vec<String>,
    /// Who tokens are from; looked at if `checks_issuer`.
    issuer: String,
    checks_issuer: bool,
    /// Told back and nothing more: files of a pod are never read.
    disable_local: bool,
}

impl Config {
    /// What a request says.
    pub fn of(body: &Body) -> Result<Self, Fault> {
        let host = fields::given(body, "kubernetes_host")?
            .ok_or_else(|| Fault::Invalid("no host provided: set kubernetes_host".to_owned()))?;
        let switch = |name: &str, default: bool| {
            body.get(name)
                .map_or(Ok(default), |value| fields::switch(name, value))
        };
        let keys = body.get("pem_keys");
        let authorities = body.get("kubernetes_ca_cert");
        let config = Self {
            host: checked_url("kubernetes_host", host.trim_end_matches('/'))?,
            authorities: authorities
                .map_or(Ok(String::new()), |text| fields::pem("kubernetes_ca_cert", text))?,
            reviewer: Secret::new(fields::given(body, "token_reviewer_jwt")?.unwrap_or_default()),
            public_keys: keys.map_or(Ok(Vec::new()), |keys| fields::pems("pem_keys", keys))?,
            issuer: fields::given(body, "issuer")?.unwrap_or_default(),
            checks_issuer: !switch("disable_iss_validation", true)?,
            disable_local: switch("disable_local_ca_jwt", false)?,
        };
        if config.disable_local && config.authorities.is_empty() {
            return Err(Fault::Invalid(
                "kubernetes_ca_cert must be given when disable_local_ca_jwt is true".to_owned(),
            ));
        }
        if !config.authorities.is_empty() && !config.authorities.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Fault::Invalid(
                "kubernetes_ca_cert holds no certificates; write them as PEM".to_owned(),
            ));
        }
        config.keys()?;
        Ok(config)
    }

    fn keys(&self) -> Result<Vec<VerifyingKey>, Fault> {
        let mut keys = Vec::new();
        for text in &self.public_keys {
            let read = VerifyingKey::from_pem(text);
            keys.extend(read.map_err(|reason| Fault::Invalid(format!("pem_keys: {reason}")))?);
        }
        Ok(keys)
    }

    /// All fields but the token.
    pub fn show(&self) -> Result<Data, Fault> {
        Data::new()
            .with("disable_iss_validation", &!self.checks_issuer)?
            .with("disable_local_ca_jwt", &self.disable_local)?
            .with("issuer", &self.issuer)?
            .with("kubernetes_ca_cert", &self.authorities)?
            .with("kubernetes_host", &self.host)?
            .with("pem_keys", &self.public_keys)?
            .with("token_reviewer_jwt_set", &!self.reviewer.expose().is_empty())
    }

    /// Whether a token can be a good one, as far as that is known here.
    pub fn check(&self, token: &Token<'_>, now: Duration) -> Result<(), Fault> {
        let keys = self.keys()?;
        if !keys.is_empty() && !token.is_signed(&keys) {
            return Err(Fault::Denied);
        }
        let claims = token.claims();
        let time = |name: &str| claims.get(name).and_then(Value::as_u64).map(Duration::from_secs);
        if time("exp").is_some_and(|ends| ends <= now) {
            return Err(Fault::Invalid(
                "invalid expiration time (exp) claim: token is expired".to_owned(),
            ));
        }
        if time("nbf").is_some_and(|begins| begins > now) {
            return Err(Fault::Invalid(
                "invalid not before (nbf) claim: token not yet valid".to_owned(),
            ));
        }
        if self.checks_issuer {
            let default = "kubernetes/serviceaccount";
            let issuer = if self.issuer.is_empty() {
                default
            } else {
                &self.issuer
            };
            if claims.get("iss").and_then(Value::as_str) != Some(issuer) {
                return Err(Fault::Invalid("invalid issuer (iss) claim".to_owned()));
            }
        }
        Ok(())
    }
}
