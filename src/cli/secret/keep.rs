//! `stead secret put|patch|get|list|delete|undelete|destroy|metadata`: secrets by the paths that people know.
//!
//! Works on engines with and without versions. Never shows a value but where a secret is read.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::ask::{Session, object};
use super::place::Mounted;
use super::show::{self, Fields};
use crate::cli::exit::{CliError, Exit};
use crate::proto::secrets::SecretResponse;

/// A path.
#[derive(Debug, Clone, Args)]
pub(super) struct PathOf {
    /// The path, with the mount in front
    path: String,
}

/// What is written.
#[derive(Debug, Clone, Args)]
pub(super) struct Put {
    /// The path, with the mount in front
    path: String,
    /// key=value, key=@file, key=- (the standard input), @file.json or - (a whole object)
    #[arg(required = true)]
    data: Vec<String>,
    /// Only if this is the newest version; 0: only if there is none
    #[arg(long)]
    cas: Option<u64>,
}

/// What is shown.
#[derive(Debug, Clone, Args)]
pub(super) struct Get {
    /// The path, with the mount in front
    path: String,
    /// Show this field alone
    #[arg(long)]
    field: Option<String>,
    /// Show this version, not the newest
    #[arg(long, value_name = "VERSION")]
    at_version: Option<u64>,
}

/// What is deleted.
#[derive(Debug, Clone, Args)]
pub(super) struct Delete {
    /// The path, with the mount in front
    path: String,
    /// These versions, not the newest: 1,2
    #[arg(long, value_delimiter = ',')]
    versions: Vec<u64>,
}

/// Some versions of a secret.
#[derive(Debug, Clone, Args)]
pub(super) struct Versions {
    /// The path, with the mount in front
    path: String,
    /// Which versions: 1,2
    #[arg(long, required = true, value_delimiter = ',')]
    versions: Vec<u64>,
}

/// The arguments of `stead secret metadata`.
#[derive(Debug, Clone, Args)]
pub(super) struct Metadata {
    #[command(subcommand)]
    command: MetadataCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum MetadataCommand {
    /// Show the versions of a secret, and what else is known of it
    #[command(after_help = "Examples:\n  stead secret metadata get secret/db/app -o json")]
    Get(PathOf),
    /// Change how versions are kept, or what people note
    #[command(after_help = "Examples:
  stead secret metadata put secret/db/app --max-versions 5 --delete-version-after 720h
  stead secret metadata put secret/db/app --custom owner=alice --cas-required true")]
    Put(MetadataPut),
    /// Delete a secret with all its versions, for good
    #[command(after_help = "Examples:\n  stead secret metadata delete secret/db/app")]
    Delete(PathOf),
}

/// What is changed.
#[derive(Debug, Clone, Args)]
struct MetadataPut {
    /// The path, with the mount in front
    path: String,
    /// Versions that are kept; 0: as the mount says
    #[arg(long)]
    max_versions: Option<u64>,
    /// Whether every write must name the newest version
    #[arg(long)]
    cas_required: Option<bool>,
    /// How long after it was written a version is deleted
    #[arg(long)]
    delete_version_after: Option<String>,
    /// A note, key=value, in place of all notes there are; may be given several times
    #[arg(long = "custom", value_parser = super::administer::pair)]
    notes: Vec<(String, String)>,
}

/// A secret as Stead's JSON has it.
#[derive(Serialize)]
struct SecretView<'answer> {
    path: &'answer str,
    data: Option<&'answer Fields>,
    metadata: Option<&'answer RawValue>,
    deleted: bool,
}

/// A secret, whatever its engine.
pub(super) struct Read {
    /// Its fields; none where they are deleted.
    pub(super) fields: Option<Fields>,
    metadata: Option<Box<RawValue>>,
}

/// Reads a secret; `version`: 0 for the newest.
///
/// # Errors
/// It is not there, or the token may not read it.
pub(super) async fn read(
    session: &Session,
    mounted: &Mounted,
    path: &str,
    version: u64,
) -> Result<(Read, SecretResponse), CliError> {
    let wanted = if version == 0 {
        String::new()
    } else {
        json!({"version": version}).to_string()
    };
    let answer = session
        .secrets
        .read(&mounted.path_of("data", path), &wanted)
        .await?;
    Ok((unpack(mounted, &answer), answer))
}

