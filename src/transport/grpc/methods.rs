//! The methods of the [`super::interface`] with their counters, resolved once so that a call costs some atomic additions
//! and no look at a table of labels.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter};
use tonic::Code;

pub(super) use super::interface::{Kind, Target};
use super::interface::{STREAMS, UNARY};
use crate::base::metrics::CallMetrics;
use crate::transport::CallSettings;

/// The codes in the order of their numbers, under the names that etcd's metrics use.
const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

/// A method with its counters.
pub(super) struct Method {
    pub target: Target,
    pub kind: Kind,
    /// Whether a learner answers it.
    pub is_for_learners: bool,
    /// Its service and name.
    path: String,
    started: IntCounter,
    handled: Vec<IntCounter>,
    received_messages: IntCounter,
    sent_messages: IntCounter,
    /// None if nobody asked for it.
    handling_seconds: Option<Histogram>,
    /// Streams that break while they are read; none for methods that etcd does not count them for.
    receive_failures: Option<IntCounter>,
    /// None for what streams, and for what is not etcd's own.
    requests: Option<RequestSeconds>,
    /// A call with one answer that takes longer is logged.
    slow_after: Duration,
}

/// The seconds of requests, apart for those that failed. Resolved with the first request, so that the many methods that
/// nobody calls take no place on the page.
struct RequestSeconds {
    name: &'static str,
    all: HistogramVec,
    succeeded: OnceLock<Histogram>,
    failed: OnceLock<Histogram>,
}

impl RequestSeconds {
    fn observe(&self, code: Code, seconds: f64) {
        let (histogram, success) = if code == Code::Ok {
            (&self.succeeded, "true")
        } else {
            (&self.failed, "false")
        };
        histogram
            .get_or_init(|| self.all.with_label_values(&[self.name, success]))
            .observe(seconds);
    }
}

/// The name of a code as etcd's metrics have it.
fn code_name(code: Code) -> &'static str {
    usize::try_from(i32::from(code))
        .ok()
        .and_then(|number| CODES.get(number).copied())
        .unwrap_or("Unknown")
}

impl Method {
    /// Counts a call that begins.
    pub fn started(&self) {
        self.started.inc();
    }

    /// Counts messages that arrived.
    pub fn received(&self, messages: u64) {
        self.received_messages.inc_by(messages);
    }

    /// Counts a stream whose client broke it.
    pub fn failed_to_receive(&self) {
        if let Some(failures) = &self.receive_failures {
            failures.inc();
        }
    }

    /// Counts messages that were sent.
    pub fn sent(&self, messages: u64) {
        self.sent_messages.inc_by(messages);
    }

    /// Counts a call that ended and took so long, and logs it if that was too long: what it was and how large, never
    /// what was in it.
    pub fn handled(&self, code: Code, took: Duration, received_bytes: u64, sent_bytes: u64) {
        if let Some(counter) = usize::try_from(i32::from(code))
            .ok()
            .and_then(|code| self.handled.get(code))
        {
            counter.inc();
        }
        let seconds = took.as_secs_f64();
        if let Some(handling_seconds) = &self.handling_seconds {
            handling_seconds.observe(seconds);
        }
        if let Some(requests) = &self.requests {
            requests.observe(code, seconds);
        }
        if self.kind == Kind::Unary && took > self.slow_after {
            tracing::warn!(
                method = self.path,
                code = code_name(code),
                took_milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                received_bytes,
                sent_bytes,
                "a request took long (--warning-unary-request-duration)"
            );
        }
    }
}

/// Whether a learner answers a method: as in etcd its status, its database as a file, and ranges that need no quorum, which
/// the service tells from others; and what is not etcd's own.
fn is_for_learners(target: Target, name: &str) -> bool {
    match target {
        Target::Health | Target::Reflection | Target::ReflectionAlpha => true,
        Target::Kv => name == "Range",
        Target::Maintenance => matches!(name, "Status" | "Snapshot"),
        Target::Watch
        | Target::Lease
        | Target::Cluster
        | Target::Auth
        | Target::Lock
        | Target::Election
        | Target::Registry
        | Target::Seal
        | Target::Secrets => false,
    }
}

/// What etcd's metrics call the streams whose failures they count.
fn stream_name(target: Target, kind: Kind) -> Option<&'static str> {
    match (target, kind) {
        (Target::Watch, Kind::BidirectionalStream) => Some("watch"),
        (Target::Lease, Kind::BidirectionalStream) => Some("lease-keepalive"),
        _ => None,
    }
}

/// All methods, by path.
pub(super) struct Methods {
    by_path: HashMap<String, Arc<Method>>,
}

