//! Every limit of the store, with its unit in its name and its source in its doc.
//!
//! Limits that a flag can change are here as that flag's default. It is longer than 500 lines because they all stand in one
//! place.

/// Largest client request, as etcd's `--max-request-bytes` (1.5 MiB).
pub const DEFAULT_MAXIMUM_REQUEST_BYTES: u32 = 1_572_864;

/// What a gRPC message may be larger than the largest request, as in etcd.
pub const GRPC_OVERHEAD_BYTES: u32 = 512 * 1024;

/// Most operations in one list of a transaction, as etcd's `--max-txn-ops`.
pub const DEFAULT_MAXIMUM_TXN_OPERATIONS: u32 = 128;

/// Size of the database above which writes are refused, as etcd's `--quota-backend-bytes=0` (2 GiB).
pub const DEFAULT_QUOTA_BYTES: i64 = 2 * 1024 * 1024 * 1024;

/// Time between two heartbeats of the leader, as etcd's `--heartbeat-interval`.
pub const DEFAULT_HEARTBEAT_MILLISECONDS: u64 = 100;

/// Time without a leader after which an election may start, as etcd's `--election-timeout`.
pub const DEFAULT_ELECTION_MILLISECONDS: u64 = 1_000;

/// Longest time to live of a lease, as in etcd.
pub const MAXIMUM_LEASE_TTL_SECONDS: i64 = 9_000_000_000;

/// Bytes of all users and roles, as they are stored; they are held in memory. One more is refused.
pub const MAXIMUM_AUTH_BYTES: usize = 64 * 1024 * 1024;

/// Passwords that one node hashes at once; each takes 19 MiB for its time.
pub const MAXIMUM_HASHES_AT_ONCE: usize = 4;

/// Passwords that wait on one node to be hashed; one more is refused as `too many requests`.
pub const MAXIMUM_WAITING_HASHES: usize = 1_024;

/// Simple tokens whose last use one node remembers; those above it are void when their time to live since the login is
/// over, used or not.
pub const MAXIMUM_REMEMBERED_TOKENS: usize = 100_000;

/// Time without use after which a simple token is void, as etcd's `--auth-token-ttl`.
pub const DEFAULT_TOKEN_TTL_SECONDS: u64 = 300;

/// Commands that wait for the leader's log, all together, on one node; more are refused as `too many requests`.
pub const MAXIMUM_PENDING_PROPOSALS: usize = 16_384;

/// Bytes of commands that wait for the leader's log on one node; more are refused as `too many requests`.
pub const MAXIMUM_PENDING_PROPOSAL_BYTES: usize = 256 * 1024 * 1024;

/// Time between two progress replies of a quiet watch, as etcd's `--watch-progress-notify-interval`; each stream adds up
/// to a tenth of it.
pub const DEFAULT_WATCH_PROGRESS_MILLISECONDS: u64 = 600_000;

/// Watches open on one node, all streams together; one more is refused in its reply.
pub const MAXIMUM_WATCHERS: usize = 1_000_000;

/// Bytes of keys, values and overhead that wait for one watch stream to be read. A stream that holds this much gets its
/// next events from storage, when there is room again. An empty queue takes a response of any size.
pub const MAXIMUM_WATCH_STREAM_BYTES: usize = 2 * 1024 * 1024;

/// Responses that wait for one watch stream to be read (etcd: 128).
pub const MAXIMUM_WATCH_STREAM_RESPONSES: usize = 4_096;

/// Replies to creates, cancels and progress requests that wait for one watch stream to be read; while there are as many,
/// no further request is taken from the stream.
pub const MAXIMUM_WATCH_STREAM_REPLIES: usize = 256;

/// Bytes that wait for all watch streams of a node to be read; above it, a stream that has anything waiting counts as full.
pub const MAXIMUM_WATCH_NODE_BYTES: usize = 256 * 1024 * 1024;

/// Watches that one pass over history serves together (etcd: 512).
pub const MAXIMUM_CATCH_UP_WATCHERS: usize = 512;

/// Revisions in one response from history (etcd: 1,000).
pub const MAXIMUM_CATCH_UP_REVISIONS: usize = 1_000;

/// Bytes of keys and values that one pass over history reads, the last revision of the pass not counted.
pub const MAXIMUM_CATCH_UP_BYTES: usize = 512 * 1024;

