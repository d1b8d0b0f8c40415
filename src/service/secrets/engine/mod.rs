//! Engines: what is mounted at a path and answers for all that is below it, secrets and logins alike.
//!
//! An engine is a function of what is stored, the request, the time and random bytes. It reads and writes through
//! [`Storage`], whose changes are made all together or not at all once the engine has answered, if nothing that it read has
//! changed meanwhile; otherwise the engine is asked again. So an engine may be asked more than once for one request, and
//! must do nothing that cannot be taken back.
//!
//! Never reads a clock, never waits, never keeps anything between two requests, and never knows where it is mounted but by
//! what it is told.

pub mod answer;
pub mod cubbyhole;
pub mod fault;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod kv;
pub mod pki;
pub mod storage;
#[cfg(any(test, fuzzing))]
pub mod testing;
pub mod times;
pub mod transit;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeBounds;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parameters::Body;
use super::policy::Operation;
use super::randomness::Randomness;
pub use answer::{Answer, Data, Leased, Login, Raw, TokenKind};
pub use fault::{Errand, Fault};
pub use storage::Storage;

/// What is mounted.
pub trait Engine: Send + Sync {
    /// Answers a request. A write comes as [`Operation::Create`] where [`Engine::exists`] says that nothing is there, else as
    /// [`Operation::Update`].
    ///
    /// # Errors
    /// What the client is told; nothing is changed then.
    fn handle(
        &self,
        call: &Call<'_>,
        storage: &mut dyn Storage,
        randomness: &mut dyn Randomness,
    ) -> Result<Answer, Fault>;

    /// Whether there is something where a request wants to write; none: writes there are always updates.
    ///
    /// # Errors
    /// The store cannot be read.
    fn exists(&self, _call: &Call<'_>, _storage: &mut dyn Storage) -> Result<Option<bool>, Fault> {
        Ok(None)
    }

    /// A path in the one spelling, of all that mean the same, that its names are stored in. Policies have to allow it besides
    /// the one that was written, if a rule decides of it that is not about that one as well; and it is the path of tokens
    /// and leases that are made there.
    fn canonical<'path>(&self, path: &'path str) -> Cow<'path, str> {
        Cow::Borrowed(path)
    }

    /// Whether a path is served without a token: logins, and what is public.
    fn is_open(&self, _path: &str) -> bool {
        false
    }

    /// Whether a path needs `sudo` besides.
    fn needs_sudo(&self, _path: &str) -> bool {
        false
    }

    /// How long a lease is to last from now on, whose `details` this engine gave ([`Leased::details`]); at most what its
    /// mount and its own limits allow.
    ///
    /// # Errors
    /// It cannot be renewed.
    fn renew(
        &self,
        _call: &Call<'_>,
        _details: &[u8],
        _wanted: Option<Duration>,
        _storage: &mut dyn Storage,
    ) -> Result<Duration, Fault> {
        Err(Fault::Invalid("lease is not renewable".to_owned()))
    }

    /// What a login of who has a token would give now, if the engine gave that token at a login and `metadata` to it. Only
    /// its policies and how long it lasts count. `call` is of who asks for it: nobody has to prove again who they are, but by
    /// a certificate where that gave the token.
    ///
    /// # Errors
    /// Whom or what they logged in as is there no more, or is not shown again, or the engine has no logins.
    fn renew_login(
        &self,
        _call: &Call<'_>,
        _metadata: &BTreeMap<String, String>,
        _storage: &mut dyn Storage,
    ) -> Result<Login, Fault> {
        Err(Fault::Invalid("token is not renewable".to_owned()))
    }

    /// Whether tokens of its logins are renewed only while a login gives the policies that they have, `default` aside.
    fn renews_same_policies(&self) -> bool {
        false
    }

    /// Takes back what a lease was for. Asked until it succeeds, so what is taken back already is no error.
    ///
    /// # Errors
    /// It has to be tried again.
    fn revoke(&self, _call: &Call<'_>, _details: &[u8], _storage: &mut dyn Storage) -> Result<(), Fault> {
        Ok(())
    }
}

/// A path with some of its segments in lower case, counted from 0: those that are names of which every spelling is the same.
#[must_use]
pub fn lower_names(path: &str, names: impl RangeBounds<usize>) -> Cow<'_, str> {
    let is_lower = |character: char| character.to_lowercase().eq([character]);
    let mut segments = path.split('/').enumerate();
    if segments.all(|(number, segment)| !names.contains(&number) || segment.chars().all(is_lower)) {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').enumerate();
    let folded = segments.map(|(number, segment)| match names.contains(&number) {
        true => Cow::Owned(segment.to_lowercase()),
        false => Cow::Borrowed(segment),
    });
    Cow::Owned(folded.collect::<Vec<_>>().join("/"))
}

