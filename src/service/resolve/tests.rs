//! What names stand for, in catalogs without a store.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::*;
use crate::base::Revision;
use crate::service::consul::acl;
use crate::service::registry::{NewCheck, Node, Registration, Weights, testing};

fn instance(id: &str, tags: &[&str], status: Status) -> (Registration, Vec<NewCheck>) {
    let registration = Registration {
        service: "Web".into(),
        id: id.into(),
        node: "Host1".into(),
        weights: Weights {
            passing: 10,
            warning: 2,
        },
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Registration::default()
    };
    (registration, vec![testing::check(status)])
}

fn node(name: &str, address: &str, status: Status) -> (Node, Vec<NewCheck>) {
    let node = Node {
        name: name.into(),
        address: address.into(),
        ..Node::default()
    };
    (node, vec![testing::check(status)])
}

/// All of a catalog.
fn sight(catalog: Catalog) -> Sight {
    Sight {
        catalog: Arc::new(catalog),
        authorizer: Arc::default(),
    }
}

/// What these rules let through, and nothing else.
fn with_rules(sight: &Sight, rules: &str) -> Sight {
    Sight {
        authorizer: Arc::new(acl::testing::authorizer(rules)),
        ..sight.clone()
    }
}

fn catalog() -> Sight {
    let instances = [
        instance("passing", &["V1", "a.b"], Status::Passing),
        instance("warning", &["v2"], Status::Warning),
        instance("critical", &["v1"], Status::Critical),
    ];
    let nodes = [node("Host1", "10.0.0.1", Status::Passing)];
    sight(testing::catalog(Revision(5), &nodes, &instances))
}

fn subject<'name>(name: &'name str, labels: &'name mut Vec<&'name str>) -> Subject<'name> {
    labels.extend(name.split('.').filter(|label| !label.is_empty()));
    Subject::of(labels, "dc1")
}

/// The ids that a name gives, with their weights, in order; none if it stands for something else.
fn given(resolver: &Resolver, sight: &Sight, name: &str) -> Option<Vec<(String, u16)>> {
    let mut labels = Vec::new();
    match resolver.resolve(sight, &subject(name, &mut labels)) {
        Meaning::Instances { offers, .. } => {
            let mut ids: Vec<(String, u16)> = offers
                .iter()
                .map(|offer| (offer.entry.instance.registration.id.clone(), offer.weight()))
                .collect();
            ids.sort();
            Some(ids)
        }
        _ => None,
    }
}

#[test]
fn every_form_of_a_name_is_read() {
    let service = |name, tag: Option<&str>| Subject::Service {
        name,
        tag: tag.map(|tag| tag.to_owned().into()),
    };
    let node = |name: &str| Subject::Node(name.to_owned().into());
    let address = |text: &str| Subject::Address(text.parse::<IpAddr>().unwrap());
    for (name, wanted) in [
        ("", Subject::Domain),
        ("ns", Subject::Server),
        ("ns.dc1", Subject::Unknown),
        ("web.service", service("web", None)),
        ("web.SERVICE.DC1", service("web", None)),
        ("web.service.dc1.dc", service("web", None)),
        ("web.service.dc2", Subject::Unknown),
        ("web.service.dc2.dc", Subject::Unknown),
        ("web.service.dc1.dc1", Subject::Unknown),
        ("v1.web.service", service("web", Some("v1"))),
        ("a.b.web.service.dc1", service("web", Some("a.b"))),
        ("service.service", service("service", None)),
        ("dc1.service", service("dc1", None)),
        ("_web._v1.service", service("web", Some("v1"))),
        ("_web._tcp.service", service("web", None)),
        ("_web._TCP.service", service("web", None)),
        ("_web._udp.service", service("web", Some("udp"))),
        ("_web._tcp", service("web", None)),
        ("_web._v1.dc1", service("web", Some("v1"))),
        ("web._tcp", Subject::Unknown),
        ("_tcp", Subject::Ending),
        ("service", Subject::Ending),
        ("service.dc1", Subject::Ending),
        ("node.dc1.dc", Subject::Ending),
        ("addr", Subject::Ending),
        ("query", Subject::Ending),
        ("dc1", Subject::Ending),
        ("dc", Subject::Ending),
        ("dc1.dc", Subject::Ending),
        ("host1.node", node("host1")),
        ("host1.rack.node.dc1", node("host1.rack")),
        ("near.query", Subject::Query("near".into())),
        ("a.near.query", Subject::Query("a.near".into())),
        ("0a000001.addr", address("10.0.0.1")),
        ("0A0000FF.addr.dc1", address("10.0.0.255")),
        ("20010db8000000000000000000000001.addr", address("2001:db8::1")),
        ("0a00001.addr", Subject::Unknown),
        ("+a000001.addr", Subject::Unknown),
        ("x.0a000001.addr", Subject::Unknown),
        ("web.connect", Subject::Unknown),
        ("web.virtual", Subject::Unknown),
        ("web", Subject::Unknown),
    ] {
        let mut labels = Vec::new();
        assert_eq!(subject(name, &mut labels), wanted, "{name:?}");
    }
}

