//! Checks on the command line: what is said of those that the cluster does, reports of the others, and maintenance.

use std::collections::HashMap;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{node_or_machine, revision};
use crate::cli::client::Client;
use crate::cli::exit::CliError;
use crate::cli::output::Format;
use crate::config::parse_duration;
use crate::proto::registry::check::Kind;
use crate::proto::registry::probe::Target;
use crate::proto::registry::{
    Alias, Check, GrpcTarget, HeaderValues, HttpTarget, Probe, SetMaintenanceRequest, SocketTarget, Status,
    TimeToLive, TlsOptions, UpdateCheckRequest,
};

/// The checks of a registration.
#[derive(Debug, Clone, Args)]
pub(super) struct CheckArguments {
    /// Have the cluster ask this URL; 2xx passes, 429 warns; each of these may be given several times
    #[arg(long, value_name = "URL")]
    check_http: Vec<String>,
    /// Have the cluster connect to this host:port
    #[arg(long, value_name = "ADDRESS")]
    check_tcp: Vec<String>,
    /// Have the cluster send a datagram to this host:port
    #[arg(long, value_name = "ADDRESS")]
    check_udp: Vec<String>,
    /// Have the cluster ask grpc.health.v1 at this host:port, or host:port/service
    #[arg(long, value_name = "ADDRESS")]
    check_grpc: Vec<String>,
    /// Have the cluster send a ping of HTTP/2 to this host:port
    #[arg(long, value_name = "ADDRESS")]
    check_h2ping: Vec<String>,
    /// Critical unless it is reported every so often (`stead service check`), such as 30s
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    check_ttl: Vec<u64>,
    /// As bad as another instance: its id, or node/id
    #[arg(long, value_name = "INSTANCE")]
    check_alias: Vec<String>,
    /// Time between two times; at least 1s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = milliseconds)]
    check_interval: u64,
    /// Longest time that one may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = milliseconds)]
    check_timeout: u64,
    /// The method of HTTP
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    check_method: String,
    /// A header of HTTP, name=value; may be given several times
    #[arg(long, value_name = "HEADER", value_parser = super::pair)]
    check_header: Vec<(String, String)>,
    /// The body of HTTP
    #[arg(long, value_name = "TEXT", default_value = "")]
    check_body: String,
    /// Take a redirect of HTTP as the answer
    #[arg(long)]
    check_no_redirects: bool,
    /// Speak TLS with --check-tcp, --check-grpc and --check-h2ping
    #[arg(long)]
    check_tls: bool,
    /// Take any certificate
    #[arg(long)]
    check_tls_skip_verify: bool,
    /// The name that the certificate must have
    #[arg(long, value_name = "NAME", default_value = "")]
    check_tls_server_name: String,
    /// Successes in a row before it passes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    check_success_before_passing: u32,
    /// Failures in a row before it warns; 0: as many as before it is critical
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    check_failures_before_warning: u32,
    /// Failures in a row before it is critical
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    check_failures_before_critical: u32,
    /// Deregister the instance when a check was critical for so long; at least 1m
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = milliseconds)]
    check_deregister_after: u64,
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let time = parse_duration(text)
        .filter(|time| time.is_zero() || *time >= Duration::from_millis(1))
        .ok_or("write a time such as 500ms, 10s or 1m")?;
    u64::try_from(time.as_millis()).map_err(|error| error.to_string())
}

impl CheckArguments {
    /// The checks, with the ids that Consul would give them.
    pub(super) fn checks(&self, instance: &str) -> Vec<Check> {
        let kinds = self.kinds();
        let is_one = kinds.len() == 1;
        let checks = (1..).zip(kinds).map(|(number, kind)| Check {
            id: match is_one {
                true => format!("service:{instance}"),
                false => format!("service:{instance}:{number}"),
            },
            name: format!("Service '{instance}' check"),
            kind: Some(kind),
            ..Check::default()
        });
        checks.collect()
    }

    fn kinds(&self) -> Vec<Kind> {
        let mut targets: Vec<Target> = Vec::new();
        let mut headers: HashMap<String, HeaderValues> = HashMap::new();
        for (name, value) in &self.check_header {
            headers
                .entry(name.clone())
                .or_default()
                .values
                .push(value.clone());
        }
        let tls = TlsOptions {
            skip_verify: self.check_tls_skip_verify,
            server_name: self.check_tls_server_name.clone(),
        };
        let socket = |address: &String| SocketTarget {
            address: address.clone(),
            tls: self.check_tls.then(|| tls.clone()),
        };
        targets.extend(self.check_http.iter().map(|url| {
            Target::Http(HttpTarget {
                url: url.clone(),
                method: self.check_method.clone(),
                headers: headers.clone(),
                body: self.check_body.clone(),
                disable_redirects: self.check_no_redirects,
                tls: Some(tls.clone()),
            })
        }));
        targets.extend(self.check_tcp.iter().map(|address| Target::Tcp(socket(address))));
        targets.extend(self.check_udp.iter().map(|address| {
            Target::Udp(SocketTarget {
                address: address.clone(),
                tls: None,
            })
        }));
        targets.extend(self.check_grpc.iter().map(|address| {
            let (address, service) = address.split_once('/').unwrap_or((address, ""));
            Target::Grpc(GrpcTarget {
                address: address.to_owned(),
                service: service.to_owned(),
                tls: self.check_tls.then(|| tls.clone()),
            })
        }));
        targets.extend(
            self.check_h2ping
                .iter()
                .map(|address| Target::H2Ping(socket(address))),
        );
        let probes = targets.into_iter().map(|target| {
            Kind::Probe(Probe {
                target: Some(target),
                interval_milliseconds: self.check_interval,
                timeout_milliseconds: self.check_timeout,
                success_before_passing: self.check_success_before_passing,
                failures_before_warning: self.check_failures_before_warning,
                failures_before_critical: self.check_failures_before_critical,
                deregister_after_milliseconds: self.check_deregister_after,
                maximum_output_bytes: 0,
            })
        });
        let times = self.check_ttl.iter().map(|milliseconds| {
            Kind::Ttl(TimeToLive {
                milliseconds: *milliseconds,
                deregister_after_milliseconds: self.check_deregister_after,
            })
        });
        let aliases = self.check_alias.iter().map(|instance| {
            let (node, instance) = instance.split_once('/').unwrap_or(("", instance));
            Kind::Alias(Alias {
                node: node.to_owned(),
                instance: instance.to_owned(),
            })
        });
        probes.chain(times).chain(aliases).collect()
    }
}

