//! The bodies of calls: messages behind their lengths, as gRPC sends them, on one side, JSON on the other.

use std::collections::VecDeque;

use axum::body::Body;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::stream::{Stream, unfold};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tonic::{Code, Status};

use super::json::{Objects, Translator, last_line};
use crate::transport::grpc::{InsideBody, ResponseBody};

/// Bytes before every message: a flag and the length.
const PREFIX_BYTES: usize = 5;

/// A message as it stands in the body of a call.
pub(super) fn framed(message: Vec<u8>) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len().saturating_add(PREFIX_BYTES));
    frame.put_u8(0);
    // A message above 4 GiB is refused by what it says of itself.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// A body of JSON objects as the body of a call. It is read as fast as the call takes it.
pub(super) fn requests(body: Body, translator: Translator, maximum_bytes: usize) -> InsideBody {
    struct Reading {
        body: Body,
        objects: Objects,
        complete: VecDeque<Vec<u8>>,
        /// What is wrong behind the complete objects.
        broken: Option<Status>,
        translator: Translator,
        is_over: bool,
    }
    impl Reading {
        async fn next(&mut self) -> Result<Option<Bytes>, Status> {
            loop {
                if let Some(object) = self.complete.pop_front() {
                    return Ok(Some(framed(self.translator.to_message(&object)?)));
                }
                if let Some(status) = self.broken.take() {
                    return Err(status);
                }
                match self.body.frame().await {
                    Some(Ok(frame)) => {
                        if let Some(bytes) = frame.data_ref() {
                            self.broken = self.objects.pass(bytes, &mut self.complete).err();
                        }
                    }
                    Some(Err(error)) => return Err(Status::cancelled(error.to_string())),
                    None => return self.objects.end().map(|()| None),
                }
            }
        }
    }
    let reading = Reading {
        body,
        objects: Objects::new(maximum_bytes),
        complete: VecDeque::new(),
        broken: None,
        translator,
        is_over: false,
    };
    InsideBody::new(StreamBody::new(unfold(reading, |mut reading| async move {
        if reading.is_over {
            return None;
        }
        let next = reading.next().await.transpose()?;
        reading.is_over = next.is_err();
        Some((next.map(Frame::data), reading))
    })))
}

/// The messages of an answer.
pub(super) struct Answers {
    body: ResponseBody,
    buffer: BytesMut,
}

impl Answers {
    /// The answer to a call.
    ///
    /// # Errors
    /// It is an error and nothing else.
    pub fn new(response: http::Response<ResponseBody>) -> Result<Self, Status> {
        succeeded(Status::from_header_map(response.headers()))?;
        Ok(Self {
            body: response.into_body(),
            buffer: BytesMut::new(),
        })
    }

    /// The next message; none at the end.
    ///
    /// # Errors
    /// The call ended with this error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take() {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame?;
            if let Some(trailers) = frame.trailers_ref() {
                succeeded(Status::from_header_map(trailers))?;
            } else if let Some(data) = frame.data_ref() {
                self.buffer.put_slice(data);
            }
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let (_, length) = self.buffer.first_chunk::<PREFIX_BYTES>()?.split_first()?;
        let length: [u8; 4] = length.try_into().ok()?;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        if self.buffer.len().saturating_sub(PREFIX_BYTES) < length {
            return None;
        }
        self.buffer.advance(PREFIX_BYTES);
        Some(self.buffer.split_to(length).freeze())
    }
}

fn succeeded(status: Option<Status>) -> Result<(), Status> {
    match status {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(()),
    }
}

/// What is left of the answers.
enum Rest {
    /// A message that was read already, and all that follow.
    Read(Bytes, Answers),
    /// All that follow.
    Following(Answers),
}

/// The answers as lines, the last one the error if there is one.
pub(super) fn lines(
    first: Option<Bytes>,
    answers: Answers,
    translator: Translator,
) -> impl Stream<Item = Result<Vec<u8>, std::convert::Infallible>> + Send {
    let rest = first.map(|first| Rest::Read(first, answers));
    unfold((rest, translator), |(rest, translator)| async move {
        let (message, answers) = match rest? {
            Rest::Read(first, answers) => (Ok(Some(first)), answers),
            Rest::Following(mut answers) => (answers.next().await, answers),
        };
        let line = match message {
            Ok(Some(message)) => translator.to_json(&message),
            Ok(None) => return None,
            Err(status) => Err(status),
        };
        Some(match line {
            Ok(text) => {
                let line = [b"{\"result\":", &text[..], b"}\n"].concat();
                (Ok(line), (Some(Rest::Following(answers)), translator))
            }
            Err(status) => (Ok(last_line(&status)), (None, translator)),
        })
    })
}
