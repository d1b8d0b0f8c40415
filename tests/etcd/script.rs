//! The format of a script: what is asked, and what an etcd v3 answers.
//!
//! ```text
//! # Anything else is a comment.
//! > put a 1
//! revision 2
//!
//! > range a sort=9
//! error InvalidArgument: etcdserver: invalid sort option
//! ~ etcd 3.5.1 took any number as a sort option
//! | revision 2, count 1
//! | a = 1 (create 2, mod 2, version 1)
//! ```
//!
//! A step begins with the lines of its command, each after `> `, and goes on with the lines of the answer. An answer
//! ends at an empty line. Where etcd 3.5.1, the etcd these tests can install, answers otherwise than etcd 3.7, which
//! Stead follows, a line `~ reason` and the answer of 3.5.1 after `| ` follow. A reason without an answer means that
//! 3.5.1 is not asked.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::support::Result;

/// One command and its answer.
pub struct Step {
    /// The number of the command's first line in its file, from 1.
    pub line: usize,
    pub command: Vec<String>,
    /// What etcd 3.7 answers.
    pub answer: Vec<String>,
    pub difference: Option<Difference>,
}

/// What etcd 3.5.1 is known to do otherwise, and why. No answer: it cannot be asked.
pub struct Difference {
    pub reason: String,
    pub answer: Vec<String>,
}

enum Part {
    Comment(String),
    Step(Step),
}

/// A file of steps: its name is the claim that the steps show.
pub struct Script {
    pub name: String,
    parts: Vec<Part>,
}

impl Script {
    pub fn read(path: &Path) -> Result<Self> {
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(path)?;
        let parts = parse(&text).map_err(|problem| format!("{}:{problem}", path.display()))?;
        Ok(Self { name, parts })
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().filter_map(|part| match part {
            Part::Step(step) => Some(step),
            Part::Comment(_) => None,
        })
    }

    /// The file with `answers`, one for each step, as what etcd 3.5.1 said.
    pub fn with_answers(&self, answers: &[Vec<String>]) -> String {
        let mut text = String::new();
        let mut answers = answers.iter();
        for part in &self.parts {
            match part {
                Part::Comment(line) => writeln!(text, "{line}"),
                Part::Step(step) => {
                    let observed = answers.next().unwrap_or(&step.answer);
                    text.write_str(&step.with_answer(observed))
                }
            }
            .expect("writing to a string does not fail");
        }
        text
    }
}

impl Step {
    /// Whether etcd 3.5.1 can be asked this.
    pub fn is_for_etcd(&self) -> bool {
        self.difference
            .as_ref()
            .is_none_or(|difference| !difference.answer.is_empty())
    }

    fn with_answer(&self, observed: &[String]) -> String {
        let mut text = String::new();
        let mut line = |mark: &str, content: &str| {
            text += format!("{mark}{content}").trim_end();
            text.push('\n');
        };
        self.command.iter().for_each(|content| line("> ", content));
        match &self.difference {
            None => observed.iter().for_each(|content| line("", content)),
            Some(difference) => {
                self.answer.iter().for_each(|content| line("", content));
                line("~ ", &difference.reason);
                observed.iter().for_each(|content| line("| ", content));
            }
        }
        text
    }
}

fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut open: Option<Step> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let step = match &mut open {
            Some(step) => step,
            None => match line.strip_prefix("> ") {
                Some(command) => {
                    open = Some(Step {
                        line: number,
                        command: vec![command.to_owned()],
                        answer: Vec::new(),
                        difference: None,
                    });
                    continue;
                }
                None if line.is_empty() || line.starts_with('#') => {
                    parts.push(Part::Comment(line.to_owned()));
                    continue;
                }
                None => return Err(format!("{number}: a comment begins with #, a command with >")),
            },
        };
        if line.is_empty() {
            parts.extend(open.take().map(Part::Step));
            parts.push(Part::Comment(String::new()));
        } else if let Some(reason) = line.strip_prefix("~ ") {
            step.difference = Some(Difference {
                reason: reason.to_owned(),
                answer: Vec::new(),
            });
        } else if let Some(difference) = &mut step.difference {
            let line = line
                .strip_prefix("| ")
                .ok_or(format!("{number}: the answer of 3.5.1 begins with |"))?;
            difference.answer.push(line.to_owned());
        } else if let Some(command) = line.strip_prefix('>') {
            step.command
                .push(command.strip_prefix(' ').unwrap_or(command).to_owned());
        } else {
            step.answer.push(line.to_owned());
        }
    }
    parts.extend(open.take().map(Part::Step));
    Ok(parts)
}
