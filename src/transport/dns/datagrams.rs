//! Datagrams: read, answered and sent by one task for each socket. Never waits for anything but the socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::DnsDoor;
use super::message::{Carrier, Draft, Question};
use super::reply::{Reply, Waiting};
use super::tally::Arrival;

/// Bytes of a question that are read: no question has as many.
const QUESTION_BYTES: usize = 4_096;
/// Packets that are answered before other tasks have their turn.
const MAXIMUM_TURN: usize = 64;
/// Pause after the socket could not be read.
const FAILURE_PAUSE_MILLISECONDS: u64 = 100;

impl DnsDoor {
    /// Answers what comes in on a socket, until the node stops.
    pub async fn serve_datagrams(self, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let mut packet = vec![0; QUESTION_BYTES];
        let mut out = Vec::with_capacity(QUESTION_BYTES);
        loop {
            let readable = tokio::select! {
                () = self.shared.stopping.cancelled() => return,
                readable = socket.readable() => readable,
            };
            if let Err(error) = readable.and_then(|()| self.turn(&socket, &mut packet, &mut out)) {
                tracing::warn!(%error, "cannot read questions of DNS; trying again");
                sleep(Duration::from_millis(FAILURE_PAUSE_MILLISECONDS)).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Answers the packets that are there.
    fn turn(&self, socket: &Arc<UdpSocket>, packet: &mut [u8], out: &mut Vec<u8>) -> io::Result<()> {
        for _ in 0..MAXIMUM_TURN {
            let (length, client) = match socket.try_recv_from(packet) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let packet = packet.get(..length).unwrap_or_default();
            let arrival = Arrival::now(Carrier::Udp);
            match self.shared.at_once(packet, arrival, out) {
                Reply::Nothing => {}
                Reply::Written(_) => send(socket, out, client),
                Reply::Later(question, waiting) => {
                    self.answer_aside(socket, client, (arrival, question), waiting, out);
                }
            }
        }
        Ok(())
    }

    /// Answers in a task of its own, if there are not too many of them.
    fn answer_aside(
        &self,
        socket: &Arc<UdpSocket>,
        client: SocketAddr,
        (arrival, question): (Arrival, Question),
        waiting: Box<Waiting>,
        out: &mut Vec<u8>,
    ) {
        let Ok(place) = Arc::clone(&self.shared.waiting).try_acquire_owned() else {
            let draft = Draft::only(ResponseCode::ServFail);
            self.shared.say(arrival, &question, &draft, out);
            send(socket, out, client);
            return;
        };
        let (door, socket) = (self.clone(), Arc::clone(socket));
        tokio::spawn(async move {
            let mut out = Vec::new();
            tokio::select! {
                () = door.shared.stopping.cancelled() => {}
                () = door.shared.later(arrival, &question, *waiting, &mut out) => send(&socket, &out, client),
            }
            drop(place);
        });
    }
}

/// Sends an answer. One that cannot be sent now is lost, as any datagram may be: the client asks again.
fn send(socket: &UdpSocket, out: &[u8], client: SocketAddr) {
    if let Err(error) = socket.try_send_to(out, client) {
        tracing::debug!(%client, %error, "an answer of DNS was not sent");
    }
}
