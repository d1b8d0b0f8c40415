//! What ends with a token, with a mount and below a path: all of it, however much it is, and nothing beside it.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Store, data, refusal};
use crate::base::clock;
use crate::base::secret::Secret;
use crate::service::secrets::engine::storage::encode;
use crate::service::secrets::engine::{Leased, Mount};
use crate::service::secrets::mounts::{self, Mounts};
use crate::service::secrets::randomness::SystemRandomness;
use crate::service::secrets::seal::Share;
use crate::service::secrets::store::Draft;
use crate::service::secrets::store::commit::Committed;
use crate::service::secrets::{Verb, leases, token};

fn draft_of(store: &Store) -> Draft {
    let unsealed = store.secrets.custody.require().expect("it is not sealed");
    let view = store.secrets.core.reader.view();
    Draft::new(unsealed, view, clock::unix_time())
}

async fn commit(store: &Store, mut draft: Draft) {
    let committed = draft.commit(&store.secrets.core, &store.secrets.leases).await;
    let committed = committed.expect("the store takes it");
    assert!(matches!(committed, Committed::Written(_)));
}

/// Whether there is a record.
fn is_there(store: &Store, path: &str) -> bool {
    draft_of(store).is_there(path).expect("the store is read")
}

/// Whether there is no record below a directory.
fn is_empty(store: &Store, directory: &str) -> bool {
    let draft = draft_of(store);
    let directory = draft.name(directory).expect("a path of a test");
    let (names, _) = draft.all_below(&directory).expect("the store is read");
    names.is_empty()
}

fn id_of(store: &Store, token: &str) -> String {
    draft_of(store).unsealed().token_id(token)
}

/// What is stored of a token.
fn entry_of(store: &Store, token: &str) -> token::Entry {
    let found = token::find(&mut draft_of(store), token).expect("the store is read");
    token::Entry::clone(&found.expect("it is a token").entry)
}

fn mount_of(store: &Store, path: &str) -> Mount {
    let mounts = Mounts::read(&mut draft_of(store)).expect("the store is read");
    mounts.get(path).expect("it is mounted").clone()
}

/// A path so deep that few of them fit into a transaction.
fn deep(segments: usize) -> String {
    vec!["a".repeat(31); segments].join("/")
}

async fn put_all(store: &Store, paths: &[String], at_once: usize, record: &[u8]) {
    for paths in paths.chunks(at_once) {
        let mut draft = draft_of(store);
        for path in paths {
            let name = draft.name(path).expect("a path of a test");
            draft.put(&name, Secret::new(record.to_vec()), None);
        }
        commit(store, draft).await;
    }
}

/// Leases to a token, as the engine of a mount has them made; their ids.
async fn lease(
    store: &Store,
    token: &str,
    mount: &Mount,
    at: &str,
    details: &str,
    count: usize,
) -> Vec<String> {
    let mut draft = draft_of(store);
    let owner = token::find(&mut draft, token).expect("the store is read");
    let owner = owner.expect("it is a token");
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        let leased = Leased {
            ttl: Duration::from_secs(3_600),
            max_ttl: Duration::ZERO,
            is_renewable: false,
            details: details.as_bytes().to_vec(),
        };
        let made = leases::make(&mut draft, leased, &owner, mount, at, &mut SystemRandomness);
        ids.push(made.expect("a lease is made").id);
    }
    commit(store, draft).await;
    ids
}

async fn write(store: &Store, at: &str, body: Value) {
    store.write(at, body).await.expect("root may");
}

async fn is_token(store: &Store, token: &str) -> bool {
    let at = "auth/token/lookup-self";
    store.ask(token, Verb::Read, at, json!({})).await.is_ok()
}

/// A mount of `userpass`, with users.
async fn with_users(store: &Store, mount: &str, users: &[&str]) {
    write(store, &format!("sys/auth/{mount}"), json!({"type": "userpass"})).await;
    for user in users {
        let at = format!("auth/{mount}/users/{user}");
        write(store, &at, json!({"password": "a long one"})).await;
    }
}

