//! A gRPC channel over a watched service: each call goes to one of its instances.
//!
//! Instances come and go with the live set, also while the cluster cannot be reached. An instance that cannot be
//! connected to is left out for a while, unless there is no other. The load balancing of tonic knows neither weights nor
//! health, nor leaves out who cannot be reached, so only its connections are used. Never sends a call twice.

use std::collections::HashMap;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{ConnectError, Status};
use tower::{Service, ServiceExt as _};

use super::live::{LiveSet, Place};
use super::pick::{Picked, Picker, Rule};
use crate::base::clock;
use crate::proto::registry::Instance;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Configure = Box<dyn Fn(&Instance, Endpoint) -> Result<Endpoint, BoxError> + Send + Sync>;

/// How long an instance that could not be connected to is left out.
const LEFT_OUT: Duration = Duration::from_secs(1);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A channel for the clients that tonic generates. Cheap to clone; ends its watch with the last clone.
#[derive(Clone)]
pub struct Balanced {
    shared: Arc<Shared>,
}

struct Shared {
    live: LiveSet,
    picker: Picker,
    configure: Configure,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    /// The revision of the set when it was last looked who is gone.
    revision: i64,
    open: HashMap<(Place, String), Channel>,
    left_out: HashMap<Place, Instant>,
}

impl fmt::Debug for Balanced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Balanced")
            .field("instances", &self.shared.live.current().len())
            .finish_non_exhaustive()
    }
}

impl Balanced {
    /// A channel over a live set, in the clear.
    #[must_use]
    pub fn new(live: LiveSet, rule: Rule) -> Self {
        Self::with(live, rule, |_, endpoint| Ok(endpoint))
    }

    /// The same, where `configure` makes of `http://address:port` the endpoint of an instance, such as one with TLS.
    #[must_use]
    pub fn with(
        live: LiveSet,
        rule: Rule,
        configure: impl Fn(&Instance, Endpoint) -> Result<Endpoint, BoxError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                live,
                picker: Picker::new(rule),
                configure: Box::new(configure),
                connections: Mutex::default(),
            }),
        }
    }

    /// The instances that calls are sent to, those that are not to be used included.
    #[must_use]
    pub fn live(&self) -> &LiveSet {
        &self.shared.live
    }
}

/// Where an instance is found, as the authority of a URL.
fn authority(instance: &Instance) -> String {
    let (address, port) = (&instance.effective_address, instance.port);
    if address.contains(':') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

impl Shared {
    fn pick(&self) -> Result<(Picked, Channel), BoxError> {
        let instances = self.live.current();
        let mut connections = self.connections.lock();
        if connections.revision != instances.revision() {
            connections.revision = instances.revision();
            let is_there = |place: &Place| instances.get(place).is_some();
            connections.open.retain(|(place, authority_then), _| {
                let now = instances.get(place);
                now.is_some_and(|instance| authority(instance) == *authority_then)
            });
            connections.left_out.retain(|place, _| is_there(place));
        }
        let now = clock::now();
        connections.left_out.retain(|_, until| *until > now);
        let left_out = &connections.left_out;
        let is_reachable = |instance: &Instance| !left_out.contains_key(&Place::of(instance));
        let picked = self.picker.pick_if(&instances, is_reachable);
        let picked = picked.or_else(|| self.picker.pick(&instances)).ok_or_else(|| {
            let number = instances.len();
            Status::unavailable(format!(
                "no instance is to be used: {number} are registered, and none passes its checks or warns"
            ))
        })?;
        let instance = picked.instance();
        let key = (Place::of(instance), authority(instance));
        if let Some(channel) = connections.open.get(&key) {
            return Ok((picked, channel.clone()));
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", key.1))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        let channel = (self.configure)(instance, endpoint)?.connect_lazy();
        connections.open.insert(key, channel.clone());
        Ok((picked, channel))
    }

    fn leave_out(&self, instance: &Instance) {
        let until = clock::now() + LEFT_OUT;
        self.connections
            .lock()
            .left_out
            .insert(Place::of(instance), until);
    }
}

fn is_connect_error(error: &tonic::transport::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() || error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Service<http::Request<Body>> for Balanced {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (picked, channel) = shared.pick()?;
            let answer = channel.oneshot(request).await;
            if let Err(error) = &answer
                && is_connect_error(error)
            {
                shared.leave_out(picked.instance());
            }
            Ok(answer?)
        })
    }
}
