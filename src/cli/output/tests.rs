//! Every text in here was written by etcdctl 3.7.1 for the same answer.

use super::etcdctl::{Fields, Shown, quoted, size};
use super::{EndpointAnswers, Format, Health, OutputForm, PairView, WriteOut, write_json};
use crate::proto::authpb::Permission;
use crate::proto::authpb::permission::Type;
use crate::proto::etcdserverpb::response_op::Response;
use crate::proto::etcdserverpb::{
    AuthRoleGetResponse, AuthRoleListResponse, AuthUserListResponse, DeleteRangeResponse, DowngradeResponse,
    HashKvResponse, LeaseGrantResponse, LeaseLeasesResponse, LeaseTimeToLiveResponse, Member,
    MemberAddResponse, MemberListResponse, MoveLeaderResponse, PutResponse, RangeResponse, ResponseHeader,
    ResponseOp, StatusResponse, TxnResponse, WatchResponse,
};
use crate::proto::mvccpb::event::EventType;
use crate::proto::mvccpb::{Event, KeyValue};

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader {
        cluster_id: 7_222_109_305_586_615_858,
        member_id: 17_767_816_877_210_000_001,
        revision,
        raft_term: 2,
    })
}

fn pair(key: &'static str, value: &'static str, create: i64, modify: i64, version: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: value.into(),
        create_revision: create,
        mod_revision: modify,
        version,
        lease: 0,
    }
}

fn fields(answer: &impl Shown, hex: bool) -> String {
    let mut fields = Fields::new(hex);
    answer.fields(&mut fields).unwrap();
    fields.text
}

const HEADER: &str =
    "{\"cluster_id\":7222109305586615858,\"member_id\":17767816877210000001,\"revision\":14,\"raft_term\":2}";

#[test]
fn json_is_as_go_writes_it() {
    let range = RangeResponse {
        header: header(14),
        kvs: vec![pair("a", "2\nx", 13, 14, 2)],
        more: false,
        count: 1,
    };
    assert_eq!(
        range.json(false).unwrap(),
        format!(
            "{{\"header\":{HEADER},\"kvs\":[{{\"key\":\"YQ==\",\"create_revision\":13,\"mod_revision\":14,\"version\":2,\
             \"value\":\"Mgp4\"}}],\"count\":1}}"
        )
    );
    let txn = TxnResponse {
        header: header(14),
        succeeded: true,
        responses: vec![ResponseOp {
            response: Some(Response::ResponsePut(PutResponse {
                header: None,
                prev_kv: Some(pair("q", "1", 116, 116, 1)),
            })),
        }],
    };
    assert_eq!(
        txn.json(false).unwrap(),
        format!(
            "{{\"header\":{HEADER},\"succeeded\":true,\"responses\":[{{\"Response\":{{\"response_put\":{{\"prev_kv\":\
             {{\"key\":\"cQ==\",\"create_revision\":116,\"mod_revision\":116,\"version\":1,\"value\":\"MQ==\"}}}}}}}}]}}"
        )
    );
}

#[test]
fn answers_about_leases_have_the_header_beside_their_own_fields() {
    let inner = HEADER.trim_end_matches('}');
    let grant = LeaseGrantResponse {
        header: header(14),
        id: 6_521_671_850_168_255_287,
        ttl: 100,
        error: String::new(),
    };
    assert_eq!(
        grant.json(false).unwrap(),
        format!("{inner},\"ID\":6521671850168255287,\"TTL\":100,\"Error\":\"\"}}")
    );
    assert!(fields(&grant, true).ends_with("\"ID\" : 5a81a1fe92f18337\n\"TTL\" : 100\n"));
    let time = LeaseTimeToLiveResponse {
        header: header(14),
        id: 4_660,
        ttl: -1,
        granted_ttl: 0,
        keys: Vec::new(),
    };
    assert_eq!(
        time.json(false).unwrap(),
        format!("{inner},\"id\":4660,\"ttl\":-1,\"granted-ttl\":0,\"keys\":null}}")
    );
    let none = LeaseLeasesResponse {
        header: header(14),
        leases: Vec::new(),
    };
    assert_eq!(none.json(false).unwrap(), format!("{inner},\"leases\":[]}}"));
}

