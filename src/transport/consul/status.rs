//! `/v1/status`: who leads, and who the members are.

use super::answer::Answer;
use super::call::Call;
use super::routes::Route;
use crate::service::consul::ConsulError;

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/status/leader", |call| Box::pin(leader(call))).open(),
    Route::get("/v1/status/peers", |call| Box::pin(peers(call))).open(),
];

async fn leader(call: Call) -> Result<Answer, ConsulError> {
    let servers = call.consul.servers().await?;
    let leader = servers.into_iter().find(|server| server.is_leader);
    call.json(&leader.map(|server| server.address).unwrap_or_default())
}

async fn peers(call: Call) -> Result<Answer, ConsulError> {
    let servers = call.consul.servers().await?;
    let voters = servers.into_iter().filter(|server| server.is_voter);
    call.json(&voters.map(|server| server.address).collect::<Vec<_>>())
}
