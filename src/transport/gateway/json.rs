//! Between JSON and messages, by the descriptor of a message.
//!
//! As etcd's: names as in the protocol or in lower camel case on input, as in the protocol on output; 64-bit numbers as
//! text (numbers too on input), bytes as base64, enumerations by name (numbers too on input), what is zero left out, what
//! is unknown ignored.

use std::collections::VecDeque;

use prost::Message;
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::json;
use tonic::Status;

const READING: DeserializeOptions = DeserializeOptions::new().deny_unknown_fields(false);
const WRITING: SerializeOptions = SerializeOptions::new()
    .stringify_64_bit_integers(true)
    .use_proto_field_name(true)
    .use_enum_numbers(false)
    .skip_default_fields(true);

/// Translates the messages of one type.
#[derive(Clone)]
pub(super) struct Translator {
    descriptor: MessageDescriptor,
}

impl Translator {
    pub fn new(descriptor: MessageDescriptor) -> Self {
        Self { descriptor }
    }

    /// The message that the first JSON value of `text` is. No text at all is an empty message, as in etcd.
    ///
    /// # Errors
    /// It is not JSON, or not such a message.
    pub fn to_message(&self, text: &[u8]) -> Result<Vec<u8>, Status> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Vec::new());
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut reader, &READING)
            .map(|message| message.encode_to_vec())
            .map_err(|error| {
                Status::invalid_argument(format!(
                    "the body is no {} in JSON: {error}",
                    self.descriptor.name()
                ))
            })
    }

    /// A message as JSON, on one line.
    ///
    /// # Errors
    /// It is not such a message.
    pub fn to_json(&self, message: &[u8]) -> Result<Vec<u8>, Status> {
        let broken = |error: String| Status::internal(format!("an answer cannot be shown as JSON: {error}"));
        let message = DynamicMessage::decode(self.descriptor.clone(), message)
            .map_err(|error| broken(error.to_string()))?;
        let mut text = Vec::new();
        message
            .serialize_with_options(&mut serde_json::Serializer::new(&mut text), &WRITING)
            .map_err(|error| broken(error.to_string()))?;
        Ok(text)
    }
}

/// An error as the body of an answer. `error` is what clients of etcd up to 3.5 look at.
pub(super) fn refusal(status: &Status) -> Vec<u8> {
    let code = i32::from(status.code());
    json!({"error": status.message(), "code": code, "message": status.message()})
        .to_string()
        .into_bytes()
}

/// An error as the last line of a stream.
pub(super) fn last_line(status: &Status) -> Vec<u8> {
    let code = i32::from(status.code());
    let mut line = json!({"error": {"code": code, "message": status.message()}})
        .to_string()
        .into_bytes();
    line.push(b'\n');
    line
}

/// The error for a body that is too large.
pub(super) fn too_large(maximum_bytes: usize) -> Status {
    Status::resource_exhausted(format!(
        "the body is larger than {maximum_bytes} bytes; send less, or raise --max-request-bytes"
    ))
}

/// Cuts a stream of bytes into JSON objects, looking at each byte once.
pub(super) struct Objects {
    /// The object that has begun.
    begun: Vec<u8>,
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    maximum_bytes: usize,
}

impl Objects {
    /// Objects of at most `maximum_bytes`.
    pub fn new(maximum_bytes: usize) -> Self {
        Self {
            begun: Vec::new(),
            depth: 0,
            in_text: false,
            is_escaped: false,
            maximum_bytes,
        }
    }

