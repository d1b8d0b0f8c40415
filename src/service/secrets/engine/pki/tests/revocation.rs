//! What is revoked, and the lists that say so.

use std::time::Duration;

use x509_parser::prelude::{CertificateRevocationList, ParsedExtension};

use super::super::revocation as room;
use super::*;

/// What the list of the default issuer says.
pub(super) fn listed(bench: &mut Bench<Pki>) -> (u64, Vec<String>) {
    listed_at(bench, "crl", "ca")
}

/// The serial numbers on the list of an issuer.
pub(super) fn listed_by(bench: &mut Bench<Pki>, issuer: &str) -> Vec<String> {
    listed_at(
        bench,
        &format!("issuer/{issuer}/crl/der"),
        &format!("issuer/{issuer}/der"),
    )
    .1
}

/// The number of a list and the serial numbers on it, after its signature was verified.
fn listed_at(bench: &mut Bench<Pki>, list: &str, authority: &str) -> (u64, Vec<String>) {
    let bytes = raw(bench, list);
    let (rest, list) = CertificateRevocationList::from_der(&bytes).unwrap();
    assert!(rest.is_empty());
    let root = raw(bench, authority);
    let root = X509Certificate::from_der(&root).unwrap().1;
    list.verify_signature(root.public_key()).unwrap();
    assert_eq!(list.issuer(), root.subject());
    assert_eq!(list.version().unwrap().0, 1);
    let now = i64::try_from(bench.now.as_secs()).unwrap();
    assert!(list.last_update().timestamp() <= now && now < list.next_update().unwrap().timestamp());
    assert!(
        list.extensions()
            .iter()
            .any(|one| matches!(one.parsed_extension(), ParsedExtension::AuthorityKeyIdentifier(_)))
    );
    let number = list.crl_number().unwrap().to_string().parse().unwrap();
    let mut serials: Vec<String> = list
        .iter_revoked_certificates()
        .map(x509_parser::prelude::RevokedCertificate::raw_serial_as_string)
        .collect();
    serials.sort();
    (number, serials)
}

pub(super) fn issue(bench: &mut Bench<Pki>) -> Value {
    write(bench, "issue/web", &json!({"common_name": "a.example.com"}))
}

pub(super) fn ready() -> Bench<Pki> {
    let mut bench = with_root();
    role(&mut bench, json!({}));
    bench
}

#[test]
fn what_is_revoked_is_on_the_list_at_once_and_once() {
    let mut bench = ready();
    let (first, serials) = listed(&mut bench);
    assert!(serials.is_empty());
    assert_eq!(listed(&mut bench).0, first, "reading signs nothing anew");
    let (one, two) = (issue(&mut bench), issue(&mut bench));
    let serial = text(&one["serial_number"]);
    assert_eq!(
        read(&mut bench, &format!("cert/{serial}"))["revocation_time"],
        json!(0)
    );
    let revoked = write(&mut bench, "revoke", &json!({"serial_number": serial}));
    assert_eq!(revoked["revocation_time"], json!(1_700_000_000));
    assert_eq!(
        revoked["revocation_time_rfc3339"],
        json!("2023-11-14T22:13:20.000000000Z")
    );
    assert_eq!(listed(&mut bench), (first + 1, vec![serial.clone()]));
    assert_eq!(
        read(&mut bench, &format!("cert/{serial}"))["revocation_time"],
        json!(1_700_000_000)
    );

    bench.now += Duration::from_secs(60);
    let again = write(
        &mut bench,
        "revoke",
        &json!({"serial_number": serial.to_uppercase().replace(':', "-")}),
    );
    assert_eq!(again, revoked, "it stays revoked since it was");
    assert_eq!(listed(&mut bench), (first + 1, vec![serial.clone()]));

    write(&mut bench, "revoke", &json!({"certificate": two["certificate"]}));
    let mut both = vec![serial, text(&two["serial_number"])];
    both.sort();
    assert_eq!(listed(&mut bench), (first + 2, both.clone()));
    let listed_serials = bench.data(Operation::List, "certs/revoked/", "").unwrap();
    assert_eq!(listed_serials["keys"], json!(both));
}

#[test]
fn what_has_expired_leaves_the_list_and_needs_no_revocation() {
    let mut bench = ready();
    let (one, two) = (issue(&mut bench), issue(&mut bench));
    write(
        &mut bench,
        "revoke",
        &json!({"serial_number": one["serial_number"]}),
    );
    let (number, serials) = listed(&mut bench);
    assert_eq!(serials.len(), 1);
    bench.now += Duration::from_secs(3_601);
    read(&mut bench, "crl/rotate");
    assert_eq!(listed(&mut bench), (number + 1, vec![]));
    let answer = bench
        .ask(
            Operation::Update,
            "revoke",
            &json!({"serial_number": two["serial_number"]}).to_string(),
        )
        .unwrap();
    assert!(answer.data.is_none() && answer.warnings[0].contains("already expired"));
    assert_eq!(listed(&mut bench).1, Vec::<String>::new());
}

