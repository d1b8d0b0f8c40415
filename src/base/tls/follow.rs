//! Notices changed files and makes new material from them.
//!
//! A change counts when two looks in a row see the same bytes, so that a file that is being written, or a key that follows
//! its certificate, is not read half. What cannot be used is reported once and left alone: the old material stays.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::Tls;
use super::material::{self, Material};
use super::settings::{Part, TlsSettings};
use crate::base::clock;

/// Time between two looks. A change is in force after at most two of them.
const LOOK_MILLISECONDS: u64 = 1_000;

/// Age above which a file whose times and size are those of the last look is not read again: clocks of file systems are
/// coarse, so that a younger one may have been changed twice at one time.
const SETTLED_SECONDS: i64 = 3;

/// What a file's owner cannot keep while its bytes change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug)]
struct WatchedFile {
    part: Part,
    path: PathBuf,
    stamp: Option<Stamp>,
    digest: Option<[u8; 32]>,
}

/// What each file held; none for one that cannot be read.
type Contents = Vec<Option<[u8; 32]>>;

/// The files and what was seen of them.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<WatchedFile>,
    /// What the material was made of.
    used: Contents,
    /// What the last look saw.
    seen: Contents,
    /// What was found to be of no use.
    refused: Option<Contents>,
}

impl Watched {
    /// The files of `settings` as they are now.
    pub(super) fn new(settings: &TlsSettings) -> Self {
        let files = settings.files().into_iter();
        let mut watched = Self {
            files: files
                .map(|(part, path)| WatchedFile {
                    part,
                    path: path.to_owned(),
                    stamp: None,
                    digest: None,
                })
                .collect(),
            used: Contents::new(),
            seen: Contents::new(),
            refused: None,
        };
        watched.used = watched.look();
        watched.seen.clone_from(&watched.used);
        watched
    }

    fn look(&mut self) -> Contents {
        self.files.iter_mut().map(WatchedFile::look).collect()
    }
}

impl WatchedFile {
    fn look(&mut self) -> Option<[u8; 32]> {
        let stamp = fs::metadata(&self.path).ok().map(|data| Stamp {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        });
        let now = i64::try_from(clock::unix_time().as_secs()).unwrap_or(i64::MAX);
        let is_settled = stamp.is_some_and(|stamp| now.saturating_sub(stamp.changed.0) > SETTLED_SECONDS);
        if !(is_settled && stamp == self.stamp && self.digest.is_some()) {
            let bytes = material::read(self.part, &self.path);
            self.digest = bytes.ok().map(|bytes| Sha256::digest(&bytes).into());
            self.stamp = stamp;
        }
        self.digest
    }
}

impl Tls {
    /// Follows the files until `stop`.
    pub async fn follow(self, stop: CancellationToken) {
        let mut looks = tokio::time::interval(Duration::from_millis(LOOK_MILLISECONDS));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let tls = self.clone();
            // It ends only with the runtime otherwise.
            if tokio::task::spawn_blocking(move || tls.look()).await.is_err() {
                return;
            }
        }
    }

    /// Looks at the files once, and takes what has changed and stayed so since the last look.
    pub(super) fn look(&self) {
        let mut watched = self.shared.watched.lock();
        let contents = watched.look();
        let stayed = contents == watched.seen;
        watched.seen.clone_from(&contents);
        if contents == watched.used {
            watched.refused = None;
            return;
        }
        if !stayed {
            return;
        }
        let settings = &self.shared.settings;
        match Material::load(settings) {
            Ok(material) => {
                let revoked = Arc::clone(&material.revoked);
                self.shared.material.store(Arc::new(material));
                watched.used = contents;
                watched.refused = None;
                // After the new lists are in force: a handshake that ends now finds them.
                let ended = self.shared.open.cut_revoked(&revoked);
                tracing::info!(
                    side = %settings.side,
                    revoked = revoked.len(),
                    ended_connections = ended,
                    "certificates were read anew"
                );
            }
            Err(error) => {
                if watched.refused.as_ref() != Some(&contents) {
                    tracing::warn!(
                        side = %settings.side,
                        %error,
                        "a changed certificate file is of no use; the old one stays in force"
                    );
                    watched.refused = Some(contents);
                }
            }
        }
    }
}
