//! The secret store from outside: its command line, what follows secrets, what comes back after deaths, with the automatic
//! keys and without, bad input, and what is left legible.

mod bad_input;
mod canary;
mod command;
mod follow;
mod operators;
mod rekey;
mod restart;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::gateway::client::ask;
use crate::support::vault::{NODES, three_nodes};
use crate::support::{Cluster, ClusterBuilder, Result};

/// How long one thing that must happen may take.
const MAXIMUM_WAIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Shares that are made, and that are needed.
const SHARES: usize = 3;
const THRESHOLD: usize = 2;

/// Somebody who asks one member by Vault's interface.
#[derive(Clone)]
struct Visitor {
    address: String,
    token: String,
}

/// What somebody was answered.
#[derive(Debug)]
struct Answered {
    status: u16,
    /// Null where there is no body.
    body: Value,
    text: String,
}

impl Answered {
    /// The body of an answer with that status.
    fn with(self, status: u16) -> Result<Value> {
        if self.status != status {
            return Err(format!("{} is not {status}: {}", self.status, self.text).into());
        }
        Ok(self.body)
    }
}

impl Visitor {
    /// Asks with a body of JSON; null: with none.
    async fn asks(&self, method: &str, path: &str, body: Value) -> Result<Answered> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.sends(method, path, "", &body).await
    }

    /// Asks with more headers, each with the end of its line, and with whatever body.
    async fn sends(&self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answered> {
        let token = match self.token.as_str() {
            "" => String::new(),
            token => format!("X-Vault-Token: {token}\r\n"),
        };
        let headers = format!("{token}{headers}");
        let answer = ask(&self.address, method, &format!("/v1/{path}"), &headers, body).await?;
        let value = match answer.body.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).map_err(|error| format!("{path}: {error}: {text}"))?,
        };
        Ok(Answered {
            status: answer.status,
            body: value,
            text: answer.body,
        })
    }

    async fn reads(&self, path: &str) -> Result<Answered> {
        self.asks("GET", path, Value::Null).await
    }

    async fn writes(&self, path: &str, body: Value) -> Result<Answered> {
        self.asks("POST", path, body).await
    }

    /// The same, with another token.
    fn with_token(&self, token: &str) -> Self {
        Self {
            address: self.address.clone(),
            token: token.to_owned(),
        }
    }

    /// Whether the member is sealed.
    async fn is_sealed(&self) -> Result<bool> {
        let status = self.reads("sys/seal-status").await?.with(200)?;
        status["sealed"].as_bool().ok_or_else(|| "no status".into())
    }

    /// Waits until the member has unsealed itself.
    async fn is_unsealed_by_itself(&self) -> Result<()> {
        let waiting = async {
            while self.is_sealed().await? {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(MAXIMUM_WAIT, waiting)
            .await
            .map_err(|_| format!("the member at {} stays sealed", self.address))?
    }

    /// Gives shares, after the last of which the member is unsealed.
    async fn unseals(&self, shares: &[String]) -> Result<()> {
        for (place, share) in shares.iter().enumerate() {
            let status = self
                .writes("sys/unseal", json!({"key": share}))
                .await?
                .with(200)?;
            assert_eq!(status["sealed"], place + 1 < shares.len(), "{status}");
        }
        Ok(())
    }
}

/// A cluster with a store that is initialized, and what was told of it once.
struct Store {
    cluster: Cluster,
    addresses: Vec<String>,
    shares: Vec<String>,
    root: String,
}

impl Store {
    /// Starts one, in which the first member is unsealed, and all that have a seal of their own.
    async fn start(builder: ClusterBuilder, addresses: Vec<String>) -> Result<Self> {
        let mut store = Self {
            cluster: builder.start().await?,
            addresses,
            shares: Vec::new(),
            root: String::new(),
        };
        let numbers = json!({"secret_shares": SHARES, "secret_threshold": THRESHOLD});
        let made = store.root(0).writes("sys/init", numbers).await?.with(200)?;
        store.shares = serde_json::from_value(made["keys"].clone())?;
        store.root = made["root_token"].as_str().ok_or("no token")?.to_owned();
        Ok(store)
    }

    /// Starts one whose members are all unsealed, with a mount of versioned secrets.
    async fn open() -> Result<Self> {
        let (builder, addresses) = three_nodes()?;
        let store = Self::start(builder, addresses).await?;
        store.unseal_others().await?;
        store.mount_secrets().await?;
        Ok(store)
    }

    /// Whoever has the root token, at one member.
    fn root(&self, node: usize) -> Visitor {
        Visitor {
            address: self.addresses[node].clone(),
            token: self.root.clone(),
        }
    }

    /// The same at each member.
    fn roots(&self) -> Vec<Visitor> {
        (0..NODES).map(|node| self.root(node)).collect()
    }

    /// Unseals all members but the first, by shares.
    async fn unseal_others(&self) -> Result<()> {
        for root in &self.roots()[1..] {
            root.unseals(&self.shares[..THRESHOLD]).await?;
        }
        Ok(())
    }

    /// Makes a mount of versioned secrets.
    async fn mount_secrets(&self) -> Result<()> {
        let versioned = json!({"type": "kv", "options": {"version": "2"}});
        let made = self.root(0).writes("sys/mounts/secret", versioned).await?;
        made.with(204).map(drop)
    }
}
