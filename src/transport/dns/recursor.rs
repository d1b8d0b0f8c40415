//! Other servers, which are asked about names of other domains.
//!
//! One after the other, each for a bounded time; what one answers over UDP and says to be cut is asked for again over TCP.
//! Each question goes out from a socket of its own with a number of chance, and only an answer from where it went, with
//! that number and that question, counts. Never keeps an answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use tokio::io::{self, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::Question;

/// Bytes of an answer over UDP that is asked for: what passes everywhere in one piece.
const UDP_BYTES: u16 = 1_232;

/// Asks about a name on behalf of a client; the first answer that is none of a failure, else the last one.
pub(super) async fn ask(
    recursors: &[SocketAddr],
    patience: Duration,
    question: &Question,
    name: &Name,
    kind: RecordType,
) -> Option<Message> {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.checking_disabled = question.checks_nothing;
    let mut query = Query::query(name.clone(), kind);
    query.set_query_class(question.class);
    message.add_query(query);
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_BYTES);
    edns.set_dnssec_ok(question.edns.is_some_and(|edns| edns.wants_signatures));
    message.set_edns(edns);
    let mut failed = None;
    for recursor in recursors {
        message.metadata.id = rand::random();
        match timeout(patience, exchange(*recursor, &message)).await {
            Ok(Ok(answer)) => match answer.metadata.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => return Some(answer),
                _ => failed = Some(answer),
            },
            Ok(Err(error)) => tracing::debug!(%recursor, %error, "a recursor did not answer"),
            Err(_) => tracing::debug!(%recursor, "a recursor did not answer in time"),
        }
    }
    failed
}

async fn exchange(recursor: SocketAddr, message: &Message) -> io::Result<Message> {
    let packet = message.to_vec().map_err(io::Error::other)?;
    let any: SocketAddr = match recursor {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(recursor).await?;
    socket.send(&packet).await?;
    let mut received = vec![0; usize::from(u16::MAX)];
    let answer = loop {
        let length = socket.recv(&mut received).await?;
        // Anybody may send something: what is no answer to this is not the end.
        if let Some(answer) = accepted(received.get(..length).unwrap_or_default(), message) {
            break answer;
        }
    };
    if !answer.metadata.truncation {
        return Ok(answer);
    }
    let mut stream = TcpStream::connect(recursor).await?;
    let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], &packet].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut received = vec![0; usize::from(length)];
    stream.read_exact(&mut received).await?;
    accepted(&received, message).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads what was received, if it is an answer to this question.
fn accepted(received: &[u8], message: &Message) -> Option<Message> {
    let answer = Message::from_vec(received).ok()?;
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == message.metadata.id
        && answer.metadata.op_code == OpCode::Query
        && answer.queries == message.queries;
    is_answer.then_some(answer)
}
