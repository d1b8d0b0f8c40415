//! Who calls whom, in which version: in the metadata of every call, checked before its body is read.
//!
//! A wrongly routed call would be worse than none (two clusters, or two members, mixed up), so it is refused with a
//! sentence that names both sides. Each kind of refusal is logged once for each peer, not once for each call.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::base::{ClusterId, MemberId};
use crate::replication::departed::Departed;

/// Version of the peer protocol. A member refuses every other one.
const PROTOCOL_VERSION: u64 = 3;

const CLUSTER_KEY: &str = "stead-cluster";
const FROM_KEY: &str = "stead-from";
const TO_KEY: &str = "stead-to";
const PROTOCOL_KEY: &str = "stead-protocol";

/// Refusals that are remembered, so that each is logged once. A peer has one or two; more means somebody is guessing.
const MAXIMUM_REMEMBERED_REFUSALS: usize = 1_000;

/// The caller's side: introduces this member to one peer.
#[derive(Clone)]
pub struct Introduce {
    cluster: MetadataValue<Ascii>,
    from: MetadataValue<Ascii>,
    to: MetadataValue<Ascii>,
    protocol: MetadataValue<Ascii>,
}

impl Introduce {
    /// Introduces `from` to `to`.
    #[must_use]
    pub fn new(cluster: ClusterId, from: MemberId, to: MemberId) -> Self {
        Self {
            cluster: cluster.0.into(),
            from: from.0.into(),
            to: to.0.into(),
            protocol: PROTOCOL_VERSION.into(),
        }
    }
}

impl Interceptor for Introduce {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(CLUSTER_KEY, self.cluster.clone());
        metadata.insert(FROM_KEY, self.from.clone());
        metadata.insert(TO_KEY, self.to.clone());
        metadata.insert(PROTOCOL_KEY, self.protocol.clone());
        Ok(request)
    }
}

/// Who called: put into the request by [`Check`].
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub MemberId);

/// The callee's side: lets calls in that are meant for it.
#[derive(Clone)]
pub struct Check {
    cluster: ClusterId,
    member: MemberId,
    departed: Arc<Departed>,
    logged: Arc<Mutex<HashSet<String>>>,
}

impl Check {
    /// Lets calls to `member` of `cluster` in, but for those of the `departed`.
    #[must_use]
    pub fn new(cluster: ClusterId, member: MemberId, departed: Arc<Departed>) -> Self {
        Self {
            cluster,
            member,
            departed,
            logged: Arc::default(),
        }
    }

    fn check(&self, metadata: &MetadataMap) -> Result<Caller, String> {
        let number = |key: &'static str| -> Result<u64, String> {
            let value = metadata.get(key).and_then(|value| value.to_str().ok());
            let number = value.and_then(|value| u64::from_str(value).ok());
            number.ok_or_else(|| {
                format!("the caller does not say its {key:?}: it is no member of a stead cluster")
            })
        };
        let protocol = number(PROTOCOL_KEY)?;
        let from = MemberId(number(FROM_KEY)?);
        if protocol != PROTOCOL_VERSION {
            return Err(format!(
                "member {from} speaks version {protocol} of the peer protocol, member {} version {PROTOCOL_VERSION}",
                self.member
            ));
        }
        let cluster = ClusterId(number(CLUSTER_KEY)?);
        if cluster != self.cluster {
            return Err(format!(
                "member {from} belongs to cluster {cluster}, member {} to cluster {}",
                self.member, self.cluster
            ));
        }
        let to = MemberId(number(TO_KEY)?);
        if to != self.member {
            return Err(format!(
                "member {from} called member {to}, but this is member {}: a peer URL is wrong",
                self.member
            ));
        }
        if self.departed.contains(from) {
            return Err(format!(
                "member {from} has been permanently removed from the cluster"
            ));
        }
        Ok(Caller(from))
    }
}

impl Interceptor for Check {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        match self.check(request.metadata()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                Ok(request)
            }
            Err(reason) => {
                let mut logged = self.logged.lock();
                if logged.len() < MAXIMUM_REMEMBERED_REFUSALS && logged.insert(reason.clone()) {
                    tracing::warn!(reason, "refused a peer");
                }
                Err(Status::failed_precondition(reason))
            }
        }
    }
}
