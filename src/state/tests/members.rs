//! What a membership without a member does to the state.

use super::*;

#[test]
fn a_removed_member_is_forgotten_and_remembered_as_removed_for_good() {
    let mut fixture = Fixture::new();
    let publish = |id| Command::PublishMember {
        id: MemberId(id),
        name: format!("n{id}"),
        client_urls: Vec::new(),
    };
    fixture.apply_batch(vec![publish(1), publish(2)]);
    let view = fixture.machine.reader().view();
    assert_eq!(view.members().expect("the engine works").len(), 2);
    assert_eq!(view.removed_members().expect("the engine works"), []);

    let index = view.applied_index() + 1;
    let change = LogEntry {
        index,
        position: Bytes::from_static(b"position"),
        payload: Payload::Membership {
            membership: Bytes::from_static(b"without 2"),
            removed: vec![MemberId(2)],
        },
    };
    // In one batch with what it said last.
    let late = entry(index + 1, publish(2));
    fixture.machine.apply(&[change, late]).expect("the engine works");
    let view = fixture.machine.reader().view();
    let names: Vec<String> = view
        .members()
        .expect("the engine works")
        .into_iter()
        .map(|member| member.name)
        .collect();
    assert_eq!(names, ["n1"]);
    assert_eq!(view.removed_members().expect("the engine works"), [MemberId(2)]);
    let stored = view.position().expect("the engine works").membership;
    assert_eq!(
        stored,
        Some((Bytes::from_static(b"position"), Bytes::from_static(b"without 2")))
    );
}
