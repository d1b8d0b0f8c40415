//! A probe of `grpc.health.v1.Health/Check`.

use std::error::Error;
use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::sync::Mutex;
use tonic::transport::Endpoint;

use super::dial::Dialer;
use crate::proto::health::HealthCheckRequest;
use crate::proto::health::health_check_response::ServingStatus;
use crate::proto::health::health_client::HealthClient;
use crate::service::registry::TargetTls;

/// Bytes that an answer may have.
const MAXIMUM_ANSWER_BYTES: usize = 64 * 1024;

/// Asks whether the service serves.
///
/// # Errors
/// It does not, or there is no answer: in a sentence.
pub(super) async fn ask(
    dialer: &Dialer,
    address: &str,
    service: &str,
    tls: Option<&TargetTls>,
) -> Result<(), String> {
    let socket = dialer.connect(address, tls).await?;
    // Connected once: the one address that was looked at.
    let socket = Arc::new(Mutex::new(Some(socket)));
    let connector = tower::service_fn(move |_| {
        let socket = Arc::clone(&socket);
        async move {
            let socket = socket.lock().await.take();
            let socket = socket.ok_or_else(|| io::Error::other("the connection was lost"))?;
            Ok::<_, io::Error>(TokioIo::new(socket))
        }
    });
    let scheme = if tls.is_some() { "https" } else { "http" };
    let unusable = |error: &dyn std::fmt::Display| format!("{address} cannot be asked: {error}");
    let origin = format!("{scheme}://{address}")
        .parse()
        .map_err(|error| unusable(&error))?;
    // The stream is protected below HTTP/2, which therefore believes that it is plain.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| unusable(&error))?;
    let channel = endpoint.origin(origin).connect_with_connector(connector).await;
    let channel = channel.map_err(|error| format!("no HTTP/2: {error}"))?;
    let mut client = HealthClient::new(channel).max_decoding_message_size(MAXIMUM_ANSWER_BYTES);
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    match client.check(request).await {
        Ok(answer) => match answer.into_inner().status() {
            ServingStatus::Serving => Ok(()),
            other => Err(other.as_str_name().to_owned()),
        },
        Err(status) => {
            let cause = status.source().map(|cause| format!(" ({cause})"));
            let cause = cause.unwrap_or_default();
            Err(format!("{:?}: {}{cause}", status.code(), status.message()))
        }
    }
}
