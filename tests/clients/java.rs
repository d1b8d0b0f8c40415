//! The Java client, io.etcd:jetcd-core: the program `tests/clients/java/Client.java`, built by `setup.sh`.

use super::{java_client, sees_the_same};
use crate::support::TestResult;

#[tokio::test]
async fn the_java_client_sees_the_same_of_stead_as_of_etcd() -> TestResult {
    Ok(sees_the_same(java_client).await?)
}
