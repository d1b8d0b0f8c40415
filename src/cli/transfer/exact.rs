//! Import into an empty store with the revisions of the source.
//!
//! Every transaction compares the keys it puts with the revisions they must have by then, so that one whose answer was
//! lost is never done twice, however late it arrives. The target's revision says how far the import is.

use std::time::Duration;

use bytes::Bytes;
use indicatif::ProgressBar;
use tokio::time::sleep;

use super::super::exit::CliError;
use super::super::output::revision;
use super::import::{SCRATCH_KEY, current_revision, is_worth_another_attempt};
use super::plan::{EMPTY_REVISION, Scratch, Step};
use super::survey::{Source, Survey};
use crate::client::{Client, ClientError};
use crate::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{Compare, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};

/// How often one transaction is tried while the target is not available.
const MAXIMUM_ATTEMPTS: usize = 60;

/// Pause between two of these attempts.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);

/// Does all steps that the target does not have yet.
///
/// # Errors
/// The target is written to by others, refuses, or is not available for long.
pub(super) async fn run(
    client: &Client,
    survey: &Survey,
    steps: &[Step],
    progress: &ProgressBar,
) -> Result<(), CliError> {
    let done = current_revision(client).await?;
    let mut source = Source::open(&survey.path, 0)?;
    // The revision at which each key, and the scratch key, was last put; 0: it is not there.
    let mut last_put = vec![0; survey.line_starts.len()];
    let mut scratch = 0;
    for (target, step) in (EMPTY_REVISION + 1..).zip(steps) {
        if target > done {
            let request = transaction(&mut source, survey, step, &last_put, scratch)?;
            commit(client, request, target).await?;
        }
        for index in step.finals.iter().chain(&step.placeholders) {
            if let Some(revision) = last_put.get_mut(*index) {
                *revision = target;
            }
        }
        match step.scratch {
            Scratch::Untouched => {}
            Scratch::Put => scratch = target,
            Scratch::Delete => scratch = 0,
        }
        progress.inc(1);
    }
    let expected = steps
        .len()
        .try_into()
        .map_or(i64::MAX, |steps: i64| EMPTY_REVISION + steps);
    let reached = current_revision(client).await?;
    if reached == expected {
        Ok(())
    } else {
        Err(written_by_others(reached, expected))
    }
}

fn transaction(
    source: &mut Source,
    survey: &Survey,
    step: &Step,
    last_put: &[i64],
    scratch: i64,
) -> Result<TxnRequest, CliError> {
    let mut request = TxnRequest::default();
    for (indexes, is_final) in [(&step.finals, true), (&step.placeholders, false)] {
        for index in indexes {
            let (Some(start), Some(last)) = (survey.line_starts.get(*index), last_put.get(*index)) else {
                return Err(CliError::failure(format!(
                    "the plan names record {index}, which is not there"
                )));
            };
            let record = source.record_at(*start)?;
            request.compare.push(was_put_at(record.key.clone(), *last));
            request.success.push(put(PutRequest {
                key: record.key,
                value: if is_final { record.value } else { Bytes::new() },
                lease: if is_final { record.lease } else { 0 },
                ..PutRequest::default()
            }));
        }
    }
    let key = Bytes::from_static(SCRATCH_KEY);
    if step.scratch != Scratch::Untouched {
        request.compare.push(was_put_at(key.clone(), scratch));
    }
    match step.scratch {
        Scratch::Untouched => {}
        Scratch::Put => request.success.push(put(PutRequest {
            key,
            ..PutRequest::default()
        })),
        Scratch::Delete => request.success.push(RequestOp {
            request: Some(Request::RequestDeleteRange(DeleteRangeRequest {
                key,
                ..DeleteRangeRequest::default()
            })),
        }),
    }
    Ok(request)
}

fn put(request: PutRequest) -> RequestOp {
    RequestOp {
        request: Some(Request::RequestPut(request)),
    }
}

fn was_put_at(key: Bytes, revision: i64) -> Compare {
    Compare {
        key,
        target: CompareTarget::Mod.into(),
        result: CompareResult::Equal.into(),
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..Compare::default()
    }
}

/// Makes the revision `target`, exactly once.
async fn commit(client: &Client, request: TxnRequest, target: i64) -> Result<(), CliError> {
    let mut last_error = None;
    for _ in 0..MAXIMUM_ATTEMPTS {
        let answer = client
            .write(|node| {
                let request = request.clone();
                async move { node.kv().txn(request).await }
            })
            .await;
        let reached = match answer {
            Ok(answer) => revision(answer.header.as_ref()),
            Err(error) if is_worth_another_attempt(&error) => {
                last_error = Some(error);
                sleep(ATTEMPT_PAUSE).await;
                match current_revision(client).await {
                    Ok(reached) => reached,
                    Err(_) => continue,
                }
            }
            Err(error) => return Err(refused(error, target)),
        };
        if reached == target {
            return Ok(());
        }
        if reached != target - 1 {
            return Err(written_by_others(reached, target));
        }
    }
    Err(last_error.map_or_else(|| written_by_others(target - 1, target), CliError::from))
}

fn refused(error: ClientError, target: i64) -> CliError {
    let mut error = CliError::from(error);
    error.message = format!(
        "revision {target} cannot be made: {}; import into an empty store with --plain, which needs no exact revisions",
        error.message
    );
    error
}

fn written_by_others(reached: i64, expected: i64) -> CliError {
    CliError::failure(format!(
        "the target is at revision {reached} where it must be at {expected}: something else writes to it; stop that, and \
         import into an empty store, or with --plain, which needs no exact revisions"
    ))
}
