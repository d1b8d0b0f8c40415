//! Runs the scripts in `tests/golden`: steps behind `>`, and below each what it gives.
//!
//! The name of a script is its claim. `STEAD_GOLDEN=write` writes what the state machine gives into the scripts, for a
//! change that was meant; read the difference before you commit it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::Fixture;
use super::script::{self, Step, word};
use crate::base::Namespace;
use crate::state::applied::{
    Answer, Applied, DeleteRangeAnswer, Effect, Event, EventKind, KeyValue, OperationAnswer, PutAnswer,
    RangeAnswer, Refusal, TxnAnswer, VersionId,
};
use crate::state::auth::{Auth, Permission};
use crate::state::schema;
use crate::storage::Family;

#[test]
fn every_golden_script_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let write = std::env::var("STEAD_GOLDEN").is_ok_and(|value| value == "write");
    let mut scripts = 0;
    let mut wrong = Vec::new();
    for file in fs::read_dir(&folder).expect("tests/golden can be listed") {
        let path = file.expect("tests/golden can be listed").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        scripts += 1;
        let said = fs::read_to_string(&path).expect("a script can be read");
        let given = run(&said);
        if write {
            fs::write(&path, &given).expect("a script can be written");
        } else if let Some(difference) = difference(&said, &given) {
            wrong.push(format!("{}: {difference}", path.display()));
        }
    }
    assert!(scripts > 0, "there are scripts in {}", folder.display());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The first line that differs.
fn difference(said: &str, given: &str) -> Option<String> {
    if said == given {
        return None;
    }
    let lines = said.lines().zip(given.lines());
    let equal = lines.take_while(|(said, given)| said == given).count();
    let line = |text: &str| text.lines().nth(equal).unwrap_or("the end").to_owned();
    Some(format!(
        "line {}\n  says  {}\n  gives {}",
        equal + 1,
        line(said),
        line(given)
    ))
}

/// Runs a script and returns it with what its steps give.
fn run(script: &str) -> String {
    let mut fixture = Fixture::new();
    let mut given = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(step) = line.strip_prefix("> ") else {
            if line.is_empty() || line.starts_with('#') {
                given.push_str(line);
                given.push('\n');
            }
            continue;
        };
        let mut step = vec![step];
        while let Some(more) = lines.next_if(|line| line.starts_with(">   ")) {
            step.push(more.get(2..).unwrap_or_default());
        }
        for line in &step {
            given.push_str("> ");
            given.push_str(line);
            given.push('\n');
        }
        perform(&mut fixture, script::parse(&step), &mut Output(&mut given));
    }
    given
}

