//! One request being served: what it asks for, who asks, and the draft of what it changes.
//!
//! ```text
//!  mounts -> route -> whose token -> create or update -> policies -> engine -> token, lease, wrapping -> uses
//! ```
//!
//! All of it reads one state and writes one draft, uses of the token included, so that a request happens once or not at all.
//! Who has no right to a path is told nothing about it, not even whether it is there. Where several spellings mean the same,
//! policies have to allow the one that was written, and that which is stored if a rule decides of it that is not about the
//! written one as well: it is the path of what is made there.
//!
//! Never waits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use super::after::After;
use super::auditing::{self, Devices, Seen};
use super::custody::SealSource;
use super::engine::storage::{decode, encode};
use super::engine::{Answer, Call, Engine, Errand, Fault, Mount, Tuning};
use super::error::SecretsError;
use super::mounts::Mounts;
use super::parameters::{Body, ParameterError};
use super::path::below;
use super::policies;
use super::policy::{Decision, Merged, Operation};
use super::randomness::{Randomness, SystemRandomness};
use super::request::{Request, Response, Verb};
use super::store::{Draft, Room, Unsealed};
use super::token::{self, Identity};
use super::{engines, leases, mounts, system, wrapping};
use crate::base::secret::Secret;
use crate::service::core::Core;
use crate::state::ReadView;

/// See the module.
pub struct Work {
    request: Arc<Request>,
    core: Arc<Core>,
    draft: Draft,
    mounts: Arc<Mounts>,
    devices: Arc<Devices>,
    identity: Option<Identity>,
    /// Whether this is a use of the token: what is open is none.
    is_counted: bool,
    merged: Option<Arc<Merged>>,
    operation: Operation,
    is_privileged: bool,
    fetched: Arc<BTreeMap<Errand, Result<Vec<u8>, String>>>,
    seals: Arc<[SealSource]>,
    after: Vec<After>,
    /// Whether what is refused is written all the same, as an engine wants it: a failure that is counted.
    keeps_refused: bool,
}

/// What a request came to.
pub struct Done {
    /// What the client is told.
    pub outcome: Result<Response, SecretsError>,
    /// What is to be written.
    pub draft: Draft,
    /// What is to be done then.
    pub after: Vec<After>,
}

impl Work {
    /// Begins to serve a request on a state.
    ///
    /// # Errors
    /// The mounts cannot be read.
    pub(in crate::service) fn new(
        core: Arc<Core>,
        request: Arc<Request>,
        unsealed: Arc<Unsealed>,
        view: Arc<ReadView>,
        now: Duration,
        fetched: Arc<BTreeMap<Errand, Result<Vec<u8>, String>>>,
        seals: Arc<[SealSource]>,
    ) -> Result<Self, SecretsError> {
        let mut draft = Draft::new(unsealed, view, now);
        let mounts = Mounts::read(&mut draft)?;
        let devices = auditing::read(&mut draft)?;
        Ok(Self {
            operation: request.verb.operation(),
            core,
            request,
            draft,
            mounts,
            devices,
            identity: None,
            is_counted: false,
            merged: None,
            is_privileged: false,
            fetched,
            seals,
            after: Vec::new(),
            keeps_refused: false,
        })
    }

