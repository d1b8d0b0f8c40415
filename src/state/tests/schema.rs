//! Storage keys sort as what they stand for, can be read back, and ranges hold exactly what they should.

use bytes::Bytes;
use proptest::prelude::*;

use super::generate::{key, keys, namespace};
use crate::base::{LeaseId, MemberId, Namespace, Revision};
use crate::state::applied::VersionId;
use crate::state::command::Keys;
use crate::state::schema;

fn version_id() -> impl Strategy<Value = VersionId> {
    let revision = prop_oneof![0_i64..4, Just(i64::MAX), 0..i64::MAX];
    let sub = prop_oneof![0_u32..3, Just(u32::MAX), any::<u32>()];
    (revision, sub).prop_map(|(revision, sub)| VersionId {
        revision: Revision(revision),
        sub,
    })
}

/// What etcd's convention says, in the plainest words.
fn means(keys: &Keys, namespace: Namespace, key: &Bytes) -> bool {
    let is_in_range = match keys.end.as_ref() {
        [] => *key == keys.key,
        [0] => *key >= keys.key,
        _ => *key >= keys.key && *key < keys.end,
    };
    namespace == keys.namespace && is_in_range
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn version_keys_sort_by_namespace_key_and_descending_revision(
        one in (namespace(), key(), version_id()),
        other in (namespace(), key(), version_id()),
    ) {
        let meaning = (one.0, &one.1, std::cmp::Reverse(one.2)).cmp(&(other.0, &other.1, std::cmp::Reverse(other.2)));
        let stored = schema::version(one.0, &one.1, one.2).cmp(&schema::version(other.0, &other.1, other.2));
        prop_assert_eq!(stored, meaning);
    }

    #[test]
    fn head_keys_sort_by_namespace_and_key(one in (namespace(), key()), other in (namespace(), key())) {
        let stored = schema::head(one.0, &one.1).cmp(&schema::head(other.0, &other.1));
        prop_assert_eq!(stored, one.cmp(&other));
    }

    #[test]
    fn event_keys_sort_by_revision_and_sub_revision(one in version_id(), other in version_id()) {
        prop_assert_eq!(schema::event(one).cmp(&schema::event(other)), one.cmp(&other));
    }

    #[test]
    fn storage_keys_can_be_read_back(
        namespace in namespace(),
        key in key(),
        id in version_id(),
        lease in any::<i64>(),
        member in any::<u64>(),
    ) {
        let version = schema::version(namespace, &key, id);
        let (prefix, read_id) = schema::split_version(&version).expect("a version key");
        prop_assert_eq!(prefix, schema::version_prefix(namespace, &key));
        prop_assert_eq!(read_id, id);
        prop_assert_eq!(schema::prefix_user_key(prefix), key.clone());
        let head = schema::head(namespace, &key);
        prop_assert_eq!(schema::head_user_key(&head), key.as_ref());
        prop_assert_eq!(schema::event_id(&schema::event(id)).expect("an event key"), id);
        let lease = LeaseId(lease);
        prop_assert_eq!(schema::lease_id(&schema::lease(lease)).expect("a lease key"), lease);
        let attached = schema::attached_key(&schema::lease_key(lease, namespace, &key));
        prop_assert_eq!(attached.expect("an attachment key"), (namespace, key));
        let member = MemberId(member);
        prop_assert_eq!(schema::member_id(&schema::member(member)).expect("a member key"), member);
    }

    #[test]
    fn ranges_hold_exactly_the_keys_that_are_meant(
        keys in keys(),
        namespace in namespace(),
        key in key(),
        id in version_id(),
    ) {
        let meant = means(&keys, namespace, &key);
        prop_assert_eq!(schema::head_range(&keys).contains(&schema::head(namespace, &key)), meant);
        prop_assert_eq!(schema::version_range(&keys).contains(&schema::version(namespace, &key, id)), meant);
    }

    #[test]
    fn past_the_versions_of_a_key_comes_the_next_key(
        namespace in namespace(),
        key in key(),
        id in version_id(),
        other in (super::generate::namespace(), super::generate::key(), version_id()),
    ) {
        let mut past = schema::version_prefix(namespace, &key);
        schema::push_past_versions(&mut past);
        prop_assert!(schema::version(namespace, &key, id) < past);
        let is_later = (other.0, &other.1) > (namespace, &key);
        prop_assert_eq!(schema::version(other.0, &other.1, other.2) >= past, is_later);
    }

    #[test]
    fn event_ranges_hold_whole_revisions(from in 0_i64..6, until in 0_i64..6, id in version_id()) {
        let range = schema::event_range(Revision(from), Some(Revision(until)));
        let meant = id.revision.0 >= from && id.revision.0 < until;
        prop_assert_eq!(range.contains(&schema::event(id)), meant);
        let open = schema::event_range(Revision(from), None);
        prop_assert_eq!(open.contains(&schema::event(id)), id.revision.0 >= from);
    }

    #[test]
    fn keys_of_another_family_are_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        prop_assert_eq!(schema::split_version(&bytes).is_ok(), bytes.len() >= 12);
        prop_assert_eq!(schema::event_id(&bytes).is_ok(), bytes.len() == 12);
        prop_assert_eq!(schema::lease_id(&bytes).is_ok(), bytes.len() == 8);
        prop_assert_eq!(schema::attached_key(&bytes).is_ok(), bytes.len() > 8);
        prop_assert_eq!(schema::member_id(&bytes).is_ok(), bytes.len() == 15);
        let _ = schema::prefix_user_key(&bytes);
        let _ = schema::head_user_key(&bytes);
    }
}