fn perform(fixture: &mut Fixture, step: Step, output: &mut Output<'_>) {
    let view = fixture.machine.reader().view();
    match step {
        Step::Apply(commands) => {
            for applied in fixture.apply_batch(commands) {
                output.applied(&applied);
            }
        }
        Step::Range(range) => match view.range(&range).expect("the engine works") {
            Ok(answer) => output.range("", &answer),
            Err(refusal) => output.refusal(refusal),
        },
        Step::ReadTransaction(txn) => {
            assert!(txn.is_read_only(), "only reads are answered without the log");
            match view.read_transaction(&txn).expect("the engine works") {
                Ok(answer) => output.txn("", &answer),
                Err(refusal) => output.refusal(refusal),
            }
        }
        Step::History {
            from,
            revisions,
            bytes,
            keys,
        } => {
            let mut matches = |namespace, key: &[u8], _| {
                namespace == keys.namespace
                    && schema::head_range(&keys).contains(&schema::head(namespace, key))
            };
            let page = view
                .events(from, revisions, bytes, &mut matches)
                .expect("the engine works");
            for event in &page.events {
                output.event("", event);
            }
            output.line(format_args!("next {}", page.next));
        }
        Step::Version { namespace, key, id } => {
            match view.version(namespace, &key, id).expect("the engine works") {
                Some(version) => output.line(format_args!("{}", key_value(&version))),
                None => output.line(format_args!("none")),
            }
        }
        Step::Hash(revision) => match view.hash_kv(revision).expect("the engine works") {
            Ok(hash) => output.line(format_args!(
                "{} at {}, compacted {}",
                hash.hash, hash.revision, hash.compacted
            )),
            Err(refusal) => output.refusal(refusal),
        },
        Step::Leases => {
            for (id, ttl_seconds) in view.leases().expect("the engine works") {
                output.line(format_args!("lease {} for {ttl_seconds} s", id.0));
            }
        }
        Step::LeaseKeys(id) => {
            for (namespace, key) in view.lease_keys(id).expect("the engine works") {
                output.line(format_args!("{}{}", place(namespace), word(&key)));
            }
        }
        Step::Members => {
            for member in view.members().expect("the engine works") {
                let urls = member.client_urls.iter().map(|url| format!(" {url}"));
                let urls: String = urls.collect();
                output.line(format_args!("member {} {}{urls}", member.id, member.name));
            }
        }
        Step::Alarms => {
            for (member, alarm) in view.alarms().expect("the engine works") {
                output.line(format_args!("{alarm:?} of member {member}"));
            }
        }
        Step::Auth => output.auth(view.auth()),
        Step::Status => {
            let compacted = view.compacted();
            output.line(format_args!(
                "revision {}, compacted {}, applied index {}",
                view.revision(),
                compacted.map_or("never".to_owned(), |revision| revision.to_string()),
                view.applied_index()
            ));
        }
        Step::Remove(events) => {
            let progress = fixture
                .machine
                .compactor()
                .step(events)
                .expect("the engine works");
            let state = if progress.finished {
                "finished"
            } else {
                "unfinished"
            };
            output.line(format_args!("removed {}, {state}", progress.removed));
        }
        Step::Stored => {
            for (key, _) in fixture.rows(Family::Versions) {
                let (prefix, id) = schema::split_version(&key).expect("a version key");
                let key = schema::prefix_user_key(prefix);
                output.line(format_args!("version {} of {}", number(id), word(&key)));
            }
            for id in fixture.stored_events() {
                output.line(format_args!("event {}", number(id)));
            }
        }
    }
}

/// Where the lines of a step go.
struct Output<'given>(&'given mut String);

