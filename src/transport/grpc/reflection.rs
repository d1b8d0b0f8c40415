//! `grpc.reflection`, in both versions that tools ask for: which services there are, and what their messages look like.
//!
//! Answers from the descriptors in the program. Tells nothing of how members speak among themselves.

use std::future::ready;
use std::sync::Arc;

use futures::FutureExt;
use http::Request;
use tonic::Status;
use tonic_reflection::server::Builder;
use tower::Service;

use super::Answering;
use super::call::RequestBody;
use crate::proto::DESCRIPTORS;

type Answer = Arc<dyn Fn(Request<RequestBody>) -> Answering + Send + Sync>;

/// Reflection of the services for clients.
pub(super) struct Reflection {
    stable: Answer,
    alpha: Answer,
}

/// A service of either version as a function, or one that says why there is none.
macro_rules! answer {
    ($built:expr) => {
        match $built {
            Ok(service) => {
                let answer: Answer = Arc::new(move |request| service.clone().call(request));
                answer
            }
            Err(error) => broken(&error.to_string()),
        }
    };
}

impl Reflection {
    /// Reads the descriptors.
    pub fn new() -> Self {
        let builder = || Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);
        Self {
            stable: answer!(builder().build_v1()),
            alpha: answer!(builder().build_v1alpha()),
        }
    }

    /// Answers a call of version 1.
    pub fn call(&self, request: Request<RequestBody>) -> Answering {
        (self.stable)(request)
    }

    /// Answers a call of version 1alpha.
    pub fn call_alpha(&self, request: Request<RequestBody>) -> Answering {
        (self.alpha)(request)
    }
}

fn broken(reason: &str) -> Answer {
    tracing::error!(
        reason,
        "the descriptors of the interface are broken; there is no reflection"
    );
    let status = Status::internal(format!("the descriptors of the interface are broken: {reason}"));
    Arc::new(move |_| ready(Ok(status.clone().into_http())).boxed())
}
