//! Canaries: what the secret store was told, gave out or is opened by is searched for in every byte that a cluster leaves
//! anywhere, and in the memory of members that are sealed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore;
use rand::distr::{Alphanumeric, SampleString};
use regex::bytes::Regex;
use serde_json::{Value, json};
use stead::proto::etcdserverpb::{PutRequest, SnapshotRequest};
use tokio::time::{sleep, timeout};

use super::super::gateway::client::ask;
use super::{MAXIMUM_WAIT, PAUSE, Store};
use crate::support::vault::three_nodes;
use crate::support::{Result, TestResult};

/// What of a memory is read at once. Twice the length of any canary is read again with what follows.
const PIECE_BYTES: usize = 1 << 20;
const OVERLAP_BYTES: usize = 1 << 10;

/// What nobody may find, each with what it is.
#[derive(Default)]
struct Canaries(Vec<(&'static str, Vec<u8>)>);

impl Canaries {
    fn add(&mut self, what: &'static str, bytes: impl Into<Vec<u8>>) {
        self.0.push((what, bytes.into()));
    }

    /// A text that is nowhere else, and its forms.
    fn text(&mut self, what: &'static str) -> String {
        let text = Alphanumeric.sample_string(&mut rand::rng(), 32);
        self.add(what, text.clone());
        // As it is inside whatever longer text was encoded.
        for start in 0..3 {
            let inside = &text[start..start + 27];
            self.add(what, STANDARD.encode(inside));
        }
        text
    }

    /// A text that was given out.
    fn given(&mut self, what: &'static str, text: &Value) -> Result<String> {
        let text = text.as_str().ok_or_else(|| format!("no {what}"))?;
        self.add(what, text);
        Ok(text.to_owned())
    }

    /// Key material: its bytes, and as text.
    fn key(&mut self, what: &'static str, key: &[u8]) {
        let hexadecimal: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        self.add(what, hexadecimal);
        self.add(what, STANDARD.encode(key).trim_end_matches('='));
        self.add(what, key);
    }

    fn pattern(&self) -> Result<Regex> {
        let one = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect() };
        let all: Vec<String> = self.0.iter().map(|(_, bytes)| one(bytes)).collect();
        Ok(Regex::new(&format!("(?s-u){}", all.join("|")))?)
    }

    /// What of them is in some bytes.
    fn found(&self, pattern: &Regex, bytes: &[u8]) -> Vec<&'static str> {
        let name = |found: &[u8]| self.0.iter().find(|(_, canary)| canary == found);
        let found = pattern
            .find_iter(bytes)
            .filter_map(|found| name(found.as_bytes()));
        found.map(|(what, _)| *what).collect()
    }

    /// What of them is in the files below a directory, with the files.
    fn in_files(&self, pattern: &Regex, directory: &Path) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                all.extend(self.in_files(pattern, &path)?);
                continue;
            }
            // What a running member removes meanwhile is gone.
            let bytes = match fs::read(&path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            for what in self.found(pattern, &bytes) {
                all.push(format!("{what} in {}", path.display()));
            }
        }
        Ok(all)
    }

    /// What of them is in the memory of a process: all that is mapped and can be read.
    fn in_memory(&self, pattern: &Regex, process: u32) -> Result<Vec<String>> {
        let maps = fs::read_to_string(format!("/proc/{process}/smaps"))?;
        let memory = File::open(format!("/proc/{process}/mem"))?;
        let mut all = Vec::new();
        let mut mapping = None;
        for line in maps.lines() {
            let first = line.split_whitespace().next().unwrap_or_default();
            if let Some((start, end)) = first.split_once('-') {
                let bounds = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
                let is_readable = line
                    .split_whitespace()
                    .nth(1)
                    .is_some_and(|mode| mode.starts_with('r'));
                mapping = is_readable.then_some(bounds);
            } else if let Some(resident) = line.strip_prefix("Rss:")
                && resident.trim() != "0 kB"
                && let Some((start, end)) = mapping
            {
                let mut bytes = vec![0; PIECE_BYTES + OVERLAP_BYTES];
                let mut at = start;
                while at < end {
                    let length = usize::try_from(end - at)?.min(bytes.len());
                    // What cannot be read is what the kernel keeps for itself.
                    if memory.read_exact_at(&mut bytes[..length], at).is_ok() {
                        let found = self.found(pattern, &bytes[..length]);
                        all.extend(found.iter().map(|what| format!("{what} at {at:x} of {start:x}")));
                    }
                    at += PIECE_BYTES as u64;
                }
            }
        }
        Ok(all)
    }
}

