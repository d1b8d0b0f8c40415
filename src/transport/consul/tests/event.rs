//! `/v1/event/`.

use uuid::Uuid;

use super::*;

/// As clients compute it.
fn index_of(event: &Value) -> u64 {
    let id: Uuid = event["ID"].as_str().unwrap().parse().unwrap();
    let (first, second) = id.as_u64_pair();
    first ^ second
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_of_events_is_what_clients_compute_from_the_id_of_the_last() {
    let door = Door::open().await;
    let none = door.get("/v1/event/list?name=deploy").await;
    assert_eq!((none.index(), none.json()), (1, serde_json::json!([])));
    let mut before = 1;
    for _ in 0..3 {
        let fired = door.put("/v1/event/fire/deploy", "payload").await.good();
        let other = door.put("/v1/event/fire/other", "").await.good();
        assert!(before < index_of(&fired) && index_of(&fired) < index_of(&other));
        // A number that JSON can hold.
        assert!(index_of(&other) < 1 << 53);
        let named = door.get("/v1/event/list?name=deploy").await;
        assert_eq!(named.index(), index_of(&fired));
        let all = door.get("/v1/event/list").await;
        assert_eq!(all.index(), index_of(&other));
        assert_eq!(all.json().as_array().unwrap().last(), Some(&other));
        before = index_of(&other);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_events_of_a_name_is_over_with_the_next_of_that_name() {
    let door = Door::open().await;
    door.put("/v1/event/fire/deploy", "1").await.good();
    let index = door.get("/v1/event/list?name=deploy").await.index();
    let path = format!("/v1/event/list?name=deploy&index={index}&wait=30s");
    let (waited, fired) = tokio::join!(door.get(&path), async {
        door.put("/v1/event/fire/other", "").await.good();
        door.put("/v1/event/fire/deploy", "2").await.good()
    });
    assert_eq!(waited.index(), index_of(&fired));
    assert_eq!(waited.json().as_array().unwrap().last(), Some(&fired));
}
