//! What answers about members look like in etcdctl's formats. They alone have ids in hexadecimal in JSON, if asked for.

use prost::Message as _;

use super::etcdctl::{Fields, Object, Shown, Table, message_json, write_list, write_text};
use crate::base::MemberId;
use crate::proto::etcdserverpb::{
    Member, MemberAddResponse, MemberListResponse, MemberPromoteResponse, MemberRemoveResponse,
    MemberUpdateResponse, ResponseHeader,
};

/// An answer to a change of the members, which etcdctl shows neither in fields nor in a table.
macro_rules! shown_change {
    ($message:ident, $changed:expr) => {
        impl Shown for $message {
            fn json(&self, hex: bool) -> Option<String> {
                if !hex {
                    return message_json(concat!("etcdserverpb.", stringify!($message)), self);
                }
                let changed: fn(&Self) -> Option<&Member> = $changed;
                Some(hexadecimal_json(
                    self.header.as_ref(),
                    changed(self),
                    &self.members,
                ))
            }

            fn protobuf(&self) -> Option<Vec<u8>> {
                Some(self.encode_to_vec())
            }
        }
    };
}

shown_change!(MemberAddResponse, |answer| answer.member.as_ref());
shown_change!(MemberRemoveResponse, |_| None);
shown_change!(MemberUpdateResponse, |_| None);
shown_change!(MemberPromoteResponse, |_| None);

impl Shown for MemberListResponse {
    fn json(&self, hex: bool) -> Option<String> {
        if !hex {
            return message_json("etcdserverpb.MemberListResponse", self);
        }
        Some(hexadecimal_json(self.header.as_ref(), None, &self.members))
    }

    fn fields(&self, fields: &mut Fields) -> Option<()> {
        fields.header(self.header.as_ref());
        for member in &self.members {
            fields.id("ID", member.id);
            fields.quoted("Name", member.name.as_bytes());
            for url in &member.peer_ur_ls {
                fields.quoted("PeerURL", url.as_bytes());
            }
            for url in &member.client_ur_ls {
                fields.quoted("ClientURL", url.as_bytes());
            }
            fields.plain("IsLearner", member.is_learner);
            fields.gap();
        }
        Some(())
    }

    fn table(&self) -> Option<Table> {
        Some(Table {
            titles: &["ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"],
            rows: self
                .members
                .iter()
                .map(|member| member_columns(member).into())
                .collect(),
        })
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        Some(self.encode_to_vec())
    }
}

/// The JSON of an answer with ids in hexadecimal; `changed`: the member that it is about, if it names one.
fn hexadecimal_json(header: Option<&ResponseHeader>, changed: Option<&Member>, members: &[Member]) -> String {
    let mut text = String::new();
    let mut object = Object::new(&mut text);
    object.with("header", |text| Object::new(text).header(header, true).end());
    if let Some(changed) = changed {
        object.with("member", |text| write_member(text, changed));
    }
    object.with("members", |text| write_list(text, members, write_member));
    object.end();
    text
}

/// A member with its id in hexadecimal, which the protocol's JSON has as a number.
fn write_member(text: &mut String, member: &Member) {
    let mut object = Object::new(text);
    object.text("ID", &format!("{:x}", member.id));
    if !member.name.is_empty() {
        object.text("name", &member.name);
    }
    for (name, urls) in [
        ("peerURLs", &member.peer_ur_ls),
        ("clientURLs", &member.client_ur_ls),
    ] {
        if !urls.is_empty() {
            object.with(name, |text| {
                write_list(text, urls, |text, url| write_text(text, url));
            });
        }
    }
    if member.is_learner {
        object.plain("isLearner", true);
    }
    object.end();
}

/// What is shown of a member.
pub(in crate::cli) fn member_columns(member: &Member) -> [String; 6] {
    let status = if is_started(member) {
        "started"
    } else {
        "unstarted"
    };
    [
        MemberId(member.id).to_string(),
        status.to_owned(),
        member.name.clone(),
        member.peer_ur_ls.join(","),
        member.client_ur_ls.join(","),
        member.is_learner.to_string(),
    ]
}

/// Whether a member ever ran: it says its name then.
pub(in crate::cli) fn is_started(member: &Member) -> bool {
    !member.name.is_empty()
}