    /// Which engine the request is for; empty: none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.mounts
            .owner(&self.request.path)
            .map_or("", |mount| mount.kind.as_str())
    }

    /// What audit says of the request before it is served.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn look(mut self) -> Result<Seen, SecretsError> {
        Ok(Seen {
            identity: self.find()?,
            mount: self.mounts.owner(&self.request.path).cloned(),
            operation: self.operation,
        })
    }

    /// Ends it with an outcome.
    #[must_use]
    pub fn into_done(self, outcome: Result<Response, SecretsError>) -> Done {
        Done {
            outcome,
            draft: self.draft,
            after: self.after,
        }
    }

    /// The audit devices in the state that is read.
    #[must_use]
    pub fn devices(&self) -> &Arc<Devices> {
        &self.devices
    }

    /// Serves the request.
    #[must_use]
    pub fn run(mut self) -> Done {
        let mut outcome = self.serve();
        if outcome.is_err() {
            // What is refused changes nothing but that the token was used.
            if !self.keeps_refused {
                self.draft.discard();
            }
            self.after.clear();
        }
        let is_asked_again = matches!(outcome, Err(SecretsError::Fault(Fault::Fetch(_))));
        let is_use = self.is_counted && !is_asked_again;
        if let Some(identity) = self.identity.clone().filter(|_| is_use) {
            outcome = self.count_use(&identity).and(outcome);
        }
        self.into_done(outcome)
    }

    fn serve(&mut self) -> Result<Response, SecretsError> {
        let request = Arc::clone(&self.request);
        let path = request.path.as_str();
        let mounts = Arc::clone(&self.mounts);
        let mount = mounts.owner(path);
        let below = mount.map_or("", |mount| below(&mount.path, path));
        let engine = mount.and_then(engines::of);
        let is_open = match mount {
            Some(mount) if mount.kind == "system" => system::is_open(below),
            _ => engine.is_some_and(|engine| engine.is_open(below)),
        };
        let canonical = mount.and_then(|mount| engines::canonical(mount, path));
        if is_open {
            // Who shows a token all the same is told what that one may see.
            self.identity = self.find()?;
        } else {
            self.identify()?;
            self.decide_operation(mount, engine, below)?;
            let needs_sudo = engine.is_some_and(|engine| engine.needs_sudo(below));
            self.authorize(path, canonical.as_deref(), needs_sudo)?;
        }
        let Some(mount) = mount else {
            return Err(
                Fault::NoPath(format!("no handler for route {path:?}. route entry not found.")).into(),
            );
        };
        let mut response = match mount.kind.as_str() {
            "system" => system::handle(self, below)?,
            "token" => token::paths::handle(self, below)?,
            kind => {
                let engine = engine.ok_or_else(|| Fault::Unimplemented(format!("the engine {kind:?}")))?;
                let answer = self.with_call(mount, below, is_open, |call, room, randomness| {
                    engine.handle(call, room, randomness)
                })?;
                self.answer(answer, mount, canonical.as_deref().unwrap_or(path))?
            }
        };
        if response.mount_kind.is_empty() {
            response.mount_kind = mount.kind.clone();
        }
        match request.wrap {
            Some(ttl) if !wrapping::is_exempt(path) => wrapping::wrap(self, response, ttl, path),
            _ => Ok(response),
        }
    }

    fn find(&mut self) -> Result<Option<Identity>, SecretsError> {
        let request = Arc::clone(&self.request);
        let Some(token) = &request.token else {
            return Ok(None);
        };
        let found = token::find(&mut self.draft, token.expose())?;
        Ok(found.filter(|identity| self.may_come_from_here(identity)))
    }

    fn identify(&mut self) -> Result<(), SecretsError> {
        self.identity = self.find()?;
        if self.identity.is_none() && wrapping::takes_own_token(&self.request.path) {
            return Err(wrapping::unknown().into());
        }
        let identity = self.identity.clone().ok_or(SecretsError::Denied)?;
        self.is_counted = true;
        let merged = policies::merged(&mut self.draft, &identity.entry.policies)?;
        self.merged = Some(merged);
        Ok(())
    }

    fn may_come_from_here(&self, identity: &Identity) -> bool {
        let bound = &identity.entry.bound_cidrs;
        let is_in = |address: IpAddr| bound.iter().any(|net| net.contains(&address.to_canonical()));
        bound.is_empty() || self.request.peer.address.is_some_and(is_in)
    }

    /// Whether a write creates or updates: as the engine says what is there.
    fn decide_operation(
        &mut self,
        mount: Option<&Mount>,
        engine: Option<&'static dyn Engine>,
        below: &str,
    ) -> Result<(), SecretsError> {
        if self.request.verb == Verb::Write
            && let (Some(mount), Some(engine)) = (mount, engine)
        {
            self.operation = Operation::Update;
            let exists = self.with_call(mount, below, false, |call, room, _| engine.exists(call, room))?;
            if exists == Some(false) {
                self.operation = Operation::Create;
            }
        }
        Ok(())
    }

    /// Whether the policies allow it at the path that was written, and at its canonical one; none: it is the same.
    fn authorize(
        &mut self,
        path: &str,
        canonical: Option<&str>,
        needs_sudo: bool,
    ) -> Result<(), SecretsError> {
        let merged = self.merged.as_ref().ok_or(SecretsError::Denied)?;
        let (fields, wrap) = (self.request.body.fields(), self.request.wrap);
        let decision = merged.decide_spelled(self.operation, path, canonical, fields, wrap);
        let Decision::Allowed { is_privileged } = decision else {
            return Err(SecretsError::Denied);
        };
        self.is_privileged = is_privileged;
        if needs_sudo && !is_privileged {
            return Err(SecretsError::Denied);
        }
        Ok(())
    }

    /// Calls an engine in its room.
    fn with_call<T>(
        &mut self,
        mount: &Mount,
        below: &str,
        is_open: bool,
        call: impl FnOnce(&Call<'_>, &mut Room<'_>, &mut dyn Randomness) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let request = Arc::clone(&self.request);
        let fetched = Arc::clone(&self.fetched);
        let caller = self.identity.as_ref().map(Identity::caller);
        let made = Call {
            operation: self.operation,
            path: below,
            body: &request.body,
            mount,
            caller: caller.as_ref().filter(|_| !is_open),
            peer: &request.peer,
            now: self.draft.now(),
            is_privileged: self.is_privileged,
            fetched: &fetched,
        };
        let mut room = Room::new(&mut self.draft, &mounts::directory(&mount.uuid))?;
        call(&made, &mut room, &mut SystemRandomness)
    }

    /// What an engine's answer comes to: with the token and the lease of that path that go with it.
    fn answer(&mut self, answer: Answer, mount: &Mount, path: &str) -> Result<Response, SecretsError> {
        if let Some(refused) = answer.refused {
            self.keeps_refused = true;
            return Err(refused.into());
        }
        let mut response = Response {
            status: answer.status,
            data: answer.data,
            warnings: answer.warnings,
            is_gone: answer.is_gone,
            raw: answer.raw,
            lease_seconds: answer.advice.unwrap_or_default().as_secs(),
            ..Response::default()
        };
        if let Some(login) = answer.login {
            let new = token::of_login(login, mount, path)?;
            let made =
                self.with_randomness(|draft, randomness| token::make(draft, new, &mount.tuning, randomness))?;
            response.auth = Some(made.auth);
            response.warnings.extend(made.warnings);
        }
        if let Some(leased) = answer.leased {
            let owner = self.identity()?.clone();
            let lease = self.with_randomness(|draft, randomness| {
                leases::make(draft, leased, &owner, mount, path, randomness)
            })?;
            response.lease_id = lease.id;
            response.lease_seconds = lease.seconds;
            response.is_renewable = lease.is_renewable;
        }
        Ok(response)
    }

    /// Counts the use of a token whose uses are limited; the last one ends it.
    fn count_use(&mut self, identity: &Identity) -> Result<(), SecretsError> {
        let Some(uses) = identity.entry.uses else {
            return Ok(());
        };
        let name = self.draft.name(&format!("{}/{}", token::TOKENS, identity.id))?;
        // As the request leaves it: renewed, or ended.
        let Some(entry) = self.draft.made::<token::Entry>(&name, decode)? else {
            return Ok(());
        };
        if uses <= 1 {
            return Ok(self.draft.delete(&name)?);
        }
        let entry = token::Entry {
            uses: Some(uses - 1),
            ..token::Entry::clone(&entry)
        };
        let left = entry.ends.map(|ends| ends.saturating_sub(self.draft.now()));
        self.draft.put(&name, encode(&entry)?, left);
        Ok(())
    }

    /// What the node stands on.
    #[must_use]
    pub(in crate::service) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The draft.
    pub fn draft(&mut self) -> &mut Draft {
        &mut self.draft
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.request.body
    }

    /// What is to be done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// A path in the spelling that its names are stored in; none: it is the same.
    #[must_use]
    pub fn canonical(&self, path: &str) -> Option<String> {
        engines::canonical(self.mounts.owner(path)?, path)
    }

    /// The mounts.
    #[must_use]
    pub fn mounts(&self) -> &Arc<Mounts> {
        &self.mounts
    }

    /// Whether the caller is root or has `sudo` on the path.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.is_privileged
    }

    /// The seals that this node's settings name.
    #[must_use]
    pub fn seals(&self) -> &Arc<[SealSource]> {
        &self.seals
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// Nobody's.
    pub fn identity(&self) -> Result<&Identity, SecretsError> {
        self.identity.as_ref().ok_or(SecretsError::Denied)
    }

    /// The token of the request; empty: none.
    #[must_use]
    pub fn own_token(&self) -> Secret<String> {
        self.request.token.clone().unwrap_or_default()
    }

    /// The settings of the mount that a path is of.
    #[must_use]
    pub fn tuning_of(&self, path: &str) -> Tuning {
        self.mounts
            .owner(path)
            .map(|mount| mount.tuning.clone())
            .unwrap_or_default()
    }

    /// A field of the body, as `read` reads it; none: it is not there.
    ///
    /// # Errors
    /// It is something else.
    pub fn field<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, ParameterError>,
    ) -> Result<Option<T>, Fault> {
        match self.request.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read = read(value).map_err(|error| Fault::Invalid(format!("{name:?}: {error}")))?;
                Ok(Some(read))
            }
        }
    }

    /// A field of the body that is text; none: it is not there.
    ///
    /// # Errors
    /// It is no text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.request.body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Fault::Invalid(format!("{name:?} is no text"))),
        }
    }

    /// Does what needs random bytes with the draft.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn with_randomness<T>(
        &mut self,
        make: impl FnOnce(&mut Draft, &mut dyn Randomness) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        make(&mut self.draft, &mut SystemRandomness)
    }

    /// Has something done once the draft is written.
    pub fn then(&mut self, after: After) {
        self.after.push(after);
    }

    /// Calls the engine of a lease or of a mount in its room, as one that may do everything.
    ///
    /// # Errors
    /// What it says.
    pub fn with_engine<T>(
        &mut self,
        mount: &Mount,
        below: &str,
        call: impl FnOnce(&'static dyn Engine, &Call<'_>, &mut Room<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let engine =
            engines::of(mount).ok_or_else(|| Fault::Unimplemented(format!("the engine {:?}", mount.kind)))?;
        self.with_call(mount, below, false, |made, room, _| call(engine, made, room))
    }
}
