//! Keys and values.

use super::*;
use crate::service::consul::kv::watched_prefix;

#[tokio::test]
async fn a_write_of_what_is_there_moves_no_revision() {
    let (node, consul) = start().await;
    for condition in [Condition::Always, Condition::Revision(0)] {
        put(&consul, "k", "v", condition).await;
        let first = get(&consul, "k").await.unwrap();
        let before = node.services.core.reader.view().revision();
        assert!(put(&consul, "k", "v", Condition::Always).await);
        let index = u64::try_from(first.modified.0).unwrap();
        assert!(put(&consul, "k", "v", Condition::Revision(index)).await);
        assert_eq!(get(&consul, "k").await.unwrap(), first);
        assert_eq!(node.services.core.reader.view().revision(), before);
    }
    assert!(
        consul
            .put(b"k", 7, Bytes::from("v"), Condition::Always)
            .await
            .unwrap()
    );
    assert_eq!(get(&consul, "k").await.unwrap().flags, 7);
}

#[tokio::test]
async fn a_condition_on_the_revision_holds_for_that_one_only_and_0_means_not_there() {
    let (_node, consul) = start().await;
    assert!(!put(&consul, "k", "v", Condition::Revision(5)).await);
    assert!(put(&consul, "k", "v", Condition::Revision(0)).await);
    assert!(!put(&consul, "k", "w", Condition::Revision(0)).await);
    let modified = get(&consul, "k").await.unwrap().modified.0;
    let current = u64::try_from(modified).unwrap();
    assert!(!put(&consul, "k", "w", Condition::Revision(current - 1)).await);
    assert!(put(&consul, "k", "w", Condition::Revision(current)).await);
    assert!(!consul.remove(b"k", Some(current)).await.unwrap());
    assert!(!consul.remove(b"k", Some(0)).await.unwrap());
    let current = u64::try_from(get(&consul, "k").await.unwrap().modified.0).unwrap();
    assert!(consul.remove(b"k", Some(current)).await.unwrap());
    assert!(consul.remove(b"k", Some(3)).await.unwrap());
    assert_eq!(get(&consul, "k").await, None);
}

#[tokio::test]
async fn the_index_of_a_prefix_moves_with_every_change_below_it_and_with_no_other() {
    let (_node, consul) = start().await;
    put(&consul, "a/1", "v", Condition::Always).await;
    put(&consul, "a/2", "v", Condition::Always).await;
    let first = index(&consul, "a/").await;
    put(&consul, "b", "v", Condition::Always).await;
    assert_eq!(index(&consul, "a/").await, first);
    consul.remove(b"a/2", None).await.unwrap();
    let after_removal = index(&consul, "a/").await;
    assert!(after_removal > first);
    consul.remove_prefix(b"a/").await.unwrap();
    let after_all = index(&consul, "a/").await;
    assert!(after_all > after_removal);
    assert_eq!(
        consul.names(b"a/", b"", false, true).await.unwrap().index,
        after_all
    );
    assert!(index(&consul, "a/1/").await < after_all);
    let session = consul.create_session(endless()).await.unwrap();
    put(&consul, "b", "w", Condition::Always).await;
    let unlocked = index(&consul, "b").await;
    assert!(lock(&consul, "b", session).await);
    assert!(index(&consul, "b").await > unlocked);
}

#[tokio::test]
async fn whoever_waits_for_a_prefix_is_woken_by_a_removal_below_it() {
    let (_node, consul) = start().await;
    put(&consul, "a/1", "v", Condition::Always).await;
    let mut waiter = consul.waiter(watched_prefix(b"a/"));
    let seen = consul.pairs(b"a/", false, true).await.unwrap();
    put(&consul, "b", "v", Condition::Always).await;
    consul.remove(b"a/1", None).await.unwrap();
    let waiting = waiter.changed(seen.revision, seen.index);
    tokio::time::timeout(crate::service::testing::PATIENCE, waiting)
        .await
        .expect("it is woken")
        .unwrap();
    assert!(index(&consul, "a/").await > seen.index);
}

#[tokio::test]
async fn names_are_listed_in_order_and_cut_once() {
    let (_node, consul) = start().await;
    for key in ["a/b/1", "a/b/2", "a/c", "ab", "b"] {
        put(&consul, key, "v", Condition::Always).await;
    }
    let names = async |prefix: &str, separator: &str| {
        let names = consul
            .names(prefix.as_bytes(), separator.as_bytes(), false, false)
            .await;
        let names = names.unwrap().content;
        names
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("a", "").await, ["a/b/1", "a/b/2", "a/c", "ab"]);
    assert_eq!(names("a/", "/").await, ["a/b/", "a/c"]);
    assert_eq!(names("", "/").await, ["a/", "ab", "b"]);
}

#[tokio::test]
async fn a_lock_is_held_by_one_session_until_it_lets_go() {
    let (_node, consul) = start().await;
    let one = consul.create_session(endless()).await.unwrap();
    let two = consul.create_session(endless()).await.unwrap();
    assert!(lock(&consul, "k", one).await);
    let held = get(&consul, "k").await.unwrap();
    assert_eq!((held.lock_index, held.session), (1, Some(one)));
    assert!(!lock(&consul, "k", two).await);
    assert!(lock(&consul, "k", one).await);
    assert_eq!(get(&consul, "k").await.unwrap(), held);
    assert!(put(&consul, "k", "plain", Condition::Always).await);
    let written = get(&consul, "k").await.unwrap();
    assert_eq!(
        (written.session, written.value.as_ref()),
        (Some(one), &b"plain"[..])
    );
    assert!(!put(&consul, "k", "x", Condition::Release(two)).await);
    assert!(put(&consul, "k", "free", Condition::Release(one)).await);
    let free = get(&consul, "k").await.unwrap();
    assert_eq!(
        (free.lock_index, free.session, free.value.as_ref()),
        (1, None, &b"free"[..])
    );
    assert!(free.modified > written.modified);
    assert!(!put(&consul, "absent", "x", Condition::Release(one)).await);
    assert!(lock(&consul, "k", two).await);
    assert_eq!(get(&consul, "k").await.unwrap().lock_index, 2);
    let unknown = consul
        .put(b"k", 0, Bytes::new(), Condition::Acquire(Uuid::nil()))
        .await;
    assert!(unknown.unwrap_err().to_string().starts_with("invalid session"));
}

#[tokio::test]
async fn a_value_may_have_512_kib_and_not_one_byte_more() {
    let (_node, consul) = start().await;
    let largest = Bytes::from(vec![7; 512 * 1024]);
    assert!(
        consul
            .put(b"k", 0, largest.clone(), Condition::Always)
            .await
            .unwrap()
    );
    assert_eq!(get(&consul, "k").await.unwrap().value, largest);
    let larger = Bytes::from(vec![7; 512 * 1024 + 1]);
    let refused = consul.put(b"k", 0, larger, Condition::Always).await.unwrap_err();
    assert!(refused.to_string().contains("524289 > 524288"), "{refused}");
}
