//! `stead secret mount|auth`: what is mounted, and what turning something on or off takes. Never shows a secret.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::ask::Session;
use super::show;
use crate::cli::exit::CliError;

/// A pair, key=value.
///
/// # Errors
/// It is none.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write key=value".to_owned()),
    }
}

/// What is turned on.
#[derive(Debug, Clone, Args)]
pub(super) struct Enable {
    /// What: the kind of engine, of method or of device
    kind: String,
    /// Where [default: the kind]
    #[arg(long = "at", value_name = "PATH")]
    path: Option<String>,
    /// What people call it
    #[arg(long)]
    description: Option<String>,
    /// An option, key=value; may be given several times
    #[arg(long = "option", value_parser = pair)]
    options: Vec<(String, String)>,
}

/// What is turned off.
#[derive(Debug, Clone, Args)]
pub(super) struct Disable {
    /// Where it is
    pub(super) path: String,
}

/// The arguments of `stead secret mount` and `stead secret auth`.
#[derive(Debug, Clone, Args)]
pub(super) struct Mounts {
    #[command(subcommand)]
    command: MountCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum MountCommand {
    /// Mount
    #[command(after_help = "Examples:
  stead secret mount enable kv --at secret --option version=2
  stead secret auth enable userpass --at people --default-ttl 1h")]
    Enable {
        #[command(flatten)]
        enable: Enable,
        /// How long what is leased lasts where nobody says
        #[arg(long)]
        default_ttl: Option<String>,
        /// How long it may last
        #[arg(long)]
        max_ttl: Option<String>,
    },
    /// Unmount, and remove all that is below
    #[command(after_help = "Examples:
  stead secret mount disable secret
  stead secret auth disable userpass")]
    Disable(Disable),
    /// List what is mounted
    #[command(after_help = "Examples:
  stead secret mount list
  stead secret auth list -o json")]
    List,
}

impl Enable {
    pub(super) fn at(&self) -> &str {
        self.path.as_deref().unwrap_or(&self.kind).trim_matches('/')
    }

    pub(super) fn body(&self) -> Map<String, Value> {
        let options: Map<String, Value> = self
            .options
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let mut body = Map::new();
        body.insert("type".to_owned(), self.kind.clone().into());
        if let Some(description) = &self.description {
            body.insert("description".to_owned(), description.clone().into());
        }
        if !options.is_empty() {
            body.insert("options".to_owned(), options.into());
        }
        body
    }
}

impl Mounts {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session, root: &str) -> Result<(), CliError> {
        match &self.command {
            MountCommand::Enable {
                enable,
                default_ttl,
                max_ttl,
            } => {
                let mut body = enable.body();
                let mut config = Map::new();
                for (name, value) in [("default_lease_ttl", default_ttl), ("max_lease_ttl", max_ttl)] {
                    config.extend(value.clone().map(|value| (name.to_owned(), Value::from(value))));
                }
                if !config.is_empty() {
                    body.insert("config".to_owned(), config.into());
                }
                turn_on(session, root, enable.at(), body).await
            }
            MountCommand::Disable(disable) => turn_off(session, root, &disable.path).await,
            MountCommand::List => list(session, root).await,
        }
    }
}

pub(super) async fn turn_on(
    session: &Session,
    root: &str,
    at: &str,
    body: Map<String, Value>,
) -> Result<(), CliError> {
    let answer = session.write(&format!("{root}/{at}"), &body.into()).await?;
    show::answer(session.format, &answer, &format!("{at}/ is there"))
}

pub(super) async fn turn_off(session: &Session, root: &str, path: &str) -> Result<(), CliError> {
    let path = path.trim_matches('/');
    let answer = session.secrets.delete(&format!("{root}/{path}")).await?;
    show::answer(session.format, &answer, &format!("{path}/ is gone"))
}

pub(super) async fn list(session: &Session, root: &str) -> Result<(), CliError> {
    let answer = session.secrets.read(root, "").await?;
    show::warn(&answer)?;
    let mounts: Value = serde_json::from_slice(&answer.data).unwrap_or_default();
    let lines = lines(&mounts);
    if lines.is_empty() && !session.format.is_json() {
        return Ok(());
    }
    session
        .format
        .note(&lines.join("\n"), || json!({"mounts": mounts}))
}

fn lines(mounts: &Value) -> Vec<String> {
    let mounts = mounts.as_object().into_iter().flatten();
    let line = |(path, mount): (&String, &Value)| {
        let text = |name: &str| mount.get(name).and_then(Value::as_str).unwrap_or_default();
        let options: Vec<String> = mount
            .get("options")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
            .collect();
        let (kind, description) = (text("type"), text("description"));
        format!("{path}\t{kind}\t{}\t{description}", options.join(","))
            .trim_end()
            .to_owned()
    };
    mounts.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_at_its_kind_unless_said_otherwise() {
        let mut enable = Enable {
            kind: "kv".to_owned(),
            path: None,
            description: None,
            options: vec![("version".to_owned(), "2".to_owned())],
        };
        assert_eq!(enable.at(), "kv");
        assert_eq!(
            Value::from(enable.body()).to_string(),
            r#"{"options":{"version":"2"},"type":"kv"}"#
        );
        enable.path = Some("/secret/".to_owned());
        assert_eq!(enable.at(), "secret");
    }

    #[test]
    fn a_mount_is_a_line() {
        let mounts = json!({
            "secret/": {"type": "kv", "options": {"version": "2"}, "description": "of all"},
            "sys/": {"type": "system", "options": null, "description": ""},
        });
        assert_eq!(lines(&mounts), ["secret/\tkv\tversion=2\tof all", "sys/\tsystem"]);
    }
}
