//! The table of all flags of `stead server`: etcd's names and defaults, and what Stead does with each.
//!
//! A flag of etcd's that is not in here is an error, never silently accepted.

mod unused;

use unused::UNUSED;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`; the bare flag means `true`.
    Switch,
    /// A duration such as `5s`; a configuration file may give whole nanoseconds, as etcd's do.
    Duration,
}

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It has etcd's meaning.
    Used,
    /// It is accepted and logged, since nothing is lost without it; why.
    Ignored(&'static str),
    /// It is an error unless its value asks for nothing, since its absence would be dangerous; why.
    Refused(&'static str),
}

/// A flag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Its name without dashes.
    pub(super) name: &'static str,
    /// The value it has if it is not given.
    pub(super) default: &'static str,
    /// What a value looks like.
    pub(super) kind: Kind,
    /// What becomes of it.
    pub(super) treatment: Treatment,
    /// What it does, for the help.
    pub(super) help: &'static str,
}

/// All flags: those that are used first, in the order of the help.
pub(super) fn all() -> impl Iterator<Item = &'static Flag> {
    USED.iter().chain(UNUSED)
}

/// Finds a flag. `experimental-` in front, as etcd wrote many of them up to 3.6, makes no difference.
pub(super) fn find(name: &str) -> Option<&'static Flag> {
    let find_exact = |name: &str| all().find(|flag| flag.name == name);
    find_exact(name).or_else(|| find_exact(name.strip_prefix("experimental-")?))
}

const fn used(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        default,
        kind: Kind::Text,
        treatment: Treatment::Used,
        help,
    }
}

const fn used_duration(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag {
        kind: Kind::Duration,
        ..used(name, default, help)
    }
}

const fn used_switch(name: &'static str, default: &'static str, help: &'static str) -> Flag {
    Flag {
        kind: Kind::Switch,
        ..used(name, default, help)
    }
}

/// Those that are used, in the order of the help.
const USED: &[Flag] = &[
    used("name", "default", "Name of this member, as in --initial-cluster"),
    used("data-dir", "", "Folder of the data; ${name}.etcd if not given"),
    used(
        "listen-client-urls",
        "http://localhost:2379",
        "Addresses to listen on for clients, also unix:///path/of/socket, and unixs:// with TLS",
    ),
    used(
        "advertise-client-urls",
        "http://localhost:2379",
        "Where clients are told to find this member",
    ),
    used(
        "listen-peer-urls",
        "http://localhost:2380",
        "Addresses to listen on for other members",
    ),
    used(
        "initial-advertise-peer-urls",
        "http://localhost:2380",
        "Where other members find this member",
    ),
    used(
        "initial-cluster",
        "",
        "All members of a new cluster: name=http://host:port,...; this member alone if not given",
    ),
    used(
        "initial-cluster-state",
        "new",
        "new: form the cluster if the data folder is empty; existing: join it",
    ),
    used(
        "initial-cluster-token",
        "etcd-cluster",
        "Makes the ids of clusters with equal addresses differ",
    ),
    used_switch(
        "strict-reconfig-check",
        "true",
        "Refuse changes of the members that put the quorum at risk",
    ),
    used("max-learners", "1", "Most learners at a time"),
    used(
        "heartbeat-interval",
        "100",
        "Milliseconds between heartbeats of the leader",
    ),
    used(
        "election-timeout",
        "1000",
        "Milliseconds without a leader before an election",
    ),
    used("snapshot-count", "10000", "Log entries between two snapshots"),
    used("max-request-bytes", "1572864", "Largest request"),
    used(
        "max-txn-ops",
        "128",
        "Most operations in one list of a transaction",
    ),
    used(
        "quota-backend-bytes",
        "0",
        "Size of the data above which writes are refused; 0: 2 GiB, negative: no limit",
    ),
    used(
        "auto-compaction-mode",
        "periodic",
        "What the retention counts: periodic (time) or revision",
    ),
    used(
        "auto-compaction-retention",
        "0",
        "History to keep: 1h, 30m or plain hours (periodic), or a number of revisions; 0: all",
    ),
    used_switch(
        "initial-corrupt-check",
        "false",
        "Whether to compare the data with those of the other members, and serve nothing if they differ",
    ),
    used_duration(
        "corrupt-check-time",
        "0s",
        "Time between two comparisons of the members' data by the leader, which raises the alarm CORRUPT; 0: never",
    ),
    used_switch(
        "compact-hash-check-enabled",
        "false",
        "Whether the leader compares what the members have left after each compaction",
    ),
    used_duration(
        "compact-hash-check-time",
        "1m",
        "Time between two looks of the leader whether there was a compaction to compare",
    ),
    used(
        "feature-gates",
        "",
        "etcd's feature gates, NAME=true,...: InitialCorruptCheck and CompactHashCheck switch these checks",
    ),
    used(
        "max-concurrent-streams",
        "4294967295",
        "Most streams on one connection",
    ),
    used_duration(
        "grpc-keepalive-interval",
        "2h",
        "Time without traffic before the server pings a client; 0: never",
    ),
    used_duration(
        "grpc-keepalive-timeout",
        "20s",
        "Time to wait for the answer to a ping; 0: forever",
    ),
    used_duration(
        "watch-progress-notify-interval",
        "0",
        "Time between progress notes on a quiet watch; 0: 10m",
    ),
    used(
        "listen-metrics-urls",
        "",
        "More addresses for /metrics and the health pages",
    ),
    used(
        "listen-client-http-urls",
        "",
        "Addresses for HTTP without gRPC; --listen-client-urls then serves gRPC alone",
    ),
    used(
        "listen-consul-urls",
        "",
        "Addresses for Consul's HTTP interface; none: it is off",
    ),
    used(
        "listen-vault-urls",
        "",
        "Addresses for Vault's HTTP interface, the secret store; none: it is off",
    ),
    used_switch(
        "consul-acl",
        "false",
        "Whether tokens guard Consul's interface and its names in DNS",
    ),
    used(
        "consul-acl-default-policy",
        "allow",
        "What is with what no rule of a token is about: allow or deny",
    ),
    used(
        "consul-acl-initial-management-token",
        "",
        "Secret of a first token that may do everything, a UUID; none: it is made with /v1/acl/bootstrap",
    ),
    used(
        "audit-directory",
        "",
        "Directory that the audit files of the secret store lie in; none: audit writes only to the log, stdout or syslog",
    ),
    used(
        "secrets-seal",
        "",
        "What unseals the secret store of this node by itself: file:PATH, env:NAME or ID=file:PATH, several with commas (so that no path has one); none: people do. stead secret seals has an existing store take them",
    ),
    used(
        "consul-max-requests-per-client",
        "200",
        "Most requests of one client address under way on Consul's interface, waiting ones included",
    ),
    used(
        "consul-datacenter",
        "dc1",
        "The name of the datacenter, as in web.service.dc1.consul",
    ),
    used("consul-domain", "consul", "The domain of names in DNS"),
    used("consul-alt-domain", "", "Another domain with the same names"),
    used(
        "listen-dns",
        "",
        "Addresses, comma-separated, for DNS over UDP and TCP, such as 127.0.0.1:8600; none: there is no DNS",
    ),
    used(
        "dns-token-file",
        "",
        "File with the token with whose rights all questions of DNS are answered; none: with those of the anonymous token",
    ),
    used_switch(
        "dns-only-passing",
        "false",
        "Leave instances that warn out of answers of DNS",
    ),
    used_switch(
        "dns-consistent",
        "false",
        "Answer DNS with all that was acknowledged before the question, not with what this member knows",
    ),
    used_switch(
        "dns-enable-truncate",
        "false",
        "Say so in answers over UDP that were cut, so that clients ask again over TCP",
    ),
    used(
        "dns-service-ttl",
        "",
        "How long answers about services are good for: name=10s,beginning*=5s,*=1s; else 0s",
    ),
    used_duration(
        "dns-node-ttl",
        "0s",
        "How long answers of DNS about nodes are good for",
    ),
    used(
        "dns-recursors",
        "",
        "Servers, comma-separated, to ask about names of other domains; none: they are refused",
    ),
    used_duration(
        "dns-recursor-timeout",
        "2s",
        "How long one of them may take before the next is asked",
    ),
    used_switch(
        "enable-grpc-gateway",
        "true",
        "Serve the JSON gateway under /v3/ on the addresses for clients",
    ),
    used(
        "cors",
        "*",
        "Origins of web pages whose scripts may use HTTP: http://host,...; *: all",
    ),
    used(
        "host-whitelist",
        "*",
        "Host names under which HTTP may be asked for; *: all",
    ),
    used(
        "check-targets",
        crate::service::checks::DEFAULT_TARGETS,
        "Addresses and ranges that checks of services may connect to: 10.0.0.0/8,...; link-local ones only if named as exactly",
    ),
    used(
        "check-registration",
        "all",
        "Who may register checks that the cluster does: nobody, root (while authentication is enabled) or all",
    ),
    used(
        "auth-token",
        "simple",
        "Tokens of users: simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m",
    ),
    used(
        "auth-token-ttl",
        "300",
        "Seconds without use after which a simple token is void",
    ),
    used(
        "cert-file",
        "",
        "Certificate shown to clients, PEM, with its chain; read anew when it changes",
    ),
    used("key-file", "", "Key of --cert-file"),
    used(
        "trusted-ca-file",
        "",
        "Authorities that sign clients' certificates; clients must show one then",
    ),
    used_switch(
        "client-cert-auth",
        "false",
        "Whether clients must show a certificate, whose common name says who they are",
    ),
    used(
        "client-crl-file",
        "",
        "Revoked certificates of clients: lists in PEM or DER",
    ),
    used(
        "client-cert-allowed-cn",
        "",
        "Common names, one of which a client's certificate must have",
    ),
    used(
        "client-cert-allowed-hostname",
        "",
        "Host names, one of which a client's certificate must be for",
    ),
    used_switch(
        "auto-tls",
        "false",
        "Whether to make a certificate for clients that nobody has signed",
    ),
    used(
        "client-cert-file",
        "",
        "Certificate of a node that connects to its own client port, which none does",
    ),
    used("client-key-file", "", "Key of --client-cert-file"),
    used(
        "peer-cert-file",
        "",
        "Certificate shown to other members, PEM, with its chain; read anew when it changes",
    ),
    used("peer-key-file", "", "Key of --peer-cert-file"),
    used(
        "peer-trusted-ca-file",
        "",
        "Authorities that sign members' certificates; members must show one then",
    ),
    used_switch(
        "peer-client-cert-auth",
        "false",
        "Whether other members must show a certificate",
    ),
    used(
        "peer-client-cert-file",
        "",
        "Certificate shown when connecting to a member; --peer-cert-file if not given",
    ),
    used("peer-client-key-file", "", "Key of --peer-client-cert-file"),
    used(
        "peer-crl-file",
        "",
        "Revoked certificates of members: lists in PEM or DER",
    ),
    used(
        "peer-cert-allowed-cn",
        "",
        "Common names, one of which a member's certificate must have",
    ),
    used(
        "peer-cert-allowed-hostname",
        "",
        "Host names, one of which a member's certificate must be for",
    ),
    used_switch(
        "peer-skip-client-san-verification",
        "false",
        "Whether a member may connect from an address that its certificate is not for",
    ),
    used_switch(
        "peer-auto-tls",
        "false",
        "Whether to make a certificate for members that nobody has signed, and check none",
    ),
    used(
        "self-signed-cert-validity",
        "1",
        "Years that a certificate of --auto-tls and --peer-auto-tls is good for",
    ),
    used("tls-min-version", "TLS1.2", "Oldest TLS spoken: TLS1.2 or TLS1.3"),
    used("tls-max-version", "", "Newest TLS spoken: TLS1.2 or TLS1.3"),
    used(
        "cipher-suites",
        "",
        "Cipher suites of TLS 1.2, by Go's names; all safe ones if not given",
    ),
    used(
        "metrics",
        "basic",
        "basic, or extensive: with the time of calls for each method as well",
    ),
    used_duration(
        "warning-unary-request-duration",
        "300ms",
        "Time after which a request is logged as slow",
    ),
    used_duration(
        "warning-apply-duration",
        "100ms",
        "Time after which applying changes, or reading keys, is logged as slow",
    ),
    used(
        "log-level",
        "info",
        "Least severe lines to log: debug, info, warn, error, panic, fatal",
    ),
    used("log-format", "json", "Form of the log: json or console"),
    used(
        "log-outputs",
        "default",
        "Where the log goes: default (stderr), stderr, stdout, or files",
    ),
    used(
        "config-file",
        "",
        "YAML file with these names as keys; all other flags and the environment are then ignored",
    ),
];
