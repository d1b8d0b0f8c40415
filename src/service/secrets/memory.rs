//! Memory for key material: wiped when it is dropped, kept out of swap and of core dumps where the system allows it.
//!
//! Every [`Locked`] has a page to itself, so that unlocking one never unlocks another. Where the system refuses to lock
//! (`RLIMIT_MEMLOCK`), the key is held all the same, the log says so once, and [`unlocked_pages`] counts it.
//!
//! Never copied but by [`Locked::copied_from`]; never shown; its neighbours on the stack (what a cipher makes of a key while
//! it works) are wiped by the ciphers, but are not locked.

use std::fmt;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A key of 32 bytes.
pub type Key = Locked<KEY_BYTES>;

/// Bytes of a key of AES-256 and of HMAC-SHA256.
pub const KEY_BYTES: usize = 32;

/// What a [`Locked`] takes and starts at a multiple of. A larger page of the system is left locked once it was.
const PAGE_BYTES: usize = 4096;

/// Live pages with key material that the system did not lock.
static UNLOCKED_PAGES: AtomicUsize = AtomicUsize::new(0);

/// All of it, so that what no key needs is zero: what lies between a key and the end of a page would be whatever the stack
/// was used for before.
#[repr(align(4096))]
struct Page([u8; PAGE_BYTES]);

/// Bytes of a fixed number that are wiped when dropped and locked into memory where the system allows it.
pub struct Locked<const LENGTH: usize> {
    page: Box<Page>,
    is_locked: bool,
}

/// How many live pieces of key material the system refuses to keep out of swap. Zero is what should be.
#[must_use]
pub fn unlocked_pages() -> usize {
    UNLOCKED_PAGES.load(Ordering::Relaxed)
}

impl<const LENGTH: usize> Locked<LENGTH> {
    /// Bytes that `fill` writes into the locked page; they are zero before.
    ///
    /// # Errors
    /// That of `fill`.
    pub fn filled<Failure>(
        fill: impl FnOnce(&mut [u8; LENGTH]) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let mut bytes = Self::zeroed();
        fill(bytes.own())?;
        Ok(bytes)
    }

    /// A copy of `bytes`. The original is the caller's to wipe.
    #[must_use]
    pub fn copied_from(bytes: &[u8; LENGTH]) -> Self {
        let mut copy = Self::zeroed();
        copy.own().copy_from_slice(bytes);
        copy
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8; LENGTH] {
        match self.page.0.first_chunk() {
            Some(bytes) => bytes,
            None => unreachable!("key material fits into one page"),
        }
    }

    fn own(&mut self) -> &mut [u8; LENGTH] {
        match self.page.0.first_chunk_mut() {
            Some(bytes) => bytes,
            None => unreachable!("key material fits into one page"),
        }
    }

    /// Whether the system keeps these bytes out of swap.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }

    fn zeroed() -> Self {
        const { assert!(LENGTH <= PAGE_BYTES, "key material fits into one page") };
        let mut page = Box::new(Page([0; PAGE_BYTES]));
        let is_locked = match lock(&mut page) {
            Ok(()) => true,
            Err(error) => {
                UNLOCKED_PAGES.fetch_add(1, Ordering::Relaxed);
                warn_once(error);
                false
            }
        };
        Self { page, is_locked }
    }
}

impl<const LENGTH: usize> Drop for Locked<LENGTH> {
    fn drop(&mut self) {
        self.page.0.zeroize();
        unlock(&mut self.page);
        if !self.is_locked {
            UNLOCKED_PAGES.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<const LENGTH: usize> fmt::Debug for Locked<LENGTH> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[redacted]")
    }
}

impl<const LENGTH: usize> PartialEq for Locked<LENGTH> {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl<const LENGTH: usize> Eq for Locked<LENGTH> {}

fn address(page: &mut Page) -> *mut std::ffi::c_void {
    std::ptr::from_mut(page).cast()
}

fn lock(page: &mut Page) -> rustix::io::Result<()> {
    let start = address(page);
    // Core dumps leave the page out; a system that cannot do so loses nothing.
    #[cfg(target_os = "linux")]
    // SAFETY: the page is owned, and its contents stay as they are.
    let _ = unsafe { rustix::mm::madvise(start, PAGE_BYTES, rustix::mm::Advice::LinuxDontDump) };
    // SAFETY: the page is owned, and its contents stay as they are.
    unsafe { rustix::mm::mlock(start, PAGE_BYTES) }
}

/// Before the page goes back to the allocator: what comes next on it is like any other memory. Failing does no harm.
fn unlock(page: &mut Page) {
    if rustix::param::page_size() != PAGE_BYTES {
        // The system's page may hold other keys.
        return;
    }
    let start = address(page);
    #[cfg(target_os = "linux")]
    // SAFETY: the page is owned and was wiped.
    let _ = unsafe { rustix::mm::madvise(start, PAGE_BYTES, rustix::mm::Advice::LinuxDoDump) };
    // SAFETY: the page is owned and was wiped.
    let _ = unsafe { rustix::mm::munlock(start, PAGE_BYTES) };
}

fn warn_once(error: rustix::io::Errno) {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| {
        tracing::warn!(
            %error,
            "key material cannot be locked into memory and may reach swap; raise the limit of locked memory \
             (LimitMEMLOCK, ulimit -l) or turn swap off"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Locked:` of the mapping that holds `address`, in KiB.
    fn locked_kib_at(address: usize) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_inside = false;
        for line in maps.lines() {
            let first = line.split_whitespace().next().unwrap_or_default();
            if let Some((start, end)) = first.split_once('-') {
                let bound = |text| usize::from_str_radix(text, 16).unwrap_or(0);
                is_inside = (bound(start)..bound(end)).contains(&address);
            } else if let (true, Some(rest)) = (is_inside, line.strip_prefix("Locked:")) {
                return rest.trim().trim_end_matches(" kB").parse().unwrap();
            }
        }
        panic!("no mapping holds the address");
    }

    #[test]
    fn key_material_is_not_shown_and_compares_by_its_bytes() {
        let key = Key::copied_from(&[7; 32]);
        assert_eq!(format!("{key:?}"), "[redacted]");
        assert_eq!(key, Key::copied_from(&[7; 32]));
        assert_ne!(key, Key::copied_from(&[8; 32]));
    }

    #[test]
    fn a_page_that_says_it_is_locked_is_locked_and_one_that_is_not_is_counted() {
        let key = Key::copied_from(&[7; 32]);
        let start = key.expose().as_ptr() as usize;
        assert_eq!(start % PAGE_BYTES, 0);
        if key.is_locked() {
            assert!(locked_kib_at(start) >= 4);
        } else {
            assert!(unlocked_pages() > 0);
        }
    }

    #[test]
    fn two_keys_never_share_a_page() {
        assert_eq!((size_of::<Page>(), align_of::<Page>()), (PAGE_BYTES, PAGE_BYTES));
    }

    #[test]
    fn what_fails_to_be_filled_is_an_error() {
        assert_eq!(Key::filled(|_| Err::<(), _>("no")).err(), Some("no"));
    }
}
