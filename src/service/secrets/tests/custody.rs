//! Keys and shares when clients go away half-way, and what goes on while a node is sealed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::support::{Store, refusal, request};
use crate::service::secrets::seal::Share;
use crate::service::secrets::status::{InitSettings, RekeySettings, Rekeyed, RootMade};
use crate::service::secrets::{Secrets, SecretsError, Verb};
use crate::service::testing::{Node, PATIENCE};

const PAUSE: Duration = Duration::from_millis(20);

fn copy(share: &Share) -> Share {
    Share::new(share.expose()).expect("a share was made")
}

/// Of how many shares how many are needed.
async fn seals(secrets: &Secrets) -> String {
    let status = secrets.status().await.expect("the store is read");
    format!("{}/{}", status.threshold, status.shares)
}

impl Store {
    fn revision(&self) -> i64 {
        self.secrets.core.reader.view().revision().0
    }

    async fn begins_rekeying(&self, shares: u8, threshold: u8) -> uuid::Uuid {
        let settings = RekeySettings {
            new: InitSettings { shares, threshold },
            requires_verification: false,
        };
        let begun = self.secrets.begin_rekeying(settings).await;
        begun.expect("it can be begun").nonce.expect("it has a nonce")
    }

    async fn is_opened_by(&self, shares: &[Share]) -> bool {
        self.secrets.seal().await;
        for share in shares {
            let _ = self.secrets.unseal(copy(share)).await;
        }
        !self.secrets.status().await.expect("the store is read").is_sealed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_shares_that_nobody_was_told_of_do_not_stay_in_use() {
    let store = Store::start().await;
    let nonce = store.begins_rekeying(5, 3).await;
    let secrets = &store.secrets;
    let first = secrets.offer_to_rekeying(copy(&store.shares[0]), nonce).await;
    assert!(matches!(first, Ok(Rekeyed::Waiting(_))), "{first:?}");
    let before = store.revision();
    let until = Instant::now() + PATIENCE;
    {
        // Its client has not looked at the answer when it goes away.
        let asked = secrets.offer_to_rekeying(copy(&store.shares[1]), nonce);
        tokio::pin!(asked);
        assert!(futures::poll!(&mut asked).is_pending());
        while store.revision() < before + 1 {
            assert!(Instant::now() < until, "the new ones are not written");
            sleep(PAUSE).await;
        }
    }
    while store.revision() < before + 2 {
        assert!(Instant::now() < until, "the former ones are not put back");
        sleep(PAUSE).await;
    }
    assert_eq!(seals(secrets).await, "2/3");
    assert!(!secrets.rekeying().await.expect("the store is open").is_started);
    assert!(store.is_opened_by(&store.shares[1..]).await);

    // Who is there is told, and then they are the ones.
    let nonce = store.begins_rekeying(5, 3).await;
    let mut told = None;
    for share in &store.shares[..2] {
        told = Some(secrets.offer_to_rekeying(copy(share), nonce).await);
    }
    let Some(Ok(Rekeyed::Done {
        shares,
        verification: None,
        ..
    })) = told
    else {
        panic!("{told:?}");
    };
    assert!(!store.is_opened_by(&store.shares).await);
    assert!(store.is_opened_by(&shares[..3]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_a_new_store_is_kept_until_somebody_was_told_of_it() {
    let settings = InitSettings {
        shares: 3,
        threshold: 2,
    };
    let node = Node::start().await;
    let secrets = node.services.secrets.clone();
    {
        // Its client has not looked at the answer when it goes away.
        let asked = secrets.initialize(settings);
        tokio::pin!(asked);
        assert!(futures::poll!(&mut asked).is_pending());
        let until = Instant::now() + PATIENCE;
        while seals(&secrets).await != "2/3" {
            assert!(Instant::now() < until, "it is not initialized");
            sleep(PAUSE).await;
        }
    }
    let others = InitSettings {
        shares: 5,
        threshold: 2,
    };
    let said = refusal(secrets.initialize(others).await);
    assert!(said.contains("nobody was told yet of 3 shares"), "{said}");
    let made = secrets.initialize(settings).await.expect("somebody is told");
    let again = secrets.initialize(settings).await;
    assert!(
        matches!(again, Err(SecretsError::AlreadyInitialized)),
        "{again:?}"
    );

    let store = Store {
        root: made.root_token.expose().clone(),
        secrets,
        shares: made.shares,
        node,
    };
    store.read("sys/mounts").await.expect("the token was told");
    assert!(store.is_opened_by(&store.shares[..2]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_token_takes_the_shares_that_are_in_use_by_then() {
    let store = Store::start().await;
    let secrets = &store.secrets;
    let password = crate::base::secret::Secret::new("p".repeat(28));
    let begun = secrets
        .begin_making_root(password)
        .await
        .expect("it can be begun");
    let nonce = begun.nonce.expect("it has a nonce");
    let rekeying = store.begins_rekeying(3, 3).await;
    let mut told = None;
    for share in &store.shares[..2] {
        told = Some(secrets.offer_to_rekeying(copy(share), rekeying).await);
    }
    let Some(Ok(Rekeyed::Done { shares, .. })) = told else {
        panic!("{told:?}");
    };
    for share in &shares[..2] {
        let waiting = secrets.offer_to_making_root(copy(share), nonce).await;
        assert!(matches!(waiting, Ok(RootMade::Waiting(_))), "{waiting:?}");
    }
    let made = secrets.offer_to_making_root(copy(&shares[2]), nonce).await;
    assert!(matches!(made, Ok(RootMade::Done { .. })), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_leaves_a_node_that_was_sealed_meanwhile() {
    let store = Store::start().await;
    store
        .write("sys/mounts/transit", json!({"type": "transit"}))
        .await
        .expect("root mounts");
    // What takes long waits for its turn.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = Arc::new(parking_lot::Mutex::new(ended));
    for _ in 0..processors {
        let (lane, ended) = (store.secrets.lanes.engines.clone(), Arc::clone(&ended));
        tokio::spawn(async move {
            let wait = move || {
                let _ = ended.lock().recv();
            };
            lane.aside(wait).await
        });
    }
    sleep(PAUSE).await;
    let (secrets, asked) = (
        store.secrets.clone(),
        request(&store.root, Verb::Write, "transit/random/32", &json!({})),
    );
    let answered = tokio::spawn(async move { secrets.handle(asked).await });
    sleep(10 * PAUSE).await;
    assert!(!answered.is_finished(), "it did not wait");
    store.secrets.seal().await;
    drop(end);
    let answered = answered.await.expect("it did not panic");
    assert!(
        matches!(answered, Err(SecretsError::SealedMeanwhile)),
        "{answered:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_sealed_by_its_path_alone() {
    let store = Store::start().await;
    for path in ["sys/seal/x", "sys/step-down/x"] {
        refusal(store.write(path, json!({})).await);
    }
    store.read("sys/mounts").await.expect("it is open");
    store.write("sys/seal", json!({})).await.expect("root seals");
    let sealed = store.read("sys/mounts").await;
    assert!(matches!(sealed, Err(SecretsError::Sealed)), "{sealed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_is_counted_whether_anything_is_written_or_not() {
    let store = Store::start().await;
    let unsealed = store.secrets.custody.unsealed().expect("it is open");
    let role = json!({"token_type": "batch", "orphan": true});
    store
        .write("auth/token/roles/batch", role)
        .await
        .expect("root writes roles");
    // As if this node had made as many as it may owe, but one. A batch token is encrypted, and written nowhere.
    let counted = unsealed.key_status().expect("it has a term").encryptions;
    let owed = unsealed.owe_all_but_one();
    let until = Instant::now() + PATIENCE;
    for _ in 0..3 {
        while let Err(error) = store
            .write(
                "auth/token/create",
                json!({"type": "batch", "policies": ["default"]}),
            )
            .await
        {
            assert!(Instant::now() < until, "it is not counted: {error}");
            sleep(PAUSE).await;
        }
    }
    // Each is counted once.
    let after = unsealed.key_status().expect("it has a term").encryptions;
    assert!(
        (counted + owed..counted + owed + 100).contains(&after),
        "{counted} {owed} {after}"
    );
}
