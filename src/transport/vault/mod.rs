//! Vault's HTTP interface, under `/v1/`. Translation only: paths, methods, headers, JSON, status codes.
//!
//! ```text
//!  request -> place of the client -> path -> initialising, unsealing, health, ... : no token, no envelope
//!                                       \--> token, body -> Secrets -> envelope
//! ```
//!
//! A request keeps the place of its client until its answer is sent, and one with a large body a place of few until its
//! answer is known.
//!
//! Whoever may not do something learns nothing of what there is: the service decides, and its errors are told as they are.
//! Never decides who may do what, and never keeps, shows or logs a token, a share or a value.

mod answer;
mod body;
mod envelope;
mod error;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod generate_root;
mod health;
mod init;
mod large;
mod leader;
mod open;
mod parameters;
mod rekey;
mod request;
mod seal;
mod shares;
#[cfg(test)]
mod tests;
mod unsent;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use http::{Method, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Origin;
use super::clients::Clients;
use crate::base::ClusterId;
use crate::base::limits::{
    MAXIMUM_LARGE_SECRET_BODIES, MAXIMUM_LARGE_SECRET_BODIES_PER_CLIENT, MAXIMUM_SECRET_REQUEST_SECONDS,
    MAXIMUM_SECRET_REQUESTS_PER_CLIENT,
};
use crate::replication::Status;
use crate::service::Services;
use crate::service::secrets::Secrets;
use answer::Answer;
use error::Refusal;
use large::LargeBodies;
use parameters::Parameters;
use unsent::Unsent;

/// The version of Vault whose interface this is: clients read it as a semantic version, and ask for what it has.
const VERSION: &str = "1.15.6";

/// What the paths of the interface begin with.
const ROOT: &str = "/v1/";

/// Methods that paths may have.
const METHODS: &str = "GET, LIST, POST, PUT, PATCH, DELETE, HEAD, OPTIONS";

/// What requests are answered with.
struct Door {
    secrets: Secrets,
    status: watch::Receiver<Status>,
    cluster: ClusterId,
    clients: Clients,
    large_bodies: LargeBodies,
}

/// The interface.
pub(super) fn pages(services: &Services) -> Router {
    let door = Door {
        secrets: services.secrets.clone(),
        status: services.status.clone(),
        cluster: services.settings.cluster,
        clients: Clients::new(MAXIMUM_SECRET_REQUESTS_PER_CLIENT),
        large_bodies: LargeBodies::new(
            MAXIMUM_LARGE_SECRET_BODIES,
            MAXIMUM_LARGE_SECRET_BODIES_PER_CLIENT,
        ),
    };
    Router::new().fallback(answer_request).with_state(Arc::new(door))
}

async fn answer_request(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    let Some(place) = door.clients.enter(origin.ip()) else {
        return Refusal::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "too many requests of this client are under way: at most {} may be",
                door.clients.maximum()
            ),
        )
        .into_response();
    };
    let patience = Duration::from_secs(MAXIMUM_SECRET_REQUEST_SECONDS);
    let response = match timeout(patience, door.answer(request, &origin)).await {
        Ok(Ok(answer)) => answer.into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            let text = format!("the request took longer than {MAXIMUM_SECRET_REQUEST_SECONDS} s");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    };
    response.map(|body| Unsent::wrap(body, place))
}

impl Door {
    async fn answer(&self, request: Request, origin: &Origin) -> Result<Answer, Refusal> {
        let Some(encoded) = request.uri().path().strip_prefix(ROOT) else {
            return Err(Refusal::silent(StatusCode::NOT_FOUND));
        };
        if request.method() == Method::OPTIONS {
            return Ok(Answer::nothing().with_allowed(METHODS));
        }
        let encoded = encoded.to_owned();
        let (parts, body) = request.into_parts();
        request::check_headers(&parts.headers)?;
        let asked = request::Asked::read(&parts, &encoded)?;
        // A list of one is still about it: that it cannot be listed is what it says.
        let page = asked.path.strip_suffix('/').unwrap_or(&asked.path);
        if let Some(page) = open::find(page) {
            let (body, _place) =
                body::read(&parts.headers, body, &self.large_bodies, origin.ip(), &asked).await?;
            return open::answer(self, page, &asked, &body).await;
        }
        let (body, _place) = match request::is_file(&asked.path) {
            true => (Parameters::default().into_body("")?, None),
            false => body::read(&parts.headers, body, &self.large_bodies, origin.ip(), &asked).await?,
        };
        let spreads = envelope::spreads(&asked.path);
        let request = request::whole(asked, body, &parts.headers, origin)?;
        let id = request.id.clone();
        let response = self.secrets.handle(request).await?;
        envelope::answer(&id, response, spreads)
    }
}
