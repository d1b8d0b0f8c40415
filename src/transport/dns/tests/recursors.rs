//! What others are asked, and what counts as their answer: servers of the tests' own, on loopback.

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::super::message::{Draft, Packet, Question};
use super::super::recursor;
use super::*;

/// A server, which ends with the test.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a server answers over UDP: packets to send for one that came.
type Answers = fn(&Message) -> Vec<Message>;

/// A server that answers `datagrams` over UDP, and in full over TCP.
async fn server(datagrams: Answers) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; 4_096];
        loop {
            tokio::select! {
                received = socket.recv_from(&mut buffer) => {
                    let (length, client) = received.unwrap();
                    let asked = Message::from_vec(&buffer[..length]).unwrap();
                    for answer in datagrams(&asked) {
                        socket.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
                    }
                }
                accepted = listener.accept() => {
                    let (mut stream, _) = accepted.unwrap();
                    let length = stream.read_u16().await.unwrap();
                    let mut packet = vec![0; usize::from(length)];
                    stream.read_exact(&mut packet).await.unwrap();
                    let answer = with_addresses(&Message::from_vec(&packet).unwrap(), 100).to_vec().unwrap();
                    stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        }
    });
    Server { address, task }
}

fn answer_to(asked: &Message, code: ResponseCode) -> Message {
    let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.response_code = code;
    answer.add_query(asked.queries[0].clone());
    answer
}

fn with_addresses(asked: &Message, number: u8) -> Message {
    let mut answer = answer_to(asked, ResponseCode::NoError);
    for last in 0..number {
        let data = RData::A(A(Ipv4Addr::new(192, 0, 2, last)));
        answer.add_answer(Record::from_rdata(asked.queries[0].name().clone(), 60, data));
    }
    answer
}

fn question(bytes: Option<u16>) -> Question {
    match message::read(&packet("www.example.com.", RecordType::A, bytes), Carrier::Udp) {
        Packet::Question(question) => question,
        other => panic!("{other:?}"),
    }
}

async fn ask(servers: &[&Server], patience: Duration) -> Option<Message> {
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let question = question(None);
    recursor::ask(&addresses, patience, &question, &question.name, question.kind).await
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_next_one_is_asked_when_one_is_silent_or_fails() {
    let silent = server(|_| Vec::new()).await;
    let failing = server(|asked| vec![answer_to(asked, ResponseCode::ServFail)]).await;
    let knowing = server(|asked| vec![with_addresses(asked, 2)]).await;
    let answer = ask(&[&silent, &failing, &knowing], Duration::from_millis(300))
        .await
        .unwrap();
    assert_eq!(answer.answers.len(), 2);
    let answer = ask(&[&failing, &failing], PATIENCE).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(ask(&[&silent], Duration::from_millis(50)).await.is_none());
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_does_not_count() {
    let forging = server(|asked| {
        let mut other_mark = with_addresses(asked, 1);
        other_mark.metadata.id = asked.metadata.id.wrapping_add(1);
        let mut other_name = with_addresses(asked, 1);
        other_name.queries = vec![Query::query(
            Name::from_ascii("other.example.com.").unwrap(),
            RecordType::A,
        )];
        let mut no_answer = with_addresses(asked, 1);
        no_answer.metadata.message_type = MessageType::Query;
        vec![other_mark, other_name, no_answer, with_addresses(asked, 3)]
    })
    .await;
    let answer = ask(&[&forging], PATIENCE).await.unwrap();
    assert_eq!(answer.answers.len(), 3);
}

#[tokio::test]
async fn an_answer_that_was_cut_is_asked_for_again_and_cut_with_a_word_of_it() {
    let cutting = server(|asked| {
        let mut cut = with_addresses(asked, 1);
        cut.metadata.truncation = true;
        vec![cut]
    })
    .await;
    let answer = ask(&[&cutting], PATIENCE).await.unwrap();
    assert_eq!((answer.answers.len(), answer.metadata.truncation), (100, false));
    let draft = Draft::of_others(answer);
    for (bytes, is_cut) in [(None, true), (Some(4_096), false)] {
        let question = question(bytes);
        let mut out = Vec::new();
        message::write(&question, &draft, answerer(settings()).manner(), &mut out);
        let written = Message::from_vec(&out).unwrap();
        assert_eq!(written.metadata.truncation, is_cut);
        assert!(out.len() <= usize::from(question.maximum_bytes()));
        assert!(!written.answers.is_empty() && !written.metadata.authoritative);
    }
}