/// Changes that one page of history looks at, matching or not, the last revision not counted: who reads on a quiet key
/// yields to others now and then.
pub const MAXIMUM_HISTORY_PAGE_CHANGES: usize = 16_384;

/// Bytes of the name of a service, a node or a check, and of an id or a tag of an instance (a name in DNS has at most 255).
pub const MAXIMUM_REGISTRY_NAME_BYTES: usize = 255;

/// Tags of an instance.
pub const MAXIMUM_INSTANCE_TAGS: usize = 64;

/// Pairs of metadata of an instance or a node (Consul: 64).
pub const MAXIMUM_METADATA_PAIRS: usize = 64;

/// Bytes of a key in metadata (Consul: 128).
pub const MAXIMUM_METADATA_KEY_BYTES: usize = 128;

/// Bytes of a value in metadata (Consul: 512).
pub const MAXIMUM_METADATA_VALUE_BYTES: usize = 512;

/// Further addresses of an instance or a node.
pub const MAXIMUM_TAGGED_ADDRESSES: usize = 16;

/// Checks of one instance, and of one node for itself, those of maintenance counted.
pub const MAXIMUM_CHECKS: usize = 32;

/// Bytes of the output of a check (Consul: 4 KiB); also of its notes.
pub const MAXIMUM_CHECK_OUTPUT_BYTES: usize = 4 * 1024;

/// Shortest time between two probes of one check (Consul: 1 s); less counts as this.
pub const MINIMUM_CHECK_INTERVAL_SECONDS: u64 = 1;

/// Longest time between two probes of one check.
pub const MAXIMUM_CHECK_INTERVAL_SECONDS: u64 = 24 * 3_600;

/// Time that a probe may take unless the check says otherwise (Consul: 10 s).
pub const DEFAULT_CHECK_TIMEOUT_SECONDS: u64 = 10;

/// Longest time that a probe may take.
pub const MAXIMUM_CHECK_TIMEOUT_SECONDS: u64 = 600;

/// Longest time within which a check with a time to live must be reported; the shortest is a millisecond.
pub const MAXIMUM_CHECK_TTL_SECONDS: u64 = 366 * 24 * 3_600;

/// Shortest time of being critical after which an instance is deregistered (Consul: 1 min); less counts as this.
pub const MINIMUM_DEREGISTER_AFTER_SECONDS: u64 = 60;

/// Longest time of being critical after which an instance is deregistered.
pub const MAXIMUM_DEREGISTER_AFTER_SECONDS: u64 = 366 * 24 * 3_600;

/// Successes or failures in a row that a check may ask for.
pub const MAXIMUM_CHECK_THRESHOLD: u32 = 1_000;

/// Bytes of the address of a probe: of a URL, a host with its port, or the name of a gRPC service.
pub const MAXIMUM_CHECK_ADDRESS_BYTES: usize = 2 * 1024;

/// Headers of a probe.
pub const MAXIMUM_CHECK_HEADERS: usize = 32;

/// Bytes of the values of one header of a probe, and of its body.
pub const MAXIMUM_CHECK_BODY_BYTES: usize = 4 * 1024;

/// Probes that one member has under way at a time; more wait.
pub const MAXIMUM_PROBES_AT_ONCE: usize = 256;

/// Redirects that a probe follows.
pub const MAXIMUM_CHECK_REDIRECTS: usize = 10;

/// Longest time until another output of a check whose status stays is written (Consul: 5 min).
pub const MAXIMUM_OUTPUT_DELAY_SECONDS: u64 = 300;

/// Instances of all services; one more is refused. Each member holds all of them in memory, about 2 KiB for each.
pub const MAXIMUM_INSTANCES: usize = 200_000;

/// Changes of services that one member works on at a time; one more is refused.
pub const MAXIMUM_REGISTRY_CHANGES_AT_ONCE: usize = 4_096;

/// Watches of services on one member; one more is refused.
pub const MAXIMUM_REGISTRY_WATCHES: usize = 10_000;

/// Leases in one message of heartbeats.
pub const MAXIMUM_HEARTBEAT_LEASES: usize = 10_000;