/// Has the store keep, make and give out everything that it must not lose, and every member read it.
async fn tell_everything(store: &Store, canaries: &mut Canaries) -> TestResult {
    for share in &store.shares {
        let share: Vec<u8> = (0..share.len() / 2)
            .map(|byte| u8::from_str_radix(&share[2 * byte..2 * byte + 2], 16))
            .collect::<std::result::Result<_, _>>()?;
        canaries.key("a share", &share);
    }
    canaries.add("the root token", store.root.clone());
    let root = store.root(0);
    let (value, name) = (canaries.text("a value"), canaries.text("a name"));
    let note = canaries.text("custom metadata");
    let path = format!("secret/data/{name}");
    root.writes(&path, json!({"data": {"password": value}}))
        .await?
        .with(200)?;
    let changed = canaries.text("a patched value");
    let patch = json!({"data": {"more": changed}}).to_string();
    root.sends(
        "PATCH",
        &path,
        "Content-Type: application/merge-patch+json\r\n",
        &patch,
    )
    .await?
    .with(200)?;
    root.writes(
        &format!("secret/metadata/{name}"),
        json!({"custom_metadata": {"note": note}}),
    )
    .await?
    .with(204)?;
    let policy =
        json!({"policy": "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"list\"] }"});
    root.writes("sys/policies/acl/all", policy).await?.with(204)?;
    let made = root
        .writes("auth/token/create", json!({"policies": ["all"], "ttl": "1h"}))
        .await?
        .with(200)?;
    let token = canaries.given("a token", &made["auth"]["client_token"])?;
    for (path, kind) in [("auth/userpass", "userpass"), ("auth/approle", "approle")] {
        root.writes(&format!("sys/{path}"), json!({"type": kind}))
            .await?
            .with(204)?;
    }
    let password = canaries.text("a password");
    root.writes("auth/userpass/users/ada", json!({"password": password}))
        .await?
        .with(204)?;
    let logged_in = root
        .writes("auth/userpass/login/ada", json!({"password": password}))
        .await?
        .with(200)?;
    canaries.given("a token of a login", &logged_in["auth"]["client_token"])?;
    root.writes("auth/approle/role/web", json!({"token_policies": "all"}))
        .await?
        .with(204)?;
    let secret_id = root
        .writes("auth/approle/role/web/secret-id", json!({}))
        .await?
        .with(200)?;
    canaries.given("a secret id", &secret_id["data"]["secret_id"])?;
    let wrapped = root
        .sends("GET", &path, "X-Vault-Wrap-TTL: 60\r\n", "")
        .await?
        .with(200)?;
    canaries.given("a wrapping token", &wrapped["wrap_info"]["token"])?;
    for kind in ["transit", "pki"] {
        root.writes(&format!("sys/mounts/{kind}"), json!({"type": kind}))
            .await?
            .with(204)?;
    }
    let plaintext = canaries.text("a plaintext of transit");
    root.writes(
        "transit/encrypt/key",
        json!({"plaintext": STANDARD.encode(&plaintext)}),
    )
    .await?
    .with(200)?;
    let exported = json!({"type": "aes256-gcm96", "exportable": true});
    root.writes("transit/keys/exported", exported).await?;
    let key = root
        .reads("transit/export/encryption-key/exported")
        .await?
        .with(200)?;
    let key = STANDARD.decode(key["data"]["keys"]["1"].as_str().ok_or("no key")?)?;
    canaries.key("a key of transit", &key);
    let authority = json!({"common_name": "example.com", "key_type": "ec"});
    let authority = root
        .writes("pki/root/generate/exported", authority)
        .await?
        .with(200)?;
    let private = authority["data"]["private_key"]
        .as_str()
        .ok_or("no private key")?;
    canaries.add("a private key of PKI", private.lines().nth(1).ok_or("no PEM")?);
    let hidden = json!({"type": "file", "options": {"file_path": "audit.log"}});
    root.writes("sys/audit/file", hidden).await?.with(204)?;
    for reader in store.roots() {
        let read = reader.with_token(&token).reads(&path).await?.with(200)?;
        assert_eq!(read["data"]["data"]["password"], value.as_str());
        let found = reader
            .asks("LIST", "secret/metadata", Value::Null)
            .await?
            .with(200)?;
        assert_eq!(found["data"]["keys"][0], name.as_str());
        let refused = json!({"password": canaries.text("a wrong password")});
        reader
            .with_token("")
            .writes("auth/userpass/login/ada", refused)
            .await?
            .with(400)?;
    }
    Ok(())
}

