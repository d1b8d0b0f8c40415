//! Scripts: a catalog, and questions with their answers as text. `STEAD_UPDATE_SCRIPTS=1` writes the answers into the
//! files: read them then.
//!
//! ```text
//! node NAME ADDRESS [key=value ...]
//! instance SERVICE NODE ID ADDRESS|- PORT TAGS|- STATUS [WEIGHTS]
//! query NAME SERVICE [id=ID] [ttl=TIME] [tags=TAGS] [template=PATTERN] [ignore=CHECK] [token=TOKEN] [only-passing]
//! rule KIND NAME|- POLICY
//! set SETTING VALUE
//! > NAME TYPE [tcp] [edns=BYTES] [number]
//! ```
//!
//! With the first rule, what no rule is about is denied; what a query asks with the token `all` sees everything, and there
//! is no other token.
//!
//! A record is shown as `dig` does. Instances come in an order of chance: records of a section are sorted, unless they are
//! many, or their number is wanted because it is one of chance which they are.

use std::fs;
use std::path::Path;

use hickory_proto::rr::Record;

use super::*;
use crate::base::Revision;
use crate::base::secret::Secret;
use crate::service::consul::query::{KnownQuery, PreparedQuery, QueryPicture, Template, Wanted};
use crate::service::consul::{ConsulError, acl};
use crate::service::registry::{NewCheck, Node, Registration, Status, Weights, testing};
use crate::service::resolve::Found;

/// Records of a section that are shown.
const MAXIMUM_SHOWN: usize = 12;

#[derive(Default)]
struct World {
    nodes: Vec<(Node, Vec<NewCheck>)>,
    instances: Vec<(Registration, Vec<NewCheck>)>,
    queries: Vec<KnownQuery>,
    rules: Option<String>,
}

/// The prepared queries of a world, asked on the node `host1`.
struct Queries(QueryPicture);

impl PreparedQueries for Queries {
    fn find(&self, catalog: &Catalog, query: &str) -> Option<Found> {
        let authorize = |token: &str| match token {
            "all" => Ok(Arc::default()),
            _ => Err(ConsulError::Denied("ACL not found".into())),
        };
        self.0.resolve(catalog, query, "host1", authorize).ok()
    }
}

fn status(word: &str) -> Status {
    match word {
        "passing" => Status::Passing,
        "warning" => Status::Warning,
        "critical" => Status::Critical,
        _ => panic!("{word:?} is no status"),
    }
}

