//! The time of a worker's last turn: one store per turn, read by those who ask whether it still turns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dotgate_core::Moment;

/// The heartbeat of a worker, on its own cache line.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct Heartbeat(AtomicU64);

impl Heartbeat {
    /// Notes a turn.
    pub fn beat(&self, now: Moment) {
        self.0.store(now.nanos(), Relaxed);
    }

    /// When the worker last turned. One that has nothing to do sleeps, and turns as soon as it is woken.
    pub fn last_turn(&self) -> Moment {
        Moment::from_nanos(self.0.load(Relaxed))
    }
}
