//! The client etcd3 of npm: the program `tests/clients/node/client.mjs`, with the packages of `setup.sh`.

use super::{node_client, sees_the_same};
use crate::support::TestResult;

#[tokio::test]
async fn the_node_client_sees_the_same_of_stead_as_of_etcd() -> TestResult {
    Ok(sees_the_same(node_client).await?)
}
