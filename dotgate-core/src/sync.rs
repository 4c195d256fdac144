//! The lock of what workers share: the system's.
//!
//! In tests of interleavings it is another one, which runs threads in many orders, one step at a time:
//! `cargo test -p dotgate-core --lib --features interleavings interleavings`.

#[cfg(all(test, feature = "interleavings"))]
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(all(test, feature = "interleavings")))]
pub(crate) use std::sync::{Mutex, MutexGuard};
