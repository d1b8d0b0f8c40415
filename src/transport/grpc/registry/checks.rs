//! Checks of `stead.registry.v1`: definitions and states. Translation only.

use super::{check_status, wire_status};
use crate::proto::registry as wire;
use crate::service::registry::{
    Alias, Check, CheckDefinition, CheckKind, CheckState, HttpTarget, NewCheck, Probe, RegistryError,
    Status as CheckStatus, Target, TargetTls, TimeToLive,
};

/// Checks of a request.
///
/// # Errors
/// A status or a kind that cannot be.
pub(super) fn new_checks(checks: Vec<wire::Check>) -> Result<Vec<NewCheck>, RegistryError> {
    let checks = checks.into_iter().map(|check| {
        let found = check_status(check.status)?;
        Ok(NewCheck {
            definition: CheckDefinition {
                id: check.id,
                name: check.name,
                notes: check.notes,
                kind: kind(check.kind)?,
            },
            state: CheckState {
                // Nothing is known to be well until somebody says so.
                status: found.unwrap_or(CheckStatus::Critical),
                output: check.output,
            },
        })
    });
    checks.collect()
}

fn kind(kind: Option<wire::check::Kind>) -> Result<CheckKind, RegistryError> {
    use wire::check::Kind;
    Ok(match kind {
        None => CheckKind::Reported,
        Some(Kind::Ttl(ttl)) => CheckKind::TimeToLive(TimeToLive {
            milliseconds: ttl.milliseconds,
            deregister_after_milliseconds: ttl.deregister_after_milliseconds,
        }),
        Some(Kind::Probe(probe)) => CheckKind::Probe(Box::new(self::probe(probe)?)),
        Some(Kind::Alias(alias)) => CheckKind::Alias(Alias {
            node: alias.node,
            instance: alias.instance,
        }),
        Some(Kind::Maintenance(_)) => {
            return Err(RegistryError::Invalid {
                field: "the kind of a check",
                value: "maintenance".into(),
                reason: "a maintenance is made with SetMaintenance",
            });
        }
    })
}

fn probe(probe: wire::Probe) -> Result<Probe, RegistryError> {
    use wire::probe::Target as Wire;
    let target = match probe.target {
        None => {
            return Err(RegistryError::Missing {
                field: "the target of a check",
            });
        }
        Some(Wire::Http(http)) => {
            let headers = http.headers.into_iter();
            Target::Http(HttpTarget {
                url: http.url,
                method: http.method,
                headers: headers.map(|(name, values)| (name, values.values)).collect(),
                body: http.body,
                disable_redirects: http.disable_redirects,
                tls: http.tls.map(target_tls).unwrap_or_default(),
            })
        }
        Some(Wire::Tcp(socket)) => Target::Tcp {
            address: socket.address,
            tls: socket.tls.map(target_tls),
        },
        Some(Wire::Udp(socket)) if socket.tls.is_some() => {
            return Err(RegistryError::Invalid {
                field: "TLS of a check",
                value: socket.address,
                reason: "datagrams are sent without it",
            });
        }
        Some(Wire::Udp(socket)) => Target::Udp {
            address: socket.address,
        },
        Some(Wire::Grpc(grpc)) => Target::Grpc {
            address: grpc.address,
            service: grpc.service,
            tls: grpc.tls.map(target_tls),
        },
        Some(Wire::H2Ping(socket)) => Target::H2Ping {
            address: socket.address,
            tls: socket.tls.map(target_tls),
        },
        Some(Wire::Script(_)) => return Err(RegistryError::Program { what: "a script" }),
        Some(Wire::DockerContainer(_)) => {
            return Err(RegistryError::Program {
                what: "a program in a container",
            });
        }
    };
    Ok(Probe {
        target,
        interval_milliseconds: probe.interval_milliseconds,
        timeout_milliseconds: probe.timeout_milliseconds,
        success_before_passing: probe.success_before_passing,
        failures_before_warning: probe.failures_before_warning,
        failures_before_critical: probe.failures_before_critical,
        deregister_after_milliseconds: probe.deregister_after_milliseconds,
        maximum_output_bytes: probe.maximum_output_bytes,
    })
}

fn target_tls(tls: wire::TlsOptions) -> TargetTls {
    TargetTls {
        skip_verify: tls.skip_verify,
        server_name: tls.server_name,
    }
}

/// Checks of an answer.
pub(super) fn wire_checks(checks: &[Check]) -> Vec<wire::Check> {
    let checks = checks.iter().map(|check| wire::Check {
        id: check.definition.id.clone(),
        name: check.definition.name.clone(),
        notes: check.definition.notes.clone(),
        status: wire_status(check.state.status),
        output: check.state.output.clone(),
        create_revision: check.create_revision.0,
        modify_revision: check.modification_revision().0,
        kind: wire_kind(&check.definition.kind),
    });
    checks.collect()
}

fn wire_kind(kind: &CheckKind) -> Option<wire::check::Kind> {
    use wire::check::Kind;
    match kind {
        CheckKind::Reported => None,
        CheckKind::Maintenance => Some(Kind::Maintenance(true)),
        CheckKind::TimeToLive(ttl) => Some(Kind::Ttl(wire::TimeToLive {
            milliseconds: ttl.milliseconds,
            deregister_after_milliseconds: ttl.deregister_after_milliseconds,
        })),
        CheckKind::Probe(probe) => Some(Kind::Probe(wire_probe(probe))),
        CheckKind::Alias(alias) => Some(Kind::Alias(wire::Alias {
            node: alias.node.clone(),
            instance: alias.instance.clone(),
        })),
    }
}

fn wire_probe(probe: &Probe) -> wire::Probe {
    use wire::probe::Target as Wire;
    let socket = |address: &str, tls: Option<&TargetTls>| wire::SocketTarget {
        address: address.to_owned(),
        tls: tls.map(wire_tls),
    };
    let target = match &probe.target {
        Target::Http(http) => {
            let headers = http.headers.iter().map(|(name, values)| {
                let values = values.clone();
                (name.clone(), wire::HeaderValues { values })
            });
            Wire::Http(wire::HttpTarget {
                url: http.url.clone(),
                method: http.method.clone(),
                headers: headers.collect(),
                body: http.body.clone(),
                disable_redirects: http.disable_redirects,
                tls: (http.tls != TargetTls::default()).then(|| wire_tls(&http.tls)),
            })
        }
        Target::Tcp { address, tls } => Wire::Tcp(socket(address, tls.as_ref())),
        Target::Udp { address } => Wire::Udp(socket(address, None)),
        Target::H2Ping { address, tls } => Wire::H2Ping(socket(address, tls.as_ref())),
        Target::Grpc {
            address,
            service,
            tls,
        } => Wire::Grpc(wire::GrpcTarget {
            address: address.clone(),
            service: service.clone(),
            tls: tls.as_ref().map(wire_tls),
        }),
    };
    wire::Probe {
        target: Some(target),
        interval_milliseconds: probe.interval_milliseconds,
        timeout_milliseconds: probe.timeout_milliseconds,
        success_before_passing: probe.success_before_passing,
        failures_before_warning: probe.failures_before_warning,
        failures_before_critical: probe.failures_before_critical,
        deregister_after_milliseconds: probe.deregister_after_milliseconds,
        maximum_output_bytes: probe.maximum_output_bytes,
    }
}

fn wire_tls(tls: &TargetTls) -> wire::TlsOptions {
    wire::TlsOptions {
        skip_verify: tls.skip_verify,
        server_name: tls.server_name.clone(),
    }
}
