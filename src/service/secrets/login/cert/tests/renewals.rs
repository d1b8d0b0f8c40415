//! Renewals of what certificates gave, which have to be shown again unless the mount does not bind tokens to them.

use std::time::Duration;

use rcgen::{Certificate, IsCa, KeyPair};
use serde_json::json;

use super::{Authority, Certs, WRONG, client_params};
use crate::service::secrets::engine::{Fault, Login};
use crate::service::secrets::login::tests::{renewal, renewals_follow};
use crate::service::secrets::policy::Operation::{Delete, Update};

const MISSING: &str = "client certificate must be supplied";
const OTHER: &str = "client identity during renewal not matching client identity used during login";

impl Certs {
    /// Whether renewals ask for the certificate.
    fn bind(&mut self, binds: bool) {
        self.ask(Update, "config", &json!({"disable_binding": !binds}))
            .unwrap();
    }

    /// Why a token of that login is not renewed for who shows these; empty: it is renewed.
    fn refusal(&mut self, login: &Login, shown: &[&Certificate]) -> String {
        self.show(shown);
        match renewal(&mut self.0, &login.metadata) {
            Ok(_) => String::new(),
            Err(Fault::Invalid(text)) => text,
            Err(other) => panic!("it is refused otherwise: {other:?}"),
        }
    }
}

#[test]
fn a_renewal_follows_the_role() {
    for binds in [true, false] {
        let authority = Authority::new("root");
        let mut bench = Certs::new(&authority.certificate);
        bench.bind(binds);
        let login = bench.login(&[&authority.sign(&client_params())]).unwrap();
        if !binds {
            bench.show(&[]);
        }
        let gone = "role \"web\" does not exist during renewal";
        renewals_follow(&mut bench.0, "certs/web", &login, gone);
    }
}

#[test]
fn a_renewal_needs_the_very_certificate_of_the_login_unless_the_mount_does_not_bind() {
    let (root, second) = (Authority::new("root"), Authority::new("second"));
    let mut bench = Certs::new(&root.certificate);
    let trusted = root.certificate.pem() + &second.certificate.pem();
    bench
        .ask(Update, "certs/web", &json!({"certificate": trusted}))
        .unwrap();
    let mut params = client_params();
    // With an id of its own key.
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let client = params.signed_by(&key, &root.issuer).unwrap();
    let of_second = params.signed_by(&key, &second.issuer).unwrap();
    let with_other_key = root.sign(&params);
    let stranger = Authority::new("root").sign(&params);
    params.serial_number = Some(301_u64.into());
    let with_other_number = params.signed_by(&key, &root.issuer).unwrap();
    let login = bench.login(&[&client]).unwrap();
    let cases: [(&[&Certificate], &str); 6] = [
        (&[], MISSING),
        (&[&client], ""),
        (&[&of_second], OTHER),
        (&[&with_other_key], OTHER),
        (&[&with_other_number], ""),
        (&[&stranger], WRONG),
    ];
    for (number, (shown, refused)) in cases.into_iter().enumerate() {
        bench.bind(true);
        assert_eq!(bench.refusal(&login, shown), refused, "{number}");
        bench.bind(false);
        assert_eq!(bench.refusal(&login, shown), "", "{number}");
    }
}

#[test]
fn a_certificate_that_logs_in_no_more_renews_nothing() {
    let authority = Authority::new("root");
    let client = authority.sign(&client_params());
    let of_another = Authority::new("root").certificate.pem();
    for (path, change) in [
        ("certs/web", json!({"certificate": of_another})),
        ("certs/web", json!({"allowed_common_names": "other"})),
        ("crls/one", json!({"crl": authority.revoking(300)})),
    ] {
        let mut bench = Certs::new(&authority.certificate);
        let login = bench.login(&[&client]).unwrap();
        assert_eq!(bench.refusal(&login, &[&client]), "");
        bench.ask(Update, path, &change).unwrap();
        assert_eq!(bench.refusal(&login, &[&client]), WRONG, "{change}");
    }
    let mut bench = Certs::new(&authority.certificate);
    let login = bench.login(&[&client]).unwrap();
    bench.0.now = Duration::from_secs(1_800_000_000);
    assert_eq!(bench.refusal(&login, &[&client]), WRONG, "it is over");
}

#[test]
fn what_a_list_revokes_renews_nothing_where_both_say_whose_key_signed_them() {
    let root = Authority::new("root");
    let middle = root.below("middle");
    let mut params = client_params();
    let mut bench = Certs::new(&root.certificate);
    bench.bind(false);
    for says_whose in [true, false] {
        params.use_authority_key_identifier_extension = says_whose;
        let client = middle.sign(&params);
        let login = bench.login(&[&client, &middle.certificate]).unwrap();
        for (list, is_good) in [
            (middle.revoking(300), !says_whose),
            (middle.revoking(301), true),
            (root.revoking(300), true),
            (Authority::new("middle").revoking(300), true),
        ] {
            bench.ask(Update, "crls/one", &json!({"crl": list})).unwrap();
            assert_eq!(bench.refusal(&login, &[]).is_empty(), is_good, "{says_whose}");
        }
        bench.ask(Delete, "crls/one", &json!({})).unwrap();
    }
}
