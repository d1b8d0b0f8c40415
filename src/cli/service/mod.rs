//! `stead service`: registers, shows and follows what offers services.
//!
//! Never keeps an instance alive: what is registered with `--ttl` needs heartbeats from somebody else.

mod checks;
mod registration;
mod run;
mod show;
mod watch;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use self::checks::{Maintenance, Report};
use self::registration::{RegistrationArguments, node_or_machine, pair};
use self::show::{instance_json, instance_line, service_json, service_line};
use super::exit::{CliError, Exit};
use super::output::Format;
use crate::base::LeaseId;
use crate::base::limits::MAXIMUM_LEASE_TTL_SECONDS;
use crate::client::{Client, ClientError};
use crate::proto::registry::{
    self, DeregisterRequest, Filter, Header, Instance, ListRequest, ListServicesRequest, RegisterRequest,
    Status,
};

/// The arguments of `stead service`.
#[derive(Debug, Clone, Args)]
pub(super) struct Service {
    #[command(subcommand)]
    command: ServiceCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum ServiceCommand {
    /// Make an instance of a service known
    #[command(after_help = "Examples:
  stead service register --name web --address 10.0.0.1 --port 8080
  stead service register --name web --id web-2 --node host7 --address 10.0.0.7 --port 8080 --tag v2 --meta zone=a
  stead service register --name web --address 10.0.0.1 --port 8080 --check-http http://10.0.0.1:8080/health --check-interval 5s
  stead service register --name job --address 10.0.0.1 --check-ttl 30s --check-deregister-after 10m")]
    Register(Box<Register>),
    /// Register an instance for as long as a command runs
    #[command(
        after_help = "The command finds what was registered in STEAD_SERVICE_NAME, STEAD_SERVICE_ID, STEAD_SERVICE_NODE,
STEAD_SERVICE_ADDRESS and STEAD_SERVICE_PORT. It is deregistered when the command ends; SIGTERM
is passed on once it is deregistered. If this process is killed, the instance is gone within its
time to live and a second, and the command is ended with SIGTERM (on Linux). If somebody else
deregisters it, it stays so, and the command goes on. The exit code is that of the command.

Examples:
  stead service run --name web --address 10.0.0.1 --port 8080 -- ./my-server --listen 8080
  stead service run --name web --port 8080 --address 10.0.0.1 --check-tcp 10.0.0.1:8080 -- ./my-server
  stead service run --name web --id web-2 --port 8081 --ttl 5 -- sh -c 'exec ./my-server $STEAD_SERVICE_PORT'"
    )]
    Run(Box<run::Run>),
    /// Take an instance away for good
    #[command(after_help = "Examples:
  stead service deregister web
  stead service deregister web-2 --node host7")]
    Deregister(Deregister),
    /// Report how a check is, of those that nobody else finds out
    #[command(after_help = "Examples:
  stead service check web service:web passing
  stead service check web service:web critical --note 'no database' --node host7")]
    Check(Report),
    /// Take an instance, or all of a node, out of service or back
    #[command(after_help = "Examples:
  stead service maintenance web --enable --reason 'new disk'
  stead service maintenance web --disable
  stead service maintenance --node host7 --enable")]
    Maintenance(Maintenance),
    /// Show all services, or the instances of one
    #[command(after_help = "Examples:
  stead service list
  stead service list web --tag v2 --status passing")]
    List {
        #[command(flatten)]
        wanted: Wanted,
        /// Show what the server that is asked knows, which may be old
        #[arg(long)]
        stale: bool,
    },
    /// Show instances and their changes as they happen, until ctrl-C
    #[command(after_help = "Examples:
  stead service watch
  stead service watch web --status passing -o json
  stead service watch web --rev 42")]
    Watch {
        #[command(flatten)]
        wanted: Wanted,
        /// Go on after this revision instead of showing what is there
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        rev: i64,
    },
    /// Show how the instances of a service are; fails unless one of them is well
    #[command(after_help = "Examples:
  stead service health web
  stead service health web --tag v2 -o json")]
    Health {
        #[command(flatten)]
        wanted: Wanted,
    },
}

/// What is registered.
#[derive(Debug, Clone, Args)]
struct Register {
    #[command(flatten)]
    registration: RegistrationArguments,
    /// Seconds after which it is gone if no heartbeat comes (`stead lease keep-alive`); 0: it stays
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..=MAXIMUM_LEASE_TTL_SECONDS))]
    ttl: i64,
    /// Change the registration with this epoch instead of making a new one
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    epoch: i64,
}

/// What is deregistered.
#[derive(Debug, Clone, Args)]
struct Deregister {
    /// The id of the instance
    id: String,
    /// Its node; without one, the name of this machine
    #[arg(long)]
    node: Option<String>,
    /// Only the registration with this epoch
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    epoch: i64,
}

/// Which instances are shown.
#[derive(Debug, Clone, Args)]
struct Wanted {
    /// The service; without one, all
    name: Option<String>,
    /// On this node
    #[arg(long)]
    node: Option<String>,
    /// With this tag; may be given several times
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// With this pair of metadata, key=value; may be given several times
    #[arg(long = "meta", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// In no worse state than this
    #[arg(long, value_enum)]
    status: Option<WorstStatus>,
}

/// How well an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WorstStatus {
    /// All its checks pass
    Passing,
    /// None is critical
    Warning,
    /// However it is
    Critical,
}

impl Wanted {
    fn filter(&self) -> Filter {
        let status = match self.status {
            None => Status::Unspecified,
            Some(WorstStatus::Passing) => Status::Passing,
            Some(WorstStatus::Warning) => Status::Warning,
            Some(WorstStatus::Critical) => Status::Critical,
        };
        Filter {
            service: self.name.clone().unwrap_or_default(),
            node: self.node.clone().unwrap_or_default(),
            tags: self.tags.clone(),
            metadata: self.metadata.iter().cloned().collect(),
            worst_status: status.into(),
        }
    }
}

