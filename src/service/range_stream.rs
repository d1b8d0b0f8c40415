//! A range in pieces: each a few keys at the same revision, so that an answer of any size takes bounded memory.
//!
//! Between two pieces nothing is held but the next key: no picture of the database is kept open for a client that reads
//! slowly. So a compaction that passes the revision ends the stream, as in etcd.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::auth::Caller;
use super::auth::gate::judge_again;
use super::core::{Core, read_aside};
use super::header::Header;
use super::{ServiceError, validate};
use crate::base::Revision;
use crate::state::access::Request;
use crate::state::applied::{KeyValue, RangeAnswer};
use crate::state::auth::Identity;
use crate::state::command::{Range, SortOrder, SortTarget};

/// Keys in the first piece, as in etcd: small, so that the first answer is early.
const FIRST_CHUNK_KEYS: usize = 10;

/// One piece of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeChunk {
    /// Set in the last piece: the header, whether the limit cut something off, and how many keys the range holds.
    pub last: Option<(Header, bool, i64)>,
    /// The key-values, following those of the piece before.
    pub key_values: Vec<KeyValue>,
}

/// The pieces of one range, in key order.
pub struct RangeChunks {
    core: Arc<Core>,
    /// Who asked for it; none where nobody had to be known.
    identity: Option<Identity>,
    request: Range,
    /// The revision of the newest keys, if those are asked for: what the header says, so that a watch from there on misses
    /// nothing, whatever was written while the pieces were read.
    newest: Option<Revision>,
    size: ChunkSize,
    sent: i64,
    done: bool,
}

impl RangeChunks {
    /// Fixes the revision and checks the request.
    pub(super) async fn open(
        core: Arc<Core>,
        caller: Caller,
        mut request: Range,
        serializable: bool,
    ) -> Result<Self, ServiceError> {
        check(&request)?;
        let view = core
            .view_for(&caller, serializable, &Request::Range(&request))
            .await?;
        let newest = (request.revision <= Revision(0)).then(|| view.revision());
        request.revision = newest.unwrap_or(request.revision);
        let identity = core.gate.identify(&view, &caller)?;
        let size = ChunkSize::new(core.settings.maximum_request_bytes);
        Ok(Self {
            core,
            identity,
            request,
            newest,
            size,
            sent: 0,
            done: false,
        })
    }

    /// The next piece; none after the last.
    ///
    /// # Errors
    /// The revision has been compacted meanwhile, or the disk failed. The stream is over then.
    pub async fn next(&mut self) -> Result<Option<RangeChunk>, ServiceError> {
        if self.done {
            return Ok(None);
        }
        let piece = self.read().await;
        self.done = !matches!(&piece, Ok(RangeChunk { last: None, .. }));
        piece.map(Some)
    }

    async fn read(&mut self) -> Result<RangeChunk, ServiceError> {
        let view = self.core.reader.view();
        // A right that is taken away ends the stream.
        judge_again(&view, self.identity.as_ref(), &Request::Range(&self.request))??;
        let single = self.request.keys.end.is_empty() || self.request.count_only;
        if single {
            let request = self.request.clone();
            let answer = read_aside(view, move |view| view.range(&request)).await?;
            return Ok(self.last(answer));
        }
        let left = (self.request.limit > 0).then(|| self.request.limit.saturating_sub(self.sent));
        let keys = left.map_or(self.size.keys, |left| {
            self.size.keys.min(usize::try_from(left).unwrap_or(usize::MAX))
        });
        let (request, bytes) = (self.request.clone(), self.size.target_bytes);
        let page = read_aside(Arc::clone(&view), move |view| {
            view.range_page(&request, keys, bytes)
        })
        .await?;
        self.sent = self
            .sent
            .saturating_add(i64::try_from(page.key_values.len()).unwrap_or(i64::MAX));
        self.size
            .adjust(page.key_values.len(), page.key_values.iter().map(bytes_of).sum());
        let limit_reached = self.request.limit > 0 && self.sent >= self.request.limit;
        if page.more && !limit_reached {
            if let Some(last) = page.key_values.last() {
                self.request.keys.key = successor(&last.key);
            }
            return Ok(RangeChunk {
                last: None,
                key_values: page.key_values,
            });
        }
        let count = if page.more {
            // The limit cut the rest off; only now is it counted.
            let mut rest = self.request.clone();
            if let Some(last) = page.key_values.last() {
                rest.keys.key = successor(&last.key);
            }
            rest.count_only = true;
            rest.limit = 0;
            let rest = read_aside(Arc::clone(&view), move |view| view.range(&rest)).await?;
            self.sent.saturating_add(rest.count)
        } else {
            self.sent
        };
        Ok(self.last(RangeAnswer {
            revision: view.revision(),
            key_values: page.key_values,
            more: page.more,
            count,
        }))
    }

