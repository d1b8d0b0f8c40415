//! `stead alarm`: which alarms are active, and clearing them.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::CliError;
use super::output::Format;
use crate::base::MemberId;
use crate::client::{Client, ClientError};
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::{AlarmRequest, AlarmResponse};

/// The arguments of `stead alarm`.
#[derive(Debug, Clone, Args)]
pub(super) struct Alarm {
    #[command(subcommand)]
    command: AlarmCommand,
}

#[derive(Debug, Clone, Subcommand)]
enum AlarmCommand {
    /// Show the active alarms
    #[command(after_help = "Examples:\n  stead alarm list\n  stead alarm list -o json")]
    List,
    /// Clear all alarms and show those that were cleared
    #[command(after_help = "Examples:\n  stead alarm disarm")]
    Disarm,
}

impl Alarm {
    /// Asks and shows the answer.
    ///
    /// # Errors
    /// The call failed.
    pub(super) async fn run(&self, client: &Client, format: Format) -> Result<(), CliError> {
        let active = active(client).await?;
        let answer = match self.command {
            AlarmCommand::List => active,
            AlarmCommand::Disarm => {
                // As etcdctl shows it: without a header.
                let mut cleared = AlarmResponse::default();
                for alarm in active.alarms {
                    let request = AlarmRequest {
                        action: AlarmAction::Deactivate.into(),
                        member_id: alarm.member_id,
                        alarm: alarm.alarm,
                    };
                    let answer = client
                        .write(|node| async move { node.maintenance().alarm(request).await })
                        .await?;
                    cleared.alarms.extend(answer.alarms);
                }
                cleared
            }
        };
        let alarms = &answer.alarms;
        format.show(
            &answer,
            |out| {
                alarms.iter().try_for_each(|alarm| {
                    let (member, name) = (alarm.member_id, alarm.alarm().as_str_name());
                    writeln!(out, "memberID:{member} alarm:{name}")
                })
            },
            || {
                let alarms: Vec<Value> = alarms
                    .iter()
                    .map(|alarm| {
                        json!({
                            "member": MemberId(alarm.member_id).to_string(),
                            "alarm": alarm.alarm().as_str_name(),
                        })
                    })
                    .collect();
                json!({ "alarms": alarms })
            },
        )
    }
}

/// The active alarms of all members.
///
/// # Errors
/// The call failed.
pub(super) async fn active(client: &Client) -> Result<AlarmResponse, ClientError> {
    let request = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    client
        .read(|node| async move { node.maintenance().alarm(request).await })
        .await
}
