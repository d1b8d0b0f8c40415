//! `/debug/vars`: what etcd shows there that is not of Go's runtime.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Pages;
use crate::base::MemberId;
use crate::base::metrics::maximum_files;
use crate::replication::Status;

/// The page.
pub(super) async fn variables(State(pages): State<Pages>) -> Response {
    let status = pages.services.status.borrow().clone();
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let body = json!({
        "cmdline": arguments,
        "file_descriptor_limit": maximum_files(),
        "raft.status": raft_status(pages.services.settings.member, &status),
    });
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, kind)],
        format!("{body:#}\n"),
    )
        .into_response()
}

/// Where the member stands, in etcd's words.
fn raft_status(member: MemberId, status: &Status) -> Value {
    let state = match (status.is_leader, status.leader) {
        (true, _) => "StateLeader",
        (false, Some(_)) => "StateFollower",
        (false, None) => "StateCandidate",
    };
    json!({
        "id": member.to_string(),
        "term": status.term,
        "commit": status.committed_index,
        "lead": status.leader.unwrap_or_default().to_string(),
        "raftState": state,
        "applied": status.applied_index,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_a_leader_says_so() {
        let status = raft_status(MemberId(10), &Status::default());
        assert_eq!(
            (&status["id"], &status["lead"], &status["raftState"]),
            (&json!("a"), &json!("0"), &json!("StateCandidate"))
        );
    }
}
