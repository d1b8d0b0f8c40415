//! Pages over HTTP: health, version, metrics, variables. Translation only.

mod access;
mod health;
mod variables;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

pub(super) use self::access::Protected;
pub use self::access::{HttpSettings, Names};
use crate::base::metrics::Metrics;
use crate::service::Services;
use crate::service::maintenance::{ETCD_MINOR_VERSION, ETCD_VERSION};

/// What the pages are made from.
#[derive(Clone)]
struct Pages {
    services: Services,
    metrics: Arc<Metrics>,
}

/// The pages of the client port.
pub(super) fn client_pages(services: &Services, metrics: &Arc<Metrics>) -> Router {
    assemble(
        routes()
            .route("/version", only_get(get(version)))
            .route("/debug/vars", only_get(get(variables::variables))),
        services,
        metrics,
    )
}

/// The pages of `--listen-metrics-urls`.
pub(super) fn metrics_pages(services: &Services, metrics: &Arc<Metrics>) -> Router {
    assemble(routes(), services, metrics)
}

/// Pages that only those may ask for whom the settings allow it.
pub(super) fn guarded(pages: Router, settings: HttpSettings) -> Router {
    pages.layer(middleware::from_fn_with_state(Arc::new(settings), access::check))
}

fn routes() -> Router<Pages> {
    Router::new()
        .route("/metrics", get(metrics_page).fallback(not_allowed))
        .route("/health", only_get(get(health::health)))
        .route("/livez", only_get(get(health::livez)))
        .route("/livez/{check}", only_get(get(health::livez_one)))
        .route("/readyz", only_get(get(health::readyz)))
        .route("/readyz/{check}", only_get(get(health::readyz_one)))
}

fn assemble(routes: Router<Pages>, services: &Services, metrics: &Arc<Metrics>) -> Router {
    let pages = Pages {
        services: services.clone(),
        metrics: Arc::clone(metrics),
    };
    routes.fallback(not_found).with_state(pages)
}

/// As etcd: nothing but GET, not even HEAD.
fn only_get(route: MethodRouter<Pages>) -> MethodRouter<Pages> {
    route.head(not_allowed).fallback(not_allowed)
}

async fn not_allowed() -> Response {
    let allowed = [(header::ALLOW, HeaderValue::from_static("GET"))];
    let answer = plain(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into());
    (allowed, answer).into_response()
}

async fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n".into())
}

fn plain(status: StatusCode, body: String) -> Response {
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// The versions in the order in which etcd shows them.
async fn version() -> Response {
    let body = format!(
        r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{ETCD_MINOR_VERSION}","storage":"{ETCD_MINOR_VERSION}"}}"#
    );
    let kind = HeaderValue::from_static("application/json");
    (StatusCode::OK, [(header::CONTENT_TYPE, kind)], body).into_response()
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    match pages.services.health.metrics_page() {
        Ok(body) => (StatusCode::OK, [(header::CONTENT_TYPE, Metrics::PAGE_KIND)], body).into_response(),
        Err(error) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot show the metrics: {error}\n"),
        ),
    }
}
