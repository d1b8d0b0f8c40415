//! `stead role`: creates, changes and shows roles.

use std::io::{self, Write};

use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::auth::{ROOT, done};
use super::exit::CliError;
use super::kv::prefix_end;
use super::output::{BytesItem, Format, revision};
use crate::client::Client;
use crate::proto::authpb::Permission;
use crate::proto::authpb::permission::Type;
use crate::proto::etcdserverpb::{
    AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest,
};

/// The end of a range that has none.
const OPEN_END: &[u8] = &[0];

/// The arguments of `stead role`.
#[derive(Debug, Clone, Args)]
pub(super) struct Role {
    #[command(subcommand)]
    command: RoleCommand,
}

/// What a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// To read
    Read,
    /// To write
    Write,
    /// Both
    Readwrite,
}

/// The keys of a permission.
#[derive(Debug, Clone, Args)]
struct Keys {
    /// The key, or the first of a range
    key: String,
    /// The end of the range, not included
    endkey: Option<String>,
    /// All keys that begin with the key
    #[arg(long, conflicts_with_all = ["endkey", "from_key"])]
    prefix: bool,
    /// All keys from the key on
    #[arg(long, conflicts_with = "endkey")]
    from_key: bool,
}

impl Keys {
    /// The key and the range end on the wire.
    fn range(&self) -> (Bytes, Bytes) {
        let open = Bytes::from_static(OPEN_END);
        // The empty key cannot be granted; the first that can is one zero byte.
        let key = if self.key.is_empty() {
            open.clone()
        } else {
            Bytes::from(self.key.clone())
        };
        match &self.endkey {
            Some(end) => (key, Bytes::from(end.clone())),
            None if self.key.is_empty() && (self.prefix || self.from_key) => (key, open),
            None if self.prefix => {
                let end = prefix_end(&key).into();
                (key, end)
            }
            None if self.from_key => (key, open),
            None => (key, Bytes::new()),
        }
    }
}

#[derive(Debug, Clone, Subcommand)]
enum RoleCommand {
    /// Create a role
    #[command(after_help = "Examples:\n  stead role add reader")]
    Add {
        /// The name
        name: String,
    },
    /// Remove a role, from all users as well
    #[command(after_help = "Examples:\n  stead role delete reader")]
    Delete {
        /// The name
        name: String,
    },
    /// Show what a role allows
    #[command(after_help = "Examples:\n  stead role get reader")]
    Get {
        /// The name
        name: String,
    },
    /// Show all roles
    #[command(after_help = "Examples:\n  stead role list")]
    List,
    /// Let a role read or write keys
    #[command(after_help = "Examples:
  stead role grant-permission reader read /app/ --prefix
  stead role grant-permission writer readwrite /app/a /app/f")]
    GrantPermission {
        /// The name
        name: String,
        /// What is allowed
        #[arg(value_enum, ignore_case = true)]
        kind: Kind,
        #[command(flatten)]
        keys: Keys,
    },
    /// Take a permission from a role: exactly the range that was granted
    #[command(after_help = "Examples:\n  stead role revoke-permission reader /app/ --prefix")]
    RevokePermission {
        /// The name
        name: String,
        #[command(flatten)]
        keys: Keys,
    },
}

impl Role {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match &self.command {
            RoleCommand::Add { name } => {
                let request = AuthRoleAddRequest { name: name.clone() };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().role_add(request).await }
                    })
                    .await?;
                let text = format!("Role {name} created");
                done(format, &answer, answer.header.as_ref(), ("role", name), &text)
            }
            RoleCommand::Delete { name } => {
                let request = AuthRoleDeleteRequest { role: name.clone() };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().role_delete(request).await }
                    })
                    .await?;
                let text = format!("Role {name} deleted");
                done(format, &answer, answer.header.as_ref(), ("role", name), &text)
            }
            RoleCommand::Get { name } => {
                let answer = fetch(client, name).await?;
                format.show(
                    &answer,
                    |out| write_role(out, name, &answer),
                    || {
                        json!({
                            "revision": revision(answer.header.as_ref()),
                            "role": name,
                            "permissions": permissions(&answer),
                        })
                    },
                )
            }
            RoleCommand::List => list(client, format).await,
            RoleCommand::GrantPermission { name, kind, keys } => {
                grant(client, format, name, *kind, keys.range()).await
            }
            RoleCommand::RevokePermission { name, keys } => revoke(client, format, name, keys).await,
        }
    }
}

/// What a role allows, as the server says.
///
/// # Errors
/// The call failed.
pub(super) async fn fetch(client: &Client, name: &str) -> Result<AuthRoleGetResponse, CliError> {
    let request = AuthRoleGetRequest {
        role: name.to_owned(),
    };
    let answer = client
        .read(|node| {
            let request = request.clone();
            async move { node.auth().role_get(request).await }
        })
        .await?;
    Ok(answer)
}

