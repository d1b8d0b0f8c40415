//! `etcdserverpb.Maintenance`. Translation only.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::caller::open;
use super::error::status;
use super::translate;
use crate::base::{MemberId, Revision};
use crate::proto::etcdserverpb as wire;
use crate::proto::etcdserverpb::maintenance_server::Maintenance as Service;
use crate::service::ServiceError;
use crate::service::maintenance::{
    AlarmAction, DowngradeAction, ETCD_MINOR_VERSION, ETCD_VERSION, Maintenance, MemberStatus,
};
use crate::state::command::Alarm;

/// The front door of maintenance.
pub(super) struct MaintenanceDoor(pub(super) Maintenance);

fn alarm_type(alarm: Alarm) -> wire::AlarmType {
    match alarm {
        Alarm::NoSpace => wire::AlarmType::Nospace,
        Alarm::Corrupt => wire::AlarmType::Corrupt,
    }
}

fn alarm_member((member, alarm): (MemberId, Alarm)) -> wire::AlarmMember {
    wire::AlarmMember {
        member_id: member.0,
        alarm: alarm_type(alarm).into(),
    }
}

/// What is wrong with the member, in etcd's words.
fn errors(status: &MemberStatus) -> Vec<String> {
    let leaderless = status
        .leader
        .is_none()
        .then(|| ServiceError::NoLeader.to_string());
    let alarms = status
        .alarms
        .iter()
        .map(|(member, alarm)| format!("memberID:{} alarm:{} ", member.0, alarm.name()));
    leaderless.into_iter().chain(alarms).collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl Service for MaintenanceDoor {
    type SnapshotStream = BoxStream<'static, Result<wire::SnapshotResponse, Status>>;

    async fn alarm(
        &self,
        request: Request<wire::AlarmRequest>,
    ) -> Result<Response<wire::AlarmResponse>, Status> {
        use wire::alarm_request::AlarmAction as Action;
        let (caller, request) = open(request);
        let unknown = |field, number| status(&ServiceError::UnknownChoice { field, number });
        let action = match Action::try_from(request.action) {
            Ok(Action::Get) => AlarmAction::List,
            Ok(Action::Activate) => AlarmAction::Activate,
            Ok(Action::Deactivate) => AlarmAction::Deactivate,
            Err(_) => return Err(unknown("action", request.action)),
        };
        let alarm = match wire::AlarmType::try_from(request.alarm) {
            Ok(wire::AlarmType::None) => None,
            Ok(wire::AlarmType::Nospace) => Some(Alarm::NoSpace),
            Ok(wire::AlarmType::Corrupt) => Some(Alarm::Corrupt),
            Err(_) => return Err(unknown("alarm", request.alarm)),
        };
        let answered = self
            .0
            .by(caller)
            .alarm(action, MemberId(request.member_id), alarm)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::AlarmResponse {
            header: Some(translate::header(&answered.header)),
            alarms: answered.answer.into_iter().map(alarm_member).collect(),
        }))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        let (caller, _) = open(request);
        let answered = self.0.by(caller).status().await.map_err(|error| status(&error))?;
        let member = answered.answer;
        Ok(Response::new(wire::StatusResponse {
            header: Some(translate::header(&answered.header)),
            version: ETCD_VERSION.into(),
            db_size: signed(member.database_bytes),
            leader: member.leader.unwrap_or_default().0,
            raft_index: member.committed_index,
            raft_term: member.term,
            raft_applied_index: member.applied_index,
            errors: errors(&member),
            db_size_in_use: signed(member.database_bytes_in_use),
            is_learner: member.is_learner,
            storage_version: ETCD_MINOR_VERSION.into(),
            db_size_quota: member.quota_bytes.map_or(0, signed),
            downgrade_info: Some(wire::DowngradeInfo::default()),
        }))
    }

    /// Answers when the space is given back.
    async fn defragment(
        &self,
        request: Request<wire::DefragmentRequest>,
    ) -> Result<Response<wire::DefragmentResponse>, Status> {
        let (caller, _) = open(request);
        let done = self.0.by(caller).defragment().await;
        done.map_err(|error| status(&error))?;
        Ok(Response::new(wire::DefragmentResponse { header: None }))
    }

    async fn hash(
        &self,
        request: Request<wire::HashRequest>,
    ) -> Result<Response<wire::HashResponse>, Status> {
        let (caller, _) = open(request);
        let answered = self.0.by(caller).hash().await.map_err(|error| status(&error))?;
        Ok(Response::new(wire::HashResponse {
            header: Some(translate::header(&answered.header)),
            hash: answered.answer.hash,
        }))
    }

    async fn hash_kv(
        &self,
        request: Request<wire::HashKvRequest>,
    ) -> Result<Response<wire::HashKvResponse>, Status> {
        let (caller, request) = open(request);
        let answered = self
            .0
            .by(caller)
            .hash_key_values(Revision(request.revision))
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::HashKvResponse {
            header: Some(translate::header(&answered.header)),
            hash: answered.answer.hash,
            compact_revision: answered.answer.compacted.0,
            hash_revision: answered.answer.revision.0,
        }))
    }

    async fn snapshot(
        &self,
        request: Request<wire::SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        let (caller, _) = open(request);
        let pieces = self.0.by(caller).snapshot().await;
        let pieces = pieces.map_err(|error| status(&error))?;
        let answers = ReceiverStream::new(pieces).map(|piece| match piece {
            Ok(piece) => Ok(wire::SnapshotResponse {
                header: None,
                remaining_bytes: piece.remaining_bytes,
                blob: piece.bytes,
                version: ETCD_MINOR_VERSION.into(),
            }),
            Err(error) => Err(status(&error)),
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn move_leader(
        &self,
        request: Request<wire::MoveLeaderRequest>,
    ) -> Result<Response<wire::MoveLeaderResponse>, Status> {
        let (caller, request) = open(request);
        let target = MemberId(request.target_id);
        self.0
            .by(caller)
            .move_leader(target)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(wire::MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        request: Request<wire::DowngradeRequest>,
    ) -> Result<Response<wire::DowngradeResponse>, Status> {
        use wire::downgrade_request::DowngradeAction as Action;
        let (caller, request) = open(request);
        let action = match Action::try_from(request.action) {
            Ok(Action::Validate) => DowngradeAction::Validate,
            Ok(Action::Enable) => DowngradeAction::Enable,
            Ok(Action::Cancel) => DowngradeAction::Cancel,
            Err(_) => return Err(status(&ServiceError::UnknownMethod)),
        };
        let answered = self.0.by(caller).downgrade(action, &request.version).await;
        let (header, version) = answered.map_err(|error| status(&error))?;
        Ok(Response::new(wire::DowngradeResponse {
            header: Some(translate::header(&header)),
            version: version.into(),
        }))
    }
}
