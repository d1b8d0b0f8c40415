//! What applying puts costs: `cargo bench --profile dev --bench apply`.
//!
//! Batches of 1, 16 and 256 puts of 64-byte keys and 256-byte values into a state database on disk that holds a million
//! keys, overwriting random ones or adding new ones. The time of an iteration is that of a batch; the throughput is in
//! puts. Prints the resident memory of the process with the million keys first.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stead::base::wiping::Wiping;
use stead::base::{MemberId, Namespace};
use stead::state::command::{Command, Proposal, Put};
use stead::state::{LogEntry, Machine, Payload, encode_proposal};
use stead::storage::rocks::{DatabaseKind, RocksEngine, RocksOptions};
use tikv_jemallocator::Jemalloc;

/// As in the server.
#[global_allocator]
static ALLOCATOR: Wiping<Jemalloc> = Wiping(Jemalloc);

const EXISTING_KEYS: u64 = 1_000_000;
const KEY_BYTES: usize = 64;
const VALUE_BYTES: usize = 256;
const BATCH_SIZES: [u64; 3] = [1, 16, 256];
const FILL_BATCH_SIZE: u64 = 1_000;

/// A machine and the index of the next log entry.
struct Node {
    machine: Machine,
    next_index: u64,
    next_number: u64,
}

impl Node {
    /// Entries that put the keys of some numbers.
    fn puts(&mut self, numbers: impl Iterator<Item = u64>) -> Vec<LogEntry> {
        numbers
            .map(|number| {
                self.next_index += 1;
                entry(self.next_index, number)
            })
            .collect()
    }

    fn apply(&mut self, entries: &[LogEntry]) {
        black_box(self.machine.apply(entries).expect("the batch is applied"));
    }

    /// A number that looks random (SplitMix64).
    fn random(&mut self) -> u64 {
        self.next_number += 1;
        scramble(self.next_number)
    }
}

fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Bytes that do not compress well.
fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let words = (0..).flat_map(|word: u64| scramble(seed.wrapping_add(word)).to_be_bytes());
    words.take(length).collect()
}

fn entry(index: u64, number: u64) -> LogEntry {
    let mut key = format!("/bench/{number:012}/").into_bytes();
    key.resize(KEY_BYTES, b'k');
    let proposal = Proposal {
        origin: MemberId(1),
        sequence: index,
        command: Command::Put(Put {
            namespace: Namespace::DEFAULT,
            key: Bytes::from(key),
            value: Bytes::from(bytes(index, VALUE_BYTES)),
            ..Put::default()
        }),
    };
    LogEntry {
        index,
        position: Bytes::from(index.to_be_bytes().to_vec()),
        payload: Payload::Proposals(encode_proposal(&proposal).expect("a proposal encodes")),
    }
}

/// Mebibytes of resident memory, from the kernel.
fn resident_mebibytes() -> u64 {
    let status =
        std::fs::read_to_string("/proc/self/status").expect("Linux says how much memory is resident");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next());
    kibibytes
        .and_then(|number| number.parse::<u64>().ok())
        .expect("a number")
        / 1_024
}

fn apply(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = RocksOptions::default();
    let engine =
        RocksEngine::open(folder.path(), DatabaseKind::State, options).expect("an empty folder opens");
    let mut node = Node {
        machine: Machine::open(Arc::clone(&engine) as _).expect("an empty database opens"),
        next_index: 0,
        next_number: 0,
    };
    for first in (0..EXISTING_KEYS).step_by(usize::try_from(FILL_BATCH_SIZE).expect("a small number")) {
        let entries =
            node.puts((first..first + FILL_BATCH_SIZE).map(|number| scramble(number) % (EXISTING_KEYS * 4)));
        node.apply(&entries);
    }
    println!(
        "resident memory after {EXISTING_KEYS} puts: {} MiB",
        resident_mebibytes()
    );

    let mut group = criterion.benchmark_group("apply");
    group.sample_size(20);
    for size in BATCH_SIZES {
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("existing_keys", size), |bencher| {
            bencher.iter_custom(|iterations| {
                measure(&mut node, iterations, size, |node| {
                    scramble(node.random() % EXISTING_KEYS) % (EXISTING_KEYS * 4)
                })
            });
        });
        group.bench_function(BenchmarkId::new("new_keys", size), |bencher| {
            bencher.iter_custom(|iterations| {
                measure(&mut node, iterations, size, |node| {
                    EXISTING_KEYS * 4 + node.random() % (1 << 40)
                })
            });
        });
    }
    group.finish();
    println!("resident memory at the end: {} MiB", resident_mebibytes());
}

/// The time that so many batches take to apply, without the time that making them takes.
fn measure(
    node: &mut Node,
    iterations: u64,
    size: u64,
    mut number: impl FnMut(&mut Node) -> u64,
) -> std::time::Duration {
    let mut elapsed = std::time::Duration::ZERO;
    for _ in 0..iterations {
        let numbers: Vec<u64> = (0..size).map(|_| number(node)).collect();
        let entries = node.puts(numbers.into_iter());
        let start = std::time::Instant::now();
        node.apply(&entries);
        elapsed += start.elapsed();
    }
    elapsed
}

criterion_group!(benches, apply);
criterion_main!(benches);
