//! Which path of the gateway stands for which method. The table is etcd's; the rest comes from the descriptors.

use std::collections::HashMap;

use prost_reflect::DescriptorPool;

use super::Translator;
use crate::proto::DESCRIPTORS;

/// Service, and path and method for each of its methods. Three calls of leases have a second path.
const ROUTES: [(&str, &[(&str, &str)]); 8] = [
    (
        "etcdserverpb.KV",
        &[
            ("/kv/range", "Range"),
            ("/kv/put", "Put"),
            ("/kv/deleterange", "DeleteRange"),
            ("/kv/txn", "Txn"),
            ("/kv/compaction", "Compact"),
        ],
    ),
    ("etcdserverpb.Watch", &[("/watch", "Watch")]),
    (
        "etcdserverpb.Lease",
        &[
            ("/lease/grant", "LeaseGrant"),
            ("/lease/revoke", "LeaseRevoke"),
            ("/kv/lease/revoke", "LeaseRevoke"),
            ("/lease/keepalive", "LeaseKeepAlive"),
            ("/lease/timetolive", "LeaseTimeToLive"),
            ("/kv/lease/timetolive", "LeaseTimeToLive"),
            ("/lease/leases", "LeaseLeases"),
            ("/kv/lease/leases", "LeaseLeases"),
        ],
    ),
    (
        "etcdserverpb.Cluster",
        &[
            ("/cluster/member/add", "MemberAdd"),
            ("/cluster/member/remove", "MemberRemove"),
            ("/cluster/member/update", "MemberUpdate"),
            ("/cluster/member/list", "MemberList"),
            ("/cluster/member/promote", "MemberPromote"),
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        &[
            ("/maintenance/alarm", "Alarm"),
            ("/maintenance/status", "Status"),
            ("/maintenance/defragment", "Defragment"),
            ("/maintenance/hash", "Hash"),
            ("/maintenance/hashkv", "HashKV"),
            ("/maintenance/snapshot", "Snapshot"),
            ("/maintenance/transfer-leadership", "MoveLeader"),
            ("/maintenance/downgrade", "Downgrade"),
        ],
    ),
    (
        "etcdserverpb.Auth",
        &[
            ("/auth/enable", "AuthEnable"),
            ("/auth/disable", "AuthDisable"),
            ("/auth/status", "AuthStatus"),
            ("/auth/authenticate", "Authenticate"),
            ("/auth/user/add", "UserAdd"),
            ("/auth/user/get", "UserGet"),
            ("/auth/user/list", "UserList"),
            ("/auth/user/delete", "UserDelete"),
            ("/auth/user/changepw", "UserChangePassword"),
            ("/auth/user/grant", "UserGrantRole"),
            ("/auth/user/revoke", "UserRevokeRole"),
            ("/auth/role/add", "RoleAdd"),
            ("/auth/role/get", "RoleGet"),
            ("/auth/role/list", "RoleList"),
            ("/auth/role/delete", "RoleDelete"),
            ("/auth/role/grant", "RoleGrantPermission"),
            ("/auth/role/revoke", "RoleRevokePermission"),
        ],
    ),
    (
        "v3lockpb.Lock",
        &[("/lock/lock", "Lock"), ("/lock/unlock", "Unlock")],
    ),
    (
        "v3electionpb.Election",
        &[
            ("/election/campaign", "Campaign"),
            ("/election/proclaim", "Proclaim"),
            ("/election/leader", "Leader"),
            ("/election/observe", "Observe"),
            ("/election/resign", "Resign"),
        ],
    ),
];

/// What stands behind a path.
pub(super) struct Route {
    /// The path of the gRPC method.
    pub path: String,
    /// Translates the request.
    pub request: Translator,
    /// Translates the answer.
    pub answer: Translator,
    /// Whether the client sends any number of messages.
    pub takes_many: bool,
    /// Whether any number of messages is answered.
    pub gives_many: bool,
}

/// All paths, without the version in front.
pub(super) struct Routes {
    by_path: HashMap<&'static str, Route>,
}

impl Routes {
    /// Reads the descriptors.
    pub fn new() -> Self {
        let pool = match DescriptorPool::decode(DESCRIPTORS) {
            Ok(pool) => pool,
            Err(error) => {
                tracing::error!(%error, "the descriptors of the interface are broken; there is no JSON gateway");
                DescriptorPool::new()
            }
        };
        let rows = ROUTES.iter().flat_map(|(service, methods)| {
            methods
                .iter()
                .map(move |(path, method)| (*service, *path, *method))
        });
        let by_path = rows
            .filter_map(|(service, path, method)| Some((path, Route::find(&pool, service, method)?)))
            .collect();
        Self { by_path }
    }

    /// The route at a path.
    pub fn at(&self, path: &str) -> Option<&Route> {
        self.by_path.get(path)
    }
}

impl Route {
    fn find(pool: &DescriptorPool, service: &str, name: &str) -> Option<Self> {
        let service = pool.get_service_by_name(service)?;
        let method = service.methods().find(|method| method.name() == name)?;
        Some(Self {
            path: format!("/{}/{name}", service.full_name()),
            request: Translator::new(method.input()),
            answer: Translator::new(method.output()),
            takes_many: method.is_client_streaming(),
            gives_many: method.is_server_streaming(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_of_etcds_gateway_leads_to_a_method() {
        let routes = Routes::new();
        let rows: usize = ROUTES.iter().map(|(_, methods)| methods.len()).sum();
        assert_eq!((rows, routes.by_path.len()), (51, 51));
        let many = |path: &str| {
            let route = routes.at(path).expect("the path exists");
            (route.takes_many, route.gives_many)
        };
        assert_eq!(many("/kv/put"), (false, false));
        assert_eq!(many("/watch"), (true, true));
        assert_eq!(many("/lease/keepalive"), (true, true));
        assert_eq!(many("/election/observe"), (false, true));
        assert!(routes.at("/kv/rangestream").is_none());
    }
}
