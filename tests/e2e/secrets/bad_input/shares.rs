//! Shares that are wrong, and attempts that are others.

use serde_json::{Value, json};

use super::{is_still_there, nothing_was_logged, refused, store};
use crate::e2e::secrets::{Answered, SHARES, Visitor};
use crate::support::{Result, TestResult};

/// What is no share at all, and what is said of it.
fn no_shares() -> Vec<(Value, &'static str)> {
    let nothing = "'key' must be specified in request body as JSON";
    let unreadable = "'key' must be a valid hex or base64 string";
    vec![
        (json!({}), nothing),
        (json!({"key": null}), nothing),
        (json!({"key": " "}), nothing),
        (json!({"key": 17}), unreadable),
        (json!({"key": ["00"]}), unreadable),
        (json!({"key": "no share!"}), unreadable),
        (json!({"key": "zz".repeat(33)}), unreadable),
        (json!({"key": "é".repeat(33)}), unreadable),
        (json!({"key": "AQID"}), "a share has 3 bytes"),
        (json!({"key": "01".repeat(34)}), "a share has"),
        (
            json!({"key": "01".repeat(32)}),
            "the share is not one of a key that needs 2 shares",
        ),
        (
            json!({"key": format!("{}00", "01".repeat(32))}),
            "the last byte of a share is 0",
        ),
    ]
}

/// A share of another key, with the coordinate of that one.
fn forged(share: &str) -> String {
    let first = if share.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &share[1..])
}

/// Shares do not come back in an answer.
fn repeats_no_share(answered: &Answered, shares: &[String]) {
    let repeated = shares.iter().find(|share| answered.text.contains(share.as_str()));
    assert!(repeated.is_none(), "a share is repeated: {}", answered.text);
}

async fn progress(visitor: &Visitor, page: &str) -> Result<u64> {
    let status = visitor.reads(page).await?.with(200)?;
    status["progress"].as_u64().ok_or_else(|| "no progress".into())
}

#[tokio::test]
async fn a_member_is_unsealed_by_right_shares_whatever_else_it_was_given() -> TestResult {
    let store = store().await?;
    let (sealed, shares) = (store.root(1), &store.shares);
    for (body, says) in no_shares() {
        refused(&sealed.writes("sys/unseal", body).await?, 400, says)?;
        assert_eq!(progress(&sealed, "sys/seal-status").await?, 0);
    }

    // A share that is given again counts once, in whichever way it is written.
    let upper = shares[0].to_uppercase();
    for share in [&shares[0], &shares[0], &upper] {
        let given = sealed.writes("sys/unseal", json!({"key": share})).await?;
        repeats_no_share(&given, shares);
        assert_eq!(given.with(200)?["progress"], 1);
    }
    // What cannot be read leaves what was given.
    refused(
        &sealed.writes("sys/unseal", json!({"key": "no share!"})).await?,
        400,
        "valid hex or base64",
    )?;
    assert_eq!(progress(&sealed, "sys/seal-status").await?, 1);

    // Wrong ones, first or last, end the attempt: which was wrong is not said.
    let wrong = "the shares do not open the root key";
    let (fake, twin) = (forged(&shares[1]), forged(&shares[0]));
    refused(
        &sealed.writes("sys/unseal", json!({"key": fake})).await?,
        400,
        wrong,
    )?;
    for pair in [[&fake, &shares[0]], [&shares[0], &twin], [&fake, &twin]] {
        assert_eq!(progress(&sealed, "sys/seal-status").await?, 0);
        sealed
            .writes("sys/unseal", json!({"key": pair[0]}))
            .await?
            .with(200)?;
        let answered = sealed.writes("sys/unseal", json!({"key": pair[1]})).await?;
        refused(&answered, 400, wrong)?;
        repeats_no_share(&answered, shares);
    }
    let reset = sealed.writes("sys/unseal", json!({"reset": "perhaps"})).await?;
    refused(&reset, 400, "is no truth value")?;
    refused(&sealed.reads("secret/data/app/a").await?, 503, "Vault is sealed")?;

    sealed.unseals(&shares[1..]).await?;
    is_still_there(&sealed).await?;
    nothing_was_logged(&store)?;
    Ok(())
}

#[tokio::test]
async fn other_shares_and_a_root_token_are_made_by_right_shares_of_the_attempt_alone() -> TestResult {
    let store = store().await?;
    let (root, shares) = (store.root(0), &store.shares);
    let (wrong, other) = (
        "the shares do not open the root key",
        "there is no unseal attempt",
    );
    let stranger = "00000000-0000-4000-8000-000000000000";
    let numbers = json!({"secret_shares": SHARES, "secret_threshold": 2});
    for (begin, update, begun_with, nothing_begun) in [
        (
            "sys/rekey/init",
            "sys/rekey/update",
            numbers,
            "no rekey in progress",
        ),
        (
            "sys/generate-root/attempt",
            "sys/generate-root/update",
            Value::Null,
            "no root generation in progress",
        ),
    ] {
        let share = json!({"key": shares[0], "nonce": stranger});
        refused(&root.writes(update, share.clone()).await?, 400, nothing_begun)?;
        let begun = root.writes(begin, begun_with.clone()).await?.with(200)?;
        let nonce = &begun["nonce"];
        refused(
            &root.writes(begin, begun_with.clone()).await?,
            400,
            "already in progress",
        )?;

        refused(&root.writes(update, share).await?, 400, other)?;
        for nonce in [json!("no nonce"), json!(7), Value::Null] {
            let share = json!({"key": shares[0], "nonce": nonce});
            refused(
                &root.writes(update, share).await?,
                400,
                "incorrect nonce supplied",
            )?;
        }
        for (mut body, says) in no_shares() {
            body["nonce"] = nonce.clone();
            refused(&root.writes(update, body).await?, 400, says)?;
        }
        assert_eq!(progress(&root, begin).await?, 0);

        for share in [&shares[0], &shares[0]] {
            let given = json!({"key": share, "nonce": nonce});
            assert_eq!(root.writes(update, given).await?.with(200)?["progress"], 1);
        }
        let fake = json!({"key": forged(&shares[1]), "nonce": nonce});
        let answered = root.writes(update, fake).await?;
        refused(&answered, 400, wrong)?;
        repeats_no_share(&answered, shares);
        assert_eq!(progress(&root, begin).await?, 0);
        root.asks("DELETE", begin, Value::Null).await?.with(204)?;
        let late = json!({"key": shares[0], "nonce": nonce});
        refused(&root.writes(update, late).await?, 400, nothing_begun)?;
    }
    for numbers in [
        json!({"secret_shares": 0, "secret_threshold": 0}),
        json!({"secret_shares": 3, "secret_threshold": 1}),
        json!({"secret_shares": 2, "secret_threshold": 3}),
        json!({"secret_shares": 256, "secret_threshold": 3}),
        json!({"secret_shares": "many", "secret_threshold": 3}),
        json!({"secret_shares": 3}),
        Value::Null,
    ] {
        let answered = root.writes("sys/rekey/init", numbers.clone()).await?;
        refused(&answered, 400, " ").map_err(|error| format!("{numbers}: {error}"))?;
    }

    // The shares are those of before, and open a member still.
    store.root(2).unseals(&shares[..2]).await?;
    is_still_there(&store.root(2)).await?;
    nothing_was_logged(&store)?;
    Ok(())
}