#[test]
fn a_list_is_signed_anew_before_it_is_too_old() {
    let mut bench = ready();
    write(&mut bench, "config/crl", &json!({"expiry": "4h"}));
    let (number, _) = listed(&mut bench);
    bench.now += Duration::from_secs(3 * 3_600 - 1);
    assert_eq!(listed(&mut bench).0, number);
    bench.now += Duration::from_secs(1);
    assert_eq!(listed(&mut bench).0, number + 1);
    bench.now += Duration::from_secs(100 * 3_600);
    assert_eq!(listed(&mut bench).0, number + 2);
    assert_eq!(read(&mut bench, "config/crl")["expiry"], json!("4h"));
    for body in [
        json!({"expiry": "0"}),
        json!({"expiry": "soon"}),
        json!({"expiry": -1}),
    ] {
        refused(&mut bench, "config/crl", &body);
    }
}

#[test]
fn lists_that_are_off_are_empty_and_say_all_again_when_they_are_on() {
    let mut bench = ready();
    let one = issue(&mut bench);
    write(
        &mut bench,
        "revoke",
        &json!({"serial_number": one["serial_number"]}),
    );
    write(&mut bench, "config/crl", &json!({"disable": true}));
    assert!(listed(&mut bench).1.is_empty());
    write(&mut bench, "config/crl", &json!({"disable": false}));
    assert_eq!(listed(&mut bench).1, [text(&one["serial_number"])]);
}

#[test]
fn what_is_not_of_this_mount_is_not_revoked() {
    let mut bench = ready();
    let foreign = issue(&mut ready());
    let authority = read(&mut bench, "cert/ca");
    let serial = with_certificate(&authority, |one| one.raw_serial_as_string());
    for (body, reason) in [
        (json!({}), "must be provided"),
        (json!({"serial_number": foreign["serial_number"]}), "not found"),
        (json!({"serial_number": "zz"}), "is no serial number"),
        (json!({"serial_number": "../role/web"}), "is no serial number"),
        (
            json!({"certificate": foreign["certificate"]}),
            "not signed by an issuer of this mount",
        ),
        (json!({"certificate": "x"}), "no data found in PEM block"),
        (json!({"serial_number": serial}), "is that of the issuer"),
        (json!({"serial_number": "01", "certificate": "x"}), "not both"),
    ] {
        let text = refused(&mut bench, "revoke", &body);
        assert!(text.contains(reason), "{body}: {text}");
    }
}

#[test]
fn whoever_shows_the_key_of_a_certificate_may_revoke_it() {
    let mut bench = ready();
    let (one, two) = (issue(&mut bench), issue(&mut bench));
    let wrong = json!({"serial_number": one["serial_number"], "private_key": two["private_key"]});
    assert!(refused(&mut bench, "revoke-with-key", &wrong).contains("is not the key"));
    let none = json!({"serial_number": one["serial_number"]});
    assert!(refused(&mut bench, "revoke-with-key", &none).contains("\"private_key\" is missing"));
    let right = json!({"serial_number": one["serial_number"], "private_key": one["private_key"]});
    write(&mut bench, "revoke-with-key", &right);
    assert_eq!(listed(&mut bench).1, [text(&one["serial_number"])]);
}

#[test]
fn a_lease_that_ends_revokes_its_certificate() {
    let mut bench = with_root();
    role(&mut bench, json!({"generate_lease": true}));
    let answer = bench
        .ask(
            Operation::Update,
            "issue/web",
            r#"{"common_name": "a.example.com"}"#,
        )
        .unwrap();
    let leased = answer.leased.unwrap();
    assert_eq!(
        (leased.ttl, leased.is_renewable),
        (Duration::from_secs(3_600), false)
    );
    let (number, _) = listed(&mut bench);
    for _ in 0..2 {
        release(&mut bench, &leased.details);
        let (after, serials) = listed(&mut bench);
        assert_eq!(
            (after, serials),
            (
                number + 1,
                vec![String::from_utf8(leased.details.clone()).unwrap()]
            )
        );
    }
    let other = bench
        .ask(
            Operation::Update,
            "issue/web",
            r#"{"common_name": "b.example.com"}"#,
        )
        .unwrap();
    bench.now += Duration::from_secs(3_600);
    release(&mut bench, &other.leased.unwrap().details);
    release(&mut bench, b"no serial number");
    release(&mut bench, b"01:02");
    read(&mut bench, "crl/rotate");
    assert!(listed(&mut bench).1.is_empty(), "both have expired");
    role(&mut bench, json!({"generate_lease": true, "no_store": true}));
    let answer = bench
        .ask(
            Operation::Update,
            "issue/web",
            r#"{"common_name": "a.example.com"}"#,
        )
        .unwrap();
    assert!(answer.leased.is_none());
}

fn release(bench: &mut Bench<Pki>, details: &[u8]) {
    use crate::service::secrets::engine::Engine;
    use crate::service::secrets::parameters::Body;
    let body = Body::default();
    let call = crate::service::secrets::engine::Call {
        operation: Operation::Revoke,
        path: "issue/web",
        body: &body,
        mount: &bench.mount,
        caller: None,
        peer: &bench.peer,
        now: bench.now,
        is_privileged: false,
        fetched: &bench.fetched,
    };
    Pki.revoke(&call, details, &mut bench.storage).unwrap();
}