impl Methods {
    /// Resolves the counters of all methods.
    pub fn new(metrics: &CallMetrics, settings: CallSettings) -> Self {
        let unary = UNARY.into_iter().flat_map(|(service, target, methods)| {
            methods
                .iter()
                .map(move |method| (service, target, *method, Kind::Unary))
        });
        let by_path = unary
            .chain(STREAMS)
            .map(|(service, target, name, kind)| {
                let labels = [kind.label(), service, name];
                let started = metrics.started.with_label_values(&labels);
                let handled = CODES
                    .iter()
                    .map(|code| {
                        metrics
                            .handled
                            .with_label_values(&[labels[0], service, name, *code])
                    })
                    .collect();
                (
                    format!("/{service}/{name}"),
                    Arc::new(Method {
                        path: format!("{service}/{name}"),
                        received_messages: metrics.received_messages.with_label_values(&labels),
                        sent_messages: metrics.sent_messages.with_label_values(&labels),
                        handling_seconds: settings
                            .measures_handling
                            .then(|| metrics.handling_seconds.with_label_values(&labels)),
                        requests: (kind == Kind::Unary && service.starts_with("etcdserverpb.")).then(|| {
                            RequestSeconds {
                                name,
                                all: metrics.request_seconds.clone(),
                                succeeded: OnceLock::new(),
                                failed: OnceLock::new(),
                            }
                        }),
                        receive_failures: stream_name(target, kind)
                            .map(|stream| metrics.stream_failures.with_label_values(&["receive", stream])),
                        slow_after: settings.slow_after,
                        target,
                        kind,
                        is_for_learners: is_for_learners(target, name),
                        started,
                        handled,
                    }),
                )
            })
            .collect();
        Self { by_path }
    }

    /// The method at a path.
    ///
    /// # Errors
    /// The text with which a call of anything else is refused.
    pub fn at(&self, path: &str) -> Result<Arc<Method>, String> {
        if let Some(method) = self.by_path.get(path) {
            return Ok(Arc::clone(method));
        }
        let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
            return Err(format!("malformed method name: {path:?}"));
        };
        let known = UNARY.iter().any(|(name, ..)| *name == service);
        Err(if known {
            format!("unknown method {method} for service {service}")
        } else {
            format!("unknown service {service}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Metrics;

    const SETTINGS: CallSettings = CallSettings {
        measures_handling: true,
        slow_after: Duration::from_millis(300),
    };

    #[test]
    fn every_method_of_the_interface_is_known_and_anything_else_has_etcds_text() {
        let metrics = Metrics::new().expect("metrics register once");
        let methods = Methods::new(&metrics.calls, SETTINGS);
        assert_eq!(methods.by_path.len(), 87);
        let text = |path: &str| methods.at(path).err();
        assert_eq!(text("/etcdserverpb.KV/Range"), None);
        assert_eq!(
            text("/etcdserverpb.KV/Get"),
            Some("unknown method Get for service etcdserverpb.KV".into())
        );
        assert_eq!(
            text("/etcdserverpb.Q/Get"),
            Some("unknown service etcdserverpb.Q".into())
        );
        assert_eq!(text("/Get"), Some("malformed method name: \"/Get\"".into()));
    }

    #[test]
    fn a_call_is_counted_under_its_code() {
        let metrics = Metrics::new().expect("metrics register once");
        let methods = Methods::new(&metrics.calls, SETTINGS);
        let put = methods.at("/etcdserverpb.KV/Put").expect("the method exists");
        put.started();
        put.handled(Code::Unavailable, Duration::from_millis(2), 0, 0);
        let handled = |code| {
            metrics
                .calls
                .handled
                .with_label_values(&["unary", "etcdserverpb.KV", "Put", code])
                .get()
        };
        assert_eq!((handled("Unavailable"), handled("OK")), (1, 0));
        let seconds = metrics.calls.request_seconds.with_label_values(&["Put", "false"]);
        assert_eq!((seconds.get_sample_count(), seconds.get_sample_sum()), (1, 0.002));
    }

    #[test]
    fn the_time_of_calls_is_measured_only_if_asked_for() {
        for measures_handling in [false, true] {
            let metrics = Metrics::new().expect("metrics register once");
            let settings = CallSettings {
                measures_handling,
                ..SETTINGS
            };
            let methods = Methods::new(&metrics.calls, settings);
            let put = methods.at("/etcdserverpb.KV/Put").expect("the method exists");
            put.handled(Code::Ok, Duration::from_millis(2), 0, 0);
            let shown = metrics.registry.gather().iter().any(|family| {
                family.name() == "grpc_server_handling_seconds"
                    && family
                        .get_metric()
                        .iter()
                        .any(|metric| metric.get_histogram().get_sample_count() == 1)
            });
            assert_eq!(shown, measures_handling);
        }
    }
}
