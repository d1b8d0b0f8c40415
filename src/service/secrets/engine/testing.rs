//! Storage in memory, for tests and for fuzzing of engines.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use super::{Call, Caller, Engine, Fault, Mount, Peer, Storage, Tuning};
use crate::base::limits::{MAXIMUM_SECRET_PORTION_BYTES, MAXIMUM_SECRET_PORTION_RECORDS};
use crate::base::secret::Secret;
use crate::service::secrets::engine::Answer;
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::SystemRandomness;

/// Bytes that the store is taken to need for a record besides its path and what it says, read or written.
const OVERHEAD_BYTES: usize = 64;

/// Records by path, in memory.
#[derive(Default)]
pub struct Twin {
    /// The records, and after how long each is gone.
    pub records: BTreeMap<String, (Vec<u8>, Option<Duration>)>,
    /// What the transaction of the last request holds: what was read or written, and how many bytes each is written with.
    pub touched: BTreeMap<String, usize>,
}

impl Twin {
    /// About how many bytes the transaction of the last request has.
    pub fn bytes(&self) -> usize {
        let touched = self.touched.iter();
        touched
            .map(|(path, written)| 2 * (path.len() + OVERHEAD_BYTES) + written)
            .sum()
    }

    fn touch(&mut self, path: &str, written: usize) {
        let known = self.touched.entry(path.to_owned()).or_default();
        *known = written.max(*known);
    }
}

impl Storage for Twin {
    fn get(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        let record = self.peek(path)?;
        self.touch(path, 0);
        Ok(record)
    }

    fn peek(&mut self, path: &str) -> Result<Option<Secret<Vec<u8>>>, Fault> {
        check(path)?;
        Ok(self
            .records
            .get(path)
            .map(|(record, _)| Secret::new(record.clone())))
    }

    fn has_room(&self) -> bool {
        self.touched.len() < MAXIMUM_SECRET_PORTION_RECORDS && self.bytes() < MAXIMUM_SECRET_PORTION_BYTES
    }

    fn has(&mut self, path: &str) -> Result<bool, Fault> {
        check(path)?;
        self.touch(path, 0);
        Ok(self.records.contains_key(path))
    }

    fn put(&mut self, path: &str, record: Secret<Vec<u8>>, ttl: Option<Duration>) -> Result<(), Fault> {
        check(path)?;
        self.touch(path, record.expose().len());
        self.records
            .insert(path.to_owned(), (record.expose().clone(), ttl));
        Ok(())
    }

    fn delete(&mut self, path: &str) -> Result<(), Fault> {
        check(path)?;
        self.touch(path, 0);
        self.records.remove(path);
        Ok(())
    }

    fn list(&mut self, directory: &str) -> Result<Vec<String>, Fault> {
        let below = below(directory)?;
        let mut names = BTreeSet::new();
        for path in self.records.keys() {
            if let Some(rest) = path.strip_prefix(&below) {
                names.insert(match rest.split_once('/') {
                    Some((name, _)) => format!("{name}/"),
                    None => rest.to_owned(),
                });
            }
        }
        Ok(names.into_iter().collect())
    }

    fn delete_below(&mut self, directory: &str) -> Result<(), Fault> {
        let below = below(directory)?;
        let all = self.records.keys().filter(|path| path.starts_with(&below));
        let all: Vec<String> = all.cloned().collect();
        all.iter().try_for_each(|path| self.delete(path))
    }
}

/// Refuses the paths that the store refuses, but for their lengths.
fn check(path: &str) -> Result<(), Fault> {
    match path.split('/').any(str::is_empty) {
        true => Err(Fault::Invalid(format!("{path:?} has an empty segment"))),
        false => Ok(()),
    }
}

fn below(directory: &str) -> Result<String, Fault> {
    match directory {
        "" => Ok(String::new()),
        directory => check(directory).map(|()| format!("{directory}/")),
    }
}

/// An engine with its storage, its time and a caller. A request that is refused changes nothing, unless
/// the answer says that it does ([`Answer::refused`]).
pub struct Bench<E> {
    /// The engine.
    pub engine: E,
    /// Its storage.
    pub storage: Twin,
    /// Its mount.
    pub mount: Mount,
    /// Who calls.
    pub caller: Caller,
    /// From where.
    pub peer: Peer,
    /// The time since 1970.
    pub now: Duration,
    /// Whether the caller has `sudo`.
    pub is_privileged: bool,
    /// What is fetched.
    pub fetched: BTreeMap<super::Errand, Result<Vec<u8>, String>>,
}

impl<E: Engine> Bench<E> {
    /// An engine mounted at `path`.
    pub fn new(engine: E, kind: &str, path: &str, options: &[(&str, &str)]) -> Self {
        Self {
            engine,
            storage: Twin::default(),
            mount: Mount {
                path: path.to_owned(),
                kind: kind.to_owned(),
                description: String::new(),
                uuid: "11111111-2222-4333-8444-555555555555".to_owned(),
                accessor: format!("{kind}_01234567"),
                options: options
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                local: false,
                seal_wrap: false,
                tuning: Tuning::default(),
            },
            caller: Caller {
                id: "ab".repeat(32),
                accessor: "accessor".to_owned(),
                display_name: "token".to_owned(),
                policies: vec!["root".to_owned()],
                ..Caller::default()
            },
            peer: Peer::default(),
            now: Duration::from_secs(1_700_000_000),
            is_privileged: true,
            fetched: BTreeMap::new(),
        }
    }

    /// What a request with this body is answered. `Create` and `Update` are told apart by the engine.
    pub fn ask(&mut self, operation: Operation, path: &str, body: &str) -> Result<Answer, Fault> {
        let body = Body::parse(body.as_bytes())?;
        self.storage.touched.clear();
        let mut call = Call {
            operation,
            path,
            body: &body,
            mount: &self.mount,
            caller: Some(&self.caller),
            peer: &self.peer,
            now: self.now,
            is_privileged: self.is_privileged,
            fetched: &self.fetched,
        };
        if matches!(operation, Operation::Create | Operation::Update) {
            call.operation = match self.engine.exists(&call, &mut self.storage)? {
                Some(false) => Operation::Create,
                Some(true) | None => Operation::Update,
            };
        }
        if self.engine.is_open(path) {
            call.caller = None;
        }
        let before = self.storage.records.clone();
        let answer = self
            .engine
            .handle(&call, &mut self.storage, &mut SystemRandomness);
        match answer {
            Err(fault) => {
                self.storage.records = before;
                Err(fault)
            }
            Ok(Answer {
                refused: Some(fault), ..
            }) => Err(fault),
            Ok(answer) => Ok(answer),
        }
    }

    /// The same; the data as JSON, `null` where there are none.
    pub fn data(&mut self, operation: Operation, path: &str, body: &str) -> Result<serde_json::Value, Fault> {
        let answer = self.ask(operation, path, body)?;
        Ok(serde_json::to_value(answer.data).expect("data are JSON"))
    }
}
