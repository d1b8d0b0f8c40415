//! Messages: a question is read, an answer is written in the bytes that the client takes. What a question means is not
//! known here.
//!
//! Given anything, a packet is answered, or refused, or dropped; an answer to an answer is never sent, so that two servers
//! cannot keep each other busy. An answer that does not fit loses records from its end, each with what belongs to it.

use std::iter;

use hickory_proto::ProtoError;
use hickory_proto::op::emit_message_parts;
use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query as Asked, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_proto::serialize::binary::BinEncoder;

use crate::base::limits::{MAXIMUM_DNS_UDP_ANSWERS, MAXIMUM_DNS_UDP_BYTES};

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 12;
/// Bytes of an answer over UDP for a client that says nothing (RFC 1035).
const PLAIN_UDP_BYTES: u16 = 512;
/// The fewest bytes of a record: a pointer to its name, type, class, time, length and an IPv4 address.
const MINIMUM_RECORD_BYTES: usize = 16;
/// Records by which the length of all is guessed.
const SAMPLE_RECORDS: usize = 32;
/// The option of EDNS (one of those for local use, RFC 6891) with which a client asks for the newest.
pub const NEWEST_OPTION: u16 = 65_001;

/// The bits of the header's third byte.
const RESPONSE_BIT: u8 = 0x80;
const RECURSION_DESIRED_BIT: u8 = 0x01;

/// How a question came, and the answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// What the answer must be marked with.
    pub id: u16,
    /// The name, in the case in which it was asked.
    pub name: Name,
    /// The type.
    pub kind: RecordType,
    /// The class.
    pub class: DNSClass,
    /// Whether other servers are to be asked.
    pub wants_recursion: bool,
    /// Whether signatures need not be checked; handed on.
    pub checks_nothing: bool,
    /// Whether the answer must have all that was acknowledged before.
    pub wants_newest: bool,
    /// What the client says of itself with EDNS.
    pub edns: Option<ClientEdns>,
    /// How it came.
    pub carrier: Carrier,
}

/// What a client says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClientEdns {
    /// Bytes of a datagram that it takes.
    pub bytes: u16,
    /// Whether it wants signatures; handed on.
    pub wants_signatures: bool,
}

/// What a packet is.
#[derive(Debug)]
pub(super) enum Packet {
    /// A question.
    Question(Question),
    /// Nothing that an answer may be sent to.
    Noise,
    /// It can be answered with this alone; where the question could be read, with it.
    Refused(ResponseCode, Option<Question>),
}

/// A record of an answer, with what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// The record.
    pub record: Record,
    /// For the section at the end.
    pub additional: Vec<Record>,
}

impl From<Record> for Answer {
    fn from(record: Record) -> Self {
        Self {
            record,
            additional: Vec::new(),
        }
    }
}

/// What a question is answered with.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    /// How it went.
    pub code: ResponseCode,
    /// Whether the name is of a domain that is answered for here.
    pub is_own: bool,
    /// Whether more is known than there is in it.
    pub is_cut: bool,
    /// The records, the first ones first.
    pub answers: Vec<Answer>,
    /// Who says so.
    pub authorities: Vec<Record>,
}

impl Draft {
    /// One without records.
    pub fn only(code: ResponseCode) -> Self {
        Self {
            code,
            is_own: false,
            is_cut: false,
            answers: Vec::new(),
            authorities: Vec::new(),
        }
    }

    /// What another server said.
    pub fn of_others(message: Message) -> Self {
        let mut answers: Vec<Answer> = message.answers.into_iter().map(Answer::from).collect();
        if let Some(last) = answers.last_mut() {
            last.additional = message.additionals;
        }
        Self {
            code: message.metadata.response_code,
            is_own: false,
            is_cut: message.metadata.truncation,
            answers,
            authorities: message.authorities,
        }
    }
}

/// What an answer says of the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Whether other servers are asked on behalf of clients.
    pub recursion_available: bool,
    /// Whether what was cut says so.
    pub tells_truncation: bool,
}

impl Question {
    /// Bytes that an answer may have.
    pub fn maximum_bytes(&self) -> u16 {
        match (self.carrier, self.edns) {
            (Carrier::Tcp, _) => u16::MAX,
            (Carrier::Udp, None) => PLAIN_UDP_BYTES,
            (Carrier::Udp, Some(edns)) => edns.bytes.clamp(PLAIN_UDP_BYTES, MAXIMUM_DNS_UDP_BYTES),
        }
    }

    /// Records that an answer may have, besides its bytes.
    pub fn maximum_answers(&self) -> usize {
        match (self.carrier, self.edns) {
            (Carrier::Udp, None) => MAXIMUM_DNS_UDP_ANSWERS,
            _ => usize::from(self.maximum_bytes()) / MINIMUM_RECORD_BYTES,
        }
    }
}

