//! Checks chains of audit records: names what was removed, changed, reordered or cut, by the number of the record.
//!
//! Without the key it checks the numbers and the hash of each record that another follows. Whoever may write the file can
//! forge those, and the last record of a chain is bound by nothing. With the key it checks every record by itself too.
//!
//! What no file can tell is whether records at its very end were removed with the process that wrote them dead:
//! [`Checked::is_ended`] says whether a chain has an end, and [`Checked::head`] is to be compared with what the node says
//! that it wrote last.
//!
//! Files are given in the order in which they were written. Never needs more of them in memory than a line.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use serde::Serialize;

use super::chain::{Head, Link, Record, Start, hasher};
use crate::base::limits::{MAXIMUM_AUDIT_FAULTS, MAXIMUM_AUDIT_PREFIX_BYTES, MAXIMUM_AUDIT_RECORD_BYTES};
use crate::service::secrets::barrier::hashed::Hasher;
use crate::service::secrets::memory::Key;

/// Bytes of a line, with the record's place and what may be in front of it.
const MAXIMUM_LINE_BYTES: usize = MAXIMUM_AUDIT_RECORD_BYTES + MAXIMUM_AUDIT_PREFIX_BYTES + 4 * 1024;

/// What is wrong, and at which line of all that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line, from 1.
    pub line: u64,
    /// The chain; empty: it cannot be told.
    pub chain: String,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A line that is no record, or not all of one.
    Unreadable,
    /// The record was changed: its keyed hash is wrong.
    Changed {
        /// Its number.
        sequence: u64,
    },
    /// The record is not the one that the next says it is: one of both was changed.
    Unlinked {
        /// Its number.
        sequence: u64,
    },
    /// Records are missing.
    Removed {
        /// The number of the first.
        first: u64,
        /// The number of the last.
        last: u64,
    },
    /// The record stands behind one that was written after it.
    Reordered {
        /// Its number.
        sequence: u64,
    },
    /// There was a record of that number before.
    Repeated {
        /// Its number.
        sequence: u64,
    },
    /// The chain does not begin with a start: all before this record is missing.
    Headless {
        /// The number of the first that is there.
        sequence: u64,
    },
    /// A chain says that it continues a record that is not the last one before it.
    Severed {
        /// The id of the chain that it continues.
        continued: String,
        /// The number of the record that should be the last of that.
        sequence: u64,
    },
}

/// A chain, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The node that wrote it.
    pub node: String,
    /// The device of that.
    pub device: String,
    /// The first record that was read.
    pub first: u64,
    /// What the first record follows that was not read: compare it with the file before.
    pub follows: Option<(Link, Start)>,
    /// The last record that was read: compare it with what the node says.
    pub head: Head,
    /// Whether the last record says that none follows. If not: the node writes on, was killed, or records were removed.
    pub is_ended: bool,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Records that were read.
    pub records: u64,
    /// What is wrong, by line.
    pub faults: Vec<Fault>,
    /// How much more is wrong that is not in `faults`.
    pub further_faults: u64,
    /// Each chain, in the order in which they begin.
    pub chains: Vec<Checked>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.faults.is_empty() && self.further_faults == 0
    }
}

/// Checks what one reader gives. See [`Verifier`].
///
/// # Errors
/// It cannot be read.
pub fn verify(reader: impl BufRead, hash_key: Option<&Key>) -> io::Result<Report> {
    let mut verifier = Verifier::new(hash_key);
    verifier.read(reader)?;
    Ok(verifier.finish())
}

/// Checks files one after the other.
pub struct Verifier<'key> {
    hash_key: Option<&'key Key>,
    /// That of the device of the last record.
    hasher: Option<(String, Hasher)>,
    /// Where in the chains each is.
    known: BTreeMap<String, usize>,
    /// Numbers that are missing so far: by chain and the first, the last and the line at which that was seen.
    missing: BTreeMap<(usize, u64), (u64, u64)>,
    line: u64,
    /// Whether it is the first line of a file.
    is_first_line: bool,
    report: Report,
}

impl<'key> Verifier<'key> {
    /// Checks the keyed hashes too if it has the keyring's hash key.
    #[must_use]
    pub fn new(hash_key: Option<&'key Key>) -> Self {
        Self {
            hash_key,
            hasher: None,
            known: BTreeMap::new(),
            missing: BTreeMap::new(),
            line: 0,
            is_first_line: true,
            report: Report::default(),
        }
    }

    /// Checks the next file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, mut reader: impl BufRead) -> io::Result<()> {
        self.is_first_line = true;
        let mut line = Vec::new();
        loop {
            line.clear();
            let most = u64::try_from(MAXIMUM_LINE_BYTES).unwrap_or(u64::MAX);
            if reader.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.line += 1;
            match (line.strip_suffix(b"\n"), line.len() < MAXIMUM_LINE_BYTES) {
                (Some(whole), _) => self.check(whole),
                (None, true) => self.fault("", FaultKind::Unreadable),
                (None, false) => {
                    self.fault("", FaultKind::Unreadable);
                    skip_line(&mut reader)?;
                }
            }
            self.is_first_line = false;
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for ((chain, first), (last, line)) in std::mem::take(&mut self.missing) {
            self.line = line;
            let chain = self.report.chains.get(chain).map(|chain| chain.head.id.clone());
            self.fault(&chain.unwrap_or_default(), FaultKind::Removed { first, last });
        }
        self.report.faults.sort_by_key(|fault| fault.line);
        self.report
    }

