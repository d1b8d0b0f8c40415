//! Makes metrics and registers them, each once. Never measures.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    exponential_buckets,
};

use super::MetricsError;

/// The buckets of a histogram as etcd's source gives them: the first bound, the factor to the next, how many.
pub(super) type Buckets = (f64, f64, usize);

/// Where metrics are registered.
pub(super) struct Register<'registry>(pub &'registry Registry);

impl Register<'_> {
    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M, MetricsError> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.add(IntGauge::new(name, help)?)
    }

    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricsError> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.add(IntCounter::new(name, help)?)
    }

    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, MetricsError> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: Buckets) -> Result<Histogram, MetricsError> {
        self.add(Histogram::with_opts(options(name, help, buckets)?)?)
    }

    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: Buckets,
    ) -> Result<HistogramVec, MetricsError> {
        self.add(HistogramVec::new(options(name, help, buckets)?, labels)?)
    }

    pub fn histograms_with_bounds(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.add(HistogramVec::new(options, labels)?)
    }
}

fn options(name: &str, help: &str, (first, factor, count): Buckets) -> Result<HistogramOpts, MetricsError> {
    Ok(HistogramOpts::new(name, help).buckets(exponential_buckets(first, factor, count)?))
}
