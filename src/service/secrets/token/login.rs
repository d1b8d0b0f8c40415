//! Tokens that logins give.
//!
//! Never gives one the root policy: only root gives that.

use super::make::New;
use super::paths::complete;
use crate::service::secrets::engine::{Fault, Login, Mount, TokenKind};
use crate::service::secrets::mounts;
use crate::service::secrets::policy;

/// The token that a login at `path` gives.
///
/// # Errors
/// It would be one that there cannot be.
pub fn of_login(login: Login, mount: &Mount, path: &str) -> Result<New, Fault> {
    let kind = match (mount.tuning.token_type.as_str(), login.kind) {
        ("service", _) => TokenKind::Service,
        ("batch", _) => TokenKind::Batch,
        (_, Some(kind)) => kind,
        ("default-batch", None) => TokenKind::Batch,
        (_, None) => TokenKind::Service,
    };
    if kind == TokenKind::Batch && (!login.period.is_zero() || login.uses > 0) {
        return Err(Fault::Invalid(
            "a batch token can have neither a period nor a number of uses".to_owned(),
        ));
    }
    let method = mount.path.strip_prefix(mounts::AUTH).unwrap_or(&mount.path);
    let method = method.trim_end_matches('/').replace('/', "-");
    let display_name = match login.display_name.as_str() {
        "" => method,
        name => format!("{method}-{name}"),
    };
    let policies: Vec<String> = login
        .policies
        .into_iter()
        .filter(|name| name != policy::ROOT)
        .collect();
    Ok(New {
        id: None,
        parent: None,
        policies: complete(policies, !login.no_default_policy),
        path: path.to_owned(),
        metadata: login.metadata,
        display_name,
        uses: login.uses,
        ttl: login.ttl,
        max_ttl: login.max_ttl,
        explicit_max_ttl: login.explicit_max_ttl,
        period: login.period,
        is_renewable: !login.is_fixed,
        role: String::new(),
        bound_cidrs: login.bound_cidrs,
        kind,
        wraps: String::new(),
    })
}
