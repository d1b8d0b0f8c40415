//! The Python client of Vault of PyPI, hvac, in an environment of `setup.sh`: the tests that come with it.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::super::succeeds_within;
use crate::support::{TestResult, clients_directory};

/// How long the client's own tests may take: each class starts a node.
const MAXIMUM_SUITE: Duration = Duration::from_secs(1200);

/// The tests that are about what Stead has. What they leave out themselves, and what `hvac_suite` leaves out, is counted.
const FILES: [&str; 22] = [
    "v1",
    "api/auth_methods/test_approle.py",
    "api/auth_methods/test_cert.py",
    "api/auth_methods/test_jwt.py",
    "api/auth_methods/test_kubernetes.py",
    "api/auth_methods/test_token.py",
    "api/secrets_engines/test_kv_v1.py",
    "api/secrets_engines/test_kv_v2.py",
    "api/secrets_engines/test_pki.py",
    "api/secrets_engines/test_transit.py",
    "api/system_backend/test_audit.py",
    "api/system_backend/test_auth.py",
    "api/system_backend/test_health.py",
    "api/system_backend/test_init.py",
    "api/system_backend/test_key.py",
    "api/system_backend/test_leader.py",
    "api/system_backend/test_lease.py",
    "api/system_backend/test_mount.py",
    "api/system_backend/test_policies.py",
    "api/system_backend/test_policy.py",
    "api/system_backend/test_seal.py",
    "api/system_backend/test_wrapping.py",
];

/// How many tests there are, and how many of them are left out.
const SUITE_SIZE: usize = 380;
const SUITE_LEFT_OUT: usize = 20;

#[tokio::test]
async fn the_tests_of_the_python_client_of_vault_pass_with_stead() -> TestResult {
    let environment = clients_directory().join("hvac-venv");
    let folder = tempfile::tempdir()?;
    let additions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/hvac_suite");
    let mut programs: Vec<PathBuf> = vec![additions.clone()];
    programs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let mut command = Command::new(environment.join("bin/python"));
    command
        .args(["-m", "pytest", "-v", "--no-header"])
        .args(["-p", "against_stead"])
        .args(["-p", "no:cacheprovider", "-p", "no:warnings"])
        .args(FILES.map(|file| format!("tests/integration_tests/{file}")))
        .current_dir(environment.join("hvac-source"))
        .env("PATH", env::join_paths(programs)?)
        .env("PYTHONPATH", additions)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "STEAD_BINARY",
            env::var_os("STEAD_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_stead").into()),
        )
        .env("STEAD_FOLDER", folder.path());
    let printed = succeeds_within(MAXIMUM_SUITE, &mut command).await?;
    let outcomes: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("tests/"))
        .collect();
    let passed = outcomes.iter().filter(|line| line.contains(" PASSED ")).count();
    assert_eq!(
        (outcomes.len(), passed),
        (SUITE_SIZE, SUITE_SIZE - SUITE_LEFT_OUT),
        "{outcomes:#?}"
    );
    Ok(())
}