/// Reads a packet.
pub(super) fn read(packet: &[u8], carrier: Carrier) -> Packet {
    let Some(flags) = packet.get(2).filter(|_| packet.len() >= HEADER_BYTES) else {
        return Packet::Noise;
    };
    if flags & RESPONSE_BIT != 0 {
        return Packet::Noise;
    }
    let Ok(message) = Message::from_vec(packet) else {
        return Packet::Refused(ResponseCode::FormErr, None);
    };
    if message.metadata.op_code != OpCode::Query {
        return Packet::Refused(ResponseCode::NotImp, None);
    }
    let [asked] = message.queries.as_slice() else {
        return Packet::Refused(ResponseCode::FormErr, None);
    };
    let edns = message.edns.as_ref();
    let question = Question {
        id: message.metadata.id,
        name: asked.name().clone(),
        kind: asked.query_type(),
        class: asked.query_class(),
        wants_recursion: message.metadata.recursion_desired,
        checks_nothing: message.metadata.checking_disabled,
        wants_newest: edns.is_some_and(|edns| edns.option(EdnsCode::Unknown(NEWEST_OPTION)).is_some()),
        edns: edns.map(|edns| ClientEdns {
            bytes: edns.max_payload(),
            wants_signatures: edns.flags().dnssec_ok,
        }),
        carrier,
    };
    if edns.is_some_and(|edns| edns.version() > 0) {
        return Packet::Refused(ResponseCode::BADVERS, Some(question));
    }
    Packet::Question(question)
}

/// Writes the answer to a packet that could not be read: its header alone.
pub(super) fn write_refusal(packet: &[u8], code: ResponseCode, out: &mut Vec<u8>) {
    out.clear();
    if let [high, low, flags, ..] = packet {
        // The same kind of message.
        let kept = flags & !RESPONSE_BIT & (0x78 | RECURSION_DESIRED_BIT);
        out.extend([*high, *low, RESPONSE_BIT | kept, code.low()]);
        out.resize(HEADER_BYTES, 0);
    }
}

/// Writes an answer, cut to what the client takes. Nothing is written if not even the question fits, which cannot be.
pub(super) fn write(question: &Question, draft: &Draft, manner: Manner, out: &mut Vec<u8>) {
    let maximum = usize::from(question.maximum_bytes());
    let all = draft.answers.len();
    let mut number = match draft.is_own {
        true => all.min(question.maximum_answers()),
        false => all,
    };
    if number > SAMPLE_RECORDS && write_first(question, draft, SAMPLE_RECORDS, false, manner, out).is_ok() {
        // Records of one answer are about equally long.
        number = number.min(SAMPLE_RECORDS.saturating_mul(maximum) / out.len().max(1));
    }
    loop {
        // A client that gets nothing must know that there is something; and what others say is never cut in silence.
        let is_cut = draft.is_cut || number < all;
        let says_so = is_cut && (number == 0 || manner.tells_truncation || !draft.is_own);
        let is_whole = write_first(question, draft, number, says_so, manner, out).unwrap_or_default();
        if is_whole && out.len() <= maximum {
            return;
        }
        if number == 0 {
            break;
        }
        let share = number.saturating_mul(maximum) / out.len().max(1);
        number = share.min(number - number.div_ceil(SAMPLE_RECORDS));
    }
    let bare = Draft {
        is_own: draft.is_own,
        ..Draft::only(draft.code)
    };
    if !write_first(question, &bare, 0, true, manner, out).unwrap_or_default() {
        out.clear();
    }
}

/// Writes an answer with its first records; whether all of those are in it.
fn write_first(
    question: &Question,
    draft: &Draft,
    number: usize,
    says_cut: bool,
    manner: Manner,
    out: &mut Vec<u8>,
) -> Result<bool, ProtoError> {
    out.clear();
    let mut metadata = Metadata::new(question.id, MessageType::Response, OpCode::Query);
    metadata.authoritative = draft.is_own;
    metadata.truncation = says_cut;
    metadata.recursion_desired = question.wants_recursion;
    metadata.recursion_available = manner.recursion_available;
    metadata.checking_disabled = question.checks_nothing;
    metadata.response_code = draft.code;
    let mut asked = Asked::query(question.name.clone(), question.kind);
    asked.set_query_class(question.class);
    let edns = question.edns.map(|client| {
        let mut edns = Edns::new();
        edns.set_max_payload(client.bytes.min(MAXIMUM_DNS_UDP_BYTES));
        edns.set_dnssec_ok(client.wants_signatures);
        edns
    });
    let answers = draft.answers.iter().take(number);
    let mut encoder = BinEncoder::new(out);
    let header = emit_message_parts(
        &metadata,
        &mut iter::once(&asked),
        &mut answers.clone().map(|answer| &answer.record),
        &mut draft.authorities.iter(),
        &mut answers.flat_map(|answer| &answer.additional),
        edns.as_ref(),
        None,
        &mut encoder,
    )?;
    Ok(header.metadata.truncation == says_cut)
}