async fn login(store: &Store, mount: &str, user: &str) -> String {
    let at = format!("auth/{mount}/login/{user}");
    let body = json!({"password": "a long one"});
    let answer = store.ask("", Verb::Write, &at, body).await;
    let auth = answer.expect("the right password").auth.expect("a token");
    auth.token.expose().clone()
}

/// A store with a mount `pki/` whose role `web` leases certificates.
async fn with_certificates() -> Store {
    let store = Store::start().await;
    write(&store, "sys/mounts/pki", json!({"type": "pki"})).await;
    let root = json!({"common_name": "root.test", "ttl": "24h", "key_type": "ec", "key_bits": 256});
    write(&store, "pki/root/generate/internal", root).await;
    let role = json!({"allow_any_name": true, "generate_lease": true, "ttl": "1h", "key_type": "ec", "key_bits": 256});
    write(&store, "pki/roles/web", role).await;
    store
}

/// A certificate that is leased to a token: its serial number, the id of the lease and its seconds.
async fn issue(store: &Store, token: &str, mount: &str) -> (String, String, u64) {
    let at = format!("{mount}/issue/web");
    let answer = store
        .ask(token, Verb::Write, &at, json!({"common_name": "web.test"}))
        .await
        .expect("it may");
    let serial = data(&answer)["serial_number"]
        .as_str()
        .expect("a number")
        .to_owned();
    (serial, answer.lease_id, answer.lease_seconds)
}

