//! `stead elect`: takes part in an election, or listens to one.
//!
//! Shows a key and its value, as etcdctl does: its own once it leads, or, listening, that of every leader and every value
//! it proclaims. Never shows one state of a leader twice.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::Args;
use tonic::Status;

use super::exit::{CliError, Exit};
use super::kv::{read_key, write_range};
use super::output::{Format, PairView};
use super::session::Session;
use super::signal::{self, StopSignals};
use crate::base::clock;
use crate::client::{Client, is_lost, text_of};
use crate::proto::etcdserverpb::RangeResponse;
use crate::proto::v3electionpb::{CampaignRequest, LeaderRequest, LeaderResponse};

/// Time to live of a contender's lease, as etcdctl's.
const SESSION_SECONDS: i64 = 60;

/// The arguments of `stead elect`.
#[derive(Debug, Clone, Args)]
pub(super) struct Elect {
    /// The name of the election
    name: OsString,
    /// What to lead with
    #[arg(required_unless_present = "listen", conflicts_with = "listen")]
    proposal: Option<OsString>,
    /// Show who leads, until ctrl-C, and take no part
    #[arg(long, short)]
    listen: bool,
}

impl Elect {
    /// Takes part, or listens.
    ///
    /// # Errors
    /// A call failed, or leadership is lost.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let name = Bytes::from(self.name.clone().into_vec());
        match &self.proposal {
            Some(proposal) => campaign(client, format, name, proposal.clone().into_vec().into()).await,
            None => tokio::select! {
                outcome = listen(client, format, name) => outcome,
                () = signal::stop()? => Ok(()),
            },
        }
    }
}

async fn campaign(client: &Client, format: Format, name: Bytes, value: Bytes) -> Result<(), CliError> {
    let mut signals = StopSignals::listen()?;
    let mut session = Session::open(client, SESSION_SECONDS).await?;
    let request = CampaignRequest {
        name,
        lease: session.lease,
        value,
    };
    let won = tokio::select! {
        won = session.wait_for(|node| {
            let request = request.clone();
            async move { node.election().campaign(request).await }
        }) => won,
        _ = signals.next() => Err(CliError::new(Exit::Interrupted, "interrupted before the election was won")),
    };
    let outcome = match won {
        Ok(won) => {
            let key = won.leader.map(|leader| leader.key).unwrap_or_default();
            lead(client, format, key, &mut session, &mut signals).await
        }
        Err(error) => Err(error),
    };
    let closed = session.close().await;
    outcome?;
    closed
}

/// Shows what leads, and leads until it is told to stop.
async fn lead(
    client: &Client,
    format: Format,
    key: Bytes,
    session: &mut Session<'_>,
    signals: &mut StopSignals,
) -> Result<(), CliError> {
    show(&read_key(client, key).await?, format)?;
    tokio::select! {
        _ = signals.next() => Ok(()),
        error = session.lost() => Err(error),
    }
}

async fn listen(client: &Client, format: Format, name: Bytes) -> Result<(), CliError> {
    let mut shown = None;
    let mut lost_since = None;
    loop {
        let node = client.current();
        let request = LeaderRequest { name: name.clone() };
        let status = match node.election().observe(request).await {
            Ok(answer) => {
                lost_since = None;
                let mut leaders = answer.into_inner();
                loop {
                    match leaders.message().await {
                        Ok(Some(answer)) => show_change(answer, &mut shown, format)?,
                        Ok(None) => break Status::unavailable("the server ended the stream"),
                        Err(status) => break status,
                    }
                }
            }
            Err(status) => status,
        };
        if !is_lost(&status) {
            return Err(CliError::new(Exit::Server, status.message()));
        }
        let is_first_loss = lost_since.is_none();
        let since = *lost_since.get_or_insert_with(clock::now);
        if since.elapsed() >= client.command_timeout() {
            return Err(client.not_connected(&status).into());
        }
        if is_first_loss {
            let (endpoint, reason) = (&node.endpoint, text_of(&status));
            writeln!(io::stderr(), "{endpoint} is lost ({reason}); listening elsewhere")?;
        }
        client.move_on(&node).await;
    }
}

/// Shows a leader, unless it was shown in this state: another endpoint begins with the one that leads.
fn show_change(
    answer: LeaderResponse,
    shown: &mut Option<(Bytes, i64)>,
    format: Format,
) -> Result<(), CliError> {
    let Some(leader) = answer.kv else { return Ok(()) };
    let header = answer.header;
    let state = Some((leader.key.clone(), leader.mod_revision));
    if *shown != state {
        let answer = RangeResponse {
            header,
            kvs: vec![leader],
            ..RangeResponse::default()
        };
        show(&answer, format)?;
        *shown = state;
    }
    Ok(())
}

fn show(answer: &RangeResponse, format: Format) -> Result<(), CliError> {
    format.show(
        answer,
        |out| write_range(out, answer),
        || answer.kvs.first().map(PairView),
    )
}
