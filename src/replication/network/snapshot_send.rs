//! Ships a snapshot: announces its files, sends those that the receiver lacks, each with its checksum.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, Peers, wire};
use crate::proto::peer;
use crate::proto::peer::snapshot_part::Part;
use crate::replication::machine::Snapshot;
use crate::replication::types::{NodeId, Vote};

/// Bytes of a file in one message.
const CHUNK_BYTES: usize = 256 * 1024;
/// Messages that are read ahead of the connection.
const MAXIMUM_READ_AHEAD_PARTS: usize = 4;

/// Sends `snapshot`; the receiver's vote is the answer, or what went wrong.
pub async fn send(
    mut client: Client,
    peers: Arc<Peers>,
    target: NodeId,
    vote: &Vote,
    snapshot: &Snapshot,
) -> Result<Vote, String> {
    let folder = snapshot.snapshot.clone();
    let files = folder.files().map_err(|error| error.to_string())?;
    let offer = peer::SnapshotOffer {
        id: folder.id.clone(),
        files: files
            .iter()
            .map(|(name, size)| peer::SnapshotFile {
                name: name.clone(),
                size: *size,
            })
            .collect(),
    };
    let wanted = client
        .offer_snapshot(offer)
        .await
        .map_err(|status| status.to_string())?;
    let wanted: HashSet<String> = wanted.into_inner().names.into_iter().collect();
    let paths: Vec<(String, PathBuf)> = files
        .into_iter()
        .filter(|(name, _)| wanted.contains(name))
        .map(|(name, _)| (name.clone(), folder.path.join(name)))
        .collect();
    let start = wire::snapshot_start_to_wire(folder.id.clone(), vote, &snapshot.meta);
    let (parts, stream) = mpsc::channel(MAXIMUM_READ_AHEAD_PARTS);
    let reading = tokio::spawn(async move {
        // The folder must not be removed while its files are read.
        let _folder = folder;
        read_parts(start, paths, &parts, &peers, target).await
    });
    let sent = client.send_snapshot(ReceiverStream::new(stream)).await;
    let read = reading.await.map_err(|error| error.to_string())?;
    // If reading failed, the receiver only saw a stream that ended early.
    read.map_err(|error| format!("a file of the snapshot cannot be read: {error}"))?;
    let response = sent.map_err(|status| status.to_string())?.into_inner();
    let vote = response.vote.ok_or("the answer has no vote")?;
    Ok(wire::vote_from_wire(vote))
}

async fn read_parts(
    start: peer::SnapshotStart,
    files: Vec<(String, PathBuf)>,
    parts: &mpsc::Sender<peer::SnapshotPart>,
    peers: &Peers,
    target: NodeId,
) -> std::io::Result<()> {
    let sent_bytes = peers.sent_bytes(target);
    let send = |part: Part| parts.send(peer::SnapshotPart { part: Some(part) });
    if send(Part::Start(start)).await.is_err() {
        return Ok(());
    }
    for (name, path) in files {
        let mut file = tokio::fs::File::open(&path).await?;
        let (mut size, mut checksum) = (0_u64, 0_u32);
        loop {
            let mut data = Vec::with_capacity(CHUNK_BYTES);
            let chunk = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            if (&mut file).take(chunk).read_to_end(&mut data).await? == 0 {
                break;
            }
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            size += length;
            checksum = crc32c::crc32c_append(checksum, &data);
            sent_bytes.inc_by(length);
            let chunk = peer::SnapshotChunk {
                name: name.clone(),
                data: Bytes::from(data),
            };
            if send(Part::Chunk(chunk)).await.is_err() {
                return Ok(());
            }
        }
        let end = peer::SnapshotFileEnd { name, size, checksum };
        if send(Part::FileEnd(end)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