async fn is_revoked(store: &Store, mount: &str, serial: &str) -> bool {
    let read = store.read(&format!("{mount}/cert/{serial}")).await;
    data(&read.expect("it is stored"))["revocation_time"] != json!(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cubbyhole_is_taken_away_however_much_it_holds() {
    let store = Store::start().await;
    let cubbyhole = mounts::directory(&mount_of(&store, "cubbyhole/").uuid);
    for (count, at_once, depth) in [(4_500, 500, 1), (500, 100, 60)] {
        let token = store.token(json!({})).await;
        let id = id_of(&store, &token);
        let directory = format!("{cubbyhole}/{id}");
        let path = |number: usize| format!("{directory}/{}/{number}", deep(depth));
        let paths: Vec<String> = (0..count).map(path).collect();
        put_all(&store, &paths, at_once, b"{}").await;
        write(&store, "auth/token/revoke", json!({"token": token})).await;
        let lineage = format!("{}/{id}", token::LINEAGE);
        store.node.until(|_| !is_there(&store, &lineage)).await;
        assert!(is_empty(&store, &directory), "{count} records of depth {depth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_cannot_be_taken_back_keeps_nothing_else_of_its_token() {
    let store = Store::start().await;
    let token = store.token(json!({})).await;
    let written = store
        .ask(&token, Verb::Write, "cubbyhole/a", json!({"b": "c"}))
        .await;
    assert!(written.is_ok());
    // Nothing answers for leases of this mount.
    let identity = mount_of(&store, "identity/");
    let stuck = lease(&store, &token, &identity, "identity/thing", "", 1).await;
    let cubbyhole = mount_of(&store, "cubbyhole/");
    let other = lease(&store, &token, &cubbyhole, "cubbyhole/thing", "", 1).await;
    let id = id_of(&store, &token);
    write(&store, "auth/token/revoke", json!({"token": token})).await;
    let gone = [
        format!("{}/{id}", token::LINEAGE),
        format!("{}/{}", leases::LEASES, other[0]),
    ];
    store
        .node
        .until(|_| gone.iter().all(|path| !is_there(&store, path)))
        .await;
    let directory = mounts::directory(&cubbyhole.uuid);
    assert!(is_empty(&store, &format!("{directory}/{id}")));
    assert!(is_empty(&store, &format!("{}/{id}", leases::LEASED)));
    // It is tried again until it succeeds.
    assert!(is_there(&store, &format!("{}/{}", leases::LEASES, stuck[0])));
    assert!(!is_there(&store, &format!("{}/{}", leases::TIMERS, stuck[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_revoked_is_no_other_that_begins_like_it() {
    let store = Store::start().await;
    with_users(&store, "app", &["bob", "bobby"]).await;
    with_users(&store, "apple", &["bob"]).await;
    let bob = login(&store, "app", "bob").await;
    let bobby = login(&store, "app", "bobby").await;
    let apple = login(&store, "apple", "bob").await;
    write(&store, "sys/leases/revoke-prefix/auth/app/login/bob", json!({})).await;
    assert!(!is_token(&store, &bob).await);
    assert!(is_token(&store, &bobby).await);
    let unmounted = store
        .ask(&store.root, Verb::Delete, "sys/auth/app", json!({}))
        .await;
    assert!(unmounted.is_ok());
    assert!(!is_token(&store, &bobby).await);
    assert!(is_token(&store, &apple).await);
    let cubbyhole = mount_of(&store, "cubbyhole/");
    let one = lease(&store, &store.root, &cubbyhole, "cubbyhole/thing", "", 2).await;
    let other = lease(&store, &store.root, &cubbyhole, "cubbyhole/things", "", 1).await;
    let at = |id: &String| format!("{}/{id}", leases::LEASES);
    write(&store, &format!("sys/leases/revoke-prefix/{}", one[0]), json!({})).await;
    assert!(!is_there(&store, &at(&one[0])) && is_there(&store, &at(&one[1])));
    write(&store, "sys/leases/revoke-prefix/cubbyhole/thing", json!({})).await;
    assert!(!is_there(&store, &at(&one[1])) && is_there(&store, &at(&other[0])));
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_are_revoked_under_any_spelling_of_their_path() {
    let store = Store::start().await;
    with_users(&store, "app", &["bob", "bobby"]).await;
    let bob = login(&store, "app", "bob").await;
    let bobby = login(&store, "app", "bobby").await;
    // As paths were stored once.
    let entry = token::Entry {
        path: "auth/app/login/Bob".to_owned(),
        ..entry_of(&store, &store.root)
    };
    let record = encode(&entry).expect("it is JSON");
    let old = format!("{}/{:064x}", token::TOKENS, 1);
    put_all(&store, std::slice::from_ref(&old), 1, record.expose()).await;
    write(&store, "sys/leases/revoke-prefix/auth/app/login/Bob", json!({})).await;
    assert!(!is_token(&store, &bob).await && !is_there(&store, &old));
    assert!(is_token(&store, &bobby).await);
    write(&store, "sys/leases/revoke-force/auth/app/login/BOBBY", json!({})).await;
    assert!(!is_token(&store, &bobby).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_logins_are_revoked_at_once_but_not_the_first_token_of_root() {
    let store = Store::start().await;
    with_users(&store, "app", &["bob"]).await;
    let bob = login(&store, "app", "bob").await;
    let made = store.token(json!({"policies": ["default"]})).await;
    for prefix in ["auth/token/root", "auth/token"] {
        write(&store, &format!("sys/leases/revoke-prefix/{prefix}"), json!({})).await;
        assert!(is_token(&store, &store.root).await, "{prefix}");
    }
    assert!(!is_token(&store, &made).await && is_token(&store, &bob).await);
    let made = store.token(json!({"policies": ["default"]})).await;
    write(&store, "sys/leases/revoke-prefix/auth", json!({})).await;
    assert!(!is_token(&store, &made).await && !is_token(&store, &bob).await);
    assert!(is_token(&store, &store.root).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_not_chosen_again_before_all_is_gone_that_its_token_left_behind() {
    let store = Store::start().await;
    let create = async |id: &str| {
        let body = json!({"id": id, "policies": ["root"]});
        store.write("auth/token/create", body).await
    };
    let wait = "what a token of that id left behind is still being taken away; try again";
    // A record that cannot be read stays: nothing is taken away for it.
    let left = format!("{}/{}", token::LINEAGE, id_of(&store, "left"));
    put_all(&store, std::slice::from_ref(&left), 1, b"{}").await;
    assert_eq!(refusal(create("left").await), wait);
    let ended = token::Entry {
        ends: Some(Duration::from_secs(1)),
        ..entry_of(&store, &store.root)
    };
    let record = encode(&ended).expect("it is JSON");
    let ended = format!("{}/{}", token::TOKENS, id_of(&store, "ended"));
    put_all(&store, std::slice::from_ref(&ended), 1, record.expose()).await;
    assert_eq!(refusal(create("ended").await), wait);
    create("app").await.expect("there is none of that id");
    assert_eq!(
        refusal(create("app").await),
        "cannot create a token with a duplicate ID"
    );
    let child = store
        .ask("app", Verb::Write, "auth/token/create", json!({}))
        .await;
    let child = child.expect("it may").auth.expect("a token");
    write(&store, "auth/token/revoke", json!({"token": "app"})).await;
    let lineage = format!("{}/{}", token::LINEAGE, id_of(&store, "app"));
    store.node.until(|_| !is_there(&store, &lineage)).await;
    create("app").await.expect("nothing is left of the first");
    assert!(is_token(&store, "app").await);
    assert!(!is_token(&store, child.token.expose()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_ended_without_its_children_however_many_they_are() {
    let store = Store::start().await;
    let parent = store.token(json!({"policies": ["default"]})).await;
    let id = id_of(&store, &parent);
    let child = token::Entry {
        parent: Some(id.clone()),
        ..entry_of(&store, &store.root)
    };
    let record = encode(&child).expect("it is JSON");
    let children: Vec<String> = (0..1_500).map(|number| format!("{number:064x}")).collect();
    let paths = |directory: &str| -> Vec<String> {
        let path = |child: &String| format!("{directory}/{child}");
        children.iter().map(path).collect()
    };
    put_all(&store, &paths(token::TOKENS), 500, record.expose()).await;
    let directory = format!("{}/{id}", token::CHILDREN);
    put_all(&store, &paths(&directory), 500, b"").await;
    let mut asked = 0;
    loop {
        asked += 1;
        let body = json!({"token": parent});
        let answer = store.write("auth/token/revoke-orphan", body).await;
        let answer = answer.expect("root ends it");
        if answer.warnings.is_empty() {
            break;
        }
        assert!(answer.warnings[0].ends_with("; ask again"));
        assert!(is_token(&store, &parent).await);
    }
    assert!((2..50).contains(&asked), "asked {asked} times");
    assert!(!is_token(&store, &parent).await && is_empty(&store, &directory));
    let mut draft = draft_of(&store);
    for child in &children {
        let child = token::of_id(&mut draft, child).expect("the store is read");
        assert!(child.expect("it is alive").entry.parent.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_mount_gave_ends_when_it_is_moved() {
    let store = with_certificates().await;
    let (serial, id, _) = issue(&store, &store.root, "pki").await;
    write(&store, "sys/remount", json!({"from": "pki", "to": "moved"})).await;
    let looked = store.write("sys/leases/lookup", json!({"lease_id": id})).await;
    assert_eq!(refusal(looked), "invalid lease");
    assert!(is_revoked(&store, "moved", &serial).await);
    with_users(&store, "old", &["bob"]).await;
    let bob = login(&store, "old", "bob").await;
    let moved = json!({"from": "auth/old", "to": "auth/new"});
    write(&store, "sys/remount", moved).await;
    assert!(!is_token(&store, &bob).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_there_before_its_mount_moved_is_taken_back_where_it_is_now() {
    let store = with_certificates().await;
    let (serial, ..) = issue(&store, &store.root, "pki").await;
    let before = Mount {
        path: "before/".to_owned(),
        ..mount_of(&store, "pki/")
    };
    let ids = lease(&store, &store.root, &before, "before/issue/web", &serial, 1).await;
    assert!(!is_revoked(&store, "pki", &serial).await);
    write(&store, "sys/leases/revoke", json!({"lease_id": ids[0]})).await;
    assert!(is_revoked(&store, "pki", &serial).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_leases_than_one_transaction_takes_are_taken_back_below_a_path() {
    let store = Store::start().await;
    let cubbyhole = mount_of(&store, "cubbyhole/");
    let at = format!("cubbyhole/{}", deep(58));
    for _ in 0..10 {
        lease(&store, &store.root, &cubbyhole, &at, "", 20).await;
    }
    let revoked = store
        .write("sys/leases/revoke-prefix/cubbyhole", json!({}))
        .await
        .expect("root may");
    assert!(revoked.warnings.is_empty() && revoked.data.is_none());
    let left = [
        format!("{}/cubbyhole", leases::LEASES),
        format!("{}/{}", leases::LEASED, id_of(&store, &store.root)),
        leases::REVOKING.to_owned(),
    ];
    store
        .node
        .until(|_| left.iter().all(|directory| is_empty(&store, directory)))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tokens_than_one_transaction_takes_are_revoked_among_many_others() {
    let store = Store::start().await;
    for (path, numbers) in [
        ("auth/app/login/bobby", 0..12_000_u32),
        ("auth/app/login/bob", 12_000..15_000),
    ] {
        let entry = token::Entry {
            path: path.to_owned(),
            ..entry_of(&store, &store.root)
        };
        let record = encode(&entry).expect("it is JSON");
        let paths = numbers.map(|number| format!("{}/{number:064x}", token::TOKENS));
        put_all(&store, &paths.collect::<Vec<_>>(), 1_000, record.expose()).await;
    }
    write(&store, "sys/leases/revoke-prefix/auth/app/login/bob", json!({})).await;
    store.node.until(|_| is_empty(&store, leases::REVOKING)).await;
    let counted = store.read("sys/internal/counters/tokens").await;
    let counted = data(&counted.expect("a count"));
    assert_eq!(
        counted["counters"]["service_tokens"]["total"],
        json!(12_001),
        "those of others, and root's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_to_be_revoked_is_found_when_a_node_is_unsealed() {
    let store = Store::start().await;
    let entry = token::Entry {
        path: "auth/app/login/bob".to_owned(),
        ..entry_of(&store, &store.root)
    };
    let record = encode(&entry).expect("it is JSON");
    let token = format!("{}/{:064x}", token::TOKENS, 1);
    put_all(&store, std::slice::from_ref(&token), 1, record.expose()).await;
    let mut draft = draft_of(&store);
    let mark = draft
        .name(&format!("{}/auth/app", leases::REVOKING))
        .expect("a path of a test");
    let left = json!({
        "since": draft.view().revision(),
        "is_forced": false,
        "are_leases_done": true,
        "after": null,
    });
    draft.put(&mark, encode(&left).expect("it is JSON"), None);
    write(&store, "sys/seal", json!({})).await;
    // Nobody follows the store now.
    commit(&store, draft).await;
    for share in &store.shares[1..] {
        let share = Share::new(share.expose()).expect("a share was made");
        store.secrets.unseal(share).await.expect("the share is right");
    }
    store
        .node
        .until(|_| !is_there(&store, &token) && is_empty(&store, leases::REVOKING))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_token_was_given_ends_with_it_and_with_the_token_that_made_it() {
    let store = with_certificates().await;
    let policy = "path \"pki/issue/web\" { capabilities = [\"update\"] } \
                  path \"auth/token/create\" { capabilities = [\"update\"] }";
    write(&store, "sys/policies/acl/issue", json!({"policy": policy})).await;
    let parent = store.token(json!({"policies": ["issue"]})).await;
    let batch = json!({"type": "batch", "ttl": "5m", "policies": ["issue"]});
    let made = store.ask(&parent, Verb::Write, "auth/token/create", batch).await;
    let batch = made.expect("it may").auth.expect("a token");
    let (serial, id, seconds) = issue(&store, batch.token.expose(), "pki").await;
    assert!((1..=300).contains(&seconds), "{seconds} s");
    assert!(!is_revoked(&store, "pki", &serial).await);
    write(&store, "auth/token/revoke", json!({"token": parent})).await;
    let lease = format!("{}/{id}", leases::LEASES);
    store.node.until(|_| !is_there(&store, &lease)).await;
    assert!(is_revoked(&store, "pki", &serial).await);
}