impl Output<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes any text");
    }

    fn refusal(&mut self, refusal: Refusal) {
        self.line(format_args!("refused: {refusal}"));
    }

    fn applied(&mut self, applied: &Applied) {
        match &applied.outcome {
            Ok(answer) => self.answer(answer),
            Err(refusal) => self.refusal(*refusal),
        }
        for effect in &applied.effects {
            self.effect(effect);
        }
    }

    fn auth(&mut self, auth: &Auth) {
        let state = if auth.is_enabled() { "enabled" } else { "disabled" };
        self.line(format_args!("auth {state}, revision {}", auth.revision()));
        for name in auth.user_names() {
            let user = auth.user(&name).expect("the user is listed");
            let kind = if user.password.is_some() {
                format!("password of revision {}", user.password_revision)
            } else {
                "no password".to_owned()
            };
            let roles: String = user.roles.iter().map(|role| format!(", role {role}")).collect();
            self.line(format_args!("user {name}: {kind}{roles}"));
        }
        for name in auth.role_names() {
            self.line(format_args!("role {name}"));
            for Permission { kind, key, end } in &auth.role(&name).expect("the role is listed").permissions {
                let keys = match end.as_ref() {
                    [] => word(key),
                    [0] => format!("[{},*)", word(key)),
                    end => format!("[{},{})", word(key), word(end)),
                };
                self.line(format_args!("  {kind:?} {keys}"));
            }
        }
    }

    fn answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Compact | Answer::LeaseRevoke | Answer::PublishMember | Answer::Auth => {
                self.line(format_args!("done"));
            }
            Answer::Put(put) => self.put("", put),
            Answer::DeleteRange(delete) => self.delete("", delete),
            Answer::Txn(txn) => self.txn("", txn),
            Answer::LeaseGrant { id, ttl_seconds } => {
                self.line(format_args!("lease {} for {ttl_seconds} s", id.0));
            }
            Answer::Alarm { changed } => {
                self.line(format_args!("{}", if *changed { "changed" } else { "unchanged" }));
            }
        }
    }

    fn put(&mut self, indent: &str, answer: &PutAnswer) {
        self.line(format_args!("{indent}put: revision {}", answer.revision));
        if let Some(previous) = &answer.previous {
            self.line(format_args!("{indent}previous {}", key_value(previous)));
        }
    }

    fn delete(&mut self, indent: &str, answer: &DeleteRangeAnswer) {
        self.line(format_args!(
            "{indent}delete: revision {}, deleted {}",
            answer.revision, answer.deleted
        ));
        for previous in &answer.previous {
            self.line(format_args!("{indent}previous {}", key_value(previous)));
        }
    }

    fn range(&mut self, indent: &str, answer: &RangeAnswer) {
        let more = if answer.more { ", more" } else { "" };
        self.line(format_args!(
            "{indent}range: revision {}, count {}{more}",
            answer.revision, answer.count
        ));
        for found in &answer.key_values {
            self.line(format_args!("{indent}{}", key_value(found)));
        }
    }

    fn txn(&mut self, indent: &str, answer: &TxnAnswer) {
        let branch = if answer.succeeded { "then" } else { "else" };
        self.line(format_args!(
            "{indent}txn: revision {}, {branch}",
            answer.revision
        ));
        let indent = format!("{indent}  ");
        for answer in &answer.answers {
            match answer {
                OperationAnswer::Range(range) => self.range(&indent, range),
                OperationAnswer::Put(put) => self.put(&indent, put),
                OperationAnswer::DeleteRange(delete) => self.delete(&indent, delete),
                OperationAnswer::Txn(txn) => self.txn(&indent, txn),
            }
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Changed { revision, events } => {
                self.line(format_args!("~ changed at revision {revision}:"));
                for event in events {
                    self.event("~   ", event);
                }
            }
            Effect::LeaseGranted { id, ttl_seconds } => {
                self.line(format_args!("~ lease {} granted for {ttl_seconds} s", id.0));
            }
            Effect::LeaseRevoked { id } => self.line(format_args!("~ lease {} revoked", id.0)),
            Effect::Compacted { revision } => self.line(format_args!("~ compacted at {revision}")),
            Effect::MemberPublished { id } => self.line(format_args!("~ member {id} published")),
            Effect::AlarmChanged {
                member,
                alarm,
                active,
            } => {
                let state = if *active { "raised" } else { "cleared" };
                self.line(format_args!("~ {alarm:?} of member {member} {state}"));
            }
            Effect::AuthChanged => self.line(format_args!("~ users and roles changed")),
            Effect::Restored => self.line(format_args!("~ restored")),
        }
    }

    fn event(&mut self, indent: &str, event: &Event) {
        let superseded = event.superseded.map(number);
        let superseded = superseded.map_or(String::new(), |id| format!(", supersedes {id}"));
        let id = number(event.id);
        let what = match event.kind {
            EventKind::Put => format!("put {}", key_value(&event.key_value)),
            EventKind::Delete => format!("delete {}", word(&event.key_value.key)),
        };
        let place = place(event.namespace);
        self.line(format_args!("{indent}{id} {place}{what}{superseded}"));
    }
}

fn place(namespace: Namespace) -> &'static str {
    match namespace {
        Namespace::SERVICES => "in services: ",
        Namespace::SECRETS => "in secrets: ",
        _ => "",
    }
}

fn number(id: VersionId) -> String {
    format!("{}.{}", id.revision, id.sub)
}

fn key_value(of: &KeyValue) -> String {
    let lease = if of.lease.is_none() {
        String::new()
    } else {
        format!(", lease {}", of.lease.0)
    };
    format!(
        "{} = {} (create {}, modification {}, version {}{lease})",
        word(&of.key),
        word(&of.value),
        of.create_revision,
        of.modification_revision,
        of.version
    )
}
