use std::collections::BTreeSet;

use super::*;
use crate::service::registry::{Node, Registration, testing};

fn picture(queries: &[(&str, &str, bool)]) -> QueryPicture {
    let known = queries.iter().map(|(name, service, is_template)| {
        let query = PreparedQuery {
            id: format!("id-{name}-{is_template}"),
            name: (*name).into(),
            wanted: Wanted {
                service: (*service).into(),
                tags: vec!["${match(2)}".into()],
                ..Wanted::default()
            },
            template: is_template.then(|| Template {
                pattern: "^geo-(.*)-([^-]*)$".into(),
                remove_empty_tags: true,
            }),
            ..PreparedQuery::default()
        };
        KnownQuery {
            query,
            create_revision: Revision(1),
            modification_revision: Revision(1),
        }
    });
    QueryPicture::of(known, Revision(1))
}

#[test]
fn a_name_finds_its_query_then_the_template_with_the_longest_prefix() {
    let picture = picture(&[
        ("geo-exact", "e", false),
        ("", "all", true),
        ("geo-", "${name.suffix}", true),
    ]);
    let service = |name| picture.find(name).unwrap().wanted.service;
    assert_eq!(service("geo-exact"), "e");
    assert_eq!(service("id-geo-exact-false"), "e");
    assert_eq!(service("geo-db"), "db");
    assert_eq!(service("other"), "all");
}

#[test]
fn variables_of_a_template_are_filled_in_and_unknown_ones_refused() {
    let service = "${name.prefix}|${name.full}|${match(1)}|${match(9)}";
    let found = picture(&[("geo-", service, true)]).find("geo-db-master").unwrap();
    assert_eq!(found.wanted.service, "geo-|geo-db-master|db|");
    assert_eq!(found.wanted.tags, ["master"]);
    assert!(
        picture(&[("geo-", "x", true)])
            .find("geo-")
            .unwrap()
            .wanted
            .tags
            .is_empty()
    );
    for broken in ["${nope}", "${name.full", "${match(x)}"] {
        assert!(
            picture(&[("geo-", broken, true)]).find("geo-db").is_err(),
            "{broken}"
        );
    }
    assert!(picture(&[]).find("x").is_err());
}

#[test]
fn a_query_by_its_name_gives_those_near_first_and_asks_for_its_token() {
    /// How often it is looked: that the same are first by chance happens once in 2^100.
    const LOOKS: usize = 100;
    let nodes = ["host1", "host2"].map(|name| {
        let node = Node {
            name: name.into(),
            ..Node::default()
        };
        (node, Vec::new())
    });
    let instances = nodes.each_ref().map(|(node, _)| {
        let registration = Registration {
            service: "web".into(),
            node: node.name.clone(),
            id: "1".into(),
            ..Registration::default()
        };
        (registration, Vec::new())
    });
    let catalog = testing::catalog(Revision(5), &nodes, &instances);
    let known = |name: &str, near: &str, token: &str| KnownQuery {
        query: PreparedQuery {
            id: format!("id-{name}"),
            name: name.into(),
            wanted: Wanted {
                service: "web".into(),
                near: near.into(),
                ..Wanted::default()
            },
            token: Secret::new(token.into()),
            ..PreparedQuery::default()
        },
        create_revision: Revision(1),
        modification_revision: Revision(1),
    };
    let queries = [
        known("Own", "_agent", ""),
        known("far", "Host1", ""),
        known("any", "", ""),
        known("known", "", "a"),
        known("gone", "", "b"),
    ];
    let picture = QueryPicture::of(queries, Revision(5));
    let authorize = |token: &str| match token {
        "a" => Ok(Arc::default()),
        _ => Err(ConsulError::Denied("ACL not found".into())),
    };
    let firsts = |name: &str| -> BTreeSet<String> {
        let found = (0..LOOKS).map(|_| picture.resolve(&catalog, name, "host2", authorize));
        found
            .map(|found| found.unwrap().entries[0].instance.registration.node.clone())
            .collect()
    };
    assert_eq!(firsts("OWN"), ["host2".to_owned()].into());
    assert_eq!(firsts("far"), ["host1".to_owned()].into());
    assert_eq!(firsts("any").len(), 2);
    let authorizer = |name| {
        let found = picture.resolve(&catalog, name, "host2", authorize);
        found.map(|found| found.authorizer.is_some())
    };
    assert_eq!(authorizer("any"), Ok(false));
    assert_eq!(authorizer("known"), Ok(true));
    assert_eq!(
        authorizer("gone"),
        Err(ConsulError::Denied("ACL not found".into()))
    );
}
