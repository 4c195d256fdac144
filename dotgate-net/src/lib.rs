//! Batched UDP, the clock, and the few system calls dotgate needs.
