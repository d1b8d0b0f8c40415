//! What each endpoint answered, shown together.

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};
use std::time::Duration;

use super::etcdctl::{Fields, Object, Shown, Table, message_json, size, write_list};
use super::revision;
use crate::base::{ClusterId, MemberId};
use crate::proto::etcdserverpb::{HashKvResponse, StatusResponse};

/// What one endpoint answered.
pub(in crate::cli) trait EndpointAnswer {
    /// The titles of the columns of a table, and of what is between the commas of a line.
    const TITLES: &'static [&'static str];

    /// The columns.
    fn columns(&self, endpoint: &str) -> Vec<String>;

    /// The line for people.
    fn line(&self, endpoint: &str) -> String {
        self.columns(endpoint).join(", ")
    }

    /// In Stead's JSON, without the endpoint.
    fn view(&self) -> Value;

    /// In etcdctl's JSON.
    fn object(&self, endpoint: &str, object: &mut Object<'_>);

    /// The lines of the fields.
    fn fields(&self, endpoint: &str, fields: &mut Fields);
}

/// What the endpoints answered, in the order in which they were asked.
pub(in crate::cli) struct EndpointAnswers<T>(pub(in crate::cli) Vec<(String, T)>);

impl<T: EndpointAnswer> Shown for EndpointAnswers<T> {
    fn json(&self, _hex: bool) -> Option<String> {
        let mut text = String::new();
        write_list(&mut text, &self.0, |text, (endpoint, answer)| {
            let mut object = Object::new(text);
            answer.object(endpoint, &mut object);
            object.end();
        });
        Some(text)
    }

    fn fields(&self, fields: &mut Fields) -> Option<()> {
        for (endpoint, answer) in &self.0 {
            answer.fields(endpoint, fields);
            fields.gap();
        }
        Some(())
    }

    fn table(&self) -> Option<Table> {
        Some(Table {
            titles: T::TITLES,
            rows: self
                .0
                .iter()
                .map(|(endpoint, answer)| answer.columns(endpoint))
                .collect(),
        })
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        None
    }
}

/// Stead's JSON of one endpoint: its answer, or why there is none.
pub(in crate::cli) struct EndpointView<'answer, T>(
    pub(in crate::cli) &'answer str,
    pub(in crate::cli) Result<&'answer T, &'answer str>,
);

impl<T: EndpointAnswer> Serialize for EndpointView<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = match self.1 {
            Ok(answer) => answer.view(),
            Err(error) => json!({ "error": error }),
        };
        if let Some(fields) = value.as_object_mut() {
            fields.insert("endpoint".to_owned(), self.0.into());
        }
        value.serialize(serializer)
    }
}

impl EndpointAnswer for StatusResponse {
    const TITLES: &'static [&'static str] = &[
        "ENDPOINT",
        "ID",
        "VERSION",
        "STORAGE VERSION",
        "DB SIZE",
        "IN USE",
        "PERCENTAGE NOT IN USE",
        "QUOTA",
        "IS LEADER",
        "IS LEARNER",
        "RAFT TERM",
        "RAFT INDEX",
        "RAFT APPLIED INDEX",
        "ERRORS",
        "DOWNGRADE TARGET VERSION",
        "DOWNGRADE ENABLED",
    ];

    fn columns(&self, endpoint: &str) -> Vec<String> {
        let member = self.header.map(|header| header.member_id).unwrap_or_default();
        let bytes = |bytes: i64| size(u64::try_from(bytes).unwrap_or_default());
        let unused = match self.db_size {
            1.. => {
                let free = i128::from(self.db_size) - i128::from(self.db_size_in_use);
                free.max(0) * 100 / i128::from(self.db_size)
            }
            _ => 0,
        };
        let downgrade = self.downgrade_info.clone().unwrap_or_default();
        vec![
            endpoint.to_owned(),
            MemberId(member).to_string(),
            self.version.clone(),
            self.storage_version.clone(),
            bytes(self.db_size),
            bytes(self.db_size_in_use),
            format!("{unused}%"),
            bytes(self.db_size_quota),
            (member == self.leader).to_string(),
            self.is_learner.to_string(),
            self.raft_term.to_string(),
            self.raft_index.to_string(),
            self.raft_applied_index.to_string(),
            self.errors.join(", "),
            downgrade.target_version,
            downgrade.enabled.to_string(),
        ]
    }

    fn view(&self) -> Value {
        let header = self.header.unwrap_or_default();
        json!({
            "member": MemberId(header.member_id).to_string(),
            "cluster": ClusterId(header.cluster_id).to_string(),
            "revision": revision(self.header.as_ref()),
            "version": self.version,
            "database_bytes": self.db_size,
            "database_bytes_in_use": self.db_size_in_use,
            "quota_bytes": self.db_size_quota,
            "leader": MemberId(self.leader).to_string(),
            "is_leader": self.leader == header.member_id,
            "learner": self.is_learner,
            "raft_term": self.raft_term,
            "raft_index": self.raft_index,
            "raft_applied_index": self.raft_applied_index,
            "errors": self.errors,
        })
    }

    fn object(&self, endpoint: &str, object: &mut Object<'_>) {
        let status = message_json("etcdserverpb.StatusResponse", self).unwrap_or_default();
        object.text("Endpoint", endpoint).plain("Status", status);
    }

    fn fields(&self, endpoint: &str, fields: &mut Fields) {
        let downgrade = self.downgrade_info.clone().unwrap_or_default();
        fields.header(self.header.as_ref());
        fields.quoted("Version", self.version.as_bytes());
        fields.quoted("StorageVersion", self.storage_version.as_bytes());
        fields.plain("DBSize", self.db_size);
        fields.plain("DBSizeInUse", self.db_size_in_use);
        fields.plain("DBSizeQuota", self.db_size_quota);
        fields.plain("Leader", self.leader);
        fields.plain("IsLearner", self.is_learner);
        fields.plain("RaftIndex", self.raft_index);
        fields.plain("RaftTerm", self.raft_term);
        fields.plain("RaftAppliedIndex", self.raft_applied_index);
        let errors: Vec<String> = self
            .errors
            .iter()
            .map(|error| super::quoted(error.as_bytes()))
            .collect();
        fields.plain("Errors", format_args!("[{}]", errors.join(" ")));
        fields.quoted("Endpoint", endpoint.as_bytes());
        fields.quoted("DowngradeTargetVersion", downgrade.target_version.as_bytes());
        fields.plain("DowngradeEnabled", downgrade.enabled);
    }
}