    fn fault(&mut self, chain: &str, kind: FaultKind) {
        if self.report.faults.len() < MAXIMUM_AUDIT_FAULTS {
            self.report.faults.push(Fault {
                line: self.line,
                chain: chain.to_owned(),
                kind,
            });
        } else {
            self.report.further_faults += 1;
        }
    }

    fn check(&mut self, line: &[u8]) {
        let Some((record, object)) = Record::read(line) else {
            return self.fault("", FaultKind::Unreadable);
        };
        self.report.records += 1;
        let sequence = record.chain.sequence;
        if !self.is_authentic(&record, object) {
            self.fault(&record.chain.id, FaultKind::Changed { sequence });
        }
        let link = Link::of(object);
        match self.known.get(&record.chain.id).copied() {
            Some(chain) => self.follow(chain, &record, link),
            None => self.begin(record, link),
        }
    }

    fn is_authentic(&mut self, record: &Record, object: &[u8]) -> bool {
        let Some(key) = self.hash_key else {
            return true;
        };
        let device = &record.chain.device;
        let hasher = match &mut self.hasher {
            Some((known, hasher)) if known == device => hasher,
            other => &mut other.insert((device.clone(), hasher(key, device))).1,
        };
        Record::is_authentic(object, hasher)
    }

    /// A record of a chain that was not seen before.
    fn begin(&mut self, record: Record, link: Link) {
        let place = record.chain;
        let sequence = place.sequence;
        let is_ended = record.kind == "end";
        let mut follows = None;
        match record.start {
            None => self.fault(&place.id, FaultKind::Headless { sequence }),
            Some(start) => {
                self.check_start(&place.id, sequence, place.previous.as_ref(), &start);
                let is_known = start
                    .continues
                    .as_ref()
                    .is_some_and(|continued| self.known.contains_key(&continued.id));
                follows = place
                    .previous
                    .filter(|_| !is_known)
                    .map(|previous| (previous, start));
            }
        }
        self.known.insert(place.id.clone(), self.report.chains.len());
        self.report.chains.push(Checked {
            node: place.node,
            device: place.device,
            first: sequence,
            follows,
            head: Head {
                id: place.id,
                sequence,
                link,
            },
            is_ended,
        });
    }

    fn check_start(&mut self, id: &str, sequence: u64, previous: Option<&Link>, start: &Start) {
        // What was before it in its file is not there any more.
        if !start.is_first && self.is_first_line {
            self.fault(id, FaultKind::Headless { sequence });
        }
        let Some(continued) = &start.continues else {
            return;
        };
        let chain = self
            .known
            .get(&continued.id)
            .and_then(|chain| self.report.chains.get(*chain));
        let is_last = chain.is_some_and(|chain| {
            chain.head.sequence == continued.sequence && previous == Some(&chain.head.link)
        });
        // It was found in this very file.
        if !is_last {
            let kind = FaultKind::Severed {
                continued: continued.id.clone(),
                sequence: continued.sequence,
            };
            self.fault(id, kind);
        }
    }

    /// A record of a chain that was seen before.
    fn follow(&mut self, chain: usize, record: &Record, link: Link) {
        let id = record.chain.id.clone();
        let sequence = record.chain.sequence;
        let Some(known) = self.report.chains.get(chain) else {
            return;
        };
        let next = known.head.sequence.saturating_add(1);
        let is_linked = record.chain.previous.as_ref() == Some(&known.head.link);
        let was_ended = known.is_ended;
        let first = known.first;
        if sequence < next {
            let kind = match self.take_missing(chain, sequence) || sequence < first {
                true => FaultKind::Reordered { sequence },
                false => FaultKind::Repeated { sequence },
            };
            return self.fault(&id, kind);
        }
        if sequence > next {
            self.missing.insert((chain, next), (sequence - 1, self.line));
        } else if !is_linked || was_ended {
            self.fault(&id, FaultKind::Unlinked { sequence: next - 1 });
        }
        if let Some(known) = self.report.chains.get_mut(chain) {
            known.head = Head { id, sequence, link };
            known.is_ended = record.kind == "end";
        }
    }

    /// Whether a record was missing so far.
    fn take_missing(&mut self, chain: usize, sequence: u64) -> bool {
        let before = self.missing.range(..=(chain, sequence)).next_back();
        let Some((&(of, first), &(last, line))) = before.filter(|(_, (last, _))| sequence <= *last) else {
            return false;
        };
        if of != chain {
            return false;
        }
        self.missing.remove(&(chain, first));
        if first < sequence {
            self.missing.insert((chain, first), (sequence - 1, line));
        }
        if sequence < last {
            self.missing.insert((chain, sequence + 1), (last, line));
        }
        true
    }
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = reader.fill_buf()?;
        let (length, is_end) = match buffered.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffered.len(), buffered.is_empty()),
        };
        reader.consume(length);
        if is_end {
            return Ok(());
        }
    }
}
