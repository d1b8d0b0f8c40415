//! An allocator that wipes what is given back to it, so that no text of a request, and nothing that was made of one, stays
//! behind in memory that is free.
//!
//! Secrets pass through buffers of libraries (of HTTP, of JSON, of TLS) that wipe nothing. With this below all of them a
//! node that was sealed holds no secret of a request that has ended; what was written over to make room is copied and wiped,
//! too, as a vector is that grows.
//!
//! Never wipes stacks, nor what libraries in other languages allocate: the storage engine holds ciphertext only.

use std::alloc::{GlobalAlloc, Layout};

/// Wipes what is given back to `Inner`.
pub struct Wiping<Inner>(pub Inner);

// SAFETY: all is done by `Inner`, and memory is only written to while it is allocated. Reallocation is that of the trait: it
// allocates, copies, and gives back to this.
unsafe impl<Inner: GlobalAlloc> GlobalAlloc for Wiping<Inner> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller gives back so many bytes, and uses them no more.
        unsafe { memory.write_bytes(0, layout.size()) };
        // The compiler may not think that nobody sees these zeros.
        let memory = std::hint::black_box(memory);
        // SAFETY: as the caller promises.
        unsafe { self.0.dealloc(memory, layout) }
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts what is given back, and what of it is not zero.
    #[derive(Default)]
    struct Counting {
        returned: AtomicUsize,
        legible: AtomicUsize,
    }

    // SAFETY: all is done by the system's allocator; what is read was written.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: the test has written all of it.
            let bytes = unsafe { std::slice::from_raw_parts(memory, layout.size()) };
            let legible = bytes.iter().filter(|byte| **byte != 0).count();
            self.returned.fetch_add(bytes.len(), Ordering::Relaxed);
            self.legible.fetch_add(legible, Ordering::Relaxed);
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    #[test]
    fn what_is_given_back_was_wiped_and_so_is_what_was_outgrown() {
        let allocator = Wiping(Counting::default());
        for size in [1, 7, 64, 4096, 1 << 20] {
            let layout = Layout::from_size_align(size, 16).unwrap();
            // SAFETY: the size is not zero; all that is read was written; nothing is used after it was given back.
            unsafe {
                let memory = allocator.alloc(layout);
                assert!(!memory.is_null());
                memory.write_bytes(b's', size);
                let memory = allocator.realloc(memory, layout, 2 * size);
                assert!(!memory.is_null());
                assert_eq!(*memory.add(size - 1), b's');
                memory.write_bytes(b's', 2 * size);
                let layout = Layout::from_size_align(2 * size, 16).unwrap();
                let memory = allocator.realloc(memory, layout, size);
                assert!(!memory.is_null());
                allocator.dealloc(memory, Layout::from_size_align(size, 16).unwrap());
            }
            assert_eq!(allocator.0.returned.swap(0, Ordering::Relaxed), 4 * size);
            assert_eq!(allocator.0.legible.swap(0, Ordering::Relaxed), 0, "{size}");
        }
    }
}
