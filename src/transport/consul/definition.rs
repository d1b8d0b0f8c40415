//! What a check is, as requests say it and answers show it.
//!
//! What would have a member run a program is refused. Whether a target may be asked is decided by the registry.

use std::time::Duration;

use serde_json::{Value, json};

use super::fields::Fields;
use super::parameters::shown as time_shown;
use super::shapes;
use crate::service::consul::ConsulError;
use crate::service::registry::{
    Alias, CheckDefinition, CheckKind, CheckState, HttpTarget, NewCheck, Probe, Status, Target, TargetTls,
    TimeToLive,
};

fn invalid(reason: &str) -> ConsulError {
    ConsulError::Invalid(format!("Invalid check: {reason}"))
}

/// How a check that says neither how it is done nor who reports it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    /// It is refused.
    Refused,
    /// Somebody reports it.
    Reported,
}

/// A check that is registered. Its id and name are what is said, maybe nothing.
///
/// # Errors
/// What of it cannot be.
pub(super) fn parse(fields: &Fields, otherwise: Otherwise) -> Result<NewCheck, ConsulError> {
    let text = |name: &str| -> Result<String, ConsulError> { Ok(fields.text(name)?.unwrap_or_default()) };
    let status = match text("Status")?.as_str() {
        "" => Status::Critical,
        name => shapes::status_of(name).ok_or_else(|| {
            ConsulError::Invalid("Bad check status: it must be 'passing', 'warning' or 'critical'".to_owned())
        })?,
    };
    let id = match fields.text("CheckID")? {
        Some(id) if !id.is_empty() => id,
        _ => text("ID")?,
    };
    Ok(NewCheck {
        definition: CheckDefinition {
            id,
            name: text("Name")?,
            notes: text("Notes")?,
            kind: kind(fields, otherwise)?,
        },
        state: CheckState {
            status,
            output: text("Output")?,
        },
    })
}

/// Milliseconds; a part of one counts as one.
fn milliseconds(fields: &Fields, name: &str) -> Result<u64, ConsulError> {
    match fields.nanoseconds(name)? {
        None => Ok(0),
        Some(nanoseconds) => u64::try_from(nanoseconds)
            .map(|nanoseconds| nanoseconds.div_ceil(1_000_000))
            .map_err(|_| invalid(&format!("{name} must not be negative"))),
    }
}

fn count(fields: &Fields, name: &str) -> Result<u32, ConsulError> {
    let number = fields.number(name)?.unwrap_or_default();
    u32::try_from(number).map_err(|_| invalid(&format!("{name} is {number}, which is too large")))
}