fn unpack(mounted: &Mounted, answer: &SecretResponse) -> Read {
    let mut outer = show::fields(&answer.data);
    if !mounted.has_versions {
        return Read {
            fields: Some(outer),
            metadata: None,
        };
    }
    let data = outer.remove("data");
    Read {
        fields: data.and_then(|data| serde_json::from_str(data.get()).ok()),
        metadata: outer.remove("metadata"),
    }
}

impl Put {
    /// Writes.
    ///
    /// # Errors
    /// It was refused, or what is to be written is no object.
    pub(super) async fn put(&self, session: &Session) -> Result<(), CliError> {
        let mounted = session.mounted(&self.path).await?;
        let body = self.body(&mounted)?;
        let path = mounted.path_of("data", &self.path);
        let answer = session.secrets.write(&path, &body).await?;
        show::answer(session.format, &answer, &format!("{} written", self.path))
    }

    /// Changes some fields.
    ///
    /// # Errors
    /// As [`Put::put`].
    pub(super) async fn patch(&self, session: &Session) -> Result<(), CliError> {
        let mounted = session.mounted(&self.path).await?;
        if !mounted.has_versions {
            let message = format!(
                "{} keeps no versions, so that nothing can be patched; use put",
                mounted.path
            );
            return Err(CliError::invalid(message));
        }
        let body = self.body(&mounted)?;
        let path = mounted.path_of("data", &self.path);
        let answer = session.secrets.patch(&path, &body).await?;
        show::answer(session.format, &answer, &format!("{} written", self.path))
    }

    fn body(&self, mounted: &Mounted) -> Result<Zeroizing<String>, CliError> {
        let data = object(&self.data)?.json().map_err(CliError::failure)?;
        match (mounted.has_versions, self.cas) {
            (true, None) => Ok(Zeroizing::new(format!("{{\"data\":{}}}", *data))),
            (true, Some(cas)) => Ok(Zeroizing::new(format!(
                "{{\"data\":{},\"options\":{{\"cas\":{cas}}}}}",
                *data
            ))),
            (false, None) => Ok(data),
            (false, Some(_)) => Err(CliError::invalid(format!(
                "--cas needs versions, which {} does not keep",
                mounted.path
            ))),
        }
    }
}

impl Get {
    /// Shows.
    ///
    /// # Errors
    /// It is not there, or deleted.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let mounted = session.mounted(&self.path).await?;
        let version = self.at_version.unwrap_or(0);
        if version != 0 && !mounted.has_versions {
            let message = format!(
                "--at-version needs versions, which {} does not keep",
                mounted.path
            );
            return Err(CliError::invalid(message));
        }
        let (read, answer) = read(session, &mounted, &self.path, version).await?;
        show::warn(&answer)?;
        let gone = || {
            let message = format!("this version of {} is deleted", self.path);
            CliError::new(Exit::Server, message)
        };
        if let Some(name) = &self.field {
            return show::field(session.format, read.fields.as_ref().ok_or_else(gone)?, name);
        }
        let text = read.fields.as_ref().map(|fields| show::lines(fields).join("\n"));
        if session.format.is_json() || text.as_ref().is_some_and(|text| !text.is_empty()) {
            session.format.note(&text.unwrap_or_default(), || SecretView {
                path: &self.path,
                data: read.fields.as_ref(),
                metadata: read.metadata.as_deref(),
                deleted: answer.is_gone,
            })?;
        }
        if answer.is_gone { Err(gone()) } else { Ok(()) }
    }
}

impl PathOf {
    /// Lists what is below a path that people know.
    ///
    /// # Errors
    /// It was refused, or nothing is there.
    pub(super) async fn list(&self, session: &Session) -> Result<(), CliError> {
        let mounted = session.mounted(&self.path).await?;
        let path = mounted.path_of("metadata", &self.path);
        show::list(session.format, &session.secrets.list(&path).await?)
    }

    /// Lists what is below a path as it is.
    ///
    /// # Errors
    /// It was refused, or nothing is there.
    pub(super) async fn list_raw(&self, session: &Session) -> Result<(), CliError> {
        show::list(session.format, &session.secrets.list(&self.path).await?)
    }

    /// Deletes a path as it is.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn delete_raw(&self, session: &Session) -> Result<(), CliError> {
        let answer = session.secrets.delete(&self.path).await?;
        show::answer(session.format, &answer, &format!("{} deleted", self.path))
    }
}

