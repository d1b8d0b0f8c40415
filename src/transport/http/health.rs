//! The health pages: `/health` for what asks as it asked etcd 3.3, `/livez` and `/readyz` with a line for each check.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Pages, plain};
use crate::service::health::Check;

/// What etcd's metrics call the page of checks that a restart would help.
const LIVE: &str = "livez";
/// What they call that of checks before requests.
const READY: &str = "readyz";

/// The parameters of a query, those that are repeated too.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        Self(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.0
            .iter()
            .any(|(given_name, given)| given_name == name && given == value)
    }

    fn names(&self, name: &str) -> bool {
        self.0.iter().any(|(given_name, _)| given_name == name)
    }
}

/// `/health`: healthy without alarms (but those that the query excludes), with a leader and with a read through a quorum;
/// with `serializable=true` without the last two.
pub(super) async fn health(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query);
    let reason = unhealthy(&pages, &query).await;
    let (status, healthy) = match &reason {
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "false"),
        None => (StatusCode::OK, "true"),
    };
    count(&pages, reason.is_none());
    // The order of the two is what clients of etcd see.
    let reason = serde_json::Value::from(reason.unwrap_or_default());
    plain(
        status,
        format!("{{\"health\":\"{healthy}\",\"reason\":{reason}}}"),
    )
}

/// Why the node is not healthy, in etcd's words.
async fn unhealthy(pages: &Pages, query: &Query) -> Option<String> {
    let health = &pages.services.health;
    let alarms = match health.alarms() {
        Ok(alarms) => alarms,
        Err(error) => return Some(format!("RANGE ERROR:{error}")),
    };
    let excluded = |name: &&str| query.has("exclude", name);
    let alarm = alarms
        .iter()
        .map(|(_, alarm)| alarm.name())
        .find(|name| !excluded(name));
    if let Some(alarm) = alarm {
        return Some(format!("ALARM {alarm}"));
    }
    let serializable = query.has("serializable", "true");
    if !serializable && !health.has_leader() {
        return Some("RAFT NO LEADER".into());
    }
    health
        .read(serializable)
        .await
        .err()
        .map(|error| format!("RANGE ERROR:{error}"))
}

fn count(pages: &Pages, healthy: bool) {
    if healthy {
        pages.metrics.health_successes.inc();
    } else {
        pages.metrics.health_failures.inc();
    }
}

/// `/livez`.
pub(super) async fn livez(state: State<Pages>, query: RawQuery) -> Response {
    all(state, query, LIVE, &Check::LIVE).await
}

/// `/readyz`.
pub(super) async fn readyz(state: State<Pages>, query: RawQuery) -> Response {
    all(state, query, READY, &Check::READY).await
}

/// `/livez/<check>`.
pub(super) async fn livez_one(state: State<Pages>, name: Path<String>, query: RawQuery) -> Response {
    one(state, name, query, LIVE, &Check::LIVE).await
}

/// `/readyz/<check>`.
pub(super) async fn readyz_one(state: State<Pages>, name: Path<String>, query: RawQuery) -> Response {
    one(state, name, query, READY, &Check::READY).await
}

/// Makes a check and counts it.
async fn made(pages: &Pages, page: &'static str, check: Check) -> (&'static str, Result<(), String>) {
    let (name, outcome) = (check.name(), pages.services.health.check(check).await);
    let status = if outcome.is_ok() { "success" } else { "error" };
    let metrics = &pages.metrics;
    metrics
        .health_checks
        .with_label_values(&[page, name])
        .set(i64::from(outcome.is_ok()));
    metrics
        .health_checks_made
        .with_label_values(&[page, name, status])
        .inc();
    (name, outcome)
}

async fn all(
    State(pages): State<Pages>,
    RawQuery(query): RawQuery,
    page_name: &'static str,
    checks: &[Check],
) -> Response {
    let query = Query::parse(query);
    let wanted = checks.iter().filter(|check| !query.has("exclude", check.name()));
    let mut outcomes = Vec::new();
    for check in wanted {
        outcomes.push(made(&pages, page_name, *check).await);
    }
    page(&pages, &outcomes, query.names("verbose"))
}

async fn one(
    State(pages): State<Pages>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    page_name: &'static str,
    checks: &[Check],
) -> Response {
    let Some(check) = checks.iter().find(|check| check.name() == name) else {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n".into());
    };
    let outcomes = [made(&pages, page_name, *check).await];
    page(&pages, &outcomes, Query::parse(query).names("verbose"))
}

fn page(pages: &Pages, outcomes: &[(&'static str, Result<(), String>)], verbose: bool) -> Response {
    let healthy = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    count(pages, healthy);
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let no_sniff = HeaderValue::from_static("nosniff");
    let body = text(outcomes, verbose);
    ([(header::X_CONTENT_TYPE_OPTIONS, no_sniff)], plain(status, body)).into_response()
}

/// A line for each check if one failed or the client asked for them, else a word.
fn text(outcomes: &[(&'static str, Result<(), String>)], verbose: bool) -> String {
    let healthy = outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    if healthy && !verbose {
        return "ok\n".into();
    }
    let mut text = String::new();
    for (name, outcome) in outcomes {
        match outcome {
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => text.push_str(&format!("[-]{name} failed: {reason}\n")),
        }
    }
    if healthy {
        text.push_str("ok\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_word_unless_a_check_failed_or_lines_were_asked_for() {
        let good = [("serializable_read", Ok(())), ("non_learner", Ok(()))];
        assert_eq!(text(&good, false), "ok\n");
        assert_eq!(
            text(&good, true),
            "[+]serializable_read ok\n[+]non_learner ok\nok\n"
        );
        let bad = [
            ("serializable_read", Ok(())),
            (
                "linearizable_read",
                Err("etcdserver: request timed out".to_owned()),
            ),
        ];
        let lines = "[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: request timed out\n";
        assert_eq!(text(&bad, false), lines);
    }

    #[test]
    fn a_query_may_repeat_and_leave_out_values() {
        let query = Query::parse(Some("exclude=NOSPACE&exclude=non_learner&verbose".into()));
        assert!(query.has("exclude", "NOSPACE"));
        assert!(query.has("exclude", "non_learner"));
        assert!(!query.has("exclude", "CORRUPT"));
        assert!(query.names("verbose"));
        assert!(!Query::parse(None).names("verbose"));
    }
}
