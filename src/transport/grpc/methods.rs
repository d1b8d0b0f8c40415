//! Every method of etcd's interface and of the registry's: where it is served, and its counters, resolved once so that a call costs two atomic
//! additions.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::IntCounter;
use tonic::Code;

use crate::base::metrics::Metrics;

/// Who serves a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Kv,
    Watch,
    Lease,
    Cluster,
    Maintenance,
    Auth,
    Lock,
    Election,
    Registry,
    Health,
    Reflection,
    ReflectionAlpha,
}

/// Who sends how many messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unary,
    ServerStream,
    BidirectionalStream,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidirectionalStream => "bidi_stream",
        }
    }
}

/// The methods of each service that take and give one message.
const UNARY: [(&str, Target, &[&str]); 12] = [
    (
        "etcdserverpb.KV",
        Target::Kv,
        &["Range", "Put", "DeleteRange", "Txn", "Compact"],
    ),
    (
        "etcdserverpb.Lease",
        Target::Lease,
        &["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases"],
    ),
    (
        "etcdserverpb.Cluster",
        Target::Cluster,
        &[
            "MemberAdd",
            "MemberRemove",
            "MemberUpdate",
            "MemberList",
            "MemberPromote",
        ],
    ),
    (
        "etcdserverpb.Maintenance",
        Target::Maintenance,
        &[
            "Alarm",
            "Status",
            "Defragment",
            "Hash",
            "HashKV",
            "MoveLeader",
            "Downgrade",
        ],
    ),
    (
        "etcdserverpb.Auth",
        Target::Auth,
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    ("grpc.health.v1.Health", Target::Health, &["Check", "List"]),
    ("v3lockpb.Lock", Target::Lock, &["Lock", "Unlock"]),
    (
        "v3electionpb.Election",
        Target::Election,
        &["Campaign", "Proclaim", "Leader", "Resign"],
    ),
    (
        "stead.registry.v1.Registry",
        Target::Registry,
        &[
            "Register",
            "Deregister",
            "Get",
            "List",
            "ListServices",
            "SetMaintenance",
            "UpdateCheck",
            "RegisterNode",
            "DeregisterNode",
            "ListNodes",
        ],
    ),
    ("etcdserverpb.Watch", Target::Watch, &[]),
    ("grpc.reflection.v1.ServerReflection", Target::Reflection, &[]),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        Target::ReflectionAlpha,
        &[],
    ),
];

/// The methods that stream.
const STREAMS: [(&str, Target, &str, Kind); 10] = [
    (
        "grpc.reflection.v1.ServerReflection",
        Target::Reflection,
        "ServerReflectionInfo",
        Kind::BidirectionalStream,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        Target::ReflectionAlpha,
        "ServerReflectionInfo",
        Kind::BidirectionalStream,
    ),
    ("etcdserverpb.KV", Target::Kv, "RangeStream", Kind::ServerStream),
    (
        "etcdserverpb.Watch",
        Target::Watch,
        "Watch",
        Kind::BidirectionalStream,
    ),
    (
        "etcdserverpb.Lease",
        Target::Lease,
        "LeaseKeepAlive",
        Kind::BidirectionalStream,
    ),
    (
        "etcdserverpb.Maintenance",
        Target::Maintenance,
        "Snapshot",
        Kind::ServerStream,
    ),
    (
        "grpc.health.v1.Health",
        Target::Health,
        "Watch",
        Kind::ServerStream,
    ),
    (
        "v3electionpb.Election",
        Target::Election,
        "Observe",
        Kind::ServerStream,
    ),
    (
        "stead.registry.v1.Registry",
        Target::Registry,
        "Watch",
        Kind::ServerStream,
    ),
    (
        "stead.registry.v1.Registry",
        Target::Registry,
        "Heartbeat",
        Kind::BidirectionalStream,
    ),
];

