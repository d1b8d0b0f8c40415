//! `stead get`, `put`, `del` and `compaction`.
//!
//! Arguments become wire requests in here, for transactions too (see [`super::txn_syntax`]). Keys and values are bytes:
//! nothing is required to be UTF-8.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::Serialize;
use tonic::{Response, Status, Streaming};

use super::exit::{CliError, Exit};
use super::output::{Format, PairView, Plain, RangeView, pairs, revision, write_line};
use crate::client::Client;
use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RangeStreamResponse,
};

/// Largest value that is read from standard input: above every limit that a server has by default.
const MAXIMUM_VALUE_BYTES: u64 = 512 * 1024 * 1024;

/// The wire's way to say "no first key" and "no last key".
const ZERO_KEY: &[u8] = b"\0";

/// Which keys.
#[derive(Debug, Clone, Args)]
pub(super) struct Selection {
    /// The key, or the first key of a range
    key: OsString,
    /// The first key that is past the range
    range_end: Option<OsString>,
    /// All keys that begin with KEY
    #[arg(long, conflicts_with_all = ["range_end", "from_key"])]
    prefix: bool,
    /// All keys from KEY on
    #[arg(long, conflicts_with = "range_end")]
    from_key: bool,
}

impl Selection {
    /// Key and end of the range on the wire.
    pub(super) fn range(&self) -> (Bytes, Bytes) {
        range(
            self.key.clone(),
            self.range_end.clone(),
            self.prefix,
            self.from_key,
        )
    }
}

/// Key and end of a range on the wire.
pub(super) fn range(
    key: OsString,
    range_end: Option<OsString>,
    prefix: bool,
    from_key: bool,
) -> (Bytes, Bytes) {
    let key = key.into_vec();
    let end = if prefix {
        prefix_end(&key)
    } else if from_key {
        ZERO_KEY.to_vec()
    } else {
        range_end.map(OsString::into_vec).unwrap_or_default()
    };
    let whole = key.is_empty() && (prefix || from_key);
    let key = if whole { ZERO_KEY.to_vec() } else { key };
    (key.into(), end.into())
}

/// The first key that does not begin with `prefix`; the wire's "no last key" if there is none.
pub(super) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    ZERO_KEY.to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Order {
    Ascend,
    Descend,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Create,
    Key,
    Modify,
    Value,
    Version,
}

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Consistency {
    /// Linearizable: sees every change acknowledged before
    L,
    /// Serializable: what the endpoint has, possibly old
    S,
}

/// The arguments of `stead get`.
#[derive(Debug, Clone, Args)]
pub(super) struct Get {
    #[command(flatten)]
    selection: Selection,
    /// Most keys to read; 0: all
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    limit: i64,
    /// The revision to read at; 0: now
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    rev: i64,
    /// Order of the answer
    #[arg(long, value_enum, ignore_case = true)]
    order: Option<Order>,
    /// What the order goes by
    #[arg(long, value_enum, ignore_case = true)]
    sort_by: Option<SortBy>,
    /// Whether the answer must be the newest
    #[arg(long, value_enum, default_value = "l")]
    consistency: Consistency,
    /// Only keys, no values
    #[arg(long, conflicts_with = "count_only")]
    keys_only: bool,
    /// Only the number of keys
    #[arg(long)]
    count_only: bool,
    /// Only values, no keys
    #[arg(long)]
    print_value_only: bool,
    /// Only keys changed at this revision or later
    #[arg(long, default_value_t = 0)]
    min_mod_rev: i64,
    /// Only keys changed at this revision or earlier
    #[arg(long, default_value_t = 0)]
    max_mod_rev: i64,
    /// Only keys created at this revision or later
    #[arg(long, default_value_t = 0)]
    min_create_rev: i64,
    /// Only keys created at this revision or earlier
    #[arg(long, default_value_t = 0)]
    max_create_rev: i64,
    /// Ask for the answer in pieces, which spares the server's memory when it is large
    #[arg(long)]
    stream: bool,
}

