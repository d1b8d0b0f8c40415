//! The gate: who a request comes from, and whether that user may do it.
//!
//! A request about data is judged on the state that answers it. What this node knows may be older than what another node
//! has acknowledged, so a refusal is given only after a read barrier. While requests need no identity, the gate costs one
//! atomic load.
//!
//! Never lists what a request touches ([`crate::state::access`] does), never changes anything.

use std::sync::Arc;

use super::tokens::Tokens;
use crate::base::secret::Secret;
use crate::replication::Replication;
use crate::service::ServiceError;
use crate::state::access::Request;
use crate::state::applied::{Fatal, Refusal};
use crate::state::auth::{Author, Identity, Who};
use crate::state::command::{Command, Keys};
use crate::state::{ReadView, Reader};

/// What a front door knows about who calls. The only way by which an identity gets in.
///
/// A token wins over a certificate, as in etcd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    token: Option<Secret<String>>,
    certificate_name: Option<Arc<str>>,
    is_node: bool,
}

impl Caller {
    /// The node itself, which needs no rights: for what a front door guards by rights of its own.
    pub(in crate::service) fn node() -> Self {
        Self {
            is_node: true,
            ..Self::default()
        }
    }

    /// Somebody who showed a token.
    #[must_use]
    pub fn with_token(mut self, token: Secret<String>) -> Self {
        self.token = Some(token);
        self
    }

    /// Somebody whose client certificate was verified: its common name is the name of the user. Not to be used for what
    /// came through a gateway, whose certificate is its own.
    #[must_use]
    pub fn with_certificate_name(mut self, name: Arc<str>) -> Self {
        self.certificate_name = Some(name);
        self
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.token.is_none() && self.certificate_name.is_none() && !self.is_node
    }
}

/// Lets requests through. A handle: clones share one gate.
#[derive(Clone)]
pub struct Gate {
    replication: Replication,
    reader: Reader,
    tokens: Arc<Tokens>,
}

/// A gate and who stands before it: what a stream needs to create watches.
#[derive(Clone)]
pub struct Pass {
    gate: Gate,
    caller: Caller,
}

impl Gate {
    pub(in crate::service) fn new(replication: Replication, tokens: Arc<Tokens>) -> Self {
        Self {
            reader: replication.reader(),
            replication,
            tokens,
        }
    }

    /// The gate, with who stands before it; none for somebody of whom nothing is known.
    #[must_use]
    pub fn pass(&self, caller: Caller) -> Option<Pass> {
        (!caller.is_nobody()).then(|| Pass {
            gate: self.clone(),
            caller,
        })
    }

    /// What checks and makes tokens.
    #[must_use]
    pub(in crate::service) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Whether requests need no identity, as this node knows it. One atomic load.
    #[must_use]
    pub(in crate::service) fn is_open(&self) -> bool {
        !self.reader.needs_identity()
    }

    /// Who the caller is in the state `view`; none where requests need no identity.
    pub(in crate::service) fn identify(
        &self,
        view: &ReadView,
        caller: &Caller,
    ) -> Result<Option<Identity>, ServiceError> {
        identify(&self.tokens, view, caller)
    }

