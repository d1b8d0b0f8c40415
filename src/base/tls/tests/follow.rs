//! What happens when files change, with looks at them made by the tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Files are taken as changed when two looks see the same.
fn look_twice(tls: &Tls) {
    tls.look();
    tls.look();
}

#[tokio::test]
async fn a_revoked_client_gets_no_new_connection_and_loses_its_old_one_while_others_keep_theirs() {
    let site = Site::new();
    let (alice, bob) = (
        site.authority.issue("alice", &[]).unwrap(),
        site.authority.issue("bob", &[]).unwrap(),
    );
    let tls = site.load();
    let address = echo(Entrance::new(Side::Client, Some(tls.clone()))).await;
    let (alices, bobs) = (site.client(Some(&alice)), site.client(Some(&bob)));
    let mut open = call(&alices, address).await.unwrap();
    let mut kept = call(&bobs, address).await.unwrap();

    site.replace("crl.pem", &site.authority.revoke(&[&alice]).unwrap());
    look_twice(&tls);
    // Nothing is sent: the connection is ended while it is idle.
    let ended = timeout(PATIENCE, open.read_u8()).await.unwrap();
    assert!(ended.is_err());
    call(&alices, address).await.unwrap_err();
    assert_eq!(exchange(&mut kept).await.unwrap(), 7);
    call(&bobs, address).await.unwrap();

    // The same list in DER does the same; an empty one lets her in again.
    fs::write(
        site.path("crl.pem"),
        site.authority.revoke_der(&[&alice]).unwrap(),
    )
    .unwrap();
    look_twice(&tls);
    call(&alices, address).await.unwrap_err();
    site.replace("crl.pem", &site.authority.revoke(&[]).unwrap());
    look_twice(&tls);
    call(&alices, address).await.unwrap();
}

#[tokio::test]
async fn a_revoked_client_that_takes_nothing_of_what_it_is_sent_is_cut_off() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let tls = site.load();
    let (admitted, dialled) = admit(&tls, &site.client(Some(&alice))).await;
    let (mut admitted, _dialled) = (admitted.unwrap(), dialled.unwrap());
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        let bytes = [0; 65_536];
        while admitted.write_all(&bytes).await.is_ok() {
            counter.fetch_add(bytes.len(), Ordering::Relaxed);
        }
    });
    // Until the buffers are full.
    let mut before = usize::MAX;
    while before != sent.load(Ordering::Relaxed) {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!sending.is_finished());
    site.replace("crl.pem", &site.authority.revoke(&[&alice]).unwrap());
    look_twice(&tls);
    timeout(PATIENCE, sending).await.unwrap().unwrap();
}

#[tokio::test]
async fn certificate_key_and_authorities_are_replaced_without_ending_a_connection() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let tls = site.load();
    let address = echo(Entrance::new(Side::Client, Some(tls.clone()))).await;
    let old = site.client(Some(&alice));
    let mut open = call(&old, address).await.unwrap();

    let next = Authority::new("next").unwrap();
    let server = next.issue("server", &["127.0.0.1"]).unwrap();
    site.replace("next.pem", &next.pem());
    site.replace("ca.pem", &next.pem());
    server.write(site.folder.path(), "server").unwrap();
    look_twice(&tls);

    assert_eq!(exchange(&mut open).await.unwrap(), 7, "an open connection stays");
    call(&old, address).await.unwrap_err();
    let bob = next.issue("bob", &[]).unwrap();
    let new = client(site.folder.path(), &site.path("next.pem"), Some(&bob));
    call(&new, address).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_of_no_use_leaves_the_old_material_in_force_until_it_is_mended() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let tls = site.load();
    let address = echo(Entrance::new(Side::Client, Some(tls.clone()))).await;
    let alices = site.client(Some(&alice));
    let good: Vec<(PathBuf, Vec<u8>)> = ["ca.pem", "crl.pem", "server.pem", "server.key"]
        .map(|name| (site.path(name), fs::read(site.path(name)).unwrap()))
        .into();
    for (path, bytes) in &good {
        // Half of it, nothing of it, and no file at all.
        for broken in [Some(&bytes[..bytes.len() / 2]), Some(&[][..]), None] {
            match broken {
                Some(broken) => fs::write(path, broken).unwrap(),
                None => fs::remove_file(path).unwrap(),
            }
            look_twice(&tls);
            let called = call(&alices, address).await;
            assert!(called.is_ok(), "{}: {broken:?}: {called:?}", path.display());
        }
        fs::write(path, bytes).unwrap();
        look_twice(&tls);
    }
    // A key without its certificate is of no use either; with it, both are.
    let next = site.authority.issue("server", &["127.0.0.1"]).unwrap();
    site.replace("server.key", &next.key);
    look_twice(&tls);
    call(&alices, address).await.unwrap();
    site.replace("crl.pem", &site.authority.revoke(&[&alice]).unwrap());
    look_twice(&tls);
    assert!(
        call(&alices, address).await.is_ok(),
        "one broken file holds all back"
    );
    site.replace("server.pem", &next.certificate);
    look_twice(&tls);
    call(&alices, address).await.unwrap_err();
}

#[tokio::test]
async fn one_look_is_not_enough_to_take_a_change() {
    let site = Site::new();
    let alice = site.authority.issue("alice", &[]).unwrap();
    let tls = site.load();
    site.replace("crl.pem", &site.authority.revoke(&[&alice]).unwrap());
    tls.look();
    assert_eq!(tls.shared.material.load().revoked.len(), 0);
    tls.look();
    assert_eq!(tls.shared.material.load().revoked.len(), 1);
}

#[tokio::test]
async fn a_file_with_its_old_size_and_time_is_seen_to_have_changed() {
    let site = Site::new();
    let path = site.path("crl.pem");
    let (alice, bob) = (
        site.authority.issue("alice", &[]).unwrap(),
        site.authority.issue("bob", &[]).unwrap(),
    );
    fs::write(&path, site.authority.revoke_der(&[&alice]).unwrap()).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let tls = site.load();
    fs::write(&path, site.authority.revoke_der(&[&bob]).unwrap()).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    look_twice(&tls);
    let (admitted, _) = admit(&tls, &site.client(Some(&alice))).await;
    assert!(admitted.is_some(), "alice is not revoked any more");
    let (admitted, _) = admit(&tls, &site.client(Some(&bob))).await;
    assert!(admitted.is_none(), "bob is");
}