/// A report of a check.
#[derive(Debug, Clone, Args)]
pub(super) struct Report {
    /// The id of the instance
    id: String,
    /// The id of the check, such as service:web
    check: String,
    /// How it is
    #[arg(value_enum)]
    status: Reported,
    /// Why
    #[arg(long, default_value = "")]
    note: String,
    /// The node of the instance; without one, the name of this machine
    #[arg(long)]
    node: Option<String>,
}

/// How a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reported {
    /// Well
    Passing,
    /// Still to be used
    Warning,
    /// Not to be used
    Critical,
}

impl Report {
    /// Reports, and says so.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let node = node_or_machine(self.node.as_deref())?;
        let (status, word) = match self.status {
            Reported::Passing => (Status::Passing, "passing"),
            Reported::Warning => (Status::Warning, "warning"),
            Reported::Critical => (Status::Critical, "critical"),
        };
        let request = UpdateCheckRequest {
            node: node.clone(),
            id: self.id.clone(),
            check: self.check.clone(),
            status: status.into(),
            output: self.note.clone(),
        };
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.registry().update_check(request).await }
            })
            .await?;
        let (id, check) = (&self.id, &self.check);
        format.note(&format!("{check} of {id} on {node} is {word}"), || {
            json!({
                "revision": revision(answer.header.as_ref()),
                "node": node,
                "id": id,
                "check": check,
                "status": word,
            })
        })
    }
}

/// Out of service, or back.
#[derive(Debug, Clone, Args)]
pub(super) struct Maintenance {
    /// The id of the instance; without one, the whole node
    id: Option<String>,
    /// The node; without one, the name of this machine
    #[arg(long)]
    node: Option<String>,
    /// Take it out of service
    #[arg(long, conflicts_with = "disable", required_unless_present = "disable")]
    enable: bool,
    /// Why, for people
    #[arg(long, default_value = "", requires = "enable")]
    reason: String,
    /// Take it back
    #[arg(long)]
    disable: bool,
}

impl Maintenance {
    /// Does it, and says so.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let node = node_or_machine(self.node.as_deref())?;
        let request = SetMaintenanceRequest {
            node: node.clone(),
            id: self.id.clone().unwrap_or_default(),
            enabled: self.enable,
            reason: self.reason.clone(),
        };
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.registry().set_maintenance(request).await }
            })
            .await?;
        let what = match &self.id {
            Some(id) => format!("{id} on {node}"),
            None => format!("node {node}"),
        };
        let word = if self.enable {
            "out of service"
        } else {
            "back in service"
        };
        format.note(&format!("{what} is {word}"), || {
            json!({
                "revision": revision(answer.header.as_ref()),
                "node": node,
                "id": self.id,
                "maintenance": self.enable,
                "reason": self.reason,
            })
        })
    }
}

/// What a check is, in a word, and what it is about.
pub(super) fn kind_json(check: &Check) -> Value {
    let probe = |kind: &str, target: &str, probe: &Probe| {
        json!({
            "kind": kind,
            "target": target,
            "interval_milliseconds": probe.interval_milliseconds,
            "timeout_milliseconds": probe.timeout_milliseconds,
            "success_before_passing": probe.success_before_passing,
            "failures_before_warning": probe.failures_before_warning,
            "failures_before_critical": probe.failures_before_critical,
            "deregister_after_milliseconds": probe.deregister_after_milliseconds,
        })
    };
    match &check.kind {
        None => json!({"kind": "reported"}),
        Some(Kind::Maintenance(_)) => json!({"kind": "maintenance"}),
        Some(Kind::Ttl(ttl)) => json!({
            "kind": "ttl",
            "milliseconds": ttl.milliseconds,
            "deregister_after_milliseconds": ttl.deregister_after_milliseconds,
        }),
        Some(Kind::Alias(alias)) => json!({
            "kind": "alias",
            "node": alias.node,
            "instance": alias.instance,
        }),
        Some(Kind::Probe(found)) => match &found.target {
            Some(Target::Http(http)) => probe("http", &http.url, found),
            Some(Target::Tcp(socket)) => probe("tcp", &socket.address, found),
            Some(Target::Udp(socket)) => probe("udp", &socket.address, found),
            Some(Target::H2Ping(socket)) => probe("h2ping", &socket.address, found),
            Some(Target::Grpc(grpc)) => probe("grpc", &format!("{}/{}", grpc.address, grpc.service), found),
            Some(Target::Script(_) | Target::DockerContainer(_)) | None => probe("unknown", "", found),
        },
    }
}
