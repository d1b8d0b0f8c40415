//! `/v1/operator/` and `/v1/coordinate/`: the members as servers, and network coordinates, of which there are none.

use http::StatusCode;
use serde::Serialize;

use super::answer::{Answer, Meta};
use super::blocking::{Seen, blocking};
use super::call::Call;
use super::routes::Route;
use crate::base::{MemberId, Revision};
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::{ConsulError, Server, Watched};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/operator/raft/configuration", |call| {
        Box::pin(configuration(call))
    }),
    Route::delete("/v1/operator/raft/peer", |call| Box::pin(remove(call))),
    Route::get("/v1/coordinate/datacenters", |call| Box::pin(datacenters(call))),
    Route::get("/v1/coordinate/nodes", |call| Box::pin(coordinates(call))),
    Route::get("/v1/coordinate/node/", |call| Box::pin(coordinate(call))),
];

/// The version of the protocol between servers that clients of Consul are told.
const PROTOCOL: &str = "3";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    servers: Vec<ServerShown>,
    index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServerShown {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    protocol_version: &'static str,
    voter: bool,
    last_index: u64,
}

async fn configuration(call: Call) -> Result<Answer, ConsulError> {
    call.authorizer.require(Resource::Operator, Access::Read)?;
    let index = call.consul.applied_index();
    let shown = |server: Server| ServerShown {
        id: server.id.to_string(),
        node: server.name,
        address: server.address,
        leader: server.is_leader,
        protocol_version: PROTOCOL,
        voter: server.is_voter,
        last_index: index,
    };
    let servers = call.consul.servers().await?.into_iter().map(shown).collect();
    // Consul's is 0 as well: its own configuration has no number.
    let index = 0;
    call.json(&Configuration { servers, index })
}

async fn remove(call: Call) -> Result<Answer, ConsulError> {
    call.authorizer.require(Resource::Operator, Access::Write)?;
    let (id, address) = (call.parameters.text("id"), call.parameters.text("address"));
    let servers = call.consul.servers().await?;
    let named = match (id, address) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(ConsulError::Invalid(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
                    .into(),
            ));
        }
        (Some(id), None) => {
            let id = u64::from_str_radix(id, 16).ok().map(MemberId);
            servers.iter().find(|server| Some(server.id) == id)
        }
        (None, Some(address)) => {
            let mut named = servers.iter().filter(|server| server.address == address);
            let first = named.next();
            // Members on one machine have one address here.
            match named.next() {
                Some(_) => {
                    return Err(ConsulError::Invalid(format!(
                        "address {address:?} is that of more than one server; name it by ?id"
                    )));
                }
                None => first,
            }
        }
    };
    let Some(server) = named else {
        let name = id.or(address).unwrap_or_default();
        return Err(ConsulError::Failed(format!(
            "{name:?} was not found in the Raft configuration"
        )));
    };
    call.consul.remove_server(server.id).await?;
    Ok(Answer::empty())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Datacenter {
    datacenter: String,
    #[serde(rename = "AreaID")]
    area: &'static str,
    coordinates: [(); 0],
}

async fn datacenters(call: Call) -> Result<Answer, ConsulError> {
    call.json(&[Datacenter {
        datacenter: call.consul.settings().datacenter.clone(),
        area: "wan",
        coordinates: [],
    }])
}

/// Nobody measures distances, so that nobody has a place.
const NO_COORDINATES: [(); 0] = [];

async fn coordinates(call: Call) -> Result<Answer, ConsulError> {
    let meta = unchanging(&call).await?;
    Ok(call.json(&NO_COORDINATES)?.with_meta(meta))
}

async fn coordinate(call: Call) -> Result<Answer, ConsulError> {
    call.named("node name")?;
    let meta = unchanging(&call).await?;
    let answer = call.json(&NO_COORDINATES)?;
    Ok(answer.with_status(StatusCode::NOT_FOUND).with_meta(meta))
}

/// Waits for what never changes, if the request does.
async fn unchanging(call: &Call) -> Result<Meta, ConsulError> {
    let reading = blocking(call, Watched::Nothing, |_| async {
        Ok(Seen {
            answer: (),
            index: Revision(1),
            revision: Revision(1),
        })
    });
    Ok(reading.await?.1)
}