#[test]
fn the_fields_of_keys_have_their_names_and_quotes() {
    let delete = DeleteRangeResponse {
        header: header(26),
        deleted: 1,
        prev_kvs: vec![pair("a", "2\nx", 24, 25, 2)],
    };
    assert_eq!(
        fields(&delete, false),
        "\"ClusterID\" : 7222109305586615858\n\"MemberID\" : 17767816877210000001\n\"Revision\" : 26\n\"RaftTerm\" : 2\n\
         \"Deleted\" : 1\n\"PrevKey\" : \"a\"\n\"PrevCreateRevision\" : 24\n\"PrevModRevision\" : 25\n\"PrevVersion\" : 2\n\
         \"PrevValue\" : \"2\\nx\"\n\"PrevLease\" : 0\n"
    );
    let put = PutResponse {
        header: header(115),
        prev_kv: Some(KeyValue {
            key: b"\x01\xff".as_slice().into(),
            value: b"b\xfe".as_slice().into(),
            ..pair("", "", 115, 115, 1)
        }),
    };
    assert_eq!(
        fields(&put, true),
        "\"ClusterID\" : 643a162628888632\n\"MemberID\" : f693f74fd84ada81\n\"Revision\" : 115\n\"RaftTerm\" : 2\n\
         \"PrevKey\" : \"\\x01\\xff\"\n\"PrevCreateRevision\" : 115\n\"PrevModRevision\" : 115\n\"PrevVersion\" : 1\n\
         \"PrevValue\" : \"b\\xfe\"\n\"PrevLease\" : 0000000000000000\n"
    );
}

#[test]
fn a_watch_shows_what_go_has_in_its_own_type() {
    let response = WatchResponse {
        header: header(14),
        events: vec![Event {
            r#type: EventType::Delete.into(),
            kv: Some(pair("w", "", 0, 19, 0)),
            prev_kv: Some(pair("w", "1", 18, 18, 1)),
        }],
        ..WatchResponse::default()
    };
    assert_eq!(
        response.json(false).unwrap(),
        format!(
            "{{\"Header\":{HEADER},\"Events\":[{{\"type\":1,\"kv\":{{\"key\":\"dw==\",\"mod_revision\":19}},\"prev_kv\":\
             {{\"key\":\"dw==\",\"create_revision\":18,\"mod_revision\":18,\"version\":1,\"value\":\"MQ==\"}}}}],\
             \"CompactRevision\":0,\"Canceled\":false,\"Created\":false,\"CancelReason\":\"\"}}"
        )
    );
    let none = WatchResponse {
        canceled: true,
        compact_revision: 17,
        ..WatchResponse::default()
    };
    assert_eq!(
        none.json(false).unwrap(),
        "{\"Header\":{},\"Events\":null,\"CompactRevision\":17,\"Canceled\":true,\"Created\":false,\"CancelReason\":\"\"}"
    );
}

fn members() -> MemberListResponse {
    MemberListResponse {
        header: header(0),
        members: vec![Member {
            id: 17_767_816_877_210_000_001,
            name: "default".to_owned(),
            peer_ur_ls: vec!["http://127.0.0.1:47380".to_owned()],
            client_ur_ls: vec!["http://127.0.0.1:47379".to_owned()],
            is_learner: false,
        }],
    }
}