/// Instances, services or nodes in one page of a list, and instances in one message of a watch.
pub const MAXIMUM_REGISTRY_PAGE_INSTANCES: usize = 1_000;

/// Bytes of what is in one page of a list, and in one message of a watch, the last of it not counted.
pub const MAXIMUM_REGISTRY_PAGE_BYTES: usize = 1024 * 1024;

/// Watches of services that read history at a time on one member, each with a catalog of its own; more wait.
pub const MAXIMUM_REGISTRY_HISTORY_WATCHES: usize = 2;

/// Revisions with changes of services that a member keeps at hand. A watch that is further behind reads the history.
pub const MAXIMUM_REGISTRY_RECENT_CHANGES: usize = 16_384;

/// Bytes of an answer over UDP, whatever the client says that it takes: a datagram that is much larger is lost with any of
/// its fragments, and a false sender gets no more for its question.
pub const MAXIMUM_DNS_UDP_BYTES: u16 = 8_192;

/// Records in an answer over UDP for a client that does not say what it takes, as Consul's.
pub const MAXIMUM_DNS_UDP_ANSWERS: usize = 3;

/// Bytes of a file that holds a token.
pub const MAXIMUM_TOKEN_FILE_BYTES: u64 = 4_096;

/// Connections on which one member answers DNS; more wait to be accepted.
pub const MAXIMUM_DNS_CONNECTIONS: usize = 1_024;

/// Time without a question after which a connection for DNS is closed.
pub const DNS_IDLE_SECONDS: u64 = 10;

/// Questions that one member cannot answer at once (of the newest state, of addresses, of other domains) and works on at a
/// time; one more is answered with SERVFAIL.
pub const MAXIMUM_DNS_WAITING: usize = 1_024;

/// Bytes of a filter expression.
pub const MAXIMUM_FILTER_BYTES: usize = 8 * 1024;

/// Parentheses and negations of a filter expression inside each other.
pub const MAXIMUM_FILTER_DEPTH: usize = 64;

/// Regular expressions in a filter expression.
pub const MAXIMUM_FILTER_PATTERNS: usize = 16;

/// Bytes that one regular expression may take when it is compiled.
pub const MAXIMUM_FILTER_PATTERN_BYTES: usize = 256 * 1024;

/// Values in one document of JSON: texts, numbers, truth values, nulls, lists and objects, each for itself. Each may take
/// some hundred bytes of memory, and a few of the text. The largest batch of transit has 60,000; other documents than bodies
/// of requests to the secret store have too few bytes for as many.
pub const MAXIMUM_JSON_VALUES: usize = 100_000;

/// Bytes of the rules of an ACL policy.
pub const MAXIMUM_POLICY_BYTES: usize = 64 * 1024;

/// Brackets in the rules of an ACL policy inside each other; rules need three.
pub const MAXIMUM_POLICY_DEPTH: usize = 8;

/// ACL tokens; one more is refused. Each member holds all of them in memory and looks at all when one changes.
pub const MAXIMUM_ACL_TOKENS: usize = 10_000;

/// ACL policies, and as many roles; one more is refused.
pub const MAXIMUM_ACL_POLICIES: usize = 2_000;

/// Policies, roles and identities of one token or role.
pub const MAXIMUM_ACL_LINKS: usize = 128;

/// Bytes of the description of an ACL token, policy or role.
pub const MAXIMUM_ACL_DESCRIPTION_BYTES: usize = 4 * 1024;

/// Bytes of a value on Consul's interface (Consul: 512 KiB).
pub const MAXIMUM_CONSUL_VALUE_BYTES: usize = 512 * 1024;

/// Bytes of the body of any other request on Consul's interface.
pub const MAXIMUM_CONSUL_BODY_BYTES: usize = 1024 * 1024;

/// Removals under Consul's interface that a member remembers, for the index of what they were in. When there are more, the
/// older half is forgotten, and waiting requests may come back once without a change.
pub const MAXIMUM_CONSUL_REMOVALS: usize = 65_536;

/// Bytes of the names of those removals.
pub const MAXIMUM_CONSUL_REMOVAL_BYTES: usize = 16 * 1024 * 1024;

/// Prepared queries; one more is refused. Each member holds all of them in memory and looks at all when one changes.
pub const MAXIMUM_PREPARED_QUERIES: usize = 4_096;

