//! The engines that there are, by the kind of mount.
//!
//! Never knows what is mounted.

use super::engine::{Engine, Mount};

/// The engine of a mount; none: it is part of the store itself, or there is no such engine.
#[must_use]
pub fn of(mount: &Mount) -> Option<&'static dyn Engine> {
    let _ = mount;
    None
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

const LOGINS: [&str; 5] = ["approle", "cert", "jwt", "kubernetes", "userpass"];
const SECRETS: [&str; 3] = ["kv", "pki", "transit"];