#[test]
fn roles_have_lines_of_their_own_and_a_user_has_none() {
    let role = AuthRoleGetResponse {
        header: header(14),
        perm: vec![Permission {
            perm_type: Type::Readwrite.into(),
            key: "foo".into(),
            range_end: b"\0".as_slice().into(),
        }],
    };
    assert!(
        fields(&role, false)
            .ends_with("\"PermType\" :  READWRITE\n\"Key\" : \"foo\"\n\"RangeEnd\" : \"\\x00\"\n")
    );
    assert_eq!(
        role.json(false).unwrap(),
        format!(
            "{{\"header\":{HEADER},\"perm\":[{{\"permType\":2,\"key\":\"Zm9v\",\"range_end\":\"AA==\"}}]}}"
        )
    );
    for (roles, line) in [
        (vec!["r".to_owned()], "\"Roles\" : \"r\"\n"),
        (vec![], "\"Roles\" :\n"),
    ] {
        let answer = AuthRoleListResponse {
            header: header(14),
            roles,
        };
        assert!(fields(&answer, false).ends_with(line));
    }
    assert_eq!(
        AuthUserListResponse::default().fields(&mut Fields::new(false)),
        None
    );
}

#[test]
fn a_table_has_titles_in_the_middle_and_cells_to_the_right() {
    assert_eq!(
        members().table().unwrap().text(),
        "\
┌──────────────────┬─────────┬─────────┬────────────────────────┬────────────────────────┬────────────┐
│        ID        │ STATUS  │  NAME   │       PEER ADDRS       │      CLIENT ADDRS      │ IS LEARNER │
├──────────────────┼─────────┼─────────┼────────────────────────┼────────────────────────┼────────────┤
│ f693f74fd84ada81 │ started │ default │ http://127.0.0.1:47380 │ http://127.0.0.1:47379 │      false │
└──────────────────┴─────────┴─────────┴────────────────────────┴────────────────────────┴────────────┘
"
    );
}

#[test]
fn members_have_hexadecimal_ids_in_json_if_asked_for() {
    assert_eq!(
        members().json(true).unwrap(),
        "{\"header\":{\"cluster_id\":\"643a162628888632\",\"member_id\":\"f693f74fd84ada81\",\"raft_term\":2},\"members\":\
         [{\"ID\":\"f693f74fd84ada81\",\"name\":\"default\",\"peerURLs\":[\"http://127.0.0.1:47380\"],\"clientURLs\":\
         [\"http://127.0.0.1:47379\"]}]}"
    );
}

#[test]
fn changes_of_members_are_shown_in_json_and_bytes_alone() {
    let learner = Member {
        id: 0x1f,
        peer_ur_ls: vec!["http://127.0.0.1:47390".to_owned()],
        is_learner: true,
        ..Member::default()
    };
    let answer = MemberAddResponse {
        header: header(0),
        member: Some(learner.clone()),
        members: vec![learner],
    };
    let [number, text] = ["31", "\"1f\""]
        .map(|id| format!("{{\"ID\":{id},\"peerURLs\":[\"http://127.0.0.1:47390\"],\"isLearner\":true}}"));
    let plain = HEADER.replace("\"revision\":14,", "");
    assert_eq!(
        answer.json(false).unwrap(),
        format!("{{\"header\":{plain},\"member\":{number},\"members\":[{number}]}}")
    );
    assert_eq!(
        answer.json(true).unwrap(),
        format!(
            "{{\"header\":{{\"cluster_id\":\"643a162628888632\",\"member_id\":\"f693f74fd84ada81\",\"raft_term\":2}},\
             \"member\":{text},\"members\":[{text}]}}"
        )
    );
    assert_eq!(answer.fields(&mut Fields::new(false)), None);
    assert!(answer.table().is_none());
    assert!(answer.protobuf().is_some());
    assert_eq!(MoveLeaderResponse::default().json(false).unwrap(), "{}");
    assert_eq!(
        MoveLeaderResponse::default().fields(&mut Fields::new(false)),
        None
    );
    let downgrade = DowngradeResponse {
        header: header(14),
        version: "3.7.0".to_owned(),
    };
    assert_eq!(
        downgrade.json(true).unwrap(),
        format!("{{\"header\":{HEADER},\"version\":\"3.7.0\"}}")
    );
}

