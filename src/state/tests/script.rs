//! The language of golden scripts: what stands behind `>`.
//!
//! Keys and values are written as they are where they consist of letters, digits and `/ - . _`; any other byte is `\xNN`,
//! and nothing at all is `""`. Keys of an operation are `a` (one key), `[a,b)` (a range) or `[a,*)` (all from a key on).
//! `by=alice:3` makes a command one of the user alice, whose identity is of auth revision 3; `by=node` one of the cluster.

use bytes::Bytes;

use crate::base::secret::Secret;
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::applied::VersionId;
use crate::state::command::{
    Alarm, AuthChange, Author, Command, Compare, CompareTarget, Comparison, DeleteRange, Keys, Operation,
    Permission, PermissionKind, Put, Range, SortOrder, SortTarget, Txn,
};

/// What a script asks for.
#[derive(Debug)]
pub(super) enum Step {
    /// Commands that are applied as one batch.
    Apply(Vec<Command>),
    Range(Range),
    ReadTransaction(Txn),
    History {
        from: Revision,
        revisions: usize,
        bytes: usize,
        keys: Keys,
    },
    Version {
        namespace: Namespace,
        key: Bytes,
        id: VersionId,
    },
    Hash(Revision),
    Leases,
    LeaseKeys(LeaseId),
    Members,
    Alarms,
    /// Users and roles.
    Auth,
    Status,
    /// A step of the removal over so many events.
    Remove(usize),
    /// The rows of versions and events.
    Stored,
}

/// A line with the lines that are indented below it.
struct Block<'script> {
    line: &'script str,
    below: Vec<&'script str>,
}

fn blocks<'script>(lines: &[&'script str]) -> Vec<Block<'script>> {
    let mut blocks: Vec<Block<'script>> = Vec::new();
    for line in lines {
        match (line.strip_prefix("  "), blocks.last_mut()) {
            (Some(below), Some(block)) => block.below.push(below),
            _ => blocks.push(Block {
                line,
                below: Vec::new(),
            }),
        }
    }
    blocks
}

/// The words of a line: those that stand alone and those of the form `name=value`.
struct Words<'script> {
    line: &'script str,
    plain: std::vec::IntoIter<&'script str>,
    options: Vec<(&'script str, &'script str)>,
}

impl<'script> Words<'script> {
    fn new(line: &'script str) -> Self {
        let mut plain = Vec::new();
        let mut options = Vec::new();
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some((name, value)) if !name.is_empty() && !value.is_empty() => options.push((name, value)),
                _ => plain.push(word),
            }
        }
        Self {
            line,
            plain: plain.into_iter(),
            options,
        }
    }

    fn next(&mut self) -> &'script str {
        self.plain
            .next()
            .unwrap_or_else(|| panic!("a word is missing: {}", self.line))
    }

    fn number<Number: std::str::FromStr>(&mut self) -> Number {
        let word = self.next();
        word.parse()
            .unwrap_or_else(|_| panic!("{word} is no number: {}", self.line))
    }

    /// The value of an option, which is then used up.
    fn option(&mut self, name: &str) -> Option<&'script str> {
        let position = self.options.iter().position(|(is, _)| *is == name)?;
        Some(self.options.remove(position).1)
    }

    fn number_option<Number: std::str::FromStr + Default>(&mut self, name: &str) -> Number {
        let value = self.option(name).map(str::parse);
        value.map_or_else(Number::default, |parsed| {
            parsed.unwrap_or_else(|_| panic!("{name} is no number: {}", self.line))
        })
    }

    fn revision_option(&mut self, name: &str) -> Revision {
        Revision(self.number_option(name))
    }

    fn flag(&mut self, name: &str) -> bool {
        let mut rest = self.plain.as_slice().to_vec();
        let before = rest.len();
        rest.retain(|word| *word != name);
        let found = rest.len() < before;
        self.plain = rest.into_iter();
        found
    }

    fn namespace(&mut self) -> Namespace {
        match self.option("in") {
            None => Namespace::DEFAULT,
            Some("services") => Namespace::SERVICES,
            Some("secrets") => Namespace::SECRETS,
            Some(other) => panic!("{other} is no namespace: {}", self.line),
        }
    }

    fn keys(&mut self) -> Keys {
        let word = self.next();
        let namespace = self.namespace();
        let range = word.strip_prefix('[').and_then(|word| word.strip_suffix(')'));
        let (key, end) = match range.and_then(|range| range.split_once(',')) {
            None => (bytes(word), Bytes::new()),
            Some((key, "*")) => (bytes(key), Bytes::from_static(&[0])),
            Some((key, end)) => (bytes(key), bytes(end)),
        };
        Keys { namespace, key, end }
    }

    fn end(mut self) {
        let plain = self.plain.next();
        assert!(
            plain.is_none() && self.options.is_empty(),
            "not understood: {plain:?} {:?} in {}",
            self.options,
            self.line
        );
    }
}