#[test]
fn critical_instances_are_never_given_and_warning_ones_unless_told() {
    let catalog = catalog();
    let all = [("passing".to_owned(), 10), ("warning".to_owned(), 2)];
    let resolver = Resolver::new(false);
    assert_eq!(
        given(&resolver, &catalog, "web.service").as_deref(),
        Some(&all[..])
    );
    let strict = Resolver::new(true);
    assert_eq!(
        given(&strict, &catalog, "web.service").as_deref(),
        Some(&all[..1])
    );
    assert_eq!(given(&resolver, &catalog, "api.service"), None);
}

#[test]
fn an_instance_on_a_node_that_is_critical_is_not_given() {
    let instances = [instance("passing", &[], Status::Passing)];
    let nodes = [node("Host1", "10.0.0.1", Status::Critical)];
    let catalog = sight(testing::catalog(Revision(5), &nodes, &instances));
    assert_eq!(given(&Resolver::new(false), &catalog, "web.service"), None);
}

#[test]
fn a_tag_is_found_whatever_its_case_and_with_dots() {
    let (catalog, resolver) = (catalog(), Resolver::new(false));
    let ids = |name: &str| -> Vec<String> {
        let found = given(&resolver, &catalog, name).unwrap_or_default();
        found.into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids("v1.WEB.service"), ["passing"]);
    assert_eq!(ids("_web._v2.service"), ["warning"]);
    assert_eq!(ids("A.b.web.service"), ["passing"]);
    assert_eq!(ids("v3.web.service"), [""; 0]);
}

