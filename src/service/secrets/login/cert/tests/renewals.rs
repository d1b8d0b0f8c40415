//! Renewals of what certificates gave, which are not shown again.

use serde_json::json;

use super::{Authority, Certs, client_params};
use crate::service::secrets::engine::Engine;
use crate::service::secrets::login::tests::renewals_follow;
use crate::service::secrets::policy::Operation::{Delete, Update};

#[test]
fn a_renewal_follows_the_role() {
    let authority = Authority::new("root");
    let mut bench = Certs::new(&authority.certificate);
    let login = bench.login(&[&authority.sign(&client_params())]).unwrap();
    bench.0.peer.certificates.clear();
    let gone = "role \"web\" does not exist during renewal";
    renewals_follow(&mut bench.0, "certs/web", &login, gone);
}

#[test]
fn what_a_list_revokes_renews_nothing_where_both_say_whose_key_signed_them() {
    let root = Authority::new("root");
    let middle = root.below("middle");
    let mut params = client_params();
    let mut bench = Certs::new(&root.certificate);
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
            let renewal = bench.0.engine.renew_login(&login.metadata, &mut bench.0.storage);
            assert_eq!(renewal.is_ok(), is_good, "{says_whose}");
        }
        bench.ask(Delete, "crls/one", &json!({})).unwrap();
    }
}
