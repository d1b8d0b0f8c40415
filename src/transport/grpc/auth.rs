//! `etcdserverpb.Auth`. Translation only.

use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::base::secret::Secret;
use crate::proto::authpb;
use crate::proto::authpb::permission::Type;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::auth_server::Auth as Service;
use crate::service::ServiceError;
use crate::service::auth::Users;
use crate::service::header::Header;
use crate::state::auth::{AuthChange, Permission, PermissionKind};

/// What is said to a client that sends a hash of its own making.
const NO_HASHES: &str =
    "stead: a hash in place of a password is not taken: send the password, it is hashed before it is stored";

/// The front door of users and roles.
pub(super) struct AuthDoor(pub(super) Users);

fn header(header: &Header) -> Option<wire::ResponseHeader> {
    Some(translate::header(header))
}

fn permission(permission: authpb::Permission) -> Result<Permission, Status> {
    let kind = match Type::try_from(permission.perm_type) {
        Ok(Type::Read) => PermissionKind::Read,
        Ok(Type::Write) => PermissionKind::Write,
        Ok(Type::Readwrite) => PermissionKind::ReadWrite,
        Err(_) => {
            return Err(status(&ServiceError::UnknownChoice {
                field: "permType",
                number: permission.perm_type,
            }));
        }
    };
    Ok(Permission {
        kind,
        key: permission.key,
        end: permission.range_end,
    })
}

fn wire_permission(permission: Permission) -> authpb::Permission {
    let kind = match permission.kind {
        PermissionKind::Read => Type::Read,
        PermissionKind::Write => Type::Write,
        PermissionKind::ReadWrite => Type::Readwrite,
    };
    authpb::Permission {
        perm_type: kind.into(),
        key: permission.key,
        range_end: permission.end,
    }
}

/// Implements the service: each method in the list makes one change; the others are written out in the block before it.
macro_rules! serve {
    (
        { $($written_out:tt)* }
        $($method:ident: $request:ident -> $response:ident = $change:expr;)*
    ) => {
        #[tonic::async_trait]
        impl Service for AuthDoor {
            $($written_out)*
            $(
                async fn $method(
                    &self,
                    request: Request<wire::$request>,
                ) -> Result<Response<wire::$response>, Status> {
                    let (caller, request) = open(request);
                    let change: fn(wire::$request) -> AuthChange = $change;
                    let changed = self.0.by(caller).change(change(request)).await;
                    let changed = changed.map_err(|error| status(&error))?;
                    Ok(Response::new(wire::$response { header: header(&changed) }))
                }
            )*
        }
    };
}

