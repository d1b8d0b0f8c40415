//! Every limit of the store, with its unit in its name and its source in its doc.
//!
//! Limits that a flag can change are here as that flag's default.

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
