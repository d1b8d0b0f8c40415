//! Version 2 against a model that is slow and obvious: each secret is a map of versions with their values.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::merging::{slow, values};
use super::*;
use crate::service::secrets::engine::times::rfc3339;

const PATHS: [&str; 3] = ["a", "a/1", "b"];

#[derive(Debug, Clone)]
enum Request {
    Write {
        data: Value,
        cas: Option<i64>,
    },
    Patch {
        data: Value,
        cas: Option<i64>,
    },
    Read {
        version: u64,
    },
    DeleteNewest,
    Choose {
        place: &'static str,
        versions: Vec<u64>,
    },
    Settings {
        max: Option<u32>,
        cas: Option<bool>,
        life: Option<u64>,
    },
    ReadMetadata,
    Remove,
}

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Config {
        max: Option<u32>,
        cas: Option<bool>,
        life: Option<i64>,
    },
    Request(&'static str, Request),
}

#[derive(Clone)]
struct ModelVersion {
    data: Value,
    created: Duration,
    deletion: Option<Duration>,
    destroyed: bool,
}

impl ModelVersion {
    fn shown(&self) -> Value {
        json!({
            "created_time": rfc3339(self.created),
            "deletion_time": self.deletion.map(rfc3339).unwrap_or_default(),
            "destroyed": self.destroyed,
        })
    }

    fn shown_as(&self, number: u64) -> Value {
        let mut shown = self.shown();
        shown["version"] = number.into();
        shown["custom_metadata"] = Value::Null;
        shown
    }

    fn is_gone(&self, now: Duration) -> bool {
        self.destroyed || self.deletion.is_some_and(|deletion| now >= deletion)
    }
}

#[derive(Clone, Default)]
struct ModelSecret {
    created: Duration,
    updated: Duration,
    current: u64,
    oldest: u64,
    versions: BTreeMap<u64, ModelVersion>,
    max: u32,
    cas: bool,
    life: u64,
}

impl ModelSecret {
    fn shown(&self) -> Value {
        let versions: BTreeMap<String, Value> = self
            .versions
            .iter()
            .map(|(number, version)| (number.to_string(), version.shown()))
            .collect();
        json!({
            "versions": versions,
            "current_version": self.current,
            "oldest_version": self.oldest,
            "created_time": rfc3339(self.created),
            "updated_time": rfc3339(self.updated),
            "max_versions": self.max,
            "cas_required": self.cas,
            "delete_version_after": format!("{}s", self.life),
            "custom_metadata": null,
        })
    }
}

#[derive(Default)]
struct Model {
    secrets: BTreeMap<&'static str, ModelSecret>,
    max: u32,
    cas: bool,
    /// Negative: versions live for ever.
    life: i64,
}

type Outcome = (u16, Value);

fn refused(text: &str) -> Outcome {
    (400, text.into())
}

const NOTHING: Outcome = (204, Value::Null);
const MISSING: Outcome = (404, Value::Null);

impl Model {
    fn end(&self, now: Duration, secret: &ModelSecret) -> Option<Duration> {
        let life = match (u64::try_from(self.life), secret.life) {
            (Err(_), _) | (Ok(0), 0) => return None,
            (Ok(0), life) | (Ok(life), 0) => life,
            (Ok(one), other) => one.min(other),
        };
        Some(now + Duration::from_secs(life))
    }

    fn check(&self, secret: &ModelSecret, cas: Option<i64>) -> Option<Outcome> {
        match cas {
            Some(cas) if i128::from(cas) == i128::from(secret.current) => None,
            Some(_) => Some(refused(
                "check-and-set parameter did not match the current version",
            )),
            None if self.cas || secret.cas => Some(refused("check-and-set parameter required for this call")),
            None => None,
        }
    }

    fn add(&mut self, path: &'static str, now: Duration, mut secret: ModelSecret, data: Value) -> Outcome {
        let version = ModelVersion {
            data,
            created: now,
            deletion: self.end(now, &secret),
            destroyed: false,
        };
        secret.current += 1;
        secret.updated = now;
        let shown = version.shown_as(secret.current);
        secret.versions.insert(secret.current, version);
        let max = match self.max.max(secret.max) {
            0 => 10,
            max => u64::from(max),
        };
        if secret.current - secret.oldest >= max {
            secret.oldest = secret.current - max + 1;
            secret.versions.retain(|number, _| *number >= secret.oldest);
        }
        self.secrets.insert(path, secret);
        (200, shown)
    }

