//! Which names a role allows.
//!
//! Never changes a name, and never allows one that it does not understand.

use super::role::Role;
use super::subject::Names;
use crate::service::secrets::engine::Fault;

/// Checks the common name (empty: there is none) and the other names of a certificate against a role.
///
/// # Errors
/// One is not allowed.
pub fn check(role: &Role, common_name: &str, names: &Names, display_name: &str) -> Result<(), Fault> {
    let refuse =
        |what: &str, name: &str| Err(Fault::Invalid(format!("{what} {name} not allowed by this role")));
    if !common_name.is_empty() && !is_allowed_common_name(role, common_name, display_name) {
        return refuse("common name", common_name);
    }
    for name in &names.hosts {
        if name.contains('@') || !is_allowed(role, name, display_name) {
            return refuse("subject alternate name", name);
        }
    }
    for name in &names.mails {
        if !name.contains('@') || !is_allowed(role, name, display_name) {
            return refuse("email address", name);
        }
    }
    if let Some(address) = names.addresses.first().filter(|_| !role.allow_ip_sans) {
        return Err(Fault::Invalid(format!(
            "IP Subject Alternative Names are not allowed in this role, but was provided {address}"
        )));
    }
    for uri in &names.uris {
        if role.allowed_uri_sans.is_empty() {
            return Err(Fault::Invalid(
                "URI Subject Alternative Names are not allowed in this role, but were provided via the API"
                    .to_owned(),
            ));
        }
        if !is_uri(uri) || !role.allowed_uri_sans.iter().any(|pattern| glob(pattern, uri)) {
            return Err(Fault::Invalid(
                "URI Subject Alternative Names were provided via the API which are not valid for this role"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

fn is_allowed_common_name(role: &Role, name: &str, display_name: &str) -> bool {
    let has = |wanted: &str| role.cn_validations.iter().any(|kind| kind == wanted);
    if has("disabled") {
        return true;
    }
    let is_mail = name.contains('@');
    let is_known_kind = if is_mail { has("email") } else { has("hostname") };
    is_known_kind && is_allowed(role, name, display_name)
}

/// Whether a role allows the name of a host or a mail address.
fn is_allowed(role: &Role, name: &str, display_name: &str) -> bool {
    let (is_mail, host) = match name.split_once('@') {
        Some((user, host)) if !user.is_empty() && !host.contains('@') => (true, host),
        Some(_) => return false,
        None => (false, name),
    };
    let labels = host.split_once('.');
    let is_wildcard = host.contains('*');
    if is_wildcard && (is_mail || !role.allow_wildcard_certificates || !is_wildcard_name(host)) {
        return false;
    }
    // What the name is one of, where it stands for several.
    let bare = match labels {
        Some((_, rest)) if is_wildcard => rest,
        _ => host,
    };
    if role.enforce_hostnames && !is_host(bare) {
        return false;
    }
    if role.allow_any_name {
        return true;
    }
    let below =
        |domain: &str| !domain.is_empty() && (is_below(bare, domain) || is_wildcard && same(bare, domain));
    if role.allow_localhost {
        let is_local = |domain| !is_wildcard && same(bare, domain) || role.allow_subdomains && below(domain);
        if is_local("localhost") || is_local("localdomain") {
            return true;
        }
    }
    if role.allow_token_displayname && !display_name.is_empty() {
        let is_own = same(name, display_name);
        if is_own || role.allow_subdomains && !is_mail && below(display_name) {
            return true;
        }
    }
    role.allowed_domains.iter().any(|domain| {
        let is_bare = same(name, domain) || is_mail && same(host, domain);
        role.allow_bare_domains && !is_wildcard && is_bare
            || role.allow_subdomains && below(domain)
            || role.allow_glob_domains && domain.contains('*') && glob_domain(domain, name)
    })
}

fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn is_below(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.to_ascii_lowercase(), domain.to_ascii_lowercase());
    name.strip_suffix(&domain)
        .is_some_and(|prefix| prefix.len() > 1 && prefix.ends_with('.'))
}

/// Whether a name stands for several as RFC 6125 has it: one star, in the first label only, and others behind it.
fn is_wildcard_name(name: &str) -> bool {
    let Some((first, rest)) = name.split_once('.') else {
        return false;
    };
    let is_label = first
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'-' | b'_'));
    first.matches('*').count() == 1
        && is_label
        && !first.starts_with("xn--")
        && !rest.contains('*')
        && !rest.is_empty()
}

/// Whether a name is one that a host can have: letters, digits, hyphens inside, underscores, at most 63 in each label.
#[must_use]
pub fn is_host(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(is_known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether a text is a URI: a scheme, and something behind it.
fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(is_known)
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

fn glob_domain(pattern: &str, name: &str) -> bool {
    glob(&pattern.to_ascii_lowercase(), &name.to_ascii_lowercase())
}

/// Whether a text fits a pattern, in which a star stands for any text, also for none.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
