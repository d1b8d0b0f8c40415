//! What a question is answered with: records made of what its name stands for.
//!
//! Never waits: what cannot be said from the catalog alone is handed back as an [`Outcome`] for somebody who may.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SRV};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::message::{Answer, Draft, Manner, Question};
use super::names::{self, Zone};
use super::settings::DnsSettings;
use crate::service::registry::{MEMBER_SERVICE, NodeEntry};
use crate::service::resolve::{Address, Meaning, Offer, Owner, Resolver, ReverseIndex, Sight, Subject};

/// How often a name may stand for another one within the domain.
const MAXIMUM_ALIASES: usize = 3;
/// Servers that are named.
const MAXIMUM_SERVERS: usize = 3;
/// The priority of every instance: they differ by weight alone.
const PRIORITY: u16 = 1;

/// Answers questions from a catalog.
pub(super) struct Answerer {
    pub settings: Arc<DnsSettings>,
    resolver: Resolver,
    zones: Vec<Zone>,
}

/// What comes of a question.
#[derive(Debug)]
pub(super) enum Outcome {
    /// This.
    Answer(Draft),
    /// Whoever is found at an address.
    Owners(IpAddr),
    /// What others say.
    Elsewhere,
    /// This, and what others say of the name at the end.
    Alias(Draft, Name),
}

/// What is said of the addresses of something.
enum Addressed<'a> {
    Records(Vec<Answer>),
    Alias(&'a str),
}

/// What a place is told apart by: its address, or else its name.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Target {
    Address(IpAddr),
    Name(Name),
}

impl Answerer {
    pub fn new(settings: Arc<DnsSettings>, resolver: Resolver) -> Self {
        let domains = settings.domains.iter();
        let zones = domains
            .map(|domain| Zone::new(domain.0.clone(), &settings.datacenter))
            .collect();
        Self {
            settings,
            resolver,
            zones,
        }
    }

    /// What answers say of the server.
    pub fn manner(&self) -> Manner {
        Manner {
            recursion_available: !self.settings.recursors.is_empty(),
            tells_truncation: self.settings.tells_truncation,
        }
    }

    /// Whether a question is about a prepared query.
    pub fn asks_for_query(&self, question: &Question) -> bool {
        let name = &question.name;
        let zone = self.zone_of(name);
        zone.is_some_and(|zone| self.with_subject(name, zone, |subject| matches!(subject, Subject::Query(_))))
    }

    /// Answers a question, or says who can.
    pub fn answer(&self, sight: &Sight, question: &Question) -> Outcome {
        if !matches!(question.class, DNSClass::IN | DNSClass::ANY) {
            return Outcome::Answer(Draft::only(ResponseCode::Refused));
        }
        if matches!(question.kind, RecordType::AXFR | RecordType::IXFR) {
            return Outcome::Answer(Draft::only(ResponseCode::NotImp));
        }
        let Some(zone) = self.zone_of(&question.name) else {
            let asks_who = matches!(question.kind, RecordType::PTR | RecordType::ANY);
            return match names::reversed(&question.name).filter(|_| asks_who) {
                Some(address) => Outcome::Owners(address),
                None => self.elsewhere(question),
            };
        };
        let mut draft = Draft {
            is_own: true,
            ..Draft::only(ResponseCode::NoError)
        };
        let mut name = question.name.clone();
        for _ in 0..=MAXIMUM_ALIASES {
            let meaning = self.with_subject(&name, zone, |subject| self.resolver.resolve(sight, &subject));
            let alias = self.add(sight, question, &name, zone, meaning, &mut draft);
            let Some(alias) = alias else { break };
            // Whoever stands for himself stands for nothing.
            let is_known = draft.answers.iter().any(|answer| answer.record.name == alias);
            if question.kind == RecordType::CNAME || is_known {
                break;
            }
            if self.zone_of(&alias).is_none() {
                let others_are_asked = question.wants_recursion && !self.settings.recursors.is_empty();
                if others_are_asked && question.kind != RecordType::ANY {
                    return Outcome::Alias(draft, alias);
                }
                break;
            }
            name = alias;
        }
        let is_bare = draft.answers.is_empty() || draft.code != ResponseCode::NoError;
        if is_bare && draft.authorities.is_empty() {
            let name = question.name.trim_to(zone.domain.iter().count());
            let authority = zone.authority(name, sight.catalog.revision());
            draft.authorities.extend(authority);
        }
        Outcome::Answer(draft)
    }

    /// What is said about names of other domains.
    fn elsewhere(&self, question: &Question) -> Outcome {
        match question.wants_recursion && !self.settings.recursors.is_empty() {
            true => Outcome::Elsewhere,
            false => Outcome::Answer(Draft::only(ResponseCode::Refused)),
        }
    }