    fn new_secret(now: Duration) -> ModelSecret {
        ModelSecret {
            created: now,
            updated: now,
            ..ModelSecret::default()
        }
    }

    fn choose(&mut self, path: &'static str, place: &str, versions: &[u64], now: Duration) -> Outcome {
        if versions.is_empty() {
            return refused(match place {
                "destroy" => "no version number provided",
                _ => "No version number provided",
            });
        }
        let Some(mut secret) = self.secrets.remove(path) else {
            return NOTHING;
        };
        let end = self.end(now, &secret);
        for number in versions {
            match secret.versions.get_mut(number) {
                Some(version) if place == "delete" && !version.is_gone(now) => version.deletion = Some(now),
                Some(version) if place == "undelete" && !version.destroyed => version.deletion = end,
                Some(version) if place == "destroy" => version.destroyed = true,
                _ => {}
            }
        }
        self.secrets.insert(path, secret);
        NOTHING
    }

    fn ask(&mut self, path: &'static str, request: Request, now: Duration) -> Outcome {
        let known = self.secrets.get(path).cloned();
        match request {
            Request::Write { data, cas } => {
                let secret = known.unwrap_or_else(|| Self::new_secret(now));
                match self.check(&secret, cas) {
                    Some(refusal) => refusal,
                    None => self.add(path, now, secret, data),
                }
            }
            Request::Patch { data, cas } => {
                let Some(secret) = known else { return MISSING };
                if let Some(refusal) = self.check(&secret, cas) {
                    return refusal;
                }
                let Some(newest) = secret.versions.get(&secret.current) else {
                    return MISSING;
                };
                if newest.is_gone(now) {
                    return (404, newest.shown_as(secret.current));
                }
                let merged = slow(newest.data.clone(), data);
                self.add(path, now, secret, merged)
            }
            Request::Read { version } => {
                let Some(secret) = known else { return MISSING };
                let number = if version == 0 { secret.current } else { version };
                let Some(version) = secret.versions.get(&number) else {
                    return MISSING;
                };
                let is_gone = version.is_gone(now);
                let data = if is_gone {
                    Value::Null
                } else {
                    version.data.clone()
                };
                let shown = json!({"data": data, "metadata": version.shown_as(number)});
                (if is_gone { 404 } else { 200 }, shown)
            }
            Request::DeleteNewest => {
                if let Some(secret) = self.secrets.get_mut(path)
                    && let Some(newest) = secret.versions.get_mut(&secret.current)
                    && !newest.is_gone(now)
                {
                    newest.deletion = Some(now);
                }
                NOTHING
            }
            Request::Choose { versions, place } => self.choose(path, place, &versions, now),
            Request::Settings { max, cas, life } => {
                if (max, cas, life) == (None, None, None) {
                    return NOTHING;
                }
                let mut secret = known.unwrap_or_else(|| Self::new_secret(now));
                secret.max = max.unwrap_or(secret.max);
                secret.cas = cas.unwrap_or(secret.cas);
                secret.life = life.unwrap_or(secret.life);
                self.secrets.insert(path, secret);
                let is_warned = self.cas && cas == Some(false);
                (if is_warned { 200 } else { 204 }, Value::Null)
            }
            Request::ReadMetadata => known.map_or(MISSING, |secret| (200, secret.shown())),
            Request::Remove => {
                self.secrets.remove(path);
                NOTHING
            }
        }
    }
}

/// Fields that are said, of some that may be.
fn said(fields: &[(&str, Option<Value>)]) -> String {
    let fields: BTreeMap<_, _> = fields
        .iter()
        .filter_map(|(name, value)| Some((*name, value.clone()?)))
        .collect();
    json!(fields).to_string()
}