#[test]
fn the_order_of_instances_is_one_of_chance() {
    /// How often it is looked: that all are in one order happens once in 2^200.
    const LOOKS: usize = 200;
    let (catalog, resolver) = (catalog(), Resolver::new(false));
    let name = Subject::Service {
        name: "web",
        tag: None,
    };
    let orders: BTreeSet<Vec<u16>> = (0..LOOKS)
        .map(|_| match resolver.resolve(&catalog, &name) {
            Meaning::Instances { offers, .. } => offers.iter().map(Offer::weight).collect(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(orders.len(), 2);
}

/// One query, `near`, which finds all instances of a service in the order of their ids, with rights of its own if it has
/// any.
struct Near(Option<&'static str>);

impl PreparedQueries for Near {
    fn find(&self, catalog: &Catalog, query: &str) -> Option<Found> {
        (query == "near").then(|| Found {
            entries: catalog
                .service("web")
                .into_iter()
                .flat_map(|service| service.entries().cloned())
                .collect(),
            service: "Web".into(),
            ttl: Some(Duration::from_secs(3)),
            authorizer: self.0.map(|rules| Arc::new(acl::testing::authorizer(rules))),
        })
    }
}

#[test]
fn a_prepared_query_gives_all_that_it_finds_in_its_order() {
    let catalog = catalog();
    let without = Resolver::new(false);
    let name = Subject::Query("near".into());
    assert!(matches!(without.resolve(&catalog, &name), Meaning::Missing));
    let resolver = without.with_queries(Arc::new(Near(None)));
    let Meaning::Instances { offers, ttl, service } = resolver.resolve(&catalog, &name) else {
        panic!("the query is not found");
    };
    let weights: Vec<u16> = offers.iter().map(Offer::weight).collect();
    assert_eq!(
        (weights, ttl, service),
        (vec![2, 10, 2], Some(Duration::from_secs(3)), "Web".to_owned())
    );
    let unknown = Subject::Query("far".into());
    assert!(matches!(resolver.resolve(&catalog, &unknown), Meaning::Missing));
}

#[test]
fn an_address_belongs_to_nodes_else_to_services() {
    let mut elsewhere = instance("elsewhere", &[], Status::Critical);
    elsewhere.0.address = "10.0.0.2".into();
    let instances = [instance("here", &[], Status::Passing), elsewhere];
    let nodes = [node("Host1", "10.0.0.1", Status::Passing)];
    let all = sight(testing::catalog(Revision(5), &nodes, &instances));
    let index = ReverseIndex::of(&all.catalog);
    let owners = |address: &str, sight: &Sight| index.owners(address.parse().unwrap(), sight);
    assert_eq!(owners("10.0.0.1", &all), [Owner::Node("Host1".into())]);
    assert_eq!(owners("10.0.0.2", &all), [Owner::Service("Web".into())]);
    assert_eq!(owners("10.0.0.3", &all), []);
    assert_eq!(index.changed, Revision(5));
    // Of what may not be seen neither the node nor the services on it are told.
    let only_node = with_rules(&all, r#"node "Host1" { policy = "read" }"#);
    assert_eq!(owners("10.0.0.1", &only_node), [Owner::Node("Host1".into())]);
    assert_eq!(owners("10.0.0.2", &only_node), []);
    let only_service = with_rules(&all, r#"service "Web" { policy = "read" }"#);
    assert_eq!(owners("10.0.0.1", &only_service), []);
    assert_eq!(owners("10.0.0.2", &only_service), []);
}

#[test]
fn an_instance_is_seen_by_whoever_may_read_its_service_and_its_node() {
    let (all, resolver) = (catalog(), Resolver::new(false));
    let is_seen = |rules: &str, name: &str| given(&resolver, &with_rules(&all, rules), name).is_some();
    let (service, node) = (
        r#"service "Web" { policy = "read" }"#,
        r#"node_prefix "Ho" { policy = "write" }"#,
    );
    assert!(is_seen(&format!("{service}\n{node}"), "web.service"));
    for rules in ["", service, node] {
        assert!(!is_seen(rules, "web.service"), "{rules}");
    }
    let host = Subject::Node("host1".into());
    for (rules, is_seen) in [(node, true), (service, false)] {
        let meaning = resolver.resolve(&with_rules(&all, rules), &host);
        assert_eq!(matches!(meaning, Meaning::Node(_)), is_seen, "{rules}");
    }
}

#[test]
fn a_prepared_query_is_asked_with_rights_of_its_own_if_it_has_any() {
    let all = "service_prefix \"\" { policy = \"read\" }\nnode_prefix \"\" { policy = \"read\" }";
    let catalog = catalog();
    for (asker, own, is_seen) in [
        (all, None, true),
        ("", None, false),
        ("", Some(all), true),
        (all, Some(""), false),
    ] {
        let resolver = Resolver::new(false).with_queries(Arc::new(Near(own)));
        let seen = given(&resolver, &with_rules(&catalog, asker), "near.query");
        assert_eq!(seen.is_some(), is_seen, "{asker:?} {own:?}");
    }
}
