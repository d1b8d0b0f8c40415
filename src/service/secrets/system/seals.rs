//! `sys/seals`: what opens the root key by itself, and other seals in place of that. Not part of Vault's interface.
//!
//! Never tells a key.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::service::secrets::custody::seals::{self, SealState};
use crate::service::secrets::engine::{Data, Fault};
use crate::service::secrets::error::SecretsError;
use crate::service::secrets::parameters::switch;
use crate::service::secrets::policy::Operation;
use crate::service::secrets::randomness::SystemRandomness;
use crate::service::secrets::request::Response;
use crate::service::secrets::work::Work;

/// Serves `sys/seals`: a read tells the seals; a write takes those that this node's settings name, in place of the others or,
/// with `keep_others`, beside them.
pub fn handle(work: &mut Work) -> Result<Response, SecretsError> {
    let sources = Arc::clone(work.seals());
    let states = match work.operation() {
        Operation::Read => seals::list(work.draft(), &sources)?,
        Operation::Create | Operation::Update => {
            let keeps_others = work.field("keep_others", switch)?.unwrap_or_default();
            seals::replace(work.draft(), &sources, keeps_others, &mut SystemRandomness)?
        }
        _ => return Err(Fault::Unsupported.into()),
    };
    let shown: Vec<Value> = states.iter().map(shown).collect();
    Ok(Response::data(Data::new().with("seals", &shown)?))
}

fn shown(state: &SealState) -> Value {
    json!({
        "name": state.id,
        "kind": state.kind.name(),
        "in_use": state.is_in_use,
        "configured": state.is_configured,
        "opens": state.refusal.is_none(),
        "reason": state.refusal.as_deref().unwrap_or_default(),
    })
}
