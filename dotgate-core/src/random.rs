//! The core's random source: a ChaCha stream from a seed the driver gives.
//!
//! Message IDs must be unpredictable over their full 16 bits (RFC 5452 section 9.2); a simulation gives
//! a fixed seed and gets the same run again.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Unpredictable numbers, reproducible from a seed.
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    pub(crate) fn new(seed: [u8; 32]) -> Random {
        Random(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn message_id(&mut self) -> u16 {
        self.0.next_u32() as u16
    }
}