/// Keys of one prefix that a transaction on Consul's interface which writes may read, and keys that one transaction
/// releases when a session ends; more are released by more.
pub const MAXIMUM_CONSUL_TXN_KEYS: usize = 1_000;

/// Bytes of keys and values in one answer of Consul's interface, as they are stored.
pub const MAXIMUM_CONSUL_ANSWER_BYTES: usize = 256 * 1024 * 1024;

/// Operations of one transaction on Consul's interface (Consul: 128).
pub const MAXIMUM_CONSUL_TXN_OPERATIONS: usize = 128;

/// Events that Consul's interface keeps (Consul: 256).
pub const MAXIMUM_CONSUL_EVENTS: u64 = 256;

/// Bytes that an event on Consul's interface may carry. (Consul: what fits into a message of gossip, a few hundred.)
pub const MAXIMUM_CONSUL_EVENT_BYTES: usize = 64 * 1024;

/// Bytes of a snapshot on Consul's interface, packed and unpacked.
pub const MAXIMUM_CONSUL_SNAPSHOT_BYTES: usize = 512 * 1024 * 1024;

/// Encryptions under one term of the keyring, each with a random nonce of 96 bits. NIST SP 800-38D (8.3) allows 2^32 for one
/// key; 2^26 are kept back for those that nodes made and did not live to write down.
pub const MAXIMUM_TERM_ENCRYPTIONS: u64 = (1 << 32) - (1 << 26);

/// Encryptions at which a term of the keyring is due for rotation: 90 % of 2^32.
pub const ROTATION_DUE_ENCRYPTIONS: u64 = 3_865_470_566;

/// Encryptions that one node makes before it must have written their number to the stored keyring; one more is refused. What
/// is kept back by [`MAXIMUM_TERM_ENCRYPTIONS`] is 64 times as much.
pub const MAXIMUM_UNCOUNTED_ENCRYPTIONS: u64 = 1 << 20;

/// Terms of the keyring; one more is refused. Each has a locked page of memory on each node that is not sealed. Rotated every
/// day, they last for eleven years.
pub const MAXIMUM_KEYRING_TERMS: usize = 4_096;

/// Bytes that are encrypted as one record.
pub const MAXIMUM_SEALED_RECORD_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of the path of a secret, decoded, with its slashes.
pub const MAXIMUM_SECRET_PATH_BYTES: usize = 2 * 1024;

/// Bytes between two slashes of the path of a secret.
pub const MAXIMUM_SECRET_SEGMENT_BYTES: usize = 512;

/// Segments of the path of a secret.
pub const MAXIMUM_SECRET_PATH_SEGMENTS: usize = 64;

/// Seals that hold the root key at a time.
pub const MAXIMUM_SEALS: usize = 16;

/// Bytes of the id of a seal.
pub const MAXIMUM_SEAL_ID_BYTES: usize = 128;

/// Bytes of a key file of a seal.
pub const MAXIMUM_KEY_FILE_BYTES: u64 = 1_024;

/// Bytes of a policy of the secret store.
pub const MAXIMUM_SECRET_POLICY_BYTES: usize = 256 * 1024;

/// Rules in a policy of the secret store; those about the same path count each.
pub const MAXIMUM_SECRET_POLICY_RULES: usize = 2_000;

/// Brackets in a policy of the secret store inside each other; rules about parameters need five in JSON.
pub const MAXIMUM_SECRET_POLICY_DEPTH: usize = 8;

/// Segments of a path in a policy of the secret store.
pub const MAXIMUM_SECRET_POLICY_SEGMENTS: usize = 128;

/// Bytes of the name of a policy of the secret store.
pub const MAXIMUM_SECRET_POLICY_NAME_BYTES: usize = 256;

/// Bytes of a password policy of the secret store.
pub const MAXIMUM_PASSWORD_POLICY_BYTES: usize = 32 * 1024;

/// Brackets in a password policy inside each other; rules in JSON need five.
pub const MAXIMUM_PASSWORD_POLICY_DEPTH: usize = 6;

/// Rules in a password policy.
pub const MAXIMUM_PASSWORD_RULES: usize = 64;

/// Different characters in a password policy, as in Vault.
pub const MAXIMUM_PASSWORD_CHARSET: usize = 256;