    /// Takes bytes; the objects that they complete go to `complete`, in order.
    ///
    /// # Errors
    /// An object is too large, or something that is no object stands between two.
    pub fn pass(&mut self, bytes: &[u8], complete: &mut VecDeque<Vec<u8>>) -> Result<(), Status> {
        for byte in bytes {
            if self.depth == 0 {
                match byte {
                    b'{' => {}
                    byte if byte.is_ascii_whitespace() => continue,
                    _ => {
                        return Err(Status::invalid_argument(
                            "the body is no sequence of JSON objects",
                        ));
                    }
                }
            }
            if self.begun.len() >= self.maximum_bytes {
                return Err(too_large(self.maximum_bytes));
            }
            self.begun.push(*byte);
            if self.in_text {
                match byte {
                    _ if self.is_escaped => self.is_escaped = false,
                    b'\\' => self.is_escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' => self.depth = self.depth.saturating_add(1),
                b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth == 0 {
                complete.push_back(std::mem::take(&mut self.begun));
            }
        }
        Ok(())
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// In the middle of an object.
    pub fn end(&self) -> Result<(), Status> {
        if self.depth == 0 {
            Ok(())
        } else {
            Err(Status::invalid_argument(
                "the body ends in the middle of an object",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::Value;
    use tonic::Code;

    use super::*;
    use crate::proto::DESCRIPTORS;
    use crate::proto::etcdserverpb as wire;
    use crate::proto::mvccpb;

    fn translator(message: &str) -> Translator {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptors are whole");
        Translator::new(pool.get_message_by_name(message).expect("the message exists"))
    }

    fn range(text: &str) -> Result<wire::RangeRequest, Code> {
        let bytes = translator("etcdserverpb.RangeRequest")
            .to_message(text.as_bytes())
            .map_err(|status| status.code())?;
        Ok(wire::RangeRequest::decode(&bytes[..]).expect("it is a range"))
    }

    #[test]
    fn names_numbers_enumerations_and_bytes_may_be_written_in_every_way() {
        let expected = wire::RangeRequest {
            key: "a".into(),
            range_end: vec![0xfb, 0xff].into(),
            limit: 7,
            sort_order: wire::range_request::SortOrder::Descend.into(),
            min_mod_revision: i64::MAX,
            ..Default::default()
        };
        for text in [
            r#"{"key":"YQ==","range_end":"+/8=","limit":7,"sort_order":"DESCEND","min_mod_revision":9223372036854775807}"#,
            r#" {"key":"YQ","rangeEnd":"-_8","limit":"7","sortOrder":2,"minModRevision":"9223372036854775807"} rest"#,
            r#"{"key":"YQ==","range_end":"+/8=","limit":"7","sort_order":2,"min_mod_revision":"9223372036854775807","keys_only":null,"unknown":{"a":[1]}}"#,
        ] {
            assert_eq!(range(text), Ok(expected.clone()), "{text}");
        }
        assert_eq!(range(" \n"), Ok(wire::RangeRequest::default()));
        assert_eq!(range("{}"), Ok(wire::RangeRequest::default()));
    }

    #[test]
    fn what_is_no_message_is_an_invalid_argument() {
        for text in [
            "{",
            "[]",
            "7",
            r#"{"key":"***"}"#,
            r#"{"key":7}"#,
            r#"{"limit":"x"}"#,
            r#"{"limit":1.5}"#,
            r#"{"keys_only":"yes"}"#,
            r#"{"limit":99999999999999999999}"#,
        ] {
            assert_eq!(range(text), Err(Code::InvalidArgument), "{text}");
        }
        // Nested deeper than any reader follows.
        let deep = format!("{}{}", r#"{"unknown":"#.repeat(10_000), "}".repeat(10_000));
        assert_eq!(range(&deep), Err(Code::InvalidArgument));
    }

    #[test]
    fn an_answer_has_the_names_of_the_protocol_and_leaves_zeros_out() {
        let answer = wire::RangeResponse {
            header: Some(wire::ResponseHeader {
                cluster_id: u64::MAX,
                revision: 0,
                ..Default::default()
            }),
            kvs: vec![mvccpb::KeyValue {
                key: vec![0xff, 0].into(),
                create_revision: 2,
                ..Default::default()
            }],
            more: false,
            count: 1,
        };
        let text = translator("etcdserverpb.RangeResponse")
            .to_json(&answer.encode_to_vec())
            .expect("it is an answer");
        let shown: Value = serde_json::from_slice(&text).expect("it is JSON");
        assert_eq!(
            shown,
            json!({
                "header": {"cluster_id": "18446744073709551615"},
                "kvs": [{"key": "/wA=", "create_revision": "2"}],
                "count": "1",
            })
        );
        let member = wire::MemberListResponse {
            header: None,
            members: vec![wire::Member {
                id: 5,
                peer_ur_ls: vec!["http://a:1".into()],
                is_learner: true,
                ..Default::default()
            }],
        };
        let text = translator("etcdserverpb.MemberListResponse")
            .to_json(&member.encode_to_vec())
            .expect("it is an answer");
        let shown: Value = serde_json::from_slice(&text).expect("it is JSON");
        assert_eq!(
            shown,
            json!({"members": [{"ID": "5", "peerURLs": ["http://a:1"], "isLearner": true}]})
        );
        let alarm = wire::AlarmMember {
            member_id: 0,
            alarm: wire::AlarmType::Nospace.into(),
        };
        let text = translator("etcdserverpb.AlarmMember").to_json(&alarm.encode_to_vec());
        assert_eq!(text.expect("it is an answer"), br#"{"alarm":"NOSPACE"}"#);
    }

    #[test]
    fn objects_are_cut_out_however_the_bytes_come() {
        let stream = "{\"a\":\"}\\\"{\"}\n {\"b\":{\"c\":[{}]}}{}";
        for cut in 1..=stream.len() {
            let mut objects = Objects::new(20);
            let mut complete = VecDeque::new();
            for bytes in stream.as_bytes().chunks(cut) {
                objects.pass(bytes, &mut complete).expect("they are objects");
            }
            assert_eq!(
                complete,
                [&b"{\"a\":\"}\\\"{\"}"[..], b"{\"b\":{\"c\":[{}]}}", b"{}"]
            );
            assert!(objects.end().is_ok());
        }
    }

    #[test]
    fn what_is_no_object_or_a_too_large_one_ends_the_stream() {
        let outcome = |text: &str| {
            let mut complete = VecDeque::new();
            let passed = Objects::new(9).pass(text.as_bytes(), &mut complete);
            (passed.err().map(|status| status.code()), complete.len())
        };
        assert_eq!(outcome("{} 7"), (Some(Code::InvalidArgument), 1));
        assert_eq!(outcome("[{}]"), (Some(Code::InvalidArgument), 0));
        assert_eq!(outcome("{\"a\":\"1234\"}"), (Some(Code::ResourceExhausted), 0));
        assert_eq!(outcome("{\"a\":123}"), (None, 1));
        let mut open = Objects::new(9);
        assert!(open.pass(b"{", &mut VecDeque::new()).is_ok());
        assert!(open.end().is_err());
    }
}
