//! The metrics of a node in the form in which Vault tells its own.
//!
//! Gauges and counters are told as they stand, histograms by their sums. Never tells a rate or a spread: nothing here knows
//! when values came.

use std::time::Duration;

use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Map, Value, json};

use crate::service::secrets::engine::times::rfc3339;

/// All of them, at a time since 1970.
#[must_use]
pub fn shown(families: &[MetricFamily], now: Duration) -> Value {
    let (mut gauges, mut counters, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    for family in families {
        for metric in family.get_metric() {
            let (kind, said) = match family.get_field_type() {
                MetricType::COUNTER => {
                    let value = metric.get_counter().get_value();
                    (&mut counters, json!({"Count": value, "Sum": value}))
                }
                MetricType::GAUGE => (&mut gauges, json!({"Value": metric.get_gauge().get_value()})),
                MetricType::HISTOGRAM => {
                    let histogram = metric.get_histogram();
                    let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
                    (&mut samples, json!({"Count": count, "Sum": sum}))
                }
                // The registry has none.
                MetricType::SUMMARY | MetricType::UNTYPED => continue,
            };
            kind.push(named(family.name(), metric, said));
        }
    }
    json!({
        "Timestamp": timestamp(now),
        "Gauges": gauges,
        "Points": [],
        "Counters": counters,
        "Samples": samples,
    })
}

fn named(name: &str, metric: &Metric, mut said: Value) -> Value {
    let labels = metric.get_label().iter();
    let labels: Map<String, Value> = labels
        .map(|label| (label.name().to_owned(), Value::from(label.value())))
        .collect();
    if let Value::Object(fields) = &mut said {
        fields.insert("Name".to_owned(), Value::from(name));
        fields.insert("Labels".to_owned(), Value::Object(labels));
    }
    said
}

/// A time to the second, as Go writes it: `2026-01-02 03:04:05 +0000 UTC`.
fn timestamp(now: Duration) -> String {
    let written = rfc3339(Duration::from_secs(now.as_secs()));
    let (day, time) = written.split_once('T').unwrap_or((&written, ""));
    let time = time.split('.').next().unwrap_or_default();
    format!("{day} {time} +0000 UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::metrics::Metrics;

    #[test]
    fn every_kind_of_metric_is_told_with_its_labels_and_its_value() {
        let metrics = Metrics::new().expect("metrics register once");
        metrics.secrets.sealed.set(0);
        metrics.secrets.requests.with_label_values(&["served"]).inc_by(3);
        metrics.log_fsync_seconds.observe(0.5);
        metrics.log_fsync_seconds.observe(0.25);
        let told = shown(&metrics.registry.gather(), Duration::from_secs(1_767_323_045));
        assert_eq!(told["Timestamp"], "2026-01-02 03:04:05 +0000 UTC");
        assert_eq!(told["Points"], json!([]));
        let holds = |list: &str, wanted: Value| {
            let all = told[list].as_array().expect("a list");
            assert!(all.contains(&wanted), "{list} has not {wanted}: {told}");
        };
        holds(
            "Gauges",
            json!({"Name": "stead_secrets_sealed", "Value": 0.0, "Labels": {}}),
        );
        holds(
            "Counters",
            json!({"Name": "stead_secrets_requests_total", "Count": 3.0, "Sum": 3.0, "Labels": {"outcome": "served"}}),
        );
        holds(
            "Samples",
            json!({"Name": "etcd_disk_wal_fsync_duration_seconds", "Count": 2, "Sum": 0.75, "Labels": {}}),
        );
    }
}