fn revision(header: Option<&Header>) -> i64 {
    header.map_or(0, |header| header.revision)
}

impl Service {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed; with `health`, no instance is well.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        match &self.command {
            ServiceCommand::Run(run) => run.run(client.clone()).await,
            ServiceCommand::Register(register) => register.run(client, format).await,
            ServiceCommand::Deregister(deregister) => deregister.run(client, format).await,
            ServiceCommand::Check(report) => report.run(client, format).await,
            ServiceCommand::Maintenance(maintenance) => maintenance.run(client, format).await,
            ServiceCommand::List { wanted, stale } => list(client, format, wanted, *stale).await,
            ServiceCommand::Watch { wanted, rev } => watch::run(client, format, &wanted.filter(), *rev).await,
            ServiceCommand::Health { wanted } => health(client, format, wanted).await,
        }
    }
}

impl Register {
    async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let instance = self.registration.instance(self.ttl)?;
        let (node, id) = (instance.node.clone(), instance.id.clone());
        let request = RegisterRequest {
            instance: Some(instance),
            epoch: self.epoch,
            ..RegisterRequest::default()
        };
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.registry().register(request).await }
            })
            .await?;
        let (epoch, ttl) = (answer.epoch, answer.ttl_seconds);
        let lease = (answer.lease != 0).then(|| LeaseId(answer.lease).to_string());
        let mut text = format!("{id} registered on {node} with epoch {epoch}");
        if let Some(lease) = &lease {
            text.push_str(&format!(", for {ttl}s on lease {lease}"));
        }
        format.note(&text, || {
            json!({
                "revision": revision(answer.header.as_ref()),
                "node": node,
                "id": id,
                "epoch": epoch,
                "ttl": ttl,
                "lease": lease,
            })
        })
    }
}

impl Deregister {
    async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let node = node_or_machine(self.node.as_deref())?;
        let request = DeregisterRequest {
            node: node.clone(),
            id: self.id.clone(),
            epoch: self.epoch,
        };
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.registry().deregister(request).await }
            })
            .await?;
        let id = &self.id;
        format.note(
            &format!("{id} deregistered from {node}"),
            || json!({"revision": revision(answer.header.as_ref()), "node": node, "id": id}),
        )
    }
}

async fn list(client: &Client, format: Format, wanted: &Wanted, stale: bool) -> Result<(), CliError> {
    let filter = wanted.filter();
    if filter == Filter::default() {
        let (at, services) = services(client, stale).await?;
        return lines_or_json(format, services.iter().map(service_line).collect(), || {
            let services: Vec<_> = services.iter().map(service_json).collect();
            json!({"revision": at, "services": services})
        });
    }
    let (at, instances) = instances(client, filter, stale).await?;
    let lines = instances.iter().map(instance_line).collect();
    lines_or_json(format, lines, || shown(at, &instances))
}

async fn health(client: &Client, format: Format, wanted: &Wanted) -> Result<(), CliError> {
    let (at, instances) = instances(client, wanted.filter(), false).await?;
    let mut lines = Vec::new();
    for instance in &instances {
        lines.push(instance_line(instance));
        let checks = instance.checks.iter().chain(&instance.node_checks);
        lines.extend(checks.map(show::check_line));
    }
    lines_or_json(format, lines, || shown(at, &instances))?;
    let is_well = |instance: &Instance| instance.status() == Status::Passing;
    if instances.iter().any(is_well) {
        return Ok(());
    }
    let name = wanted.name.as_deref().unwrap_or("any service");
    let number = instances.len();
    let message = format!("no instance of {name} passes its checks ({number} are registered)");
    Err(CliError::new(Exit::Unhealthy, message))
}

fn shown(at: i64, instances: &[Instance]) -> serde_json::Value {
    let instances: Vec<_> = instances.iter().map(instance_json).collect();
    json!({"revision": at, "instances": instances})
}

/// All services, page by page, with the revision of the last page.
async fn services(client: &Client, stale: bool) -> Result<(i64, Vec<registry::Service>), ClientError> {
    let mut request = ListServicesRequest {
        stale,
        ..ListServicesRequest::default()
    };
    let mut services = Vec::new();
    loop {
        let answer = client
            .read(|node| {
                let request = request.clone();
                async move { node.registry().list_services(request).await }
            })
            .await?;
        services.extend(answer.services);
        if answer.next.is_empty() {
            return Ok((revision(answer.header.as_ref()), services));
        }
        request.after = answer.next;
    }
}

/// All instances that a filter lets through, page by page, with the revision of the last page.
async fn instances(
    client: &Client,
    filter: Filter,
    stale: bool,
) -> Result<(i64, Vec<Instance>), ClientError> {
    let mut request = ListRequest {
        filter: Some(filter),
        stale,
        ..ListRequest::default()
    };
    let mut instances = Vec::new();
    loop {
        let answer = client
            .read(|node| {
                let request = request.clone();
                async move { node.registry().list(request).await }
            })
            .await?;
        instances.extend(answer.instances);
        if answer.next.is_none() {
            return Ok((revision(answer.header.as_ref()), instances));
        }
        request.after = answer.next;
    }
}

fn lines_or_json(
    format: Format,
    lines: Vec<String>,
    json: impl FnOnce() -> serde_json::Value,
) -> Result<(), CliError> {
    if lines.is_empty() && !format.is_json() {
        return Ok(());
    }
    format.note(&lines.join("\n"), json)
}
