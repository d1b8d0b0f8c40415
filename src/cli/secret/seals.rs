//! `stead secret seals`: what opens the root key by itself. Never sees a key.

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ask::Session;
use super::show;
use crate::cli::exit::CliError;

/// Where the seals are.
const SEALS: &str = "sys/seals";

/// The arguments of `stead secret seals`.
#[derive(Debug, Clone, Args)]
pub(super) struct Seals {
    /// Take the seals of the node's settings in place of those that there are
    #[arg(long)]
    apply: bool,
    /// Keep the seals that its settings do not name
    #[arg(long, requires = "apply")]
    keep_others: bool,
}

/// A seal, as the server tells it.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    name: String,
    kind: String,
    in_use: bool,
    configured: bool,
    opens: bool,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Told {
    seals: Vec<Seal>,
}

impl Seals {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused: a seal cannot be used, or the token has no right to it.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let answer = if self.apply {
            let body = json!({"keep_others": self.keep_others});
            session.write(SEALS, &body).await?
        } else {
            session.secrets.read(SEALS, "").await?
        };
        show::warn(&answer)?;
        let told: Told = serde_json::from_slice(&answer.data).map_err(|error| {
            CliError::failure(format!("the answer of the server cannot be read: {error}"))
        })?;
        let lines: Vec<String> = told.seals.iter().map(line).collect();
        session
            .format
            .note(&lines.join("\n"), || json!({"seals": told.seals}))
    }
}

fn line(seal: &Seal) -> String {
    let state = match (seal.in_use, seal.opens) {
        (false, _) => "not in use".to_owned(),
        (true, true) => "opens".to_owned(),
        (true, false) => format!("does not open: {}", seal.reason),
    };
    format!("{}\t{}\t{state}", seal.name, seal.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_a_line_that_says_whether_it_opens() {
        let mut seal = Seal {
            name: "rack".to_owned(),
            kind: "key-file".to_owned(),
            in_use: true,
            configured: true,
            opens: true,
            reason: String::new(),
        };
        assert_eq!(line(&seal), "rack\tkey-file\topens");
        seal.opens = false;
        seal.reason = "its key is another".to_owned();
        assert_eq!(line(&seal), "rack\tkey-file\tdoes not open: its key is another");
        seal.in_use = false;
        assert_eq!(line(&seal), "rack\tkey-file\tnot in use");
    }
}
