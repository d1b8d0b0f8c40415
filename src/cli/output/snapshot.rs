//! What is said of a snapshot file in etcdctl's formats.

use super::etcdctl::{Fields, Object, Shown, Table, size};
use crate::service::snapshot::Summary;

impl Shown for Summary {
    fn json(&self, _hex: bool) -> Option<String> {
        let mut text = String::new();
        let mut object = Object::new(&mut text);
        object.plain("hash", self.hash).plain("revision", self.revision);
        object
            .plain("totalKey", self.total_keys)
            .plain("totalSize", self.total_bytes);
        object.end();
        Some(text)
    }

    fn fields(&self, fields: &mut Fields) -> Option<()> {
        fields.plain("Hash", self.hash);
        fields.plain("Revision", self.revision);
        fields.plain("Keys", self.total_keys);
        fields.plain("Size", self.total_bytes);
        Some(())
    }

    fn table(&self) -> Option<Table> {
        Some(Table {
            titles: &["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"],
            rows: vec![vec![
                format!("{:x}", self.hash),
                self.revision.to_string(),
                self.total_keys.to_string(),
                size(self.total_bytes),
            ]],
        })
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        None
    }
}
