//! Snapshots.

use super::*;
use crate::service::consul::event::Event;

#[tokio::test]
async fn what_a_snapshot_holds_is_put_back_and_what_came_since_is_gone() {
    let (_node, consul) = start().await;
    put(&consul, "kept", "v", Condition::Always).await;
    put(&consul, "changed", "old", Condition::Always).await;
    put(&consul, "removed", "v", Condition::Always).await;
    let event = Event {
        id: Uuid::new_v4(),
        name: "e".into(),
        payload: Bytes::from("p"),
        node_filter: String::new(),
        service_filter: String::new(),
        tag_filter: String::new(),
        time: 0,
    };
    let fired = consul.fire(event).await.unwrap();
    let archive = consul.archive(false).await.unwrap();
    let kept = get(&consul, "kept").await.unwrap();
    put(&consul, "changed", "new", Condition::Always).await;
    consul.remove(b"removed", None).await.unwrap();
    let session = consul.create_session(endless()).await.unwrap();
    assert!(lock(&consul, "since", session).await && lock(&consul, "changed", session).await);
    consul.restore(&archive.content).await.unwrap();
    assert_eq!(get(&consul, "kept").await.unwrap(), kept);
    let changed = get(&consul, "changed").await.unwrap();
    assert_eq!(
        (changed.value.as_ref(), changed.session),
        (&b"old"[..], Some(session))
    );
    assert_eq!(get(&consul, "removed").await.unwrap().value, "v");
    assert_eq!(get(&consul, "since").await, None);
    assert_eq!(consul.events(false, |_| true).await.unwrap().content, [fired]);
    // A key that comes back is nobody's.
    put(&consul, "since", "v", Condition::Always).await;
    assert_eq!(get(&consul, "since").await.unwrap().session, None);
    assert!(consul.restore(&Bytes::from_static(b"other")).await.is_err());
}