fn asked(bench: &mut Bench<Versioned>, path: &str, request: &Request) -> Outcome {
    let data = |data: &Value, cas: Option<i64>| {
        let options = cas.map(|cas| json!({"cas": cas}));
        said(&[("data", Some(data.clone())), ("options", options)])
    };
    let (operation, place, body) = match request {
        Request::Write { data: value, cas } => (Operation::Update, "data", data(value, *cas)),
        Request::Patch { data: value, cas } => (Operation::Patch, "data", data(value, *cas)),
        Request::Read { version: 0 } => (Operation::Read, "data", String::new()),
        Request::Read { version } => (Operation::Read, "data", json!({"version": version}).to_string()),
        Request::DeleteNewest => (Operation::Delete, "data", String::new()),
        Request::Choose { place, versions } => (
            Operation::Update,
            *place,
            json!({"versions": versions}).to_string(),
        ),
        Request::Settings { max, cas, life } => {
            let fields = [
                ("max_versions", max.map(Value::from)),
                ("cas_required", cas.map(Value::from)),
                ("delete_version_after", life.map(Value::from)),
            ];
            (Operation::Update, "metadata", said(&fields))
        }
        Request::ReadMetadata => (Operation::Read, "metadata", String::new()),
        Request::Remove => (Operation::Delete, "metadata", String::new()),
    };
    match bench.ask(operation, &format!("{place}/{path}"), &body) {
        Ok(answer) => {
            let status = match (&answer.data, answer.is_gone) {
                (_, true) => 404,
                (None, false) if answer.warnings.is_empty() => 204,
                _ => 200,
            };
            (status, serde_json::to_value(answer.data).unwrap())
        }
        Err(Fault::Invalid(text)) => refused(&text),
        Err(Fault::Missing) => MISSING,
        Err(other) => panic!("{other:?}"),
    }
}

fn requests() -> impl Strategy<Value = Request> {
    let objects = || {
        values().prop_map(|value| match value {
            value @ Value::Object(_) => value,
            other => json!({ "a": other }),
        })
    };
    let cas = || prop::option::weighted(0.3, -1..6_i64);
    let max = prop::option::of(0..4_u32);
    let is_required = prop::option::of(prop::bool::weighted(0.2));
    let life = prop::option::of(prop_oneof![Just(0), 1..6_u64]);
    prop_oneof![
        4 => (objects(), cas()).prop_map(|(data, cas)| Request::Write { data, cas }),
        2 => (objects(), cas()).prop_map(|(data, cas)| Request::Patch { data, cas }),
        4 => (0..8_u64).prop_map(|version| Request::Read { version }),
        2 => Just(Request::DeleteNewest),
        3 => (prop::sample::select(vec!["delete", "undelete", "destroy"]), prop::collection::vec(0..8_u64, 0..3))
            .prop_map(|(place, versions)| Request::Choose { place, versions }),
        1 => (max, is_required, life).prop_map(|(max, cas, life)| Request::Settings { max, cas, life }),
        3 => Just(Request::ReadMetadata),
        1 => Just(Request::Remove),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let max = prop::option::of(0..4_u32);
    let is_required = prop::option::of(prop::bool::weighted(0.2));
    let life = prop::option::of(-1..6_i64);
    prop_oneof![
        2 => (0..4_u64).prop_map(Step::Wait),
        1 => (max, is_required, life).prop_map(|(max, cas, life)| Step::Config { max, cas, life }),
        12 => (prop::sample::select(PATHS.to_vec()), requests())
            .prop_map(|(path, request)| Step::Request(path, request)),
    ]
}

proptest! {
    #[test]
    fn every_request_is_answered_as_the_model_answers(steps in prop::collection::vec(steps(), 1..60)) {
        let mut bench = bench();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Wait(seconds) => bench.now += Duration::from_secs(seconds),
                Step::Config { max, cas, life } => {
                    let body = said(&[
                        ("max_versions", max.map(Value::from)),
                        ("cas_required", cas.map(Value::from)),
                        ("delete_version_after", life.map(Value::from)),
                    ]);
                    ask(&mut bench, Operation::Update, "config", &body);
                    model.max = max.unwrap_or(model.max);
                    model.cas = cas.unwrap_or(model.cas);
                    model.life = life.unwrap_or(model.life);
                }
                Step::Request(path, request) => {
                    let answer = asked(&mut bench, path, &request);
                    let wanted = model.ask(path, request.clone(), bench.now);
                    prop_assert_eq!(answer, wanted, "{} {:?}", path, request);
                }
            }
        }
        for path in PATHS {
            for request in (0..8).map(|version| Request::Read { version }).chain([Request::ReadMetadata]) {
                let answer = asked(&mut bench, path, &request);
                prop_assert_eq!(answer, model.ask(path, request.clone(), bench.now), "{} {:?}", path, request);
            }
        }
        let values = |secret: &ModelSecret| secret.versions.values().filter(|version| !version.destroyed).count();
        let wanted: usize = model.secrets.values().map(|secret| 1 + values(secret)).sum();
        let stored = bench.storage.records.keys().filter(|path| *path != "config").count();
        prop_assert_eq!(stored, wanted, "no record is left behind");
    }
}
