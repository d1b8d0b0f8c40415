//! What clients call: how often, how much, how long. Never knows a method's meaning.

use prometheus::{HistogramVec, IntCounter, IntCounterVec};

use super::MetricsError;
use super::register::Register;

/// The labels of a method.
const METHOD: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];

/// The bounds of buckets that Prometheus' libraries take if none are given, in seconds.
const LIBRARY_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The calls of clients.
#[derive(Clone)]
pub struct CallMetrics {
    /// Calls begun, by kind, service and method.
    pub started: IntCounterVec,
    /// Calls ended, by kind, service, method and outcome.
    pub handled: IntCounterVec,
    /// Messages received, by kind, service and method.
    pub received_messages: IntCounterVec,
    /// Messages sent, by kind, service and method.
    pub sent_messages: IntCounterVec,
    /// Seconds from the beginning to the answer, or to the end of a stream, by kind, service and method. Filled only if asked
    /// for (`--metrics=extensive`).
    pub handling_seconds: HistogramVec,
    /// Seconds from the beginning of a call with one answer to that answer, by method and whether it succeeded.
    pub request_seconds: HistogramVec,
    /// Calls by `unary` or `stream`, and by the version that the client says it has.
    pub by_client_version: IntCounterVec,
    /// Bytes of calls received from clients.
    pub received_bytes: IntCounter,
    /// Bytes of calls sent to clients.
    pub sent_bytes: IntCounter,
    /// Streams that broke, by direction and what they are.
    pub stream_failures: IntCounterVec,
}

impl CallMetrics {
    pub(super) fn new(register: &Register<'_>) -> Result<Self, MetricsError> {
        Ok(Self {
            started: register.counters("grpc_server_started_total", "Calls begun.", METHOD)?,
            handled: register.counters(
                "grpc_server_handled_total",
                "Calls ended.",
                &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
            )?,
            received_messages: register.counters(
                "grpc_server_msg_received_total",
                "Messages received from clients.",
                METHOD,
            )?,
            sent_messages: register.counters(
                "grpc_server_msg_sent_total",
                "Messages sent to clients.",
                METHOD,
            )?,
            handling_seconds: register.histograms_with_bounds(
                "grpc_server_handling_seconds",
                "Time until a call is answered, or its stream ends.",
                METHOD,
                &LIBRARY_BUCKETS,
            )?,
            request_seconds: register.histograms(
                "etcd_server_request_duration_seconds",
                "Time until a request is answered.",
                &["type", "success"],
                (0.001, 2.0, 14),
            )?,
            by_client_version: register.counters(
                "etcd_server_client_requests_total",
                "Calls by the version that the client says it has.",
                &["type", "client_api_version"],
            )?,
            received_bytes: register.counter(
                "etcd_network_client_grpc_received_bytes_total",
                "Bytes of calls received from clients.",
            )?,
            sent_bytes: register.counter(
                "etcd_network_client_grpc_sent_bytes_total",
                "Bytes of calls sent to clients.",
            )?,
            stream_failures: register.counters(
                "etcd_network_server_stream_failures_total",
                "Streams of clients that broke.",
                &["Type", "API"],
            )?,
        })
    }
}
