//! Changes of users and roles, as the log carries them.
//!
//! Passwords are hashed before the proposal: a change never holds one. Variants are only ever appended.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;

/// A hashed password in the PHC string format.
pub type PasswordHash = Secret<String>;

/// What a permission allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PermissionKind {
    /// To read.
    Read,
    /// To write.
    Write,
    /// Both.
    ReadWrite,
}

impl PermissionKind {
    /// Whether it allows to read.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether it allows to write.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// A right on keys of the default namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// What it allows.
    pub kind: PermissionKind,
    /// The key, or the first of the range.
    pub key: Bytes,
    /// The end of the range, in the convention of [`Keys`](crate::state::command::Keys).
    pub end: Bytes,
}

/// Who asks for a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// The cluster itself: the end of a lease, an automatic compaction, an alarm.
    Node,
    /// A user.
    User {
        /// The name.
        name: String,
        /// The auth revision for which the user's identity was established.
        auth_revision: u64,
    },
}

/// A change of users, roles or of whether they count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuthChange {
    /// From now on requests need an identity.
    Enable {
        /// The key with which simple tokens are signed, drawn before the proposal.
        token_key: Secret<Vec<u8>>,
    },
    /// From now on they do not.
    Disable,
    /// Create a user.
    AddUser {
        /// The name.
        name: String,
        /// None: a user who cannot log in with a password.
        password: Option<PasswordHash>,
    },
    /// Remove a user.
    DeleteUser {
        /// The name.
        name: String,
    },
    /// Give a user another password.
    ChangePassword {
        /// The name.
        name: String,
        /// The new password.
        password: PasswordHash,
    },
    /// Give a user a role.
    GrantRole {
        /// Who gets it.
        user: String,
        /// Which.
        role: String,
    },
    /// Take a role from a user.
    RevokeRole {
        /// Who loses it.
        user: String,
        /// Which.
        role: String,
    },
    /// Create a role without rights.
    AddRole {
        /// The name.
        name: String,
    },
    /// Remove a role, from all users as well.
    DeleteRole {
        /// The name.
        name: String,
    },
    /// Give a role a right; one on the same range is replaced.
    GrantPermission {
        /// The role.
        role: String,
        /// The right.
        permission: Permission,
    },
    /// Take a right from a role.
    RevokePermission {
        /// The role.
        role: String,
        /// The key of the right.
        key: Bytes,
        /// The end of the right's range.
        end: Bytes,
    },
}

impl AuthChange {
    /// What kind of change it is, as etcd's metrics name it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Enable { .. } => "AuthEnable",
            Self::Disable => "AuthDisable",
            Self::AddUser { .. } => "AuthUserAdd",
            Self::DeleteUser { .. } => "AuthUserDelete",
            Self::ChangePassword { .. } => "AuthUserChangePassword",
            Self::GrantRole { .. } => "AuthUserGrantRole",
            Self::RevokeRole { .. } => "AuthUserRevokeRole",
            Self::AddRole { .. } => "AuthRoleAdd",
            Self::DeleteRole { .. } => "AuthRoleDelete",
            Self::GrantPermission { .. } => "AuthRoleGrantPermission",
            Self::RevokePermission { .. } => "AuthRoleRevokePermission",
        }
    }
}
