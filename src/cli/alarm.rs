//! `stead alarm`: which alarms are active, and clearing them.

use std::io::{self, Write};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Client, ClientError};
use super::exit::CliError;
use super::output::{Format, write_json};
use crate::base::MemberId;
use crate::proto::etcdserverpb::alarm_request::AlarmAction;
use crate::proto::etcdserverpb::{AlarmMember, AlarmRequest};

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
        let shown = match self.command {
            AlarmCommand::List => active,
            AlarmCommand::Disarm => {
                let mut cleared = Vec::new();
                for alarm in active {
                    let request = AlarmRequest {
                        action: AlarmAction::Deactivate.into(),
                        member_id: alarm.member_id,
                        alarm: alarm.alarm,
                    };
                    let answer = client
                        .write(|node| async move { node.maintenance().alarm(request).await })
                        .await?;
                    cleared.extend(answer.alarms);
                }
                cleared
            }
        };
        let mut out = io::stdout().lock();
        match format {
            Format::Json => {
                let alarms: Vec<Value> = shown
                    .iter()
                    .map(|alarm| {
                        json!({
                            "member": MemberId(alarm.member_id).to_string(),
                            "alarm": alarm.alarm().as_str_name(),
                        })
                    })
                    .collect();
                write_json(out, &json!({ "alarms": alarms }))
            }
            Format::Human => {
                for alarm in &shown {
                    writeln!(
                        out,
                        "memberID:{} alarm:{}",
                        alarm.member_id,
                        alarm.alarm().as_str_name()
                    )?;
                }
                Ok(())
            }
        }
    }
}

/// The active alarms of all members.
///
/// # Errors
/// The call failed.
pub(super) async fn active(client: &Client) -> Result<Vec<AlarmMember>, ClientError> {
    let request = AlarmRequest {
        action: AlarmAction::Get.into(),
        ..AlarmRequest::default()
    };
    let answer = client
        .read(|node| async move { node.maintenance().alarm(request).await })
        .await?;
    Ok(answer.alarms)
}
