//! `range`, `stream`, `put`, `delete`, `txn` and `compact`.

use std::fmt::Display;

use stead::proto::etcdserverpb::compare::TargetUnion;
use stead::proto::etcdserverpb::request_op::Request;
use stead::proto::etcdserverpb::response_op::Response;
use stead::proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse,
    RangeRequest, RangeResponse, RequestOp, TxnRequest, TxnResponse,
};

use super::words::{Words, bytes, show_error, show_header, show_inner_header, show_pair};
use crate::support::{Clients, Result};

/// How deep transactions are written inside each other.
const INDENT: &str = "  ";

pub fn range_request(words: &mut Words) -> Result<RangeRequest> {
    let (key, range_end) = words.range()?;
    let sort_target = match words.option("sort").as_deref() {
        None | Some("key") => 0,
        Some("version") => 1,
        Some("create") => 2,
        Some("mod") => 3,
        Some("value") => 4,
        Some(number) => number.parse()?,
    };
    let sort_order = match words.option("order").as_deref() {
        None => 0,
        Some("ascend") => 1,
        Some("descend") => 2,
        Some(number) => number.parse()?,
    };
    Ok(RangeRequest {
        key,
        range_end,
        limit: words.number("limit")?,
        revision: words.number("revision")?,
        sort_order,
        sort_target,
        serializable: words.flag("serializable"),
        keys_only: words.flag("keys_only"),
        count_only: words.flag("count_only"),
        min_mod_revision: words.number("min_mod")?,
        max_mod_revision: words.number("max_mod")?,
        min_create_revision: words.number("min_create")?,
        max_create_revision: words.number("max_create")?,
    })
}

fn put_request(words: &mut Words) -> Result<PutRequest> {
    Ok(PutRequest {
        key: words.bytes("a key")?,
        value: words.bytes("a value")?,
        lease: words.number("lease")?,
        prev_kv: words.flag("prev_kv"),
        ignore_value: words.flag("ignore_value"),
        ignore_lease: words.flag("ignore_lease"),
    })
}

fn delete_request(words: &mut Words) -> Result<DeleteRangeRequest> {
    let (key, range_end) = words.range()?;
    Ok(DeleteRangeRequest {
        key,
        range_end,
        prev_kv: words.flag("prev_kv"),
    })
}

/// `mod a..c >= 3`: the target, the keys, the relation and the operand, which may be missing.
fn compare(words: &mut Words) -> Result<Compare> {
    let target = words.next("the target of a compare")?;
    let (key, range_end) = words.range()?;
    let result = match words.next("the relation of a compare")?.as_str() {
        "=" => 0,
        ">" => 1,
        "<" => 2,
        "!=" => 3,
        other => other.parse()?,
    };
    let operand = words.optional();
    let number = || -> Result<i64> { Ok(operand.as_deref().unwrap_or("0").parse()?) };
    let (target, union) = match target.as_str() {
        "version" => (0, TargetUnion::Version(number()?)),
        "create" => (1, TargetUnion::CreateRevision(number()?)),
        "mod" => (2, TargetUnion::ModRevision(number()?)),
        "value" => (
            3,
            TargetUnion::Value(bytes(operand.as_deref().unwrap_or_default())?),
        ),
        "lease" => (4, TargetUnion::Lease(number()?)),
        other => return Err(format!("{other} is no target of a compare").into()),
    };
    let target_union = operand.is_some().then_some(union);
    Ok(Compare {
        result,
        target,
        key,
        range_end,
        target_union,
    })
}

/// The lines of a transaction, `if`, `then` and `else`, deeper ones for a transaction inside.
fn transaction(lines: &[&str]) -> Result<TxnRequest> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = lines.first().map(|line| indent(line)).unwrap_or_default();
    let mut request = TxnRequest::default();
    let mut index = 0;
    while let Some(line) = lines.get(index) {
        let inside = lines[index + 1..]
            .iter()
            .take_while(|line| indent(line) > own)
            .count();
        let deeper = &lines[index + 1..index + 1 + inside];
        index += 1 + inside;
        let (kind, rest) = line
            .trim()
            .split_once(' ')
            .ok_or("if, then or else and what to do")?;
        match kind {
            "if" => {
                let mut words = Words::of(rest);
                request.compare.push(compare(&mut words)?);
                words.finish()?;
            }
            "then" => request.success.extend(operations(rest, deeper)?),
            "else" => request.failure.extend(operations(rest, deeper)?),
            other => return Err(format!("{other}: a line begins with if, then or else").into()),
        }
    }
    Ok(request)
}

/// One operation; or `200x put k{} v`, which is two hundred with `{}` counting from 0.
fn operations(text: &str, deeper: &[&str]) -> Result<Vec<RequestOp>> {
    if let Some((times, rest)) = text.split_once("x ")
        && let Ok(times) = times.parse::<usize>()
    {
        return (0..times)
            .map(|number| operation(&rest.replace("{}", &number.to_string()), deeper))
            .collect();
    }
    Ok(vec![operation(text, deeper)?])
}

fn operation(text: &str, deeper: &[&str]) -> Result<RequestOp> {
    let mut words = Words::of(text);
    let request = match words.next("an operation")?.as_str() {
        "range" => Some(Request::RequestRange(range_request(&mut words)?)),
        "put" => Some(Request::RequestPut(put_request(&mut words)?)),
        "delete" => Some(Request::RequestDeleteRange(delete_request(&mut words)?)),
        "txn" => Some(Request::RequestTxn(transaction(deeper)?)),
        "nothing" => None,
        other => return Err(format!("{other} is no operation of a transaction").into()),
    };
    words.finish()?;
    Ok(RequestOp { request })
}

