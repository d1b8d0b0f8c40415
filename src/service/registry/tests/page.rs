//! Pages of services and nodes: in order, to the end, and none too large for a message.

use super::*;

/// All pages of names, in order, `limit` on each.
fn pages<Item>(
    read: impl Fn(Option<&str>) -> (Vec<Item>, Option<Arc<str>>),
    name: impl Fn(&Item) -> String,
) -> Vec<Vec<String>> {
    let (mut pages, mut after): (Vec<Vec<String>>, Option<Arc<str>>) = (Vec::new(), None);
    loop {
        let (page, next) = read(after.as_deref());
        pages.push(page.iter().map(&name).collect());
        match next {
            Some(next) => after = Some(next),
            None => return pages,
        }
    }
}

fn services(catalog: &Catalog, limit: usize) -> Vec<Vec<String>> {
    pages(
        |after| catalog.services_page(after, limit),
        |(service, _)| service.name().to_owned(),
    )
}

fn nodes(catalog: &Catalog, limit: usize) -> Vec<Vec<String>> {
    pages(
        |after| catalog.nodes_page(after, limit),
        |node| node.name().to_owned(),
    )
}

#[tokio::test]
async fn services_and_nodes_come_by_name_in_pages_of_which_the_last_says_that_it_is() {
    let node = TestNode::start().await;
    assert_eq!(services(&*node.catalog().await, 2), [Vec::<String>::new()]);
    for (service, on) in [("Web", "N2"), ("api", "n1"), ("db", "n1"), ("cache", "n3")] {
        node.register(instance(service, on, service), Claim::New)
            .await
            .unwrap();
    }
    node.registry()
        .register_node(&known_node("n0"), &[])
        .await
        .unwrap();
    let catalog = node.catalog().await;
    assert_eq!(services(&catalog, 3), [vec!["api", "cache", "db"], vec!["Web"]]);
    assert_eq!(services(&catalog, 4), [["api", "cache", "db", "Web"]]);
    assert_eq!(nodes(&catalog, 1), [["n0"], ["n1"], ["N2"], ["n3"]]);
    assert_eq!(
        nodes(&catalog, 0),
        nodes(&catalog, 1),
        "one at least, so that it comes to an end"
    );
    assert_eq!(nodes(&catalog, usize::MAX), [["n0", "n1", "N2", "n3"]]);
    // A name to go on after has no case, and need not be there any more.
    let after = |name| catalog.nodes_page(Some(name), 9).0[0].name().to_owned();
    assert_eq!((after("N1"), after("n15")), ("N2".to_owned(), "N2".to_owned()));
    assert!(catalog.services_page(Some("WEB"), 9).0.is_empty());
    let (found, _) = catalog.services_page(Some("api"), 1);
    assert_eq!((found[0].0.size(), found[0].1.passing), (1, 1));
}

#[tokio::test]
async fn a_page_of_large_services_or_nodes_ends_where_a_message_would_become_too_large() {
    let node = TestNode::start().await;
    let value = "v".repeat(MAXIMUM_METADATA_VALUE_BYTES);
    let metadata = (0..MAXIMUM_METADATA_PAIRS).map(|key| (key.to_string(), value.clone()));
    let metadata: BTreeMap<String, String> = metadata.collect();
    for number in 10..50 {
        let large = Node {
            metadata: metadata.clone(),
            ..known_node(&format!("n{number}"))
        };
        node.registry().register_node(&large, &[]).await.unwrap();
    }
    for number in 10..90 {
        let tags = (0..MAXIMUM_INSTANCE_TAGS)
            .map(|tag| format!("{tag:0>width$}", width = MAXIMUM_REGISTRY_NAME_BYTES));
        let large = Registration {
            tags: tags.collect(),
            ..instance(&format!("s{number}"), "n10", &format!("i{number}"))
        };
        node.register(large, Claim::New).await.unwrap();
    }
    let catalog = node.catalog().await;
    for (pages, number) in [(nodes(&catalog, 1_000), 40), (services(&catalog, 1_000), 80)] {
        assert_eq!(pages.len(), 2, "{pages:?}");
        let all: Vec<String> = pages.concat();
        assert!(all.len() == number && all.is_sorted(), "{all:?}");
    }
}
