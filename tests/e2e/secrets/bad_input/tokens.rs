//! Tokens that are none, and none any more.

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{SECRET, is_still_there, nothing_was_logged, open_store, refused};
use crate::e2e::secrets::{MAXIMUM_WAIT, PAUSE, Store, Visitor};
use crate::support::vault::NODES;
use crate::support::{Error, Result, TestResult};

const DENIED: &str = "permission denied";

/// A token that may read what is below `secret/data/app/`, and the rest of what was said of it.
async fn token(store: &Store, mut settings: Value) -> Result<(String, Value)> {
    let rules = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    let policy = json!({"policy": rules});
    store
        .root(0)
        .writes("sys/policies/acl/app", policy)
        .await?
        .with(204)?;
    settings["policies"] = json!(["app"]);
    let made = store
        .root(0)
        .writes("auth/token/create", settings)
        .await?
        .with(200)?;
    let token = made["auth"]["client_token"].as_str().ok_or("no token")?;
    Ok((token.to_owned(), made["auth"].clone()))
}

/// What each member says to who reads with the token.
fn at_each(store: &Store, token: &str) -> Vec<Visitor> {
    let roots = store.roots();
    roots.iter().map(|root| root.with_token(token)).collect()
}

async fn is_refused_everywhere(store: &Store, token: &str) -> Result<()> {
    for visitor in at_each(store, token) {
        let read = visitor.reads("secret/data/app/a").await?;
        refused(&read, 403, DENIED)?;
        // What is there, and what is not: both are said in the same words.
        for path in [
            "secret/data/app/none",
            "nowhere/at/all",
            "sys/mounts",
            "auth/token/lookup-self",
        ] {
            let other = visitor.reads(path).await?;
            assert_eq!(other.status, 403, "{path}: {}", other.text);
        }
        assert_eq!(visitor.reads("secret/data/app/none").await?.text, read.text);
        assert_eq!(visitor.reads("nowhere/at/all").await?.text, read.text);
        let written = json!({"data": {"v": SECRET}});
        refused(&visitor.writes("secret/data/app/a", written).await?, 403, DENIED)?;
    }
    is_still_there(&store.root(1)).await
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_by_every_member_as_one_that_never_was() -> TestResult {
    let store = open_store().await?;
    let (good, _) = token(&store, json!({})).await?;

    // Missing, and made up in all ways.
    for none in [
        "".to_owned(),
        "hvs.0123456789abcdefghijklmn".to_owned(),
        "hvb.AAAAAQID".to_owned(),
        "hvs.".to_owned(),
        "no token".to_owned(),
        "../../sys/token".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good}a"),
        "a".repeat(8 * 1024),
    ] {
        is_refused_everywhere(&store, &none).await?;
    }
    for header in [
        "X-Vault-Token: hvs.\u{e9}\r\n",
        "Authorization: Basic aHZzLmE=\r\n",
    ] {
        let nobody = store.root(0).with_token("");
        let answered = nobody.sends("GET", "secret/data/app/a", header, "").await?;
        refused(&answered, 403, DENIED)?;
    }

    // Revoked by itself, by its accessor, and with the one that it descends from.
    for way in ["self", "accessor", "parent"] {
        let (parent, made) = token(&store, json!({})).await?;
        let visitor = store.root(1).with_token(&parent);
        is_still_there(&visitor).await?;
        let ended = match way {
            "self" => visitor.writes("auth/token/revoke-self", Value::Null).await?,
            "accessor" => {
                let accessor = json!({"accessor": made["accessor"]});
                store
                    .root(2)
                    .writes("auth/token/revoke-accessor", accessor)
                    .await?
            }
            _ => {
                let token = json!({"token": parent});
                store.root(2).writes("auth/token/revoke", token).await?
            }
        };
        ended.with(204)?;
        is_refused_everywhere(&store, &parent).await?;
        let accessor = json!({"accessor": made["accessor"]});
        let again = store
            .root(0)
            .writes("auth/token/revoke-accessor", accessor)
            .await?;
        refused(&again, 400, "invalid accessor")?;
    }

    // Used up: on whichever members.
    let (twice, _) = token(&store, json!({"num_uses": 2})).await?;
    for node in [2, 0] {
        is_still_there(&store.root(node).with_token(&twice)).await?;
    }
    is_refused_everywhere(&store, &twice).await?;

    // Expired: by then every member refuses it.
    let (short, made) = token(&store, json!({"ttl": "1s"})).await?;
    assert_eq!(made["lease_duration"], 1);
    let waiting = async {
        for visitor in at_each(&store, &short) {
            while visitor.reads("secret/data/app/a").await?.status == 200 {
                sleep(PAUSE).await;
            }
        }
        Ok::<(), Error>(())
    };
    timeout(MAXIMUM_WAIT, waiting).await??;
    is_refused_everywhere(&store, &short).await?;
    let renewed = store
        .root(0)
        .writes("auth/token/renew", json!({"token": short}))
        .await?;
    refused(&renewed, 403, "bad token")?;

    is_still_there(&store.root(2).with_token(&good)).await?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_with_wrapping_and_leases_is_said_without_the_token() -> TestResult {
    let store = open_store().await?;
    let root = store.root(0);
    let unknown = "wrapping token is not valid or does not exist";
    for token in ["hvs.0123456789abcdefghijklmn", "no token", &store.root] {
        for path in [
            "sys/wrapping/unwrap",
            "sys/wrapping/lookup",
            "sys/wrapping/rewrap",
        ] {
            refused(&root.writes(path, json!({"token": token})).await?, 400, unknown)?;
        }
    }
    let wrapped = root
        .sends("GET", "secret/data/app/a", "X-Vault-Wrap-TTL: 5m\r\n", "")
        .await?
        .with(200)?;
    let token = &wrapped["wrap_info"]["token"];
    // Whoever wraps it anew makes the first one worthless.
    let again = store
        .root(1)
        .writes("sys/wrapping/rewrap", json!({"token": token}))
        .await?;
    let again = again.with(200)?["wrap_info"]["token"].clone();
    for node in 0..NODES {
        let late = store
            .root(node)
            .writes("sys/wrapping/unwrap", json!({"token": token}))
            .await?;
        refused(&late, 400, unknown)?;
    }
    let unwrapped = store
        .root(2)
        .writes("sys/wrapping/unwrap", json!({"token": again}))
        .await?;
    assert_eq!(unwrapped.with(200)?["data"]["data"]["v"], SECRET);
    for node in 0..NODES {
        let late = store
            .root(node)
            .writes("sys/wrapping/unwrap", json!({"token": again}))
            .await?;
        refused(&late, 400, unknown)?;
    }
    for time in ["soon", "-1", "1.5", "1h30", "99999999999999999999", "\u{e9}"] {
        let header = format!("X-Vault-Wrap-TTL: {time}\r\n");
        let answered = root.sends("GET", "secret/data/app/a", &header, "").await?;
        refused(&answered, 400, "X-Vault-Wrap-TTL").map_err(|error| format!("{time}: {error}"))?;
    }
    for (method, path) in [("POST", "sys/leases/lookup"), ("POST", "sys/leases/renew")] {
        for lease in [
            "auth/token/create/hvs.0123456789abcdefghijklmn",
            "../../x",
            "pki/issue/none/a",
        ] {
            let answered = root.asks(method, path, json!({"lease_id": lease})).await?;
            refused(&answered, 400, "lease").map_err(|error| format!("{path} {lease}: {error}"))?;
        }
        let answered = root.asks(method, path, Value::Null).await?;
        refused(&answered, 400, "lease_id").map_err(|error| format!("{path}: {error}"))?;
    }
    is_still_there(&root).await?;
    nothing_was_logged(&store)?;
    Ok(())
}
