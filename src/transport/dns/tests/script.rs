//! Scripts: a catalog, and questions with their answers as text. `STEAD_UPDATE_SCRIPTS=1` writes the answers into the
//! files: read them then.
//!
//! ```text
//! node NAME ADDRESS [key=value ...]
//! instance SERVICE NODE ID ADDRESS|- PORT TAGS|- STATUS [WEIGHTS]
//! set SETTING VALUE
//! > NAME TYPE [tcp] [edns=BYTES] [number]
//! ```
//!
//! A record is shown as `dig` does. Instances come in an order of chance: records of a section are sorted, unless they are
//! many, or their number is wanted because it is one of chance which they are.

use std::fs;
use std::path::Path;

use hickory_proto::rr::Record;

use super::*;
use crate::base::Revision;
use crate::service::registry::{NewCheck, Node, Registration, Status, Weights, testing};

/// Records of a section that are shown.
const MAXIMUM_SHOWN: usize = 12;

#[derive(Default)]
struct World {
    nodes: Vec<(Node, Vec<NewCheck>)>,
    instances: Vec<(Registration, Vec<NewCheck>)>,
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
    let catalog = Arc::new(testing::catalog(Revision(9), &world.nodes, &world.instances));
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
    let Some(answer) = reply(&answerer(settings.clone()), &catalog, &packet, carrier) else {
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
    assert!(count >= 6, "scripts: {count}");
}