/// The permissions of a role as JSON.
pub(super) fn permissions(role: &AuthRoleGetResponse) -> Vec<Value> {
    let kind = |permission: &Permission| match permission.perm_type() {
        Type::Read => "read",
        Type::Write => "write",
        Type::Readwrite => "readwrite",
    };
    role.perm
        .iter()
        .map(|permission| {
            let (key, end) = (BytesItem(&permission.key), BytesItem(&permission.range_end));
            json!({"kind": kind(permission), "key": key, "range_end": end})
        })
        .collect()
}

/// Writes what a role allows, as etcdctl does.
pub(super) fn write_role(target: &mut impl Write, name: &str, role: &AuthRoleGetResponse) -> io::Result<()> {
    writeln!(target, "Role {name}")?;
    for (title, other) in [("KV Read:", Type::Read), ("KV Write:", Type::Write)] {
        writeln!(target, "{title}")?;
        if name == ROOT && role.perm.is_empty() {
            writeln!(target, "\t{}", range_text(b"", OPEN_END))?;
        }
        let allows = |permission: &&Permission| [other, Type::Readwrite].contains(&permission.perm_type());
        for permission in role.perm.iter().filter(allows) {
            let line = range_text(&permission.key, &permission.range_end);
            let is_prefix = !permission.range_end.is_empty()
                && !permission.key.is_empty()
                && prefix_end(&permission.key) == permission.range_end;
            if is_prefix {
                let key = String::from_utf8_lossy(&permission.key);
                writeln!(target, "\t{line} (prefix {key})")?;
            } else {
                writeln!(target, "\t{line}")?;
            }
        }
    }
    Ok(())
}

fn range_text(key: &[u8], end: &[u8]) -> String {
    let text = String::from_utf8_lossy;
    match end {
        [] => text(key).into_owned(),
        OPEN_END => format!("[{}, <open ended>", text(key)),
        end => format!("[{}, {})", text(key), text(end)),
    }
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let answer = client
        .read(|node| async move { node.auth().role_list(AuthRoleListRequest {}).await })
        .await?;
    format.show(
        &answer,
        |out| answer.roles.iter().try_for_each(|role| writeln!(out, "{role}")),
        || json!({"revision": revision(answer.header.as_ref()), "roles": &answer.roles}),
    )
}

async fn grant(
    client: &Client,
    format: Format,
    name: &str,
    kind: Kind,
    (key, range_end): (Bytes, Bytes),
) -> Result<(), CliError> {
    let kind = match kind {
        Kind::Read => Type::Read,
        Kind::Write => Type::Write,
        Kind::Readwrite => Type::Readwrite,
    };
    let request = AuthRoleGrantPermissionRequest {
        name: name.to_owned(),
        perm: Some(Permission {
            perm_type: kind.into(),
            key,
            range_end,
        }),
    };
    let answer = client
        .write(|node| {
            let request = request.clone();
            async move { node.auth().role_grant_permission(request).await }
        })
        .await?;
    let text = format!("Role {name} updated");
    done(format, &answer, answer.header.as_ref(), ("role", name), &text)
}

async fn revoke(client: &Client, format: Format, name: &str, keys: &Keys) -> Result<(), CliError> {
    let (key, range_end) = keys.range();
    let text = range_text(keys.key.as_bytes(), &range_end);
    let kind = if range_end.is_empty() { "key" } else { "range" };
    let request = AuthRoleRevokePermissionRequest {
        role: name.to_owned(),
        key,
        range_end,
    };
    let answer = client
        .write(|node| {
            let request = request.clone();
            async move { node.auth().role_revoke_permission(request).await }
        })
        .await?;
    let text = format!("Permission of {kind} {text} is revoked from role {name}");
    done(format, &answer, answer.header.as_ref(), ("role", name), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_shown_as_etcdctl_shows_it() {
        let permission = |kind: Type, key: &'static str, end: &'static str| Permission {
            perm_type: kind.into(),
            key: Bytes::from(key),
            range_end: Bytes::from(end),
        };
        let role = AuthRoleGetResponse {
            header: None,
            perm: vec![
                permission(Type::Readwrite, "a", ""),
                permission(Type::Read, "b", "c"),
                permission(Type::Read, "d", "f"),
                permission(Type::Write, "g", "\0"),
            ],
        };
        let mut shown = Vec::new();
        write_role(&mut shown, "r", &role).unwrap();
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "Role r\nKV Read:\n\ta\n\t[b, c) (prefix b)\n\t[d, f)\nKV Write:\n\ta\n\t[g, <open ended>\n"
        );
    }
}
