//! How answers of the secret store look: a line for each field, or JSON in Stead's shape.
//!
//! Every number stays as the server wrote it. Warnings go to standard error.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use serde::Serialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::exit::{CliError, Exit};
use crate::cli::output::Format;
use crate::proto::secrets::{Auth, Lease, SecretResponse, Wrapped};

/// Fields of JSON, by name.
pub(super) type Fields = BTreeMap<String, Box<RawValue>>;

/// The fields of an object; none of what is no object.
pub(super) fn fields(json: &[u8]) -> Fields {
    serde_json::from_slice(json).unwrap_or_default()
}

/// A value for people and programs: text without its quotes, everything else as JSON.
pub(super) fn plain(value: &RawValue) -> Zeroizing<String> {
    let text = serde_json::from_str::<String>(value.get());
    Zeroizing::new(text.unwrap_or_else(|_| value.get().to_owned()))
}

/// A line for each field.
pub(super) fn lines(fields: &Fields) -> Vec<String> {
    let shown = fields.iter();
    shown
        .map(|(name, value)| format!("{name}\t{}", *plain(value)))
        .collect()
}

/// Says what the server warns of.
///
/// # Errors
/// It cannot be written.
pub(super) fn warn(answer: &SecretResponse) -> io::Result<()> {
    for warning in &answer.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    Ok(())
}

/// Shows an answer; one that has nothing to say is `done`.
///
/// # Errors
/// It cannot be written.
pub(super) fn answer(format: Format, answer: &SecretResponse, done: &str) -> Result<(), CliError> {
    warn(answer)?;
    if let Some(raw) = &answer.raw {
        let mut out = io::stdout().lock();
        out.write_all(&raw.bytes)?;
        return Ok(out.flush()?);
    }
    format.note(&text(answer, done), || AnswerView::of(answer))
}

/// Shows one field of an answer.
///
/// # Errors
/// There is no such field, or it cannot be written.
pub(super) fn field(format: Format, fields: &Fields, name: &str) -> Result<(), CliError> {
    let Some(value) = fields.get(name) else {
        let known: Vec<&str> = fields.keys().map(String::as_str).collect();
        let message = format!("there is no field {name:?}; there are: {}", known.join(", "));
        return Err(CliError::new(Exit::Server, message));
    };
    format.note(&plain(value), || value)
}

/// Shows the names of a list.
///
/// # Errors
/// It cannot be written.
pub(super) fn list(format: Format, answer: &SecretResponse) -> Result<(), CliError> {
    warn(answer)?;
    let keys: Vec<String> = names(answer);
    if keys.is_empty() && !format.is_json() {
        return Ok(());
    }
    format.note(&keys.join("\n"), || serde_json::json!({"keys": keys}))
}

fn names(answer: &SecretResponse) -> Vec<String> {
    let fields = fields(&answer.data);
    let keys = fields.get("keys").map(|keys| serde_json::from_str(keys.get()));
    keys.and_then(Result::ok).unwrap_or_default()
}

fn text(answer: &SecretResponse, done: &str) -> String {
    let mut lines = lines(&fields(&answer.data));
    if let Some(lease) = answer.lease.as_ref().filter(|lease| !lease.id.is_empty()) {
        lines.push(format!("lease\t{}", lease.id));
        lines.push(format!("lease seconds\t{}", lease.seconds));
        lines.push(format!("lease renewable\t{}", lease.is_renewable));
    }
    if let Some(auth) = &answer.auth {
        lines.extend(auth_lines(auth, true));
    }
    if let Some(wrapped) = &answer.wrapped {
        lines.push(format!("wrapping token\t{}", wrapped.token));
        lines.push(format!("wrapping accessor\t{}", wrapped.accessor));
        lines.push(format!("wrapping seconds\t{}", wrapped.ttl_seconds));
        lines.push(format!("wrapped path\t{}", wrapped.creation_path));
    }
    if lines.is_empty() {
        done.to_owned()
    } else {
        lines.join("\n")
    }
}

/// What is known of a token that was made; with itself if `whole`.
pub(super) fn auth_lines(auth: &Auth, whole: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if whole {
        lines.push(format!("token\t{}", auth.token));
    }
    lines.push(format!("accessor\t{}", auth.accessor));
    lines.push(format!("policies\t{}", auth.policies.join(",")));
    lines.push(format!("kind\t{}", auth.kind));
    lines.push(match auth.lease_seconds {
        0 => "seconds\tfor ever".to_owned(),
        seconds => format!("seconds\t{seconds}"),
    });
    lines.push(format!("renewable\t{}", auth.is_renewable));
    lines
}

/// An answer in Stead's JSON.
#[derive(Serialize)]
pub(super) struct AnswerView<'answer> {
    request_id: &'answer str,
    data: Option<Fields>,
    lease: Option<LeaseView<'answer>>,
    auth: Option<AuthView<'answer>>,
    wrapped: Option<WrappedView<'answer>>,
    mount_kind: &'answer str,
    deleted: bool,
    warnings: &'answer [String],
}