fn show_range(response: &RangeResponse, header: impl Display) -> Vec<String> {
    let more = if response.more { ", more" } else { "" };
    let mut lines = vec![format!("{header}, count {}{more}", response.count)];
    lines.extend(response.kvs.iter().map(show_pair));
    lines
}

fn show_put(response: &PutResponse, header: impl Display) -> Vec<String> {
    let previous = response
        .prev_kv
        .iter()
        .map(|pair| format!("before: {}", show_pair(pair)));
    std::iter::once(header.to_string()).chain(previous).collect()
}

fn show_delete(response: &DeleteRangeResponse, header: impl Display) -> Vec<String> {
    let previous = response
        .prev_kvs
        .iter()
        .map(|pair| format!("before: {}", show_pair(pair)));
    std::iter::once(format!("{header}, deleted {}", response.deleted))
        .chain(previous)
        .collect()
}

fn show_transaction(response: &TxnResponse, header: impl Display) -> Vec<String> {
    let branch = if response.succeeded { "then" } else { "else" };
    let mut lines = vec![format!("{header}, {branch}")];
    let mut answers = Vec::new();
    for operation in &response.responses {
        let answer = match &operation.response {
            None => vec!["no answer".to_owned()],
            Some(Response::ResponseRange(inner)) => {
                let header = show_inner_header(inner.header.as_ref());
                show_range(inner, format!("range: {header}"))
            }
            Some(Response::ResponsePut(inner)) => {
                let header = show_inner_header(inner.header.as_ref());
                show_put(inner, format!("put: {header}"))
            }
            Some(Response::ResponseDeleteRange(inner)) => {
                let header = show_inner_header(inner.header.as_ref());
                show_delete(inner, format!("delete: {header}"))
            }
            Some(Response::ResponseTxn(inner)) => {
                let header = show_inner_header(inner.header.as_ref());
                show_transaction(inner, format!("txn: {header}"))
            }
        };
        answers.push(answer);
    }
    // Many answers that are the same are written once.
    for same in answers.chunk_by(|left, right| left == right) {
        let times = if same.len() > 1 {
            format!("{}x ", same.len())
        } else {
            String::new()
        };
        let answer = same.first().into_iter().flatten();
        let first = answer
            .clone()
            .take(1)
            .map(|line| format!("{INDENT}{times}{line}"));
        lines.extend(first.chain(answer.skip(1).map(|line| format!("{INDENT}{line}"))));
    }
    lines
}

/// `range keys [options]`.
pub async fn range_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = range_request(&mut words)?;
    words.finish()?;
    Ok(match clients.kv.range(request).await {
        Ok(response) => show_range(
            response.get_ref(),
            show_header(response.get_ref().header.as_ref()),
        ),
        Err(status) => show_error(&status),
    })
}

/// `stream keys [options]`: RangeStream. Where the answer is cut is the server's choice, so that the pieces are put
/// together; only the last piece may have a header, a count and `more`.
pub async fn stream_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = range_request(&mut words)?;
    words.finish()?;
    let mut pieces = match clients.kv.range_stream(request).await {
        Ok(pieces) => pieces.into_inner(),
        Err(status) => return Ok(show_error(&status)),
    };
    let mut whole = RangeResponse::default();
    let mut early = 0;
    loop {
        match pieces.message().await {
            Ok(Some(piece)) => {
                early += usize::from(whole.header.is_some());
                let piece = piece.range_response.unwrap_or_default();
                whole.kvs.extend(piece.kvs);
                whole.header = piece.header.or(whole.header);
                whole.more |= piece.more;
                whole.count += piece.count;
            }
            Ok(None) => break,
            Err(status) => return Ok(show_error(&status)),
        }
    }
    let mut lines = show_range(&whole, show_header(whole.header.as_ref()));
    if early > 0 {
        lines.push("a piece followed the one with the header".to_owned());
    }
    Ok(lines)
}

/// `put key value [options]`.
pub async fn put_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = put_request(&mut words)?;
    words.finish()?;
    Ok(match clients.kv.put(request).await {
        Ok(response) => show_put(
            response.get_ref(),
            show_header(response.get_ref().header.as_ref()),
        ),
        Err(status) => show_error(&status),
    })
}

/// `delete keys [prev_kv]`.
pub async fn delete_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = delete_request(&mut words)?;
    words.finish()?;
    Ok(match clients.kv.delete_range(request).await {
        Ok(response) => show_delete(
            response.get_ref(),
            show_header(response.get_ref().header.as_ref()),
        ),
        Err(status) => show_error(&status),
    })
}

/// `txn` and the lines below it.
pub async fn transaction_command(clients: &mut Clients, lines: &[String]) -> Result<Vec<String>> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let request = transaction(&lines)?;
    Ok(match clients.kv.txn(request).await {
        Ok(response) => show_transaction(
            response.get_ref(),
            show_header(response.get_ref().header.as_ref()),
        ),
        Err(status) => show_error(&status),
    })
}

/// `compact revision [physical]`.
pub async fn compact_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = CompactionRequest {
        revision: words.integer("a revision")?,
        physical: words.flag("physical"),
    };
    words.finish()?;
    Ok(match clients.kv.compact(request).await {
        Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
        Err(status) => show_error(&status),
    })
}
