//! `etcdserverpb.Auth`: there are no users yet, and it says so.

use tonic::{Request, Response, Status};

use super::error::status;
use super::translate;
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::auth_server::Auth as Service;
use crate::service::ServiceError;
use crate::service::maintenance::Maintenance;

/// The revision of a store of users that never changed.
const UNCHANGED_AUTH_REVISION: u64 = 1;

/// The front door of users and roles.
pub(super) struct AuthDoor(pub(super) Maintenance);

/// Implements the service: [`AuthDoor::auth_status`] answers, every method in the list is not served.
macro_rules! serve_status_alone {
    ($($method:ident: $request:ident -> $response:ident),* $(,)?) => {
        #[tonic::async_trait]
        impl Service for AuthDoor {
            async fn auth_status(
                &self,
                _request: Request<wire::AuthStatusRequest>,
            ) -> Result<Response<wire::AuthStatusResponse>, Status> {
                Ok(Response::new(wire::AuthStatusResponse {
                    header: Some(translate::header(&self.0.header())),
                    enabled: false,
                    auth_revision: UNCHANGED_AUTH_REVISION,
                }))
            }
            $(
                async fn $method(
                    &self,
                    _request: Request<wire::$request>,
                ) -> Result<Response<wire::$response>, Status> {
                    Err(status(&ServiceError::Unimplemented(
                        "This version of stead has no users and roles; authentication is disabled.",
                    )))
                }
            )*
        }
    };
}

serve_status_alone! {
    auth_enable: AuthEnableRequest -> AuthEnableResponse,
    auth_disable: AuthDisableRequest -> AuthDisableResponse,
    authenticate: AuthenticateRequest -> AuthenticateResponse,
    user_add: AuthUserAddRequest -> AuthUserAddResponse,
    user_get: AuthUserGetRequest -> AuthUserGetResponse,
    user_list: AuthUserListRequest -> AuthUserListResponse,
    user_delete: AuthUserDeleteRequest -> AuthUserDeleteResponse,
    user_change_password: AuthUserChangePasswordRequest -> AuthUserChangePasswordResponse,
    user_grant_role: AuthUserGrantRoleRequest -> AuthUserGrantRoleResponse,
    user_revoke_role: AuthUserRevokeRoleRequest -> AuthUserRevokeRoleResponse,
    role_add: AuthRoleAddRequest -> AuthRoleAddResponse,
    role_get: AuthRoleGetRequest -> AuthRoleGetResponse,
    role_list: AuthRoleListRequest -> AuthRoleListResponse,
    role_delete: AuthRoleDeleteRequest -> AuthRoleDeleteResponse,
    role_grant_permission: AuthRoleGrantPermissionRequest -> AuthRoleGrantPermissionResponse,
    role_revoke_permission: AuthRoleRevokePermissionRequest -> AuthRoleRevokePermissionResponse,
}
