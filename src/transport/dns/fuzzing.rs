//! For fuzzing: packets as anybody may send them, to a server with a few services.

use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use super::answer::Answerer;
use super::message::Carrier;
use super::reply::{Known, Reply};
use super::{DnsSettings, DomainName, ServiceTtls};
use crate::base::Revision;
use crate::service::registry::{Catalog, Node, Registration, testing};
use crate::service::resolve::{Resolver, Sight};

fn catalog() -> Arc<Catalog> {
    let node = Node {
        name: "host1".into(),
        address: "10.0.0.1".into(),
        metadata: [("key".to_owned(), "value".repeat(100))].into(),
        ..Node::default()
    };
    let instances: Vec<_> = (0..40_u16)
        .map(|number| {
            let registration = Registration {
                service: "web".into(),
                id: number.to_string(),
                node: "host1".into(),
                address: match number % 3 {
                    0 => String::new(),
                    1 => format!("10.0.1.{number}"),
                    _ => format!("2001:db8::{number}"),
                },
                port: number,
                tags: vec!["v1".into()],
                ..Registration::default()
            };
            (registration, Vec::new())
        })
        .collect();
    Arc::new(testing::catalog(Revision(7), &[(node, Vec::new())], &instances))
}

fn answerer() -> Answerer {
    let settings = DnsSettings {
        domains: DomainName::parse("consul").into_iter().collect(),
        datacenter: "dc1".into(),
        token: None,
        only_passing: false,
        newest: false,
        tells_truncation: true,
        service_ttls: ServiceTtls::default(),
        node_ttl: Duration::ZERO,
        recursors: Vec::new(),
        recursor_timeout: Duration::from_secs(1),
        addresses: Vec::new(),
    };
    Answerer::new(Arc::new(settings), Resolver::new(false))
}

/// Packets over both carriers: an answer can be read, has the mark of its question, and is no longer than it may be.
pub fn packets(bytes: &[u8]) {
    let answerer = answerer();
    let sight = Sight {
        catalog: catalog(),
        authorizer: Arc::default(),
    };
    for carrier in [Carrier::Udp, Carrier::Tcp] {
        let mut out = Vec::new();
        let known = || Known::Seen(sight.clone());
        if let Reply::Written(_) = answerer.reply(bytes, carrier, known, &mut out) {
            assert_eq!(out.get(..2), bytes.get(..2), "the mark");
            let answer = Message::from_vec(&out).expect("an answer can be read");
            assert_eq!(answer.metadata.message_type, MessageType::Response);
            let asked = Message::from_vec(bytes).ok().and_then(|asked| asked.edns);
            let maximum = asked.map_or(512, |edns| edns.max_payload().max(512));
            assert!(carrier == Carrier::Tcp || out.len() <= usize::from(maximum));
        }
    }
}

/// Questions of all kinds.
#[must_use]
pub fn packet_seeds() -> Vec<Vec<u8>> {
    let kinds = [
        RecordType::A,
        RecordType::SRV,
        RecordType::ANY,
        RecordType::TXT,
        RecordType::SOA,
        RecordType::AXFR,
        RecordType::PTR,
    ];
    let names = [
        "v1.web.service.dc1.consul.",
        "_web._tcp.service.consul.",
        "host1.node.consul.",
        "0a000001.addr.consul.",
        "consul.",
        "1.0.0.10.in-addr.arpa.",
    ];
    let questions = names.iter().flat_map(|name| kinds.map(|kind| (*name, kind)));
    questions
        .filter_map(|(name, kind)| {
            let mut message = Message::new(7, MessageType::Query, OpCode::Query);
            message.add_query(Query::query(Name::from_ascii(name).ok()?, kind));
            message.set_edns(hickory_proto::op::Edns::new());
            message.to_vec().ok()
        })
        .collect()
}
