//! What each answer of a server looks like in etcdctl's formats.
//!
//! The JSON of a message and its bytes follow from the protocol. Here is the rest: the lines of `fields`, and the answers
//! for which etcdctl's client has types of its own, with other names than the protocol's and the header's fields beside
//! theirs.

use prost::Message as _;

use super::etcdctl::{Fields, Object, Shown, message_json, quoted, write_bytes, write_list};
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::{
    AlarmResponse, AuthRoleAddResponse, AuthRoleDeleteResponse, AuthRoleGetResponse,
    AuthRoleGrantPermissionResponse, AuthRoleListResponse, AuthRoleRevokePermissionResponse,
    AuthStatusResponse, AuthUserAddResponse, AuthUserChangePasswordResponse, AuthUserDeleteResponse,
    AuthUserGetResponse, AuthUserGrantRoleResponse, AuthUserListResponse, AuthUserRevokeRoleResponse,
    CompactionResponse, DeleteRangeResponse, DowngradeResponse, LeaseGrantResponse, LeaseKeepAliveResponse,
    LeaseLeasesResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse, MoveLeaderResponse, PutResponse,
    RangeResponse, ResponseHeader, TxnResponse, WatchResponse,
};
use crate::proto::mvccpb::event::EventType;

/// A message whose JSON and bytes are those of the protocol.
macro_rules! shown {
    ($message:ident, |$answer:ident, $fields:ident| $lines:expr) => {
        impl Shown for $message {
            fn json(&self, _hex: bool) -> Option<String> {
                message_json(concat!("etcdserverpb.", stringify!($message)), self)
            }

            fn fields(&self, $fields: &mut Fields) -> Option<()> {
                let $answer = self;
                $fields.header($answer.header.as_ref());
                $lines
            }

            fn protobuf(&self) -> Option<Vec<u8>> {
                Some(self.encode_to_vec())
            }
        }
    };
}

shown!(RangeResponse, |answer, fields| {
    for pair in &answer.kvs {
        fields.pair("", pair);
    }
    fields.plain("More", answer.more);
    fields.plain("Count", answer.count);
    Some(())
});
shown!(PutResponse, |answer, fields| {
    if let Some(previous) = &answer.prev_kv {
        fields.pair("Prev", previous);
    }
    Some(())
});
shown!(DeleteRangeResponse, |answer, fields| {
    fields.plain("Deleted", answer.deleted);
    for previous in &answer.prev_kvs {
        fields.pair("Prev", previous);
    }
    Some(())
});
shown!(TxnResponse, |answer, fields| {
    fields.plain("Succeeded", answer.succeeded);
    for response in &answer.responses {
        match response.response.as_ref() {
            Some(Response::ResponseRange(answer)) => answer.fields(fields)?,
            Some(Response::ResponsePut(answer)) => answer.fields(fields)?,
            Some(Response::ResponseDeleteRange(answer)) => answer.fields(fields)?,
            Some(Response::ResponseTxn(answer)) => answer.fields(fields)?,
            None => {}
        }
    }
    Some(())
});
shown!(CompactionResponse, |answer, fields| Some(()));
shown!(LeaseRevokeResponse, |answer, fields| Some(()));
shown!(AlarmResponse, |answer, fields| {
    for alarm in &answer.alarms {
        fields.id("MemberID", alarm.member_id);
        fields.plain("AlarmType", alarm.alarm().as_str_name());
        fields.gap();
    }
    Some(())
});

/// Answers whose fields are the header's alone.
macro_rules! shown_as_header {
    ($($message:ident),* $(,)?) => { $(shown!($message, |answer, fields| Some(()));)* };
}

/// Answers that etcdctl does not show in fields.
macro_rules! shown_without_fields {
    ($($message:ident),* $(,)?) => { $(shown!($message, |answer, fields| None);)* };
}

shown_as_header!(
    AuthUserAddResponse,
    AuthUserDeleteResponse,
    AuthUserChangePasswordResponse,
    AuthUserGrantRoleResponse,
    AuthUserRevokeRoleResponse,
    AuthRoleAddResponse,
    AuthRoleDeleteResponse,
    AuthRoleGrantPermissionResponse,
    AuthRoleRevokePermissionResponse,
);
shown_without_fields!(
    AuthStatusResponse,
    AuthUserGetResponse,
    AuthUserListResponse,
    DowngradeResponse,
    MoveLeaderResponse,
);
shown!(AuthRoleGetResponse, |answer, fields| {
    for permission in &answer.perm {
        // etcdctl has a second space here.
        fields.plain(
            "PermType",
            format_args!(" {}", permission.perm_type().as_str_name()),
        );
        fields.quoted("Key", &permission.key);
        fields.quoted("RangeEnd", &permission.range_end);
    }
    Some(())
});
shown!(AuthRoleListResponse, |answer, fields| {
    let roles: Vec<String> = answer.roles.iter().map(|role| quoted(role.as_bytes())).collect();
    fields.list("Roles", &roles);
    Some(())
});

