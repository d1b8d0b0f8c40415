//! Probes of the checks of services: asks a target once, within the time it has, and says how it is.
//!
//! Never remembers anything and never writes: what becomes of an outcome is decided by [`crate::service::checks`].

mod dial;
mod grpc;
mod h2_ping;
mod http;
#[cfg(test)]
mod tests;
mod udp;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use dial::Dialer;

use crate::base::limits::MAXIMUM_CHECK_OUTPUT_BYTES;
use crate::service::checks::{Policy, Prober};
use crate::service::registry::{CheckState, Probe, Status, Target};

/// Asks what checks are about.
pub struct Probes {
    dialer: Dialer,
}

impl Probes {
    /// Goes where `policy` lets it.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            dialer: Dialer::new(policy),
        }
    }
}

impl Prober for Probes {
    fn ask<'probe>(&'probe self, probe: &'probe Probe) -> BoxFuture<'probe, CheckState> {
        run(&self.dialer, probe).boxed()
    }
}

/// Asks once.
async fn run(dialer: &Dialer, probe: &Probe) -> CheckState {
    let limit = probe.timeout();
    let asked = tokio::time::timeout(limit, ask(dialer, probe, limit)).await;
    let (status, mut output) = match asked {
        Ok(Ok(well)) => well,
        Ok(Err(reason)) => (Status::Critical, reason),
        Err(_) => {
            let limit = humantime::format_duration(limit);
            (
                Status::Critical,
                format!("{}: no answer within {limit}", shown(&probe.target)),
            )
        }
    };
    truncate(&mut output, MAXIMUM_CHECK_OUTPUT_BYTES);
    CheckState { status, output }
}

async fn ask(dialer: &Dialer, probe: &Probe, limit: Duration) -> Result<(Status, String), String> {
    let what = shown(&probe.target);
    let passing = |words: &str| (Status::Passing, format!("{what}: {words}"));
    let named = |reason: String| format!("{what}: {reason}");
    match &probe.target {
        Target::Http(target) => http::ask(dialer, target, probe.output_bytes())
            .await
            .map_err(named),
        Target::Tcp { address, tls } => {
            dialer.connect(address, tls.as_ref()).await.map_err(named)?;
            Ok(passing("Success"))
        }
        Target::Udp { address } => {
            udp::ask(dialer, address, limit).await.map_err(named)?;
            Ok(passing("Success"))
        }
        Target::Grpc {
            address,
            service,
            tls,
        } => {
            grpc::ask(dialer, address, service, tls.as_ref())
                .await
                .map_err(named)?;
            Ok(passing("success"))
        }
        Target::H2Ping { address, tls } => {
            h2_ping::ask(dialer, address, tls.as_ref()).await.map_err(named)?;
            Ok(passing("success"))
        }
    }
}

/// What is asked, for people.
fn shown(target: &Target) -> String {
    match target {
        Target::Http(http) => format!("HTTP {} {}", http::method(http), http.url),
        Target::Tcp { address, .. } => format!("TCP connect {address}"),
        Target::Udp { address } => format!("UDP connect {address}"),
        Target::Grpc { address, service, .. } if service.is_empty() => format!("gRPC check {address}"),
        Target::Grpc { address, service, .. } => format!("gRPC check {address}/{service}"),
        Target::H2Ping { address, .. } => format!("HTTP2 ping {address}"),
    }
}

/// Cuts text off at the last character that fits whole.
fn truncate(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
}
