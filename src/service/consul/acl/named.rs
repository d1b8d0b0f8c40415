//! Changes of policies and roles, which have names of their own.
//!
//! Never decides who may ask for a change.

use serde::Serialize;
use uuid::Uuid;

use super::change::{
    Link, changed, description, grants, invalid, is_at, is_new, modified, name_of, put, remove,
};
use super::model::{GLOBAL_MANAGEMENT, Key, Known, Policy, Role};
use super::{AclError, Acls, rules};
use crate::base::LeaseId;
use crate::base::limits::MAXIMUM_ACL_POLICIES;

fn is_name(name: &str, maximum: usize) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= maximum && name.bytes().all(is_fit)
}

impl Acls {
    /// Makes a policy, or changes the one that has the id of `policy`.
    ///
    /// # Errors
    /// ACLs are off, it is invalid, its name is taken, somebody else changed it, or no answer in time.
    pub async fn put_policy(&self, mut policy: Policy) -> Result<Known<Policy>, AclError> {
        if policy.id == GLOBAL_MANAGEMENT {
            return Err(invalid(
                "Changing the builtin global-management policy is not permitted",
            ));
        }
        if !is_name(&policy.name, 128) {
            return Err(invalid(
                "Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed, up to 128",
            ));
        }
        description(&policy.description)?;
        rules::parse(&policy.rules)?;
        let picture = self.picture(false).await?;
        let there = match policy.id.is_empty() {
            true => None,
            false => Some(
                picture
                    .policies
                    .get(&policy.id)
                    .ok_or_else(|| AclError::Unknown {
                        what: "ACL policy",
                        name: policy.id.clone(),
                    })?,
            ),
        };
        if there.is_none() {
            policy.id = Uuid::new_v4().to_string();
            if picture.policies.len() >= MAXIMUM_ACL_POLICIES {
                return Err(invalid(format!(
                    "there are {MAXIMUM_ACL_POLICIES} policies; delete some first"
                )));
            }
        }
        if picture
            .policy(&policy.name)
            .is_some_and(|other| other.record.id != policy.id)
        {
            return Err(taken("Policy", &policy.name));
        }
        let names = (
            Key::PolicyName(&policy.name),
            there.map(|there| Key::PolicyName(&there.record.name)),
        );
        let there_before = there.map(AsRef::as_ref);
        self.put_named(
            "ACL policy",
            Key::Policy(&policy.id),
            names,
            &policy.id,
            policy.clone(),
            there_before,
        )
        .await
    }

    /// Makes a role, or changes the one that has the id of `role`. Its policies are named in `policies`.
    ///
    /// # Errors
    /// As [`Acls::put_policy`].
    pub async fn put_role(&self, mut role: Role, policies: &[Link]) -> Result<Known<Role>, AclError> {
        if !is_name(&role.name, 256) {
            return Err(invalid(
                "Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed, up to 256",
            ));
        }
        description(&role.description)?;
        let picture = self.picture(false).await?;
        role.grants = grants(&picture, role.grants, policies)?;
        let there = match role.id.is_empty() {
            true => None,
            false => Some(picture.roles.get(&role.id).ok_or_else(|| AclError::Unknown {
                what: "ACL role",
                name: role.id.clone(),
            })?),
        };
        if there.is_none() {
            role.id = Uuid::new_v4().to_string();
            if picture.roles.len() >= MAXIMUM_ACL_POLICIES {
                return Err(invalid(format!(
                    "there are {MAXIMUM_ACL_POLICIES} roles; delete some first"
                )));
            }
        }
        if picture
            .role(&role.name)
            .is_some_and(|other| other.record.id != role.id)
        {
            return Err(taken("Role", &role.name));
        }
        let names = (
            Key::RoleName(&role.name),
            there.map(|there| Key::RoleName(&there.record.name)),
        );
        let there_before = there.map(AsRef::as_ref);
        self.put_named(
            "ACL role",
            Key::Role(&role.id),
            names,
            &role.id,
            role.clone(),
            there_before,
        )
        .await
    }

    async fn put_named<T: Serialize>(
        &self,
        what: &'static str,
        key: Key<'_>,
        (name, old_name): (Key<'_>, Option<Key<'_>>),
        id: &str,
        record: T,
        there: Option<&Known<T>>,
    ) -> Result<Known<T>, AclError> {
        let mut compare = vec![is_at(key, modified(there))];
        let mut success = vec![put(key, &record, LeaseId::NONE)?];
        let is_renamed = old_name.is_none_or(|old| old.bytes() != name.bytes());
        if is_renamed {
            compare.push(is_new(name));
            success.push(name_of(name, id));
            success.extend(old_name.map(remove));
        }
        match self.commit(compare, success).await? {
            Some(revision) => Ok(Known {
                record,
                create_revision: there.map_or(revision, |there| there.create_revision),
                modification_revision: revision,
            }),
            None => Err(changed(what, id)),
        }
    }

    /// Takes a policy away; tokens and roles that have it lose it.
    ///
    /// # Errors
    /// ACLs are off, no such policy, it is the first token's, or no answer in time.
    pub async fn delete_policy(&self, id: &str) -> Result<(), AclError> {
        if id == GLOBAL_MANAGEMENT {
            return Err(invalid(
                "Delete operation not permitted on the builtin global-management policy",
            ));
        }
        let picture = self.picture(false).await?;
        let there = picture.policies.get(id).ok_or_else(|| AclError::Unknown {
            what: "ACL policy",
            name: id.to_owned(),
        })?;
        let success = vec![
            remove(Key::Policy(id)),
            remove(Key::PolicyName(&there.record.name)),
        ];
        self.commit(Vec::new(), success).await.map(|_| ())
    }

    /// Takes a role away; tokens that have it lose it.
    ///
    /// # Errors
    /// ACLs are off, no such role, or no answer in time.
    pub async fn delete_role(&self, id: &str) -> Result<(), AclError> {
        let picture = self.picture(false).await?;
        let there = picture.roles.get(id).ok_or_else(|| AclError::Unknown {
            what: "ACL role",
            name: id.to_owned(),
        })?;
        let success = vec![remove(Key::Role(id)), remove(Key::RoleName(&there.record.name))];
        self.commit(Vec::new(), success).await.map(|_| ())
    }
}

fn taken(what: &'static str, name: &str) -> AclError {
    invalid(format!(
        "Invalid {what}: A {what} with Name {name:?} already exists"
    ))
}
