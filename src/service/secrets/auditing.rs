//! The audit devices of the store: one record that says which there are, and the broker of this node, which writes to them.
//!
//! Every node has the same devices and writes what it serves itself. What a node cannot write to counts as failing there: then
//! it serves no request that another device of it does not record. Never serves first and records later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::audit::{self, Allowed, Broker, Entry, Fields, Mounted, Reply, Settings, Status, Wrap};
use super::engine::storage::{decode, encode};
use super::engine::{Fault, Mount};
use super::error::SecretsError;
use super::policy::Operation;
use super::request::{Request, Response};
use super::store::{Draft, Unsealed};
use super::token::Identity;
use crate::base::clock;

/// Where the devices are.
const TABLE: &str = "core/audit";
/// How long a record may take to be written.
const WAIT_SECONDS: u64 = 5;

/// A device as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Which kind.
    pub kind: String,
    /// What people call it.
    pub description: String,
    /// Its options.
    pub options: Map<String, Value>,
}

/// All devices, by name.
pub type Devices = BTreeMap<String, Device>;

/// The devices of a draft.
///
/// # Errors
/// They cannot be read.
pub fn read(draft: &mut Draft) -> Result<Arc<Devices>, Fault> {
    Ok(draft.table(TABLE, decode)?.unwrap_or_default())
}

/// Writes the devices.
///
/// # Errors
/// They cannot be encoded.
pub fn write(draft: &mut Draft, devices: &Devices) -> Result<(), Fault> {
    draft.put_table(TABLE, encode(devices)?)
}

/// See the module.
pub struct Auditing {
    broker: Broker,
    allowed: Allowed,
    /// What the broker was told of.
    applied: ArcSwap<Devices>,
    /// Held while it is told of others.
    changing: Mutex<()>,
}

/// What is known of a request before it is served.
pub struct Seen {
    /// Whose token it is.
    pub identity: Option<Identity>,
    /// What it is for.
    pub mount: Option<Mount>,
    /// What is to be done.
    pub operation: Operation,
}

impl Auditing {
    /// No devices yet. `node` is what records name this node by; files lie in `directory`, if there is one.
    pub fn new(node: &str, directory: Option<PathBuf>) -> Self {
        Self {
            broker: Broker::new(node, Duration::from_secs(WAIT_SECONDS)),
            allowed: Allowed::within(directory),
            applied: ArcSwap::default(),
            changing: Mutex::default(),
        }
    }

    /// The devices that the broker writes to, as far as it can.
    pub fn applied(&self) -> Arc<Devices> {
        self.applied.load_full()
    }

    /// Has the broker write to the devices of the store.
    pub async fn follow(&self, unsealed: &Unsealed, devices: &Arc<Devices>) {
        let _changing = self.changing.lock().await;
        let applied = self.applied();
        if *applied != **devices {
            let now = clock::unix_time();
            for (name, device) in applied.iter() {
                if devices.get(name) != Some(device) {
                    self.broker.disable(name, now).await;
                }
            }
            for (name, device) in devices.iter() {
                if let Err(error) = self.apply(name, device, unsealed, now).await {
                    tracing::error!(device = name, %error, "an audit device cannot be used on this node");
                }
            }
            self.applied.store(Arc::clone(devices));
        }
    }

    /// Has the broker write to a device as the store has it.
    async fn apply(
        &self,
        name: &str,
        device: &Device,
        unsealed: &Unsealed,
        now: Duration,
    ) -> Result<(), Fault> {
        let settings = self.settings(name, device)?;
        match self.broker.settings(name) {
            Some(known) if known == settings => return Ok(()),
            // Somebody enabled another one of that name here, which was not written down.
            Some(_) => drop(self.broker.disable(name, now).await),
            None => {}
        }
        self.broker.restore(settings, &unsealed.copy_of_hash_key(), now)
    }

    /// The settings of a device.
    ///
    /// # Errors
    /// They are wrong, or not allowed on this node.
    pub fn settings(&self, name: &str, device: &Device) -> Result<Settings, Fault> {
        Settings::parse(name, &device.kind, &device.options, &self.allowed)
    }

    /// Enables a device on this node, before it is written down that there is one.
    ///
    /// # Errors
    /// It cannot be written to.
    pub async fn enable(&self, unsealed: &Unsealed, name: &str, device: &Device) -> Result<(), Fault> {
        let settings = self.settings(name, device)?;
        let hash_key = unsealed.copy_of_hash_key();
        self.broker.enable(settings, &hash_key, clock::unix_time()).await
    }

    /// Takes a device back whose enabling was not written down.
    pub async fn disable(&self, name: &str) {
        let _changing = self.changing.lock().await;
        self.broker.disable(name, clock::unix_time()).await;
        // Whoever wrote down one of that name meanwhile means another: what the store has is followed anew.
        self.applied.store(Arc::default());
    }

    /// Stops writing, when the node is sealed or stops.
    pub async fn close(&self) {
        let _changing = self.changing.lock().await;
        self.broker.close(clock::unix_time()).await;
        self.applied.store(Arc::default());
    }