fn kind(fields: &Fields, otherwise: Otherwise) -> Result<CheckKind, ConsulError> {
    let given = |name: &str| -> Result<Option<String>, ConsulError> {
        Ok(fields.text(name)?.filter(|text| !text.is_empty()))
    };
    let has_arguments = |name: &str| -> Result<bool, ConsulError> {
        Ok(fields.texts(name)?.is_some_and(|items| !items.is_empty()))
    };
    if given("Script")?.is_some() || has_arguments("Args")? || has_arguments("ScriptArgs")? {
        return Err(invalid(
            "Scripts are disabled on this agent: a member of the cluster runs no programs for its clients; report the \
             status of a check with a TTL instead",
        ));
    }
    for name in ["DockerContainerID", "OSService"] {
        if given(name)?.is_some() {
            return Err(invalid(&format!(
                "{name} is not supported; report the status of a check with a TTL instead"
            )));
        }
    }
    let tls = TargetTls {
        skip_verify: fields.switch("TLSSkipVerify")?,
        server_name: given("TLSServerName")?.unwrap_or_default(),
    };
    let tls_if = |switch: bool| switch.then(|| tls.clone());
    let mut targets = Vec::new();
    if let Some(url) = given("HTTP")? {
        targets.push(Target::Http(HttpTarget {
            url,
            method: given("Method")?.unwrap_or_default(),
            headers: fields.text_lists("Header")?.unwrap_or_default(),
            body: fields.text("Body")?.unwrap_or_default(),
            disable_redirects: fields.switch("DisableRedirects")?,
            tls: tls.clone(),
        }));
    }
    if let Some(address) = given("TCP")? {
        let tls = tls_if(fields.switch("TCPUseTLS")?);
        targets.push(Target::Tcp { address, tls });
    }
    if let Some(address) = given("UDP")? {
        targets.push(Target::Udp { address });
    }
    if let Some(address) = given("GRPC")? {
        let (address, service) = match address.split_once('/') {
            Some((address, service)) => (address.to_owned(), service.to_owned()),
            None => (address, String::new()),
        };
        let tls = tls_if(fields.switch("GRPCUseTLS")?);
        targets.push(Target::Grpc {
            address,
            service,
            tls,
        });
    }
    if let Some(address) = given("H2PING")? {
        // With TLS unless it is said otherwise (Consul).
        let tls = tls_if(!fields.has("H2PingUseTLS") || fields.switch("H2PingUseTLS")?);
        targets.push(Target::H2Ping { address, tls });
    }
    let alias = Alias {
        node: given("AliasNode")?.unwrap_or_default(),
        instance: given("AliasService")?.unwrap_or_default(),
    };
    let is_alias = !alias.node.is_empty() || !alias.instance.is_empty();
    let ttl = milliseconds(fields, "TTL")?;
    let interval = milliseconds(fields, "Interval")?;
    let kinds = targets.len() + usize::from(is_alias) + usize::from(ttl > 0 && targets.is_empty());
    match (kinds, targets.pop()) {
        (2.., _) => Err(invalid(
            "a check is of one kind: give one of TTL, HTTP, TCP, UDP, GRPC, H2PING, AliasNode and AliasService",
        )),
        (_, Some(_)) if ttl > 0 => Err(invalid("Cannot have both an Interval check and a TTL")),
        (_, Some(_)) if interval == 0 => Err(invalid(
            "Interval must be > 0 for HTTP, H2PING, TCP, UDP or GRPC checks",
        )),
        (_, Some(target)) => {
            let mut probe = Probe::new(target, Duration::from_millis(interval));
            probe.timeout_milliseconds = milliseconds(fields, "Timeout")?;
            probe.success_before_passing = count(fields, "SuccessBeforePassing")?;
            probe.failures_before_warning = count(fields, "FailuresBeforeWarning")?;
            probe.failures_before_critical = count(fields, "FailuresBeforeCritical")?;
            probe.deregister_after_milliseconds = milliseconds(fields, "DeregisterCriticalServiceAfter")?;
            probe.maximum_output_bytes = count(fields, "OutputMaxSize")?;
            Ok(CheckKind::Probe(Box::new(probe)))
        }
        (_, None) if is_alias => Ok(CheckKind::Alias(alias)),
        (_, None) if ttl > 0 => Ok(CheckKind::TimeToLive(TimeToLive {
            milliseconds: ttl,
            deregister_after_milliseconds: milliseconds(fields, "DeregisterCriticalServiceAfter")?,
        })),
        _ if otherwise == Otherwise::Reported => Ok(CheckKind::Reported),
        _ if interval > 0 => Err(invalid(
            "an Interval alone is no check; give one of HTTP, TCP, UDP, GRPC and H2PING with it",
        )),
        _ => Err(invalid("TTL must be > 0 for TTL checks")),
    }
}

fn shown_milliseconds(milliseconds: u64) -> String {
    match i64::try_from(milliseconds.saturating_mul(1_000_000)) {
        Ok(0) | Err(_) => String::new(),
        Ok(nanoseconds) => time_shown(nanoseconds),
    }
}

/// The interval and the timeout of a check, as Go shows times; empty where it has none.
pub(super) fn times(kind: &CheckKind) -> (String, String) {
    match kind {
        CheckKind::Probe(probe) => (
            shown_milliseconds(probe.interval_milliseconds),
            shown_milliseconds(probe.timeout_milliseconds),
        ),
        _ => (String::new(), String::new()),
    }
}

