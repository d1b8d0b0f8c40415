//! `stead make-mirror`: keeps the keys of one store in another, from all that is there now or from a revision on.
//!
//! Every revision of the source becomes one transaction of the destination, unless it has more operations than one may
//! have, or changes a key twice. What was mirrored is mirrored again without harm, so that an interrupted mirror goes on
//! with the `--rev` that it names at its end. Leases are not taken along: the keys of the source end there, and that end is
//! mirrored.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::time::interval;

use super::exit::{CliError, Exit};
use super::follow::{Sink, follow};
use super::kv::range;
use super::login::DestinationLogin;
use super::output::{Format, revision};
use super::security::{DestinationArguments, unprotected};
use super::signal;
use crate::client::Client;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCreateRequest, WatchResponse,
};
use crate::proto::mvccpb::event::EventType;

/// Keys that are read at a time.
const PAGE_KEYS: i64 = 1_000;

/// Bytes of keys and values in one transaction, unless a single key has more: under every server's limit.
const MAXIMUM_BATCH_BYTES: usize = 512 * 1024;

/// Time between two numbers that are shown.
const REPORT_SECONDS: u64 = 30;

/// The arguments of `stead make-mirror`.
#[derive(Debug, Clone, Args)]
pub(super) struct Mirror {
    /// The store to write to: host:port,host:port
    destination: String,
    /// Mirror the keys that begin with this
    #[arg(long, default_value = "")]
    prefix: OsString,
    /// Put this in the place of --prefix; without it, keys keep their names
    #[arg(long, default_value = "", conflicts_with = "no_dest_prefix")]
    dest_prefix: OsString,
    /// Leave --prefix out of the names
    #[arg(long)]
    no_dest_prefix: bool,
    /// Mirror what changed at this revision and later, not what is there already; 0: everything
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    rev: i64,
    /// Most operations in one transaction of the destination
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    max_txn_ops: u32,
    #[command(flatten)]
    security: DestinationArguments,
    #[command(flatten)]
    login: DestinationLogin,
}

impl Mirror {
    /// Mirrors until it is told to stop.
    ///
    /// # Errors
    /// A store failed or refused, or the history that was asked for is gone.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let mut copy = Copy {
            arguments: self,
            destination: client
                .of_other(&self.destination, &self.security.security()?, self.login.login()?)
                .map_err(|error| unprotected("--dest-", error))?,
            batch: Batch::default(),
            keys: 0,
            next: self.rev,
            reports: interval(Duration::from_secs(REPORT_SECONDS)),
            format,
        };
        // The first tick is at once.
        copy.reports.tick().await;
        let stop = signal::stop()?;
        let outcome = tokio::select! {
            outcome = copy.run(client) => outcome,
            () = stop => Ok(()),
        };
        if copy.next > 0 {
            let next = copy.next;
            writeln!(
                io::stderr(),
                "mirrored up to revision {}; go on with --rev {next}",
                next - 1
            )?;
        }
        outcome
    }

    /// The keys to mirror, on the wire.
    fn range(&self) -> (Bytes, Bytes) {
        range(self.prefix.clone(), None, true, false)
    }

    /// The name of a key at the destination.
    fn renamed(&self, key: &Bytes) -> Bytes {
        let prefix = self.prefix.as_encoded_bytes();
        if !self.no_dest_prefix && self.dest_prefix.is_empty() {
            return key.clone();
        }
        let mut name = self.dest_prefix.clone().into_vec();
        name.extend_from_slice(key.strip_prefix(prefix).unwrap_or(key));
        name.into()
    }
}

/// Operations that wait for their transaction, no key twice.
#[derive(Default)]
struct Batch {
    operations: Vec<RequestOp>,
    keys: std::collections::BTreeSet<Bytes>,
    bytes: usize,
}

/// A mirror at work.
struct Copy<'arguments> {
    arguments: &'arguments Mirror,
    destination: Client,
    batch: Batch,
    /// Changes that were made.
    keys: u64,
    /// The first revision that is not mirrored whole; 0 before everything that was there is.
    next: i64,
    reports: tokio::time::Interval,
    format: Format,
}

