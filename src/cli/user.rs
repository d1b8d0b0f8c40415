//! `stead user`: creates, changes and shows users.

use std::io::{self, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use serde_json::json;

use super::auth::done;
use super::exit::CliError;
use super::login::{ask_password, split, unusable};
use super::output::{Format, revision};
use super::role;
use crate::base::secret::Secret;
use crate::client::Client;
use crate::proto::authpb::UserAddOptions;
use crate::proto::etcdserverpb::{
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest,
};

/// The arguments of `stead user`.
#[derive(Debug, Clone, Args)]
pub(super) struct User {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum UserCommand {
    /// Create a user; the password is asked for, or read from the input, unless it is given
    #[command(after_help = "Examples:
  stead user add alice
  stead user add alice:secret
  stead user add alice --new-user-password secret
  stead user add robot --no-password")]
    Add {
        /// The name, or name:password
        name: String,
        /// The password; the name is then taken whole
        #[arg(long, conflicts_with = "no_password")]
        new_user_password: Option<String>,
        /// A user who cannot log in with a password, only with a client certificate
        #[arg(long)]
        no_password: bool,
        /// Whether to ask twice on the terminal; with false, the password is one line of the input
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        interactive: bool,
    },
    /// Remove a user
    #[command(after_help = "Examples:\n  stead user delete alice")]
    Delete {
        /// The name
        name: String,
    },
    /// Show the roles of a user
    #[command(after_help = "Examples:\n  stead user get alice\n  stead user get alice --detail")]
    Get {
        /// The name
        name: String,
        /// Show what the roles allow as well
        #[arg(long)]
        detail: bool,
    },
    /// Show all users
    #[command(after_help = "Examples:\n  stead user list")]
    List,
    /// Give a user another password; it is asked for, or read from the input
    #[command(after_help = "Examples:
  stead user passwd alice
  printf 'new secret\\n' | stead user passwd alice --interactive=false")]
    Passwd {
        /// The name
        name: String,
        /// Whether to ask twice on the terminal; with false, the password is one line of the input
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        interactive: bool,
    },
    /// Give a user a role
    #[command(after_help = "Examples:\n  stead user grant-role alice reader")]
    GrantRole {
        /// The name
        name: String,
        /// The role
        role: String,
    },
    /// Take a role from a user
    #[command(after_help = "Examples:\n  stead user revoke-role alice reader")]
    RevokeRole {
        /// The name
        name: String,
        /// The role
        role: String,
    },
}

impl User {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed, or no password could be read.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match &self.command {
            UserCommand::Add {
                name,
                new_user_password,
                no_password,
                interactive,
            } => {
                let (name, password) =
                    new_user(name, new_user_password.as_ref(), *no_password, *interactive)?;
                add(client, format, name, password).await
            }
            UserCommand::Delete { name } => {
                let request = AuthUserDeleteRequest { name: name.clone() };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().user_delete(request).await }
                    })
                    .await?;
                let text = format!("User {name} deleted");
                done(format, &answer, answer.header.as_ref(), ("user", name), &text)
            }
            UserCommand::Get { name, detail } => get(client, format, name, *detail).await,
            UserCommand::List => list(client, format).await,
            UserCommand::Passwd { name, interactive } => {
                let password = new_password(name, *interactive)?;
                let request = AuthUserChangePasswordRequest {
                    name: name.clone(),
                    password: password.expose().clone(),
                    hashed_password: String::new(),
                };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().user_change_password(request).await }
                    })
                    .await?;
                done(
                    format,
                    &answer,
                    answer.header.as_ref(),
                    ("user", name),
                    "Password updated",
                )
            }
            UserCommand::GrantRole { name, role } => {
                let request = AuthUserGrantRoleRequest {
                    user: name.clone(),
                    role: role.clone(),
                };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().user_grant_role(request).await }
                    })
                    .await?;
                let text = format!("Role {role} is granted to user {name}");
                done(format, &answer, answer.header.as_ref(), ("user", name), &text)
            }
            UserCommand::RevokeRole { name, role } => {
                let request = AuthUserRevokeRoleRequest {
                    name: name.clone(),
                    role: role.clone(),
                };
                let answer = client
                    .write(|node| {
                        let request = request.clone();
                        async move { node.auth().user_revoke_role(request).await }
                    })
                    .await?;
                let text = format!("Role {role} is revoked from user {name}");
                done(format, &answer, answer.header.as_ref(), ("user", name), &text)
            }
        }
    }
}

