//! `/v1/snapshot`: what this interface shows, as a compressed archive of `meta.json`, `state.bin` and `SHA256SUMS`.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::answer::Answer;
use super::call::Call;
use super::routes::Route;
use crate::base::limits::MAXIMUM_CONSUL_SNAPSHOT_BYTES;
use crate::service::ServiceError;
use crate::service::consul::acl::{Access, Resource};
use crate::service::consul::{Archive, ConsulError};

/// The routes.
pub(super) const ROUTES: &[Route] = &[
    Route::get("/v1/snapshot", |call| Box::pin(save(call))),
    Route::put("/v1/snapshot", |call| Box::pin(restore(call))).with_body(MAXIMUM_CONSUL_SNAPSHOT_BYTES),
];

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";

/// What is said of a snapshot.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    version: u32,
    #[serde(rename = "ID")]
    id: String,
    index: i64,
    size: usize,
}

async fn save(call: Call) -> Result<Answer, ConsulError> {
    call.authorizer.require(Resource::Acl, Access::Write)?;
    let archive = call.consul.archive(call.options.is_stale()).await?;
    let meta = call.meta(archive.revision);
    let packed = aside(move || pack(&archive)).await?;
    Ok(Answer::bytes("application/x-gzip", packed.into()).with_meta(meta))
}

async fn restore(call: Call) -> Result<Answer, ConsulError> {
    call.authorizer.require(Resource::Acl, Access::Write)?;
    let body = call.body.clone();
    let state = aside(move || unpack(&body)).await?;
    call.consul.restore(&state).await?;
    Ok(Answer::empty())
}

/// Does work that takes long on a thread that may block.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConsulError> + Send + 'static,
) -> Result<T, ConsulError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(ServiceError::Stopped.into()))
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn pack(archive: &Archive) -> Result<Vec<u8>, ConsulError> {
    let failed = |error: std::io::Error| ConsulError::Failed(format!("cannot pack the snapshot: {error}"));
    let meta = serde_json::to_vec(&Meta {
        version: 1,
        id: format!("stead-{}", archive.revision),
        index: archive.revision.0,
        size: archive.content.len(),
    })
    .map_err(|error| failed(error.into()))?;
    let sums = format!("{}  {META}\n{}  {STATE}\n", sum(&meta), sum(&archive.content));
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, content) in [
        (META, meta.as_slice()),
        (STATE, &archive.content),
        (SUMS, sums.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).unwrap_or(u64::MAX));
        header.set_mode(0o600);
        header.set_cksum();
        tar.append_data(&mut header, name, content).map_err(failed)?;
    }
    let mut compressed = tar.into_inner().map_err(failed)?;
    compressed.flush().map_err(failed)?;
    compressed.finish().map_err(failed)
}

/// The state of a snapshot whose sums are right.
fn unpack(body: &Bytes) -> Result<Bytes, ConsulError> {
    let invalid = |reason: String| ConsulError::Invalid(format!("the body is no snapshot: {reason}"));
    // What is packed may be far larger than its package.
    let limit = u64::try_from(MAXIMUM_CONSUL_SNAPSHOT_BYTES).unwrap_or(u64::MAX);
    let mut archive = tar::Archive::new(GzDecoder::new(body.as_ref()).take(limit));
    let (mut meta, mut state, mut sums) = (None, None, None);
    for entry in archive.entries().map_err(|error| invalid(error.to_string()))? {
        let mut entry = entry.map_err(|error| invalid(error.to_string()))?;
        let name = entry.path().map_err(|error| invalid(error.to_string()))?;
        let place = match name.to_str() {
            Some(META) => &mut meta,
            Some(STATE) => &mut state,
            Some(SUMS) => &mut sums,
            _ => return Err(invalid(format!("it holds {:?}", name.display().to_string()))),
        };
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .map_err(|error| invalid(error.to_string()))?;
        *place = Some(content);
    }
    let (Some(meta), Some(state), Some(sums)) = (meta, state, sums) else {
        return Err(invalid(format!("it lacks one of {META}, {STATE} and {SUMS}")));
    };
    let sums = String::from_utf8_lossy(&sums);
    for (name, content) in [(META, &meta), (STATE, &state)] {
        let line = format!("{}  {name}", sum(content));
        if !sums.lines().any(|given| given == line) {
            return Err(invalid(format!("the checksum of {name} is not that of {SUMS}")));
        }
    }
    Ok(state.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Revision;

    #[test]
    fn what_is_packed_is_unpacked_and_a_damaged_package_is_refused() {
        let archive = Archive {
            content: Bytes::from(vec![7; 100_000]),
            revision: Revision(5),
        };
        let packed = pack(&archive).unwrap();
        assert_eq!(unpack(&packed.clone().into()).unwrap(), archive.content);
        for position in [0, packed.len() / 2, packed.len() - 20] {
            let mut damaged = packed.clone();
            damaged[position] ^= 0x40;
            assert!(unpack(&damaged.into()).is_err(), "{position}");
        }
        let cut = Bytes::copy_from_slice(&packed[..packed.len() / 2]);
        assert!(unpack(&cut).is_err() && unpack(&Bytes::new()).is_err());
    }
}
