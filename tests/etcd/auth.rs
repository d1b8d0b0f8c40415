//! `auth`, `user`, `role` and `login`.
//!
//! `as alice` sends what follows as a user who has logged in, `as nobody` without a token.

use stead::proto::authpb::permission::Type;
use stead::proto::authpb::{Permission, UserAddOptions};
use stead::proto::etcdserverpb::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleDeleteRequest, AuthRoleGetRequest,
    AuthRoleGrantPermissionRequest, AuthRoleListRequest, AuthRoleRevokePermissionRequest, AuthStatusRequest,
    AuthUserAddRequest, AuthUserChangePasswordRequest, AuthUserDeleteRequest, AuthUserGetRequest,
    AuthUserGrantRoleRequest, AuthUserListRequest, AuthUserRevokeRoleRequest, AuthenticateRequest,
};

use super::words::{Words, show, show_error, show_header};
use crate::support::{Clients, Result};

/// `auth status`, of one node.
pub async fn status(clients: &mut Clients) -> Result<Vec<String>> {
    Ok(match clients.auth.auth_status(AuthStatusRequest {}).await {
        Ok(response) => {
            let response = response.into_inner();
            let state = if response.enabled { "enabled" } else { "disabled" };
            vec![format!(
                "{}, {state}, auth revision {}",
                show_header(response.header.as_ref()),
                response.auth_revision
            )]
        }
        Err(status) => show_error(&status),
    })
}

/// `login name password`: the answer, and the token under the user's name.
pub async fn login(
    clients: &mut Clients,
    words: &mut Words,
) -> Result<(Vec<String>, Option<(String, String)>)> {
    let name = text(words, "a user")?;
    let request = AuthenticateRequest {
        name: name.clone(),
        password: text(words, "a password")?,
    };
    Ok(match clients.auth.authenticate(request).await {
        Ok(response) => {
            let response = response.into_inner();
            let token = if response.token.is_empty() {
                "no token"
            } else {
                "a token"
            };
            let answer = format!("{}, {token}", show_header(response.header.as_ref()));
            (vec![answer], Some((name, response.token)))
        }
        Err(status) => (show_error(&status), None),
    })
}

fn text(words: &mut Words, what: &str) -> Result<String> {
    Ok(String::from_utf8(words.bytes(what)?.to_vec())?)
}

/// What a call answers that answers a header only.
macro_rules! header {
    ($call:expr) => {
        match $call.await {
            Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
            Err(status) => show_error(&status),
        }
    };
}

/// Runs one command.
pub async fn command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let auth = &mut clients.auth;
    let (noun, verb) = (words.next("a command")?, words.next("what to do")?);
    let answer = match (noun.as_str(), verb.as_str()) {
        ("auth", "enable") => header!(auth.auth_enable(AuthEnableRequest {})),
        ("auth", "disable") => header!(auth.auth_disable(AuthDisableRequest {})),
        ("user", "add") => {
            let name = text(&mut words, "a user")?;
            let no_password = words.flag("no_password");
            let password = words.optional().unwrap_or_default();
            header!(auth.user_add(AuthUserAddRequest {
                name,
                password,
                options: Some(UserAddOptions { no_password }),
                hashed_password: String::new(),
            }))
        }
        ("user", "delete") => {
            let name = text(&mut words, "a user")?;
            header!(auth.user_delete(AuthUserDeleteRequest { name }))
        }
        ("user", "password") => {
            let name = text(&mut words, "a user")?;
            let password = text(&mut words, "a password")?;
            let hashed_password = words.option("hashed").unwrap_or_default();
            header!(auth.user_change_password(AuthUserChangePasswordRequest {
                name,
                password,
                hashed_password,
            }))
        }
        ("user", "grant") => {
            let user = text(&mut words, "a user")?;
            let role = text(&mut words, "a role")?;
            header!(auth.user_grant_role(AuthUserGrantRoleRequest { user, role }))
        }
        ("user", "revoke") => {
            let name = text(&mut words, "a user")?;
            let role = text(&mut words, "a role")?;
            header!(auth.user_revoke_role(AuthUserRevokeRoleRequest { name, role }))
        }
        ("user", "get") => {
            let name = text(&mut words, "a user")?;
            match auth.user_get(AuthUserGetRequest { name }).await {
                Ok(response) => {
                    let response = response.into_inner();
                    let header = show_header(response.header.as_ref());
                    vec![format!("{header}, roles {:?}", response.roles)]
                }
                Err(status) => show_error(&status),
            }
        }
        ("user", "list") => match auth.user_list(AuthUserListRequest {}).await {
            Ok(response) => {
                let response = response.into_inner();
                let header = show_header(response.header.as_ref());
                vec![format!("{header}, users {:?}", response.users)]
            }
            Err(status) => show_error(&status),
        },
        ("role", "add") => {
            let name = text(&mut words, "a role")?;
            header!(auth.role_add(AuthRoleAddRequest { name }))
        }
        ("role", "delete") => {
            let role = text(&mut words, "a role")?;
            header!(auth.role_delete(AuthRoleDeleteRequest { role }))
        }
        ("role", "get") => {
            let role = text(&mut words, "a role")?;
            match auth.role_get(AuthRoleGetRequest { role }).await {
                Ok(response) => {
                    let response = response.into_inner();
                    std::iter::once(show_header(response.header.as_ref()))
                        .chain(response.perm.iter().map(show_permission))
                        .collect()
                }
                Err(status) => show_error(&status),
            }
        }
        ("role", "list") => match auth.role_list(AuthRoleListRequest {}).await {
            Ok(response) => {
                let response = response.into_inner();
                let header = show_header(response.header.as_ref());
                vec![format!("{header}, roles {:?}", response.roles)]
            }
            Err(status) => show_error(&status),
        },
        ("role", "grant") => {
            let name = text(&mut words, "a role")?;
            let perm = permission(&mut words)?;
            header!(auth.role_grant_permission(AuthRoleGrantPermissionRequest { name, perm }))
        }
        ("role", "revoke") => {
            let role = text(&mut words, "a role")?;
            let (key, range_end) = words.range()?;
            header!(auth.role_revoke_permission(AuthRoleRevokePermissionRequest { role, key, range_end }))
        }
        (noun, verb) => return Err(format!("{noun} {verb} is no command").into()),
    };
    words.finish()?;
    Ok(answer)
}

/// `read a..c`, or `nothing`.
fn permission(words: &mut Words) -> Result<Option<Permission>> {
    let kind = match words.next("read, write, readwrite or nothing")?.as_str() {
        "read" => Type::Read,
        "write" => Type::Write,
        "readwrite" => Type::Readwrite,
        "nothing" => return Ok(None),
        other => return Err(format!("{other} is no kind of permission").into()),
    };
    let (key, range_end) = words.range()?;
    Ok(Some(Permission {
        perm_type: kind.into(),
        key,
        range_end,
    }))
}

fn show_permission(permission: &Permission) -> String {
    let keys = if permission.range_end.is_empty() {
        show(&permission.key)
    } else {
        format!("{}..{}", show(&permission.key), show(&permission.range_end))
    };
    format!("{} {keys}", permission.perm_type().as_str_name())
}
