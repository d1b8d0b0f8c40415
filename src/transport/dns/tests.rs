//! Questions and answers without a socket, and what is asked of others over loopback.

mod properties;
mod recursors;
mod script;

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{Name, RecordType};

use super::answer::{Answerer, Outcome};
use super::message::{self, Carrier};
use super::reply::{Known, Reply, Waiting};
use super::{DnsSettings, DomainName, NEWEST_OPTION, ServiceTtls};
use crate::service::registry::Catalog;
use crate::service::resolve::{PreparedQueries, Resolver, ReverseIndex, Sight};

fn settings() -> DnsSettings {
    DnsSettings {
        domains: ["consul", "alt.example"]
            .iter()
            .filter_map(|text| DomainName::parse(text))
            .collect(),
        datacenter: "dc1".into(),
        token: None,
        only_passing: false,
        newest: false,
        tells_truncation: false,
        service_ttls: ServiceTtls::default(),
        node_ttl: Duration::ZERO,
        recursors: Vec::new(),
        recursor_timeout: Duration::from_secs(30),
        addresses: vec!["127.0.0.1".parse().unwrap()],
    }
}

fn answerer(settings: DnsSettings) -> Answerer {
    let resolver = Resolver::new(settings.only_passing);
    Answerer::new(Arc::new(settings), resolver)
}

/// One that knows prepared queries.
fn answerer_with(settings: DnsSettings, queries: Arc<dyn PreparedQueries>) -> Answerer {
    let resolver = Resolver::new(settings.only_passing).with_queries(queries);
    Answerer::new(Arc::new(settings), resolver)
}

/// A packet with one question, and with EDNS if a client takes so many bytes.
fn packet(name: &str, kind: RecordType, bytes: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(bytes) = bytes {
        let mut edns = Edns::new();
        edns.set_max_payload(bytes);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

/// All of a catalog.
fn sight(catalog: Catalog) -> Sight {
    Sight {
        catalog: Arc::new(catalog),
        authorizer: Arc::default(),
    }
}

/// What a packet is answered with by a server that sees this and knows nobody else.
fn reply(answerer: &Answerer, sight: &Sight, packet: &[u8], carrier: Carrier) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let known = || Known::Seen(sight.clone());
    match answerer.reply(packet, carrier, known, &mut out) {
        Reply::Written(_) => Some(out),
        Reply::Nothing => None,
        Reply::Later(question, waiting) => {
            let Waiting::Known(sight, Outcome::Owners(address)) = *waiting else {
                panic!("{question:?} waits for others");
            };
            let outcome = answerer.owners(&ReverseIndex::of(&sight.catalog), &sight, &question, address);
            let Outcome::Answer(draft) = outcome else {
                panic!("not answered: {outcome:?}");
            };
            message::write(&question, &draft, answerer.manner(), &mut out);
            Some(out)
        }
    }
}

#[test]
fn a_packet_that_is_no_question_is_refused_or_dropped() {
    let answerer = answerer(settings());
    let catalog = sight(Catalog::default());
    let answer = |packet: &[u8]| reply(&answerer, &catalog, packet, Carrier::Udp);
    let question = packet("web.service.consul.", RecordType::A, None);
    for length in 0..message::HEADER_BYTES {
        assert_eq!(answer(&question[..length]), None, "{length} bytes");
    }
    let mut answered = question.clone();
    answered[2] |= 0x80;
    assert_eq!(answer(&answered), None, "an answer to an answer");
    let formerr = [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        answer(&question[..20]).as_deref(),
        Some(&formerr[..]),
        "cut in the question"
    );
    let mut none = question[..message::HEADER_BYTES].to_vec();
    none[5] = 0;
    assert_eq!(answer(&none).as_deref(), Some(&formerr[..]), "no question");
    let mut twice = question.clone();
    twice.extend_from_slice(&question[message::HEADER_BYTES..]);
    twice[5] = 2;
    assert_eq!(answer(&twice).as_deref(), Some(&formerr[..]), "two questions");
    let mut update = question;
    update[2] = 0x28;
    let code = answer(&update).and_then(|answer| answer.get(3).copied());
    assert_eq!(code, Some(4), "an update is not implemented");
}

#[test]
fn another_version_of_edns_is_refused_with_the_one_that_there_is() {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(
        Name::from_ascii("consul.").unwrap(),
        RecordType::SOA,
    ));
    let mut edns = Edns::new();
    edns.set_version(1);
    message.set_edns(edns);
    let catalog = sight(Catalog::default());
    let answer = reply(
        &answerer(settings()),
        &catalog,
        &message.to_vec().unwrap(),
        Carrier::Udp,
    );
    let answer = Message::from_vec(&answer.unwrap()).unwrap();
    let edns = answer.edns.as_ref().unwrap();
    assert_eq!(
        (edns.rcode_high(), edns.version(), answer.answers.len()),
        (1, 0, 0)
    );
}

#[test]
fn nothing_is_said_where_users_must_say_who_they_are_or_nothing_is_known_yet() {
    let answerer = answerer(settings());
    let question = packet("web.service.consul.", RecordType::A, None);
    for (known, code) in [(Known::Hidden, 5), (Known::Nothing, 2)] {
        let mut out = Vec::new();
        let reply = answerer.reply(&question, Carrier::Udp, || known, &mut out);
        assert!(matches!(reply, Reply::Written(written) if written.low() == code));
        assert_eq!(out[3] & 0xf, code);
    }
}

#[test]
fn the_newest_is_waited_for_where_a_client_or_an_operator_wants_it() {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(
        Name::from_ascii("web.service.consul.").unwrap(),
        RecordType::A,
    ));
    let mut edns = Edns::new();
    edns.options_mut()
        .insert(EdnsOption::Unknown(NEWEST_OPTION, Vec::new()));
    message.set_edns(edns);
    let asked = message.to_vec().unwrap();
    let plain = packet("web.service.consul.", RecordType::A, None);
    let told = DnsSettings {
        newest: true,
        ..settings()
    };
    for (settings, packet, waits) in [
        (settings(), &asked, true),
        (settings(), &plain, false),
        (told, &plain, true),
    ] {
        let known = || Known::Seen(sight(Catalog::default()));
        let reply = answerer(settings).reply(packet, Carrier::Udp, known, &mut Vec::new());
        let is_waiting = matches!(reply, Reply::Later(_, waiting) if matches!(*waiting, Waiting::Newest));
        assert_eq!(is_waiting, waits);
    }
}