#[test]
fn endpoints_are_shown_together() {
    let status = StatusResponse {
        header: header(14),
        version: "3.5.1".to_owned(),
        db_size: 20_480,
        db_size_in_use: 16_384,
        leader: 17_767_816_877_210_000_001,
        raft_index: 14,
        raft_term: 2,
        raft_applied_index: 14,
        ..StatusResponse::default()
    };
    let statuses = EndpointAnswers(vec![("127.0.0.1:47379".to_owned(), status)]);
    assert_eq!(
        statuses.json(false).unwrap(),
        format!(
            "[{{\"Endpoint\":\"127.0.0.1:47379\",\"Status\":{{\"header\":{HEADER},\"version\":\"3.5.1\",\"dbSize\":20480,\
             \"leader\":17767816877210000001,\"raftIndex\":14,\"raftTerm\":2,\"raftAppliedIndex\":14,\"dbSizeInUse\":16384}}}}]"
        )
    );
    let line = super::EndpointAnswer::line(&statuses.0[0].1, "127.0.0.1:47379");
    assert_eq!(
        line,
        "127.0.0.1:47379, f693f74fd84ada81, 3.5.1, , 20 kB, 16 kB, 20%, 0 B, true, false, 2, 14, 14, , , false"
    );
    assert!(statuses.protobuf().is_none());
    let hash = HashKvResponse {
        header: header(14),
        hash: 859_558_958,
        compact_revision: 6,
        hash_revision: 0,
    };
    let hashes = EndpointAnswers(vec![("127.0.0.1:47379".to_owned(), hash)]);
    assert_eq!(
        hashes.json(false).unwrap(),
        format!(
            "[{{\"Endpoint\":\"127.0.0.1:47379\",\"HashKV\":{{\"header\":{HEADER},\"hash\":859558958,\"compact_revision\":6}}}}]"
        )
    );
    let health = Health {
        took: std::time::Duration::from_nanos(2_056_527),
        error: None,
    };
    let health = EndpointAnswers(vec![("127.0.0.1:47379".to_owned(), health)]);
    assert_eq!(
        health.json(false).unwrap(),
        "[{\"endpoint\":\"127.0.0.1:47379\",\"health\":true,\"took\":\"2.056527ms\"}]"
    );
    assert_eq!(
        fields(&health, false),
        "\"Endpoint\" : \"127.0.0.1:47379\"\n\"Health\" : true\n\"Took\" : 2.056527ms\n\"Error\" : \n\n"
    );
}

#[test]
fn sizes_have_two_digits() {
    for (bytes, text) in [
        (0, "0 B"),
        (999, "999 B"),
        (16_384, "16 kB"),
        (20_480, "20 kB"),
        (2_506_752, "2.5 MB"),
        (2_953_216, "3.0 MB"),
        (2_147_483_648, "2.1 GB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

#[test]
fn quotes_are_those_of_go() {
    for (bytes, text) in [
        (&b"\x00a\xff"[..], "\"\\x00a\\xff\""),
        ("é\u{85}\u{2028}\"".as_bytes(), "\"é\\u0085\\u2028\\\"\""),
        (b"\x07\x08\x0b\x0c\x7f", "\"\\a\\b\\v\\f\\x7f\""),
    ] {
        assert_eq!(quoted(bytes), text);
    }
}

#[test]
fn what_etcdctl_has_no_table_for_is_refused_with_its_words() {
    let format = Format::new(OutputForm::Human, Some(WriteOut::Table), false);
    let error = format
        .show(&PutResponse::default(), |_| Ok(()), || ())
        .unwrap_err();
    assert_eq!(error.message, "table not supported as output format");
    assert_eq!(error.exit.code(true), 4);
}

#[test]
fn bytes_that_are_no_text_are_base64() {
    let pair = KeyValue {
        key: "ü".into(),
        value: vec![0xff, 0x00].into(),
        create_revision: 2,
        mod_revision: 3,
        version: 2,
        lease: 0x1f,
    };
    let mut out = Vec::new();
    write_json(&mut out, &PairView(&pair)).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"key\":\"ü\",\"value_base64\":\"/wA=\",\"create_revision\":2,\"mod_revision\":3,\"version\":2,\
         \"lease\":\"000000000000001f\"}\n"
    );
}