fn unless_dash(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

impl World {
    fn add_node(&mut self, words: &[&str]) {
        let [name, address, metadata @ ..] = words else {
            panic!("{words:?}");
        };
        let pairs = metadata.iter().map(|pair| pair.split_once(':').unwrap());
        let node = Node {
            name: (*name).into(),
            address: (*address).into(),
            metadata: pairs
                .map(|(key, value)| (key.replace('~', " "), value.replace('~', " ")))
                .collect(),
            ..Node::default()
        };
        self.nodes.push((node, Vec::new()));
    }

    fn add_instance(&mut self, words: &[&str]) {
        let [service, node, id, address, port, tags, said, weights @ ..] = words else {
            panic!("{words:?}");
        };
        let weights = weights.first().map_or(Weights::default(), |weights| {
            let (passing, warning) = weights.split_once('/').unwrap();
            Weights {
                passing: passing.parse().unwrap(),
                warning: warning.parse().unwrap(),
            }
        });
        // `1..40` as an id means as many instances.
        let ids: Vec<String> = match id.split_once("..") {
            Some((first, last)) => (first.parse::<u32>().unwrap()..=last.parse().unwrap())
                .map(|number| number.to_string())
                .collect(),
            None => vec![(*id).to_owned()],
        };
        for id in ids {
            let registration = Registration {
                service: (*service).into(),
                node: (*node).into(),
                address: unless_dash(address).replace('#', &id),
                port: port.parse().unwrap(),
                tags: unless_dash(tags)
                    .split(',')
                    .filter(|tag| !tag.is_empty())
                    .map(str::to_owned)
                    .collect(),
                weights,
                id,
                ..Registration::default()
            };
            self.instances
                .push((registration, vec![testing::check(status(said))]));
        }
    }
}

impl World {
    fn add_query(&mut self, words: &[&str]) {
        let [name, service, options @ ..] = words else {
            panic!("{words:?}");
        };
        let mut query = PreparedQuery {
            id: format!("id-{name}"),
            name: unless_dash(name).into(),
            wanted: Wanted {
                service: (*service).into(),
                ..Wanted::default()
            },
            ..PreparedQuery::default()
        };
        for option in options {
            match option.split_once('=').unwrap_or((option, "")) {
                ("id", id) => query.id = id.into(),
                ("ttl", time) => query.dns_ttl = time.into(),
                ("tags", tags) => query.wanted.tags = tags.split(',').map(str::to_owned).collect(),
                ("ignore", check) => query.wanted.ignored_checks.push(check.into()),
                ("token", token) => query.token = Secret::new(token.into()),
                ("only-passing", "") => query.wanted.only_passing = true,
                ("template", pattern) => {
                    query.template = Some(Template {
                        pattern: pattern.into(),
                        remove_empty_tags: true,
                    });
                }
                _ => panic!("{option:?}"),
            }
        }
        self.queries.push(KnownQuery {
            query,
            create_revision: Revision(1),
            modification_revision: Revision(1),
        });
    }

    fn add_rule(&mut self, words: &[&str]) {
        let [kind, name, policy] = words else {
            panic!("{words:?}");
        };
        let rule = format!("{kind} {:?} {{ policy = {policy:?} }}\n", unless_dash(name));
        self.rules.get_or_insert_default().push_str(&rule);
    }
}

fn set(settings: &mut DnsSettings, words: &[&str]) {
    match words {
        ["only-passing"] => settings.only_passing = true,
        ["truncate"] => settings.tells_truncation = true,
        ["node-ttl", seconds] => settings.node_ttl = Duration::from_secs(seconds.parse().unwrap()),
        ["service-ttl", pattern, seconds] => {
            let ttl = Duration::from_secs(seconds.parse().unwrap());
            assert!(settings.service_ttls.add(pattern, ttl));
        }
        _ => panic!("{words:?}"),
    }
}

fn shown(heading: &str, records: &[Record], maximum: usize, text: &mut String) {
    if records.len() > maximum {
        text.push_str(&format!("{heading}: {} records\n", records.len()));
        return;
    }
    let mut lines: Vec<String> = records
        .iter()
        .map(|record| format!("{heading}: {record}\n"))
        .collect();
    lines.sort();
    text.extend(lines);
}

fn ask(world: &World, settings: &DnsSettings, words: &[&str]) -> String {
    let [name, kind, options @ ..] = words else {
        panic!("{words:?}");
    };
    let mut seen = sight(testing::catalog(Revision(9), &world.nodes, &world.instances));
    if let Some(rules) = &world.rules {
        seen.authorizer = Arc::new(acl::testing::authorizer(rules));
    }
    let queries = Queries(QueryPicture::of(world.queries.clone(), Revision(9)));
    let answerer = answerer_with(settings.clone(), Arc::new(queries));
    let bytes = options.iter().find_map(|option| option.strip_prefix("edns="));
    let packet = packet(
        name,
        kind.parse().unwrap(),
        bytes.map(|bytes| bytes.parse().unwrap()),
    );
    let carrier = match options.contains(&"tcp") {
        true => Carrier::Tcp,
        false => Carrier::Udp,
    };
    let Some(answer) = reply(&answerer, &seen, &packet, carrier) else {
        return "nothing\n".into();
    };
    let message = Message::from_vec(&answer).unwrap();
    let header = &message.metadata;
    let mut text = format!("{:?}", header.response_code);
    for (flag, word) in [
        (header.authoritative, " aa"),
        (header.truncation, " tc"),
        (header.recursion_available, " ra"),
    ] {
        text.push_str(if flag { word } else { "" });
    }
    if let Some(edns) = &message.edns {
        text.push_str(&format!(" edns={}", edns.max_payload()));
    }
    text.push('\n');
    let maximum = if options.contains(&"number") {
        0
    } else {
        MAXIMUM_SHOWN
    };
    shown("answer", &message.answers, maximum, &mut text);
    shown("authority", &message.authorities, MAXIMUM_SHOWN, &mut text);
    shown("additional", &message.additionals, maximum, &mut text);
    text
}

/// Runs a script; its text as it should be.
fn run(script: &str) -> String {
    let (mut world, mut settings) = (World::default(), settings());
    let mut text = String::new();
    let mut lines = script.lines().peekable();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [comment, ..] if comment.starts_with('#') => {}
            ["node", words @ ..] => world.add_node(words),
            ["instance", words @ ..] => world.add_instance(words),
            ["query", words @ ..] => world.add_query(words),
            ["rule", words @ ..] => world.add_rule(words),
            ["set", words @ ..] => set(&mut settings, words),
            [">", words @ ..] => {
                text.push_str(&ask(&world, &settings, words));
                // What was answered before ends at an empty line.
                while lines.next_if(|line| !line.is_empty()).is_some() {}
            }
            _ => panic!("{line:?}"),
        }
    }
    text
}

#[test]
fn questions_are_answered_as_in_the_scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transport/dns/tests/scripts");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let script = fs::read_to_string(&path).unwrap();
        let answered = run(&script);
        if std::env::var_os("STEAD_UPDATE_SCRIPTS").is_some() {
            fs::write(&path, answered).unwrap();
        } else {
            assert_eq!(answered, script, "{}", path.display());
        }
        count += 1;
    }
    assert!(count >= 10, "scripts: {count}");
}