/// The codes in the order of their numbers, under the names that etcd's metrics use.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A method with its counters.
pub(super) struct Method {
    pub target: Target,
    pub kind: Kind,
    /// Whether a learner answers it.
    pub is_for_learners: bool,
    started: IntCounter,
    handled: Vec<IntCounter>,
}

impl Method {
    /// Counts a call that begins.
    pub fn started(&self) {
        self.started.inc();
    }

    /// Counts a call that ended.
    pub fn handled(&self, code: Code) {
        if let Some(counter) = usize::try_from(i32::from(code))
            .ok()
            .and_then(|code| self.handled.get(code))
        {
            counter.inc();
        }
    }
}

/// Whether a learner answers a method: as in etcd its status, its database as a file, and ranges that need no quorum, which
/// the service tells from others; and what is not etcd's own.
fn is_for_learners(target: Target, name: &str) -> bool {
    match target {
        Target::Health | Target::Reflection | Target::ReflectionAlpha => true,
        Target::Kv => name == "Range",
        Target::Maintenance => matches!(name, "Status" | "Snapshot"),
        Target::Watch
        | Target::Lease
        | Target::Cluster
        | Target::Auth
        | Target::Lock
        | Target::Election
        | Target::Registry => false,
    }
}

/// All methods, by path.
pub(super) struct Methods {
    by_path: HashMap<String, Arc<Method>>,
}

impl Methods {
    /// Resolves the counters of all methods.
    pub fn new(metrics: &Metrics) -> Self {
        let unary = UNARY.into_iter().flat_map(|(service, target, methods)| {
            methods
                .iter()
                .map(move |method| (service, target, *method, Kind::Unary))
        });
        let by_path = unary
            .chain(STREAMS)
            .map(|(service, target, name, kind)| {
                let labels = [kind.label(), service, name];
                let started = metrics.calls_started.with_label_values(&labels);
                let handled = CODES
                    .iter()
                    .map(|code| {
                        metrics
                            .calls_handled
                            .with_label_values(&[labels[0], service, name, *code])
                    })
                    .collect();
                (
                    format!("/{service}/{name}"),
                    Arc::new(Method {
                        target,
                        kind,
                        is_for_learners: is_for_learners(target, name),
                        started,
                        handled,
                    }),
                )
            })
            .collect();
        Self { by_path }
    }

    /// The method at a path.
    ///
    /// # Errors
    /// The text with which a call of anything else is refused.
    pub fn at(&self, path: &str) -> Result<Arc<Method>, String> {
        if let Some(method) = self.by_path.get(path) {
            return Ok(Arc::clone(method));
        }
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Err(format!("malformed method name: {path:?}"));
        };
        let known = UNARY.iter().any(|(name, ..)| *name == service);
        Err(if known {
            format!("unknown method {method} for service {service}")
        } else {
            format!("unknown service {service}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_interface_is_known_and_anything_else_has_etcds_text() {
        let metrics = Metrics::new().expect("metrics register once");
        let methods = Methods::new(&metrics);
        assert_eq!(methods.by_path.len(), 66);
        let text = |path: &str| methods.at(path).err();
        assert_eq!(text("/etcdserverpb.KV/Range"), None);
        assert_eq!(
            text("/etcdserverpb.KV/Get"),
            Some("unknown method Get for service etcdserverpb.KV".into())
        );
        assert_eq!(
            text("/etcdserverpb.Q/Get"),
            Some("unknown service etcdserverpb.Q".into())
        );
        assert_eq!(text("/Get"), Some("malformed method name: \"/Get\"".into()));
    }

    #[test]
    fn a_call_is_counted_under_its_code() {
        let metrics = Metrics::new().expect("metrics register once");
        let methods = Methods::new(&metrics);
        let put = methods.at("/etcdserverpb.KV/Put").expect("the method exists");
        put.started();
        put.handled(Code::Unavailable);
        let handled = |code| {
            metrics
                .calls_handled
                .with_label_values(&["unary", "etcdserverpb.KV", "Put", code])
                .get()
        };
        assert_eq!((handled("Unavailable"), handled("OK")), (1, 0));
    }
}
