use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;
use crate::cli::output::Format;
use crate::client::secrets::testing::{MAXIMUM_WAIT, NodeTwin};

struct Twin;

impl Values for Twin {
    fn secret(&self, path: &str, field: Option<&str>) -> Option<Zeroizing<String>> {
        let value = match (path, field) {
            ("secret/db", Some("password")) => "it's \"<hunter2>\" & {{ more }}",
            ("secret/db", Some("port")) => "5432",
            ("secret/db", Some("padded")) => "  a\n",
            ("secret/db", None) => r#"{"port":5432}"#,
            _ => return None,
        };
        Some(Zeroizing::new(value.to_owned()))
    }

    fn variable(&self, name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }
}

fn rendered(text: &str) -> Result<String, String> {
    Ok(Template::parse(text)?.render(&Twin)?.to_string())
}

#[test]
fn a_template_is_filled_in() {
    for (template, text) in [
        ("", ""),
        ("plain }} text\n", "plain }} text\n"),
        ("{{secret \"secret/db\" \"port\"}}", "5432"),
        ("a={{ secret \"secret/db\" \"port\" }}\nb\n", "a=5432\nb\n"),
        ("{{ secret \"secret/db\" }}", "{\"port\":5432}"),
        (
            "{{ secret \"secret/db\" \"password\" }}",
            "it's \"<hunter2>\" & {{ more }}",
        ),
        (
            "{{ secret \"secret/db\" \"password\" | json }}",
            r#""it's \"<hunter2>\" & {{ more }}""#,
        ),
        (
            "{{ secret \"secret/db\" \"password\" | shell }}",
            r#"'it'\''s "<hunter2>" & {{ more }}'"#,
        ),
        (
            "{{ secret \"secret/db\" \"password\" | url }}",
            "it%27s%20%22%3Chunter2%3E%22%20%26%20%7B%7B%20more%20%7D%7D",
        ),
        ("{{ secret \"secret/db\" \"padded\" | trim | base64 }}", "YQ=="),
        ("{{ env \"HOME\" }}", "/root"),
        ("{{ \"{{\" }} {{ \"a\\\"\\\\\\n\\t}}\" }}", "{{ a\"\\\n\t}}"),
        ("a{{/* {{ not }} this */}}b", "ab"),
        ("a \n {{- \"b\" -}} \n c", "abc"),
        ("a {{ \"b\" }} c", "a b c"),
    ] {
        assert_eq!(rendered(template).as_deref(), Ok(text), "{template}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_line() {
    for (template, says) in [
        ("a\nb{{ secret }}", "line 2: the path of a secret is missing"),
        ("{{ secret \"\" }}", "line 1: the path of a secret is missing"),
        ("{{ secrets \"a\" }}", "line 1: \"secrets\" is no expression"),
        ("{{ }}", "line 1: \"\" is no expression"),
        ("{{ env }}", "line 1: the name of a variable is missing"),
        ("{{ \"a\" | upper }}", "line 1: \"upper\" is no filter"),
        ("{{ \"a\n\" }}", "line 1: a text has no quote"),
        ("{{ \"\\x\" }}", "line 1: behind \\"),
        ("{{ \"a\" ", "line 1: an expression is not closed"),
        ("{{ \"a\" \"b\" }}", "line 1: an expression is not closed"),
        (
            "{{ \"a\" }}\n{{/* a\n\n*/}}\n{{ \"b\" }",
            "line 5: an expression is not closed",
        ),
        ("{{/* a", "line 1: a comment is not closed"),
    ] {
        let error = rendered(template).unwrap_err();
        assert!(error.starts_with(says), "{template}: {error}");
    }
}

#[test]
fn what_is_not_there_is_said_with_its_line_and_without_values() {
    for (template, says) in [
        ("\n{{ secret \"secret/x\" }}", "line 2: secret/x is not there"),
        (
            "{{ secret \"secret/db\" \"password\" }}\n{{ secret \"secret/db\" \"user\" }}",
            "line 2: secret/db has no field \"user\", or is not there",
        ),
        ("{{ env \"NOWHERE\" }}", "line 1: the variable NOWHERE is not set"),
    ] {
        let error = rendered(template).unwrap_err();
        assert_eq!(error, says, "{template}");
    }
}

#[test]
fn each_secret_of_a_template_is_named_once() {
    let text = "{{ secret \"b\" \"x\" }}{{ secret \"a\" }}{{ secret \"b\" \"y\" }}{{ env \"c\" }}";
    assert_eq!(Template::parse(text).unwrap().paths(), ["a", "b"]);
}

/// The command that writes a file in a folder from what the test gives it.
fn command_in(folder: &Path, run: Option<String>) -> FromTemplate {
    FromTemplate {
        template: folder.join("a.tmpl"),
        target: folder.join("a.conf"),
        once: false,
        run,
        signal_pid: None,
        told_by: Signal::HUP,
    }
}

#[test]
fn a_file_that_others_may_read_is_closed_to_them_and_nobody_is_told_of_the_same_text() {
    let folder = tempfile::tempdir().unwrap();
    let command = command_in(folder.path(), None);
    let mode = || fs::metadata(&command.target).unwrap().permissions().mode() & 0o777;
    let template = Template::parse("{{ secret \"secret/db\" \"port\" }}").unwrap();
    assert!(command.write(&template, &Twin).unwrap());
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&command.target, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!command.write(&template, &Twin).unwrap());
    assert_eq!(mode(), 0o600);
    assert_eq!(fs::read_to_string(&command.target).unwrap(), "5432");
}

/// Waits until a file says a word so many times.
async fn says(path: &Path, word: &str, times: usize) {
    let waiting = async {
        while fs::read_to_string(path).unwrap().matches(word).count() < times {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(MAXIMUM_WAIT, waiting).await.unwrap();
}

#[tokio::test]
async fn what_was_written_and_not_told_is_told_until_it_succeeds() {
    let node = NodeTwin::serve().await;
    node.put(r#"{"k":"one"}"#);
    let session = Session {
        secrets: NodeTwin::store(&[&node]),
        format: Format::default(),
    };
    let folder = tempfile::tempdir().unwrap();
    let (log, good) = (folder.path().join("log"), folder.path().join("good"));
    fs::write(&log, "").unwrap();
    fs::write(&good, "").unwrap();
    let (to, there) = (log.display(), good.display());
    let run = format!("test -e {there} || {{ echo failed >> {to}; false; }} && echo told >> {to}");
    let command = command_in(folder.path(), Some(run));
    let template = Template::parse("{{ secret \"secret/a\" \"k\" }}").unwrap();
    let followed = Followed::open(&session, &template.paths()).await.unwrap();
    let changes = async {
        says(&log, "told", 1).await;
        fs::remove_file(&good).unwrap();
        node.put(r#"{"k":"two"}"#);
        says(&log, "failed", 1).await;
        assert_eq!(fs::read_to_string(&command.target).unwrap(), "two");
        fs::write(&good, "").unwrap();
        says(&log, "told", 2).await;
    };
    tokio::select! {
        ended = command.follow(&session, &template, followed) => panic!("it has ended: {ended:?}"),
        () = changes => {}
    }
}
