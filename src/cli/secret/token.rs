//! `stead secret token`: makes, shows, renews and revokes tokens. Shows a token only when it makes it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::administer::pair;
use super::ask::{Session, hidden};
use super::raw::seconds;
use super::show;
use crate::cli::exit::CliError;

/// The arguments of `stead secret token`.
#[derive(Debug, Clone, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum TokenCommand {
    /// Make a token, below the one that is used
    #[command(after_help = "Examples:
  stead secret token create --policy app --ttl 1h
  stead secret token create --policy app --period 24h --orphan -o json
  stead secret token create --role deploy --wrap-ttl 5m")]
    Create(Create),
    /// Show what is known of a token: of the own one, if none is named
    #[command(after_help = "Examples:
  stead secret token lookup
  stead secret token lookup --of-file token.txt -o json
  stead secret token lookup --accessor 8609694a-cdbc-db9b-d345-e782dbb562ed")]
    Lookup(Which),
    /// Renew a token: the own one, if none is named
    #[command(after_help = "Examples:
  stead secret token renew
  stead secret token renew --increment 1h --accessor 8609694a-cdbc-db9b-d345-e782dbb562ed")]
    Renew {
        #[command(flatten)]
        which: Which,
        /// For how long
        #[arg(long, value_parser = seconds)]
        increment: Option<u64>,
    },
    /// Revoke a token, with all that were made below it
    #[command(after_help = "Examples:
  stead secret token revoke --self
  stead secret token revoke --accessor 8609694a-cdbc-db9b-d345-e782dbb562ed")]
    Revoke {
        #[command(flatten)]
        which: Which,
        /// The own one
        #[arg(long = "self", conflicts_with_all = ["of_file", "accessor"])]
        own: bool,
    },
    /// Show what a token may do with paths
    #[command(after_help = "Examples:
  stead secret token capabilities secret/data/db/app
  stead secret token capabilities sys/mounts auth/token/create -o json
  stead secret token capabilities secret/data/db/app --of-file token.txt")]
    Capabilities {
        /// The paths, as they are
        #[arg(required = true)]
        paths: Vec<String>,
        #[command(flatten)]
        which: Which,
    },
}

/// Which token.
#[derive(Debug, Clone, Args)]
struct Which {
    /// File with the token; -: the standard input
    #[arg(long, value_name = "FILE")]
    of_file: Option<PathBuf>,
    /// The accessor of the token
    #[arg(long, conflicts_with = "of_file")]
    accessor: Option<String>,
}

/// Whether a token is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// It is: it can be renewed and revoked
    Service,
    /// It is not
    Batch,
}

/// What is made.
#[derive(Debug, Clone, Args)]
struct Create {
    /// A policy; may be given several times [default: those of the token that is used]
    #[arg(long = "policy")]
    policies: Vec<String>,
    /// How long it lasts
    #[arg(long, value_parser = seconds)]
    ttl: Option<u64>,
    /// It lasts so long after each renewal, for ever
    #[arg(long, value_parser = seconds)]
    period: Option<u64>,
    /// How long it lasts whatever else is said
    #[arg(long, value_parser = seconds)]
    explicit_max_ttl: Option<u64>,
    /// How often it may be used
    #[arg(long)]
    uses: Option<u64>,
    /// The name that audit devices show
    #[arg(long)]
    display_name: Option<String>,
    /// A pair of what is said of who has it, key=value; may be given several times
    #[arg(long = "meta", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Without a parent
    #[arg(long, conflicts_with = "role")]
    orphan: bool,
    /// Without the policy `default`
    #[arg(long)]
    no_default_policy: bool,
    /// It cannot be renewed
    #[arg(long)]
    fixed: bool,
    /// Whether it is stored
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// By this role
    #[arg(long)]
    role: Option<String>,
    /// Wrap the answer for so long
    #[arg(long, value_parser = seconds)]
    wrap_ttl: Option<u64>,
}