    /// What is said about an address.
    pub fn owners(
        &self,
        index: &ReverseIndex,
        sight: &Sight,
        question: &Question,
        address: IpAddr,
    ) -> Outcome {
        let Some(zone) = self.zones.first() else {
            return self.elsewhere(question);
        };
        let owners = index.owners(address, sight).into_iter();
        let answers: Vec<Answer> = owners
            .filter_map(|owner| {
                let (name, ttl) = match owner {
                    Owner::Node(node) => (zone.node(&node)?, self.settings.node_ttl),
                    Owner::Service(service) => {
                        (zone.service(&service)?, self.settings.service_ttls.of(&service))
                    }
                };
                let data = RData::PTR(PTR(name));
                Some(Record::from_rdata(question.name.clone(), names::seconds(ttl), data).into())
            })
            .collect();
        if answers.is_empty() {
            return self.elsewhere(question);
        }
        Outcome::Answer(Draft {
            is_own: true,
            answers,
            ..Draft::only(ResponseCode::NoError)
        })
    }

    fn zone_of(&self, name: &Name) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.domain.zone_of(name))
    }

    /// Does something with what a name in a zone asks for.
    fn with_subject<T>(&self, name: &Name, zone: &Zone, look: impl FnOnce(Subject<'_>) -> T) -> T {
        let front = name.iter().len().saturating_sub(zone.domain.iter().len());
        let labels: Result<Vec<&str>, _> = name.iter().take(front).map(std::str::from_utf8).collect();
        look(match &labels {
            Ok(labels) => Subject::of(labels, &self.settings.datacenter),
            Err(_) => Subject::Unknown,
        })
    }

    /// Adds what a name stands for; what it is another name for, if it is.
    fn add(
        &self,
        sight: &Sight,
        question: &Question,
        name: &Name,
        zone: &Zone,
        meaning: Meaning,
        draft: &mut Draft,
    ) -> Option<Name> {
        let node_ttl = self.settings.node_ttl;
        match meaning {
            Meaning::Missing => {
                draft.code = ResponseCode::NXDomain;
                None
            }
            Meaning::Empty => None,
            Meaning::Domain => {
                self.add_domain(sight, question, zone, draft);
                None
            }
            Meaning::Server => {
                let addresses = self
                    .settings
                    .addresses
                    .iter()
                    .map(|address| Address::Ip(*address));
                add_addresses(question, name, addresses, node_ttl, draft)
            }
            Meaning::Address(address) => {
                add_addresses(question, name, [Address::Ip(address)], node_ttl, draft)
            }
            Meaning::Node(node) => self.add_node(question, name, &node, draft),
            Meaning::Instances { offers, service, ttl } => {
                let ttl = ttl.unwrap_or_else(|| self.settings.service_ttls.of(&service));
                if question.kind == RecordType::SRV {
                    self.add_places(question, name, zone, &offers, ttl, draft);
                    return None;
                }
                add_addresses(question, name, offers.iter().map(Offer::address), ttl, draft)
            }
        }
    }

    /// Adds what is said of the domain itself.
    fn add_domain(&self, sight: &Sight, question: &Question, zone: &Zone, draft: &mut Draft) {
        let is_any = question.kind == RecordType::ANY;
        let asks_authority = is_any || question.kind == RecordType::SOA;
        if asks_authority {
            let authority = zone.authority(question.name.clone(), sight.catalog.revision());
            draft.answers.extend(authority.map(Answer::from));
        }
        if is_any || question.kind == RecordType::NS {
            draft.answers.extend(self.servers(sight, &question.name, zone));
        } else if asks_authority {
            let servers = self.servers(sight, &question.name, zone);
            draft
                .authorities
                .extend(servers.into_iter().map(|server| server.record));
        }
    }

    /// The servers of the domain: the nodes of Consul's own service, else this one.
    fn servers(&self, sight: &Sight, name: &Name, zone: &Zone) -> Vec<Answer> {
        let subject = Subject::Service {
            name: MEMBER_SERVICE,
            tag: None,
        };
        let ttl = names::seconds(self.settings.node_ttl);
        let server = |target: Name, addresses: &[IpAddr]| {
            let glue = addresses
                .iter()
                .map(|address| names::address_record(target.clone(), *address, ttl));
            Answer {
                additional: glue.collect(),
                record: Record::from_rdata(name.clone(), ttl, RData::NS(NS(target))),
            }
        };
        let named = match self.resolver.resolve(sight, &subject) {
            Meaning::Instances { offers, .. } => offers,
            _ => Vec::new(),
        };
        let named: Vec<Answer> = named
            .iter()
            .filter_map(|offer| {
                let Address::Ip(address) = offer.address() else {
                    return None;
                };
                let target = zone.node(offer.node())?;
                Some(server(target, &[address]))
            })
            .take(MAXIMUM_SERVERS)
            .collect();
        if !named.is_empty() {
            return named;
        }
        let own = zone.server.clone();
        own.map(|target| server(target, &self.settings.addresses))
            .into_iter()
            .collect()
    }

    fn add_node(
        &self,
        question: &Question,
        name: &Name,
        node: &NodeEntry,
        draft: &mut Draft,
    ) -> Option<Name> {
        let known = &node.state.known.as_ref()?.node;
        let ttl = self.settings.node_ttl;
        let alias = add_addresses(question, name, [Address::read(&known.address)], ttl, draft);
        // What is known of a node that is an alias is told to those who ask for just that.
        if alias.is_none() && matches!(question.kind, RecordType::TXT | RecordType::ANY) {
            let record = |text| Record::from_rdata(name.clone(), names::seconds(ttl), RData::TXT(text));
            draft
                .answers
                .extend(names::texts(known).map(record).map(Answer::from));
        }
        alias
    }

    /// Adds where instances are, each with its port and its share.
    fn add_places(
        &self,
        question: &Question,
        name: &Name,
        zone: &Zone,
        offers: &[Offer],
        ttl: Duration,
        draft: &mut Draft,
    ) {
        let (ttl, node_ttl) = (names::seconds(ttl), names::seconds(self.settings.node_ttl));
        let mut seen = HashSet::with_capacity(offers.len());
        let mut shown = HashSet::with_capacity(offers.len());
        for offer in offers {
            if draft.answers.len() > question.maximum_answers() {
                return;
            }
            let (target, address) = match offer.address() {
                Address::Nowhere => continue,
                Address::Host(text) => (names::host(text).map(Target::Name), None),
                Address::Ip(address) => {
                    let node = (!offer.has_own_address())
                        .then(|| zone.node(offer.node()))
                        .flatten();
                    let target = node.map_or(Target::Address(address), Target::Name);
                    (Some(target), Some(address))
                }
            };
            let Some(target) = target else { continue };
            if !seen.insert((target.clone(), offer.port())) {
                continue;
            }
            let is_new = shown.insert(target.clone());
            let (place, glue_ttl) = match target {
                Target::Name(place) => (place, node_ttl),
                Target::Address(address) => match zone.address(address) {
                    Some(place) => (place, ttl),
                    None => continue,
                },
            };
            let glue = address.filter(|_| is_new);
            let glue = glue.map(|address| names::address_record(place.clone(), address, glue_ttl));
            let place = SRV::new(PRIORITY, offer.weight(), offer.port(), place);
            draft.answers.push(Answer {
                record: Record::from_rdata(name.clone(), ttl, RData::SRV(place)),
                additional: glue.into_iter().collect(),
            });
        }
    }
}