/// The name and the password of a new user; none: without a password.
fn new_user(
    name: &str,
    password: Option<&String>,
    no_password: bool,
    interactive: bool,
) -> Result<(String, Option<Secret<String>>), CliError> {
    if no_password {
        return Ok((name.to_owned(), None));
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        return Ok((name.to_owned(), Some(Secret::new(password.clone()))));
    }
    if let Some((name, password)) = split(name) {
        if name.is_empty() {
            return Err(unusable("empty user name is not allowed: write name:password"));
        }
        return Ok((name.to_owned(), Some(password)));
    }
    Ok((name.to_owned(), Some(new_password(name, interactive)?)))
}

fn new_password(name: &str, interactive: bool) -> Result<Secret<String>, CliError> {
    let first = ask_password(&format!("Password of {name}: "))?;
    if interactive && io::stdin().is_terminal() {
        let again = ask_password(&format!("Type password of {name} again for confirmation: "))?;
        if first != again {
            return Err(unusable("given passwords are different; try again"));
        }
    }
    Ok(first)
}

async fn add(
    client: &Client,
    format: Format,
    name: String,
    password: Option<Secret<String>>,
) -> Result<(), CliError> {
    let request = AuthUserAddRequest {
        name: name.clone(),
        options: Some(UserAddOptions {
            no_password: password.is_none(),
        }),
        password: password
            .map(|password| password.expose().clone())
            .unwrap_or_default(),
        hashed_password: String::new(),
    };
    let answer = client
        .write(|node| {
            let request = request.clone();
            async move { node.auth().user_add(request).await }
        })
        .await?;
    let text = format!("User {name} created");
    done(format, &answer, answer.header.as_ref(), ("user", &name), &text)
}

async fn get(client: &Client, format: Format, name: &str, detail: bool) -> Result<(), CliError> {
    let request = AuthUserGetRequest {
        name: name.to_owned(),
    };
    let answer = client
        .read(|node| {
            let request = request.clone();
            async move { node.auth().user_get(request).await }
        })
        .await?;
    let mut roles = Vec::new();
    for name in answer.roles.iter().filter(|_| detail) {
        roles.push((name, role::fetch(client, name).await?));
    }
    if detail && format.is_etcdctl() && !format.is_simple() {
        // Of the user etcdctl has text in every form, and then each role in its own.
        format.note(&format!("User: {name}"), || ())?;
        for (name, answer) in &roles {
            format.note("", || ())?;
            format.show(answer, |out| role::write_role(out, name, answer), || ())?;
        }
        return Ok(());
    }
    format.show(
        &answer,
        |out| {
            writeln!(out, "User: {name}")?;
            if detail {
                return roles.iter().try_for_each(|(name, role)| {
                    writeln!(out)?;
                    role::write_role(out, name, role)
                });
            }
            let roles: String = answer.roles.iter().map(|role| format!(" {role}")).collect();
            writeln!(out, "Roles:{roles}")
        },
        || {
            let mut value = json!({
                "revision": revision(answer.header.as_ref()),
                "user": name,
                "roles": answer.roles,
            });
            if let (true, Some(fields)) = (detail, value.as_object_mut()) {
                let details = roles
                    .iter()
                    .map(|(name, role)| json!({"role": name, "permissions": role::permissions(role)}))
                    .collect();
                fields.insert("details".to_owned(), serde_json::Value::Array(details));
            }
            value
        },
    )
}

async fn list(client: &Client, format: Format) -> Result<(), CliError> {
    let answer = client
        .read(|node| async move { node.auth().user_list(AuthUserListRequest {}).await })
        .await?;
    format.show(
        &answer,
        |out| answer.users.iter().try_for_each(|user| writeln!(out, "{user}")),
        || json!({"revision": revision(answer.header.as_ref()), "users": &answer.users}),
    )
}
