//! Changes of tokens, and what all changes share: checked, planned on what is there, and proposed so that they only hold if that
//! is still so.
//!
//! The time, the ids and the secrets are fixed here. Never decides who may ask for a change.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::model::{ANONYMOUS, ANONYMOUS_SECRET, GLOBAL_MANAGEMENT, Grants, Key, Known, Token, digest};
use super::picture::AclPicture;
use super::{AclError, Acls};
use crate::base::limits::{MAXIMUM_ACL_DESCRIPTION_BYTES, MAXIMUM_ACL_LINKS, MAXIMUM_ACL_TOKENS};
use crate::base::secret::Secret;
use crate::base::{LeaseId, Namespace, Revision, clock};
use crate::service::ServiceError;
use crate::service::auth::Caller;
use crate::state::command::{Compare, CompareTarget, Comparison, DeleteRange, Operation, Put, Txn};
use crate::state::format;

/// The shortest and the longest time for which a token may be made, in seconds (Consul's).
const TOKEN_TTL_SECONDS: std::ops::RangeInclusive<u64> = 60..=86_400;
/// Pause before the first token is tried to be made again.
const BEGIN_AGAIN_MILLISECONDS: u64 = 1_000;

/// A policy or a role, by its id or by its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its id; empty: by name.
    pub id: String,
    /// Its name.
    pub name: String,
}

impl Link {
    fn key(&self) -> &str {
        if self.id.is_empty() { &self.name } else { &self.id }
    }
}

/// What a token is to be.
#[derive(Debug, Clone, Default)]
pub struct TokenDraft {
    /// Its public id; none: a new one.
    pub accessor: Option<String>,
    /// Its secret id; none: a new one, or the one it has.
    pub secret: Option<Secret<String>>,
    /// For people.
    pub description: String,
    /// Its policies.
    pub policies: Vec<Link>,
    /// Its roles.
    pub roles: Vec<Link>,
    /// Its identities; the policies in it are not looked at.
    pub grants: Grants,
    /// Whether it is only for this datacenter.
    pub is_local: bool,
    /// After how long it ends; none: never.
    pub ttl: Option<Duration>,
}

pub(super) fn invalid(reason: impl Into<String>) -> AclError {
    AclError::Invalid(reason.into())
}

fn is_service_name(name: &str) -> bool {
    let is_fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    name.len() <= 256 && name.bytes().all(is_fit) && is_end(bytes.first()) && is_end(bytes.last())
}

pub(super) fn description(text: &str) -> Result<(), AclError> {
    if text.len() > MAXIMUM_ACL_DESCRIPTION_BYTES {
        return Err(invalid(format!(
            "the description has {} bytes; the most is {MAXIMUM_ACL_DESCRIPTION_BYTES}",
            text.len()
        )));
    }
    Ok(())
}

pub(super) fn grants(
    picture: &AclPicture,
    mut grants: Grants,
    policies: &[Link],
) -> Result<Grants, AclError> {
    let ids = policies.iter().map(|link| {
        let found = picture.policy(link.key());
        let found =
            found.ok_or_else(|| invalid(format!("No such ACL policy with name or id {:?}", link.key())))?;
        Ok(found.record.id.clone())
    });
    grants.policies = ids.collect::<Result<Vec<_>, AclError>>()?;
    let number = grants.policies.len() + grants.services.len() + grants.nodes.len();
    if number > MAXIMUM_ACL_LINKS {
        return Err(invalid(format!(
            "there are {number} policies and identities; the most is {MAXIMUM_ACL_LINKS}"
        )));
    }
    for service in &grants.services {
        if !is_service_name(&service.service) {
            return Err(invalid(format!(
                "Service identity {:?} has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed",
                service.service
            )));
        }
    }
    for node in &grants.nodes {
        if node.node.is_empty() || node.datacenter.is_empty() {
            return Err(invalid(
                "Node identity is missing the node name or the datacenter on this token or role",
            ));
        }
        if !is_service_name(&node.node) {
            return Err(invalid(format!(
                "Node identity has an invalid name {:?}. Only lowercase alphanumeric characters, '-' and '_' are allowed",
                node.node
            )));
        }
    }
    grants.policies.sort_unstable();
    grants.policies.dedup();
    Ok(grants)
}

pub(super) fn modified<T>(known: Option<&Known<T>>) -> Revision {
    known.map_or(Revision(0), |known| known.modification_revision)
}

pub(super) fn is_at(key: Key<'_>, revision: Revision) -> Compare {
    Compare {
        keys: key.keys(),
        comparison: Comparison::Equal,
        target: CompareTarget::Modification(revision),
    }
}

pub(super) fn is_new(key: Key<'_>) -> Compare {
    is_at(key, Revision(0))
}

pub(super) fn put(key: Key<'_>, record: &impl Serialize, lease: LeaseId) -> Result<Operation, AclError> {
    let encoded = format::encode("ACL record", record);
    let value = encoded.map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(Operation::Put(Put {
        namespace: Namespace::CONSUL,
        key: key.bytes(),
        value,
        lease,
        ..Put::default()
    }))
}

