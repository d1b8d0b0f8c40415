//! What is counted of questions: how they came, what became of them, and how long that took. Never what they ask for.

use std::time::Instant;

use hickory_proto::op::ResponseCode;

use super::message::Carrier;
use crate::base::metrics::DnsMetrics;

/// When a question came, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub carrier: Carrier,
    at: Instant,
}

impl Arrival {
    /// It came now.
    pub fn now(carrier: Carrier) -> Self {
        let at = Instant::now();
        Self { carrier, at }
    }
}

/// See the module.
pub(super) struct Tally(pub DnsMetrics);

impl Tally {
    /// A question was answered.
    pub fn answered(&self, arrival: Arrival, code: ResponseCode) {
        let transport = label(arrival.carrier);
        self.0.questions.with_label_values(&[transport, name(code)]).inc();
        self.0
            .answer_seconds
            .with_label_values(&[transport])
            .observe(arrival.at.elapsed().as_secs_f64());
    }

    /// What came gets no answer.
    pub fn dropped(&self, arrival: Arrival) {
        self.0
            .questions
            .with_label_values(&[label(arrival.carrier), "none"])
            .inc();
    }
}

fn label(carrier: Carrier) -> &'static str {
    match carrier {
        Carrier::Udp => "udp",
        Carrier::Tcp => "tcp",
    }
}

/// The name of a code as `dig` shows it. Others come from other servers alone, and are not told apart: each name is a
/// series of its own.
fn name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        _ => "OTHER",
    }
}
