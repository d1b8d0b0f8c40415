//! What is refused: with the code and the form of the interface, without a word of what was sent, and so that what is right
//! still works afterwards.

mod grpc;
mod requests;
mod shares;
mod tokens;

use serde_json::{Value, json};

use super::{Answered, Store, Visitor};
use crate::support::Result;
use crate::support::vault::three_nodes;

/// A text that stands for a secret: no answer to something bad may repeat it.
const SECRET: &str = "correct-horse-battery-staple";

/// A store on three members, of which the first is unsealed, with a secret in it.
async fn store() -> Result<Store> {
    let (builder, addresses) = three_nodes()?;
    let store = Store::start(builder, addresses).await?;
    store.mount_secrets().await?;
    let secret = json!({"data": {"v": SECRET}});
    store
        .root(0)
        .writes("secret/data/app/a", secret)
        .await?
        .with(200)?;
    Ok(store)
}

/// The same, with all members unsealed.
async fn open_store() -> Result<Store> {
    let store = store().await?;
    store.unseal_others().await?;
    Ok(store)
}

/// Looks at a refusal: its code, its form, that the text it begins with is `says` (empty: no text), and that it repeats
/// nothing that stands for a secret.
fn refused(answered: &Answered, status: u16, says: &str) -> Result<()> {
    let text = &answered.text;
    if answered.status != status {
        return Err(format!("{} is not {status}: {text}", answered.status).into());
    }
    let fields = answered
        .body
        .as_object()
        .ok_or_else(|| format!("no object: {text}"))?;
    let errors = fields.get("errors").and_then(Value::as_array);
    let errors = errors.ok_or_else(|| format!("no errors: {text}"))?;
    let first = errors.first().map(|error| error.as_str().unwrap_or_default());
    let is_right = match first {
        None => says.is_empty(),
        Some(first) => !says.is_empty() && errors.len() == 1 && first.contains(says),
    };
    if !is_right || fields.len() != 1 {
        return Err(format!("{says:?} is not what is said: {text}").into());
    }
    match text.contains(SECRET) || text.contains("hvs.") {
        true => Err(format!("the answer repeats a secret: {text}").into()),
        false => Ok(()),
    }
}

/// The secret is still there, for who may read it.
async fn is_still_there(visitor: &Visitor) -> Result<()> {
    let read = visitor.reads("secret/data/app/a").await?.with(200)?;
    assert_eq!(read["data"]["data"]["v"], SECRET);
    Ok(())
}

/// Neither a secret nor a token nor a share is in what the members logged.
fn nothing_was_logged(store: &Store) -> Result<()> {
    for node in store.cluster.nodes() {
        let log = std::fs::read(node.log_path())?;
        let log = String::from_utf8_lossy(&log);
        let secrets = store.shares.iter().map(String::as_str);
        for secret in secrets.chain([SECRET, &store.root, "hvs."]) {
            assert!(!log.contains(secret), "a secret is in the log of {}", node.name());
        }
    }
    Ok(())
}
