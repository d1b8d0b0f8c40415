//! `stead.registry.v1.Registry`. Translation only.

mod checks;

use std::collections::HashMap;

use futures::stream::{BoxStream, StreamExt, unfold};
use tonic::{Request, Response, Status, Streaming};

use self::checks::{new_checks, wire_checks};
use super::caller::open;
use super::error::status;
use crate::base::{LeaseId, Revision};
use crate::proto::registry as wire;
use crate::proto::registry::registry_server::Registry as Service;
use crate::service::ServiceError;
use crate::service::header::Header;
use crate::service::registry::{
    CheckState, Claim, Delta, Entry, Filter, NewCheck, Node, NodeEntry, Place, Registration, Registry,
    RegistryError, ServiceEntry, ServiceWatch, Status as CheckStatus, Summary, TaggedAddress, WatchBatch,
    Weights,
};

/// The front door of services.
pub(super) struct RegistryDoor(pub(super) Registry);

#[tonic::async_trait]
impl Service for RegistryDoor {
    type HeartbeatStream = BoxStream<'static, Result<wire::HeartbeatResponse, Status>>;
    type WatchStream = BoxStream<'static, Result<wire::WatchResponse, Status>>;

    async fn register(
        &self,
        request: Request<wire::RegisterRequest>,
    ) -> Result<Response<wire::RegisterResponse>, Status> {
        let (caller, request) = open(request);
        let claim = match (request.epoch, request.renew) {
            (0, _) => Claim::New,
            (epoch, false) => Claim::Holder(Revision(epoch)),
            (epoch, true) => Claim::Renewal(Revision(epoch)),
        };
        let instance = request.instance.unwrap_or_default();
        let (registration, checks) = registration(instance).map_err(refusal)?;
        let lease = LeaseId(request.lease);
        let registry = self.0.by(caller);
        let registered = registry.register_on(lease, registration, claim, &checks).await;
        let registered = registered.map_err(|error| status(&error))?;
        Ok(Response::new(wire::RegisterResponse {
            header: Some(header(&registered.header)),
            epoch: registered.answer.epoch.0,
            lease: registered.answer.lease.0,
            ttl_seconds: registered.answer.ttl_seconds,
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<Streaming<wire::HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (caller, requests) = open(request);
        let registry = self.0.by(caller);
        let answers = unfold(Some((registry, requests)), |open| async move {
            let (registry, mut requests) = open?;
            let request = match requests.next().await? {
                Ok(request) => request,
                Err(error) => return Some((Err(error), None)),
            };
            let leases: Vec<LeaseId> = request.leases.into_iter().map(LeaseId).collect();
            // An error is the last that is said.
            Some(match registry.heartbeat(&leases).await {
                Ok(answered) => {
                    let gone = answered.answer.into_iter().map(|lease| lease.0).collect();
                    let header = Some(header(&answered.header));
                    let answer = wire::HeartbeatResponse { header, gone };
                    (Ok(answer), Some((registry, requests)))
                }
                Err(error) => (Err(status(&error)), None),
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn deregister(
        &self,
        request: Request<wire::DeregisterRequest>,
    ) -> Result<Response<wire::DeregisterResponse>, Status> {
        let (caller, request) = open(request);
        let epoch = (request.epoch != 0).then_some(Revision(request.epoch));
        let registry = self.0.by(caller);
        let answered = registry.deregister(&request.node, &request.id, epoch).await;
        let header = Some(header(&answered.map_err(|error| status(&error))?.header));
        Ok(Response::new(wire::DeregisterResponse { header }))
    }

    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        let (caller, request) = open(request);
        let catalog = self.0.by(caller).catalog(request.stale).await;
        let catalog = catalog.map_err(|error| status(&error))?;
        let Some(entry) = catalog.entry(&request.node, &request.id) else {
            let (node, id) = (request.node, request.id);
            return Err(refusal(RegistryError::UnknownInstance { node, id }));
        };
        Ok(Response::new(wire::GetResponse {
            header: Some(self.header_at(catalog.revision())),
            instance: Some(instance(entry)),
        }))
    }

    async fn list(
        &self,
        request: Request<wire::ListRequest>,
    ) -> Result<Response<wire::ListResponse>, Status> {
        let (caller, request) = open(request);
        let filter = filter(request.filter).map_err(refusal)?;
        let catalog = self.0.by(caller).catalog(request.stale).await;
        let catalog = catalog.map_err(|error| status(&error))?;
        let after = request
            .after
            .map(|place| Place::new(&place.service, &place.node, &place.id));
        let (entries, next) = catalog.page(&filter, after.as_ref(), most(request.limit));
        Ok(Response::new(wire::ListResponse {
            header: Some(self.header_at(catalog.revision())),
            instances: entries.iter().map(|entry| instance(entry)).collect(),
            next: next.map(|place| wire::Place {
                service: place.service.to_string(),
                node: place.node.to_string(),
                id: place.id.to_string(),
            }),
        }))
    }

    async fn list_services(
        &self,
        request: Request<wire::ListServicesRequest>,
    ) -> Result<Response<wire::ListServicesResponse>, Status> {
        let (caller, request) = open(request);
        let catalog = self.0.by(caller).catalog(request.stale).await;
        let catalog = catalog.map_err(|error| status(&error))?;
        let (services, next) = catalog.services_page(optional(&request.after), most(request.limit));
        let services = services.into_iter();
        Ok(Response::new(wire::ListServicesResponse {
            header: Some(self.header_at(catalog.revision())),
            services: services
                .map(|(found, summary)| service(&found, summary))
                .collect(),
            next: next.as_deref().unwrap_or_default().to_owned(),
        }))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, request) = open(request);
        let filter = filter(request.filter).map_err(refusal)?;
        let after = (request.after_revision != 0).then_some(Revision(request.after_revision));
        let watch = self.0.by(caller).watch(filter, after).await;
        let watch = watch.map_err(|error| status(&error))?;
        let registry = self.0.clone();
        let told = unfold(Some((registry, watch)), |open| async move {
            let (registry, mut watch): (Registry, ServiceWatch) = open?;
            // An error is the last that is said.
            Some(match watch.next().await {
                Ok(batch) => {
                    let at = header(&registry.header_at(batch.revision.unwrap_or_default()));
                    (Ok(watch_response(at, batch)), Some((registry, watch)))
                }
                Err(error) => (Err(status(&error)), None),
            })
        });
        Ok(Response::new(told.boxed()))
    }

    async fn set_maintenance(
        &self,
        request: Request<wire::SetMaintenanceRequest>,
    ) -> Result<Response<wire::SetMaintenanceResponse>, Status> {
        let (caller, request) = open(request);
        let reason = request.enabled.then_some(request.reason.as_str());
        let registry = self.0.by(caller);
        let answered = registry
            .set_maintenance(&request.node, optional(&request.id), reason)
            .await;
        let header = Some(header(&answered.map_err(|error| status(&error))?.header));
        Ok(Response::new(wire::SetMaintenanceResponse { header }))
    }

    async fn update_check(
        &self,
        request: Request<wire::UpdateCheckRequest>,
    ) -> Result<Response<wire::UpdateCheckResponse>, Status> {
        let (caller, request) = open(request);
        let said = request.status;
        let Some(found) = check_status(said).map_err(refusal)? else {
            return Err(refusal(RegistryError::Missing { field: "the status" }));
        };
        let state = CheckState {
            status: found,
            output: request.output,
        };
        let registry = self.0.by(caller);
        let answered = registry
            .report(&request.node, optional(&request.id), &request.check, &state)
            .await;
        let header = Some(header(&answered.map_err(|error| status(&error))?.header));
        Ok(Response::new(wire::UpdateCheckResponse { header }))
    }

    async fn register_node(
        &self,
        request: Request<wire::RegisterNodeRequest>,
    ) -> Result<Response<wire::RegisterNodeResponse>, Status> {
        let (caller, request) = open(request);
        let node = node(request.node.unwrap_or_default()).map_err(refusal)?;
        let checks = new_checks(request.checks).map_err(refusal)?;
        let answered = self.0.by(caller).register_node(&node, &checks).await;
        let header = Some(header(&answered.map_err(|error| status(&error))?.header));
        Ok(Response::new(wire::RegisterNodeResponse { header }))
    }

    async fn deregister_node(
        &self,
        request: Request<wire::DeregisterNodeRequest>,
    ) -> Result<Response<wire::DeregisterNodeResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self.0.by(caller).deregister_node(&request.node).await;
        let header = Some(header(&answered.map_err(|error| status(&error))?.header));
        Ok(Response::new(wire::DeregisterNodeResponse { header }))
    }

    async fn list_nodes(
        &self,
        request: Request<wire::ListNodesRequest>,
    ) -> Result<Response<wire::ListNodesResponse>, Status> {
        let (caller, request) = open(request);
        let catalog = self.0.by(caller).catalog(request.stale).await;
        let catalog = catalog.map_err(|error| status(&error))?;
        let (nodes, next) = catalog.nodes_page(optional(&request.after), most(request.limit));
        Ok(Response::new(wire::ListNodesResponse {
            header: Some(self.header_at(catalog.revision())),
            nodes: nodes.iter().map(|found| node_entry(found)).collect(),
            next: next.as_deref().unwrap_or_default().to_owned(),
        }))
    }
}

impl RegistryDoor {
    fn header_at(&self, revision: Revision) -> wire::Header {
        header(&self.0.header_at(revision))
    }
}

fn refusal(error: RegistryError) -> Status {
    status(&ServiceError::Registry(error))
}

fn header(header: &Header) -> wire::Header {
    wire::Header {
        revision: header.revision.0,
        member_id: header.member.0,
    }
}

fn optional(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// The most that an answer may hold; 0: as much as fits.
fn most(limit: u32) -> usize {
    match limit {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A number that must fit into 16 bits.
fn short(field: &'static str, number: u32) -> Result<u16, RegistryError> {
    u16::try_from(number).map_err(|_| RegistryError::Invalid {
        field,
        value: number.to_string(),
        reason: "the most is 65535",
    })
}

fn check_status(number: i32) -> Result<Option<CheckStatus>, RegistryError> {
    match wire::Status::try_from(number) {
        Ok(wire::Status::Unspecified) => Ok(None),
        Ok(wire::Status::Passing) => Ok(Some(CheckStatus::Passing)),
        Ok(wire::Status::Warning) => Ok(Some(CheckStatus::Warning)),
        Ok(wire::Status::Critical) => Ok(Some(CheckStatus::Critical)),
        Err(_) => Err(RegistryError::Invalid {
            field: "the status",
            value: number.to_string(),
            reason: "give 1 (passing), 2 (warning) or 3 (critical)",
        }),
    }
}

fn wire_status(found: CheckStatus) -> i32 {
    match found {
        CheckStatus::Passing => wire::Status::Passing,
        CheckStatus::Warning => wire::Status::Warning,
        CheckStatus::Critical => wire::Status::Critical,
    }
    .into()
}

fn filter(filter: Option<wire::Filter>) -> Result<Filter, RegistryError> {
    let filter = filter.unwrap_or_default();
    Ok(Filter {
        service: optional(&filter.service).map(str::to_owned),
        node: optional(&filter.node).map(str::to_owned),
        worst_status: check_status(filter.worst_status)?,
        tags: filter.tags,
        metadata: filter.metadata.into_iter().collect(),
    })
}

fn registration(instance: wire::Instance) -> Result<(Registration, Vec<NewCheck>), RegistryError> {
    let weights = match instance.weights {
        Some(weights) => Weights {
            passing: short("the weight of a passing instance", weights.passing)?,
            warning: short("the weight of a warning instance", weights.warning)?,
        },
        None => Weights::default(),
    };
    let id = optional(&instance.id).unwrap_or(&instance.service).to_owned();
    let registration = Registration {
        id,
        node: instance.node,
        address: instance.address,
        port: short("the port", instance.port)?,
        tags: instance.tags,
        metadata: instance.metadata.into_iter().collect(),
        weights,
        tagged_addresses: tagged_addresses(instance.tagged_addresses)?.collect(),
        ttl_seconds: instance.ttl_seconds,
        enable_tag_override: false,
        service: instance.service,
    };
    Ok((registration, new_checks(instance.checks)?))
}

type Tagged = std::vec::IntoIter<(String, TaggedAddress)>;

fn tagged_addresses(addresses: HashMap<String, wire::TaggedAddress>) -> Result<Tagged, RegistryError> {
    let addresses = addresses.into_iter().map(|(tag, tagged)| {
        let port = short("the port of a tagged address", tagged.port)?;
        let address = tagged.address;
        Ok((tag, TaggedAddress { address, port }))
    });
    Ok(addresses.collect::<Result<Vec<_>, _>>()?.into_iter())
}

fn node(node: wire::Node) -> Result<Node, RegistryError> {
    Ok(Node {
        name: node.name,
        id: node.id,
        address: node.address,
        tagged_addresses: tagged_addresses(node.tagged_addresses)?.collect(),
        metadata: node.metadata.into_iter().collect(),
    })
}

fn wire_tagged<'entry>(
    addresses: impl IntoIterator<Item = (&'entry String, &'entry TaggedAddress)>,
) -> HashMap<String, wire::TaggedAddress> {
    let addresses = addresses.into_iter().map(|(tag, tagged)| {
        let address = tagged.address.clone();
        let port = u32::from(tagged.port);
        (tag.clone(), wire::TaggedAddress { address, port })
    });
    addresses.collect()
}

fn instance(entry: &Entry) -> wire::Instance {
    let known = &entry.instance;
    let registration = &known.registration;
    wire::Instance {
        service: registration.service.clone(),
        id: registration.id.clone(),
        node: registration.node.clone(),
        address: registration.address.clone(),
        port: u32::from(registration.port),
        tags: registration.tags.clone(),
        metadata: registration.metadata.clone().into_iter().collect(),
        weights: Some(wire::Weights {
            passing: u32::from(registration.weights.passing),
            warning: u32::from(registration.weights.warning),
        }),
        tagged_addresses: wire_tagged(&registration.tagged_addresses),
        ttl_seconds: registration.ttl_seconds,
        checks: wire_checks(&entry.checks),
        node_checks: wire_checks(&entry.node.checks),
        epoch: known.epoch.0,
        create_revision: known.create_revision.0,
        modify_revision: known.modification_revision.0,
        lease: known.lease.0,
        status: wire_status(entry.status()),
        effective_address: entry.address().to_owned(),
    }
}

fn service(found: &ServiceEntry, summary: Summary) -> wire::Service {
    wire::Service {
        name: found.name().to_owned(),
        tags: summary.tags.into_iter().collect(),
        instances: count(found.size()),
        passing: count(summary.passing),
        modify_revision: found.changed.0,
    }
}

fn node_entry(found: &NodeEntry) -> wire::NodeEntry {
    let node = match &found.state.known {
        Some(known) => wire::Node {
            name: known.node.name.clone(),
            id: known.node.id.clone(),
            address: known.node.address.clone(),
            tagged_addresses: wire_tagged(&known.node.tagged_addresses),
            metadata: known.node.metadata.clone().into_iter().collect(),
            create_revision: known.create_revision.0,
            modify_revision: known.modification_revision.0,
        },
        // Nobody registered it: it is there because of what is on it.
        None => wire::Node {
            name: found.name().to_owned(),
            ..wire::Node::default()
        },
    };
    wire::NodeEntry {
        node: Some(node),
        checks: wire_checks(&found.state.checks),
        instances: count(found.instances().count()),
    }
}

fn watch_response(header: wire::Header, batch: WatchBatch) -> wire::WatchResponse {
    let changes = batch.changes.into_iter().map(|(revision, delta)| {
        let change = match delta {
            Delta::Put(entry) => wire::change::Change::Put(instance(&entry)),
            Delta::Removed(entry) => {
                let registration = &entry.instance.registration;
                wire::change::Change::Removed(wire::Place {
                    service: registration.service.clone(),
                    node: registration.node.clone(),
                    id: registration.id.clone(),
                })
            }
        };
        wire::Change {
            revision: revision.0,
            change: Some(change),
        }
    });
    wire::WatchResponse {
        header: Some(header),
        revision: batch.revision.unwrap_or_default().0,
        is_snapshot: batch.is_snapshot,
        changes: changes.collect(),
    }
}