pub(super) fn name_of(key: Key<'_>, id: &str) -> Operation {
    Operation::Put(Put {
        namespace: Namespace::CONSUL,
        key: key.bytes(),
        value: Bytes::copy_from_slice(id.as_bytes()),
        ..Put::default()
    })
}

pub(super) fn remove(key: Key<'_>) -> Operation {
    Operation::DeleteRange(DeleteRange {
        keys: key.keys(),
        previous: false,
    })
}

fn now_milliseconds() -> u64 {
    u64::try_from(clock::unix_time().as_millis()).unwrap_or(u64::MAX)
}

impl Acls {
    /// Makes the first token, which may do everything; with a secret id of its own choice, or a new one.
    ///
    /// # Errors
    /// ACLs are off, there was one already, the secret is no UUID, or no answer in time.
    pub async fn bootstrap(&self, secret: Option<Secret<String>>) -> Result<Known<Token>, AclError> {
        self.make_first(secret, "Bootstrap Token (Global Management)")
            .await
    }

    async fn make_first(
        &self,
        secret: Option<Secret<String>>,
        description: &'static str,
    ) -> Result<Known<Token>, AclError> {
        let picture = self.picture(false).await?;
        if let Some(at) = picture.bootstrapped {
            return Err(already(at));
        }
        let token = Token {
            accessor: Uuid::new_v4().to_string(),
            secret: match secret {
                Some(secret) => secret,
                None => Secret::new(Uuid::new_v4().to_string()),
            },
            description: description.to_owned(),
            grants: Grants {
                policies: vec![GLOBAL_MANAGEMENT.to_owned()],
                ..Grants::default()
            },
            created_milliseconds: now_milliseconds(),
            ..Token::default()
        };
        if token.secret.expose() == ANONYMOUS_SECRET || token.secret.expose().is_empty() {
            return Err(invalid(
                "the secret of the first token must be one that nobody knows",
            ));
        }
        let by_secret = digest(token.secret.expose());
        let compare = vec![is_new(Key::Bootstrap), is_new(Key::Secret(&by_secret))];
        let success = vec![
            name_of(Key::Bootstrap, &token.accessor),
            name_of(Key::Secret(&by_secret), &token.accessor),
            put(Key::Token(&token.accessor), &token, LeaseId::NONE)?,
        ];
        match self.commit(compare, success).await? {
            Some(revision) => Ok(Known {
                record: token,
                create_revision: revision,
                modification_revision: revision,
            }),
            None => {
                let picture = self.picture(false).await?;
                Err(already(picture.bootstrapped.unwrap_or_default()))
            }
        }
    }

    /// Makes the first token if its secret was given beforehand, however often it takes.
    pub(super) async fn begin(&self) {
        let Some(secret) = self.settings().initial_management.clone() else {
            return;
        };
        loop {
            match self
                .make_first(Some(secret.clone()), "Initial Management Token")
                .await
            {
                Ok(_) => tracing::info!("the first ACL token was made"),
                Err(AclError::Bootstrapped { .. }) => {}
                Err(error) => {
                    tracing::info!(%error, "the first ACL token is not made yet; trying again");
                    tokio::time::sleep(Duration::from_millis(BEGIN_AGAIN_MILLISECONDS)).await;
                    continue;
                }
            }
            return;
        }
    }

