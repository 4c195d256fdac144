//! Memory that the kernel is given addresses of.
//!
//! A box would not do: using a box or a reference again tells the compiler that no other pointer
//! into the memory is in use, yet message headers hold such pointers. Here all access goes
//! through one raw pointer, from which the headers' pointers are made.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// One value of `T` on the heap, zeroed at first, that never moves; freed on drop without
/// running a destructor.
pub(super) struct Memory<T> {
    start: NonNull<T>,
}

impl<T> Memory<T> {
    const LAYOUT: Layout = Layout::new::<T>();

    /// Allocates the value.
    ///
    /// # Safety
    /// `T` has a size above zero, zeroed memory is a valid `T`, and `T` needs no destructor.
    pub(super) unsafe fn zeroed() -> Self {
        // SAFETY: the caller promises that the layout's size is not zero.
        let start = unsafe { alloc_zeroed(Self::LAYOUT) };
        match NonNull::new(start.cast()) {
            Some(start) => Memory { start },
            None => handle_alloc_error(Self::LAYOUT),
        }
    }

    /// The address of the value: aligned, valid and initialised while `self` lives.
    pub(super) fn as_ptr(&self) -> *mut T {
        self.start.as_ptr()
    }
}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this very layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr().cast(), Self::LAYOUT) };
    }
}

// SAFETY: `Memory` is the only owner of its value, as a box is; where the value may move to
// another thread, so may its owner.
unsafe impl<T: Send> Send for Memory<T> {}
