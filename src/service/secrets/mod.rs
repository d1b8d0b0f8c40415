//! Secrets: what is stored is ciphertext, in the log, on disk, in snapshots and in backups.
//!
//! # The hierarchy of keys
//!
//! ```text
//! shares of people     key file     environment variable        kept outside of the store
//!        \                |                 /
//!         seal key    seal key      seal key                    one for each seal, 32 bytes, never stored
//!             \           |           /
//!              root key, wrapped once by each                   32 random bytes; in memory of a node that is not sealed
//!                         |
//!                      keyring, sealed                          one record of the store
//!        ________________/|\________________
//!       |                 |                 |
//!  term 1, 2, ... n    name key         hash key                32 random bytes each
//!       |                 |                 |
//!    records        storage keys     hashes of tokens, ...      what the store and the log hold
//! ```
//!
//! A rotation adds a term: new records are under it, old ones stay readable. New shares or another seal wrap the same root key
//! anew and touch nothing below it.
//!
//! | module | does |
//! |---|---|
//! | [`seal`] | keeps the root key wrapped, and gets it back by shares or by itself |
//! | [`barrier`] | the keyring, the encryption of records, sealed names and keyed hashes |
//! | [`memory`] | key material: wiped, not shown, kept out of swap and core dumps |
//! | [`randomness`] | where keys and nonces come from |
//! | [`engine`] | what answers for a mounted path: secrets and logins |
//! | [`login`] | engines that tell who somebody is: passwords, role ids, certificates, JSON Web Tokens |
//! | [`policy`] | what a token may do, by the rules of its policies |
//! | `passwords` | passwords for other systems, made by rules |
//! | `quotas` | how many requests a client may send |
//! | [`audit`] | records of requests and answers, chained so that removal shows |
//! | [`changes`] | tells who reads secrets when they may have changed |
//! | [`path`], [`parameters`] | what a request names, and how it says what it wants |
//! | [`store`] | records: where they are, how they are read, and changed in one transaction |
//! | [`custody`] | the keys of this node: sealed, unsealed, shares changed |
//! | `work`, `pipeline` | one request, from its token to its answer |
//! | `token`, `policies`, `mounts`, `leases`, `wrapping`, `system` | what all engines share |
//! | `reaper` | takes away what ended tokens and leases leave behind |
//!
//! # What is defended against
//!
//! - Whoever reads the store, the log, a snapshot or a backup sees no value and no name. What stays to be seen: how many
//!   records there are, their sizes, when each is written, how deep names lie, their lengths in steps of 16 bytes, and which
//!   share a directory.
//! - Whoever writes the store cannot change a record, move it to another key, or put back an earlier version of it while the
//!   store counts a later one: each shows as an error when it is read. So does a sealed name that is moved below another
//!   directory.
//! - A share too few gives nothing of the root key, and a wrong one is not told from a right one before all are there.
//! - Losing a seal loses no data while another is left, and one seal is always shares.
//! - Key material is wiped when it is dropped; that of a sealed node is not in its memory any more. It is locked into memory
//!   where the system allows that; where it does not, [`memory::unlocked_pages`] says so.
//! - The time that anything takes does not depend on keys, shares or hashes that are compared: the ciphers use the
//!   instructions of the processor, or a software AES without tables.
//!
//! # What is not defended against
//!
//! - Whoever reads the memory of a node that is not sealed, or may trace its process, has the keys. A machine that hibernates
//!   writes all memory to disk.
//! - Whoever has the store and one of the seals (a key file, a variable, enough shares) has the secrets. Shares and seals that
//!   were replaced still open a backup from before, as the root key stays the same.
//! - Whoever can put back the whole store as it once was, its counters of versions included, or writes those counters, puts
//!   back secrets too. A key that is removed and written again counts from 1 again, so that a record of its former life with
//!   the same version passes. Removing records is not detected.
//! - Plaintext on its way to whoever asked for it is in memory that is wiped but not locked, and so is what the ciphers and
//!   hashes make of a key during a call; the state of the hash functions is not wiped. The variable of a seal stays in the
//!   environment of the process.
//! - A generator of the operating system that repeats itself (a virtual machine that is copied while it runs) may repeat
//!   nonces.
//!
//! # What this layer never does
//!
//! It never proposes a plaintext, never encrypts or draws random bytes in apply, never shows a key, a share or a plaintext in
//! a log, an error or a metric, and has no cryptography of its own but the arithmetic of shares.

