//! How many answers a node gives, and how soon a change is in the answers of all: measured, not tested. With the binary as
//! it is shipped, on a machine that does nothing else:
//!
//! ```sh
//! cargo test --test cluster -- --ignored --nocapture dns::speed
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

use super::{Served, instance};
use crate::support::{Result, TestResult};

/// How long it is asked.
const ASKING: Duration = Duration::from_secs(5);
/// Questions that one asker has open at a time.
const OPEN: usize = 32;
/// Time after which a question counts as lost.
const LOST: Duration = Duration::from_millis(500);
/// Changes that are waited for.
const CHANGES: u16 = 200;
/// Ticks of the clock of processes in a second, on every Linux of today.
const TICKS: f64 = 100.0;

fn packet(kind: RecordType) -> Result<Vec<u8>> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii("web.service.consul.")?, kind));
    let mut edns = Edns::new();
    edns.set_max_payload(4_096);
    message.set_edns(edns);
    Ok(message.to_vec()?)
}

/// How many answers one asker gets.
fn ask(address: &str, packet: &[u8]) -> Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(LOST))?;
    let mut buffer = [0; 4_096];
    for _ in 0..OPEN {
        socket.send(packet)?;
    }
    let (started, mut answers) = (Instant::now(), 0);
    while started.elapsed() < ASKING {
        if socket.recv(&mut buffer).is_ok() {
            answers += 1;
        }
        socket.send(packet)?;
    }
    Ok(answers)
}

/// Seconds that a process has had of a processor.
fn processor_seconds(process: u32) -> Result<f64> {
    let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = line.rsplit_once(')').ok_or("no process")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<std::result::Result<f64, _>>()? / TICKS)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn answers_a_second_of_one_node() -> TestResult {
    let mut served = Served::start().await?;
    for number in 0..10_u16 {
        let address = format!("10.0.0.{number}");
        served
            .register(0, instance(&number.to_string(), &address, 8_000 + number))
            .await?;
    }
    let process = served.cluster.node(0).process_id().ok_or("node 0 does not run")?;
    for kind in [RecordType::A, RecordType::SRV] {
        let packet = packet(kind)?;
        let before = processor_seconds(process)?;
        let askers: Vec<_> = (0..2)
            .map(|_| {
                let (address, packet) = (served.addresses[0].clone(), packet.clone());
                thread::spawn(move || ask(&address, &packet))
            })
            .collect();
        let mut answers = 0;
        for asker in askers {
            answers += asker.join().map_err(|_| "an asker panicked")??;
        }
        let used = processor_seconds(process)? - before;
        let (all, seconds) = (answers as f64, ASKING.as_secs_f64());
        println!(
            "{kind} of ten instances: {:.0} answers a second, {:.0} a second of one processor",
            all / seconds,
            all / used
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures"]
async fn time_until_a_change_is_in_the_answers_of_all() -> TestResult {
    let served = Served::start().await?;
    let packet = packet(RecordType::A)?;
    let mut buffer = [0; 4_096];
    let sockets: Vec<UdpSocket> = served
        .addresses
        .iter()
        .map(|address| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(LOST))?;
            Ok(socket)
        })
        .collect::<Result<_>>()?;
    let mut times = Vec::new();
    for number in 1..=CHANGES {
        served
            .register(
                usize::from(number % 3),
                instance("one", &format!("10.0.1.{number}"), 80),
            )
            .await?;
        let acknowledged = Instant::now();
        let mut waiting: BTreeSet<usize> = (0..sockets.len()).collect();
        while !waiting.is_empty() {
            for member in waiting.clone() {
                sockets[member].send(&packet)?;
                let length = sockets[member].recv(&mut buffer)?;
                let answer = Message::from_vec(&buffer[..length])?;
                let wanted = format!("10.0.1.{number}");
                if answer
                    .answers
                    .iter()
                    .any(|record| record.data.to_string() == wanted)
                {
                    waiting.remove(&member);
                }
            }
        }
        times.push(acknowledged.elapsed());
    }
    times.sort();
    println!(
        "after its acknowledgement a change is in the answers of all three after {:?} (half), {:?} (99 of 100), {:?} (all)",
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
    Ok(())
}
