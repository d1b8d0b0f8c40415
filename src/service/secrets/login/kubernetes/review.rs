//! The question to the cluster whose a token is (`TokenReview` of `authentication.k8s.io/v1`), and its answer.
//!
//! Never takes a name from the token itself.

use serde::Deserialize;
use serde_json::{Value, json};

use super::config::Config;
use crate::service::secrets::engine::{Errand, Fault};
use crate::service::secrets::login::jws::Token;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// How the users begin that are service accounts.
const PREFIX: &str = "system:serviceaccount:";

/// A service account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The secret that an old token is from; empty: none.
    pub secret_name: String,
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    audiences: Vec<String>,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    uid: String,
}

/// The question whose a token is.
pub(super) fn errand(config: &Config, token: &str, audience: &str) -> Errand {
    let mut spec = json!({"token": token});
    if !audience.is_empty()
        && let Some(fields) = spec.as_object_mut()
    {
        fields.insert("audiences".to_owned(), json!([audience]));
    }
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec});
    let reviewer = config.reviewer.expose().trim();
    Errand {
        url: format!("{}{PATH}", config.host),
        authorities: config.authorities.clone(),
        body: Some(review.to_string()),
        bearer: if reviewer.is_empty() { token } else { reviewer }.to_owned(),
    }
}

/// The account that the cluster names.
///
/// # Errors
/// The token is of nobody, of somebody who is no account, or for somebody else.
pub(super) fn account(bytes: &[u8], audience: &str, token: &Token<'_>) -> Result<Account, Fault> {
    let review: Review = serde_json::from_slice(bytes)
        .map_err(|_| Fault::Upstream("the cluster's answer is no TokenReview".to_owned()))?;
    let status = review.status;
    if !status.authenticated {
        return Err(Fault::Denied);
    }
    let named = status.user.username.strip_prefix(PREFIX);
    let (namespace, name) = named
        .and_then(|named| named.split_once(':'))
        .ok_or(Fault::Denied)?;
    if namespace.is_empty() || name.is_empty() || status.user.uid.is_empty() {
        return Err(Fault::Denied);
    }
    if !audience.is_empty() {
        let is_for = |audiences: &[String]| audiences.iter().any(|one| one == audience);
        // A cluster that knows no audiences names none; then the token, which it found good, says it.
        let is_meant = if status.audiences.is_empty() {
            match token.claims().get("aud") {
                Some(Value::String(one)) => one == audience,
                Some(Value::Array(values)) => values.iter().any(|one| one.as_str() == Some(audience)),
                _ => false,
            }
        } else {
            is_for(&status.audiences)
        };
        if !is_meant {
            return Err(Fault::Denied);
        }
    }
    let secret = token.claims().get("kubernetes.io/serviceaccount/secret.name");
    Ok(Account {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: status.user.uid,
        secret_name: secret.and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}