impl EndpointAnswer for HashKvResponse {
    const TITLES: &'static [&'static str] = &["ENDPOINT", "HASH", "HASH REVISION"];

    fn columns(&self, endpoint: &str) -> Vec<String> {
        vec![
            endpoint.to_owned(),
            self.hash.to_string(),
            self.hash_revision.to_string(),
        ]
    }

    fn view(&self) -> Value {
        json!({
            "revision": revision(self.header.as_ref()),
            "hash": self.hash,
            "hash_revision": self.hash_revision,
            "compact_revision": self.compact_revision,
        })
    }

    fn object(&self, endpoint: &str, object: &mut Object<'_>) {
        let hash = message_json("etcdserverpb.HashKVResponse", self).unwrap_or_default();
        object.text("Endpoint", endpoint).plain("HashKV", hash);
    }

    fn fields(&self, endpoint: &str, fields: &mut Fields) {
        fields.header(self.header.as_ref());
        fields.quoted("Endpoint", endpoint.as_bytes());
        fields.plain("Hash", self.hash);
        fields.plain("HashRevision", self.hash_revision);
    }
}

/// How an endpoint is.
#[derive(Debug)]
pub(in crate::cli) struct Health {
    /// How long it took to find out.
    pub(in crate::cli) took: Duration,
    /// Why it is not healthy.
    pub(in crate::cli) error: Option<String>,
}

impl EndpointAnswer for Health {
    const TITLES: &'static [&'static str] = &["ENDPOINT", "HEALTH", "TOOK", "ERROR"];

    fn columns(&self, endpoint: &str) -> Vec<String> {
        vec![
            endpoint.to_owned(),
            self.error.is_none().to_string(),
            format!("{:?}", self.took),
            self.error.clone().unwrap_or_default(),
        ]
    }

    fn line(&self, endpoint: &str) -> String {
        match &self.error {
            None => format!(
                "{endpoint} is healthy: successfully committed proposal: took = {:?}",
                self.took
            ),
            Some(error) => format!("{endpoint} is unhealthy: {error}"),
        }
    }

    fn view(&self) -> Value {
        match &self.error {
            None => json!({"health": true, "took_seconds": self.took.as_secs_f64()}),
            Some(error) => json!({"health": false, "error": format!("is unhealthy: {error}")}),
        }
    }

    fn object(&self, endpoint: &str, object: &mut Object<'_>) {
        object
            .text("endpoint", endpoint)
            .plain("health", self.error.is_none());
        object.text("took", &format!("{:?}", self.took));
        if let Some(error) = &self.error {
            object.text("error", error);
        }
    }

    fn fields(&self, endpoint: &str, fields: &mut Fields) {
        fields.quoted("Endpoint", endpoint.as_bytes());
        fields.plain("Health", self.error.is_none());
        fields.plain("Took", format_args!("{:?}", self.took));
        fields.plain("Error", self.error.as_deref().unwrap_or_default());
    }
}
