//! One request, as handlers see it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Meta};
use super::parameters::{Parameters, ReadOptions};
use crate::base::Revision;
use crate::service::consul::acl::Authorizer;
use crate::service::consul::{Consul, ConsulError};

/// A request.
pub(super) struct Call {
    /// What it is asked of.
    pub consul: Consul,
    /// What of the path follows the route's, decoded.
    pub rest: Bytes,
    /// Its parameters.
    pub parameters: Parameters,
    /// What all reads share.
    pub options: ReadOptions,
    /// The secret of its token, if it has one.
    pub token: Option<String>,
    /// What the token lets through.
    pub authorizer: Arc<Authorizer>,
    /// Its body.
    pub body: Bytes,
    /// The node is stopping: waiting ends.
    pub stopping: CancellationToken,
}

impl Call {
    /// What follows the route's path, as text.
    pub fn rest_text(&self) -> String {
        String::from_utf8_lossy(&self.rest).into_owned()
    }

    /// As [`Call::rest_text`], refused if it is empty.
    ///
    /// # Errors
    /// It is empty: nothing is named.
    pub fn named(&self, what: &str) -> Result<String, ConsulError> {
        match self.rest.is_empty() {
            true => Err(ConsulError::Invalid(format!("Missing {what}"))),
            false => Ok(self.rest_text()),
        }
    }

    /// An answer in JSON, indented if the request asks for it.
    ///
    /// # Errors
    /// It cannot be written in JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<Answer, ConsulError> {
        let written = if self.parameters.has("pretty") {
            let mut body = Vec::new();
            let indented = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            value
                .serialize(&mut serde_json::Serializer::with_formatter(&mut body, indented))
                .map(|()| {
                    body.push(b'\n');
                    body
                })
        } else {
            serde_json::to_vec(value)
        };
        written
            .map(Answer::json)
            .map_err(|error| ConsulError::Failed(format!("cannot write the answer: {error}")))
    }

    /// How current an answer with this index is, for its headers.
    pub fn meta(&self, index: Revision) -> Meta {
        let mut contact = self.consul.contact();
        if !self.options.is_stale() {
            contact.silence = std::time::Duration::ZERO;
        }
        Meta {
            index,
            contact,
            consistency: self.options.consistency,
        }
    }
}
