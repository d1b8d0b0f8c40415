//! New shares that are in use only once they were given back.

use serde_json::{Value, json};

use super::door::Site;

/// A store with three shares, of which two are needed; they, and the root token.
async fn opened(site: &Site) -> (Vec<Value>, String) {
    let numbers = json!({"secret_shares": 3, "secret_threshold": 2});
    let made = site.put("/v1/sys/init", numbers).await.with(200);
    let token = made["root_token"].as_str().unwrap();
    (made["keys"].as_array().unwrap().clone(), token.to_owned())
}

impl Site {
    /// Begins a change of the shares to five, of which three are needed, and gives as many present ones as are needed.
    async fn rekeyed(&self, present: &[Value]) -> Value {
        let wanted = json!({"secret_shares": 5, "secret_threshold": 3, "require_verification": true});
        let begun = self.put("/v1/sys/rekey/init", wanted).await.with(200);
        assert_eq!(begun["verification_required"], true);
        let early = self.get("/v1/sys/rekey/verify").await.with(200);
        assert_eq!(
            early,
            json!({"nonce": "", "started": false, "t": 3, "n": 5, "progress": 0})
        );
        let mut done = Value::Null;
        for key in present {
            let offered = json!({"key": key, "nonce": begun["nonce"]});
            done = self.put("/v1/sys/rekey/update", offered).await.with(200);
        }
        assert_eq!(done["complete"], true, "{done}");
        done
    }

    /// Gives a new share, and is told so with that status.
    async fn verifies(&self, key: &Value, nonce: &Value, status: u16) -> Value {
        let offered = json!({"key": key, "nonce": nonce});
        self.put("/v1/sys/rekey/verify", offered).await.with(status)
    }

    /// Whether these shares unseal the node, which is sealed before.
    async fn is_unsealed_by(&self, keys: &[Value]) -> bool {
        let sealed = json!({"reset": true});
        self.put("/v1/sys/unseal", sealed).await.with(200);
        for key in keys {
            self.put("/v1/sys/unseal", json!({"key": key})).await;
        }
        self.get("/v1/sys/seal-status").await.with(200)["sealed"] == json!(false)
    }
}

#[tokio::test]
async fn new_shares_are_in_use_once_as_many_as_are_needed_were_given_back() {
    let site = Site::new().await;
    let (old, token) = opened(&site).await;
    let none = site.get("/v1/sys/rekey/verify").await.with(400);
    assert_eq!(none["errors"], json!(["no rekey in progress"]));

    let done = site.rekeyed(&old[..2]).await;
    let (new, nonce) = (done["keys"].as_array().unwrap(), &done["verification_nonce"]);
    assert_eq!((new.len(), &done["verification_required"]), (5, &json!(true)));
    let told = site.get("/v1/sys/rekey/init").await.with(200);
    assert_eq!(&told["verification_nonce"], nonce);
    // More of the present ones lead nowhere.
    let more = json!({"key": old[2], "nonce": done["nonce"]});
    let refused = site.put("/v1/sys/rekey/update", more).await.with(400);
    assert!(
        refused["errors"][0]
            .as_str()
            .unwrap()
            .contains(nonce.as_str().unwrap()),
        "{refused}"
    );

    let first = site.verifies(&new[0], nonce, 200).await;
    assert_eq!(
        first,
        json!({"nonce": nonce, "started": true, "t": 3, "n": 5, "progress": 1})
    );
    // One share given twice is one.
    assert_eq!(site.verifies(&new[0], nonce, 200).await["progress"], 1);
    site.verifies(&new[1], &done["nonce"], 400).await;
    // Anew, under another nonce.
    let again = site
        .ask("DELETE", "/v1/sys/rekey/verify", "", Value::Null)
        .await
        .with(200);
    assert_eq!((&again["progress"], &again["started"]), (&json!(0), &json!(true)));
    site.verifies(&new[1], nonce, 400).await;
    let nonce = &again["nonce"];
    // A wrong share is found when enough are there; then all are given anew.
    site.verifies(&new[0], nonce, 200).await;
    site.verifies(&new[1], nonce, 200).await;
    site.verifies(&old[0], nonce, 400).await;
    assert_eq!(site.get("/v1/sys/rekey/verify").await.with(200)["progress"], 0);
    let status = site.get("/v1/sys/seal-status").await.with(200);
    assert_eq!((&status["t"], &status["n"]), (&json!(2), &json!(3)));

    for (key, is_last) in [(&new[4], false), (&new[0], false), (&new[2], true)] {
        let told = site.verifies(key, nonce, 200).await;
        assert_eq!(told.get("complete"), is_last.then_some(&json!(true)), "{told}");
        assert_eq!(&told["nonce"], nonce);
    }
    site.get("/v1/sys/rekey/verify").await.with(400);
    let status = site.get("/v1/sys/seal-status").await.with(200);
    assert_eq!((&status["t"], &status["n"]), (&json!(3), &json!(5)));
    site.ask("PUT", "/v1/sys/seal", &token, Value::Null)
        .await
        .with(204);
    assert!(!site.is_unsealed_by(&[&old[..], &old[..1]].concat()).await);
    assert!(site.is_unsealed_by(&new[1..4]).await);
}

#[tokio::test]
async fn the_present_shares_stay_where_new_ones_are_not_verified() {
    let site = Site::new().await;
    let (old, token) = opened(&site).await;
    let done = site.rekeyed(&old[..2]).await;
    let (new, nonce) = (done["keys"].as_array().unwrap(), &done["verification_nonce"]);
    for key in &new[..2] {
        site.verifies(key, nonce, 200).await;
    }
    site.ask("DELETE", "/v1/sys/rekey/init", "", Value::Null)
        .await
        .with(204);
    site.verifies(&new[2], nonce, 400).await;

    // Nor where others replaced the seals meanwhile.
    let done = site.rekeyed(&old[..2]).await;
    let (new, nonce) = (done["keys"].as_array().unwrap(), &done["verification_nonce"]);
    site.ask("PUT", "/v1/sys/seals", &token, json!({}))
        .await
        .with(200);
    for key in &new[..2] {
        site.verifies(key, nonce, 200).await;
    }
    let refused = site.verifies(&new[2], nonce, 400).await;
    assert!(
        refused["errors"][0]
            .as_str()
            .unwrap()
            .contains("changed meanwhile"),
        "{refused}"
    );
    site.ask("PUT", "/v1/sys/seal", &token, Value::Null)
        .await
        .with(204);
    assert!(site.is_unsealed_by(&old[1..]).await);
}
