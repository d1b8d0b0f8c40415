//! The hash against values that etcd 3.7.1 gave for the same changes.

use super::{Fixture, key, put};
use crate::base::Revision;
use crate::state::command::{Command, DeleteRange, Operation, Txn};

fn hash(fixture: &Fixture, revision: i64) -> u32 {
    let view = fixture.machine.reader().view();
    let hash = view
        .hash_kv(Revision(revision))
        .expect("the engine in memory works");
    hash.expect("the revision is readable").hash
}

#[test]
fn the_hash_of_every_step_is_that_of_etcd() {
    let mut fixture = Fixture::new();
    assert_eq!(hash(&fixture, 0), 1_084_519_789);
    let _ = fixture.outcome(Command::Put(put("a", "1")));
    assert_eq!(hash(&fixture, 0), 2_587_454_935);
    let _ = fixture.outcome(Command::Put(put("b", "2")));
    assert_eq!(hash(&fixture, 0), 1_827_592_406);
    let _ = fixture.outcome(Command::DeleteRange(DeleteRange {
        keys: key("a"),
        previous: false,
    }));
    assert_eq!(hash(&fixture, 0), 1_562_576_432);
    let _ = fixture.outcome(Command::Txn(Txn {
        success: vec![Operation::Put(put("c", "3")), Operation::Put(put("d", "4"))],
        ..Txn::default()
    }));
    assert_eq!(hash(&fixture, 0), 434_664_811);
    assert_eq!(hash(&fixture, 3), 1_827_592_406);

    let _ = fixture.outcome(Command::Compact {
        revision: Revision(4),
    });
    assert_eq!(hash(&fixture, 5), 2_906_598_534, "before the removal");
    while !fixture
        .machine
        .compactor()
        .step(1)
        .expect("the engine in memory works")
        .finished
    {}
    assert_eq!(hash(&fixture, 5), 2_906_598_534, "after the removal");
}
