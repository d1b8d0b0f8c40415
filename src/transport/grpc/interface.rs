//! Every method of etcd's interface, the registry's and that of secrets, and who serves it. Never serves one itself.

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
    Seal,
    Secrets,
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
    /// Its name in the metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidirectionalStream => "bidi_stream",
        }
    }
}

/// The methods of each service that take and give one message.
pub(super) const UNARY: [(&str, Target, &[&str]); 14] = [
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
    (
        "stead.secrets.v1.Seal",
        Target::Seal,
        &[
            "Status",
            "Initialize",
            "Unseal",
            "Reset",
            "RekeyStatus",
            "BeginRekey",
            "OfferToRekey",
            "RekeyVerificationStatus",
            "VerifyRekey",
            "RestartRekeyVerification",
            "CancelRekey",
            "RootStatus",
            "BeginRoot",
            "OfferToRoot",
            "CancelRoot",
        ],
    ),
    (
        "stead.secrets.v1.Secrets",
        Target::Secrets,
        &["Read", "Write", "Patch", "Delete", "List"],
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
pub(super) const STREAMS: [(&str, Target, &str, Kind); 11] = [
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
    (
        "stead.secrets.v1.Secrets",
        Target::Secrets,
        "Watch",
        Kind::ServerStream,
    ),
];
