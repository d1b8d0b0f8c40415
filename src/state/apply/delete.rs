//! DeleteRange.

use bytes::Bytes;

use super::{DeleteRangeAnswer, Transition, format, mvcc, schema};
use crate::state::command::{DeleteRange, Keys};
use crate::state::format::Head;
use crate::storage::{Family, StorageError, View};

impl Transition<'_> {
    pub(super) fn delete_range(&mut self, delete: &DeleteRange) -> Result<DeleteRangeAnswer, StorageError> {
        let live = self.live_keys(&delete.keys)?;
        let mut answer = DeleteRangeAnswer::default();
        for (key, head) in live {
            if delete.previous {
                let namespace = delete.keys.namespace;
                answer
                    .previous
                    .push(mvcc::expected_version(&self.overlay, namespace, &key, head.id())?);
            }
            self.write_tombstone(delete.keys.namespace, &key, &head)?;
            answer.deleted += 1;
        }
        answer.revision = self.visible_revision();
        Ok(answer)
    }

    fn live_keys(&self, keys: &Keys) -> Result<Vec<(Bytes, Head)>, StorageError> {
        if schema::is_point(keys) {
            let head = self.head(keys.namespace, &keys.key)?;
            return Ok(head.map(|head| (keys.key.clone(), head)).into_iter().collect());
        }
        let mut live = Vec::new();
        let mut cursor = self.overlay.scan(Family::Heads, schema::head_range(keys))?;
        while let Some((encoded, record)) = cursor.item() {
            let head = format::decode("head", &Bytes::copy_from_slice(record))?;
            live.push((Bytes::copy_from_slice(schema::head_user_key(encoded)), head));
            cursor.advance()?;
        }
        Ok(live)
    }
}
