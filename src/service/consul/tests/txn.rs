//! Transactions.

use super::*;
use crate::service::consul::acl::Authorizer;
use crate::service::consul::txn::{KeyOperation, Outcome, Shown, TxnOperation, Verb};

fn operation(verb: Verb, key: &'static str, value: &'static str) -> TxnOperation {
    TxnOperation::Key(KeyOperation {
        verb,
        key: Bytes::from(key),
        value: Bytes::from(value),
        flags: 0,
    })
}

async fn transact(consul: &Consul, operations: &[TxnOperation]) -> Outcome {
    let open = Authorizer::open();
    consul.transact(operations, false, &open).await.unwrap()
}

#[tokio::test]
async fn a_transaction_is_done_at_one_revision_and_sees_its_own_writes() {
    let (_node, consul) = start().await;
    let done = transact(
        &consul,
        &[
            operation(Verb::Set, "a/1", "one"),
            operation(Verb::SetAt(0), "a/2", "two"),
            operation(Verb::GetTree, "a/", ""),
            operation(Verb::Delete, "a/1", ""),
            operation(Verb::CheckNotExists, "a/1", ""),
        ],
    )
    .await;
    assert_eq!(done.failed, []);
    let values: Vec<(bool, &[u8])> = done
        .shown
        .iter()
        .map(|shown| match shown {
            Shown::Whole(pair) => (true, pair.value.as_ref()),
            Shown::Written(pair) => (false, pair.key.as_ref()),
            Shown::Entry(entry) => panic!("{entry:?}"),
        })
        .collect();
    let expected: [(bool, &[u8]); 4] = [(false, b"a/1"), (false, b"a/2"), (true, b"one"), (true, b"two")];
    assert_eq!(values, expected);
    let two = get(&consul, "a/2").await.unwrap();
    assert_eq!((two.modified, two.create), (done.revision, done.revision));
    assert_eq!(get(&consul, "a/1").await, None);
}

#[tokio::test]
async fn all_operations_that_fail_are_told_and_nothing_is_done() {
    let (_node, consul) = start().await;
    put(&consul, "k", "v", Condition::Always).await;
    let failed = transact(
        &consul,
        &[
            operation(Verb::Set, "new", "v"),
            operation(Verb::SetAt(9_999), "k", "w"),
            operation(Verb::Get, "absent", ""),
            operation(Verb::CheckNotExists, "k", ""),
            operation(Verb::Lock(Uuid::nil()), "k", ""),
            operation(Verb::Unlock(Uuid::nil()), "k", ""),
            operation(Verb::CheckSession(Uuid::nil()), "k", ""),
            operation(Verb::DeleteAt(1), "k", ""),
            operation(Verb::CheckIndex(1), "k", ""),
        ],
    )
    .await;
    let numbers: Vec<usize> = failed.failed.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    let texts: Vec<&str> = failed.failed.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts[0], "failed to set key \"k\", index is stale");
    assert_eq!(texts[1], "key \"absent\" doesn't exist");
    assert!(texts[3].starts_with("invalid session"));
    assert_eq!(get(&consul, "new").await, None);
}

#[tokio::test]
async fn a_transaction_that_changes_nothing_moves_no_revision() {
    let (node, consul) = start().await;
    put(&consul, "k", "v", Condition::Always).await;
    let before = node.services.core.reader.view().revision();
    let modified = get(&consul, "k").await.unwrap().modified;
    let done = transact(
        &consul,
        &[
            operation(Verb::Set, "k", "v"),
            operation(Verb::DeleteTree, "none/", ""),
        ],
    )
    .await;
    let Some(Shown::Written(pair)) = done.shown.first() else {
        panic!("the write is shown");
    };
    assert_eq!(pair.modified, modified);
    assert_eq!(node.services.core.reader.view().revision(), before);
}

#[tokio::test]
async fn a_lock_in_a_transaction_is_a_lock() {
    let (_node, consul) = start().await;
    let session = consul.create_session(endless()).await.unwrap();
    let locked = transact(
        &consul,
        &[
            operation(Verb::Lock(session), "k", "v"),
            operation(Verb::CheckSession(session), "k", ""),
        ],
    )
    .await;
    assert_eq!(locked.failed, []);
    assert_eq!(get(&consul, "k").await.unwrap().session, Some(session));
    let other = consul.create_session(endless()).await.unwrap();
    let failed = transact(&consul, &[operation(Verb::Lock(other), "k", "w")]).await;
    assert_eq!(
        failed.failed,
        [(0, "failed to lock key \"k\", lock is already held".to_owned())]
    );
    consul.end_session(session).await.unwrap();
    assert_eq!(get(&consul, "k").await.unwrap().session, None);
}

#[tokio::test]
async fn concurrent_transactions_on_one_key_all_count() {
    let (_node, consul) = start().await;
    let adding = (0..16).map(|_| {
        let consul = consul.clone();
        async move {
            loop {
                let (value, index) = match get(&consul, "n").await {
                    None => (0, 0),
                    Some(pair) => (
                        String::from_utf8_lossy(&pair.value).parse::<u32>().unwrap(),
                        u64::try_from(pair.modified.0).unwrap(),
                    ),
                };
                let next = Bytes::from((value + 1).to_string());
                if consul
                    .put(b"n", 0, next, Condition::Revision(index))
                    .await
                    .unwrap()
                {
                    return;
                }
            }
        }
    });
    futures::future::join_all(adding).await;
    assert_eq!(get(&consul, "n").await.unwrap().value, "16");
}