/// An answer about leases: its own fields beside those of the header. As bytes etcdctl has the header alone.
macro_rules! shown_with_header {
    ($message:ident, $json:expr, $lines:expr) => {
        impl Shown for $message {
            fn json(&self, _hex: bool) -> Option<String> {
                let mut text = String::new();
                let mut object = Object::new(&mut text);
                object.header(self.header.as_ref(), false);
                let json: fn(&Self, &mut Object<'_>) = $json;
                json(self, &mut object);
                object.end();
                Some(text)
            }

            fn fields(&self, fields: &mut Fields) -> Option<()> {
                fields.header(self.header.as_ref());
                let lines: fn(&Self, &mut Fields) = $lines;
                lines(self, fields);
                Some(())
            }

            fn protobuf(&self) -> Option<Vec<u8>> {
                Some(header_bytes(self.header.as_ref()))
            }
        }
    };
}

fn header_bytes(header: Option<&ResponseHeader>) -> Vec<u8> {
    header.map(ResponseHeader::encode_to_vec).unwrap_or_default()
}

shown_with_header!(
    LeaseGrantResponse,
    |answer, object| {
        object.plain("ID", answer.id).plain("TTL", answer.ttl);
        object.text("Error", &answer.error);
    },
    |answer, fields| {
        fields.lease("ID", answer.id);
        fields.plain("TTL", answer.ttl);
    }
);
shown_with_header!(
    LeaseKeepAliveResponse,
    |answer, object| {
        object.plain("ID", answer.id).plain("TTL", answer.ttl);
    },
    |answer, fields| {
        fields.lease("ID", answer.id);
        fields.plain("TTL", answer.ttl);
    }
);
shown_with_header!(
    LeaseTimeToLiveResponse,
    |answer, object| {
        object.plain("id", answer.id).plain("ttl", answer.ttl);
        object.plain("granted-ttl", answer.granted_ttl);
        object.with("keys", |text| {
            if answer.keys.is_empty() {
                text.push_str("null");
            } else {
                write_list(text, &answer.keys, |text, key| write_bytes(text, key));
            }
        });
    },
    |answer, fields| {
        fields.lease("ID", answer.id);
        fields.plain("TTL", answer.ttl);
        fields.plain("GrantedTTL", answer.granted_ttl);
        for key in &answer.keys {
            fields.quoted("Key", key);
        }
    }
);
shown_with_header!(
    LeaseLeasesResponse,
    |answer, object| {
        object.with("leases", |text| {
            write_list(text, &answer.leases, |text, lease| {
                Object::new(text).plain("id", lease.id).end();
            });
        });
    },
    |answer, fields| {
        for lease in &answer.leases {
            fields.lease("ID", lease.id);
        }
    }
);

impl Shown for WatchResponse {
    fn json(&self, _hex: bool) -> Option<String> {
        let events = if self.events.is_empty() {
            "null".to_owned()
        } else {
            let mut text = String::new();
            write_list(&mut text, &self.events, |text, event| {
                text.push_str(&message_json("mvccpb.Event", event).unwrap_or_default());
            });
            text
        };
        let mut text = String::new();
        let mut object = Object::new(&mut text);
        object.with("Header", |text| {
            Object::new(text).header(self.header.as_ref(), false).end();
        });
        object
            .plain("Events", events)
            .plain("CompactRevision", self.compact_revision);
        object
            .plain("Canceled", self.canceled)
            .plain("Created", self.created);
        object.text("CancelReason", &self.cancel_reason);
        object.end();
        Some(text)
    }

    fn fields(&self, fields: &mut Fields) -> Option<()> {
        fields.header(self.header.as_ref());
        for event in &self.events {
            let is_put = event.r#type() == EventType::Put;
            fields.plain("Type", if is_put { "PUT" } else { "DELETE" });
            if let Some(previous) = &event.prev_kv {
                fields.pair("Prev", previous);
            }
            if let Some(pair) = &event.kv {
                fields.pair("", pair);
            }
        }
        Some(())
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        Some(self.encode_to_vec())
    }
}