    /// Makes a token, or changes the one with a public id if `must_exist`.
    ///
    /// # Errors
    /// ACLs are off, the draft is invalid, no such token, policy or role, somebody else changed it, or no answer in time.
    pub async fn put_token(&self, draft: TokenDraft, must_exist: bool) -> Result<Known<Token>, AclError> {
        let picture = self.picture(false).await?;
        let shown_accessor = draft.accessor.unwrap_or_else(|| Uuid::new_v4().to_string());
        let accessor = shown_accessor.to_ascii_lowercase();
        if Uuid::parse_str(&accessor).is_err() {
            return Err(invalid("Invalid Token: AccessorID is not a valid UUID"));
        }
        let there = picture.tokens.get(&accessor).map(AsRef::as_ref);
        match (there, must_exist) {
            (None, true) => return Err(unknown_token(&accessor)),
            (Some(_), false) => return Err(invalid("Invalid Token: AccessorID is already in use")),
            _ => {}
        }
        if there.is_none() && picture.tokens.len() >= MAXIMUM_ACL_TOKENS {
            return Err(invalid(format!(
                "there are {MAXIMUM_ACL_TOKENS} tokens; delete some first"
            )));
        }
        description(&draft.description)?;
        let secret = match (there, draft.secret) {
            (Some(there), Some(given)) if there.record.secret != given => {
                return Err(invalid("Changing a token's SecretID is not permitted"));
            }
            (Some(there), _) => there.record.secret.clone(),
            (None, Some(given)) if Uuid::parse_str(given.expose()).is_err() => {
                return Err(invalid("Invalid Token: SecretID is not a valid UUID"));
            }
            (None, Some(given)) => given,
            (None, None) => Secret::new(Uuid::new_v4().to_string()),
        };
        let roles = draft.roles.iter().map(|link| {
            let found = picture.role(link.key());
            let found =
                found.ok_or_else(|| invalid(format!("No such ACL role with name or id {:?}", link.key())))?;
            Ok(found.record.id.clone())
        });
        let roles = roles.collect::<Result<Vec<_>, AclError>>()?;
        if roles.len() > MAXIMUM_ACL_LINKS {
            return Err(invalid(format!(
                "there are {} roles; the most is {MAXIMUM_ACL_LINKS}",
                roles.len()
            )));
        }
        let now = now_milliseconds();
        let ttl_seconds = draft.ttl.map(|ttl| ttl.as_secs());
        if let (Some(seconds), None) = (ttl_seconds, there)
            && !TOKEN_TTL_SECONDS.contains(&seconds)
        {
            let (least, most) = (TOKEN_TTL_SECONDS.start(), TOKEN_TTL_SECONDS.end());
            return Err(invalid(format!(
                "ExpirationTime cannot be less than {least} s or more than {most} s in the future (was {seconds} s)"
            )));
        }
        let record = Token {
            grants: grants(&picture, draft.grants, &draft.policies)?,
            roles,
            accessor: there.map_or(shown_accessor, |there| there.record.accessor.clone()),
            secret,
            description: draft.description,
            is_local: there.map_or(draft.is_local, |there| there.record.is_local),
            created_milliseconds: there.map_or(now, |there| there.record.created_milliseconds),
            expires_milliseconds: match there {
                Some(there) => there.record.expires_milliseconds,
                None => ttl_seconds.map(|seconds| now.saturating_add(seconds.saturating_mul(1_000))),
            },
            ttl_seconds: there.map_or(ttl_seconds, |there| there.record.ttl_seconds),
        };
        let lease = match record.expires_milliseconds {
            None => LeaseId::NONE,
            Some(end) => {
                let left = end.saturating_sub(now).div_ceil(1_000);
                let left = i64::try_from(left).unwrap_or(i64::MAX).max(1);
                self.leases.grant(LeaseId::NONE, left).await?.answer.id
            }
        };
        let by_secret = digest(record.secret.expose());
        // What is there from the start is in no record until it is changed.
        let stored = there.filter(|there| accessor != ANONYMOUS || there.modification_revision > Revision(1));
        let mut compare = vec![is_at(Key::Token(&accessor), modified(stored))];
        let mut success = vec![put(Key::Token(&accessor), &record, lease)?];
        if stored.is_none() {
            compare.push(is_new(Key::Secret(&by_secret)));
        }
        success.push(Operation::Put(Put {
            namespace: Namespace::CONSUL,
            key: Key::Secret(&by_secret).bytes(),
            value: Bytes::copy_from_slice(accessor.as_bytes()),
            lease,
            ..Put::default()
        }));
        let revision = match self.commit(compare, success).await? {
            Some(revision) => revision,
            None if stored.is_none() => return Err(invalid("Invalid Token: SecretID is already in use")),
            None => return Err(changed("token", &accessor)),
        };
        Ok(Known {
            record,
            create_revision: stored.map_or(revision, |stored| stored.create_revision),
            modification_revision: revision,
        })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// ACLs are off, no such token, it is nobody's, or no answer in time.
    pub async fn delete_token(&self, accessor: &str) -> Result<(), AclError> {
        let accessor = accessor.to_ascii_lowercase();
        if accessor == ANONYMOUS {
            return Err(invalid("Delete operation not permitted on the anonymous token"));
        }
        let picture = self.picture(false).await?;
        let there = picture
            .tokens
            .get(&accessor)
            .ok_or_else(|| unknown_token(&accessor))?;
        let by_secret = digest(there.record.secret.expose());
        let success = vec![remove(Key::Token(&accessor)), remove(Key::Secret(&by_secret))];
        self.commit(Vec::new(), success).await.map(|_| ())
    }

    /// Does it if the conditions hold, and waits until this member knows; the revision.
    pub(super) async fn commit(
        &self,
        compare: Vec<Compare>,
        success: Vec<Operation>,
    ) -> Result<Option<Revision>, AclError> {
        let txn = Txn {
            compare,
            success,
            failure: Vec::new(),
        };
        let answer = self.core.transact(&Caller::node(), txn).await?;
        if !answer.succeeded {
            return Ok(None);
        }
        self.core.in_time(self.mirror.reach(answer.revision)).await?;
        Ok(Some(answer.revision))
    }
}

fn already(at: Revision) -> AclError {
    AclError::Bootstrapped {
        index: u64::try_from(at.0).unwrap_or_default(),
    }
}

fn unknown_token(accessor: &str) -> AclError {
    AclError::Unknown {
        what: "ACL token",
        name: accessor.to_owned(),
    }
}

pub(super) fn changed(what: &'static str, name: &str) -> AclError {
    AclError::Changed {
        what,
        name: name.to_owned(),
    }
}
