//! `stead export`: all keys of a store at one revision, a JSON object a line, in order of their keys.
//!
//! Reads in pages whose size follows the size of the values, so that memory stays bounded whatever the store holds.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use tonic::Code;

use super::super::exit::CliError;
use super::super::kv::prefix_end;
use super::super::output::revision;
use super::checkpoint::part_of;
use super::record;
use crate::client::{Client, ClientError};
use crate::proto::etcdserverpb::{RangeRequest, RangeResponse};

/// The size a page should have; the next one may be larger, up to what a client takes.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Keys in the first page, when nothing is known of their size.
const FIRST_PAGE_KEYS: i64 = 64;

/// Most keys in a page.
const MAXIMUM_PAGE_KEYS: i64 = 10_000;

/// The arguments of `stead export`.
#[derive(Debug, Clone, Args)]
pub(in super::super) struct Export {
    /// The file to write; standard output if not given
    file: Option<PathBuf>,
    /// Only keys that begin with this
    #[arg(long)]
    prefix: Option<OsString>,
    /// The revision to read at; 0: now
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    rev: i64,
}

impl Export {
    /// Writes all keys of the store into the file. The file takes its name when it is whole.
    ///
    /// # Errors
    /// The file cannot be written, or the call failed.
    pub(in super::super) async fn run(&self, client: &Client) -> Result<(), CliError> {
        let Some(path) = &self.file else {
            let mut out = BufWriter::new(io::stdout().lock());
            self.write(client, &mut out).await?;
            return Ok(out.flush()?);
        };
        let part = part_of(path);
        let failed = |error: io::Error| {
            CliError::failure(format!(
                "cannot write {}: {error}; check the path",
                path.display()
            ))
        };
        let mut out = BufWriter::new(File::create(&part).map_err(failed)?);
        let outcome = self.write(client, &mut out).await;
        let (keys, revision) = match outcome {
            Ok(counts) => counts,
            Err(error) => {
                drop(out);
                // What is left of an export that failed is of no use; the error that counts is the first.
                let _ = fs::remove_file(&part);
                return Err(error);
            }
        };
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all()
            .and_then(|()| fs::rename(&part, path))
            .map_err(failed)?;
        Ok(writeln!(
            io::stderr(),
            "exported {keys} keys at revision {revision} to {}",
            path.display()
        )?)
    }

    /// Writes all keys; returns how many, and at which revision.
    async fn write(&self, client: &Client, out: &mut impl Write) -> Result<(u64, i64), CliError> {
        let prefix = self.prefix.clone().map(OsString::into_vec).unwrap_or_default();
        let range_end = Bytes::from(prefix_end(&prefix));
        let mut key = if prefix.is_empty() {
            Bytes::from_static(b"\0")
        } else {
            Bytes::from(prefix)
        };
        let mut pinned = self.rev;
        let mut limit = FIRST_PAGE_KEYS;
        let mut keys = 0;
        loop {
            let request = RangeRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                revision: pinned,
                limit,
                ..RangeRequest::default()
            };
            let page = match page(client, &request).await {
                Ok(page) => page,
                // Larger than a client takes.
                Err(ClientError::Refused(status)) if status.code() == Code::OutOfRange && limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if pinned == 0 {
                pinned = revision(page.header.as_ref());
            }
            let mut bytes = 0;
            for pair in &page.kvs {
                record::write(&mut *out, pair)?;
                bytes += pair.key.len() + pair.value.len();
                keys += 1;
            }
            let Some(last) = page.kvs.last().filter(|_| page.more) else {
                return Ok((keys, pinned));
            };
            key = [&last.key[..], b"\0"].concat().into();
            limit = next_limit(bytes, page.kvs.len());
        }
    }
}

/// How many keys of the same size as these would make a page.
fn next_limit(bytes: usize, keys: usize) -> i64 {
    let average = bytes.checked_div(keys).unwrap_or(0).max(1);
    i64::try_from(PAGE_BYTES / average)
        .unwrap_or(MAXIMUM_PAGE_KEYS)
        .clamp(1, MAXIMUM_PAGE_KEYS)
}

async fn page(client: &Client, request: &RangeRequest) -> Result<RangeResponse, ClientError> {
    client
        .read(|node| {
            let request = request.clone();
            async move { node.kv().range(request).await }
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_about_four_mebibytes() {
        assert_eq!(next_limit(64 * 1024, 64), 4_096);
        assert_eq!(next_limit(64, 64), MAXIMUM_PAGE_KEYS);
        assert_eq!(next_limit(0, 0), MAXIMUM_PAGE_KEYS);
        assert_eq!(next_limit(64 * 1024 * 1024, 1), 1);
    }
}
