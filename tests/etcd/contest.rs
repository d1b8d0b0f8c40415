//! `lock` and `election`.

use std::time::Duration;

use stead::proto::v3electionpb::{CampaignRequest, LeaderKey, LeaderRequest, ProclaimRequest, ResignRequest};
use stead::proto::v3lockpb::{LockRequest, UnlockRequest};
use tokio::time::timeout;

use super::words::{Words, bytes, show, show_error, show_header, show_pair};
use crate::support::{Clients, Result};

/// How long an observer may wait for what a script says that there is.
const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

/// `lock take name [lease=7]` and `lock release key`.
pub async fn lock_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    match words.next("what to do with a lock")?.as_str() {
        "take" => {
            let request = LockRequest {
                name: words.bytes("the name of a lock")?,
                lease: words.number("lease")?,
            };
            words.finish()?;
            let has_lease = request.lease != 0;
            Ok(match clients.lock.lock(request).await {
                Ok(response) => {
                    let response = response.into_inner();
                    let header = show_header(response.header.as_ref());
                    vec![format!("{header}, key {}", shown_key(&response.key, has_lease))]
                }
                Err(status) => show_error(&status),
            })
        }
        "release" => {
            let request = UnlockRequest {
                key: words.bytes("the key of a lock")?,
            };
            words.finish()?;
            Ok(match clients.lock.unlock(request).await {
                Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
                Err(status) => show_error(&status),
            })
        }
        other => Err(format!("lock {other} is no command").into()),
    }
}

/// A key that ends with a lease the server chose is shown without it.
fn shown_key(key: &[u8], has_lease: bool) -> String {
    let name = key.rsplitn(2, |byte| *byte == b'/').nth(1);
    match name {
        Some(name) if !has_lease => format!("{}/<lease>", show(name)),
        _ => show(key),
    }
}

/// `election campaign name value [lease=7]`, `election proclaim key value rev=2 [lease=7]`, `election resign key rev=2`,
/// `election leader name`, and `election observe name count=1`. A key written `-` means that there is no leader key.
pub async fn election_command(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    match words.next("what to do with an election")?.as_str() {
        "campaign" => campaign(clients, words).await,
        "proclaim" => {
            let leader = leader_key(&mut words)?;
            let value = words.bytes("a value")?;
            words.finish()?;
            let request = ProclaimRequest { leader, value };
            Ok(match clients.election.proclaim(request).await {
                Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
                Err(status) => show_error(&status),
            })
        }
        "resign" => {
            let leader = leader_key(&mut words)?;
            words.finish()?;
            Ok(match clients.election.resign(ResignRequest { leader }).await {
                Ok(response) => vec![show_header(response.get_ref().header.as_ref())],
                Err(status) => show_error(&status),
            })
        }
        "leader" => {
            let name = words.bytes("the name of an election")?;
            words.finish()?;
            Ok(match clients.election.leader(LeaderRequest { name }).await {
                Ok(response) => {
                    let response = response.into_inner();
                    let mut lines = vec![show_header(response.header.as_ref())];
                    lines.extend(response.kv.iter().map(show_pair));
                    lines
                }
                Err(status) => show_error(&status),
            })
        }
        "observe" => observe(clients, words).await,
        other => Err(format!("election {other} is no command").into()),
    }
}

async fn campaign(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let request = CampaignRequest {
        name: words.bytes("the name of an election")?,
        value: words.bytes("a value")?,
        lease: words.number("lease")?,
    };
    words.finish()?;
    let has_lease = request.lease != 0;
    Ok(match clients.election.campaign(request).await {
        Ok(response) => {
            let response = response.into_inner();
            let leader = response.leader.ok_or("a campaign was won without a leader")?;
            let lease = if has_lease {
                leader.lease.to_string()
            } else {
                "<lease>".to_owned()
            };
            vec![
                show_header(response.header.as_ref()),
                format!(
                    "leader {} of {}, rev {}, lease {lease}",
                    shown_key(&leader.key, has_lease),
                    show(&leader.name),
                    leader.rev
                ),
            ]
        }
        Err(status) => show_error(&status),
    })
}

fn leader_key(words: &mut Words) -> Result<Option<LeaderKey>> {
    let key = words.next("the key of a leader")?;
    let leader = LeaderKey {
        name: "e".into(),
        rev: words.number("rev")?,
        lease: words.number("lease")?,
        key: if key == "-" { "".into() } else { bytes(&key)? },
    };
    Ok((key != "-").then_some(leader))
}

/// The first answers of an observation.
async fn observe(clients: &mut Clients, mut words: Words) -> Result<Vec<String>> {
    let name = words.bytes("the name of an election")?;
    let count = words.number("count")?;
    words.finish()?;
    let mut lines = Vec::new();
    let observing = async {
        let mut leaders = clients
            .election
            .observe(LeaderRequest { name })
            .await?
            .into_inner();
        for _ in 0..count {
            let observed = leaders.message().await?.ok_or("the observation has ended")?;
            lines.push(show_header(observed.header.as_ref()));
            lines.extend(observed.kv.iter().map(show_pair));
        }
        Ok::<_, crate::support::Error>(())
    };
    timeout(MAXIMUM_WAIT, observing).await??;
    Ok(lines)
}
