//! What holds for every answer, and for every packet.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RData;
use proptest::prelude::*;

use super::*;
use crate::base::Revision;
use crate::service::registry::{Node, Registration, testing};

/// An address as somebody may register it; none: that of the node.
fn address() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        any::<u8>().prop_map(|last| Ipv4Addr::new(10, 0, 0, last).to_string()),
        any::<u16>().prop_map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).to_string()),
        "[a-z]{1,63}(\\.[a-z]{1,40}){0,3}",
    ]
}

/// A name as the registry takes it.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,12}", "[a-zA-Z0-9 ._-]{1,200}"]
        .prop_map(|name| format!("n{}n", name.replace('\0', "")))
}

fn catalogs() -> impl Strategy<Value = (Vec<(Node, Vec<Never>)>, Vec<Registration>)> {
    let node = (
        name(),
        address(),
        prop::collection::btree_map("[ =`a-z]{1,20}", ".{0,300}", 0..4),
    );
    let instance = (
        0..2_u8,
        any::<u16>(),
        address(),
        0..3_usize,
        prop::option::of("[a-z.]{1,80}"),
    );
    (
        prop::collection::vec(node, 1..3),
        prop::collection::vec(instance, 0..120),
    )
        .prop_map(|(nodes, instances)| {
            let nodes: Vec<_> = nodes
                .into_iter()
                .map(|(name, address, metadata)| {
                    let node = Node {
                        name,
                        address,
                        metadata,
                        ..Node::default()
                    };
                    (node, Vec::new())
                })
                .collect();
            let instances =
                instances
                    .into_iter()
                    .zip(0..)
                    .map(|((service, port, address, node, tag), id)| Registration {
                        service: format!("s{service}"),
                        id: format!("{id}"),
                        node: nodes
                            .get(node)
                            .map_or("unknown".into(), |(node, _): &(Node, _)| node.name.clone()),
                        address,
                        port,
                        tags: tag.into_iter().collect(),
                        ..Registration::default()
                    });
            let instances = instances.collect();
            (nodes, instances)
        })
}

type Never = crate::service::registry::NewCheck;

const KINDS: [RecordType; 10] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::SRV,
    RecordType::ANY,
    RecordType::TXT,
    RecordType::CNAME,
    RecordType::SOA,
    RecordType::NS,
    RecordType::MX,
    RecordType::AXFR,
];

const NAMES: [&str; 8] = [
    "s0.service.consul.",
    "S1.Service.DC1.consul.",
    "_s1._tcp.alt.EXAMPLE.",
    "a.s0.service.consul.",
    "consul.",
    "service.consul.",
    "ns.consul.",
    "0a000001.addr.consul.",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An answer is no longer than what was advertised, can be read, repeats the question in its case, and leaves nothing
    /// that is named in it without its address.
    #[test]
    fn every_answer_fits_and_can_be_read(
        (nodes, instances) in catalogs(),
        kind in prop::sample::select(KINDS.to_vec()),
        name in prop::sample::select(NAMES.to_vec()),
        bytes in prop::option::of(any::<u16>()),
        is_tcp in any::<bool>(),
        tells_truncation in any::<bool>(),
    ) {
        let instances: Vec<_> = instances.into_iter().map(|registration| (registration, Vec::new())).collect();
        let catalog = sight(testing::catalog(Revision(3), &nodes, &instances));
        let answerer = answerer(DnsSettings { tells_truncation, ..settings() });
        let packet = packet(name, kind, bytes);
        let carrier = if is_tcp { Carrier::Tcp } else { Carrier::Udp };
        let answer = reply(&answerer, &catalog, &packet, carrier).expect("a question is answered");
        let maximum = match (is_tcp, bytes) {
            (true, _) => usize::from(u16::MAX),
            (false, bytes) => usize::from(bytes.unwrap_or(512).max(512)),
        };
        prop_assert!(answer.len() <= maximum, "{} of {maximum}", answer.len());
        let question_end = 12 + name.len() + 1 + 4;
        prop_assert_eq!(&answer[12..question_end], &packet[12..question_end], "the question");
        let message = Message::from_vec(&answer).unwrap();
        prop_assert_eq!(message.metadata.id, 0x1234);
        prop_assert_eq!(message.edns.is_some(), bytes.is_some());
        if !is_tcp && bytes.is_none() {
            prop_assert!(message.answers.len() <= 3);
        }
        let is_empty = message.answers.is_empty();
        let says_why = message.metadata.truncation
            || !message.authorities.is_empty()
            || !matches!(message.metadata.response_code, ResponseCode::NoError);
        prop_assert!(!is_empty || says_why, "an empty answer: {message:?}");
        let told: BTreeSet<String> = message.additionals.iter().map(|record| record.name.to_ascii()).collect();
        for record in &message.answers {
            if let RData::SRV(place) = &record.data {
                let target = place.target.to_ascii();
                let is_own = target.ends_with(".consul.") || target.ends_with(".example.");
                let is_told = told.contains(&target);
                prop_assert!(is_told || !is_own, "{target} has no address");
            }
        }
    }

    /// Whatever comes, an answer has the mark of what came, and an answer is not answered.
    #[test]
    fn any_packet_is_answered_refused_or_dropped(mut packet in prop::collection::vec(any::<u8>(), 0..200)) {
        let catalog = sight(Catalog::default());
        let answerer = answerer(settings());
        let mut out = Vec::new();
        let known = || Known::Seen(catalog.clone());
        if let Reply::Written(_) = answerer.reply(&packet, Carrier::Udp, known, &mut out) {
            prop_assert_eq!(&out[..2], &packet[..2]);
            prop_assert!(out[2] & 0x80 != 0 && out.len() <= 512.max(packet.len()));
        }
        if let Some(flags) = packet.get_mut(2) {
            *flags |= 0x80;
        }
        let reply = answerer.reply(&packet, Carrier::Udp, || Known::Nothing, &mut out);
        prop_assert!(matches!(reply, Reply::Nothing));
    }
}