/// What a check is; nothing for one that somebody reports.
pub(super) fn shown(kind: &CheckKind) -> Value {
    let CheckKind::Probe(probe) = kind else {
        return json!({});
    };
    let (interval, timeout) = times(kind);
    let mut shown = match &probe.target {
        Target::Http(http) => json!({
            "HTTP": http.url,
            "Method": http.method,
            "Header": http.headers,
            "Body": http.body,
            "DisableRedirects": http.disable_redirects,
            "TLSSkipVerify": http.tls.skip_verify,
            "TLSServerName": http.tls.server_name,
        }),
        Target::Tcp { address, tls } => json!({"TCP": address, "TCPUseTLS": tls.is_some()}),
        Target::Udp { address } => json!({"UDP": address}),
        Target::Grpc {
            address,
            service,
            tls,
        } => {
            let address = match service.is_empty() {
                true => address.clone(),
                false => format!("{address}/{service}"),
            };
            json!({"GRPC": address, "GRPCUseTLS": tls.is_some()})
        }
        Target::H2Ping { address, tls } => json!({"H2PING": address, "H2PingUseTLS": tls.is_some()}),
    };
    if let Value::Object(fields) = &mut shown {
        fields.insert("Interval".into(), interval.into());
        if !timeout.is_empty() {
            fields.insert("Timeout".into(), timeout.into());
        }
        let after = shown_milliseconds(probe.deregister_after_milliseconds);
        if !after.is_empty() {
            fields.insert("DeregisterCriticalServiceAfter".into(), after.into());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(body: &str) -> Result<CheckKind, String> {
        let fields = Fields::parse(body.as_bytes()).unwrap();
        let parsed = parse(&fields, Otherwise::Refused);
        parsed
            .map(|check| check.definition.kind)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn each_kind_is_told_by_its_field() {
        for (body, name) in [
            (r#"{"TTL":"100ms"}"#, "ttl"),
            (r#"{"ttl":30000000000}"#, "ttl"),
            (
                r#"{"http":"http://h/","interval":"10s","header":{"X-A":["b"]}}"#,
                "http",
            ),
            (r#"{"TCP":"h:1","Interval":"1s"}"#, "tcp"),
            (r#"{"UDP":"h:1","Interval":"1s"}"#, "udp"),
            (r#"{"GRPC":"h:1/s","Interval":"1s","GRPCUseTLS":true}"#, "grpc"),
            (r#"{"H2PING":"h:1","Interval":"1s"}"#, "h2ping"),
            (r#"{"AliasService":"web"}"#, "alias"),
        ] {
            assert_eq!(kind_of(body).unwrap().name(), name, "{body}");
        }
        let Ok(CheckKind::TimeToLive(ttl)) = kind_of(r#"{"TTL":"100ms"}"#) else {
            panic!()
        };
        assert_eq!(ttl.milliseconds, 100);
    }

    #[test]
    fn what_is_no_check_is_refused_and_says_why() {
        for (body, reason) in [
            ("{}", "Invalid check: TTL must be > 0"),
            (r#"{"HTTP":"http://h/"}"#, "Invalid check: Interval must be > 0"),
            (
                r#"{"HTTP":"http://h/","TCP":"h:1","Interval":"1s"}"#,
                "Invalid check: a check is of one kind",
            ),
            (
                r#"{"HTTP":"http://h/","TTL":"1s","Interval":"1s"}"#,
                "Invalid check: Cannot have both",
            ),
            (r#"{"Interval":"1s"}"#, "Invalid check: an Interval alone"),
            (
                r#"{"Args":["true"],"Interval":"1s"}"#,
                "Invalid check: Scripts are disabled",
            ),
            (
                r#"{"script":"true","Interval":"1s"}"#,
                "Invalid check: Scripts are disabled",
            ),
            (
                r#"{"docker_container_id":"x","Interval":"1s"}"#,
                "Invalid check: DockerContainerID",
            ),
            (r#"{"TTL":"-1s"}"#, "Invalid check: TTL must not be negative"),
            (r#"{"TTL":"1s","Status":"fine"}"#, "Bad check status"),
        ] {
            let error = kind_of(body).unwrap_err();
            assert!(error.starts_with(reason), "{body}: {error}");
        }
    }

    #[test]
    fn a_probe_is_shown_as_it_was_asked_for() {
        let kind = kind_of(r#"{"GRPC":"h:1/s","Interval":"90s","Timeout":"500ms"}"#).unwrap();
        assert_eq!(times(&kind), ("1m30s".into(), "500ms".into()));
        let wanted = json!({"GRPC": "h:1/s", "GRPCUseTLS": false, "Interval": "1m30s", "Timeout": "500ms"});
        assert_eq!(shown(&kind), wanted);
    }
}
