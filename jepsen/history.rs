//! The record of a run: what every client asked, when, and what it was told, in the operation form of Jepsen.
//!
//! An operation is an invocation and, later, its completion by the same process. A completion is `:ok` (it happened),
//! `:fail` (it did not happen and never will) or `:info` (nobody knows; it may yet happen). A process that got `:info`
//! is never heard of again, so that an invocation without an `:ok` or `:fail` stays open to the end of the history.
//! The order of the operations here is the order of recording; times are nanoseconds of one monotonic clock.

use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;

use crate::edn::{self, Edn};

/// Nanoseconds in a second, the unit of time of histories.
pub const NANOSECONDS_PER_SECOND: i64 = 1_000_000_000;

/// The first line of a history file, which says what made it.
const HEADER_KEYWORD: &str = "stead-history";

/// Whether an operation begins or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The operation begins.
    Invoke,
    /// It happened.
    Ok,
    /// It did not happen and never will.
    Fail,
    /// Unknown: it may have happened, or may yet happen.
    Info,
}

impl Kind {
    const NAMES: [(Kind, &'static str); 4] = [
        (Kind::Invoke, "invoke"),
        (Kind::Ok, "ok"),
        (Kind::Fail, "fail"),
        (Kind::Info, "info"),
    ];

    fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }
}

/// Who did an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    /// A client. Its number is new after every unknown outcome.
    Client(i64),
    /// Whoever injects faults.
    Nemesis,
}

/// One line of a history.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Whether it begins or how it ended.
    pub kind: Kind,
    /// The name of what was done, such as `read`.
    pub function: String,
    /// Who did it.
    pub process: Process,
    /// Nanoseconds since the start of the run.
    pub time: i64,
    /// The argument at invocation, the result at completion.
    pub value: Edn,
    /// The revision of the store that the answer named.
    pub revision: Option<i64>,
    /// The node that was asked.
    pub node: Option<i64>,
    /// What the server or the connection answered when it was not a success.
    pub error: Option<String>,
}

impl Operation {
    fn to_edn(&self, index: usize) -> Edn {
        let process = match self.process {
            Process::Client(number) => Edn::Integer(number),
            Process::Nemesis => Edn::keyword("nemesis"),
        };
        let mut entries = vec![
            (
                Edn::keyword("index"),
                Edn::Integer(i64::try_from(index).unwrap_or(i64::MAX)),
            ),
            (Edn::keyword("type"), Edn::keyword(self.kind.name())),
            (Edn::keyword("f"), Edn::keyword(&self.function)),
            (Edn::keyword("process"), process),
            (Edn::keyword("time"), Edn::Integer(self.time)),
            (Edn::keyword("value"), self.value.clone()),
        ];
        let optional = [
            ("revision", self.revision.map(Edn::Integer)),
            ("node", self.node.map(Edn::Integer)),
            ("error", self.error.clone().map(Edn::Text)),
        ];
        entries.extend(
            optional
                .into_iter()
                .filter_map(|(name, value)| Some((Edn::keyword(name), value?))),
        );
        Edn::Map(entries)
    }

    fn from_edn(value: &Edn) -> Result<Self, HistoryError> {
        let missing = |name: &'static str| HistoryError::Field {
            name,
            operation: value.to_string(),
        };
        let kind = value.get("type").and_then(Edn::as_keyword);
        let kind = Kind::NAMES
            .into_iter()
            .find(|(_, name)| Some(*name) == kind)
            .ok_or_else(|| missing("type"))?;
        let process = match value.get("process") {
            Some(Edn::Integer(number)) => Process::Client(*number),
            Some(Edn::Keyword(name)) if name == "nemesis" => Process::Nemesis,
            _ => return Err(missing("process")),
        };
        Ok(Self {
            kind: kind.0,
            function: value
                .get("f")
                .and_then(Edn::as_keyword)
                .ok_or_else(|| missing("f"))?
                .to_owned(),
            process,
            time: value.integer_at("time").ok_or_else(|| missing("time"))?,
            value: value.get("value").cloned().unwrap_or(Edn::Nil),
            revision: value.integer_at("revision"),
            node: value.integer_at("node"),
            error: value.get("error").and_then(Edn::as_text).map(str::to_owned),
        })
    }
}

/// A history that cannot be read or makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// The text is not notation.
    #[error("{path}: {source}")]
    Notation {
        /// The file.
        path: String,
        /// Where and what.
        source: edn::ParseError,
    },
    /// A field is missing or of the wrong type.
    #[error("the field {name:?} is missing or wrong in {operation}")]
    Field {
        /// The field.
        name: &'static str,
        /// The operation or header, as read.
        operation: String,
    },
    /// The first value of the file does not say what made the history.
    #[error("{path}: the first value must be a map with :{HEADER_KEYWORD}, :workload, :nemesis and :seed")]
    Header {
        /// The file.
        path: String,
    },
    /// A completion without an invocation, or two invocations at once.
    #[error("operation {index}: process {process:?} {problem}")]
    Order {
        /// The position in the history.
        index: usize,
        /// Whose operation.
        process: Process,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What made a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name of the workload.
    pub workload: String,
    /// The name of the nemesis.
    pub nemesis: String,
    /// The seed of all random choices.
    pub seed: u64,
}

/// An invocation together with its completion.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// The beginning.
    pub invoke: &'a Operation,
    /// The end, if the outcome is known or was reported as unknown.
    pub complete: Option<&'a Operation>,
}

