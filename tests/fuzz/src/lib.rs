//! What all fuzz targets share: an allocator that ends the process when decoding an input takes more memory than the
//! input can justify, and the start of a target.
//!
//! libFuzzer's own limit of one allocation needs the runtime of a sanitizer, which would have to be built into RocksDB as
//! well. Counting here also sees many small allocations. Never counts what C and C++ allocate: no decoder is written in
//! them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that decoding may take whatever the input: buffers of a fixed size, and tables that are made at the first use.
const FIXED_BYTES: usize = 24 * 1024 * 1024;
/// Bytes that decoding may take for each byte of the input. A few bytes of protobuf can be an element of hundreds in a
/// list that grows by doubling.
const BYTES_PER_INPUT_BYTE: usize = 1_000;

/// Bytes that are allocated now.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// Most that may be.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The system's allocator, and a count.
pub struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn take(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
    let limit = LIMIT.load(Ordering::Relaxed);
    if live > limit {
        // What follows allocates as well.
        LIMIT.store(usize::MAX, Ordering::Relaxed);
        let over = live - limit;
        let _ = writeln!(
            std::io::stderr(),
            "an input makes the decoder take too much memory: {bytes} bytes more are {over} over the limit\n{}",
            std::backtrace::Backtrace::capture()
        );
        std::process::abort();
    }
}

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Decodes one input within its bounds.
pub fn decode(decode: fn(&[u8]), bytes: &[u8]) {
    let allowed = FIXED_BYTES + bytes.len().saturating_mul(BYTES_PER_INPUT_BYTE);
    LIMIT.store(
        LIVE.load(Ordering::Relaxed).saturating_add(allowed),
        Ordering::Relaxed,
    );
    decode(bytes);
    LIMIT.store(usize::MAX, Ordering::Relaxed);
}

/// Writes the seeds of a target into the folder that `STEAD_FUZZ_SEEDS` names, and ends the process; does nothing
/// without it.
pub fn write_seeds(seeds: fn() -> Vec<Vec<u8>>) {
    let Some(folder) = std::env::var_os("STEAD_FUZZ_SEEDS") else {
        return;
    };
    for (number, seed) in seeds().iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{number}")), seed)
            .expect("seeds can be written");
    }
    std::process::exit(0);
}

/// A target: a decoder, and where its seeds come from.
#[macro_export]
macro_rules! target {
    ($decode:path, $seeds:path) => {
        libfuzzer_sys::fuzz_target!(init: $crate::write_seeds($seeds), |bytes: &[u8]| $crate::decode($decode, bytes));
    };
}