mod after;
pub mod audit;
pub mod auditing;
pub mod barrier;
pub mod changes;
pub mod custody;
pub mod engine;
mod engines;
pub mod error;
pub mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod leases;
pub mod login;
pub mod memory;
mod mounts;
pub mod parameters;
mod passwords;
pub mod path;
mod pipeline;
mod policies;
pub mod policy;
mod quotas;
pub mod randomness;
mod reaper;
pub mod request;
pub mod seal;
pub mod status;
pub mod store;
pub(crate) mod system;
#[cfg(test)]
mod tests;
mod token;
mod work;
mod wrapping;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::core::Core;
use super::lease::Leases;
use super::maintenance::Maintenance;
use super::turns::Turns;
use super::watch::WatchHub;
use crate::base::clock;
use crate::base::limits::MAXIMUM_WAITING_SECRET_REQUESTS;
use crate::base::secret::Secret;
use auditing::Auditing;
use custody::Custody;
pub use custody::SealSource;
pub use error::{ErrorKind, SecretsError};
pub use fetch::Fetcher;
pub use quotas::Allowance;
use quotas::Limiter;
use reaper::Reaper;
pub use request::{Request, Response, Verb};
use seal::Share;
use status::{
    AttemptStatus, InitSettings, Initialized, RekeySettings, Rekeyed, RootMade, SealStatus, Verified,
};

/// How often the state of the store is shown in the metrics.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// What the secret store is told.
#[derive(Clone)]
pub struct Settings {
    /// The seals of this node that unseal it by themselves.
    pub seals: Vec<SealSource>,
    /// What fetches for engines.
    pub fetcher: Arc<dyn Fetcher>,
    /// The directory that audit files lie in; none: there are none.
    pub audit_directory: Option<PathBuf>,
}

/// The secret store, as a node's front doors use it. A handle: clones share one store.
#[derive(Clone)]
pub struct Secrets {
    core: Arc<Core>,
    leases: Leases,
    hub: WatchHub,
    custody: Arc<Custody>,
    reaper: Arc<Reaper>,
    auditing: Arc<Auditing>,
    maintenance: Maintenance,
    limiter: Arc<Limiter>,
    /// When this node started, from which its quotas count time.
    started: Instant,
    fetcher: Arc<dyn Fetcher>,
    lanes: Lanes,
}

/// Places for what may take long, by what it is.
#[derive(Clone)]
struct Lanes {
    logins: Turns,
    engines: Turns,
    looks: Turns,
}

impl Lanes {
    /// Of each kind as many at once as there are processors.
    fn new() -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let lane = || Turns::new(at_once, MAXIMUM_WAITING_SECRET_REQUESTS);
        Self {
            logins: lane(),
            engines: lane(),
            looks: lane(),
        }
    }
}

impl Secrets {
    pub(super) fn new(
        core: Arc<Core>,
        leases: &Leases,
        hub: WatchHub,
        maintenance: Maintenance,
        settings: Settings,
    ) -> Self {
        Self {
            custody: Arc::new(Custody::new(Arc::clone(&core), leases.clone(), settings.seals)),
            auditing: Arc::new(Auditing::new(
                &core.settings.member.to_string(),
                settings.audit_directory,
            )),
            core,
            leases: leases.clone(),
            hub,
            reaper: Arc::default(),
            maintenance,
            limiter: Arc::default(),
            started: clock::now(),
            lanes: Lanes::new(),
            fetcher: settings.fetcher,
        }
    }

    /// Unseals this node where its seals do so by themselves, and takes away what ended; for as long as the node runs.
    pub(super) async fn run(&self) {
        tokio::select! {
            () = self.custody.run() => {}
            () = self.reap() => {}
            () = self.measure() => {}
        }
    }

    /// Shows the state of the store in the metrics.
    async fn measure(&self) {
        let metrics = &self.core.metrics.secrets;
        loop {
            metrics.sealed.set(i64::from(self.custody.unsealed().is_none()));
            metrics
                .unlocked_pages
                .set(i64::try_from(memory::unlocked_pages()).unwrap_or(i64::MAX));
            metrics.audit_working.reset();
            metrics.audit_buffered.reset();
            for device in self.auditing.status() {
                let works = i64::from(device.health == audit::Health::Working);
                metrics
                    .audit_working
                    .with_label_values(&[&device.name])
                    .set(works);
                let buffered = i64::try_from(device.buffered_records).unwrap_or(i64::MAX);
                metrics
                    .audit_buffered
                    .with_label_values(&[&device.name])
                    .set(buffered);
            }
            tokio::time::sleep(MEASURE_INTERVAL).await;
        }
    }

    /// Forgets the keys of this node.
    pub(super) async fn seal(&self) {
        self.custody.seal().await;
        self.auditing.close().await;
    }

    /// Writes the end of what is audited, when the node stops.
    pub async fn stop(&self) {
        self.auditing.close().await;
    }

    /// Opens the files of audit again, after they were moved away.
    pub async fn reopen_audit(&self) {
        self.auditing.reopen().await;
    }