impl<'a> Pair<'a> {
    /// The completion, if the operation happened.
    pub fn succeeded(&self) -> Option<&'a Operation> {
        self.complete.filter(|complete| complete.kind == Kind::Ok)
    }

    /// Whether it is certain that the operation did not happen.
    pub fn failed(&self) -> bool {
        self.complete.is_some_and(|complete| complete.kind == Kind::Fail)
    }

    /// When the outcome was known, in nanoseconds; never, if it is unknown.
    pub fn known_at(&self) -> i64 {
        match self.complete {
            Some(complete) if complete.kind != Kind::Info => complete.time,
            _ => i64::MAX,
        }
    }
}

/// A whole record.
#[derive(Clone, Debug)]
pub struct History {
    /// What made it.
    pub header: Header,
    /// Every line, in the order of recording.
    pub operations: Vec<Operation>,
}

impl History {
    /// The clients' operations, each with its completion, in the order of invocation.
    ///
    /// # Errors
    /// When a process completes what it did not invoke, or invokes before its last operation is known.
    pub fn pairs(&self) -> Result<Vec<Pair<'_>>, HistoryError> {
        let mut pairs: Vec<Pair<'_>> = Vec::new();
        let mut open = std::collections::HashMap::new();
        for (index, operation) in self.operations.iter().enumerate() {
            let process = operation.process;
            if process == Process::Nemesis {
                continue;
            }
            if operation.kind == Kind::Invoke {
                if open.insert(process, pairs.len()).is_some() {
                    return Err(HistoryError::Order {
                        index,
                        process,
                        problem: "has two operations at once",
                    });
                }
                pairs.push(Pair {
                    invoke: operation,
                    complete: None,
                });
            } else {
                let invocation = match operation.kind {
                    Kind::Info => open.get(&process).copied(),
                    _ => open.remove(&process),
                };
                match invocation.and_then(|invocation| pairs.get_mut(invocation)) {
                    Some(pair) if pair.complete.is_none() => pair.complete = Some(operation),
                    _ => {
                        return Err(HistoryError::Order {
                            index,
                            process,
                            problem: "completes what it did not invoke",
                        });
                    }
                }
            }
        }
        Ok(pairs)
    }

    /// Writes the history to `path`, a line for each operation.
    ///
    /// # Errors
    /// What the system answers.
    pub fn write(&self, path: &Path) -> Result<(), HistoryError> {
        use std::io::Write as _;
        let write = || {
            let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
            let header = Edn::map([
                (HEADER_KEYWORD, Edn::Integer(1)),
                ("workload", Edn::keyword(&self.header.workload)),
                ("nemesis", Edn::keyword(&self.header.nemesis)),
                ("seed", Edn::text(self.header.seed.to_string())),
            ]);
            writeln!(file, "{header}")?;
            for (index, operation) in self.operations.iter().enumerate() {
                writeln!(file, "{}", operation.to_edn(index))?;
            }
            file.flush()
        };
        write().map_err(|source| HistoryError::File {
            path: path.display().to_string(),
            source,
        })
    }

    /// Reads a history from `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a history.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let shown = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| HistoryError::File {
            path: shown(),
            source,
        })?;
        let values = edn::parse_all(&text).map_err(|source| HistoryError::Notation {
            path: shown(),
            source,
        })?;
        let Some((first, operations)) = values.split_first() else {
            return Err(HistoryError::Header { path: shown() });
        };
        let keyword = |name| Some(first.get(name)?.as_keyword()?.to_owned());
        let header = || {
            first.get(HEADER_KEYWORD)?;
            Some(Header {
                workload: keyword("workload")?,
                nemesis: keyword("nemesis")?,
                seed: first.get("seed")?.as_text()?.parse().ok()?,
            })
        };
        Ok(Self {
            header: header().ok_or_else(|| HistoryError::Header { path: shown() })?,
            operations: operations
                .iter()
                .map(Operation::from_edn)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Takes down operations from many tasks at once, with the time of one clock.
pub struct Recorder {
    started: Instant,
    operations: Mutex<Vec<Operation>>,
}

impl Recorder {
    /// A recorder whose time starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            operations: Mutex::new(Vec::new()),
        }
    }

    /// Takes down `operation` with the time of now. The time is taken under the lock: later in the list is later.
    pub fn record(&self, mut operation: Operation) {
        let mut operations = self.operations.lock();
        operation.time = i64::try_from(self.started.elapsed().as_nanos()).unwrap_or(i64::MAX);
        operations.push(operation);
    }

    /// Takes down the beginning or the end of a fault.
    pub fn record_fault(&self, function: &str, value: Edn) {
        self.record(Operation {
            kind: Kind::Info,
            function: function.to_owned(),
            process: Process::Nemesis,
            time: 0,
            value,
            revision: None,
            node: None,
            error: None,
        });
    }

    /// How many operations ended well, failed, and ended unknown, so far.
    pub fn tally(&self) -> [usize; 3] {
        let operations = self.operations.lock();
        [Kind::Ok, Kind::Fail, Kind::Info].map(|kind| {
            operations
                .iter()
                .filter(|operation| operation.kind == kind && operation.process != Process::Nemesis)
                .count()
        })
    }

    /// The history of all that was taken down.
    pub fn history(&self, header: Header) -> History {
        History {
            header,
            operations: self.operations.lock().clone(),
        }
    }
}