#[test]
fn a_revoked_issuer_signs_no_certificates_any_more_but_its_list() {
    let mut bench = ready();
    let one = issue(&mut bench);
    let data = write(&mut bench, "issuer/default/revoke", &json!({}));
    assert_eq!(data["revoked"], json!(true));
    assert_eq!(read(&mut bench, "issuer/default")["revoked"], json!(true));
    assert!(
        refused(&mut bench, "issue/web", &json!({"common_name": "a.example.com"})).contains("is revoked")
    );
    write(
        &mut bench,
        "revoke",
        &json!({"serial_number": one["serial_number"]}),
    );
    assert_eq!(listed(&mut bench).1, [text(&one["serial_number"])]);
}

#[test]
fn what_is_revoked_is_on_the_lists_of_all_issuers_with_that_name_and_key() {
    let mut bench = ready();
    let revoke = |bench: &mut Bench<Pki>| {
        let leaf = issue(bench);
        let body = json!({"serial_number": leaf["serial_number"]});
        write(bench, "revoke", &body);
        text(&leaf["serial_number"])
    };
    let mut serials = vec![revoke(&mut bench)];
    let renewed = json!({"common_name": "Root", "issuer_name": "renewed", "ttl": "700h"});
    write(&mut bench, "root/generate/existing", &renewed);
    root(&mut bench, json!({"issuer_name": "stranger"}));
    assert_eq!(
        listed_by(&mut bench, "renewed"),
        serials,
        "also what was revoked before"
    );

    serials.push(revoke(&mut bench));
    role(&mut bench, json!({"generate_lease": true}));
    let answer = bench
        .ask(
            Operation::Update,
            "issue/web",
            r#"{"common_name": "a.example.com"}"#,
        )
        .unwrap();
    let details = answer.leased.unwrap().details;
    release(&mut bench, &details);
    serials.push(String::from_utf8(details).unwrap());

    let request = write(
        &mut bench,
        "intermediate/generate/internal",
        &json!({"common_name": "Middle", "key_type": "ec"}),
    );
    let signed = write(
        &mut bench,
        "root/sign-intermediate",
        &json!({"csr": request["csr"], "common_name": "Middle"}),
    );
    let imported = write(
        &mut bench,
        "intermediate/set-signed",
        &json!({"certificate": signed["certificate"]}),
    );
    let path = format!("issuer/{}/revoke", text(&imported["imported_issuers"][0]));
    write(&mut bench, &path, &json!({}));
    let middle = text(&signed["serial_number"]);
    serials.push(middle.clone());

    serials.sort();
    for issuer in ["default", "renewed"] {
        assert_eq!(listed_by(&mut bench, issuer), serials, "{issuer}");
    }
    assert!(listed_by(&mut bench, "stranger").is_empty());
    bench.now += Duration::from_secs(3_601);
    read(&mut bench, "crl/rotate");
    for issuer in ["default", "renewed"] {
        let serials = listed_by(&mut bench, issuer);
        assert_eq!(serials, [middle.as_str()], "{issuer}: the others have expired");
    }
}

#[test]
fn a_list_that_lacks_what_is_revoked_has_it_when_that_is_revoked_again() {
    let mut bench = ready();
    let one = issue(&mut bench);
    let body = json!({"serial_number": one["serial_number"]});
    let revoked = write(&mut bench, "revoke", &body);
    let records = &mut bench.storage.records;
    records.retain(|path, _| !path.starts_with("revocations/"));
    read(&mut bench, "crl/rotate");
    assert!(listed(&mut bench).1.is_empty());
    bench.now += Duration::from_secs(60);
    assert_eq!(write(&mut bench, "revoke", &body), revoked);
    assert_eq!(listed(&mut bench).1, [text(&one["serial_number"])]);
}

#[test]
fn a_sweep_removes_what_has_expired_long_ago() {
    let mut bench = ready();
    let (one, two) = (issue(&mut bench), issue(&mut bench));
    let root_serial = with_certificate(&read(&mut bench, "cert/ca"), |one| one.raw_serial_as_string());
    write(
        &mut bench,
        "revoke",
        &json!({"serial_number": one["serial_number"]}),
    );
    let sweep = json!({"tidy_cert_store": true, "tidy_revoked_certs": true, "safety_buffer": "1h"});
    bench.now += Duration::from_secs(7_200);
    write(&mut bench, "tidy", &sweep);
    for data in [&one, &two] {
        read(&mut bench, &format!("cert/{}", text(&data["serial_number"])));
    }
    bench.now += Duration::from_secs(1);
    write(&mut bench, "tidy", &sweep);
    for data in [&one, &two] {
        let path = format!("cert/{}", text(&data["serial_number"]));
        assert!(matches!(
            bench.ask(Operation::Read, &path, ""),
            Err(Fault::Missing)
        ));
    }
    assert_eq!(
        bench.data(Operation::List, "certs/", "").unwrap()["keys"],
        json!([root_serial])
    );
    assert!(room::find(&mut bench.storage, "01").unwrap().is_none());
}