impl Get {
    /// The request on the wire.
    pub(super) fn request(&self) -> RangeRequest {
        let (key, range_end) = self.selection.range();
        let order = match (self.order, self.sort_by) {
            (Some(Order::Ascend), _) | (None, Some(_)) => SortOrder::Ascend,
            (Some(Order::Descend), _) => SortOrder::Descend,
            (None, None) => SortOrder::None,
        };
        let target = match self.sort_by {
            None | Some(SortBy::Key) => SortTarget::Key,
            Some(SortBy::Create) => SortTarget::Create,
            Some(SortBy::Modify) => SortTarget::Mod,
            Some(SortBy::Value) => SortTarget::Value,
            Some(SortBy::Version) => SortTarget::Version,
        };
        RangeRequest {
            key,
            range_end,
            limit: self.limit,
            revision: self.rev,
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.consistency == Consistency::S,
            keys_only: self.keys_only,
            count_only: self.count_only,
            min_mod_revision: self.min_mod_rev,
            max_mod_revision: self.max_mod_rev,
            min_create_revision: self.min_create_rev,
            max_create_revision: self.max_create_rev,
        }
    }

    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        self.check(format)?;
        let request = self.request();
        let answer = client
            .read(|node| {
                let request = request.clone();
                async move {
                    if self.stream {
                        return whole(node.kv().range_stream(request).await?.into_inner()).await;
                    }
                    node.kv().range(request).await
                }
            })
            .await?;
        format.show(&answer, |out| self.write(out, &answer), || RangeView(&answer))
    }

    /// What etcdctl's formats cannot show.
    fn check(&self, format: Format) -> Result<(), CliError> {
        let refuse = |text: &str| Err(CliError::new(Exit::BadArguments, text));
        if self.print_value_only && !format.is_text() {
            return refuse("print-value-only is only for `--write-out=simple`");
        }
        if self.count_only && format.is_simple() {
            return refuse("--count-only is only for `--write-out=fields`");
        }
        Ok(())
    }

    fn write(&self, out: &mut Plain<'_>, answer: &RangeResponse) -> io::Result<()> {
        if self.count_only {
            return writeln!(out, "{}", answer.count);
        }
        for pair in &answer.kvs {
            if self.print_value_only {
                out.bytes(&pair.value)?;
            } else if self.keys_only && !out.is_simple {
                out.bytes(&pair.key)?;
            } else {
                out.pair(pair)?;
            }
        }
        Ok(())
    }
}

/// The pieces of an answer as one: all but the keys is in the last of them.
async fn whole(mut pieces: Streaming<RangeStreamResponse>) -> Result<Response<RangeResponse>, Status> {
    let mut answer = RangeResponse::default();
    while let Some(piece) = pieces.message().await? {
        let mut piece = piece.range_response.unwrap_or_default();
        let mut pairs = std::mem::take(&mut answer.kvs);
        pairs.append(&mut piece.kvs);
        answer = RangeResponse { kvs: pairs, ..piece };
    }
    Ok(Response::new(answer))
}

/// Shows an answer to a range as text.
pub(super) fn write_range(out: &mut Plain<'_>, answer: &RangeResponse) -> io::Result<()> {
    answer.kvs.iter().try_for_each(|pair| out.pair(pair))
}

/// Reads one key.
///
/// # Errors
/// The call failed.
pub(super) async fn read_key(client: &Client, key: Bytes) -> Result<RangeResponse, CliError> {
    let request = RangeRequest {
        key,
        ..RangeRequest::default()
    };
    let answer = client
        .read(|node| {
            let request = request.clone();
            async move { node.kv().range(request).await }
        })
        .await?;
    Ok(answer)
}

/// Reads the id of a lease: hexadecimal, as it is shown.
pub(super) fn parse_lease(text: &str) -> Result<i64, String> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
        .map(u64::cast_signed)
        .map_err(|_| "write the hexadecimal id that `lease grant` showed, or 0 for none".to_owned())
}

/// The arguments of `stead put`.
#[derive(Debug, Clone, Args)]
pub(super) struct Put {
    /// The key
    key: OsString,
    /// The value; read from standard input if not given
    #[arg(allow_hyphen_values = true)]
    value: Option<OsString>,
    /// The lease with which the key ends, in hexadecimal
    #[arg(long, default_value = "0", value_parser = parse_lease)]
    lease: i64,
    /// Show what was there before
    #[arg(long)]
    prev_kv: bool,
    /// Keep the value that is there, change only the lease
    #[arg(long, conflicts_with = "value")]
    ignore_value: bool,
    /// Keep the lease that is there
    #[arg(long, conflicts_with = "lease")]
    ignore_lease: bool,
}

impl Put {
    /// The request on the wire; a value that is not given is what `missing` says.
    pub(super) fn request(
        &self,
        missing: impl FnOnce() -> Result<Vec<u8>, CliError>,
    ) -> Result<PutRequest, CliError> {
        let value = match self.value.clone() {
            Some(value) => value.into_vec(),
            None if self.ignore_value => Vec::new(),
            None => missing()?,
        };
        Ok(PutRequest {
            key: self.key.clone().into_vec().into(),
            value: value.into(),
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        })
    }