impl Copy<'_> {
    async fn run(&mut self, source: &Client) -> Result<(), CliError> {
        if self.next == 0 {
            self.next = self.everything(source).await?.saturating_add(1);
        }
        let (key, range_end) = self.arguments.range();
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision: self.next,
            ..WatchCreateRequest::default()
        };
        follow(source, &create, &broadcast::Sender::new(1), self).await
    }

    /// Mirrors what is there, as of one revision, which it returns.
    async fn everything(&mut self, source: &Client) -> Result<i64, CliError> {
        let (mut key, range_end) = self.arguments.range();
        let mut at = 0;
        loop {
            let request = RangeRequest {
                key: key.clone(),
                range_end: range_end.clone(),
                limit: PAGE_KEYS,
                revision: at,
                ..RangeRequest::default()
            };
            let page = source
                .read(|node| {
                    let request = request.clone();
                    async move { node.kv().range(request).await }
                })
                .await?;
            if at == 0 {
                at = revision(page.header.as_ref());
            }
            let Some(last) = page.kvs.last() else { break };
            let mut next = last.key.to_vec();
            next.push(0);
            key = next.into();
            for pair in page.kvs {
                let name = self.arguments.renamed(&pair.key);
                self.put(name, pair.value).await?;
            }
            if !page.more {
                break;
            }
        }
        self.flush().await?;
        Ok(at)
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), CliError> {
        let bytes = key.len().saturating_add(value.len());
        let request = PutRequest {
            key: key.clone(),
            value,
            ..PutRequest::default()
        };
        self.add(key, bytes, Request::RequestPut(request)).await
    }

    async fn add(&mut self, key: Bytes, bytes: usize, request: Request) -> Result<(), CliError> {
        let most = usize::try_from(self.arguments.max_txn_ops).unwrap_or(usize::MAX);
        if self.batch.operations.len() >= most
            || self.batch.keys.contains(&key)
            || self.batch.bytes.saturating_add(bytes) > MAXIMUM_BATCH_BYTES
        {
            self.flush().await?;
        }
        self.batch.keys.insert(key);
        self.batch.bytes = self.batch.bytes.saturating_add(bytes);
        self.batch.operations.push(RequestOp {
            request: Some(request),
        });
        Ok(())
    }

    /// Writes what waits.
    async fn flush(&mut self) -> Result<(), CliError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.operations.is_empty() {
            return Ok(());
        }
        let count = batch.operations.len();
        let request = TxnRequest {
            success: batch.operations,
            ..TxnRequest::default()
        };
        // Only the mirror writes there: writing the same again changes nothing.
        self.destination
            .read(|node| {
                let request = request.clone();
                async move { node.kv().txn(request).await }
            })
            .await?;
        self.keys = self.keys.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if futures::FutureExt::now_or_never(self.reports.tick()).is_some() {
            self.report()?;
        }
        Ok(())
    }

    fn report(&self) -> Result<(), CliError> {
        let (keys, next) = (self.keys, self.next);
        self.format
            .note(&keys.to_string(), || json!({"keys": keys, "next_revision": next}))
    }
}

impl Sink for Copy<'_> {
    async fn changes(&mut self, response: &WatchResponse) -> Result<(), CliError> {
        for event in &response.events {
            let Some(pair) = &event.kv else { continue };
            if pair.mod_revision > self.next {
                self.flush().await?;
                self.next = pair.mod_revision;
            }
            let key = self.arguments.renamed(&pair.key);
            if event.r#type() == EventType::Put {
                self.put(key, pair.value.clone()).await?;
            } else {
                let request = DeleteRangeRequest {
                    key: key.clone(),
                    ..DeleteRangeRequest::default()
                };
                let bytes = key.len();
                self.add(key, bytes, Request::RequestDeleteRange(request)).await?;
            }
        }
        self.flush().await?;
        self.next = self.next.saturating_add(1);
        Ok(())
    }

    async fn progress(&mut self, _revision: i64) -> Result<(), CliError> {
        Ok(())
    }

    fn canceled(&mut self, response: &WatchResponse, next: i64) -> CliError {
        let message = if response.compact_revision > 0 {
            format!(
                "the history of the source from revision {next} on is gone up to revision {}: \
                 mirror everything anew, without --rev",
                response.compact_revision
            )
        } else {
            response.cancel_reason.clone()
        };
        CliError::new(Exit::WatchEnded, message)
    }
}
