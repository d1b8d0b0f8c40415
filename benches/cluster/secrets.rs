//! The secret store under load: what has to be there before it is read and written, over the interface of its own.
//!
//! Measures nothing itself.

use std::time::Duration;

use bytes::Bytes;
use stead::proto::secrets::seal_client::SealClient;
use stead::proto::secrets::secrets_client::SecretsClient;
use stead::proto::secrets::{InitializeRequest, SealStatusRequest, SecretRequest, UnsealRequest};
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Channel, Endpoint};

use super::grpc::encode;
use super::support::Result;

/// The environment variable with a token for a store that was initialized by somebody else.
const TOKEN: &str = "STEAD_TOKEN";

/// Where the load reads and writes: versions of one engine, and plain values of another.
pub const VERSIONED: &str = "load-2";
pub const PLAIN: &str = "load-1";

/// What the token of the load may do: its policy is checked with every request.
const POLICY: &str = r#"
path "load-1/*" { capabilities = ["create", "read", "update"] }
path "load-2/data/*" { capabilities = ["create", "read", "update"] }
path "sys/rotate" { capabilities = ["sudo", "update"] }
path "auth/token/create" { capabilities = ["update"] }
"#;

/// Less is no time to ask for a token in.
const MINIMUM_TTL: Duration = Duration::from_secs(2);

/// A request for a token that ends so soon; none: that is too soon to ask for one.
pub fn token_that_ends_in(left: Duration) -> Option<Bytes> {
    let made = serde_json::json!({"policies": ["default"], "ttl": format!("{}ms", left.as_millis())});
    let request = SecretRequest {
        path: "auth/token/create".to_owned(),
        data: made.to_string().into(),
        ..SecretRequest::default()
    };
    (left >= MINIMUM_TTL).then(|| encode(&request))
}

/// A store that can be asked.
struct Store {
    client: SecretsClient<Channel>,
    token: AsciiMetadataValue,
}

impl Store {
    async fn write(&mut self, path: &str, data: serde_json::Value) -> Result<serde_json::Value> {
        let mut request = Request::new(SecretRequest {
            path: path.to_owned(),
            data: data.to_string().into(),
            ..SecretRequest::default()
        });
        request.metadata_mut().insert("x-vault-token", self.token.clone());
        let answer = self.client.write(request).await?.into_inner();
        match answer.auth {
            Some(auth) => Ok(auth.token.into()),
            None => Ok(serde_json::Value::Null),
        }
    }
}

/// Initializes and unseals the store of the cluster unless that was done, mounts what is loaded, and makes a token for it.
pub async fn prepare(endpoints: &[String]) -> Result<String> {
    let first = endpoints.first().ok_or("there is no endpoint")?;
    let mut seal = SealClient::connect(first.clone()).await?;
    let root = if seal
        .status(SealStatusRequest {})
        .await?
        .into_inner()
        .is_initialized
    {
        std::env::var(TOKEN).map_err(|_| format!("the secret store is initialized: {TOKEN} is not set"))?
    } else {
        let request = InitializeRequest {
            shares: 1,
            threshold: 1,
        };
        let made = seal.initialize(request).await?.into_inner();
        for endpoint in endpoints {
            let mut seal = SealClient::connect(endpoint.clone()).await?;
            for share in &made.shares {
                if seal.status(SealStatusRequest {}).await?.into_inner().is_sealed {
                    seal.unseal(UnsealRequest { share: share.clone() }).await?;
                }
            }
        }
        made.root_token
    };
    let channel = Endpoint::from_shared(first.clone())?.connect().await?;
    let mut store = Store {
        client: SecretsClient::new(channel),
        token: root.parse()?,
    };
    for (mount, version) in [(PLAIN, "1"), (VERSIONED, "2")] {
        let mounted = serde_json::json!({"type": "kv", "options": {"version": version}});
        store.write(&format!("sys/mounts/{mount}"), mounted).await?;
    }
    store
        .write("sys/policies/acl/load", serde_json::json!({"policy": POLICY}))
        .await?;
    let made = serde_json::json!({"policies": ["load"], "ttl": "24h"});
    let token = store.write("auth/token/create", made).await?;
    Ok(token.as_str().ok_or("no token was made")?.to_owned())
}
