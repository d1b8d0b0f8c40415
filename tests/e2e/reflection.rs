//! What a tool finds out about a node that it knows nothing of: which services there are, what their messages are, and
//! whether it is well.

use std::time::Duration;

use stead::proto::health::health_check_response::ServingStatus;
use stead::proto::health::health_client::HealthClient;
use stead::proto::health::{HealthCheckRequest, HealthListRequest};
use tokio::time::timeout;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_reflection::pb::{v1, v1alpha};

use crate::support::{Cluster, Program, Result, TestResult};

const MAXIMUM_WAIT: Duration = Duration::from_secs(30);

/// What clients speak: every etcd client, and those of the registry.
const SERVICES: [&str; 12] = [
    "etcdserverpb.Auth",
    "etcdserverpb.Cluster",
    "etcdserverpb.KV",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Watch",
    "grpc.health.v1.Health",
    "stead.registry.v1.Registry",
    "stead.secrets.v1.Seal",
    "stead.secrets.v1.Secrets",
    "v3electionpb.Election",
    "v3lockpb.Lock",
];

/// Asks one version of reflection: the services, then a symbol that is there, then one that is not.
macro_rules! ask {
    ($version:ident, $channel:expr) => {{
        use $version::server_reflection_request::MessageRequest;
        use $version::server_reflection_response::MessageResponse;
        let questions = [
            MessageRequest::ListServices(String::new()),
            MessageRequest::FileContainingSymbol("etcdserverpb.RangeRequest".into()),
            MessageRequest::FileContainingSymbol("stead.peer.v1.Peer".into()),
        ];
        let requests = questions.map(|question| $version::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(question),
        });
        let mut client = $version::server_reflection_client::ServerReflectionClient::new($channel);
        let mut answers = client
            .server_reflection_info(tokio_stream::iter(requests))
            .await?
            .into_inner();
        let listed = timeout(MAXIMUM_WAIT, answers.message()).await??;
        let Some(MessageResponse::ListServicesResponse(listed)) = listed.and_then(|it| it.message_response)
        else {
            return Err("the services are not listed".into());
        };
        let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
        for service in SERVICES {
            assert!(
                names.iter().any(|name| name == service),
                "{service} is not in {names:?}"
            );
        }
        assert!(
            !names.iter().any(|name| name.starts_with("stead.peer.")),
            "{names:?}"
        );
        let files = timeout(MAXIMUM_WAIT, answers.message()).await??;
        let Some(MessageResponse::FileDescriptorResponse(files)) = files.and_then(|it| it.message_response)
        else {
            return Err("a message is not described".into());
        };
        let described = files.file_descriptor_proto.iter().any(|file| {
            file.windows("max_create_revision".len())
                .any(|part| part == b"max_create_revision")
        });
        assert!(described, "the description has the fields");
        // What is not known ends the stream.
        let refused = timeout(MAXIMUM_WAIT, answers.message()).await?;
        let refused = refused.err().ok_or("how members speak is described")?;
        assert_eq!(refused.code(), Code::NotFound);
    }};
}

async fn channel_to(cluster: &mut Cluster) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(cluster.node(0).endpoint())?;
    Ok(endpoint.connect().await?)
}

#[tokio::test]
async fn reflection_describes_what_clients_speak_and_nothing_else() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let channel = channel_to(&mut cluster).await?;
    ask!(v1, channel.clone());
    ask!(v1alpha, channel);
    Ok(())
}

#[tokio::test]
async fn health_knows_one_service_without_a_name() -> TestResult {
    let mut cluster = Cluster::builder(Program::stead()?).start().await?;
    let mut health = HealthClient::new(channel_to(&mut cluster).await?);
    let whole = HealthCheckRequest {
        service: String::new(),
    };
    let answer = health.check(whole.clone()).await?.into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let other = HealthCheckRequest {
        service: "etcdserverpb.KV".into(),
    };
    let refused = health.check(other).await.err().ok_or("only the whole is known")?;
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::NotFound, "unknown service")
    );
    let listed = health.list(HealthListRequest {}).await?.into_inner().statuses;
    let listed: Vec<_> = listed
        .iter()
        .map(|(name, answer)| (name.as_str(), answer.status()))
        .collect();
    assert_eq!(listed, [("", ServingStatus::Serving)]);
    let mut watched = health.watch(whole).await?.into_inner();
    let first = timeout(MAXIMUM_WAIT, watched.message()).await??;
    assert_eq!(first.map(|answer| answer.status()), Some(ServingStatus::Serving));
    Ok(())
}
