//! The hash against values that etcd (3.7.1 and 3.5.1) gave for the same changes.

use super::{Fixture, finish_compaction, key, put};
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
    finish_compaction(&fixture.machine, 1);
    assert_eq!(hash(&fixture, 5), 2_906_598_534, "after the removal");
}

fn put_key(fixture: &mut Fixture, key: &'static str, value: &'static str) {
    let _ = fixture.outcome(Command::Put(put(key, value)));
}

fn delete_key(fixture: &mut Fixture, name: &'static str) {
    let _ = fixture.outcome(Command::DeleteRange(DeleteRange {
        keys: key(name),
        previous: false,
    }));
}

#[test]
fn a_version_that_compaction_kept_no_longer_counts_once_it_is_superseded() {
    let mut fixture = Fixture::new();
    put_key(&mut fixture, "k", "1");
    assert_eq!(hash(&fixture, 2), 1_336_084_322);
    fixture.compact(2);
    put_key(&mut fixture, "k", "2");
    assert_eq!(hash(&fixture, 2), 1_336_084_322);
    assert_eq!(hash(&fixture, 3), 2_381_641_730);
    put_key(&mut fixture, "j", "1");
    assert_eq!(hash(&fixture, 4), 1_601_809_226);
    delete_key(&mut fixture, "k");
    assert_eq!(hash(&fixture, 5), 1_418_036_199);
    assert_eq!(hash(&fixture, 3), 2_381_641_730);
}

#[test]
fn a_version_that_compaction_kept_counts_while_no_key_is_live() {
    let mut fixture = Fixture::new();
    put_key(&mut fixture, "k", "1");
    fixture.compact(2);
    put_key(&mut fixture, "k", "2");
    put_key(&mut fixture, "j", "1");
    delete_key(&mut fixture, "k");
    delete_key(&mut fixture, "j");
    assert_eq!(hash(&fixture, 6), 2_092_561_207);
    fixture.compact(6);
    put_key(&mut fixture, "z", "1");
    assert_eq!(hash(&fixture, 7), 352_988_010);
    fixture.compact(7);
    delete_key(&mut fixture, "z");
    assert_eq!(hash(&fixture, 8), 196_882_475);
}