/// A snapshot of the store, as etcd's clients make them.
async fn snapshot(store: &Store) -> Result<Vec<u8>> {
    let mut clients = store.cluster.clients(0)?;
    let mut pieces = clients
        .maintenance
        .snapshot(SnapshotRequest::default())
        .await?
        .into_inner();
    let mut snapshot = Vec::new();
    while let Some(piece) = pieces.message().await? {
        snapshot.extend_from_slice(&piece.blob);
    }
    Ok(snapshot)
}

#[tokio::test]
async fn nothing_that_a_store_was_told_is_legible_anywhere_nor_in_the_memory_of_a_sealed_member() -> TestResult
{
    let folder = tempfile::tempdir()?;
    let mut canaries = Canaries::default();
    let mut key = [0; 32];
    rand::rng().fill_bytes(&mut key);
    canaries.key("the key of the automatic seal", &key);
    let key_file = folder.path().join("seal.key");
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    fs::write(&key_file, text)?;
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600))?;
    let (mut builder, addresses) = three_nodes()?;
    for node in 0..addresses.len() {
        let audit = folder.path().join(format!("audit-{node}"));
        fs::create_dir(&audit)?;
        builder = builder.argument_of(node, format!("--audit-directory={}", audit.display()));
    }
    builder = builder.argument(format!("--secrets-seal=file:{}", key_file.display()));
    let store = Store::start(builder, addresses).await?;
    for root in store.roots() {
        root.is_unsealed_by_itself().await?;
    }
    store.mount_secrets().await?;

    // What is no secret is found wherever it is: the search can find.
    let mut plain = Canaries::default();
    let shown = plain.text("what is no secret");
    let legible = plain.pattern()?;
    store
        .cluster
        .clients(0)?
        .kv
        .put(PutRequest {
            key: "plain".into(),
            value: shown.into(),
            ..PutRequest::default()
        })
        .await?;

    tell_everything(&store, &mut canaries).await?;
    let pattern = canaries.pattern()?;
    let directory = store.cluster.directory();
    assert!(!plain.in_files(&legible, directory)?.is_empty());
    assert_eq!(canaries.in_files(&pattern, directory)?, [""; 0]);
    let saved = snapshot(&store).await?;
    assert!(!plain.found(&legible, &saved).is_empty());
    assert_eq!(canaries.found(&pattern, &saved), [""; 0], "in a snapshot");
    for node in store.cluster.nodes() {
        let metrics = ask(&node.client_address(), "GET", "/metrics", "", "").await?;
        assert!(metrics.body.contains("stead_secrets"));
        assert_eq!(
            canaries.found(&pattern, metrics.body.as_bytes()),
            [""; 0],
            "in metrics"
        );
    }
    fs::remove_file(&key_file)?;
    assert!(folder.path().join("audit-0/audit.log").metadata()?.len() > 0);
    // The paths of requests are what audit is for.
    let mut in_audit = canaries.in_files(&pattern, folder.path())?;
    in_audit.retain(|found| !found.starts_with("a name "));
    assert_eq!(in_audit, [""; 0]);

    for root in store.roots() {
        root.writes("sys/seal", Value::Null).await?.with(204)?;
        assert!(root.is_sealed().await?);
    }
    for node in store.cluster.nodes() {
        let process = node.process_id().ok_or("a member has ended")?;
        assert!(
            !plain.in_memory(&legible, process)?.is_empty(),
            "of {}",
            node.name()
        );
        // What was under way when the member was sealed ends soon.
        let mut left = canaries.in_memory(&pattern, process)?;
        let waiting = async {
            while !left.is_empty() {
                sleep(PAUSE).await;
                left = canaries.in_memory(&pattern, process)?;
            }
            Ok(())
        };
        let emptied: std::result::Result<Result<()>, _> = timeout(MAXIMUM_WAIT, waiting).await;
        if let Ok(read) = emptied {
            read?;
        }
        assert_eq!(left, [""; 0], "in the memory of {}", node.name());
    }
    assert_eq!(canaries.in_files(&pattern, directory)?, [""; 0], "once sealed");
    Ok(())
}
