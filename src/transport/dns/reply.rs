//! From a packet to the bytes of its answer, or to what they have to wait for. Never waits itself, and knows no socket.

use hickory_proto::op::ResponseCode;

use super::answer::{Answerer, Outcome};
use super::message::{self, Carrier, Draft, Packet, Question};
use crate::service::resolve::Sight;

/// What is known of the services, and may be told, when a packet comes.
pub(super) enum Known {
    /// Nothing for those who ask by DNS.
    Hidden,
    /// Nothing yet.
    Nothing,
    /// This.
    Seen(Sight),
}

/// What became of a packet at once.
#[derive(Debug)]
pub(super) enum Reply {
    /// The answer is written, with this code.
    Written(ResponseCode),
    /// It gets none.
    Nothing,
    /// It has to wait.
    Later(Question, Box<Waiting>),
}

/// What an answer waits for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// All that was acknowledged.
    Newest,
    /// What the catalog alone does not say.
    Known(Sight, Outcome),
}

impl Answerer {
    /// Answers a packet, as far as that can be done without waiting.
    pub fn reply(
        &self,
        packet: &[u8],
        carrier: Carrier,
        known: impl FnOnce() -> Known,
        out: &mut Vec<u8>,
    ) -> Reply {
        let question = match message::read(packet, carrier) {
            Packet::Noise => return Reply::Nothing,
            Packet::Refused(code, None) => {
                message::write_refusal(packet, code, out);
                return Reply::Written(code);
            }
            Packet::Refused(code, Some(question)) => return self.say(&question, &Draft::only(code), out),
            Packet::Question(question) => question,
        };
        let sight = match known() {
            Known::Hidden => return self.say(&question, &Draft::only(ResponseCode::Refused), out),
            _ if question.wants_newest || self.settings.newest => {
                return Reply::Later(question, Box::new(Waiting::Newest));
            }
            Known::Nothing => return self.say(&question, &Draft::only(ResponseCode::ServFail), out),
            Known::Seen(sight) => sight,
        };
        match self.answer(&sight, &question) {
            Outcome::Answer(draft) => self.say(&question, &draft, out),
            outcome => Reply::Later(question, Box::new(Waiting::Known(sight, outcome))),
        }
    }

    fn say(&self, question: &Question, draft: &Draft, out: &mut Vec<u8>) -> Reply {
        message::write(question, draft, self.manner(), out);
        match out.is_empty() {
            true => Reply::Nothing,
            false => Reply::Written(draft.code),
        }
    }
}