    fn last(&self, answer: RangeAnswer) -> RangeChunk {
        let header = self.core.headers.at(self.newest.unwrap_or(answer.revision));
        RangeChunk {
            last: Some((header, answer.more, answer.count)),
            key_values: answer.key_values,
        }
    }
}

fn check(request: &Range) -> Result<(), ServiceError> {
    validate::range(request)?;
    if request.sort_target != SortTarget::Key || request.sort_order == SortOrder::Descend {
        return Err(ServiceError::StreamSort);
    }
    let filters = [
        request.minimum_modification,
        request.maximum_modification,
        request.minimum_create,
        request.maximum_create,
    ];
    if filters.iter().any(|filter| *filter != Revision(0)) {
        return Err(ServiceError::StreamFilter);
    }
    Ok(())
}

fn successor(key: &Bytes) -> Bytes {
    let mut successor = BytesMut::with_capacity(key.len().saturating_add(1));
    successor.put_slice(key);
    successor.put_u8(0);
    successor.freeze()
}

fn bytes_of(key_value: &KeyValue) -> usize {
    key_value.key.len().saturating_add(key_value.value.len())
}

/// How many keys the next piece may hold: doubled or halved after each towards the target.
struct ChunkSize {
    keys: usize,
    target_bytes: usize,
}

impl ChunkSize {
    fn new(target_bytes: usize) -> Self {
        Self {
            keys: FIRST_CHUNK_KEYS,
            target_bytes,
        }
    }

    fn adjust(&mut self, keys: usize, bytes: usize) {
        if bytes > self.target_bytes {
            self.keys = (self.keys / 2).max(1);
        } else if keys >= self.keys && bytes <= self.target_bytes / 2 {
            self.keys = self.keys.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_start_at_ten_keys_and_double_while_they_are_small() {
        let mut size = ChunkSize::new(1_000);
        let mut keys = vec![size.keys];
        for _ in 0..5 {
            size.adjust(size.keys, size.keys * 10);
            keys.push(size.keys);
        }
        assert_eq!(keys, [10, 20, 40, 80, 80, 80]);
    }

    #[test]
    fn a_piece_that_was_too_large_halves_the_next_down_to_one_key() {
        let mut size = ChunkSize::new(1_000);
        for expected in [5, 2, 1, 1] {
            size.adjust(size.keys, 1_001);
            assert_eq!(size.keys, expected);
        }
    }

    #[test]
    fn a_piece_that_its_bytes_cut_short_does_not_grow_the_next() {
        let mut size = ChunkSize::new(1_000);
        size.adjust(3, 400);
        assert_eq!(size.keys, 10);
    }

    #[test]
    fn sorts_and_filters_are_refused_with_etcds_sentences() {
        let mut request = Range::default();
        request.keys.key = Bytes::from("a");
        assert_eq!(check(&request), Ok(()));
        let sorted = Range {
            sort_order: SortOrder::Descend,
            ..request.clone()
        };
        assert_eq!(check(&sorted), Err(ServiceError::StreamSort));
        let ascending = Range {
            sort_order: SortOrder::Ascend,
            ..request.clone()
        };
        assert_eq!(check(&ascending), Ok(()));
        let filtered = Range {
            maximum_create: Revision(3),
            ..request
        };
        assert_eq!(check(&filtered), Err(ServiceError::StreamFilter));
    }
}
