//! Requests to engines and their answers, as scripts say them; and what no script can say shortly.

mod plain;
mod script;

pub(in crate::service::secrets::engine) use script::play_all;

use crate::service::secrets::engine::twin::Bench;
use crate::service::secrets::engine::{Answer, Call, Engine, Fault};
use crate::service::secrets::parameters::Body;
use crate::service::secrets::policy::Operation;

/// The text of a refusal with 400.
pub(in crate::service::secrets::engine) fn invalid(answer: Result<Answer, Fault>) -> String {
    match answer {
        Err(Fault::Invalid(text)) => text,
        other => panic!("{other:?} is not refused as invalid"),
    }
}

/// What the engine says of whether something is at a path.
pub(in crate::service::secrets::engine) fn exists<E: Engine>(
    bench: &mut Bench<E>,
    path: &str,
) -> Option<bool> {
    let call = Call {
        operation: Operation::Update,
        path,
        body: &Body::default(),
        mount: &bench.mount,
        caller: Some(&bench.caller),
        peer: &bench.peer,
        now: bench.now,
        is_privileged: false,
        fetched: &bench.fetched,
    };
    bench.engine.exists(&call, &mut bench.storage).unwrap()
}