/// Fewest characters of a password that is made by a policy, as in Vault.
pub const MINIMUM_PASSWORD_CHARACTERS: usize = 4;

/// Most characters of a password that is made by a policy, as in Vault.
pub const MAXIMUM_PASSWORD_CHARACTERS: usize = 100;

/// Quotas of the secret store.
pub const MAXIMUM_SECRET_QUOTAS: usize = 256;

/// Bytes of the name of a quota of the secret store.
pub const MAXIMUM_QUOTA_NAME_BYTES: usize = 256;

/// Requests in an interval that a quota of the secret store may allow.
pub const MAXIMUM_QUOTA_RATE: f64 = 1e9;

/// Paths that may be left out of all quotas of the secret store.
pub const MAXIMUM_QUOTA_EXEMPTIONS: usize = 256;

/// Addresses that a node counts each for itself for a quota of the secret store; more are counted together.
pub const MAXIMUM_QUOTA_CLIENTS: usize = 8_192;

/// Bytes of the body of a request to the secret store, as in Vault (32 MiB).
pub const MAXIMUM_SECRET_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Brackets in the body of a request to the secret store inside each other.
pub const MAXIMUM_SECRET_BODY_DEPTH: usize = 100;

/// Requests of one client address under way on Vault's interface, those whose answers are not taken yet among them; one more
/// is refused with 429. As many may be under way to the secret store over gRPC.
pub const MAXIMUM_SECRET_REQUESTS_PER_CLIENT: usize = 1_024;

/// Time that a request on Vault's interface, or to the secret store over gRPC, may take, its body included, as in Vault
/// (90 s).
pub const MAXIMUM_SECRET_REQUEST_SECONDS: u64 = 90;

/// Time that seals may take to be written, tried again where there is no answer: less than command lines wait, so that who
/// is told once what opens them is still there.
pub const MAXIMUM_SEAL_WRITE_SECONDS: u64 = 3;

/// Requests to the secret store that wait on one node for a thread, of each kind: logins, engines that compute, looks at much
/// of what is stored. One more is refused as `too many requests`.
pub const MAXIMUM_WAITING_SECRET_REQUESTS: usize = 1_024;

/// Paths that the secret store is asked at once what a token may do with.
pub const MAXIMUM_CAPABILITY_PATHS: usize = 1_000;

/// Bytes from which on the body of a request on Vault's interface, or the data of one to the secret store over gRPC, are
/// understood aside, so that the rest of the node goes on.
pub const ASIDE_SECRET_BODY_BYTES: usize = 64 * 1024;

/// Bytes that the body of a request on Vault's interface may have without counting as large.
pub const LARGE_SECRET_BODY_BYTES: usize = 1024 * 1024;

/// Requests with large bodies that are read or worked on at a time on Vault's interface; more wait.
pub const MAXIMUM_LARGE_SECRET_BODIES: usize = 16;

/// Those of one client address; more wait until it has fewer.
pub const MAXIMUM_LARGE_SECRET_BODIES_PER_CLIENT: usize = 2;

/// Records of the secret store that a node keeps in the form in which it uses them; more than these are read anew.
pub const MAXIMUM_SECRET_CACHE_ENTRIES: usize = 16_384;

/// Records of the secret store that one request removes.
pub const MAXIMUM_SECRET_CLEARED_RECORDS: usize = 4_096;

/// Records that one transaction of the secret store reads or writes of a change that may be cut into several: what is left
/// over is done by others after it.
pub const MAXIMUM_SECRET_PORTION_RECORDS: usize = 1_024;

/// Bytes of such a transaction in the log, the last record not counted. What a request writes besides has to fit into the
/// largest request beside it: the table of mounts.
pub const MAXIMUM_SECRET_PORTION_BYTES: usize = 256 * 1024;

/// Mounts of the secret store, those that are always there among them.
pub const MAXIMUM_SECRET_MOUNTS: usize = 2_048;

/// Tokens that descend from each other in the secret store, from the first to the last.
pub const MAXIMUM_TOKEN_GENERATIONS: usize = 64;

/// Bytes of what is fetched for a login: keys of who signs tokens, or the review of one.
pub const MAXIMUM_FETCHED_BYTES: usize = 1024 * 1024;