/// A request, as the engine sees it that it is for.
#[derive(Clone, Copy)]
pub struct Call<'call> {
    /// What is to be done.
    pub operation: Operation,
    /// The path below the mount, in the form of [`super::path::normalise`]: without a slash at its beginning; a list has one
    /// at its end, or is empty.
    pub path: &'call str,
    /// Its parameters: of the body, or of the query.
    pub body: &'call Body,
    /// What is mounted.
    pub mount: &'call Mount,
    /// Whose token it is; none for what is open.
    pub caller: Option<&'call Caller>,
    /// Where it comes from.
    pub peer: &'call Peer,
    /// The time since 1970, the same for whatever is done for this request.
    pub now: Duration,
    /// Whether the caller is root or has `sudo` on this path.
    pub is_privileged: bool,
    /// What was fetched for this request so far ([`Fault::Fetch`]), by its errand.
    pub fetched: &'call BTreeMap<Errand, Result<Vec<u8>, String>>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The address of the client; none: a Unix socket.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// The certificates that it showed over TLS, its own first, as DER. The handshake proved that it has the key of the
    /// first; nothing is proved about who signed it.
    pub certificates: Vec<Vec<u8>>,
}

/// Who has the token of a request.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// What storage knows the token by: hexadecimal digits that say nothing of it.
    pub id: String,
    /// Its accessor.
    pub accessor: String,
    /// The name that audit shows.
    pub display_name: String,
    /// Its policies.
    pub policies: Vec<String>,
    /// What the login says of who has it.
    pub metadata: BTreeMap<String, String>,
    /// Whether it is a batch token, which is not stored and so has no place of its own.
    pub is_batch: bool,
}

/// What is mounted, and with which settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, with a slash at its end: `secret/`, or `auth/userpass/`.
    pub path: String,
    /// Which engine: `kv`, `transit`, ...
    pub kind: String,
    /// What people call it.
    pub description: String,
    /// The id of its storage, which moves along with it.
    pub uuid: String,
    /// What names it where its path may change: `kv_0a1b2c3d`.
    pub accessor: String,
    /// Options of the engine: `version`.
    pub options: BTreeMap<String, String>,
    /// Whether it is of this node only. Told back and nothing more: every mount is replicated.
    pub local: bool,
    /// Told back and nothing more: everything is sealed.
    pub seal_wrap: bool,
    /// What can be tuned.
    pub tuning: Tuning,
}

/// What can be tuned about a mount.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// How long leases and tokens last where nobody says; zero: as the store.
    pub default_lease_seconds: u64,
    /// How long they may last; zero: as the store.
    pub maximum_lease_seconds: u64,
    /// Told back and nothing more: nothing here is cached that was read.
    pub force_no_cache: bool,
    /// Fields of requests that audit shows as they are.
    pub audit_plain_request_keys: Vec<String>,
    /// Fields of answers that audit shows as they are.
    pub audit_plain_response_keys: Vec<String>,
    /// Who sees it listed: `unauth`, `hidden` or nothing.
    pub listing_visibility: String,
    /// Headers that are handed to the engine.
    pub passthrough_request_headers: Vec<String>,
    /// Headers that the engine may set.
    pub allowed_response_headers: Vec<String>,
    /// Which tokens a login gives: `default-service`, `default-batch`, `service`, `batch` or nothing.
    pub token_type: String,
}

/// How long leases and tokens last where neither they nor their mount say: 768 hours, as in Vault.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(768 * 3_600);

impl Tuning {
    /// How long what is leased here lasts where nobody says.
    #[must_use]
    pub fn default_lease(&self) -> Duration {
        or(
            self.default_lease_seconds,
            DEFAULT_LEASE.min(self.maximum_lease()),
        )
    }

    /// How long it may last.
    #[must_use]
    pub fn maximum_lease(&self) -> Duration {
        or(self.maximum_lease_seconds, DEFAULT_LEASE)
    }
}

fn or(seconds: u64, otherwise: Duration) -> Duration {
    match seconds {
        0 => otherwise,
        seconds => Duration::from_secs(seconds),
    }
}
