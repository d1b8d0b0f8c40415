//! Secrets that a command reads, and reads again when they change, until what they are was passed on.
//!
//! Whatever fails is tried again each second: a failure that passes leaves nothing stale. Never keeps an old value of a
//! secret that was read anew, and never half of a change: either all were read or none.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use zeroize::{Zeroize as _, Zeroizing};

use super::ask::Session;
use super::place::{Mounted, Reference};
use super::{keep, show};
use crate::cli::exit::{CliError, Exit};
use crate::client::{ClientError, SecretChanges};

/// Pause before what has failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Secrets by the paths that people know.
pub(super) struct Followed {
    mounts: BTreeMap<String, Mounted>,
    known: BTreeMap<String, Wiped>,
    /// Whether what is known is still to be passed on.
    is_new: bool,
    /// What is told of their changes; none: nothing is followed.
    changes: Option<SecretChanges>,
    /// When they are read again: they may have changed, and that was not passed on yet.
    due: Option<Instant>,
    /// The failure that was said last.
    said: String,
}

/// Fields that are wiped when they are dropped.
struct Wiped(show::Fields);

impl Drop for Wiped {
    fn drop(&mut self) {
        for (_, text) in std::mem::take(&mut self.0) {
            let mut text: Box<str> = text.into();
            text.zeroize();
        }
    }
}

impl Followed {
    /// Finds out where the secrets are; nothing is read yet.
    ///
    /// # Errors
    /// The token may not know of one.
    pub(super) async fn open(session: &Session, paths: &[String]) -> Result<Self, CliError> {
        let mut mounts = BTreeMap::new();
        for path in paths {
            if !mounts.contains_key(path) {
                mounts.insert(path.clone(), session.mounted(path).await?);
            }
        }
        Ok(Self {
            mounts,
            known: BTreeMap::new(),
            is_new: false,
            changes: None,
            due: None,
            said: String::new(),
        })
    }

    /// Follows them: what changes after it was read from here on is not missed.
    ///
    /// # Errors
    /// The token may not read one, or nobody answered in time.
    pub(super) async fn begin(&mut self, session: &Session) -> Result<(), ClientError> {
        let paths = self
            .mounts
            .iter()
            .map(|(path, mounted)| mounted.path_of("data", path));
        let mut changes = session.secrets.watch(paths.collect());
        changes.begin().await?;
        self.changes = Some(changes);
        Ok(())
    }

    /// Resolves when something is to be passed on, which was read then. Losing the future loses nothing.
    ///
    /// # Errors
    /// They cannot be followed any more: the next one never resolves.
    pub(super) async fn next(&mut self, session: &Session) -> Result<(), ClientError> {
        loop {
            self.wait().await?;
            let client = session.secrets.client();
            let node = client.current();
            match self.read(session).await {
                Ok(true) => return Ok(()),
                Ok(false) => self.passed_on(),
                Err(error) => {
                    self.failed(&error);
                    // Another node may be able to.
                    client.move_on(&node).await;
                }
            }
        }
    }

    /// Resolves when they are to be read.
    async fn wait(&mut self) -> Result<(), ClientError> {
        let due = self.due;
        let again = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let told = async {
            match &mut self.changes {
                Some(changes) => changes.next().await,
                None => pending().await,
            }
        };
        let told = tokio::select! {
            told = told => told,
            () = again => return Ok(()),
        };
        // They are read at once, and not at all where they cannot be followed.
        self.due = told.is_ok().then(Instant::now);
        if told.is_err() {
            self.changes = None;
        }
        told.map(drop)
    }

    /// What was read is passed on: nothing is due before the next change.
    pub(super) fn passed_on(&mut self) {
        self.is_new = false;
        self.due = None;
        self.said.clear();
    }

    /// What was read could not be passed on, or nothing could be read: it is tried again. The same failure is said once.
    pub(super) fn failed(&mut self, error: &CliError) {
        self.due = Some(Instant::now() + PAUSE);
        let text = error.to_string();
        if self.said != text {
            say(&format!(
                "a change of the secrets is not passed on yet, and is tried again: {text}"
            ));
            self.said = text;
        }
    }

