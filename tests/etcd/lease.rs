//! `lease grant`, `lease revoke`, `lease keepalive`, `lease ttl` and `lease list`.

use stead::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
};

use super::words::{Words, show, show_error, show_header};
use crate::support::{Clients, Result};

/// A remaining time this close below the granted one is written as the granted one: time passes while a script runs.
const MAXIMUM_PASSED_SECONDS: i64 = 10;

/// Runs one `lease` command.
pub async fn command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    match words.next("what to do with leases")?.as_str() {
        "grant" => grant(clients, words).await,
        "revoke" => revoke(clients, words).await,
        "keepalive" => keep_alive(clients, words).await,
        "ttl" => time_to_live(clients, words).await,
        "list" => list(clients, words).await,
        other => Err(format!("lease {other} is no command").into()),
    }
}

/// `lease grant seconds [id=7]`.
async fn grant(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let ttl = words.integer("the time to live in seconds")?;
    let request = LeaseGrantRequest {
        ttl,
        id: words.number("id")?,
    };
    words.finish()?;
    Ok(match clients.lease.lease_grant(request).await {
        Ok(response) => {
            let response = response.into_inner();
            let id = match response.id {
                given if given == request.id => given.to_string(),
                chosen if chosen > 0 => "chosen by the server".to_owned(),
                other => format!("{other}, which is not positive"),
            };
            vec![format!(
                "{}, id {id}, ttl {}",
                show_header(response.header.as_ref()),
                response.ttl
            )]
        }
        Err(status) => show_error(&status),
    })
}

/// `lease revoke id`.
async fn revoke(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = LeaseRevokeRequest {
        id: words.integer("a lease id")?,
    };
    words.finish()?;
    Ok(match clients.lease.lease_revoke(request).await {
        Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
        Err(status) => show_error(&status),
    })
}

/// `lease keepalive id id ...`: all on one stream, which is then closed.
async fn keep_alive(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let mut requests = Vec::new();
    while let Some(word) = words.optional() {
        requests.push(LeaseKeepAliveRequest { id: word.parse()? });
    }
    let mut lines = Vec::new();
    let mut responses = match clients.lease.lease_keep_alive(tokio_stream::iter(requests)).await {
        Ok(responses) => responses.into_inner(),
        Err(status) => return Ok(show_error(&status)),
    };
    loop {
        match responses.message().await {
            Ok(Some(response)) => lines.push(format!(
                "{}, id {}, ttl {}",
                show_header(response.header.as_ref()),
                response.id,
                response.ttl
            )),
            Ok(None) => break,
            Err(status) => {
                lines.extend(show_error(&status));
                break;
            }
        }
    }
    Ok(lines)
}

/// `lease ttl id [keys]`.
async fn time_to_live(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = LeaseTimeToLiveRequest {
        id: words.integer("a lease id")?,
        keys: words.flag("keys"),
    };
    words.finish()?;
    Ok(match clients.lease.lease_time_to_live(request).await {
        Ok(response) => {
            let mut response = response.into_inner();
            let passed = response.granted_ttl - response.ttl;
            let remaining = match passed {
                0..=MAXIMUM_PASSED_SECONDS if response.ttl > 0 => response.granted_ttl,
                _ => response.ttl,
            };
            let mut lines = vec![format!(
                "{}, id {}, ttl {remaining} of {}",
                show_header(response.header.as_ref()),
                response.id,
                response.granted_ttl
            )];
            response.keys.sort();
            lines.extend(response.keys.iter().map(|key| show(key)));
            lines
        }
        Err(status) => show_error(&status),
    })
}

/// `lease list`, ordered by id: etcd orders by the remaining time.
async fn list(clients: &mut Clients, words: Words) -> Result<Vec<String>> {
    words.finish()?;
    Ok(match clients.lease.lease_leases(LeaseLeasesRequest {}).await {
        Ok(response) => {
            let response = response.into_inner();
            let mut ids: Vec<i64> = response.leases.iter().map(|lease| lease.id).collect();
            ids.sort_unstable();
            let mut lines = vec![show_header(response.header.as_ref())];
            lines.extend(ids.iter().map(|id| format!("lease {id}")));
            lines
        }
        Err(status) => show_error(&status),
    })
}