/// The bytes that a word stands for.
fn bytes(word: &str) -> Bytes {
    if word == "\"\"" {
        return Bytes::new();
    }
    let mut parts = word.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (byte, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(byte, 16).expect("two hexadecimal digits follow \\x"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    Bytes::from(bytes)
}

/// The word for bytes.
pub(super) fn word(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "\"\"".to_owned();
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._".contains(&byte);
    let one = |byte: &u8| {
        if plain(*byte) {
            char::from(*byte).to_string()
        } else {
            format!("\\x{byte:02x}")
        }
    };
    bytes.iter().map(one).collect()
}

/// Reads the lines of one step.
pub(super) fn parse(lines: &[&str]) -> Step {
    let mut blocks = blocks(lines);
    assert_eq!(blocks.len(), 1, "one step: {lines:?}");
    let block = blocks.remove(0);
    let mut words = Words::new(block.line);
    let step = match words.next() {
        "batch" => {
            let commands = self::blocks(&block.below);
            Step::Apply(commands.iter().map(command).collect())
        }
        "range" => Step::Range(range(&mut words)),
        "read" => Step::ReadTransaction(txn(&block.below)),
        "history" => Step::History {
            from: Revision(words.number()),
            revisions: words
                .option("revisions")
                .map_or(100, |number| number.parse().expect("a number")),
            bytes: words
                .option("bytes")
                .map_or(1_000, |number| number.parse().expect("a number")),
            keys: words.keys(),
        },
        "version" => Step::Version {
            namespace: words.namespace(),
            key: bytes(words.next()),
            id: VersionId {
                revision: Revision(words.number()),
                sub: words.number(),
            },
        },
        "hash" => Step::Hash(Revision(words.number())),
        "leases" => Step::Leases,
        "lease-keys" => Step::LeaseKeys(LeaseId(words.number())),
        "members" => Step::Members,
        "alarms" => Step::Alarms,
        "who" => Step::Auth,
        "status" => Step::Status,
        "remove" => Step::Remove(words.number()),
        "stored" => Step::Stored,
        _ => return Step::Apply(vec![command(&block)]),
    };
    words.end();
    step
}

fn command(block: &Block<'_>) -> Command {
    let mut words = Words::new(block.line);
    let author = words.option("by").map(author);
    let command = match words.next() {
        "auth" | "user" | "role" => Command::Auth(auth_change(&mut Words::new(block.line), &mut words)),
        "put" => Command::Put(put(&mut words)),
        "delete" => Command::DeleteRange(delete(&mut words)),
        "txn" => Command::Txn(txn(&block.below)),
        "compact" => Command::Compact {
            revision: Revision(words.number()),
        },
        "grant" => Command::LeaseGrant {
            id: LeaseId(words.number()),
            ttl_seconds: words.number(),
        },
        "revoke" => Command::LeaseRevoke {
            id: LeaseId(words.number()),
        },
        "publish" => Command::PublishMember {
            id: MemberId(words.number()),
            name: words.next().to_owned(),
            client_urls: words.plain.by_ref().map(str::to_owned).collect(),
        },
        "raise" => Command::AlarmActivate {
            member: MemberId(words.number()),
            alarm: alarm(words.next()),
        },
        "clear" => Command::AlarmDeactivate {
            member: MemberId(words.number()),
            alarm: alarm(words.next()),
        },
        other => panic!("{other} is no command: {}", block.line),
    };
    words.end();
    match author {
        None => command,
        Some(author) => Command::By {
            author,
            command: Box::new(command),
        },
    }
}

fn author(word: &str) -> Author {
    match word.split_once(':') {
        None if word == "node" => Author::Node,
        None => panic!("{word} is no author"),
        Some((name, revision)) => Author::User {
            name: name.to_owned(),
            auth_revision: revision.parse().expect("an auth revision"),
        },
    }
}

/// The change that `whole` begins to name, of which `words` are what follows the first word.
fn auth_change(whole: &mut Words<'_>, words: &mut Words<'_>) -> AuthChange {
    let text = |words: &mut Words<'_>| String::from_utf8(bytes(words.next()).to_vec()).expect("a name");
    let hash = |words: &mut Words<'_>| Secret::new(words.next().to_owned());
    match (whole.next(), words.next()) {
        ("auth", "enable") => AuthChange::Enable {
            token_key: Secret::new(vec![7; 32]),
        },
        ("auth", "disable") => AuthChange::Disable,
        ("user", "add") => AuthChange::AddUser {
            name: text(words),
            password: (!words.flag("no-password")).then(|| hash(words)),
        },
        ("user", "delete") => AuthChange::DeleteUser { name: text(words) },
        ("user", "password") => AuthChange::ChangePassword {
            name: text(words),
            password: hash(words),
        },
        ("user", "grant") => AuthChange::GrantRole {
            user: text(words),
            role: text(words),
        },
        ("user", "revoke") => AuthChange::RevokeRole {
            user: text(words),
            role: text(words),
        },
        ("role", "add") => AuthChange::AddRole { name: text(words) },
        ("role", "delete") => AuthChange::DeleteRole { name: text(words) },
        ("role", "grant") => {
            let role = text(words);
            let kind = match words.next() {
                "read" => PermissionKind::Read,
                "write" => PermissionKind::Write,
                "readwrite" => PermissionKind::ReadWrite,
                other => panic!("{other} is no kind of permission"),
            };
            let Keys { key, end, .. } = words.keys();
            let permission = Permission { kind, key, end };
            AuthChange::GrantPermission { role, permission }
        }
        ("role", "revoke") => {
            let role = text(words);
            let Keys { key, end, .. } = words.keys();
            AuthChange::RevokePermission { role, key, end }
        }
        (one, other) => panic!("{one} {other} is no change of users and roles"),
    }
}

fn alarm(word: &str) -> Alarm {
    match word {
        "no-space" => Alarm::NoSpace,
        "corrupt" => Alarm::Corrupt,
        other => panic!("{other} is no alarm"),
    }
}

fn put(words: &mut Words<'_>) -> Put {
    let (ignore_value, ignore_lease) = (words.flag("ignore-value"), words.flag("ignore-lease"));
    Put {
        namespace: words.namespace(),
        previous: words.flag("previous"),
        lease: LeaseId(words.number_option("lease")),
        ignore_value,
        ignore_lease,
        key: bytes(words.next()),
        value: if ignore_value {
            Bytes::new()
        } else {
            bytes(words.next())
        },
    }
}

fn delete(words: &mut Words<'_>) -> DeleteRange {
    DeleteRange {
        previous: words.flag("previous"),
        keys: words.keys(),
    }
}

fn range(words: &mut Words<'_>) -> Range {
    Range {
        keys_only: words.flag("keys-only"),
        count_only: words.flag("count-only"),
        limit: words.number_option("limit"),
        revision: words.revision_option("at"),
        sort_order: match words.option("order") {
            None => SortOrder::None,
            Some("ascend") => SortOrder::Ascend,
            Some("descend") => SortOrder::Descend,
            Some(other) => panic!("{other} is no order"),
        },
        sort_target: match words.option("by") {
            None | Some("key") => SortTarget::Key,
            Some("version") => SortTarget::Version,
            Some("create") => SortTarget::Create,
            Some("modification") => SortTarget::Modification,
            Some("value") => SortTarget::Value,
            Some(other) => panic!("{other} is no target"),
        },
        minimum_modification: words.revision_option("minimum-modification"),
        maximum_modification: words.revision_option("maximum-modification"),
        minimum_create: words.revision_option("minimum-create"),
        maximum_create: words.revision_option("maximum-create"),
        keys: words.keys(),
    }
}

fn txn(lines: &[&str]) -> Txn {
    let mut txn = Txn::default();
    for block in blocks(lines) {
        let (kind, rest) = block.line.split_once(' ').expect("if, then or else, and what");
        match kind {
            "if" => txn.compare.push(compare(rest)),
            "then" => txn.success.push(operation(rest, block.below)),
            "else" => txn.failure.push(operation(rest, block.below)),
            other => panic!("{other} is neither if, then nor else"),
        }
    }
    txn
}

fn operation(line: &str, below: Vec<&str>) -> Operation {
    let mut words = Words::new(line);
    let operation = match words.next() {
        "range" => Operation::Range(range(&mut words)),
        "put" => Operation::Put(put(&mut words)),
        "delete" => Operation::DeleteRange(delete(&mut words)),
        "txn" => Operation::Txn(txn(&below)),
        other => panic!("{other} is no operation: {line}"),
    };
    words.end();
    operation
}

fn compare(line: &str) -> Compare {
    let mut words = Words::new(line);
    let target = words.next();
    let keys = words.keys();
    let comparison = match words.next() {
        "=" => Comparison::Equal,
        ">" => Comparison::Greater,
        "<" => Comparison::Less,
        "!=" => Comparison::NotEqual,
        "?" => Comparison::Always,
        other => panic!("{other} is no comparison: {line}"),
    };
    let target = match target {
        "version" => CompareTarget::Version(words.number()),
        "create" => CompareTarget::Create(Revision(words.number())),
        "modification" => CompareTarget::Modification(Revision(words.number())),
        "value" => CompareTarget::Value(bytes(words.next())),
        "lease" => CompareTarget::Lease(LeaseId(words.number())),
        other => panic!("{other} cannot be compared: {line}"),
    };
    words.end();
    Compare {
        keys,
        comparison,
        target,
    }
}
