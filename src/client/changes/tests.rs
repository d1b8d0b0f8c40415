use super::*;
use crate::proto::registry::Instance;
use crate::proto::registry::change::Change as What;

fn put(revision: i64, id: &str) -> Change {
    let instance = Instance {
        id: id.into(),
        ..Instance::default()
    };
    Change {
        revision,
        change: Some(What::Put(instance)),
    }
}

fn told(is_snapshot: bool, revision: i64, ids: &[&str]) -> WatchResponse {
    WatchResponse {
        header: None,
        revision,
        is_snapshot,
        changes: ids.iter().map(|id| put(revision, id)).collect(),
    }
}

fn ids(batch: &Batch) -> Vec<&str> {
    let instances = batch.changes.iter().filter_map(|change| match &change.change {
        Some(What::Put(instance)) => Some(instance.id.as_str()),
        _ => None,
    });
    instances.collect()
}

#[test]
fn a_revision_that_broke_off_goes_on_where_it_broke_off_also_when_it_breaks_off_twice() {
    let mut progress = Progress::default();
    progress.open();
    assert!(progress.take(told(true, 7, &["a"])).begins);
    assert_eq!(ids(&progress.take(told(false, 0, &["b", "c"]))), ["b", "c"]);
    progress.open();
    assert_eq!(progress.told, 7);
    assert_eq!(ids(&progress.take(told(false, 0, &["b"]))), Vec::<&str>::new());
    progress.open();
    assert_eq!(ids(&progress.take(told(false, 0, &["b", "c", "d"]))), ["c", "d"]);
    let batch = progress.take(told(false, 9, &["e"]));
    assert_eq!((ids(&batch), batch.revision, batch.begins), (vec!["e"], 9, false));
    progress.open();
    assert_eq!(ids(&progress.take(told(false, 10, &["f"]))), ["f"]);
}

#[test]
fn a_snapshot_that_broke_off_begins_anew() {
    let mut progress = Progress::default();
    progress.open();
    assert!(progress.take(told(true, 0, &["a"])).begins);
    assert!(!progress.take(told(true, 0, &["b"])).begins);
    progress.open();
    let batch = progress.take(told(true, 0, &["a"]));
    assert_eq!((ids(&batch), batch.begins), (vec!["a"], true));
}
