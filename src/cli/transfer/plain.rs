//! Import into any store, with revisions of its own.
//!
//! Batches of different keys are on their way at the same time, and no key is in two: their order does not matter. A
//! batch whose answer was lost is sent again: the same values under the same keys.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use indicatif::ProgressBar;
use tokio::time::sleep;

use super::super::exit::CliError;
use super::checkpoint::{CheckpointFile, Mode};
use super::import::is_worth_another_attempt;
use super::survey::{Source, Survey};
use crate::client::Client;
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

/// Keys and values in one batch, unless a single key has more.
const MAXIMUM_BATCH_BYTES: usize = 512 * 1024;

/// Batches on their way at the same time.
const MAXIMUM_BATCHES_IN_FLIGHT: usize = 8;

/// Batches between two checkpoints.
const BATCHES_PER_CHECKPOINT: usize = 16;

/// How often one batch is sent while the target is not available.
const MAXIMUM_ATTEMPTS: usize = 60;

/// Pause between two of these attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);

/// Some keys, and where the file goes on behind them.
struct Batch {
    request: TxnRequest,
    end: u64,
}

/// Writes all keys from `position` on.
///
/// # Errors
/// The target refuses, or is not available for long.
pub(super) async fn run(
    client: &Client,
    survey: &Survey,
    checkpoint: &CheckpointFile,
    position: u64,
    maximum_operations: usize,
    progress: &ProgressBar,
) -> Result<(), CliError> {
    let mut source = Source::open(&survey.path, position)?;
    let mut in_flight = FuturesOrdered::new();
    let mut carried = None;
    let mut done = 0;
    let mut acknowledged = position;
    progress.set_position(position);
    let outcome = loop {
        while in_flight.len() < MAXIMUM_BATCHES_IN_FLIGHT {
            match next_batch(&mut source, &mut carried, maximum_operations)? {
                Some(batch) => in_flight.push_back(send(client, batch)),
                None => break,
            }
        }
        match in_flight.next().await {
            None => break Ok(()),
            Some(Err(error)) => break Err(error),
            Some(Ok(end)) => {
                acknowledged = end;
                progress.set_position(end);
                done += 1;
                if done % BATCHES_PER_CHECKPOINT == 0 {
                    checkpoint.save(Mode::Plain, acknowledged)?;
                }
            }
        }
    };
    checkpoint.save(Mode::Plain, acknowledged)?;
    outcome
}

/// The next batch; `carried` holds a put that did not fit the one before.
fn next_batch(
    source: &mut Source,
    carried: &mut Option<PutRequest>,
    maximum_operations: usize,
) -> Result<Option<Batch>, CliError> {
    let mut request = TxnRequest::default();
    let mut bytes = 0;
    let mut end = source.position;
    while request.success.len() < maximum_operations {
        let put = match carried.take() {
            Some(put) => put,
            None => match source.next_record()? {
                Some((start, record)) => {
                    end = start;
                    PutRequest {
                        key: record.key,
                        value: record.value,
                        lease: record.lease,
                        ..PutRequest::default()
                    }
                }
                None => {
                    end = source.position;
                    break;
                }
            },
        };
        let put_bytes = put.key.len() + put.value.len();
        if !request.success.is_empty() && bytes + put_bytes > MAXIMUM_BATCH_BYTES {
            *carried = Some(put);
            break;
        }
        bytes += put_bytes;
        end = source.position;
        request.success.push(RequestOp {
            request: Some(Request::RequestPut(put)),
        });
    }
    Ok((!request.success.is_empty()).then_some(Batch { request, end }))
}

async fn send(client: &Client, batch: Batch) -> Result<u64, CliError> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let answer = client
            .write(|node| {
                let request = batch.request.clone();
                async move { node.kv().txn(request).await }
            })
            .await;
        match answer {
            Ok(_) => return Ok(batch.end),
            Err(error) if is_worth_another_attempt(&error) && attempts < MAXIMUM_ATTEMPTS => {
                sleep(ATTEMPT_PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::transfer::record;
    use crate::proto::mvccpb::KeyValue;

    #[test]
    fn batches_hold_every_key_once_in_order_and_end_where_the_next_begins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = Vec::new();
        let lengths = [10, 300_000, 300_000, 600_000, 10, 10, 10, 10];
        let mut ends = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let record = KeyValue {
                key: format!("key{number}").into(),
                value: vec![7; *length].into(),
                ..KeyValue::default()
            };
            record::write(&mut text, &record).unwrap();
            ends.push(text.len() as u64);
        }
        std::fs::write(file.path(), &text).unwrap();
        let mut source = Source::open(file.path(), 0).unwrap();
        let mut carried = None;
        let mut batches = Vec::new();
        while let Some(batch) = next_batch(&mut source, &mut carried, 3).unwrap() {
            batches.push((batch.request.success.len(), batch.end));
        }
        assert_eq!(
            batches,
            [
                (2, ends[1]),
                (1, ends[2]),
                (1, ends[3]),
                (3, ends[6]),
                (1, ends[7])
            ]
        );
    }
}
