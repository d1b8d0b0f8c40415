//! The engines that there are, by the kind of mount.
//!
//! Never knows what is mounted.

use std::borrow::Cow;

use super::engine::cubbyhole::Cubbyhole;
use super::engine::kv::{KeyValue, Versioned};
use super::engine::pki::Pki;
use super::engine::transit::Transit;
use super::engine::{Engine, Mount};
use super::login::{AppRole, Certificates, Jwt, Kubernetes, UserPass};
use super::path::below;
use super::system;

/// Kinds that can be mounted below `auth/`.
const LOGINS: [&str; 6] = ["approle", "cert", "jwt", "kubernetes", "oidc", "userpass"];
/// Kinds that can be mounted elsewhere.
const SECRETS: [&str; 3] = ["kv", "pki", "transit"];

/// The engine of a mount; none: it is part of the store itself.
#[must_use]
pub fn of(mount: &Mount) -> Option<&'static dyn Engine> {
    static APP_ROLE: AppRole = AppRole;
    static CERTIFICATES: Certificates = Certificates;
    static CUBBYHOLE: Cubbyhole = Cubbyhole;
    static JWT: Jwt = Jwt;
    static KEY_VALUE: KeyValue = KeyValue;
    static KUBERNETES: Kubernetes = Kubernetes;
    static PKI: Pki = Pki;
    static TRANSIT: Transit = Transit;
    static USER_PASS: UserPass = UserPass;
    static VERSIONED: Versioned = Versioned;
    Some(match mount.kind.as_str() {
        "approle" => &APP_ROLE,
        "cert" => &CERTIFICATES,
        "cubbyhole" => &CUBBYHOLE,
        "jwt" | "oidc" => &JWT,
        "kubernetes" => &KUBERNETES,
        "kv" if mount.options.get("version").is_some_and(|version| version == "2") => &VERSIONED,
        "kv" => &KEY_VALUE,
        "pki" => &PKI,
        "transit" => &TRANSIT,
        "userpass" => &USER_PASS,
        _ => return None,
    })
}

/// A path of a mount in the spelling that its names are stored in; none: it is the same.
#[must_use]
pub fn canonical(mount: &Mount, path: &str) -> Option<String> {
    let below = below(&mount.path, path);
    let folded = match mount.kind.as_str() {
        "system" => system::canonical(below),
        _ => of(mount)?.canonical(below),
    };
    matches!(folded, Cow::Owned(_)).then(|| format!("{}{folded}", mount.path))
}

/// Whether something of that kind can be mounted below `auth/`.
#[must_use]
pub fn is_login(kind: &str) -> bool {
    LOGINS.contains(&kind)
}

/// Whether something of that kind can be mounted elsewhere.
#[must_use]
pub fn is_secrets(kind: &str) -> bool {
    SECRETS.contains(&kind)
}
