use super::*;

fn picture(queries: &[(&str, &str, bool)]) -> QueryPicture {
    let mut picture = QueryPicture::default();
    for (name, service, is_template) in queries {
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
        let known = KnownQuery {
            query,
            create_revision: Revision(1),
            modification_revision: Revision(1),
        };
        picture.queries.insert(known.query.id.clone(), Arc::new(known));
    }
    picture
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
