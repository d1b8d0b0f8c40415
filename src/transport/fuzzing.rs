//! For fuzzing: what clients send, before a service sees it.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use super::authority::LenientAuthority;
pub use super::consul::fuzzing::{request_seeds as consul_seeds, requests as consul};
use super::gateway::fuzzing::Gateway;
pub use super::gateway::fuzzing::gateway_seeds;
use super::grpc::translate;
pub use super::vault::fuzzing::{request_seeds as secret_door_seeds, requests as secret_door};
use crate::base::fuzzing::{choice, seed};
use crate::proto::etcdserverpb as wire;
use crate::state::command::Command;
use crate::state::fuzzing::command_survives;

thread_local! {
    static GATEWAY: Gateway = Gateway::new();
}

/// The JSON gateway: one message, and a stream of them.
pub fn gateway(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    GATEWAY.with(|gateway| gateway.translate(kind, rest));
}

/// What is read of chunks of so many bytes, into a buffer of so many.
fn read_of(bytes: &[u8], chunk_bytes: usize, buffer_bytes: usize) -> Vec<u8> {
    let chunks: VecDeque<std::io::Result<Bytes>> = bytes
        .chunks(chunk_bytes)
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    let mut stream = LenientAuthority::new(StreamReader::new(futures::stream::iter(chunks)));
    let mut read = Vec::new();
    let mut buffer = vec![0; buffer_bytes];
    futures::executor::block_on(async {
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            read.extend_from_slice(&buffer[..length]);
        }
    });
    read
}

/// A client's side of a connection: what the HTTP/2 library gets of it does not depend on how it arrives. The first two
/// bytes say how.
pub fn authority(bytes: &[u8]) {
    let (chunk, rest) = choice(bytes);
    let (buffer, rest) = choice(rest);
    let sent = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", rest].concat();
    let whole = read_of(&sent, sent.len(), 8_192);
    let parts = read_of(&sent, usize::from(chunk) + 1, usize::from(buffer) + 1);
    assert_eq!(whole, parts);
    let _ = read_of(rest, rest.len().max(1), 8_192);
}

/// Frames with authorities of all kinds.
#[must_use]
pub fn authority_seeds() -> Vec<Vec<u8>> {
    // A SETTINGS frame, and a block with `:authority` behind some fields; in it the length of the text.
    let connection = |flags: u8, before: &[u8], coded: u8, text: &[u8]| {
        let length = u8::try_from(text.len()).unwrap_or_default();
        let block = [before, b"\x83\x86\x44\x05/path\x41", &[coded | length], text].concat();
        let block_length = u8::try_from(block.len()).unwrap_or_default();
        let head = [0, 0, block_length, 1, flags, 0, 0, 0, 1];
        [&[30, 60, 0, 0, 0, 4, 0, 0, 0, 0, 0][..], &head, &block].concat()
    };
    let mut coded = Vec::new();
    let url = b"http://127.0.0.1:2379";
    httlib_huffman::encode(url, &mut coded).expect("any bytes can be coded");
    vec![
        connection(4, b"", 0, url),
        connection(4, b"", 0x80, &coded),
        connection(5, b"", 0, b"/run/stead.sock"),
        connection(12, &[0], 0, url),
        connection(44, &[0, 0, 0, 0, 0, 16], 0, url),
        connection(4, b"\x40\x02te\x08trailers", 0, b"stead:2379"),
    ]
}

/// Requests of gRPC: what of them becomes a command can be read from the log again.
pub fn requests(bytes: &[u8]) {
    let (kind, rest) = choice(bytes);
    match kind {
        0 => {
            if let Ok(request) = wire::TxnRequest::decode(rest) {
                let _ = translate::is_serializable(&request);
                if let Ok(txn) = translate::txn(request) {
                    command_survives(Command::Txn(txn));
                }
            }
        }
        1 => {
            let _ = wire::RangeRequest::decode(rest).map(translate::range);
        }
        2 => {
            if let Ok(request) = wire::PutRequest::decode(rest) {
                command_survives(Command::Put(translate::put(request)));
            }
        }
        3 => {
            if let Ok(request) = wire::DeleteRangeRequest::decode(rest) {
                command_survives(Command::DeleteRange(translate::delete_range(request)));
            }
        }
        _ => {
            let _ = wire::WatchRequest::decode(rest);
            let _ = wire::LeaseGrantRequest::decode(rest);
            let _ = wire::AuthRoleGrantPermissionRequest::decode(rest);
        }
    }
}

/// A transaction with one of everything, nested, and its parts.
#[must_use]
pub fn request_seeds() -> Vec<Vec<u8>> {
    use wire::compare::{CompareResult, CompareTarget, TargetUnion};
    use wire::request_op::Request;
    let range = wire::RangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        sort_order: 2,
        sort_target: 3,
        ..Default::default()
    };
    let put = wire::PutRequest {
        key: "a".into(),
        value: "value".into(),
        lease: 7,
        ..Default::default()
    };
    let delete = wire::DeleteRangeRequest {
        key: "a".into(),
        range_end: "b".into(),
        prev_kv: true,
    };
    let operation = |request| wire::RequestOp {
        request: Some(request),
    };
    let compare = wire::Compare {
        result: CompareResult::Greater.into(),
        target: CompareTarget::Value.into(),
        key: "a".into(),
        target_union: Some(TargetUnion::Value("b".into())),
        ..Default::default()
    };
    let mut txn = wire::TxnRequest {
        compare: vec![compare],
        success: vec![
            operation(Request::RequestPut(put.clone())),
            operation(Request::RequestRange(range.clone())),
        ],
        failure: vec![operation(Request::RequestDeleteRange(delete.clone()))],
    };
    let mut seeds = vec![
        seed(1, range.encode_to_vec()),
        seed(2, put.encode_to_vec()),
        seed(3, delete.encode_to_vec()),
        seed(0, txn.encode_to_vec()),
    ];
    // As deep as the decoder goes.
    loop {
        txn = wire::TxnRequest {
            success: vec![operation(Request::RequestTxn(txn))],
            ..Default::default()
        };
        let encoded = txn.encode_to_vec();
        if wire::TxnRequest::decode(&encoded[..]).is_err() {
            return seeds;
        }
        seeds.truncate(4);
        seeds.push(seed(0, encoded));
    }
}