    /// Whether the caller may do `request` in the state `view`, and who that is.
    pub(in crate::service) fn judge(
        &self,
        view: &ReadView,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<Option<Identity>, ServiceError> {
        if caller.is_node {
            return Ok(None);
        }
        let identity = self.identify(view, caller)?;
        view.authorize(identity.as_ref().into(), request)??;
        Ok(identity)
    }

    /// Whether the caller may do `request` in this node's state, or in one that holds all that was acknowledged.
    pub(in crate::service) async fn admit(
        &self,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<Option<Identity>, ServiceError> {
        self.newest(caller, |view| self.judge(view, caller, request))
            .await
    }

    /// Who the caller is, whatever that user may do.
    pub(in crate::service) async fn recognize(
        &self,
        caller: &Caller,
    ) -> Result<Option<Identity>, ServiceError> {
        self.newest(caller, |view| self.identify(view, caller)).await
    }

    /// The command with its author. A command that this node already knows to be refused is not handed on; whether one is
    /// allowed is decided when it is applied.
    pub(in crate::service) async fn sign(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Command, ServiceError> {
        if caller.is_node {
            return Ok(command.by_node());
        }
        let identity = match Request::of(&command) {
            // What a lease holds may be much, and is looked at when the command is applied.
            Some(request) if !request.reads_leases() => self.admit(caller, &request).await?,
            _ => self.recognize(caller).await?,
        };
        Ok(match identity {
            None => command,
            Some(identity) => Command::By {
                author: Author::User {
                    name: identity.user,
                    auth_revision: identity.auth_revision,
                },
                command: Box::new(command),
            },
        })
    }

    /// What `judge` says of this node's state, or if that is a refusal, of one that holds all that was acknowledged.
    async fn newest(
        &self,
        caller: &Caller,
        judge: impl Fn(&ReadView) -> Result<Option<Identity>, ServiceError>,
    ) -> Result<Option<Identity>, ServiceError> {
        let is_open = self.is_open();
        if caller.is_node || (is_open && caller.token.is_none()) {
            // A certificate is shown whether or not it is asked for.
            return Ok(None);
        }
        let judged = if is_open {
            // Whoever has a token got it from a node that needs one: this node may not know yet.
            Ok(None)
        } else {
            judge(&self.reader.view())
        };
        if judged.as_ref().is_ok_and(Option::is_some)
            || judged.as_ref().is_err_and(|error| !may_be_outdated(error))
        {
            return judged;
        }
        match self.replication.read_barrier().await {
            Ok(view) => judge(&view),
            Err(_) => judged,
        }
    }
}

impl Pass {
    /// Who asks for a watch of these keys; none where requests need no identity.
    ///
    /// # Errors
    /// No identity, one that is not valid, or one that may not see the keys.
    pub(in crate::service) async fn admit_watch(
        &self,
        keys: &Keys,
    ) -> Result<Option<Identity>, ServiceError> {
        self.gate.admit(&self.caller, &Request::Watch(keys)).await
    }
}

/// Whether whoever was let in for `request` may still do it in the state `view`.
///
/// # Errors
/// The outer error: the disk failed. The inner one: why not.
pub(in crate::service) fn judge_again(
    view: &ReadView,
    identity: Option<&Identity>,
    request: &Request<'_>,
) -> Result<Result<(), ServiceError>, Fatal> {
    let auth = view.auth();
    if !auth.is_enabled() {
        return Ok(Ok(()));
    }
    let who = identity.map_or(Who::Nobody, |identity| Who::User(&identity.user, auth.revision()));
    // Whoever has another password, or is another user of the same name, did not ask for this.
    let has_other_password = identity.is_some_and(|identity| {
        let current = auth.user(&identity.user).map(|user| user.password_revision);
        identity.password_revision.is_some() && current.is_some() && current != identity.password_revision
    });
    if has_other_password {
        return Ok(Err(ServiceError::InvalidAuthToken));
    }
    Ok(view.authorize(who, request)?.map_err(ServiceError::from))
}

/// Who the caller is in the state `view`; none where requests need no identity.
pub(super) fn identify(
    tokens: &Tokens,
    view: &ReadView,
    caller: &Caller,
) -> Result<Option<Identity>, ServiceError> {
    let auth = view.auth();
    if !auth.is_enabled() {
        return Ok(None);
    }
    match (&caller.token, &caller.certificate_name) {
        (Some(token), _) => tokens.verify(auth, token).map(Some),
        (None, Some(name)) => Ok(Some(Identity {
            user: name.to_string(),
            auth_revision: auth.revision(),
            password_revision: None,
        })),
        (None, None) => Err(ServiceError::Refused(Refusal::UserEmpty)),
    }
}

/// Whether a newer state may say otherwise.
pub(in crate::service) fn may_be_outdated(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Refused(Refusal::UserEmpty)
            | ServiceError::Refused(Refusal::PermissionDenied)
            | ServiceError::InvalidAuthToken
    )
}