    /// Asks and shows the answer.
    ///
    /// # Errors
    /// Standard input cannot be read, or the call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let request = self.request(value_from_stdin)?;
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.kv().put(request).await }
            })
            .await?;
        format.show(&answer, |out| write_put(out, &answer), || PutView::of(&answer))
    }
}

fn value_from_stdin() -> Result<Vec<u8>, CliError> {
    let mut value = Vec::new();
    let mut input = io::stdin().lock().take(MAXIMUM_VALUE_BYTES);
    let length = input.read_to_end(&mut value)?;
    if u64::try_from(length).is_ok_and(|length| length == MAXIMUM_VALUE_BYTES) {
        return Err(CliError::invalid(format!(
            "the value on standard input has {MAXIMUM_VALUE_BYTES} bytes or more; no server takes it"
        )));
    }
    Ok(value)
}

/// An answer to a put.
#[derive(Serialize)]
pub(super) struct PutView<'answer> {
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<PairView<'answer>>,
}

impl<'answer> PutView<'answer> {
    /// The answer as JSON shows it.
    pub(super) fn of(answer: &'answer PutResponse) -> Self {
        Self {
            revision: revision(answer.header.as_ref()),
            previous: answer.prev_kv.as_ref().map(PairView),
        }
    }
}

/// Shows an answer to a put as text.
pub(super) fn write_put(out: &mut Plain<'_>, answer: &PutResponse) -> io::Result<()> {
    write_line(&mut *out, b"OK")?;
    answer.prev_kv.iter().try_for_each(|pair| out.pair(pair))
}

/// The arguments of `stead del`.
#[derive(Debug, Clone, Args)]
pub(super) struct Delete {
    #[command(flatten)]
    selection: Selection,
    /// Show what was deleted
    #[arg(long)]
    prev_kv: bool,
    /// Delete a range without delay: there is none
    #[arg(long, hide = true)]
    range: bool,
}

impl Delete {
    /// The request on the wire.
    pub(super) fn request(&self) -> DeleteRangeRequest {
        let (key, range_end) = self.selection.range();
        DeleteRangeRequest {
            key,
            range_end,
            prev_kv: self.prev_kv,
        }
    }

    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let request = self.request();
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.kv().delete_range(request).await }
            })
            .await?;
        format.show(
            &answer,
            |out| write_delete(out, &answer),
            || DeleteView::of(&answer),
        )
    }
}

/// An answer to a removal.
#[derive(Serialize)]
pub(super) struct DeleteView<'answer> {
    revision: i64,
    deleted: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    previous: Vec<PairView<'answer>>,
}

impl<'answer> DeleteView<'answer> {
    /// The answer as JSON shows it.
    pub(super) fn of(answer: &'answer DeleteRangeResponse) -> Self {
        Self {
            revision: revision(answer.header.as_ref()),
            deleted: answer.deleted,
            previous: pairs(&answer.prev_kvs),
        }
    }
}

/// Shows an answer to a removal as text.
pub(super) fn write_delete(out: &mut Plain<'_>, answer: &DeleteRangeResponse) -> io::Result<()> {
    writeln!(out, "{}", answer.deleted)?;
    answer.prev_kvs.iter().try_for_each(|pair| out.pair(pair))
}

/// The arguments of `stead compaction`.
#[derive(Debug, Clone, Args)]
pub(super) struct Compact {
    /// History before this revision is given up
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    revision: i64,
    /// Answer when the space is free, not when it is decided
    #[arg(long)]
    physical: bool,
}

impl Compact {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let request = CompactionRequest {
            revision: self.revision,
            physical: self.physical,
        };
        let answer = client
            .write(|node| async move { node.kv().compact(request).await })
            .await?;
        format.note(&format!("compacted revision {}", self.revision), || {
            serde_json::json!({
                "revision": revision(answer.header.as_ref()),
                "compacted": self.revision,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_the_first_key_past_it() {
        assert_eq!(prefix_end(b"a"), b"b");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff\xff"), b"\0");
        assert_eq!(prefix_end(b""), b"\0");
    }

    #[test]
    fn a_lease_is_hexadecimal_up_to_the_top_bit() {
        assert_eq!(parse_lease("1f"), Ok(31));
        assert_eq!(parse_lease("ffffffffffffffff"), Ok(-1));
        assert!(parse_lease("lease").unwrap_err().contains("hexadecimal"));
    }
}