    /// Whether requests can be audited on this node, if they have to be.
    #[must_use]
    pub fn can_audit(&self) -> bool {
        self.auditing.can_record()
    }

    /// Answers a request.
    ///
    /// # Errors
    /// Sealed, no right, or what the engine of that path says.
    pub async fn handle(&self, request: Request) -> Result<Response, SecretsError> {
        let outcome = self.serve(request).await;
        let name = outcome
            .as_ref()
            .map_or_else(|error| error.kind().name(), |_| "served");
        self.core
            .metrics
            .secrets
            .requests
            .with_label_values(&[name])
            .inc();
        outcome
    }

    /// Where the seal of this node stands.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub async fn status(&self) -> Result<SealStatus, SecretsError> {
        self.custody.status().await
    }

    /// Initialises the store, and unseals this node.
    ///
    /// # Errors
    /// It was initialised before, or the numbers of shares cannot be.
    pub async fn initialize(&self, settings: InitSettings) -> Result<Initialized, SecretsError> {
        self.custody.initialize(settings).await
    }

    /// Takes a share for the unsealing of this node.
    ///
    /// # Errors
    /// Not initialised, or the shares that were given are wrong.
    pub async fn unseal(&self, share: Share) -> Result<SealStatus, SecretsError> {
        self.custody.unseal(share).await
    }

    /// Drops the shares that this node was given.
    ///
    /// # Errors
    /// As [`Secrets::status`].
    pub async fn reset_unsealing(&self) -> Result<SealStatus, SecretsError> {
        self.custody.reset().await
    }

    /// How far a change of the shares is, on this node.
    ///
    /// # Errors
    /// Sealed.
    pub async fn rekeying(&self) -> Result<AttemptStatus, SecretsError> {
        self.custody.rekeying().await
    }

    /// Begins a change of the shares.
    ///
    /// # Errors
    /// Sealed, one is under way, or the numbers cannot be.
    pub async fn begin_rekeying(&self, settings: RekeySettings) -> Result<AttemptStatus, SecretsError> {
        self.custody.begin_rekeying(settings).await
    }

    /// Gives up a change of the shares.
    ///
    /// # Errors
    /// Sealed.
    pub async fn cancel_rekeying(&self) -> Result<(), SecretsError> {
        self.custody.cancel_rekeying().await
    }

    /// Takes one of the present shares for a change of them.
    ///
    /// # Errors
    /// Sealed, none is under way, another nonce, the shares are wrong, or the new ones are there.
    pub async fn offer_to_rekeying(&self, share: Share, nonce: Uuid) -> Result<Rekeyed, SecretsError> {
        self.custody.offer_to_rekeying(share, nonce).await
    }

    /// How far the verification of new shares is, on this node.
    ///
    /// # Errors
    /// Sealed, or no change of the shares is under way.
    pub async fn verifying(&self) -> Result<AttemptStatus, SecretsError> {
        self.custody.verifying().await
    }

    /// Drops what was given for the verification of new shares, which goes on under another nonce.
    ///
    /// # Errors
    /// Sealed, or there are no new shares.
    pub async fn restart_verifying(&self) -> Result<AttemptStatus, SecretsError> {
        self.custody.restart_verifying().await
    }

    /// Takes one of the new shares. The last that is needed has them be the ones.
    ///
    /// # Errors
    /// Sealed, there are no new shares, another nonce, the shares are wrong, or the seals were changed by others meanwhile.
    pub async fn verify(&self, share: Share, nonce: Uuid) -> Result<Verified, SecretsError> {
        self.custody.verify(share, nonce).await
    }

    /// How far the making of a root token is, on this node.
    ///
    /// # Errors
    /// Sealed.
    pub async fn making_root(&self) -> Result<AttemptStatus, SecretsError> {
        self.custody.making_root().await
    }

    /// Begins to make a root token, for who knows `password`.
    ///
    /// # Errors
    /// Sealed, one is under way, or the password has not the length of a token.
    pub async fn begin_making_root(&self, password: Secret<String>) -> Result<AttemptStatus, SecretsError> {
        self.custody.begin_making_root(password).await
    }

    /// Gives up making a root token.
    ///
    /// # Errors
    /// Sealed.
    pub async fn cancel_making_root(&self) -> Result<(), SecretsError> {
        self.custody.cancel_making_root().await
    }

    /// Takes a share for a root token.
    ///
    /// # Errors
    /// Sealed, none is under way, another nonce, or the shares are wrong.
    pub async fn offer_to_making_root(&self, share: Share, nonce: Uuid) -> Result<RootMade, SecretsError> {
        self.custody.offer_to_making_root(share, nonce).await
    }
}