serve! {
    {
        async fn auth_status(
            &self,
            _request: Request<wire::AuthStatusRequest>,
        ) -> Result<Response<wire::AuthStatusResponse>, Status> {
            let answered = self.0.status();
            Ok(Response::new(wire::AuthStatusResponse {
                header: header(&answered.header),
                enabled: answered.answer.is_enabled,
                auth_revision: answered.answer.revision,
            }))
        }

        async fn auth_enable(
            &self,
            request: Request<wire::AuthEnableRequest>,
        ) -> Result<Response<wire::AuthEnableResponse>, Status> {
            let (caller, _) = open(request);
            let enabled = self.0.by(caller).enable().await;
            let enabled = enabled.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthEnableResponse { header: header(&enabled) }))
        }

        async fn authenticate(
            &self,
            request: Request<wire::AuthenticateRequest>,
        ) -> Result<Response<wire::AuthenticateResponse>, Status> {
            let request = request.into_inner();
            let password = Secret::new(request.password);
            let answered = self
                .0
                .authenticate(&request.name, password)
                .await
                .map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthenticateResponse {
                header: header(&answered.header),
                token: answered.answer.expose().clone(),
            }))
        }

        async fn user_add(
            &self,
            request: Request<wire::AuthUserAddRequest>,
        ) -> Result<Response<wire::AuthUserAddResponse>, Status> {
            let (caller, request) = open(request);
            let password = Secret::new(request.password);
            let without = request.options.is_some_and(|options| options.no_password);
            let added = self
                .0
                .by(caller)
                .add_user(request.name, (!without).then_some(password))
                .await
                .map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthUserAddResponse { header: header(&added) }))
        }

        async fn user_change_password(
            &self,
            request: Request<wire::AuthUserChangePasswordRequest>,
        ) -> Result<Response<wire::AuthUserChangePasswordResponse>, Status> {
            let (caller, request) = open(request);
            if request.password.is_empty() && !request.hashed_password.is_empty() {
                return Err(status(&ServiceError::Unimplemented(NO_HASHES)));
            }
            let password = (!request.password.is_empty()).then(|| Secret::new(request.password));
            let changed = self
                .0
                .by(caller)
                .change_password(request.name, password)
                .await
                .map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthUserChangePasswordResponse { header: header(&changed) }))
        }

        async fn user_get(
            &self,
            request: Request<wire::AuthUserGetRequest>,
        ) -> Result<Response<wire::AuthUserGetResponse>, Status> {
            let (caller, request) = open(request);
            let answered = self.0.by(caller).user(&request.name).await;
            let answered = answered.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthUserGetResponse {
                header: header(&answered.header),
                roles: answered.answer,
            }))
        }

        async fn user_list(
            &self,
            request: Request<wire::AuthUserListRequest>,
        ) -> Result<Response<wire::AuthUserListResponse>, Status> {
            let (caller, _) = open(request);
            let answered = self.0.by(caller).users().await;
            let answered = answered.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthUserListResponse {
                header: header(&answered.header),
                users: answered.answer,
            }))
        }

        async fn role_get(
            &self,
            request: Request<wire::AuthRoleGetRequest>,
        ) -> Result<Response<wire::AuthRoleGetResponse>, Status> {
            let (caller, request) = open(request);
            let answered = self.0.by(caller).role(&request.role).await;
            let answered = answered.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthRoleGetResponse {
                header: header(&answered.header),
                perm: answered.answer.into_iter().map(wire_permission).collect(),
            }))
        }

        async fn role_list(
            &self,
            request: Request<wire::AuthRoleListRequest>,
        ) -> Result<Response<wire::AuthRoleListResponse>, Status> {
            let (caller, _) = open(request);
            let answered = self.0.by(caller).roles().await;
            let answered = answered.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthRoleListResponse {
                header: header(&answered.header),
                roles: answered.answer,
            }))
        }

        async fn role_grant_permission(
            &self,
            request: Request<wire::AuthRoleGrantPermissionRequest>,
        ) -> Result<Response<wire::AuthRoleGrantPermissionResponse>, Status> {
            let (caller, request) = open(request);
            let permission = request.perm.map(permission).transpose()?;
            let granted = self.0.by(caller).grant_permission(request.name, permission).await;
            let granted = granted.map_err(|error| status(&error))?;
            Ok(Response::new(wire::AuthRoleGrantPermissionResponse { header: header(&granted) }))
        }
    }
    auth_disable: AuthDisableRequest -> AuthDisableResponse = |_| AuthChange::Disable;
    user_delete: AuthUserDeleteRequest -> AuthUserDeleteResponse =
        |request| AuthChange::DeleteUser { name: request.name };
    user_grant_role: AuthUserGrantRoleRequest -> AuthUserGrantRoleResponse =
        |request| AuthChange::GrantRole { user: request.user, role: request.role };
    user_revoke_role: AuthUserRevokeRoleRequest -> AuthUserRevokeRoleResponse =
        |request| AuthChange::RevokeRole { user: request.name, role: request.role };
    role_add: AuthRoleAddRequest -> AuthRoleAddResponse =
        |request| AuthChange::AddRole { name: request.name };
    role_delete: AuthRoleDeleteRequest -> AuthRoleDeleteResponse =
        |request| AuthChange::DeleteRole { name: request.role };
    role_revoke_permission: AuthRoleRevokePermissionRequest -> AuthRoleRevokePermissionResponse =
        |request| AuthChange::RevokePermission {
            role: request.role,
            key: request.key,
            end: request.range_end,
        };
}