/// Fetches for logins that one node has under way; one more is refused with 502.
pub const MAXIMUM_FETCHES_AT_ONCE: usize = 32;

/// Fetched answers that one node has at hand for the next logins, those that are on their way among them.
pub const MAXIMUM_KEPT_FETCHES: usize = 64;

/// Time since the beginning of a fetch after which its answer is fetched anew: so long may keys that a signer of tokens
/// changed be the old ones.
pub const MAXIMUM_FETCH_AGE_SECONDS: u64 = 60;

/// Bytes of one version of a secret as JSON, and of a secret without versions: with its name and its metadata it fits into
/// the largest request of the log.
pub const MAXIMUM_SECRET_VALUE_BYTES: usize = 1024 * 1024;

/// Versions that are kept of a secret where neither it nor its mount says, as in Vault.
pub const DEFAULT_SECRET_VERSIONS: u32 = 10;

/// Versions that may be kept of a secret; each has 30 bytes at most in the record that every read of the secret reads.
pub const MAXIMUM_SECRET_VERSIONS: u32 = 1_000;

/// Longest time after which versions of a secret are deleted by themselves: a hundred years of 366 days.
pub const MAXIMUM_VERSION_LIFE_SECONDS: u64 = 100 * 366 * 24 * 3_600;

/// Pairs of custom metadata of a secret (Vault: 64).
pub const MAXIMUM_CUSTOM_METADATA_PAIRS: usize = 64;

/// Bytes of a key in custom metadata of a secret (Vault: 128).
pub const MAXIMUM_CUSTOM_METADATA_KEY_BYTES: usize = 128;

/// Bytes of a value in custom metadata of a secret (Vault: 512).
pub const MAXIMUM_CUSTOM_METADATA_VALUE_BYTES: usize = 512;

/// Bytes of the name of a role, a user or a certificate of a login method.
pub const MAXIMUM_LOGIN_NAME_BYTES: usize = 256;

/// Bytes of a role id or a secret id, as in Vault.
pub const MAXIMUM_ROLE_ID_BYTES: usize = 4_096;

/// Bytes of a password of `userpass`: what bcrypt takes.
pub const MAXIMUM_LOGIN_PASSWORD_BYTES: usize = 72;

/// Wrong passwords within [`LOGIN_FAILURE_SECONDS`] that lock a user out, as in Vault.
pub const MAXIMUM_LOGIN_FAILURES: usize = 5;

/// Names that are nobody's whose wrong passwords a mount of `userpass` remembers at a time.
pub const MAXIMUM_UNKNOWN_LOGIN_NAMES: u64 = 4_096;

/// Time after which a wrong password is forgotten, as in Vault.
pub const LOGIN_FAILURE_SECONDS: u64 = 900;

/// Time for which a user is locked out, as in Vault.
pub const LOGIN_LOCK_SECONDS: u64 = 900;

/// Bytes of a JSON Web Token that somebody logs in with.
pub const MAXIMUM_LOGIN_JWT_BYTES: usize = 64 * 1024;

/// Keys that one set of keys for JSON Web Tokens may hold; no more are looked at.
pub const MAXIMUM_JWT_KEYS: usize = 100;

/// Bits of the shortest RSA key that JSON Web Tokens may be signed with (RFC 7518, 3.3).
pub const MINIMUM_JWT_RSA_BITS: usize = 2_048;

/// Bytes of PEM in one field of a login method: certificates, keys, revocation lists.
pub const MAXIMUM_LOGIN_PEM_BYTES: usize = 1024 * 1024;

/// Certificates that a client may show to log in, its own among them.
pub const MAXIMUM_CLIENT_CERTIFICATES: usize = 16;

/// Bytes of the name of a key of transit.
pub const MAXIMUM_TRANSIT_NAME_BYTES: usize = 256;

/// Versions of a key of transit that are kept; one more is refused until older ones are trimmed. Rotated every hour, the
/// shortest time there is, they last for more than a year.
pub const MAXIMUM_TRANSIT_VERSIONS: u32 = 10_000;

/// Items of one batch of transit.
pub const MAXIMUM_TRANSIT_BATCH_ITEMS: usize = 10_000;

/// Random bytes that transit gives at a time, as in Vault.
pub const MAXIMUM_TRANSIT_RANDOM_BYTES: usize = 128 * 1024;