    /// Reads all of them; whether something is to be passed on: one is another than what was passed on last.
    ///
    /// # Errors
    /// One is not there, or the token may not read it; all stay as they were.
    pub(super) async fn read(&mut self, session: &Session) -> Result<bool, CliError> {
        let mut known = BTreeMap::new();
        for (path, mounted) in &self.mounts {
            let (read, _) = keep::read(session, mounted, path, 0)
                .await
                .map_err(|error| CliError::new(error.exit, format!("{path}: {}", error.message)))?;
            let fields = read.fields.ok_or_else(|| {
                CliError::new(Exit::Server, format!("the newest version of {path} is deleted"))
            })?;
            known.insert(path.clone(), Wiped(fields));
        }
        let texts = |known: &BTreeMap<String, Wiped>| {
            known
                .iter()
                .flat_map(|(path, fields)| {
                    let path = path.clone();
                    fields
                        .0
                        .iter()
                        .map(move |(name, value)| (path.clone(), name.clone(), value.get().to_owned()))
                })
                .collect::<Vec<_>>()
        };
        let is_other = known.len() != self.known.len() || texts(&known) != texts(&self.known);
        self.known = known;
        self.is_new |= is_other;
        Ok(self.is_new)
    }

    /// A field of a secret, or all of them as JSON; none: it is not there.
    pub(super) fn value(&self, path: &str, field: Option<&str>) -> Option<Zeroizing<String>> {
        let fields = &self.known.get(path)?.0;
        match field {
            Some(field) => fields.get(field).map(|value| show::plain(value)),
            None => serde_json::to_string(fields).ok().map(Zeroizing::new),
        }
    }

    /// The same, or what is missing.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn wanted(&self, reference: &Reference) -> Result<Zeroizing<String>, CliError> {
        let Reference { path, field } = reference;
        self.value(path, field.as_deref()).ok_or_else(|| {
            let field = field.as_deref().unwrap_or_default();
            CliError::new(Exit::Server, format!("{path} has no field {field:?}"))
        })
    }
}

/// Says something on standard error. That nobody listens there ends nothing.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::cli::output::Format;
    use crate::client::secrets::testing::{MAXIMUM_WAIT, NodeTwin};

    async fn followed(nodes: &[&NodeTwin]) -> (Session, Followed) {
        let session = Session {
            secrets: NodeTwin::store(nodes),
            format: Format::default(),
        };
        let mut followed = Followed::open(&session, &["secret/a".to_owned()]).await.unwrap();
        followed.begin(&session).await.unwrap();
        assert!(followed.read(&session).await.unwrap());
        followed.passed_on();
        (session, followed)
    }

    /// The value of the field once something is to be passed on.
    async fn next(session: &Session, followed: &mut Followed) -> String {
        timeout(MAXIMUM_WAIT, followed.next(session))
            .await
            .unwrap()
            .unwrap();
        followed.value("secret/a", Some("k")).unwrap().to_string()
    }

    #[tokio::test]
    async fn a_change_is_due_until_it_was_read_and_passed_on() {
        let node = NodeTwin::serve().await;
        let (session, mut followed) = followed(&[&node]).await;
        node.fail(1);
        node.put(r#"{"k":"one"}"#);
        assert_eq!(next(&session, &mut followed).await, "one");
        followed.failed(&CliError::failure("the disk is full"));
        assert_eq!(next(&session, &mut followed).await, "one", "nothing changes");
        followed.passed_on();
        assert!(!followed.read(&session).await.unwrap());
        node.put(r#"{"k":"two"}"#);
        assert_eq!(next(&session, &mut followed).await, "two");
    }

    #[tokio::test]
    async fn what_one_node_cannot_read_is_read_on_another() {
        let (one, other) = (NodeTwin::serve().await, NodeTwin::serve().await);
        let (session, mut followed) = followed(&[&one, &other]).await;
        one.fail(usize::MAX);
        other.put(r#"{"k":"one"}"#);
        one.put(r#"{"k":"one"}"#);
        assert_eq!(next(&session, &mut followed).await, "one");
    }

    #[tokio::test]
    async fn what_cannot_be_followed_any_more_is_said_once() {
        let node = NodeTwin::serve().await;
        let (session, mut followed) = followed(&[&node]).await;
        node.end(tonic::Code::PermissionDenied);
        let ended = timeout(MAXIMUM_WAIT, followed.next(&session)).await.unwrap();
        assert!(matches!(ended, Err(ClientError::Refused(_))), "{ended:?}");
        assert!(followed.changes.is_none() && followed.due.is_none());
    }
}