/// Adds the addresses that are asked for, each once; what the name is another name for, if it is. It is one only where
/// nothing has an address, since an alias stands alone.
fn add_addresses<'a>(
    question: &Question,
    name: &Name,
    addresses: impl IntoIterator<Item = Address<'a>>,
    ttl: Duration,
    draft: &mut Draft,
) -> Option<Name> {
    let ttl = names::seconds(ttl);
    let kind = question.kind;
    if !matches!(
        kind,
        RecordType::A | RecordType::AAAA | RecordType::ANY | RecordType::CNAME | RecordType::TXT
    ) {
        return None;
    }
    match addressed(question, name, addresses, ttl) {
        Addressed::Records(records) => {
            draft.answers.extend(records);
            None
        }
        Addressed::Alias(host) => {
            let target = names::host(host)?;
            if kind == RecordType::TXT {
                return None;
            }
            let record = Record::from_rdata(name.clone(), ttl, RData::CNAME(CNAME(target.clone())));
            draft.answers.push(record.into());
            Some(target)
        }
    }
}

fn addressed<'a>(
    question: &Question,
    name: &Name,
    addresses: impl IntoIterator<Item = Address<'a>>,
    ttl: u32,
) -> Addressed<'a> {
    let mut seen = HashSet::new();
    let mut records = Vec::new();
    let (mut host, mut has_address) = (None, false);
    for address in addresses {
        match address {
            Address::Nowhere => {}
            Address::Host(text) => host = host.or(Some(text)),
            Address::Ip(address) => {
                has_address = true;
                if names::asks_for(question.kind, address) && seen.insert(address) {
                    records.push(names::address_record(name.clone(), address, ttl).into());
                }
            }
        }
        // One more shows that there are more.
        if records.len() > question.maximum_answers() {
            break;
        }
    }
    match host {
        Some(host) if !has_address => Addressed::Alias(host),
        _ => Addressed::Records(records),
    }
}
