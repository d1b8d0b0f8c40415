//! The keeper of sessions: it runs on every member, and works on the one that leads.
//!
//! It looks when a session or its sign of life has changed, when the catalog has, and now and then. Each look reads all
//! sessions: on a busy catalog there are at most ten looks a second. What it finds is ended by a transaction that is bound
//! to what was seen, so two keepers at once do no harm: one of them finds nothing left to do.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::keys::Room;
use super::kv::read_all;
use super::record::{StoredSession, decode};
use super::session::reason_to_end;
use super::{Consul, ConsulError, Watched};
use crate::base::Revision;

/// Pause after a look.
const PAUSE_MILLISECONDS: u64 = 100;
/// Time after which it looks although nothing has changed: what failed is tried again.
const LOOK_SECONDS: u64 = 5;
/// Sessions that are ended at a time.
const ENDED_AT_ONCE: usize = 64;

/// Keeps sessions until the node stops.
pub(super) async fn run(consul: &Consul) {
    let mut status = consul.core.replication.status();
    loop {
        if status.wait_for(|status| status.is_leader).await.is_err() {
            return;
        }
        let watched = vec![Room::Session.prefix(b""), Room::Alive.prefix(b"")];
        let mut waiter = consul.waiter(Watched::Keys(watched));
        let looked = match look(consul).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::debug!(%error, "cannot look after sessions; trying again");
                Looked::default()
            }
        };
        sleep(Duration::from_millis(PAUSE_MILLISECONDS)).await;
        let changed = async {
            tokio::select! {
                _ = waiter.changed(looked.revision, looked.revision) => {}
                _ = consul.registry.passed(looked.catalog), if looked.depends_on_catalog => {}
            }
        };
        // Whether something changed, the time is over or the node stops: it looks again, or finds out above.
        let _ = timeout(Duration::from_secs(LOOK_SECONDS), changed).await;
    }
}

/// What a look saw.
#[derive(Default)]
struct Looked {
    revision: Revision,
    catalog: Revision,
    depends_on_catalog: bool,
}

async fn look(consul: &Consul) -> Result<Looked, ConsulError> {
    let view = consul.view(true).await?;
    let found = read_all(&view, Room::Session.prefix(b""), false)?;
    let mut looked = Looked {
        revision: view.revision(),
        ..Looked::default()
    };
    if found.is_empty() {
        return Ok(looked);
    }
    let alive = read_all(&view, Room::Alive.prefix(b""), true)?;
    let alive: HashSet<Bytes> = alive
        .iter()
        .filter_map(|sign| Room::Alive.name(&sign.key))
        .collect();
    let mut sessions = Vec::with_capacity(found.len());
    for session in found {
        let stored: StoredSession = decode(&session.value)?;
        if let Some(name) = Room::Session.name(&session.key) {
            looked.depends_on_catalog |= stored.watches_node || !stored.watched_checks.is_empty();
            sessions.push((name, stored));
        }
    }
    // Not older than the sessions: what they depend on was there when they were made.
    let catalog = consul.catalog(!looked.depends_on_catalog).await?;
    looked.catalog = catalog.revision();
    let ended = sessions.into_iter().filter_map(|(name, stored)| {
        let id = Uuid::from_slice(&name).ok()?;
        let is_over = !stored.lease.is_none() && !alive.contains(&name);
        let reason = match is_over {
            true => Some("nobody renewed it".to_owned()),
            false => reason_to_end(&stored, &catalog),
        };
        Some((id, reason?))
    });
    let ended: Vec<(Uuid, String)> = ended.collect();
    futures::stream::iter(ended)
        .for_each_concurrent(ENDED_AT_ONCE, |(id, reason)| async move {
            tracing::info!(session = %id, reason, "a session ends");
            if let Err(error) = consul.end_session(id).await {
                tracing::warn!(session = %id, %error, "a session cannot be ended yet; trying again");
            }
        })
        .await;
    Ok(looked)
}