impl Create {
    fn path(&self) -> String {
        match &self.role {
            Some(role) => format!("auth/token/create/{role}"),
            None if self.orphan => "auth/token/create-orphan".to_owned(),
            None => "auth/token/create".to_owned(),
        }
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let span = |seconds: u64| Value::from(format!("{seconds}s"));
        let metadata: Map<String, Value> = self
            .metadata
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let kind = self.kind.map(|kind| match kind {
            Kind::Service => Value::from("service"),
            Kind::Batch => Value::from("batch"),
        });
        for (name, value) in [
            (
                "policies",
                (!self.policies.is_empty()).then(|| self.policies.clone().into()),
            ),
            ("ttl", self.ttl.map(span)),
            ("period", self.period.map(span)),
            ("explicit_max_ttl", self.explicit_max_ttl.map(span)),
            ("num_uses", self.uses.map(Value::from)),
            ("display_name", self.display_name.clone().map(Value::from)),
            ("meta", (!metadata.is_empty()).then_some(Value::Object(metadata))),
            (
                "no_default_policy",
                self.no_default_policy.then_some(Value::Bool(true)),
            ),
            ("renewable", self.fixed.then_some(Value::Bool(false))),
            ("type", kind),
        ] {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        }
        Value::Object(body)
    }
}

impl Which {
    /// What follows the path of an action, and what names the token in its body.
    fn named(&self) -> Result<(&'static str, Map<String, Value>), CliError> {
        let mut body = Map::new();
        let suffix = match (&self.of_file, &self.accessor) {
            (None, None) => "-self",
            (None, Some(accessor)) => {
                body.insert("accessor".to_owned(), accessor.clone().into());
                "-accessor"
            }
            (Some(file), _) => {
                let from_input = (file.as_os_str() == "-").then_some("-");
                let token = hidden("token", from_input, Some(file))?;
                body.insert("token".to_owned(), token.as_str().into());
                ""
            }
        };
        Ok((suffix, body))
    }
}

impl Token {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let format = session.format;
        let (path, body, done) = match &self.command {
            TokenCommand::Create(create) => {
                let wrap = create.wrap_ttl.unwrap_or(0);
                let body = create.body().to_string();
                let answer = session.secrets.write_wrapped(&create.path(), &body, wrap).await?;
                return show::answer(format, &answer, "");
            }
            TokenCommand::Lookup(which) => {
                let (suffix, body) = which.named()?;
                if suffix == "-self" {
                    let answer = session.secrets.read("auth/token/lookup-self", "").await?;
                    let mut fields = show::fields(&answer.data);
                    // It is the token itself.
                    fields.remove("id");
                    return format.note(&show::lines(&fields).join("\n"), || &fields);
                }
                (format!("auth/token/lookup{suffix}"), body, "")
            }
            TokenCommand::Renew { which, increment } => {
                let (suffix, mut body) = which.named()?;
                body.extend(increment.map(|seconds| ("increment".to_owned(), json!(format!("{seconds}s")))));
                let answer = session
                    .write(&format!("auth/token/renew{suffix}"), &body.into())
                    .await?;
                let lines = answer.auth.as_ref().map(|auth| show::auth_lines(auth, false));
                return format.note(&lines.unwrap_or_default().join("\n"), || {
                    show::AnswerView::of(&answer)
                });
            }
            TokenCommand::Revoke { which, own } => {
                let (suffix, body) = which.named()?;
                if suffix == "-self" && !own {
                    return Err(CliError::invalid(
                        "which token? --self, --of-file or --accessor says it",
                    ));
                }
                (format!("auth/token/revoke{suffix}"), body, "revoked")
            }
            TokenCommand::Capabilities { paths, which } => {
                let (suffix, mut body) = which.named()?;
                body.insert("paths".to_owned(), paths.clone().into());
                (format!("sys/capabilities{suffix}"), body, "")
            }
        };
        let answer = session.write(&path, &body.into()).await?;
        show::answer(format, &answer, done)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    #[test]
    fn what_is_not_said_of_a_token_is_left_to_the_server() {
        let create = |line: &[&str]| {
            let line = Line::parse_from([&["create"], line].concat());
            (line.create.path(), line.create.body().to_string())
        };
        assert_eq!(create(&[]), ("auth/token/create".to_owned(), "{}".to_owned()));
        assert_eq!(
            create(&[
                "--policy", "a", "--policy", "b", "--ttl", "1h", "--uses", "3", "--orphan"
            ]),
            (
                "auth/token/create-orphan".to_owned(),
                r#"{"num_uses":3,"policies":["a","b"],"ttl":"3600s"}"#.to_owned()
            )
        );
        let line = [
            "--role",
            "r",
            "--meta",
            "a=b",
            "--kind",
            "batch",
            "--fixed",
            "--no-default-policy",
        ];
        assert_eq!(
            create(&line),
            (
                "auth/token/create/r".to_owned(),
                r#"{"meta":{"a":"b"},"no_default_policy":true,"renewable":false,"type":"batch"}"#.to_owned()
            )
        );
    }
}