    /// Opens all files again, after they were moved away.
    pub async fn reopen(&self) {
        for (device, reason) in self.broker.reopen(clock::unix_time()).await {
            tracing::error!(device, reason, "an audit device could not be opened again");
        }
    }

    /// The state of each device.
    pub fn status(&self) -> Vec<Status> {
        self.broker.status()
    }

    /// Whether requests can be recorded: a device works, or there is none.
    pub fn can_record(&self) -> bool {
        self.broker.can_record()
    }

    /// Records a request.
    ///
    /// # Errors
    /// No device has written it: it must not be served.
    pub async fn request(&self, request: &Request, seen: &Seen) -> Result<(), SecretsError> {
        self.record(request, seen, None, "").await
    }

    /// Records what a request is answered.
    ///
    /// # Errors
    /// No device has written it: the answer must not leave.
    pub async fn outcome(
        &self,
        request: &Request,
        seen: &Seen,
        outcome: &Result<Response, SecretsError>,
    ) -> Result<(), SecretsError> {
        match outcome {
            Ok(response) => self.record(request, seen, Some(response), "").await,
            Err(error) => self.record(request, seen, None, &error.to_string()).await,
        }
    }

    async fn record(
        &self,
        request: &Request,
        seen: &Seen,
        response: Option<&Response>,
        error: &str,
    ) -> Result<(), SecretsError> {
        if self.broker.status().is_empty() {
            return Err(SecretsError::Unaudited(
                "no audit device can be used on this node".to_owned(),
            ));
        }
        let address = request
            .peer
            .address
            .map(|address| address.to_string())
            .unwrap_or_default();
        let token = request.token.clone().unwrap_or_default();
        let auth = seen
            .identity
            .as_ref()
            .map(|identity| auth(token.expose(), identity));
        let made = response.and_then(|response| response.auth.as_ref());
        let made = made.map(|made| audit::Auth {
            client_token: made.token.expose(),
            accessor: &made.accessor,
            policies: &made.policies,
            token_policies: &made.policies,
            metadata: Some(&made.metadata),
            token_type: kind(made.kind),
            token_ttl: Duration::from_secs(made.lease_seconds),
            uses: made.uses,
            ..audit::Auth::default()
        });
        let reply = response.map(|response| Reply {
            auth: made.as_ref(),
            lease_id: &response.lease_id,
            data: match (&response.data, &response.raw) {
                (Some(data), _) => Fields::Data(data),
                (None, Some(raw)) => Fields::Raw(raw),
                (None, None) => Fields::Nothing,
            },
            status: response.status.unwrap_or(200),
            warnings: &response.warnings,
            wrap: response.wrapped.as_ref().map(|wrapped| Wrap {
                token: wrapped.token.expose(),
                accessor: &wrapped.accessor,
                ttl: Duration::from_secs(wrapped.ttl_seconds),
                created: wrapped.created,
                creation_path: &wrapped.creation_path,
                wrapped_accessor: wrapped.wrapped_accessor.as_deref().unwrap_or_default(),
            }),
        });
        let refused = Reply::default();
        let of_request = audit::Request {
            id: &request.id,
            client_id: "",
            operation: seen.operation,
            mount: seen.mount.as_ref().map(mounted),
            client_token: token.expose(),
            client_token_accessor: auth.as_ref().map_or("", |auth| auth.accessor),
            path: &request.path,
            data: Fields::Body(&request.body),
            remote_address: &address,
            remote_port: request.peer.port,
            headers: &[],
            wrap_ttl: request.wrap,
            policy_override: false,
            client_certificate_serial_number: "",
        };
        let entry = Entry {
            time: clock::unix_time(),
            auth: auth.as_ref(),
            request: &of_request,
            reply: match (reply.as_ref(), error) {
                (Some(reply), _) => Some(reply),
                (None, "") => None,
                (None, _) => Some(&refused),
            },
            error,
        };
        let recorded = self.broker.record(&entry).await;
        recorded.map_err(|error| SecretsError::Unaudited(error.to_string()))
    }
}

fn auth<'entry>(token: &'entry str, identity: &'entry Identity) -> audit::Auth<'entry> {
    let entry = &identity.entry;
    audit::Auth {
        client_token: token,
        accessor: &entry.accessor,
        display_name: &entry.display_name,
        policies: &entry.policies,
        token_policies: &entry.policies,
        metadata: Some(&entry.metadata),
        token_type: kind(entry.kind),
        token_ttl: entry.ttl,
        token_issued: Some(entry.created),
        uses: entry.uses.unwrap_or(0),
        ..audit::Auth::default()
    }
}

fn kind(kind: super::engine::TokenKind) -> &'static str {
    match kind {
        super::engine::TokenKind::Service => "service",
        super::engine::TokenKind::Batch => "batch",
    }
}

fn mounted(mount: &Mount) -> Mounted<'_> {
    Mounted {
        point: &mount.path,
        kind: &mount.kind,
        accessor: &mount.accessor,
        is_auth: mount.path.starts_with(super::mounts::AUTH),
        plain_request_keys: &mount.tuning.audit_plain_request_keys,
        plain_response_keys: &mount.tuning.audit_plain_response_keys,
    }
}