/// Bytes of a key of transit that is for HMAC alone: the fewest, and how many there are where nobody says.
pub const MINIMUM_TRANSIT_HMAC_KEY_BYTES: usize = 32;

/// Bytes of a key of transit that is for HMAC alone: the most.
pub const MAXIMUM_TRANSIT_HMAC_KEY_BYTES: usize = 512;

/// Seconds between two rotations of a key of transit that is rotated by itself: the fewest.
pub const MINIMUM_TRANSIT_ROTATION_SECONDS: u64 = 3_600;

/// Bytes of a backup of a key of transit, in base64, that is restored.
pub const MAXIMUM_TRANSIT_BACKUP_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of PEM in one request to the PKI engine: a request for a certificate, a bundle of certificates and keys.
pub const MAXIMUM_PKI_INPUT_BYTES: usize = 256 * 1024;

/// Names in one certificate: host names, mail addresses, addresses and URIs together.
pub const MAXIMUM_PKI_NAMES: usize = 256;

/// Bytes of one text in the subject of a certificate or in one of its names.
pub const MAXIMUM_PKI_NAME_BYTES: usize = 1_024;

/// Issuers of one mount of the PKI engine.
pub const MAXIMUM_PKI_ISSUERS: usize = 256;

/// Keys of one mount of the PKI engine.
pub const MAXIMUM_PKI_KEYS: usize = 256;

/// Certificates on the revocation list of one issuer, those that another with its name and its key has revoked among them. A
/// signed list of so many has 0.8 MB, and 1.1 MB as it is stored: it fits into the largest request of the log with all that
/// is read to sign it.
pub const MAXIMUM_PKI_REVOCATIONS: usize = 20_000;

/// Audit devices; one more is refused. Each has a thread and a buffer.
pub const MAXIMUM_AUDIT_DEVICES: usize = 16;

/// Bytes of the name of an audit device.
pub const MAXIMUM_AUDIT_NAME_BYTES: usize = 256;

/// Bytes of what an audit device writes in front of each record.
pub const MAXIMUM_AUDIT_PREFIX_BYTES: usize = 128;

/// Bytes of the parameters of a request, or of the data of an answer, as an audit record shows them. Of more, one keyed hash
/// is shown.
pub const MAXIMUM_AUDIT_DATA_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of an audit record; a request that needs more is refused.
pub const MAXIMUM_AUDIT_RECORD_BYTES: usize = 8 * 1024 * 1024;

/// Records that wait for an audit device; one more is not taken by it.
pub const MAXIMUM_AUDIT_BUFFER_RECORDS: usize = 4_096;

/// Bytes of the records that wait for an audit device.
pub const MAXIMUM_AUDIT_BUFFER_BYTES: usize = 32 * 1024 * 1024;

/// Seconds that a request waits for the first audit device that has written its record.
pub const DEFAULT_AUDIT_WAIT_SECONDS: u64 = 10;

/// Seconds between two attempts to open what an audit device writes to, or to connect to it.
pub const AUDIT_RETRY_SECONDS: u64 = 1;

/// Seconds that a write to the socket of an audit device takes at most, as in Vault.
pub const DEFAULT_AUDIT_WRITE_SECONDS: u64 = 2;

/// Seconds that the longest such time may be.
pub const MAXIMUM_AUDIT_WRITE_SECONDS: u64 = 60;

/// Bytes at the end of an audit file that are searched for the last record when it is opened.
pub const MAXIMUM_AUDIT_TAIL_BYTES: u64 = 16 * 1024 * 1024;

/// Faults of a chain of audit records that are named one by one; more are counted.
pub const MAXIMUM_AUDIT_FAULTS: usize = 1_000;

/// Paths that one watch of the secret store follows.
pub const MAXIMUM_WATCHED_SECRETS: usize = 64;

/// Watches of the secret store on one node; one more is refused.
pub const MAXIMUM_SECRET_WATCHES: usize = 10_000;

/// Those of one client address; one more is refused.
pub const MAXIMUM_SECRET_WATCHES_PER_CLIENT: usize = 256;

/// Milliseconds between two looks at what a watch of the secret store follows, while the store changes.
pub const SECRET_WATCH_PAUSE_MILLISECONDS: u64 = 1_000;
