//! What the C library's allocator does with large blocks, set once when the program starts.
//!
//! Not on the path of a query.

/// The smallest block that is given back to the system as soon as it is free, in bytes.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE_BYTES: libc::c_int = 32 * 1024;

/// Has large blocks mapped on their own: they grow without being copied, and are given back as soon as they are free.
///
/// By default the GNU C library does that only until the first such block is freed. From then on it cuts blocks of that
/// size out of its heap, where responses that clients do not read leave holes that are never given back.
pub fn map_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call takes two numbers, and locks what it changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}
