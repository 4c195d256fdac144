//! Seeded randomness: the same seed gives the same world, byte for byte.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A reproducible source of chance.
#[derive(Debug)]
pub struct Random(ChaCha12Rng);

/// A range of times, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The shortest time.
    pub least: Duration,
    /// The longest time.
    pub most: Duration,
}

impl Span {
    /// No choice at all.
    pub const fn exactly(time: Duration) -> Span {
        Span {
            least: time,
            most: time,
        }
    }

    /// Between so many milliseconds and so many.
    pub const fn millis(least: u64, most: u64) -> Span {
        Span {
            least: Duration::from_millis(least),
            most: Duration::from_millis(most),
        }
    }
}

impl Random {
    /// Begins the sequence of `seed`.
    pub fn new(seed: u64) -> Random {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Random(ChaCha12Rng::from_seed(bytes))
    }

    /// A number below `end`; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.0.next_u64() % end }
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// A place in a list of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// True in so many of a thousand cases.
    pub fn happens(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// One of the choices, all equally likely.
    pub fn pick<T: Clone, const N: usize>(&mut self, choices: [T; N]) -> T {
        choices[self.index(N)].clone()
    }

    /// A time within the range.
    pub fn time(&mut self, span: Span) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.between(nanos(span.least), nanos(span.most)))
    }

    /// A seed for an engine.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.0.fill_bytes(&mut seed);
        seed
    }
}