#[derive(Serialize)]
struct LeaseView<'answer> {
    id: &'answer str,
    seconds: u64,
    renewable: bool,
}

#[derive(Serialize)]
struct AuthView<'answer> {
    token: &'answer str,
    accessor: &'answer str,
    policies: &'answer [String],
    metadata: BTreeMap<&'answer str, &'answer str>,
    seconds: u64,
    renewable: bool,
    orphan: bool,
    kind: &'answer str,
    uses: u64,
}

#[derive(Serialize)]
struct WrappedView<'answer> {
    token: &'answer str,
    accessor: &'answer str,
    seconds: u64,
    created_milliseconds: u64,
    creation_path: &'answer str,
    wrapped_accessor: &'answer str,
}

impl<'answer> AnswerView<'answer> {
    /// Of an answer.
    pub(super) fn of(answer: &'answer SecretResponse) -> Self {
        let lease = |lease: &'answer Lease| LeaseView {
            id: &lease.id,
            seconds: lease.seconds,
            renewable: lease.is_renewable,
        };
        let wrapped = |wrapped: &'answer Wrapped| WrappedView {
            token: &wrapped.token,
            accessor: &wrapped.accessor,
            seconds: wrapped.ttl_seconds,
            created_milliseconds: wrapped.created_milliseconds,
            creation_path: &wrapped.creation_path,
            wrapped_accessor: &wrapped.wrapped_accessor,
        };
        Self {
            request_id: &answer.request_id,
            data: (!answer.data.is_empty()).then(|| fields(&answer.data)),
            lease: answer.lease.as_ref().map(lease),
            auth: answer.auth.as_ref().map(AuthView::of),
            wrapped: answer.wrapped.as_ref().map(wrapped),
            mount_kind: &answer.mount_kind,
            deleted: answer.is_gone,
            warnings: &answer.warnings,
        }
    }
}

impl<'answer> AuthView<'answer> {
    fn of(auth: &'answer Auth) -> Self {
        let metadata = auth.metadata.iter();
        Self {
            token: &auth.token,
            accessor: &auth.accessor,
            policies: &auth.policies,
            metadata: metadata
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            seconds: auth.lease_seconds,
            renewable: auth.is_renewable,
            orphan: auth.is_orphan,
            kind: &auth.kind,
            uses: auth.uses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &'static str) -> SecretResponse {
        SecretResponse {
            request_id: "1".to_owned(),
            data: data.into(),
            mount_kind: "kv".to_owned(),
            ..SecretResponse::default()
        }
    }

    #[test]
    fn people_see_a_line_for_each_field_and_programs_every_number_as_it_is() {
        let shown = read(r#"{"b":12345678901234567890123,"a":"x\ny","c":{"d":[1.0]},"e":null}"#);
        assert_eq!(
            text(&shown, ""),
            "a\tx\ny\nb\t12345678901234567890123\nc\t{\"d\":[1.0]}\ne\tnull"
        );
        assert_eq!(
            serde_json::to_string(&AnswerView::of(&shown)).unwrap(),
            r#"{"request_id":"1","data":{"a":"x\ny","b":12345678901234567890123,"c":{"d":[1.0]},"e":null},"lease":null,"auth":null,"wrapped":null,"mount_kind":"kv","deleted":false,"warnings":[]}"#
        );
    }

    #[test]
    fn an_answer_of_nothing_is_what_was_done() {
        assert_eq!(text(&read(""), "policy app written"), "policy app written");
        assert_eq!(text(&read("{}"), "done"), "done");
    }

    #[test]
    fn a_token_and_a_lease_are_shown_with_how_long_they_last() {
        let auth = Auth {
            token: "hvs.a".to_owned(),
            accessor: "acc".to_owned(),
            policies: vec!["app".to_owned(), "default".to_owned()],
            lease_seconds: 60,
            is_renewable: true,
            kind: "service".to_owned(),
            ..Auth::default()
        };
        let lines = "accessor\tacc\npolicies\tapp,default\nkind\tservice\nseconds\t60\nrenewable\ttrue";
        assert_eq!(auth_lines(&auth, false).join("\n"), lines);
        let made = SecretResponse {
            auth: Some(auth),
            ..SecretResponse::default()
        };
        assert_eq!(text(&made, ""), format!("token\thvs.a\n{lines}"));
        let leased = SecretResponse {
            lease: Some(Lease {
                id: "pki/issue/app/0a".to_owned(),
                seconds: 60,
                is_renewable: false,
            }),
            ..read(r#"{"a":"b"}"#)
        };
        assert_eq!(
            text(&leased, ""),
            "a\tb\nlease\tpki/issue/app/0a\nlease seconds\t60\nlease renewable\tfalse"
        );
    }

    #[test]
    fn names_are_those_of_the_list() {
        assert_eq!(names(&read(r#"{"keys":["a","b/"]}"#)), ["a", "b/"]);
        assert!(names(&read(r#"{"keys":1}"#)).is_empty());
        let error = field(Format::default(), &fields(b"{\"a\":1,\"b\":2}"), "c").unwrap_err();
        assert_eq!(error.message, "there is no field \"c\"; there are: a, b");
    }
}