impl Delete {
    /// Deletes.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        if !self.versions.is_empty() {
            return versions(session, &self.path, "delete", &self.versions).await;
        }
        let mounted = session.mounted(&self.path).await?;
        let answer = session
            .secrets
            .delete(&mounted.path_of("data", &self.path))
            .await?;
        show::answer(session.format, &answer, &format!("{} deleted", self.path))
    }
}

impl Versions {
    /// Does to them what `part` says.
    ///
    /// # Errors
    /// It was refused.
    pub(super) async fn run(&self, session: &Session, part: &str) -> Result<(), CliError> {
        versions(session, &self.path, part, &self.versions).await
    }
}

async fn versions(session: &Session, path: &str, part: &str, versions: &[u64]) -> Result<(), CliError> {
    let mounted = session.mounted(path).await?;
    if !mounted.has_versions {
        return Err(CliError::invalid(format!("{} keeps no versions", mounted.path)));
    }
    let answer = session
        .write(&mounted.path_of(part, path), &json!({"versions": versions}))
        .await?;
    let done = match part {
        "undelete" => "had back",
        "destroy" => "destroyed",
        _ => "deleted",
    };
    show::answer(
        session.format,
        &answer,
        &format!("{path}: versions {versions:?} {done}"),
    )
}

impl Metadata {
    /// Shows, changes or deletes.
    ///
    /// # Errors
    /// It was refused, or nothing is there.
    pub(super) async fn run(&self, session: &Session) -> Result<(), CliError> {
        let (MetadataCommand::Get(PathOf { path })
        | MetadataCommand::Put(MetadataPut { path, .. })
        | MetadataCommand::Delete(PathOf { path })) = &self.command;
        let mounted = session.mounted(path).await?;
        if !mounted.has_versions {
            return Err(CliError::invalid(format!("{} keeps no versions", mounted.path)));
        }
        let inside = mounted.path_of("metadata", path);
        let (answer, done) = match &self.command {
            MetadataCommand::Get(_) => (session.secrets.read(&inside, "").await?, String::new()),
            MetadataCommand::Put(put) => (
                session.write(&inside, &put.body()).await?,
                format!("{path} changed"),
            ),
            MetadataCommand::Delete(_) => {
                let answer = session.secrets.delete(&inside).await?;
                (answer, format!("{path} deleted, with all its versions"))
            }
        };
        show::answer(session.format, &answer, &done)
    }
}

impl MetadataPut {
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("max_versions", self.max_versions.map(Value::from));
        set("cas_required", self.cas_required.map(Value::from));
        set(
            "delete_version_after",
            self.delete_version_after.clone().map(Value::from),
        );
        let notes: Map<String, Value> = self
            .notes
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        set(
            "custom_metadata",
            (!notes.is_empty()).then_some(Value::Object(notes)),
        );
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(has_versions: bool) -> Mounted {
        Mounted {
            path: "secret/".to_owned(),
            has_versions,
        }
    }

    fn put(data: &[&str], cas: Option<u64>) -> Put {
        Put {
            path: "secret/a".to_owned(),
            data: data.iter().map(|text| (*text).to_owned()).collect(),
            cas,
        }
    }

    #[test]
    fn what_is_written_is_wrapped_in_data_where_there_are_versions() {
        let body = |has_versions, cas| put(&["a=b"], cas).body(&mounted(has_versions));
        assert_eq!(body(true, None).unwrap().as_str(), r#"{"data":{"a":"b"}}"#);
        assert_eq!(
            body(true, Some(0)).unwrap().as_str(),
            r#"{"data":{"a":"b"},"options":{"cas":0}}"#
        );
        assert_eq!(body(false, None).unwrap().as_str(), r#"{"a":"b"}"#);
        assert!(
            body(false, Some(1))
                .unwrap_err()
                .message
                .contains("--cas needs versions")
        );
    }

    #[test]
    fn what_is_read_is_taken_out_of_data_where_there_are_versions() {
        let answer = |data: &'static str| SecretResponse {
            data: data.into(),
            ..SecretResponse::default()
        };
        let lines = |has_versions, data| {
            let read = unpack(&mounted(has_versions), &answer(data));
            read.fields.map(|fields| show::lines(&fields).join("|"))
        };
        let versioned = r#"{"data":{"a":1.0},"metadata":{"version":3}}"#;
        assert_eq!(lines(true, versioned).as_deref(), Some("a\t1.0"));
        assert_eq!(lines(false, r#"{"a":"b"}"#).as_deref(), Some("a\tb"));
        assert_eq!(lines(true, r#"{"data":null,"metadata":{"version":3}}"#), None);
    }
}
