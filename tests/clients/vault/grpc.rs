//! Secrets over gRPC without anything of Stead's but its wire definition: the program `tests/clients/python_secrets_client.py`,
//! in the environment of the Python client of etcd, which has gRPC.

use std::path::Path;

use tokio::process::Command;

use super::super::{succeeds, three_nodes};
use crate::support::{Program, TestResult, clients_directory};

#[tokio::test]
async fn a_python_program_has_its_secrets_over_grpc_on_every_member() -> TestResult {
    let cluster = three_nodes(Program::stead()?).await?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let messages = tempfile::tempdir()?;
    let mut compiler = Command::new("protoc");
    compiler
        .arg(format!("--python_out={}", messages.path().display()))
        .arg(format!("--proto_path={}", root.join("proto/secrets").display()))
        .arg("secrets.proto");
    succeeds(&mut compiler).await?;
    let mut program = Command::new(clients_directory().join("venv/bin/python"));
    program
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root.join("tests/clients/python_secrets_client.py"))
        .arg(messages.path())
        .args(cluster.addresses());
    succeeds(&mut program).await?;
    Ok(())
}
